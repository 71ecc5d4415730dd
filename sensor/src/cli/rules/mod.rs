//! `falconet rules`: check rule files and run their test cases, without root and without a kernel; ask the running sensor about
//! its rules.

mod alert_event;
mod check;
mod explain;
mod junit;
mod list;
mod paint;
mod report;
mod running;
mod sarif;
mod show;
mod test;
mod which;
mod why;

use clap::Subcommand;

use crate::app::exit::Failure;

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Load rule files together, in order, and tell every error and warning.
    Check(check::Args),
    /// List the rules, as `falco -L`, and tell which of them cannot fire here and why.
    List(list::Args),
    /// Show what a rule comes to: its condition after macros, lists, overrides and exceptions, each part with its place.
    Show(show::Args),
    /// Tell why a rule fires or does not fire on an event: the value that each comparison saw.
    Explain(explain::Args),
    /// Run files of test cases: which events must make which rules fire.
    Test(test::Args),
    /// Tell what happens around a rule in the running sensor: matches, and near misses with the comparison that failed.
    Watch(running::WatchArgs),
    /// The rules that the running sensor uses, and what they have counted.
    Status(running::StatusArgs),
    /// Make the running sensor load its rules again, and tell what came of it.
    Reload(running::ReloadArgs),
}

pub fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Check(args) => check::run(args),
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Test(args) => test::run(args),
        Command::Watch(args) => running::watch(args),
        Command::Status(args) => running::status(args),
        Command::Reload(args) => running::reload(args),
    }
}

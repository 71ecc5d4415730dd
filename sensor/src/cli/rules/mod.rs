//! `falconet rules`: check rule files and run their test cases, without root and without a kernel. One file per
//! subcommand.

mod alert_event;
mod check;
mod explain;
mod junit;
mod list;
mod paint;
mod sarif;
mod show;
mod test;
mod which;
mod why;

use clap::Subcommand;

use super::exit::Failure;

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
}

pub fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Check(args) => check::run(args),
        Command::List(args) => list::run(args),
        Command::Show(args) => show::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Test(args) => test::run(args),
    }
}

//! `falconet rules`: check rule files and run their test cases, without root and without a kernel. One file per
//! subcommand.

mod check;
mod junit;
mod sarif;
mod test;
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
    /// Run files of test cases: which events must make which rules fire.
    Test(test::Args),
}

pub fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Check(args) => check::run(args),
        Command::Test(args) => test::run(args),
    }
}

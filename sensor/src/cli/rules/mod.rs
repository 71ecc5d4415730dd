//! `falconet rules`: check rule files and run their test cases, without root and without a kernel. One file per
//! subcommand.

mod check;
mod junit;
mod test;

use std::path::Path;

use clap::Subcommand;

use super::exit::Failure;
use crate::rules::Source;

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

/// A file of rules or of test cases.
fn read(path: &Path) -> std::io::Result<Source> {
    let text = std::fs::read(path)?;
    let text = String::from_utf8(text)
        .map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, "the file is not UTF-8"))?;
    Ok(Source::new(path.display().to_string(), text))
}

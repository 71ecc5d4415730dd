//! The command line, one file per subcommand.

pub mod exit;

use std::process::ExitCode;

/// Parses the arguments, runs the subcommand and maps its failure to an exit code.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}

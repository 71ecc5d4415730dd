//! `falconet doctor`: prints what [`crate::app::doctor`] finds.

use super::print::say;
use crate::app::doctor::Report;
use crate::app::exit::Failure;

#[derive(clap::Args)]
pub struct Args {
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
    /// The directory that the alert log will be in.
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/lib/falconet")]
    state: std::path::PathBuf,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let report = Report::this_machine(args.state.clone());
    say(&if args.json {
        serde_json::to_string_pretty(&report).map_err(anyhow::Error::from)? + "\n"
    } else {
        report.to_string()
    })?;
    report.outcome()
}

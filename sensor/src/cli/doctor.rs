//! `falconet doctor`: prints what [`crate::app::doctor`] finds.

use std::path::PathBuf;

use super::print::say;
use crate::app::doctor::Report;
use crate::app::exit::Failure;
use crate::app::settings::Settings;

#[derive(clap::Args)]
pub struct Args {
    /// Configuration file whose rules are looked at [default: /etc/falconet/falconet.yaml, if it exists].
    #[arg(short = 'c', value_name = "FILE")]
    config: Option<PathBuf>,
    /// Rule file or directory instead of those of the configuration; repeatable.
    #[arg(short = 'r', value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// Set one option, e.g. `rules[].enable.tag=network`; repeatable.
    #[arg(short = 'o', long = "option", value_name = "KEY=VALUE")]
    options: Vec<String>,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
    /// The directory that the alert log will be in.
    #[arg(long, value_name = "DIRECTORY", default_value = "/var/lib/falconet")]
    state: PathBuf,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let settings =
        Settings { config: args.config.clone(), options: args.options.clone(), rules: args.rules.clone() };
    let report = Report::this_machine(args.state.clone(), &settings);
    say(&if args.json {
        serde_json::to_string_pretty(&report).map_err(anyhow::Error::from)? + "\n"
    } else {
        report.to_string()
    })?;
    report.outcome()
}

//! `falconet run`.

use std::path::PathBuf;

use crate::app::exit::Failure;
use crate::app::run;
use crate::app::settings::Settings;

#[derive(clap::Args)]
pub struct Args {
    /// Configuration file [default: /etc/falconet/falconet.yaml, if it exists].
    #[arg(short = 'c', value_name = "FILE")]
    config: Option<PathBuf>,
    /// Rule file or directory instead of those of the configuration; repeatable.
    #[arg(short = 'r', value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// Set one option, e.g. `json_output=true`; repeatable.
    #[arg(short = 'o', long = "option", value_name = "KEY=VALUE")]
    options: Vec<String>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    run::run(Settings { config: args.config, options: args.options, rules: args.rules })
}

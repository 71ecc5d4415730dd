//! `falconet hub`.

use std::path::PathBuf;

use crate::app::exit::Failure;
use crate::app::hub;

#[derive(clap::Args)]
pub struct Args {
    /// Configuration file [default: /etc/falconet/falconet.yaml, if it exists].
    #[arg(short = 'c', value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one option, e.g. `webhook.address=URL`; repeatable.
    #[arg(short = 'o', long = "option", value_name = "KEY=VALUE")]
    options: Vec<String>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    hub::run(args.config.as_deref(), &args.options)
}

//! `falconet version`.

use crate::app::exit::Failure;

/// The rule engine version that we answer as (Falco 0.44's).
pub const ENGINE_VERSION: &str = "0.62.0";

#[derive(clap::Args)]
pub struct Args {
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    if args.json {
        let object = serde_json::json!({
            "falconet_version": version,
            "engine_version_semver": ENGINE_VERSION,
            "probe": !crate::probe::OBJECT.is_empty(),
        });
        println!("{object}");
    } else {
        let probe = if crate::probe::OBJECT.is_empty() { "not built in" } else { "built in" };
        println!("falconet version: {version}\nRule engine: {ENGINE_VERSION}\neBPF programs: {probe}");
    }
    Ok(())
}

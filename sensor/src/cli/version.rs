//! `falconet version`.

use crate::app::exit::{Class, Failure};
use crate::probe::object::{Contents, Program};

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
    let contents =
        Contents::embedded().transpose().map_err(|error| Failure::new(Class::Unavailable, error))?;
    if args.json {
        let object = serde_json::json!({
            "falconet_version": version,
            "engine_version_semver": ENGINE_VERSION,
            "probe": contents.is_some(),
            "probe_license": contents.as_ref().map(|contents| &contents.license),
            "probe_programs": contents.as_ref().map(|contents| list(&contents.programs)),
            "probe_functions": contents.as_ref().map(|contents| list(&contents.functions)),
        });
        println!("{object}");
        return Ok(());
    }
    println!("falconet version: {version}\nRule engine: {ENGINE_VERSION}");
    let Some(contents) = contents else {
        println!("eBPF programs: not built in");
        return Ok(());
    };
    println!("eBPF programs: {contents}");
    for (list, what) in [(&contents.programs, ""), (&contents.functions, " (function)")] {
        for Program { name, instructions } in list {
            println!("{instructions:>8} {name}{what}");
        }
    }
    Ok(())
}

/// Instructions by name.
fn list(programs: &[Program]) -> serde_json::Map<String, serde_json::Value> {
    programs.iter().map(|program| (program.name.clone(), program.instructions.into())).collect()
}

//! Dependencies against `deny.toml`: licences, sources, duplicates, and known faults where their list can be fetched.

use std::path::Path;

use anyhow::Result;

use crate::process;
use crate::setup::{Setup, deny};

pub fn check(setup: &mut Setup) -> Result<()> {
    let Some(deny) = deny::ensure(setup)? else {
        println!("skipped: check of the dependencies: no cargo-deny, and it could not be installed");
        return Ok(());
    };
    let mut checks = vec!["check", "bans", "licenses", "sources"];
    if process::succeeds(command(&deny).args(["fetch", "db"])) {
        checks.push("advisories");
    } else {
        println!("skipped: known faults of dependencies: the advisory database cannot be fetched");
    }
    process::run(command(&deny).args(checks))
}

fn command(deny: &Path) -> std::process::Command {
    let mut command = process::command(deny);
    command.args(["--locked", "--workspace"]);
    command
}

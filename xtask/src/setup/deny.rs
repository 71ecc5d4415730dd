//! `cargo-deny`: checks the dependencies against `deny.toml`.

use std::path::PathBuf;

use anyhow::Result;

use super::Setup;
use crate::process;

const VERSION: &str = "0.20.2";

/// Finds the checker or builds it; `None` where neither works.
pub fn ensure(setup: &mut Setup) -> Result<Option<PathBuf>> {
    if let Some(found) = process::find_installed("cargo-deny") {
        return Ok(Some(found));
    }
    if !setup
        .may_install(&format!("cargo-deny {VERSION} (from the crate registry)"), "checking dependencies")?
    {
        return Ok(None);
    }
    let mut cargo = process::cargo();
    // Optimising it takes minutes, and it runs for two seconds.
    cargo.args(["install", "--locked", "--debug", "cargo-deny", "--version", VERSION]);
    if let Err(error) = process::run(&mut cargo) {
        eprintln!("    {error:#}");
    }
    Ok(process::find_installed("cargo-deny"))
}

//! `cargo xtask build`: eBPF programs, web app, binary.

use std::path::PathBuf;

use anyhow::Result;

use crate::setup::{InstallArgs, Setup};
use crate::{build_ebpf, build_ui, process, workspace};

#[derive(clap::Args)]
pub struct Args {
    /// With optimisations.
    #[arg(long)]
    release: bool,
    #[command(flatten)]
    install: InstallArgs,
}

/// `cargo xtask build`.
pub fn task(args: &Args) -> Result<()> {
    let binary = build(&mut Setup::new(args.install), args.release)?;
    eprintln!("{}", binary.display());
    Ok(())
}

/// Builds everything; the path of the binary.
pub fn build(setup: &mut Setup, release: bool) -> Result<PathBuf> {
    parts(setup)?;
    workspace::phase("falconet", || {
        let mut cargo = process::cargo();
        cargo.args(["build", "--locked", "--package", "falconet"]);
        if release {
            cargo.arg("--release");
        }
        process::run(&mut cargo)
    })?;
    Ok(workspace::target().join(if release { "release" } else { "debug" }).join("falconet"))
}

/// What is embedded in the binary.
pub fn parts(setup: &mut Setup) -> Result<()> {
    setup.c_compiler()?;
    build_ebpf::build(setup, false)?;
    build_ui::build(setup, false)
}

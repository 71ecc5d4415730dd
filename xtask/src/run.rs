//! `cargo xtask run`: from a clone to a running sensor.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;

use anyhow::{Context, Result, bail};

use crate::setup::{InstallArgs, Setup};
use crate::{build, process};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    install: InstallArgs,
    /// Arguments of `falconet run`, after `--`.
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

/// `cargo xtask run`. Does not return when it works: the sensor takes this process's place and gets its signals.
pub fn task(args: &Args) -> Result<()> {
    let binary = build::build(&mut Setup::new(args.install), true)?;
    let mut command = if process::is_root() {
        process::command(&binary)
    } else if process::find("sudo").is_some() {
        eprintln!("==> sudo: loading eBPF programs needs root");
        let mut sudo = process::command("sudo");
        sudo.arg("-E").arg(&binary);
        sudo
    } else {
        bail!(
            "loading eBPF programs needs root and there is no sudo: run `{} run` as root",
            binary.display()
        );
    };
    // Paths among the arguments are meant from where the user is.
    command.arg("run").args(&args.arguments).current_dir(std::env::current_dir()?);
    eprintln!("==> {}", process::line(&command));
    Err(command.exec()).with_context(|| format!("cannot start {}", process::line(&command)))
}

//! What building and testing needs: found, or installed after saying what and why.
//!
//! With a terminal the user is asked once. Without one (a pipe, CI) nothing is asked and the work goes on. What cannot be
//! had is reported together with the remedy. Finding everything takes well under a second, so nothing is remembered.

pub mod apt;
pub mod compiler;
mod consent;
pub mod deny;
pub mod linker;
pub mod node;
mod tools;

use anyhow::Result;

pub use consent::{InstallArgs, Setup};

use crate::workspace;

#[derive(clap::Args)]
pub struct Args {
    /// Only what building needs, not what tests need.
    #[arg(long)]
    build_only: bool,
    #[command(flatten)]
    install: InstallArgs,
}

/// `cargo xtask setup`.
pub fn task(args: &Args) -> Result<()> {
    let mut setup = Setup::new(args.install);
    workspace::phase("setup", || {
        setup.c_compiler()?;
        let compiler = compiler::ensure(&mut setup)?;
        let linker = linker::ensure(&mut setup, &compiler)?;
        eprintln!("eBPF compiler: {compiler}\neBPF linker:   {}", linker.display());
        match node::ensure(&mut setup)? {
            node::Node::Found { folder, version } => {
                eprintln!("Node:          {version} ({})", folder.display());
            }
            node::Node::Missing(reason) => eprintln!("Node:          none: {reason}"),
        }
        if !args.build_only {
            setup.test_tools()?;
            if let Some(missing) = setup.emulator()? {
                eprintln!("    {missing} there are no tests on other kernels");
            }
        }
        Ok(())
    })
}

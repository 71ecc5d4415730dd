//! What building and testing needs: found, or installed after saying what and why.
//!
//! With a terminal the user is asked once. Without one (a pipe, CI) nothing is asked and the work goes on. What cannot be
//! had is reported together with the remedy. Finding everything takes well under a second, so nothing is remembered.

pub mod apt;
pub mod compiler;
pub mod linker;
pub mod node;

use std::io::{IsTerminal, Write};

use anyhow::{Context, Result, bail};

use crate::workspace;
use apt::Package;

/// Whether missing tools may be installed.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct InstallArgs {
    /// Install what is missing without asking.
    #[arg(long, global = true)]
    yes: bool,
    /// Install nothing; fail with the remedy where something is missing.
    #[arg(long, global = true, conflicts_with = "yes")]
    no_install: bool,
}

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
        }
        Ok(())
    })
}

/// What a user has allowed so far.
pub struct Setup {
    consent: Consent,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Consent {
    Ask,
    Given,
    Refused,
}

impl Setup {
    pub fn new(args: InstallArgs) -> Self {
        let asks = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        let consent = match args {
            InstallArgs { no_install: true, .. } => Consent::Refused,
            InstallArgs { yes: true, .. } => Consent::Given,
            _ if asks => Consent::Ask,
            _ => Consent::Given,
        };
        Self { consent }
    }

    /// Says what would be installed and why; true when it may be.
    pub fn may_install(&mut self, what: &str, why: &str) -> Result<bool> {
        eprintln!("    missing: {what}\n        for: {why}");
        if self.consent == Consent::Ask {
            eprint!("    Install it, and whatever else turns out to be missing? [Y/n] ");
            std::io::stderr().flush()?;
            let mut answer = String::new();
            std::io::stdin().read_line(&mut answer).context("cannot read the answer")?;
            let given = matches!(answer.trim(), "" | "y" | "Y" | "yes");
            self.consent = if given { Consent::Given } else { Consent::Refused };
        }
        Ok(self.consent == Consent::Given)
    }

    /// SQLite and the TLS library contain C.
    pub fn c_compiler(&mut self) -> Result<()> {
        const CC: Package = Package { name: "gcc", why: "compiling SQLite, which is embedded" };
        const LIBC: Package = Package { name: "libc6-dev", why: CC.why };
        if crate::process::find("cc").is_none() && !apt::ensure(self, &[CC, LIBC])? {
            bail!("no C compiler: install gcc and the C library's headers");
        }
        Ok(())
    }

    /// libFuzzer is C++. False when there is no compiler for it and none could be had: fuzzing is left out, visibly.
    pub fn cxx_compiler(&mut self) -> Result<bool> {
        const CXX: Package = Package { name: "g++", why: "fuzz targets: libFuzzer is C++" };
        Ok(crate::process::find("c++").is_some() || apt::ensure(self, &[CXX])?)
    }

    /// Programs that tests start. Tests whose programs are missing skip themselves, visibly, so this never fails.
    pub fn test_tools(&mut self) -> Result<()> {
        const TOOLS: [(&str, &str, &str); 5] = [
            ("containerd", "containerd", "tests that start containers"),
            ("runc", "runc", "tests that start containers"),
            ("busybox", "busybox-static", "the image of the containers that tests start"),
            ("chromium", "chromium", "tests of the web app in a browser"),
            ("systemd-analyze", "systemd", "the test of the systemd unit"),
        ];
        let missing: Vec<Package> = TOOLS
            .iter()
            .filter(|(program, ..)| crate::process::find(program).is_none())
            .map(|&(_, name, why)| Package { name, why })
            .collect();
        if !missing.is_empty() && !apt::ensure(self, &missing)? {
            eprintln!("    going on without them: tests that need them will be listed as skipped");
        }
        Ok(())
    }
}

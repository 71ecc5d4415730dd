//! Whether missing tools may be installed: said on the command line, or asked once.

use std::io::{IsTerminal, Write};

use anyhow::{Context, Result};

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
}

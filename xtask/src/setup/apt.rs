//! Debian and Ubuntu packages.

use std::fs::{self, File};
use std::process::Command;

use anyhow::Result;

use super::Setup;
use crate::{process, workspace};

/// A package and what it is needed for.
#[derive(Clone, Copy)]
pub struct Package {
    pub name: &'static str,
    pub why: &'static str,
}

/// Installs what is missing of `packages`; false (after saying why) when that cannot be done.
pub fn ensure(setup: &mut Setup, packages: &[Package]) -> Result<bool> {
    let missing: Vec<&Package> = packages.iter().filter(|p| !is_installed(p.name)).collect();
    if missing.is_empty() {
        return Ok(true);
    }
    let names: Vec<&str> = missing.iter().map(|p| p.name).collect();
    let mut reasons: Vec<&str> = missing.iter().map(|p| p.why).collect();
    reasons.dedup();
    let what = format!("the package{} {}", if names.len() == 1 { "" } else { "s" }, names.join(", "));
    if process::find("apt-get").is_none() {
        eprintln!("    missing: {what} (for {}); without apt-get, install them yourself", reasons.join("; "));
        return Ok(false);
    }
    if !setup.may_install(&what, &reasons.join("; "))? {
        return Ok(false);
    }
    let Some(mut update) = apt_get(&["update", "--quiet=2"]) else {
        eprintln!("    cannot install as this user: run `sudo apt-get install {}`", names.join(" "));
        return Ok(false);
    };
    // Fresh lists are fetched only when the present ones do not know the packages or have outdated versions of them.
    if names.iter().all(|name| has_candidate(name)) && install(&names)? {
        return Ok(true);
    }
    logged(&mut update)?;
    if let Some(unknown) = names.iter().find(|name| !has_candidate(name)) {
        eprintln!("    this system's package sources have no package {unknown}");
        return Ok(false);
    }
    install(&names)
}

/// True when a package of that name can be installed.
pub fn has_candidate(name: &str) -> bool {
    let policy = process::output(process::command("apt-cache").env("LC_ALL", "C").args(["policy", name]));
    policy.is_ok_and(|text| {
        text.lines()
            .filter_map(|line| line.trim().strip_prefix("Candidate: "))
            .any(|version| version != "(none)")
    })
}

fn install(names: &[&str]) -> Result<bool> {
    let arguments = ["install", "--yes", "--quiet=2", "--no-install-recommends"];
    let Some(mut command) = apt_get(&arguments) else { return Ok(false) };
    match logged(command.args(names)) {
        Ok(()) => Ok(true),
        Err(error) => {
            eprintln!("    {error:#}");
            Ok(false)
        }
    }
}

/// Runs apt-get with its many lines in a file; an error names the file and has the end of it.
fn logged(command: &mut Command) -> Result<()> {
    const TAIL: usize = 8;
    let name = process::line(command);
    eprintln!("    {name}");
    let file = workspace::target().join("xtask/apt.log");
    workspace::write(&file, b"")?;
    let log = File::options().append(true).open(&file)?;
    command.stdout(log.try_clone()?).stderr(log);
    process::run(command).map_err(|error| {
        let text = fs::read_to_string(&file).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n        ");
        error.context(format!("all of it is in {}, the end:\n        {tail}\n   ", file.display()))
    })
}

fn is_installed(name: &str) -> bool {
    process::output(process::command("dpkg-query").args(["--show", "--showformat=${db:Status-Status}", name]))
        .is_ok_and(|status| status == "installed")
}

/// apt-get as root; `None` where this user cannot become root.
fn apt_get(arguments: &[&str]) -> Option<Command> {
    let mut command = if process::is_root() {
        process::command("apt-get")
    } else {
        process::find("sudo")?;
        let mut sudo = process::command("sudo");
        sudo.args(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        sudo
    };
    command.env("DEBIAN_FRONTEND", "noninteractive").args(arguments);
    Some(command)
}

//! `cargo xtask test`: every test there is, then one list of what was skipped and why, then the totals.
//!
//! Tests that load eBPF programs or start containers need root. As root, everything runs in one go; under another user
//! the whole-binary tests run under sudo if it asks no password. A test for which the machine lacks something counts as ignored
//! and says why; those reasons are collected here.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::setup::node::{self, Node};
use crate::setup::{InstallArgs, Setup};
use crate::{build, process, workspace};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    install: InstallArgs,
    /// Only tests whose name contains this.
    filter: Option<String>,
}

/// `cargo xtask test`.
pub fn task(args: &Args) -> Result<()> {
    let mut setup = Setup::new(args.install);
    workspace::phase("test tools", || setup.test_tools())?;
    build::parts(&mut setup)?;
    let mut report = Report::default();
    for (name, selection, as_root) in passes() {
        workspace::phase(name, || cargo_test(selection, as_root, args.filter.as_deref(), &mut report))?;
    }
    workspace::phase("rings under Miri", || miri(args.filter.as_deref(), &mut report))?;
    workspace::phase("tests of the web app", || web_app(&mut setup, &mut report))?;
    print!("{report}");
    if report.failed() {
        bail!("tests failed");
    }
    Ok(())
}

/// Which tests run in which pass, and whether they get root by sudo.
fn passes() -> Vec<(&'static str, &'static [&'static str], bool)> {
    if process::is_root() {
        return vec![("tests", &["--workspace"], false)];
    }
    if process::succeeds(process::command("sudo").args(["-n", "true"])) {
        return vec![
            ("tests of the crates", &["--workspace", "--lib", "--bins"], false),
            ("tests of the whole binary, as root", &["--package", "falconet", "--test", "*"], true),
            ("tests of the documentation", &["--workspace", "--doc"], false),
        ];
    }
    eprintln!("not root, and sudo asks a password: tests that need root will be listed as skipped");
    vec![("tests", &["--workspace"], false)]
}

fn cargo_test(selection: &[&str], as_root: bool, filter: Option<&str>, report: &mut Report) -> Result<()> {
    let mut cargo = process::cargo();
    cargo.args(["test", "--locked", "--no-fail-fast"]).args(selection);
    if as_root {
        let path = std::env::var("PATH").unwrap_or_default();
        let triple = format!("{}_UNKNOWN_LINUX_GNU", std::env::consts::ARCH.to_uppercase());
        // sudo resets PATH; node and containerd may be anywhere in it.
        cargo.env(format!("CARGO_TARGET_{triple}_RUNNER"), format!("sudo -n -E env PATH={path}"));
    }
    cargo.arg("--").arg("--show-output").args(filter);
    report.stream(&mut cargo)
}

/// The tests of what is shared with the kernel, by an interpreter that sees data races and reads out of bounds.
fn miri(filter: Option<&str>, report: &mut Report) -> Result<()> {
    const RINGS: [&str; 2] = ["probe::ring", "probe::merge"];
    if filter.is_some_and(|filter| !RINGS.iter().any(|ring| ring.contains(filter))) {
        return Ok(());
    }
    if !process::succeeds(process::command("cargo").args(["+nightly", "miri", "--version"])) {
        report.skip(
            "rings under Miri: no `cargo +nightly miri` (`rustup component add --toolchain nightly miri`)",
        );
        return Ok(());
    }
    let mut cargo = process::command("cargo");
    cargo.args(["+nightly", "miri", "test", "--locked", "--package", "falconet", "--lib", "--"]).args(RINGS);
    report.stream(&mut cargo)
}

/// The web app's own tests, if it has any.
fn web_app(setup: &mut Setup, report: &mut Report) -> Result<()> {
    let ui = workspace::root().join("sensor/ui");
    let package = std::fs::read_to_string(ui.join("package.json")).unwrap_or_default();
    if !package.contains("\"test\":") {
        eprintln!("    it has no tests of its own");
        return Ok(());
    }
    match node::ensure(setup)? {
        Node::Found { folder, .. } => {
            let mut npm = process::command("npm");
            npm.current_dir(&ui).env("PATH", process::path_with(&folder)?).args(["run", "test"]);
            report.stream(&mut npm)
        }
        Node::Missing(reason) => {
            report.skip(&format!("the web app's tests: {reason}"));
            Ok(())
        }
    }
}

/// What the tests said, added up.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    passed: u64,
    failed: u64,
    skipped: u64,
    /// What was skipped, and why.
    reasons: Vec<String>,
    failures: Vec<String>,
}

impl Report {
    /// Runs a command, shows its output as it comes and reads it along.
    fn stream(&mut self, command: &mut Command) -> Result<()> {
        let name = process::line(command);
        let mut child =
            command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {name}"))?;
        if let Some(stdout) = child.stdout.take() {
            let mut out = std::io::stdout().lock();
            for line in BufReader::new(stdout).split(b'\n') {
                let line = line.with_context(|| format!("cannot read the output of {name}"))?;
                let line = String::from_utf8_lossy(&line);
                writeln!(out, "{line}")?;
                self.line(&line);
            }
        }
        let status = child.wait().with_context(|| format!("cannot wait for {name}"))?;
        if !status.success() {
            self.failures.push(format!("{name} ended with {status}"));
        }
        Ok(())
    }

    /// Notes that something was not run at all.
    fn skip(&mut self, what: &str) {
        self.skipped += 1;
        self.reasons.push(what.to_owned());
    }

    fn line(&mut self, line: &str) {
        if let Some((name, outcome)) = line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... ")) {
            if outcome == "FAILED" {
                self.failures.push(name.trim_end().to_owned());
            }
            // `ignored, why` of the standard harness, `ignored (why)` of the tests' own.
            if let Some(why) = outcome.strip_prefix("ignored") {
                let why = why.trim_start_matches([',', ' ', '(']);
                self.reasons.push(format!("{}: {}", name.trim_end(), why.strip_suffix(')').unwrap_or(why)));
            }
        }
        // The summary of `node --test`.
        if let Some((word, number)) =
            line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ ")).and_then(|l| l.split_once(' '))
            && let Ok(number) = number.parse::<u64>()
        {
            match word {
                "pass" => self.passed += number,
                "fail" => self.failed += number,
                _ => {}
            }
        }
        if let Some(counts) = line.strip_prefix("test result: ") {
            let count = |word: &str| -> u64 {
                let found = counts.split([';', '.']).find_map(|part| part.trim().strip_suffix(word));
                found.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
            };
            self.passed += count("passed");
            self.failed += count("failed");
            self.skipped += count("ignored");
        }
    }

    fn failed(&self) -> bool {
        self.failed > 0 || !self.failures.is_empty()
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f)?;
        for reason in &self.reasons {
            writeln!(f, "skipped: {reason}")?;
        }
        for failure in &self.failures {
            writeln!(f, "failed: {failure}")?;
        }
        let Self { passed, failed, skipped, .. } = self;
        let verdict = if self.failed() { "FAILED" } else { "ok" };
        writeln!(f, "\ntotals: {verdict}. {passed} passed; {failed} failed; {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_of_cargo_test_is_added_up() {
        let mut report = Report::default();
        for line in [
            "test a::b ... ok",
            "test a::c ... FAILED",
            "test a::d ... ignored, takes an hour",
            "test container_runs         ... ignored (there is no containerd (`cargo xtask setup`))",
            "test result: FAILED. 12 passed; 1 failed; 2 ignored; 0 measured; 3 filtered out; finished in 0.01s",
            "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "# tests 1",
            "# pass 1",
            "# fail 0",
        ] {
            report.line(line);
        }
        report.skip("the web app's tests: no node");
        let expected = Report {
            passed: 15,
            failed: 1,
            skipped: 3,
            reasons: vec![
                "a::d: takes an hour".to_owned(),
                "container_runs: there is no containerd (`cargo xtask setup`)".to_owned(),
                "the web app's tests: no node".to_owned(),
            ],
            failures: vec!["a::c".to_owned()],
        };
        assert_eq!(report, expected);
        assert!(report.failed());
        let text = report.to_string();
        assert!(text.ends_with("totals: FAILED. 15 passed; 1 failed; 3 skipped\n"), "{text}");
    }
}

//! The systemd unit: systemd reads it without a complaint, it is as closed as an eBPF sensor can be, and it agrees with the
//! binary.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use falconet::app::exit::Class;
use support::need::{self, Need};

/// The exposure that the unit may have, in tenths. It has 25 of 100 with systemd 252; other versions count a little
/// differently.
const EXPOSURE: &str = "30";

fn unit() -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../systemd/falconet.service");
    fs::read_to_string(file).unwrap()
}

/// The values of a setting that may stand several times.
fn setting(key: &str) -> Vec<String> {
    let text = unit();
    let values = text.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

/// The unit with the binary under test in place of the installed one, in a folder of its own.
fn unit_of_this_binary() -> (tempfile::TempDir, PathBuf) {
    let installed = "ExecStart=/usr/bin/falconet ";
    let text = unit();
    assert!(text.contains(installed), "the unit starts another binary");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("falconet.service");
    let here = format!("ExecStart={} ", env!("CARGO_BIN_EXE_falconet"));
    fs::write(&file, text.replace(installed, &here)).unwrap();
    (dir, file)
}

/// Runs `systemd-analyze` on the unit; a complaint or a bad exit fails the test.
fn analyze(test: &str, arguments: &[&str]) {
    if !need::met(test, &[Need::Program("systemd-analyze")]) {
        return;
    }
    let version = Command::new("systemd-analyze").arg("--version").output().unwrap().stdout;
    let version = String::from_utf8_lossy(&version);
    let number: u32 = version.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
    if number < 250 {
        println!("skipped: {test}: systemd {number} cannot judge a unit file offline, 250 can");
        return;
    }
    let (_dir, file) = unit_of_this_binary();
    let output = Command::new("systemd-analyze").args(arguments).arg(&file).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    assert_eq!(err, "", "complaints");
}

#[test]
fn systemd_reads_the_unit_without_a_complaint() {
    analyze("systemd_reads_the_unit_without_a_complaint", &["verify", "--recursive-errors=no"]);
}

#[test]
fn the_unit_is_closed() {
    analyze("the_unit_is_closed", &["security", "--offline=yes", "--no-pager", "--threshold", EXPOSURE]);
}

#[test]
fn errors_that_a_restart_does_not_mend_are_final() {
    let is_final = setting("RestartPreventExitStatus");
    for class in [Class::Usage, Class::Rules, Class::Permission, Class::Config] {
        assert!(is_final.contains(&(class as u8).to_string()), "{class:?} is not in {is_final:?}");
    }
    for class in [Class::Failed, Class::Unavailable, Class::CantCreate] {
        assert!(
            !is_final.contains(&(class as u8).to_string()),
            "{class:?} can pass: another process's port, a full disk"
        );
    }
}

#[test]
fn the_capabilities_of_the_unit_suffice() {
    let name = "the_capabilities_of_the_unit_suffice";
    if !need::met(name, &[Need::Root, Need::Btf, Need::Probe, Need::Program("setpriv")]) {
        return;
    }
    let kept = setting("CapabilityBoundingSet");
    let kept: Vec<String> =
        kept.iter().map(|c| format!("+{}", c.trim_start_matches("CAP_").to_lowercase())).collect();
    let doctor = |kept: &str| {
        let output = Command::new("setpriv")
            .args(["--no-new-privs", "--inh-caps=-all", &format!("--bounding-set=-all,{kept}")])
            .args([env!("CARGO_BIN_EXE_falconet"), "doctor", "--json"])
            .output()
            .unwrap();
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
            panic!(
                "{e}: {}\n{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            )
        });
        let checks = report["checks"].as_array().unwrap().clone();
        let check = checks.into_iter().find(|check| check["name"] == "privileges").unwrap();
        check["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(doctor(&kept.join(",")), "ok");
    assert_eq!(doctor("+sys_ptrace"), "missing", "the check can fail");
}

//! The systemd unit: systemd reads it without a complaint, it is as closed as an eBPF sensor can be, and it agrees with the
//! binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use falconet::app::exit::Class;
use support::need::Need;

support::harness::tests! {
    systemd_reads_the_unit_without_a_complaint needs Need::Systemd;
    the_unit_is_closed needs Need::Systemd;
    errors_that_a_restart_does_not_mend_are_final;
    the_capabilities_of_the_unit_suffice needs Need::Sensor, Need::Program("setpriv");
}

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
fn analyze(arguments: &[&str]) {
    let (_dir, file) = unit_of_this_binary();
    let output = Command::new("systemd-analyze").args(arguments).arg(&file).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    assert_eq!(err, "", "complaints");
}

fn systemd_reads_the_unit_without_a_complaint() {
    analyze(&["verify", "--recursive-errors=no"]);
}

fn the_unit_is_closed() {
    analyze(&["security", "--offline=yes", "--no-pager", "--threshold", EXPOSURE]);
}

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

fn the_capabilities_of_the_unit_suffice() {
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

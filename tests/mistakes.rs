//! What goes wrong at a start is reported in a way that helps: the place, the remedy, and an exit code of its own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use support::need::Need;
use support::sensor::Falconet;

support::harness::tests! {
    rule_files_are_told_with_line_and_code needs Need::Sensor;
    configuration_mistakes_are_told_with_line_and_suggestion;
    ports_in_use_are_named;
    a_second_process_on_the_same_log_is_told_who_has_it;
    an_unusable_state_directory_is_named;
    a_user_without_privileges_is_told_what_is_needed needs Need::Sensor;
    log_lines_have_no_colour_in_a_file;
    a_configured_rule_file_that_is_missing_is_passed_over_by_every_command;
}

/// Ends with `code`, and standard error has all of `says`.
fn fails(mut falconet: Falconet, code: i32, says: &[&str]) {
    let status = falconet.wait();
    let lines = falconet.log();
    let log = lines.join("\n");
    assert_eq!(status.code(), Some(code), "{log}");
    assert!(!log.contains('\x1b'), "colour where no person looks:\n{log}");
    let error = lines.iter().find(|line| line.starts_with("falconet: error: "));
    assert!(error.is_some(), "no error in:\n{log}");
    let error = error.unwrap();
    let mut told = BTreeSet::new();
    for part in error.split(": ") {
        assert!(told.insert(part), "{part:?} is told twice: {error}");
    }
    for text in says {
        assert!(log.contains(text), "no {text:?} in:\n{log}");
    }
}

fn file(dir: &Path, name: &str, text: &str) -> String {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn a_configured_rule_file_that_is_missing_is_passed_over_by_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let there = file(dir.path(), "there.yaml", &rule("evt.type = open and thread.cgroups = x", "o"));
    let missing = dir.path().join("missing.yaml").display().to_string();
    let config = file(dir.path(), "falconet.yaml", &format!("rules_files: [{missing}, {there}]\n"));
    let event = file(dir.path(), "event.yaml", "evt.type: open\n");
    let says = |args: &[&str]| {
        let ran = Command::new(env!("CARGO_BIN_EXE_falconet")).args(args).args(["-c", &config]).output();
        let ran = ran.unwrap();
        String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned()
    };
    let inactive = "it needs thread.cgroups, which this sensor cannot fill";
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    for args in [&["rules", "list"][..], &["rules", "show", "Mine"], &["doctor"]] {
        let said = words(&says(args));
        assert!(said.contains(inactive), "{args:?}: {said}");
    }
    let said = words(&says(&["rules", "explain", "Mine", "--event", &event]));
    assert!(said.contains("does not fire"), "{said}");
}

/// A rule with this condition and output.
fn rule(condition: &str, output: &str) -> String {
    format!("- rule: Mine\n  desc: d\n  condition: {condition}\n  output: {output}\n  priority: INFO\n")
}

fn rule_files_are_told_with_line_and_code() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text, says) in [
        ("broken.yaml", "- rule: [".to_owned(), vec!["broken.yaml", "LOAD_ERR_YAML_PARSE"]),
        (
            "field.yaml",
            rule("evt.type = open and proc.nme = sh", "x"),
            vec!["field.yaml:3:", "LOAD_ERR_COMPILE_CONDITION", "proc.nme", "proc.name"],
        ),
        ("output.yaml", rule("evt.type = open", "x %fd.nam"), vec!["output.yaml", "LOAD_ERR_COMPILE_OUTPUT"]),
        ("grammar.yaml", rule("evt.type = open and (", "x"), vec!["grammar.yaml:3:", "^"]),
    ] {
        let path = file(dir.path(), name, &text);
        let state = dir.path().join("state");
        let falconet = Falconet::with_arguments("run", &state, &[], &["-r", &path]);
        fails(falconet, 65, &says);
    }
    let gone = dir.path().join("gone.yaml");
    let falconet =
        Falconet::with_arguments("run", &dir.path().join("state"), &[], &["-r", gone.to_str().unwrap()]);
    fails(falconet, 65, &["gone.yaml"]);
}

fn configuration_mistakes_are_told_with_line_and_suggestion() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text, says) in [
        ("key.yaml", "teams:\n  webhokurl: x\n", vec!["key.yaml:2:3", "did you mean `webhookurl`?"]),
        ("syntax.yaml", "a: [\nb", vec!["syntax.yaml:"]),
        ("value.yaml", "priority: high\n", vec!["value.yaml:1:1", "high", "critical"]),
    ] {
        let path = file(dir.path(), name, text);
        fails(Falconet::start(["hub", "-c", &path]), 78, &says);
    }
    let state = dir.path().join("state");
    fails(Falconet::with_state("hub", &state, &["teams.webhokurl=x"]), 78, &["did you mean `webhookurl`?"]);
    fails(Falconet::with_state("hub", &state, &["nonsense"]), 78, &["key=value"]);
    fails(Falconet::with_state("hub", &state, &["webhook.address=no url"]), 78, &["webhook.address"]);
    fails(Falconet::start(["hub", "-c", "/nonexistent.yaml"]), 78, &["/nonexistent.yaml"]);
}

fn log_lines_have_no_colour_in_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let state = format!("alert_log.path={}", dir.path().join("alerts.db").display());
    let port = format!("ui.listenport={}", taken.local_addr().unwrap().port());
    let output = Command::new(env!("CARGO_BIN_EXE_falconet"))
        .args(["hub", "-o", &state, "-o", "listenport=0", "-o", &port])
        .env("RUST_LOG", "info")
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(log.contains(" INFO ") && !log.contains('\x1b'), "{log}");
}

fn ports_in_use_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for key in ["listenport", "ui.listenport"] {
        let option = format!("{key}={port}");
        let falconet = Falconet::with_state("hub", &dir.path().join("state"), &[&option]);
        fails(falconet, 69, &[&port.to_string(), key]);
    }
}

fn a_second_process_on_the_same_log_is_told_who_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let first = Falconet::with_state("hub", dir.path(), &[]);
    first.wait_for_log("ready", |line| line.starts_with("ready"));
    let pid = first.pid().to_string();
    fails(Falconet::with_state("hub", dir.path(), &[]), 69, &["in use by", &pid, "alert_log.path"]);
}

fn an_unusable_state_directory_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "plain-file", "");
    fails(Falconet::with_state("hub", Path::new(&path), &[]), 73, &["plain-file", "alert_log.path"]);
}

fn a_user_without_privileges_is_told_what_is_needed() {
    // Where the tests were built, nobody may not look.
    let dir = tempfile::tempdir().unwrap();
    let binary = dir.path().join("falconet");
    fs::copy(env!("CARGO_BIN_EXE_falconet"), &binary).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let output = Command::new(&binary).arg("run").uid(65_534).gid(65_534).output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(77), "{log}");
    assert!(log.contains("CAP_BPF") && log.contains("root"), "{log}");
}

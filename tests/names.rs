//! What processes and sockets are called: a name that a program gives itself neither hides it nor lends it an exception.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::need::Need;
use support::sensor::Falconet;

support::harness::tests! {
    a_process_that_renames_itself_keeps_its_name needs Need::Sensor;
    an_orphan_is_known_by_who_forked_it needs Need::Sensor;
    a_client_with_a_name_does_not_hide_whom_it_connects_to needs Need::Sensor;
}

/// A sensor with one rule for each of these conditions, named after its number.
fn sensor(state: &Path, option: &str, conditions: &[String]) -> Falconet {
    let rules = state.join("rules.yaml");
    let text: Vec<String> = conditions
        .iter()
        .enumerate()
        .map(|(at, condition)| {
            format!(
                "- {{rule: '{at}', desc: d, condition: '{condition}', output: '%proc.name', priority: INFO}}\n"
            )
        })
        .collect();
    fs::write(&rules, text.concat()).unwrap();
    let options = ["json_output=true", "append_output=[]", option];
    let sensor = Falconet::with_arguments("run", state, &options, &["-r", rules.to_str().unwrap()]);
    sensor.wait_for_log("ready", |line| line.starts_with("ready"));
    sensor
}

/// Rule and text of each alert up to the one of the rule `last`, sorted.
fn alerts(sensor: &Falconet, last: &str) -> Vec<String> {
    let told = |line: &str| {
        let alert: Value = serde_json::from_str(line).ok()?;
        let text = alert["output"].as_str()?.split_once("Informational ")?.1;
        Some(format!("{} {text}", alert["rule"].as_str()?))
    };
    sensor.wait_for("the last alert", |line| told(line).is_some_and(|told| told.starts_with(last)));
    let mut all: Vec<String> = sensor.lines().iter().filter_map(|line| told(line)).collect();
    all.sort();
    all
}

/// By /proc, as prctl does it: in the shell itself, in a child that runs the same program, and in one that runs another.
fn a_process_that_renames_itself_keeps_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap();
    let path = path.to_str().unwrap();
    fs::copy("/bin/sh", format!("{path}/hostile")).unwrap();
    for file in ["own", "child", "other", "end"] {
        fs::write(format!("{path}/{file}"), "").unwrap();
    }
    let opens = |condition: &str| {
        format!(
            "evt.type in (open, openat) and fd.directory = {path} and evt.is_open_read = true and {condition}"
        )
    };
    let sensor = sensor(
        dir.path(),
        "lineage=both",
        &[
            opens("not proc.name in (trusted, cat)"),
            opens("proc.name = trusted"),
            opens("proc.cmdline startswith trusted"),
            opens("not proc.pname in (trusted, systemd) and proc.name = cat and not fd.name endswith /end"),
            opens("fd.name endswith /end"),
        ],
    );
    let script = "echo trusted > /proc/self/comm; read name < /proc/self/comm; [ $name = trusted ] || exit 1
        : < own; (: < child; : ); cat other; cat end";
    let status =
        Command::new(format!("{path}/hostile")).args(["-c", script]).current_dir(path).status().unwrap();
    assert!(status.success(), "it is called as it said");
    assert_eq!(alerts(&sensor, "4 "), ["0 hostile", "0 hostile", "3 cat", "4 cat"]);
}

/// A shell starts a program and ends before that one works.
fn an_orphan_is_known_by_who_forked_it() {
    for (lineage, expected) in
        [("both", &["0 cat", "1 cat"][..]), ("current", &["1 cat"]), ("original", &["0 cat"])]
    {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        let path = path.to_str().unwrap();
        fs::copy("/bin/sh", format!("{path}/starter")).unwrap();
        let opens = |condition: &str| format!("evt.type in (open, openat) and fd.name = {path}/{condition}");
        let sensor = sensor(
            dir.path(),
            &format!("lineage={lineage}"),
            &[
                opens("orphan and proc.pname = starter"),
                opens("orphan and proc.name = cat and not proc.pname = starter"),
                opens("end and proc.name = cat"),
            ],
        );
        let script =
            "(while kill -0 $$ 2> /dev/null; do sleep 0.02; done; : > orphan; exec cat orphan end) &";
        fs::write(format!("{path}/end"), "").unwrap();
        let mut starter = Command::new(format!("{path}/starter"));
        assert!(starter.args(["-c", script]).current_dir(path).status().unwrap().success());
        let mut found = alerts(&sensor, "2 ");
        found.retain(|alert| alert.ends_with(" cat") && !alert.starts_with('2'));
        assert_eq!(found, expected, "{lineage}");
    }
}

/// The client has an abstract name, the server was bound through a link.
fn a_client_with_a_name_does_not_hide_whom_it_connects_to() {
    for (paths, expected) in [("both", &["0", "1", "2"][..]), ("resolved", &["0", "2"]), ("asked", &["2"])] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        fs::create_dir(path.join("real")).unwrap();
        std::os::unix::fs::symlink("real", path.join("way")).unwrap();
        let _server = UnixDatagram::bind(path.join("way/docker.sock")).unwrap();
        let path = path.to_str().unwrap();
        let connects = |condition: &str| format!("evt.type = connect and fd.name {condition}");
        let sensor = sensor(
            dir.path(),
            &format!("path_names={paths}"),
            &[
                connects(&format!("= {path}/real/docker.sock")),
                connects(&format!("= {path}/way/docker.sock")),
                connects(&format!("endswith {path}/way/docker.sock")),
                connects(&format!("endswith {path}/end")),
            ],
        );
        let name = format!("falconet-names-{}", std::process::id());
        let client = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name).unwrap()).unwrap();
        client.connect(format!("{path}/real/docker.sock")).unwrap();
        let _end = UnixDatagram::bind(format!("{path}/end")).unwrap();
        UnixDatagram::unbound().unwrap().connect(format!("{path}/end")).unwrap();
        let mut found: Vec<String> =
            alerts(&sensor, "3 ").into_iter().map(|alert| alert[..1].into()).collect();
        found.retain(|rule| rule != "3");
        assert_eq!(found, expected, "{paths}");
    }
}

//! `falconet record` beside a running sensor, then `falconet replay`: the same alerts, without root and without a kernel.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use support::containerd::{Containerd, new_id};
use support::need::Need;
use support::sensor::Falconet;

support::harness::tests! {
    a_replay_says_what_the_sensor_said needs Need::Sensor, Need::Containerd;
    what_was_recorded_before_a_crash_is_there needs Need::Sensor;
    a_capture_is_replayed_without_rights;
}

/// Rules that ask for much of what an event's surroundings tell. `DIR` is the test's directory.
const RULES: &str = "
- macro: outputs
  condition: (evt.type in (open, openat, openat2, creat))
- rule: opened
  desc: d
  condition: outputs and (fd.name startswith DIR or (container.id != host and fd.name = /etc/shadow))
  output: >
    x %fd.name %evt.type %proc.name %proc.cmdline %proc.exepath %proc.cwd %proc.pname %proc.aname[2] %proc.sname
    %user.name %user.uid %user.homedir %container.id %container.image.repository %evt.arg.flags %evt.res
  priority: INFO
- rule: ran
  desc: d
  condition: evt.type = execve and (proc.cmdline contains falconet-replay or container.id != host)
  output: x %proc.cmdline %proc.pcmdline %proc.exepath %proc.cwd %user.name %container.name %container.image %proc.tty
  priority: NOTICE
- rule: ended
  desc: d
  condition: evt.type = procexit and proc.cmdline contains falconet-replay
  output: x %proc.cmdline %evt.arg.ret %group.name
  priority: NOTICE
- rule: container
  desc: d
  condition: evt.type in (container, container_removed)
  output: x %evt.type %container.id %container.full_id %container.image %container.type
  priority: NOTICE
";

/// Work on the host, the last open a mark that ends the run.
const SCRIPT: &str = "
echo falconet-replay > a; cat a ./b ../nothing /dev/null missing 2>/dev/null
(cd sub && sh -c 'cat ../a; : falconet-replay' && exec sh -c 'exit 3 # falconet-replay')
echo end > end
";

/// Work in a container, by a process that lives on for a while: the names of its users are read through it, by the sensor and by
/// the recorder, each in its own time.
const READ: &str = "read x < /etc/shadow; sleep 2";

fn replay(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_falconet")).arg("replay").args(arguments).output().unwrap()
}

fn rules_test(file: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_falconet")).args(["rules", "test"]).arg(file).output().unwrap()
}

fn stdout(output: &Output) -> Vec<String> {
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// Alerts about the test's directory, containers or processes without what differs by nature: numbers of events, and the last
/// microseconds, as each process reads the clock for itself. Counted.
fn told(lines: &[String], about: &[&str]) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for line in lines {
        let Ok(mut alert) = serde_json::from_str::<Value>(line) else { continue };
        let text = alert.to_string();
        if !about.iter().any(|name| text.contains(name)) {
            continue;
        }
        let fields = alert["output_fields"].as_object_mut().unwrap();
        let time = fields.remove("evt.time").unwrap().as_i64().unwrap() / 1_000_000_000;
        // When a container became known is each one's own time.
        let time = Some(time).filter(|_| alert["rule"] != "container");
        let (_, message) = alert["output"].as_str().unwrap().split_once(": ").unwrap();
        let line = format!(
            "{} {} {} {message} {} {time:?}",
            alert["rule"], alert["priority"], alert["hostname"], alert["output_fields"]
        );
        *found.entry(line).or_default() += 1;
    }
    found
}

fn a_replay_says_what_the_sensor_said() {
    let containerd = Containerd::start();
    let dir = tempfile::Builder::new().prefix("fnr").tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap();
    fs::create_dir(path.join("sub")).unwrap();
    let name = path.to_str().unwrap();
    // Elsewhere, as a sensor does not see its own opens, but the recorder does.
    let state = tempfile::tempdir().unwrap();
    let rules = state.path().join("rules.yaml");
    fs::write(&rules, RULES.replace("DIR", name)).unwrap();
    let rules = rules.to_str().unwrap();
    let capture = state.path().join("capture");
    let capture = capture.to_str().unwrap();
    let socket = format!("container_engines.containerd.sockets[]={}", containerd.socket().display());

    // One container was there before both.
    let before = containerd.start_container(&[], &["/bin/sleep", "600"]);
    let options = ["json_output=true", "kernel_filter=false", socket.as_str()];
    let mut sensor = Falconet::with_arguments("run", state.path(), &options, &["-r", rules]);
    let mut recorder = Falconet::start(["record", "-o", capture, "-r", rules, "--option", socket.as_str()]);
    for falconet in [&sensor, &recorder] {
        falconet.wait_for_log("ready", |line| line.starts_with("ready"));
    }
    before.exec(&["/bin/sh", "-c", READ]);
    let during = containerd.start_container(&[], &["/bin/sh", "-c", &format!("{READ}; sleep 600")]);
    let short = new_id();
    containerd.run_as(&short, &[], &["/bin/sh", "-c", READ]);
    let status = Command::new("sh").arg("-c").arg(SCRIPT).current_dir(&path).status().unwrap();
    assert!(status.success());
    sensor.wait_for("the end", |line| line.contains("opened") && line.contains("/end"));
    // What is held for the metadata of a container comes after that; then the recorder has it as well.
    let about = [name, "falconet-replay", &before.id[..12], &during.id[..12], &short[..12]];
    let complete = |lines: &[String]| {
        let has = |words: [&str; 2]| lines.iter().any(|line| words.iter().all(|word| line.contains(word)));
        let read = about[2..].iter().all(|id| has(["/etc/shadow", id]));
        (read && has(["container_removed", about[4]])).then_some(())
    };
    support::eventually(|| complete(&sensor.lines())).expect("the sensor tells of each container");
    support::eventually(|| complete(&stdout(&replay(&[capture, "-r", rules, "--output", "json"]))))
        .expect("the capture has each container");
    assert!(recorder.interrupt().success());
    assert!(sensor.interrupt().success());

    let lived = told(&sensor.lines(), &about);
    let output = replay(&[capture, "-r", rules, "--output", "json"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let replayed = told(&stdout(&output), &about);
    let only = |a: &BTreeMap<String, usize>, b: &BTreeMap<String, usize>| {
        a.iter()
            .filter(|(line, count)| b.get(*line) != Some(count))
            .map(|(l, _)| l.clone())
            .collect::<Vec<_>>()
    };
    let (lost, invented) = (only(&lived, &replayed), only(&replayed, &lived));
    assert!(lost.is_empty() && invented.is_empty(), "only live: {lost:#?}\nonly replayed: {invented:#?}");
    // Each rule had something to say, in containers too, or the comparison would prove little.
    for rule in ["opened", "ran", "ended", "container"] {
        assert!(lived.keys().any(|line| line.starts_with(&format!("\"{rule}\""))), "{rule}: {lived:#?}");
    }
    assert!(
        lived.keys().any(|line| line.contains("/etc/shadow")
            && line.contains(support::image::NAME.split(':').next().unwrap()))
    );
    assert!(said.contains("alerts"), "{said}");

    // The same again, as somebody without rights, is the same.
    assert_eq!(stdout(&replay(&[capture, "-r", rules, "--output", "json"])), stdout(&output));
    comparisons(state.path(), capture, rules);
    cases(state.path(), capture, rules);
}

/// An edited rule against the one that was there.
fn comparisons(dir: &Path, capture: &str, rules: &str) {
    let same = replay(&[capture, "-r", rules, "--diff", rules]);
    assert_eq!((same.status.code(), same.stdout.len()), (Some(0), 0));
    let edited = dir.join("edited.yaml");
    let text = fs::read_to_string(rules).unwrap();
    let text = text.replace("evt.type = procexit", "evt.type = procexit and evt.arg.ret != 3");
    fs::write(&edited, text).unwrap();
    let differs = replay(&[capture, "-r", rules, "--diff", edited.to_str().unwrap(), "--output", "text"]);
    assert_eq!(differs.status.code(), Some(1));
    let lines = stdout(&differs);
    assert!(!lines.is_empty() && lines.iter().all(|line| line.starts_with("- ")), "{lines:#?}");
    fs::write(&edited, "- rule: x\n").unwrap();
    for broken in [edited, dir.join("missing.yaml")] {
        let output = replay(&[capture, "-r", rules, "--diff", broken.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(2), "{}", broken.display());
    }
}

/// A captured event is a test case that passes.
fn cases(dir: &Path, capture: &str, rules: &str) {
    let output = replay(&[capture, "-r", rules, "--to-cases", "2"]);
    let file = dir.join("made.cases.yaml");
    fs::write(&file, &output.stdout).unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.matches("- name:").count() >= 4, "{text}");
    let tested = rules_test(&file);
    assert!(tested.status.success(), "{}\n{text}", String::from_utf8_lossy(&tested.stdout));
}

fn what_was_recorded_before_a_crash_is_there() {
    let dir = tempfile::Builder::new().prefix("fnc").tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap();
    let capture = path.join("capture");
    let capture = capture.to_str().unwrap();
    let mut recorder = Falconet::start(["record", "-o", capture, "--events", "openat", "--no-env"]);
    recorder.wait_for_log("ready", |line| line.starts_with("ready"));
    let mark = path.join("mark");
    let secret = Command::new("/bin/sh")
        .env("TOKEN", "falconet-secret-4711")
        .arg("-c")
        .arg(format!("echo > {}; cat {}", mark.display(), mark.display()))
        .status()
        .unwrap();
    assert!(secret.success());
    let rules = path.join("rules.yaml");
    let text = "- rule: marked\n  desc: d\n  condition: evt.type in (openat, connect) and fd.name endswith /mark\n  output: x %proc.name %proc.env\n  priority: INFO\n- rule: blind\n  desc: d\n  condition: evt.type = connect\n  output: x\n  priority: INFO\n";
    fs::write(&rules, text).unwrap();
    // Once a second what there is goes to the disk.
    let marked =
        || stdout(&replay(&[capture, "-r", rules.to_str().unwrap()])).iter().any(|l| l.contains("x cat"));
    support::eventually(|| marked().then_some(())).expect("what happened is on the disk");
    recorder.kill();
    let output = replay(&[capture, "-r", rules.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let lines = stdout(&output);
    assert!(lines.iter().any(|line| line.contains("x cat")), "{lines:#?}\n{said}");
    assert!(!lines.iter().any(|line| line.contains("falconet-secret")), "{lines:#?}");
    for note in ["did not end in order", "--no-env", "\"blind\"", "does not hold: connect"] {
        assert!(said.contains(note), "{note}: {said}");
    }
    let again = Command::new(env!("CARGO_BIN_EXE_falconet"))
        .args(["record", "-o", capture, "--events", "openat"])
        .output()
        .unwrap();
    assert_eq!(again.status.code(), Some(73), "{}", String::from_utf8_lossy(&again.stderr));
}

fn a_capture_is_replayed_without_rights() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("rules.yaml");
    let text = "- rule: shadow\n  desc: d\n  condition: evt.type=openat and fd.name=/etc/shadow\n  output: x %container.name %user.name %proc.cmdline %evt.num\n  priority: INFO\n";
    fs::write(&rules, text).unwrap();
    let rules = rules.to_str().unwrap();
    let capture = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/captures/story.capture");
    let options = ["-o", "append_output=[]", "-o", "time_format_iso_8601=true"];
    let mut arguments = vec![capture, "-r", rules];
    arguments.extend(options);
    let output = replay(&arguments);
    let line = "2023-11-14T22:13:28.000000000+0000: Informational x web admin cat /etc/shadow 2";
    assert_eq!(stdout(&output), [line], "{}", String::from_utf8_lossy(&output.stderr));

    let event = replay(&[&arguments[..], &["--event", "2"]].concat());
    let event = stdout(&event);
    assert!(event.contains(&"fd.name: /etc/shadow".to_owned()), "{event:#?}");
    // What is printed of an event is an event for those who write rules.
    let file = dir.path().join("event.cases.yaml");
    let case =
        format!("rules: rules.yaml\ncases:\n- fires: shadow\n  event:\n    {}\n", event.join("\n    "));
    fs::write(&file, &case).unwrap();
    let tested = rules_test(&file);
    assert!(tested.status.success(), "{}\n{case}", String::from_utf8_lossy(&tested.stdout));

    // Cut off within its last block: what is before it is there, and what is missing is told.
    let bytes = fs::read(capture).unwrap();
    let cut = dir.path().join("cut");
    fs::write(&cut, &bytes[..bytes.len() - 5]).unwrap();
    arguments[0] = cut.to_str().unwrap();
    let output = replay(&arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("cut off"), "{said}");
    fs::write(&cut, b"something else").unwrap();
    let output = replay(&arguments);
    assert_eq!(output.status.code(), Some(66), "{}", String::from_utf8_lossy(&output.stderr));
}

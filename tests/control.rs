//! The control socket of the real binary: what happens around a rule is reported while a client listens, near misses that the kernel
//! would not tell of included; reload and status by the command line.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use support::need::Need;
use support::sensor::Falconet;

support::harness::tests! {
    near_misses_are_told_while_somebody_watches needs Need::Sensor;
    reload_and_status_by_the_command_line needs Need::Sensor;
}

/// `falconet rules …` with the socket of a sensor.
fn command(state: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_falconet"));
    command.arg("rules").args(arguments).arg("--socket").arg(state.join("control.sock"));
    command
}

fn ask(state: &Path, arguments: &[&str]) -> Output {
    command(state, arguments).output().unwrap()
}

/// A number of the metrics end.
fn metric(falconet: &Falconet, name: &str) -> u64 {
    let line = falconet.wait_for_log("intake", |line| line.trim_start().starts_with("intake"));
    let address = line.split("http://").nth(1).unwrap().split(' ').next().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let line =
        answer.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name} in {answer}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// A client that is killed with the test.
struct Client(Child);

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn near_misses_are_told_while_somebody_watches() {
    let dir = tempfile::Builder::new().prefix("fnw").tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap();
    let path = path.to_str().unwrap();
    // Only this program of this machine can come near.
    let program = format!("{path}/fnwatched");
    fs::copy("/bin/cat", &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["secret", "other"] {
        fs::write(format!("{path}/{name}"), "").unwrap();
    }
    let rules = format!("{path}/rules.yaml");
    let text = format!(
        "- rule: secret read\n  desc: d\n  condition: >\n    evt.type = openat and fd.name = {path}/secret and proc.name = fnwatched\n  \
         output: o\n  priority: INFO\n- rule: off\n  desc: d\n  condition: evt.type = rename and proc.name = never\n  output: o\n  \
         priority: INFO\n  enabled: false\n"
    );
    fs::write(&rules, &text).unwrap();
    let state = tempfile::tempdir().unwrap();
    let socket = format!("control_socket={}", state.path().join("control.sock").display());
    let sensor = Falconet::with_arguments("run", state.path(), &[&socket], &["-r", &rules]);
    sensor.wait_for_log("ready", |line| line.starts_with("ready"));

    let mut client =
        command(state.path(), &["watch", "secret read", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(client.stdout.take().unwrap())
        .lines()
        .map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let client = Client(client);
    assert_eq!(lines.next().unwrap()["reply"], "watching");
    // Without a locale and a library path: each file looked for would be a near miss, and only so many are told in a second.
    let read = |name: &str| {
        let file = format!("{path}/{name}");
        assert!(Command::new(&program).arg(file).env_clear().status().unwrap().success());
    };
    read("other");
    read("secret");
    // The program also opens its libraries, which are near misses, too.
    let other = format!("{path}/other");
    let mut about =
        lines.filter(|line| line["sight"] == "match" || line["leaf"]["actual"][0]["value"] == other.as_str());
    let miss = about.next().unwrap();
    assert_eq!(
        (&miss["sight"], &miss["seen"]["process"]),
        (&"near_miss".into(), &"fnwatched".into()),
        "{miss}"
    );
    assert_eq!(miss["leaf"]["text"], format!("fd.name = {path}/secret"));
    let place = miss["leaf"]["place"].as_str().unwrap();
    assert!(place.starts_with(&format!("{rules}:4:")), "{place}");
    let hit = about.next().unwrap();
    assert_eq!((&hit["sight"], &hit["event"]), (&"match".into(), &"openat".into()), "{hit}");
    drop(about);
    drop(client);

    // The kernel drops again what no rule can match.
    let filtered = metric(&sensor, "falconet_probe_filtered_total{event=\"openat\"}");
    let closed = support::eventually(|| {
        read("other");
        (metric(&sensor, "falconet_probe_filtered_total{event=\"openat\"}") > filtered).then_some(())
    });
    assert!(closed.is_some(), "the kernel's filter stays open");

    let unknown = ask(state.path(), &["watch", "secret rea"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&unknown.stderr).contains("did you mean \"secret read\"?"),
        "{unknown:?}"
    );
}

fn reload_and_status_by_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let rules = dir.path().join("r.yaml");
    let rule = |name: &str| {
        format!(
            "- rule: {name}\n  desc: d\n  condition: evt.type = openat and proc.name = never\n  output: o\n  priority: INFO\n"
        )
    };
    fs::write(&rules, rule("one")).unwrap();
    let state = tempfile::tempdir().unwrap();
    let socket = format!("control_socket={}", state.path().join("control.sock").display());
    let options = [socket.as_str(), "watch_config_files=false"];
    let sensor = Falconet::with_arguments("run", state.path(), &options, &["-r", rules.to_str().unwrap()]);
    sensor.wait_for_log("ready", |line| line.starts_with("ready"));

    fs::write(&rules, [rule("one"), rule("two")].concat()).unwrap();
    let done = ask(state.path(), &["reload"]);
    assert!(done.status.success(), "{done:?}");
    assert_eq!(String::from_utf8_lossy(&done.stdout), "2 rules of 1 files are in use\n");
    fs::write(&rules, "- rule: two\n  condition: ((\n").unwrap();
    let refused = ask(state.path(), &["reload"]);
    assert_eq!(refused.status.code(), Some(65), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("LOAD_ERR_"), "{refused:?}");
    let status = String::from_utf8(ask(state.path(), &["status"]).stdout).unwrap();
    assert!(
        status.contains("(2 loads, 1 failed)") && status.contains("not in use: ") && status.contains(" two"),
        "{status}"
    );
    assert_eq!(metric(&sensor, "falconet_rules_failing"), 1);

    drop(sensor);
    let gone = ask(dir.path(), &["status"]);
    assert_eq!(gone.status.code(), Some(69), "{gone:?}");
}

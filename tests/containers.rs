//! The fixture itself: containers run, are seen and end; the other helpers do what they say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use support::containerd::Containerd;
use support::http::HttpServer;
use support::need::Need;
use support::sensor::Falconet;

support::harness::tests! {
    a_container_runs_and_prints_hello needs Need::Containerd;
    a_container_is_started_entered_and_killed needs Need::Containerd;
    a_restart_of_the_sensor_is_not_news_of_containers needs Need::Sensor, Need::Containerd;
    containers_are_told_whatever_their_cgroup needs Need::Sensor, Need::Containerd;
    the_binary_answers_and_its_end_is_seen;
    the_http_server_remembers_and_answers;
}

fn a_container_runs_and_prints_hello() {
    let containerd = Containerd::start();
    assert_eq!(containerd.run(&[], &["/bin/echo", "hello"]), "hello\n");
    let shown =
        containerd.run(&["--env", "MINE=1"], &["/bin/sh", "-c", "echo $MINE $FROM_IMAGE; cat /etc/passwd"]);
    assert!(shown.starts_with("1 yes\nroot:x:0:0:"), "{shown}");
}

fn a_container_is_started_entered_and_killed() {
    let containerd = Containerd::start();
    let container = containerd.start_container(&["--label", "app=web"], &["/bin/sleep", "600"]);
    let cgroup = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap();
    assert!(cgroup.contains(&container.id), "{cgroup}");
    let config = fs::read_to_string(container.bundle().join("config.json")).unwrap();
    assert!(config.contains("/bin/sleep"), "{config}");
    assert_eq!(container.exec(&["/bin/echo", "inside"]), "inside\n");
    let proc = format!("/proc/{}", container.pid());
    container.kill();
    assert!(!fs::exists(proc).unwrap());
}

const RULES: &str = r"
- rule: told
  desc: what is told of containers
  condition: evt.type = container
  output: told %container.id
  priority: INFO
- rule: read
  desc: who reads the file
  condition: evt.type in (open, openat, openat2) and fd.name = /etc/shadow and (container.id != host or proc.name = cat-of-host)
  output: read %container.id name=%container.name type=%container.type.
  priority: INFO
";

/// A sensor with these rules that prints alerts.
fn sensor(state: &Path, socket: &Path, options: &[&str]) -> Falconet {
    let rules = state.join("rules.yaml");
    fs::write(&rules, RULES).unwrap();
    let socket = format!("container_engines.containerd.sockets[]={}", socket.display());
    let options = [&["json_output=false", socket.as_str()], options].concat();
    let rules = ["-r", rules.to_str().unwrap()];
    let sensor = Falconet::with_arguments("run", state, &options, &rules);
    sensor.wait_for_log("ready", |line| line.starts_with("ready"));
    sensor
}

/// How often the sensor told of this container.
fn told(sensor: &Falconet, id: &str) -> usize {
    let line = format!("told {}", &id[..12]);
    sensor.lines().iter().filter(|l| l.contains(&line)).count()
}

fn a_restart_of_the_sensor_is_not_news_of_containers() {
    let containerd = Containerd::start();
    let state = tempfile::tempdir().unwrap();
    let before = containerd.start_container(&[], &["/bin/sleep", "600"]);
    let mut first = sensor(state.path(), &containerd.socket(), &[]);
    support::eventually(|| (told(&first, &before.id) == 1).then_some(())).expect("told once");
    let during = containerd.start_container(&[], &["/bin/sleep", "600"]);
    support::eventually(|| (told(&first, &during.id) == 1).then_some(())).expect("told");
    assert!(first.interrupt().success());
    // One more starts while there is no sensor.
    let between = containerd.start_container(&[], &["/bin/sleep", "600"]);
    let mut second = sensor(state.path(), &containerd.socket(), &[]);
    support::eventually(|| (told(&second, &between.id) == 1).then_some(())).expect("told");
    let after = containerd.start_container(&[], &["/bin/sleep", "600"]);
    support::eventually(|| (told(&second, &after.id) == 1).then_some(())).expect("told");
    assert!(second.interrupt().success());
    assert_eq!([&before, &during].map(|c| told(&second, &c.id)), [0, 0]);
    assert!(!second.log().iter().any(|line| line.contains("no socket of a container runtime")));
    // Nobody wants to hear of those that were there.
    let other = tempfile::tempdir().unwrap();
    let nobody = ["cri", "docker", "podman"].map(|engine| format!("container_engines.{engine}.sockets=[]"));
    let options = [&["container_found=false"], nobody.each_ref().map(String::as_str).as_slice()].concat();
    let mut third = sensor(other.path(), Path::new("/none/containerd.sock"), &options);
    assert!(third.log().iter().any(|line| line.contains("no socket of a container runtime")));
    let last = containerd.start_container(&[], &["/bin/sleep", "600"]);
    support::eventually(|| (told(&third, &last.id) == 1).then_some(())).expect("told");
    assert!(third.interrupt().success());
    assert_eq!([&before, &during, &between, &after].map(|c| told(&third, &c.id)), [0; 4]);
}

fn containers_are_told_whatever_their_cgroup() {
    let containerd = Containerd::start();
    let state = tempfile::tempdir().unwrap();
    let read = "cat /etc/shadow >/dev/null";
    // In a cgroup of any name, before the sensor and after its start.
    let number = std::process::id();
    let (early, late) = (format!("nightly-backup-{number}"), format!("weekly-backup-{number}"));
    let cgroup = |name: &str| format!("/falconet-test-{number}/{name}");
    let waits = "until [ -e /go ]; do sleep 1; done; cat /etc/shadow >/dev/null; sleep 600";
    let running = containerd.start_named(&early, &["--cgroup", &cgroup("a")], &["/bin/sh", "-c", waits]);
    let mut sensor = sensor(state.path(), &containerd.socket(), &[]);
    running.exec(&["/bin/sh", "-c", read]);
    containerd.run_as(&late, &["--cgroup", &cgroup("b")], &["/bin/sh", "-c", read]);
    for name in [&early, &late] {
        let line = format!("read {name} name={name} type=containerd.");
        sensor.wait_for(&line, |l| l.contains(&line));
    }
    // The cgroup's parent, which the runtime made too, is the host's, and so is one with the name of a container.
    let hierarchy = Path::new("/sys/fs/cgroup/freezer");
    let root = if hierarchy.is_dir() { hierarchy } else { Path::new("/sys/fs/cgroup") };
    let by_hand = root.join(format!("falconet-test-{number}")).join("fa1c".repeat(16));
    fs::create_dir(&by_hand).unwrap();
    let copy = state.path().join("cat-of-host");
    fs::copy("/bin/cat", &copy).unwrap();
    for place in [by_hand.as_path(), by_hand.parent().unwrap()] {
        let script =
            format!("echo $$ > {}/cgroup.procs && exec {} /etc/shadow", place.display(), copy.display());
        let status = Command::new("/bin/sh").args(["-c", &script]).stdout(Stdio::null()).status();
        assert!(status.unwrap().success(), "{script}");
    }
    let host = "read host name=host type=host.";
    support::eventually(|| (sensor.lines().iter().filter(|l| l.contains(host)).count() == 2).then_some(()))
        .expect("both are the host's");
    let line = format!("read {early} name={early} type=containerd.");
    let read_inside = |times: usize| {
        let count = || sensor.lines().iter().filter(|l| l.contains(&line)).count();
        support::eventually(|| (count() == times).then_some(()))
            .unwrap_or_else(|| panic!("{} times", count()));
    };
    // Who leaves its cgroup for the root of the hierarchy stays in the container.
    let pid = running.pid().to_string();
    fs::write(root.join("cgroup.procs"), &pid).unwrap();
    fs::write(format!("/proc/{pid}/root/go"), "").unwrap();
    read_inside(2);
    // And who enters its namespaces is in it.
    let status = Command::new("nsenter").args(["-t", &pid, "-m", "-p", "/bin/sh", "-c", read]).status();
    assert!(status.unwrap().success());
    read_inside(3);
    assert!(sensor.interrupt().success());
    drop(running);
    let _ = fs::remove_dir(&by_hand);
}

fn the_binary_answers_and_its_end_is_seen() {
    let mut falconet = Falconet::start(["version"]);
    let line = falconet.wait_for("version", |line| line.starts_with("falconet version: "));
    assert!(line.ends_with(env!("CARGO_PKG_VERSION")), "{line}");
    assert!(falconet.wait().success());
    let mut wrong = Falconet::start(["no-such-command"]);
    assert_eq!(wrong.wait().code(), Some(64), "{:?}", wrong.log());
}

fn the_http_server_remembers_and_answers() {
    let server = HttpServer::start();
    server.answer(503, &[("retry-after", "2")]);
    let send = || {
        let mut stream = TcpStream::connect(server.address).unwrap();
        let request =
            b"POST /in?a=b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 7\r\n\r\n{\"a\":1}";
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let first = send();
    assert!(first.starts_with("HTTP/1.1 503") && first.contains("retry-after: 2"), "{first}");
    assert!(send().starts_with("HTTP/1.1 200"));
    let received = server.wait_for(2, |request| request.target == "/in?a=b");
    assert_eq!((received[1].method.as_str(), received[1].json()["a"].as_i64()), ("POST", Some(1)));
    assert_eq!(received[0].headers["host"], "x");
}

//! The fixture itself: containers run, are seen and end; the other helpers do what they say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use support::containerd::Containerd;
use support::http::HttpServer;
use support::need::Need;
use support::sensor::Falconet;

support::harness::tests! {
    a_container_runs_and_prints_hello needs Need::Containerd;
    a_container_is_started_entered_and_killed needs Need::Containerd;
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

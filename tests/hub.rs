//! The hub by itself: what real Falcos send is kept, seen and forwarded, also over a crash.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use support::http::HttpServer;
use support::sensor::Falconet;

support::harness::tests! {
    falcos_alerts_are_forwarded;
    alerts_are_taken_until_the_very_end;
    a_crash_between_the_answer_and_the_delivery_loses_nothing;
}

/// As Falco's `http_output` sends it.
const ALERT: &str = r#"{"hostname":"node1","output":"14:22:42.070202000: Informational Container spawned (name=web)","output_fields":{"container.id":"1376fe875695","container.name":"web","evt.time":1763994162070202000,"user.name":null},"priority":"Informational","rule":"Container Spawned","source":"syscall","tags":["container","lifecycle"],"time":"2025-11-24T14:22:42.070202000Z"}"#;

/// Where a running hub takes alerts.
fn intake(falconet: &Falconet) -> String {
    let line = falconet.wait_for_log("intake", |line| line.trim_start().starts_with("intake"));
    falconet.wait_for_log("ready", |line| line.starts_with("ready"));
    line.split("http://").nth(1).unwrap().split(' ').next().unwrap().to_owned()
}

/// Posts as Falco does; the status line.
fn post(address: &str, path: &str, body: &str) -> String {
    try_post(address, path, body).unwrap()
}

/// The same where the hub may be gone.
fn try_post(address: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: falcosecurity/falco\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    answer.lines().next().map(ToOwned::to_owned).ok_or_else(|| ErrorKind::UnexpectedEof.into())
}

fn falcos_alerts_are_forwarded() {
    let state = tempfile::tempdir().unwrap();
    let webhook = HttpServer::start();
    let address = format!("webhook.address={}", webhook.url("/"));
    let mut hub = Falconet::with_state("hub", state.path(), &[&address, "json_output=true"]);
    let intake = intake(&hub);
    assert!(post(&intake, "/any/path", ALERT).contains("200"));
    assert!(post(&intake, "/", "{}").contains("400"));
    let received = webhook.wait_for(1, |r| r.method == "POST");
    assert_eq!(received[0].json()["output_fields"]["container.name"], "web");
    let line = hub.wait_for("the alert", |line| line.contains("Container Spawned"));
    assert_eq!(line, ALERT);
    assert!(hub.interrupt().success());
}

/// SIGTERM while a destination does not answer and a client posts on and on.
fn alerts_are_taken_until_the_very_end() {
    let state = tempfile::tempdir().unwrap();
    // Takes requests, and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("webhook.address=http://{}/", silent.local_addr().unwrap());
    let mut hub = Falconet::with_state("hub", state.path(), &[&address]);
    let intake = intake(&hub);
    let web = hub.wait_for_log("web app", |line| line.trim_start().starts_with("web app"));
    let web = web.split("http://").nth(1).unwrap().split(' ').next().unwrap().to_owned();

    let mut taken = 0;
    let mut post_one = || {
        let body = ALERT.replace("name=web", &format!("name=web{taken}"));
        let answer = try_post(&intake, "/", &body)?;
        assert!(answer.contains("200"), "{answer}");
        taken += 1;
        Ok::<_, std::io::Error>(())
    };
    post_one().unwrap();
    // The request that holds the output up at the end.
    let _held = silent.accept().unwrap();
    hub.signal(libc::SIGTERM);
    // The web app goes first: from here on the process is ending.
    while TcpStream::connect(&web).is_ok() {
        post_one().unwrap();
    }
    // The output still waits for its answer, and the intake takes alerts.
    for _ in 0..10 {
        post_one().unwrap();
    }
    while post_one().is_ok() {}
    assert!(hub.wait().success());
    let said = hub.log().join("\n");
    assert!(said.contains(&format!("alerts: {taken} taken in, {taken} kept")), "{taken} taken; {said}");

    // All of it is there after a restart.
    let webhook = HttpServer::start();
    let address = format!("webhook.address={}", webhook.url("/"));
    let hub = Falconet::with_state("hub", state.path(), &[&address]);
    hub.wait_for_log("ready", |line| line.starts_with("ready"));
    let delivered = webhook.wait_for(taken, |r| r.method == "POST");
    let messages: BTreeSet<String> =
        delivered.iter().map(|r| r.json()["output"].as_str().unwrap().to_owned()).collect();
    for n in 0..taken {
        let wanted = format!("(name=web{n})");
        assert!(messages.iter().any(|message| message.ends_with(&wanted)), "no {wanted}");
    }
}

fn a_crash_between_the_answer_and_the_delivery_loses_nothing() {
    let state = tempfile::tempdir().unwrap();
    // Refuses everything, so that nothing is delivered before the crash.
    let webhook = HttpServer::start();
    let port = webhook.address.port();
    let address = format!("webhook.address={}", webhook.url("/"));
    drop(webhook);
    let mut hub = Falconet::with_state("hub", state.path(), &[&address]);
    let first = intake(&hub);
    for n in 0..50 {
        let body = ALERT.replace("name=web", &format!("name=web{n}"));
        assert!(post(&first, "/", &body).contains("200"));
    }
    hub.kill();

    let webhook = HttpServer::start_at(port);
    let hub = Falconet::with_state("hub", state.path(), &[&address]);
    intake(&hub);
    for n in 0..50 {
        let wanted = format!("(name=web{n})");
        webhook.wait_for(1, |r| String::from_utf8_lossy(&r.body).contains(&wanted));
    }
}

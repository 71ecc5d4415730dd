//! The whole way of an event, by the real binary with real containers: a container starts, a rule fires, and it is seen on
//! standard output, at a webhook and in Teams, complete and in time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::containerd::{Containerd, new_id};
use support::http::HttpServer;
use support::need::Need;
use support::sensor::Falconet;

support::harness::tests! {
    a_container_is_told_everywhere needs Need::Sensor, Need::Containerd;
    no_start_is_missed_and_none_lacks_its_name needs Need::Sensor, Need::Containerd;
    the_alert_comes_within_a_second needs Need::Sensor, Need::Containerd;
}

/// What the README promises from the start of a container to its alert.
const LATENCY: Duration = Duration::from_secs(1);

/// A sensor that is ready, with JSON alerts on its standard output.
fn sensor(state: &Path, options: &[&str]) -> Falconet {
    let options: Vec<&str> = ["json_output=true"].iter().chain(options).copied().collect();
    let falconet = Falconet::with_state("run", state, &options);
    falconet.wait_for_log("ready", |line| line.trim_start().starts_with("ready"));
    falconet
}

/// One test at a time: each sensor sees the containers of all, and the load of one would be the latency of another.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The alerts of a rule so far.
fn alerts(falconet: &Falconet, rule: &str) -> Vec<Value> {
    falconet
        .lines()
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|alert| alert["rule"] == rule)
        .collect()
}

/// The first alert of the rule that `wanted` accepts.
fn alert(falconet: &Falconet, rule: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let line = falconet.wait_for(rule, |line| {
        serde_json::from_str::<Value>(line).is_ok_and(|alert| alert["rule"] == rule && wanted(&alert))
    });
    serde_json::from_str(&line).unwrap()
}

fn a_container_is_told_everywhere() {
    let _alone = alone();
    let containerd = Containerd::start();
    let state = tempfile::tempdir().unwrap();
    let (webhook, teams) = (HttpServer::start(), HttpServer::start());
    let webhook_address = format!("webhook.address={}", webhook.url("/in"));
    let teams_url = format!("teams.webhookurl={}", teams.url("/workflows/x?sig=a%2Bb"));
    let mut falconet = sensor(state.path(), &[&webhook_address, &teams_url]);

    let container = containerd.start_container(&[], &["/bin/sleep", "600"]);
    let seen = alert(&falconet, "Container spawned", |a| is_about(a, &container.id));
    let fields = &seen["output_fields"];
    let image =
        format!("{}:{}", text(&fields["container.image.repository"]), text(&fields["container.image.tag"]));
    assert_eq!(image, support::image::NAME, "{seen}");
    let line = text(&seen["output"]);
    assert!(line.contains(&format!("container_name={}", text(&fields["container.name"]))), "{line}");

    let posted = webhook.wait_for(1, |r| is_about(&r.json(), &container.id));
    assert_eq!(posted[0].json()["output_fields"], seen["output_fields"]);
    assert!(posted[0].json()["uuid"].is_string());

    let cards = teams.wait_for(1, |r| String::from_utf8_lossy(&r.body).contains(&container.id[..12]));
    assert_eq!(cards[0].target, "/workflows/x?sig=a%2Bb");
    let card = &cards[0].json()["attachments"][0];
    assert_eq!(card["contentType"], "application/vnd.microsoft.card.adaptive");
    assert_eq!(card["content"]["type"], "AdaptiveCard");
    assert!(cards[0].body.len() <= 18 * 1024);

    drop(container);
    assert!(falconet.interrupt().success());
    let summary = falconet.log().join("\n");
    assert!(summary.contains("alerts"), "{summary}");
}

fn no_start_is_missed_and_none_lacks_its_name() {
    let _alone = alone();
    let containerd = Containerd::start();
    let state = tempfile::tempdir().unwrap();
    let falconet = sensor(state.path(), &[]);

    // In a row: each starts, runs true and ends at once.
    let mut started: HashSet<String> = (0..120).map(|_| new_id()).collect();
    let ids: Vec<String> = started.iter().cloned().collect();
    let (in_a_row, at_once) = ids.split_at(100);
    for id in in_a_row {
        containerd.run_as(id, &[], &["/bin/sh", "-c", ":"]);
    }
    std::thread::scope(|scope| {
        for id in at_once {
            scope.spawn(|| containerd.run_as(id, &[], &["/bin/sh", "-c", ":"]));
        }
    });

    support::eventually(|| {
        let told = alerts(&falconet, "Container spawned");
        started.retain(|id| !told.iter().any(|alert| is_about(alert, id)));
        started.is_empty().then_some(())
    });
    assert!(started.is_empty(), "not told: {started:?}");
    for alert in alerts(&falconet, "Container spawned") {
        let fields = &alert["output_fields"];
        for field in ["container.id", "container.name", "container.image.repository", "container.image.tag"] {
            let value = fields[field].as_str().unwrap_or_default();
            assert!(!value.is_empty() && value != "<NA>", "{field} in {alert}");
        }
        assert!(!text(&alert["output"]).contains("container_name=<NA>"), "{alert}");
    }
}

/// Whether the alert names this container.
fn is_about(alert: &Value, id: &str) -> bool {
    alert["output_fields"]["container.id"] == id[..12]
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

fn the_alert_comes_within_a_second() {
    let _alone = alone();
    let containerd = Containerd::start();
    let state = tempfile::tempdir().unwrap();
    let falconet = sensor(state.path(), &[]);
    let mut waits = Vec::new();
    for _ in 0..20 {
        let container = containerd.start_container(&[], &["/bin/sleep", "600"]);
        // `ctr run --detach` returns when the container's process has started.
        let started = Instant::now();
        alert(&falconet, "Container spawned", |a| is_about(a, &container.id));
        waits.push(started.elapsed());
    }
    waits.sort();
    assert!(waits[waits.len() - 1] < LATENCY, "{waits:?}");
}

//! All outputs together on a real alert log.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;

use super::registry::Destinations;
use super::shared::SharedConfig;
use super::testing::{Server, alert, answer};
use super::{OutputStatus, OutputsConfig, Running, start};
use crate::alert::log::{AlertLog, DeliveryState, LogConfig};
use crate::alert::{Alert, now};

/// The alert with number `n`, young enough for the log's limit of age.
fn fresh(n: u32) -> Alert {
    Alert { time: now(), received: now(), ..alert(n) }
}

fn log(directory: &Path) -> AlertLog {
    let config = LogConfig { path: directory.join("alerts.db"), ..LogConfig::default() };
    AlertLog::open(&config).unwrap()
}

fn config(directory: &Path, server: &Server) -> OutputsConfig {
    let destinations: Destinations = serde_json::from_value(json!({
        "stdout_output": {"enabled": false},
        "file_output": {"enabled": true, "filename": directory.join("events.txt")},
        "webhook": {"address": server.url("/hook").reveal()},
        "teams": {"webhookurl": server.url("/teams").reveal(), "minimumpriority": "critical"},
    }))
    .unwrap();
    OutputsConfig { shared: SharedConfig { json_output: true, ..SharedConfig::default() }, destinations }
}

async fn until(running: &Running, done: impl Fn(&OutputStatus) -> bool) {
    let all = async {
        while !running.status().iter().all(&done) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let reached = tokio::time::timeout(Duration::from_secs(20), all).await;
    assert!(reached.is_ok(), "stuck: {:?}", running.status());
}

#[tokio::test]
async fn every_alert_is_accounted_for_by_every_output_across_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let server = Server::start(|_, request| match request.json()["rule"].as_str() {
        Some("Rule 3") => answer(404, "no such place"),
        _ => answer(200, ""),
    })
    .await;
    let config = config(directory, &server);

    let first = log(directory);
    let (shutdown, stopped) = watch::channel(false);
    let running = start(&config, first.clone(), stopped).unwrap();
    assert_eq!(
        running.status().iter().map(|s| s.name.as_str()).collect::<Vec<_>>(),
        ["file", "webhook", "teams"]
    );
    // Appended before the tasks have run for the first time: a new output must not begin after it.
    first.append(vec![fresh(1), fresh(2), fresh(3)]).await.unwrap();
    until(&running, |s| s.delivered + s.filtered + s.dead == 3).await;
    shutdown.send_replace(true);
    running.join().await;

    first.append(vec![fresh(4)]).await.unwrap();
    first.close().await.unwrap();

    let second = log(directory);
    let (shutdown, stopped) = watch::channel(false);
    let running = start(&config, second.clone(), stopped).unwrap();
    until(&running, |s| s.delivered + s.filtered == 1 && s.waiting == 0).await;

    let lines = std::fs::read_to_string(directory.join("events.txt")).unwrap();
    let rules: Vec<serde_json::Value> = lines
        .lines()
        .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["rule"].clone())
        .collect();
    assert_eq!(rules, ["Rule 1", "Rule 2", "Rule 3", "Rule 4"]);
    let hooks = server.received();
    assert_eq!(hooks.len(), 4);
    assert!(hooks.iter().all(|r| r.target == "/hook"), "Warning is below what Teams asked for");

    let deliveries = second.deliveries(3).await.unwrap();
    let states: Vec<_> = deliveries.iter().map(|(name, d)| (name.as_str(), d.state)).collect();
    assert_eq!(states, [("teams", DeliveryState::Filtered), ("webhook", DeliveryState::Dead)]);
    let dead = second.dead_letters(None, 10).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].error.as_deref(), Some("answered 404 Not Found: no such place"));

    assert_eq!(second.replay("webhook", vec![dead[0].entry.seq]).await.unwrap(), 1);
    until(&running, |s| s.name != "webhook" || s.dead == 1).await;
    assert_eq!(server.received().len(), 5);
    shutdown.send_replace(true);
    running.join().await;
    assert_eq!(second.cursor("webhook").await.unwrap(), 4);
    second.close().await.unwrap();
}

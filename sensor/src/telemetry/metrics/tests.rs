//! Numbers as Prometheus scrapes them.

use super::*;
use crate::engine::Stats;
use crate::probe::EventCounters;
use crate::telemetry::Exposition;
use crate::telemetry::status::{OutputState, OutputStatus};

fn has(text: &str, line: &str) {
    assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
}

#[test]
fn tables_are_shown_as_the_event_thread_noted_them() {
    let stats = Stats::default();
    {
        let mut tables = stats.tables.lock().unwrap();
        tables.processes.entries = 7;
        tables.processes.evicted_live = 3;
        tables.processes.not_healed = 4;
        tables.containers.not_asked = 5;
        tables.containers.cgroups_dropped = 6;
    }
    crate::engine::stats::count(&stats.judged);
    let mut out = Exposition::default();
    sensor::engine(&stats, &mut out);
    let text = out.text();
    for line in [
        "falconet_engine_judged_total 1",
        "falconet_processes 7",
        r#"falconet_processes_evicted_total{state="live"} 3"#,
        r#"falconet_processes_healed_total{result="not_found"} 4"#,
        "falconet_containers_not_asked_total 5",
        "falconet_cgroups_dropped_total 6",
    ] {
        has(&text, line);
    }
}

#[test]
fn losses_have_their_reason() {
    let counters = EventCounters { seen: 1, filtered: 2, lost_full: 3, lost_build: 4 };
    let mut out = Exposition::default();
    sensor::probe("openat", counters, &mut out);
    let text = out.text();
    has(&text, r#"falconet_probe_filtered_total{event="openat"} 2"#);
    has(&text, r#"falconet_probe_lost_total{event="openat",reason="full"} 3"#);
    has(&text, r#"falconet_probe_lost_total{event="openat",reason="build"} 4"#);
}

#[test]
fn an_output_that_fails_is_unhealthy_since_a_time() {
    let output = OutputStatus {
        name: "teams".into(),
        state: OutputState::Failing,
        since: 12_000_000_000,
        oldest_waiting: Some(11_500_000_000),
        failed_tries: 9,
        ..OutputStatus::default()
    };
    let mut out = Exposition::default();
    outputs::collect(&output, &mut out);
    let text = out.text();
    for line in [
        r#"falconet_output_healthy{destination="teams"} 0"#,
        r#"falconet_output_state_timestamp_seconds{destination="teams"} 12"#,
        r#"falconet_output_oldest_waiting_timestamp_seconds{destination="teams"} 11"#,
        r#"falconet_output_failed_tries_total{destination="teams"} 9"#,
    ] {
        has(&text, line);
    }
    assert!(!text.contains("last_delivery"), "nothing was delivered yet:\n{text}");
}

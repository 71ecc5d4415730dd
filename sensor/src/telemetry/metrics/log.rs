//! The alert log.

use crate::alert::log::{AlertLog, LogStats};
use crate::telemetry::{Exposition, Kind};

/// The alert log: what was stored, and its state.
pub fn collect(log: &AlertLog, out: &mut Exposition) {
    let family = out.family(
        "falcosecurity_falcosidekick_falco_events_total",
        Kind::Counter,
        "Alerts stored, raised here or received. Beyond 2000 series, host and namespace read (other).",
    );
    for (labels, count) in log.series() {
        // falcosidekick counts the other way round: 1 is Debug.
        let number = (8 - labels.priority as u8).to_string();
        let hostname = if labels.hostname.is_empty() { "unknown" } else { &labels.hostname };
        family.sample(
            &[
                ("hostname", hostname),
                ("rule", &labels.rule),
                ("priority", &number),
                ("priority_raw", labels.priority.lower()),
                ("source", &labels.source),
                ("k8s_ns_name", &labels.namespace),
                // Always empty: a series for each pod there ever was costs Prometheus more than it tells.
                ("k8s_pod_name", ""),
            ],
            count,
        );
    }
    numbers(log.stats(), out);
}

fn numbers(stats: LogStats, out: &mut Exposition) {
    let LogStats {
        head,
        entries,
        oldest,
        bytes,
        max_bytes,
        appended,
        commits,
        duplicates,
        refused,
        unwritten,
        failed_commits,
        queued_own,
        max_queued_own,
        queued_received,
        max_queued_received,
        removed_by_age,
        removed_by_size,
        lost_by_size,
        dead_dropped,
        failing,
    } = stats;
    for (name, help, value) in [
        ("appended_total", "Alerts made durable.", appended),
        ("commits_total", "Transactions that made alerts durable.", commits),
        ("duplicates_total", "Alerts not stored again because their uuid is stored.", duplicates),
        ("refused_total", "Own alerts lost because the queue to the alert log was full.", refused),
        (
            "unwritten_total",
            "Own alerts lost because the alert log could not be written at its end.",
            unwritten,
        ),
        ("failed_commits_total", "Transactions that failed.", failed_commits),
        (
            "lost_by_size_total",
            "Alerts removed by the size limit before every output had them.",
            lost_by_size,
        ),
        ("dead_letters_dropped_total", "Dead letters dropped because there were too many.", dead_dropped),
    ] {
        out.counter(&format!("falconet_alert_log_{name}"), help, value);
    }
    out.family(
        "falconet_alert_log_removed_total",
        Kind::Counter,
        "Old alerts removed that every output had passed.",
    )
    .sample(&[("reason", "age")], removed_by_age)
    .sample(&[("reason", "size")], removed_by_size);
    for (name, help, value) in [
        ("entries", "Alerts stored.", entries),
        ("bytes", "Bytes in use in the database.", bytes),
        ("max_bytes", "Size limit of the database.", max_bytes),
        ("failing", "1 while the alert log cannot be written.", failing.is_some().into()),
    ] {
        out.gauge(&format!("falconet_alert_log_{name}"), help, value);
    }
    for (name, help, own, received) in [
        ("queued_bytes", "Room in use in the queue to the writer.", queued_own, queued_received),
        ("max_queued_bytes", "Limit of the queue to the writer.", max_queued_own, max_queued_received),
    ] {
        out.family(&format!("falconet_alert_log_{name}"), Kind::Gauge, help)
            .sample(&[("alerts", "own")], own)
            .sample(&[("alerts", "received")], received);
    }
    out.gauge("falconet_alert_log_head", "Position of the newest alert.", head);
    if let Some(oldest) = oldest {
        out.gauge(
            "falconet_alert_log_oldest_timestamp_seconds",
            "Arrival of the oldest stored alert.",
            oldest / 1_000_000_000,
        );
    }
}

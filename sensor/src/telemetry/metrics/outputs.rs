//! The outputs, each under its name as `destination`.

use crate::telemetry::status::{OutputState, OutputStatus};
use crate::telemetry::{Exposition, Kind};

/// One output.
pub fn collect(output: &OutputStatus, out: &mut Exposition) {
    let OutputStatus {
        name,
        state,
        since,
        delivered,
        filtered,
        dead,
        lost,
        waiting,
        oldest_waiting,
        failed_tries,
        // A text is for the web app.
        last_error: _,
        last_error_at,
        last_delivery,
    } = output;
    let label = [("destination", name.as_str())];
    for (name, help, count) in [
        ("delivered", "Alerts that the destination took.", delivered),
        ("filtered", "Alerts below the output's minimum priority.", filtered),
        ("dead", "Alerts given up, now in the dead-letter list.", dead),
        ("lost", "Alerts that the log's limits removed before they could be sent.", lost),
        ("failed_tries", "Requests that failed.", failed_tries),
    ] {
        out.family(&format!("falconet_output_{name}_total"), Kind::Counter, help).sample(&label, count);
    }
    let help = "Alerts that the output has not dealt with.";
    out.family("falconet_output_waiting", Kind::Gauge, help).sample(&label, waiting);
    let help = "1 while the output works.";
    let healthy = u8::from(*state == OutputState::Healthy);
    out.family("falconet_output_healthy", Kind::Gauge, help).sample(&label, healthy);
    for (name, help, ns) in [
        ("state", "Since when the output works, or fails.", &Some(*since)),
        ("oldest_waiting", "Arrival of the oldest alert that waits.", oldest_waiting),
        ("last_error", "When a request failed last.", last_error_at),
        ("last_delivery", "When the destination last took something.", last_delivery),
    ] {
        if let Some(ns) = ns {
            out.family(&format!("falconet_output_{name}_timestamp_seconds"), Kind::Gauge, help)
                .sample(&label, ns / 1_000_000_000);
        }
    }
}

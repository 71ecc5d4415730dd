//! The hub's own metrics, and those of the alert log and the process.

use std::sync::atomic::{AtomicU64, Ordering};

use super::exposition::{Exposition, Kind};
use crate::alert::log::AlertLog;
use crate::rules::Priority;

/// What became of a request to the intake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Outcome {
    Accepted,
    /// Not POST.
    Method,
    /// No JSON, or a JSON that is no alert.
    Invalid,
    TooLarge,
    /// A compression that cannot be undone.
    Encoding,
    /// The body did not come in time, or the connection broke.
    Incomplete,
    /// The alert log could not be written.
    Log,
}

const OUTCOMES: [(Outcome, &str); 7] = [
    (Outcome::Accepted, "accepted"),
    (Outcome::Method, "method"),
    (Outcome::Invalid, "invalid"),
    (Outcome::TooLarge, "too_large"),
    (Outcome::Encoding, "encoding"),
    (Outcome::Incomplete, "incomplete"),
    (Outcome::Log, "log"),
];

/// Counters of the intake.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: [AtomicU64; OUTCOMES.len()],
    /// Alerts that were not taken although others of the same request may have been.
    pub refused: AtomicU64,
    pub connections: AtomicU64,
    pub open: AtomicU64,
}

impl Metrics {
    pub fn count(&self, outcome: Outcome) {
        if let Some(counter) = self.requests.get(outcome as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn collect(&self, out: &mut Exposition) {
        let get =
            |outcome: Outcome| self.requests.get(outcome as usize).map_or(0, |n| n.load(Ordering::Relaxed));
        let accepted = get(Outcome::Accepted);
        let all: u64 = OUTCOMES.iter().map(|(outcome, _)| get(*outcome)).sum();
        out.family(
            "falcosecurity_falcosidekick_inputs_total",
            Kind::Counter,
            "Requests to the intake, as falcosidekick counts them.",
        )
        .sample(&[("source", "requests"), ("status", "accepted")], accepted)
        .sample(&[("source", "requests"), ("status", "rejected")], all - accepted);
        let family = out.family(
            "falconet_hub_requests_total",
            Kind::Counter,
            "Requests to the intake by what became of them.",
        );
        for (outcome, word) in OUTCOMES {
            family.sample(&[("result", word)], get(outcome));
        }
        out.counter(
            "falconet_hub_alerts_refused_total",
            "Received alerts that were not taken because they are no alerts.",
            self.refused.load(Ordering::Relaxed),
        );
        out.counter(
            "falconet_hub_connections_total",
            "Connections accepted.",
            self.connections.load(Ordering::Relaxed),
        );
        out.gauge("falconet_hub_connections", "Connections open now.", self.open.load(Ordering::Relaxed));
    }
}

/// The alert log: what was stored, and its state.
pub fn collect_log(log: &AlertLog, out: &mut Exposition) {
    let family = out.family(
        "falcosecurity_falcosidekick_falco_events_total",
        Kind::Counter,
        "Alerts stored, raised here or received. Beyond 2000 series, host and namespace read (other).",
    );
    for (labels, count) in log.series() {
        let (number, word) = priority(labels.priority);
        let hostname = if labels.hostname.is_empty() { "unknown" } else { &labels.hostname };
        family.sample(
            &[
                ("hostname", hostname),
                ("rule", &labels.rule),
                ("priority", number),
                ("priority_raw", word),
                ("source", &labels.source),
                ("k8s_ns_name", &labels.namespace),
                // Always empty: a series for each pod there ever was costs Prometheus more than it tells.
                ("k8s_pod_name", ""),
            ],
            count,
        );
    }
    let stats = log.stats();
    for (name, help, value) in [
        ("appended_total", "Alerts made durable.", stats.appended),
        ("commits_total", "Transactions that made alerts durable.", stats.commits),
        ("duplicates_total", "Alerts not stored again because their uuid is stored.", stats.duplicates),
        ("refused_total", "Alerts lost because the queue to the alert log was full.", stats.refused),
        (
            "lost_by_size_total",
            "Alerts removed by the size limit before every output had them.",
            stats.lost_by_size,
        ),
        (
            "dead_letters_dropped_total",
            "Dead letters dropped because there were too many.",
            stats.dead_dropped,
        ),
    ] {
        out.counter(&format!("falconet_alert_log_{name}"), help, value);
    }
    out.family(
        "falconet_alert_log_removed_total",
        Kind::Counter,
        "Old alerts removed that every output had passed.",
    )
    .sample(&[("reason", "age")], stats.removed_by_age)
    .sample(&[("reason", "size")], stats.removed_by_size);
    for (name, help, value) in [
        ("entries", "Alerts stored.", stats.entries),
        ("bytes", "Bytes in use in the database.", stats.bytes),
        ("max_bytes", "Size limit of the database.", stats.max_bytes),
        ("queued_bytes", "Room in use in the queue to the writer.", stats.queued),
        ("failing", "1 while the alert log cannot be written.", stats.failing.is_some().into()),
    ] {
        out.gauge(&format!("falconet_alert_log_{name}"), help, value);
    }
    if let Some(oldest) = stats.oldest {
        out.gauge(
            "falconet_alert_log_oldest_timestamp_seconds",
            "Arrival of the oldest stored alert.",
            oldest / 1_000_000_000,
        );
    }
}

/// falcosidekick's number (1 = Debug) and word of a priority.
const fn priority(priority: Priority) -> (&'static str, &'static str) {
    match priority {
        Priority::Emergency => ("8", "emergency"),
        Priority::Alert => ("7", "alert"),
        Priority::Critical => ("6", "critical"),
        Priority::Error => ("5", "error"),
        Priority::Warning => ("4", "warning"),
        Priority::Notice => ("3", "notice"),
        Priority::Informational => ("2", "informational"),
        Priority::Debug => ("1", "debug"),
    }
}

/// What Prometheus clients tell of their process, and the version.
pub fn collect_process(out: &mut Exposition) {
    out.family("falconet_build_info", Kind::Gauge, "The running version.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    // Resident pages are the second number.
    let resident = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    if let Some(pages) = resident {
        let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
        out.gauge("process_resident_memory_bytes", "Resident memory.", pages * page);
    }
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let seconds =
        std::time::Duration::new(used.tv_sec.try_into().unwrap_or(0), used.tv_nsec.try_into().unwrap_or(0));
    out.counter("process_cpu_seconds_total", "Processor time used.", seconds.as_secs_f64());
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        out.gauge("process_open_fds", "Open file descriptors.", open.count());
    }
}

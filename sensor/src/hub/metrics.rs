//! What the intake counts.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::telemetry::{Exposition, Kind};

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
    }
}

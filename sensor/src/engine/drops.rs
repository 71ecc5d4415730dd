//! An alert about losses, as Falco raises it: `Falco internal: syscall event drop`, at most one every 30 s.

use std::time::{Duration, Instant};

use serde_json::{Map, json};

use super::internal;
use super::pace::Pace;
use crate::alert::Alert;
use crate::probe::EventCounters;
use crate::rules::Priority;

/// Name of the rule, Falco's.
pub const RULE: &str = "Falco internal: syscall event drop";
/// Falco's `syscall_event_drops.rate` is 0.03333 alerts per second, with a burst of one.
const EVERY: Duration = Duration::from_secs(30);

/// Watches the loss counters.
pub struct Drops {
    before: EventCounters,
    pace: Pace,
}

impl Drops {
    pub fn new(now: Instant) -> Self {
        Self { before: EventCounters::default(), pace: Pace::new(EVERY, now) }
    }

    /// The alert that is due, given the counters of now; call it once a second. What is not told for the rate's sake is told
    /// with the next alert.
    pub fn check(&mut self, counters: EventCounters, now: Instant, hostname: &str) -> Option<Alert> {
        let lost = counters.since(&self.before).lost();
        if lost == 0 {
            // Keeps `n_evts` the count of the time in which the loss happens.
            self.before = counters;
            return None;
        }
        if !self.pace.take(now) {
            return None;
        }
        let before = std::mem::replace(&mut self.before, counters);
        Some(alert(counters.since(&before), hostname))
    }
}

fn alert(came: EventCounters, hostname: &str) -> Alert {
    let lost = came.lost();
    let fields: Map<_, _> = [
        ("n_drops", lost),
        ("n_drops_buffer_total", came.lost_full),
        ("n_drops_scratch_map", came.lost_build),
        ("n_evts", came.seen),
    ]
    .into_iter()
    .map(|(name, n)| (name.to_owned(), json!(n.to_string())))
    .collect();
    internal::alert(
        RULE,
        Priority::Debug,
        &format!("{RULE}. {lost} system calls dropped in last second."),
        fields,
        hostname,
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn counters(seen: u64, lost_full: u64) -> EventCounters {
        EventCounters { seen, filtered: 0, lost_full, lost_build: 0 }
    }

    #[test]
    fn losses_are_told_and_added_up() {
        let start = Instant::now();
        let mut drops = Drops::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(drops.check(counters(100, 0), at(1), "h").is_none());
        let first = drops.check(counters(300, 7), at(2), "h").unwrap();
        assert_eq!(first.output_fields["n_drops"], "7");
        assert_eq!(first.output_fields["n_evts"], "200");
        assert!(
            first.output.ends_with(
                r#"7 system calls dropped in last second. (n_drops="7" n_drops_buffer_total="7" n_drops_scratch_map="0" n_evts="200")"#
            ),
            "{}",
            first.output
        );
        assert_eq!(first.message().split('.').next(), Some(RULE));
        // Too soon: kept for later.
        assert!(drops.check(counters(300, 9), at(3), "h").is_none());
        assert!(drops.check(counters(300, 12), at(4), "h").is_none());
        assert_eq!(drops.check(counters(300, 12), at(40), "h").unwrap().output_fields["n_drops"], "5");
        assert!(drops.check(counters(300, 12), at(90), "h").is_none());
    }
}

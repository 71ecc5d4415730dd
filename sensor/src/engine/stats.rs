//! What the event thread counts; read by metrics, the UI and the summary at the end.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters since the start.
#[derive(Debug, Default)]
pub struct Stats {
    /// Records taken from the lanes.
    pub records: AtomicU64,
    /// Events that rules were asked about.
    pub judged: AtomicU64,
    /// Events that waited for their container's metadata.
    pub held: AtomicU64,
    /// Containers whose wait was ended because too many events waited.
    pub hold_full: AtomicU64,
    /// Time of the newest event judged, ns since the epoch.
    pub last_event: AtomicU64,
    /// Alerts raised.
    pub alerts: AtomicU64,
    /// Alerts lost because the alert log could not keep up.
    pub alerts_lost: AtomicU64,
    /// Records that made no sense.
    pub malformed: AtomicU64,
    /// Processes and containers known.
    pub processes: AtomicU64,
    pub containers: AtomicU64,
    /// Containers that went out without metadata.
    pub incomplete: AtomicU64,
}

/// Adds one.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Reads a counter.
pub fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

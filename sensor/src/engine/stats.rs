//! What the event thread counts; read by metrics, the UI and the summary at the end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::cuts::CutCounters;
use crate::state::{containers, process};

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
    /// Records that were not all there.
    pub cut: CutCounters,
    /// The last look at the tables, see [`Self::tables`].
    pub tables: Mutex<Tables>,
}

/// The numbers of the tables that the event thread keeps.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tables {
    pub processes: process::Stats,
    pub containers: containers::Stats,
}

impl Stats {
    /// The tables as they were at the last tick, a second ago or so.
    pub fn tables(&self) -> Tables {
        *self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the tables; left out when somebody reads them just now, for the event thread does not wait.
    pub(super) fn note(&self, tables: Tables) {
        if let Ok(mut noted) = self.tables.try_lock() {
            *noted = tables;
        }
    }
}

/// Adds one.
pub fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Reads a counter.
pub fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

//! What the event thread counts; read by metrics, the UI and the summary at the end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::cuts::CutCounters;
use super::hold::Waits;
use crate::state::{containers, processes, users};

/// Counters since the start.
#[derive(Debug, Default)]
pub struct Stats {
    /// Records taken from the lanes.
    pub records: AtomicU64,
    /// Events that rules were asked about.
    pub judged: AtomicU64,
    /// Events that waited for what `/proc` tells of their process, for their container's metadata, for names of users and groups.
    pub held_for_process: AtomicU64,
    pub held_for_container: AtomicU64,
    pub held_for_names: AtomicU64,
    /// Waits that were ended because too many events waited.
    pub hold_full: AtomicU64,
    /// Time of the newest event judged, ns since the epoch.
    pub last_event: AtomicU64,
    /// Alerts raised.
    pub alerts: AtomicU64,
    /// Alerts that were not raised because a rule fired too often.
    pub alerts_left_out: AtomicU64,
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
    pub processes: processes::Stats,
    pub containers: containers::Stats,
    pub users: users::Stats,
}

impl Stats {
    /// The counter of events that wait for such an answer.
    pub(super) fn held(&self, waits: Waits) -> &AtomicU64 {
        match waits {
            Waits::Process(_) => &self.held_for_process,
            Waits::Container(_) => &self.held_for_container,
            Waits::Names(_) => &self.held_for_names,
        }
    }

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

//! Counters of the alert log. The writer writes them, everyone reads them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::Seq;

/// The alert log in numbers, since it was opened where not said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Newest durable position.
    pub head: Seq,
    /// Alerts stored now.
    pub entries: u64,
    /// Arrival of the oldest stored alert, ns since the epoch.
    pub oldest: Option<i64>,
    /// Bytes in use in the database file.
    pub bytes: u64,
    pub max_bytes: u64,
    /// Alerts made durable.
    pub appended: u64,
    /// Transactions that made them durable.
    pub commits: u64,
    /// Alerts whose uuid was stored already, not stored again.
    pub duplicates: u64,
    /// Alerts refused by [`super::AlertLog::offer`] because the queue was full: lost.
    pub refused: u64,
    /// Queue space in use, in bytes (at least 4 KiB an alert), and its limit.
    pub queued: u64,
    pub max_queued: u64,
    /// Alerts removed by age and by size, at a time when every output had passed them.
    pub removed_by_age: u64,
    pub removed_by_size: u64,
    /// Alerts removed by the size limit before every output had passed them: lost to those outputs.
    pub lost_by_size: u64,
    /// Dead letters dropped because there were too many or they were too old.
    pub dead_dropped: u64,
    /// Why the last write failed, and since when (ns) writing fails; `None` when it works.
    pub failing: Option<(String, i64)>,
}

/// The live counters.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub entries: AtomicU64,
    /// 0: none.
    pub oldest: AtomicI64,
    pub bytes: AtomicU64,
    pub appended: AtomicU64,
    pub commits: AtomicU64,
    pub duplicates: AtomicU64,
    pub refused: AtomicU64,
    pub removed_by_age: AtomicU64,
    pub removed_by_size: AtomicU64,
    pub lost_by_size: AtomicU64,
    pub dead_dropped: AtomicU64,
    failing: Mutex<Option<(String, i64)>>,
}

impl Counters {
    /// Writing failed; the time of the first failure in a row is kept.
    pub fn fails(&self, reason: String, now: i64) {
        let mut failing = self.failing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let since = failing.as_ref().map_or(now, |(_, since)| *since);
        *failing = Some((reason, since));
    }

    /// Writing works. True when it failed before.
    pub fn works(&self) -> bool {
        self.failing.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take().is_some()
    }

    pub fn snapshot(&self) -> LogStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LogStats {
            entries: get(&self.entries),
            oldest: Some(self.oldest.load(Ordering::Relaxed)).filter(|&ns| ns != 0),
            bytes: get(&self.bytes),
            appended: get(&self.appended),
            commits: get(&self.commits),
            duplicates: get(&self.duplicates),
            refused: get(&self.refused),
            removed_by_age: get(&self.removed_by_age),
            removed_by_size: get(&self.removed_by_size),
            lost_by_size: get(&self.lost_by_size),
            dead_dropped: get(&self.dead_dropped),
            failing: self.failing.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone(),
            ..LogStats::default()
        }
    }
}

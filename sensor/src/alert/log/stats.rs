//! Counters of the alert log. The writer writes them, everyone reads them.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::entry::Seq;

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
    /// Alerts refused by [`super::AlertLog::offer`] because the queue was full or the log closed: lost.
    pub refused: u64,
    /// Alerts taken by [`super::AlertLog::offer`] and never written, because writing failed until the log was closed: lost.
    pub unwritten: u64,
    /// Transactions that failed.
    pub failed_commits: u64,
    /// Room in use in the queue by own alerts, in bytes (at least 4 KiB an alert), and its limit.
    pub queued_own: u64,
    pub max_queued_own: u64,
    /// The same for received alerts.
    pub queued_received: u64,
    pub max_queued_received: u64,
    /// Alerts removed by age and by size, at a time when every output had passed them.
    pub removed_by_age: u64,
    pub removed_by_size: u64,
    /// Alerts removed by the size limit before every output had passed them: lost to those outputs.
    pub lost_by_size: u64,
    /// Dead letters dropped because there were too many or they were too old.
    pub dead_dropped: u64,
    /// Why the last write (or removal of old alerts) failed, and since when (ns) it fails; `None` when all works.
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
    pub unwritten: AtomicU64,
    pub failed_commits: AtomicU64,
    pub removed_by_age: AtomicU64,
    pub removed_by_size: AtomicU64,
    pub lost_by_size: AtomicU64,
    pub dead_dropped: AtomicU64,
    failing: Mutex<Failing>,
}

/// Why something fails, and since when (ns).
type Failure = Option<(String, i64)>;

#[derive(Debug, Default)]
struct Failing {
    write: Failure,
    removal: Failure,
}

/// Notes a failure; the time of the first in a row is kept. True when the reason is a new one.
fn note(failure: &mut Failure, reason: String, now: i64) -> bool {
    let news = failure.as_ref().is_none_or(|(before, _)| *before != reason);
    let since = failure.as_ref().map_or(now, |(_, since)| *since);
    *failure = Some((reason, since));
    news
}

impl Counters {
    /// Writing failed. True when it did not fail before for this reason.
    pub fn write_fails(&self, reason: String, now: i64) -> bool {
        note(&mut self.failing().write, reason, now)
    }

    /// Writing works. True when it failed before.
    pub fn write_works(&self) -> bool {
        self.failing().write.take().is_some()
    }

    /// Removing old alerts failed. True when it did not fail before for this reason.
    pub fn removal_fails(&self, reason: String, now: i64) -> bool {
        note(&mut self.failing().removal, reason, now)
    }

    /// Removing old alerts works.
    pub fn removal_works(&self) {
        self.failing().removal = None;
    }

    fn failing(&self) -> MutexGuard<'_, Failing> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn snapshot(&self) -> LogStats {
        let failing = self.failing();
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        LogStats {
            entries: get(&self.entries),
            oldest: Some(self.oldest.load(Ordering::Relaxed)).filter(|&ns| ns != 0),
            bytes: get(&self.bytes),
            appended: get(&self.appended),
            commits: get(&self.commits),
            duplicates: get(&self.duplicates),
            refused: get(&self.refused),
            unwritten: get(&self.unwritten),
            failed_commits: get(&self.failed_commits),
            removed_by_age: get(&self.removed_by_age),
            removed_by_size: get(&self.removed_by_size),
            lost_by_size: get(&self.lost_by_size),
            dead_dropped: get(&self.dead_dropped),
            failing: failing.write.clone().or_else(|| failing.removal.clone()),
            ..LogStats::default()
        }
    }
}

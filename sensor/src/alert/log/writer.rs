//! The one thread that writes.
//!
//! It takes what waits in the queue, writes it in one transaction, commits (one sync of the write-ahead log), and only
//! then answers all who wait. Under load commits grow instead of multiplying.
//!
//! When a write fails, those who wait for an answer get the error; offered alerts, whose sender is gone, stay with the
//! writer. Before the next try it pauses for a second, however much comes in meanwhile; jobs that come in wait for that
//! try. Offers keep their room in the queue, so in the end new ones are refused and counted.
//!
//! At the end everything in the queue is written. Offers that cannot be are counted as they are dropped.

use std::collections::VecDeque;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::watch;

use super::entry::Seq;
use super::error::LogError;
use super::outputs::Cursors;
use super::queue::{Job, Reply};
use super::retention::Retention;
use super::rows::{self, Stored};
use super::series::Series;
use super::stats::Counters;
use crate::alert::Alert;
use crate::alert::now;

/// Most jobs of one transaction: bounds how long the first one waits.
const BATCH: usize = 4096;
/// How often the writer looks after age and size when nothing happens.
const IDLE: Duration = Duration::from_secs(10);
/// Pause between two tries to write when writing fails.
pub(super) const RETRY: Duration = Duration::from_secs(1);

pub(super) struct Writer {
    pub path: PathBuf,
    pub connection: Connection,
    /// Held until the last write.
    pub lock: File,
    pub jobs: Receiver<Job>,
    pub counters: Arc<Counters>,
    pub series: Arc<Series>,
    pub head: watch::Sender<Seq>,
    pub cursors: Cursors,
    pub retention: Retention,
    /// [`RETRY`], but in tests.
    pub retry: Duration,
}

/// What a transaction changed beside the database, made visible when it is committed.
#[derive(Default)]
struct Outcome {
    results: Vec<Seq>,
    /// By alert, in order: was it new?
    stored: Vec<bool>,
    head: Seq,
    new: u64,
    duplicates: u64,
    wake: bool,
}

/// Why the writer stops taking jobs.
enum End {
    /// [`Job::Close`].
    Asked(Reply),
    /// Every handle on the log is gone.
    Forsaken,
}

impl Writer {
    /// Runs until [`Job::Close`], or until every handle on the log is dropped.
    pub fn run(mut self) {
        let mut queue = VecDeque::new();
        let mut resume_at = None;
        let end = loop {
            if let Some(end) = take(&self.jobs, &mut queue, resume_at) {
                break end;
            }
            resume_at = match self.commit(&mut queue) {
                Ok(()) => {
                    self.retain();
                    None
                }
                Err(_) => Some(Instant::now() + self.retry),
            };
        };
        self.end(queue, end);
    }

    /// Writes what is left and closes the file.
    fn end(mut self, mut queue: VecDeque<Job>, end: End) {
        let mut worked = Ok(());
        loop {
            queue.extend(self.jobs.try_iter().take(BATCH));
            if queue.is_empty() {
                break;
            }
            worked = self.commit(&mut queue);
            if worked.is_err() {
                break;
            }
        }
        if worked.is_ok() {
            // Only spares the next start some reading.
            _ = self.connection.pragma_query_value(None, "wal_checkpoint(TRUNCATE)", |_| Ok(()));
        }
        // Offers that could not be written, and those that came in between, count themselves.
        drop(queue);
        drop(self.jobs);
        let lost = self.counters.unwritten.load(Ordering::Relaxed);
        if lost > 0 {
            tracing::error!(lost, path = %self.path.display(), "alerts lost: the alert log could not be written");
        }
        drop(self.connection);
        drop(self.lock);
        if let End::Asked(reply) = end {
            _ = reply.send(worked.map(|()| *self.head.borrow()));
        }
    }

    /// Writes the oldest jobs of the queue in one transaction and answers. What must be tried again stays in the queue.
    fn commit(&mut self, queue: &mut VecDeque<Job>) -> Result<(), LogError> {
        if queue.is_empty() {
            return Ok(());
        }
        let jobs = queue.len().min(BATCH);
        match self.transact(queue.iter().take(jobs)) {
            Ok(outcome) => {
                self.counters.commits.fetch_add(1, Ordering::Relaxed);
                self.counters.appended.fetch_add(outcome.new, Ordering::Relaxed);
                self.counters.entries.fetch_add(outcome.new, Ordering::Relaxed);
                self.counters.duplicates.fetch_add(outcome.duplicates, Ordering::Relaxed);
                if self.counters.write_works() {
                    tracing::info!(path = %self.path.display(), "the alert log can be written again");
                }
                self.head.send_if_modified(|head| {
                    let newer = outcome.head > *head;
                    *head = outcome.head.max(*head);
                    newer || outcome.wake
                });
                let mut stored = outcome.stored.into_iter();
                let mut count = |alerts: &[Alert]| {
                    for alert in alerts {
                        if stored.next() == Some(true) {
                            self.series.count(alert);
                        }
                    }
                };
                for (job, seq) in queue.drain(..jobs).zip(outcome.results) {
                    match job {
                        Job::Offer(mut offer) => {
                            offer.written = true;
                            count(std::slice::from_ref(&offer.alert));
                        }
                        Job::Append { alerts, reply, _room } => {
                            count(&alerts);
                            _ = reply.send(Ok(seq));
                        }
                        Job::Change { reply, .. } | Job::Flush { reply } | Job::Close { reply } => {
                            _ = reply.send(Ok(seq));
                        }
                    }
                }
                Ok(())
            }
            Err(error) => {
                let error = LogError::from_sqlite(&self.path, error);
                self.counters.failed_commits.fetch_add(1, Ordering::Relaxed);
                // Said once, not each second.
                if self.counters.write_fails(error.to_string(), now()) {
                    tracing::error!(%error, "alerts wait");
                }
                // The cursors in memory may be ahead of what was rolled back.
                if let Ok(cursors) = Cursors::load(&self.connection, &self.cursors) {
                    self.cursors = cursors;
                }
                for job in std::mem::take(queue) {
                    match job {
                        Job::Append { reply, .. }
                        | Job::Change { reply, .. }
                        | Job::Flush { reply }
                        | Job::Close { reply } => _ = reply.send(Err(error.clone())),
                        offer @ Job::Offer(_) => queue.push_back(offer),
                    }
                }
                Err(error)
            }
        }
    }

    fn transact<'a>(&mut self, jobs: impl Iterator<Item = &'a Job>) -> rusqlite::Result<Outcome> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut outcome = Outcome { head: *self.head.borrow(), ..Outcome::default() };
        let store = |alert: &Alert, outcome: &mut Outcome| -> rusqlite::Result<Seq> {
            Ok(match rows::insert(&transaction, alert)? {
                Stored::New(seq) => {
                    outcome.new += 1;
                    outcome.stored.push(true);
                    outcome.head = seq;
                    seq
                }
                Stored::Duplicate(seq) => {
                    outcome.duplicates += 1;
                    outcome.stored.push(false);
                    seq
                }
            })
        };
        for job in jobs {
            let result = match job {
                Job::Offer(offer) => store(&offer.alert, &mut outcome)?,
                Job::Append { alerts, .. } => {
                    let mut last = outcome.head;
                    for alert in alerts {
                        last = store(alert, &mut outcome)?;
                    }
                    last
                }
                Job::Change { change, .. } => {
                    outcome.wake |= change.wakes();
                    self.cursors.apply(&transaction, change, outcome.head)?
                }
                Job::Flush { .. } | Job::Close { .. } => outcome.head,
            };
            outcome.results.push(result);
        }
        transaction.commit()?;
        Ok(outcome)
    }

    /// Removes what is too old or too much, a little at a time.
    pub fn retain(&mut self) {
        match self.retention.step(&mut self.connection, &self.cursors, &self.counters, now()) {
            Ok(()) => self.counters.removal_works(),
            Err(error) => {
                let error = LogError::from_sqlite(&self.path, error);
                if self.counters.removal_fails(error.to_string(), now()) {
                    tracing::warn!(%error, "old alerts cannot be removed");
                }
            }
        }
    }
}

/// Moves jobs into `queue`: what is there, or the first that comes; after a failure whatever comes until `resume_at`.
fn take(jobs: &Receiver<Job>, queue: &mut VecDeque<Job>, resume_at: Option<Instant>) -> Option<End> {
    let mut waits = queue.is_empty();
    loop {
        let pause = resume_at.and_then(|at| at.checked_duration_since(Instant::now()));
        let job = match pause {
            Some(pause) => jobs.recv_timeout(pause),
            None if waits => jobs.recv_timeout(IDLE),
            None if queue.len() < BATCH => jobs.try_recv().map_err(|_| RecvTimeoutError::Timeout),
            None => return None,
        };
        match job {
            Ok(Job::Close { reply }) => return Some(End::Asked(reply)),
            Ok(job) => queue.push_back(job),
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => return Some(End::Forsaken),
        }
        waits = false;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use tokio::sync::oneshot;

    use super::*;

    fn flush(jobs: &Sender<Job>) {
        jobs.send(Job::Flush { reply: oneshot::channel().0 }).unwrap();
    }

    #[test]
    fn jobs_do_not_cut_the_pause_after_a_failure_but_the_end_does() {
        let (sender, jobs) = channel();
        let mut queue = VecDeque::new();
        for _ in 0..3 {
            flush(&sender);
        }
        sender.send(Job::Close { reply: oneshot::channel().0 }).unwrap();
        let later = Instant::now() + Duration::from_hours(1);
        assert!(matches!(take(&jobs, &mut queue, Some(later)), Some(End::Asked(_))));
        assert_eq!(queue.len(), 3, "taken in, and not tried");
        drop(sender);
        assert!(matches!(take(&jobs, &mut queue, Some(later)), Some(End::Forsaken)));
    }

    #[test]
    fn after_the_pause_a_batch_is_bounded() {
        let (sender, jobs) = channel();
        let mut queue = VecDeque::new();
        for _ in 0..=BATCH {
            flush(&sender);
        }
        assert!(take(&jobs, &mut queue, Some(Instant::now())).is_none());
        assert_eq!(queue.len(), BATCH);
        queue.clear();
        assert!(take(&jobs, &mut queue, None).is_none());
        assert_eq!(queue.len(), 1);
    }
}

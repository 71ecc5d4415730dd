//! The one thread that writes.
//!
//! It takes what waits in the queue, writes it in one transaction, commits (one sync of the write-ahead log), and only
//! then answers all who wait. Under load commits grow instead of multiplying.
//!
//! When a write fails, those who wait for an answer get the error; offered alerts, whose sender is gone, stay with the
//! writer and are tried again every second. They keep their place in the bounded queue, so at its end new offers
//! are refused and counted.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

use super::outputs::{Change, Cursors};
use super::retention::Retention;
use super::rows::{self, Stored};
use super::series::Series;
use super::stats::Counters;
use super::{LogError, Seq, now};
use crate::alert::Alert;

/// Most jobs, and most queue bytes, of one transaction: bounds how long the first one waits.
const BATCH: usize = 4096;
/// How often the writer looks after age and size when nothing happens.
const IDLE: Duration = Duration::from_secs(10);
/// Pause between two tries to write when writing fails.
const RETRY: Duration = Duration::from_secs(1);

/// An answer to one who waits.
pub(super) type Reply = oneshot::Sender<Result<Seq, LogError>>;

/// Work for the writer; `_room` is its place in the queue, free again when the job is dropped.
pub(super) enum Job {
    Offer { alert: Box<Alert>, _room: OwnedSemaphorePermit },
    Append { alerts: Vec<Alert>, reply: Reply, _room: OwnedSemaphorePermit },
    Change { change: Change, reply: Reply },
    Close { reply: Reply },
}

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

impl Writer {
    /// Runs until [`Job::Close`], or until every handle on the log is dropped.
    pub fn run(mut self) {
        let mut batch: Vec<Job> = Vec::new();
        loop {
            let pause = if batch.is_empty() { IDLE } else { RETRY };
            match self.jobs.recv_timeout(pause) {
                Ok(job) => batch.push(job),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    if self.commit(&mut batch).is_err() {
                        let lost = u64::try_from(batch.len()).unwrap_or(0);
                        self.counters.refused.fetch_add(lost, Ordering::Relaxed);
                        tracing::error!(lost, "alerts lost: the alert log could not be written");
                    }
                    return;
                }
            }
            while batch.len() < BATCH
                && let Ok(job) = self.jobs.try_recv()
            {
                batch.push(job);
            }
            let close = take_close(&mut batch);
            let worked = if batch.is_empty() { Ok(()) } else { self.commit(&mut batch) };
            if let Some(reply) = close {
                _ = self.connection.pragma_query_value(None, "wal_checkpoint(TRUNCATE)", |_| Ok(()));
                drop(self.connection);
                drop(self.lock);
                _ = reply.send(worked.map(|()| *self.head.borrow()));
                return;
            }
            if worked.is_ok() {
                self.retain();
            }
        }
    }

    /// Writes the batch in one transaction and answers. What must be tried again stays in `batch`.
    fn commit(&mut self, batch: &mut Vec<Job>) -> Result<(), LogError> {
        match self.transact(batch) {
            Ok(outcome) => {
                self.counters.commits.fetch_add(1, Ordering::Relaxed);
                self.counters.appended.fetch_add(outcome.new, Ordering::Relaxed);
                self.counters.entries.fetch_add(outcome.new, Ordering::Relaxed);
                self.counters.duplicates.fetch_add(outcome.duplicates, Ordering::Relaxed);
                if self.counters.works() {
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
                for (job, seq) in batch.drain(..).zip(outcome.results) {
                    match &job {
                        Job::Offer { alert, .. } => count(std::slice::from_ref(alert)),
                        Job::Append { alerts, .. } => count(alerts),
                        Job::Change { .. } | Job::Close { .. } => {}
                    }
                    if let Job::Append { reply, .. } | Job::Change { reply, .. } = job {
                        _ = reply.send(Ok(seq));
                    }
                }
                Ok(())
            }
            Err(error) => {
                let error = LogError::from_sqlite(&self.path, error);
                tracing::error!(%error, "alerts wait");
                self.counters.fails(error.to_string(), now());
                // The cursors in memory may be ahead of what was rolled back.
                if let Ok(cursors) = Cursors::load(&self.connection, &self.cursors) {
                    self.cursors = cursors;
                }
                let failed = std::mem::take(batch);
                for job in failed {
                    match job {
                        Job::Append { reply, .. } | Job::Change { reply, .. } | Job::Close { reply } => {
                            _ = reply.send(Err(error.clone()));
                        }
                        offer @ Job::Offer { .. } => batch.push(offer),
                    }
                }
                Err(error)
            }
        }
    }

    fn transact(&mut self, batch: &[Job]) -> rusqlite::Result<Outcome> {
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
        for job in batch {
            let result = match job {
                Job::Offer { alert, .. } => store(alert, &mut outcome)?,
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
                Job::Close { .. } => 0,
            };
            outcome.results.push(result);
        }
        transaction.commit()?;
        Ok(outcome)
    }

    /// Removes what is too old or too much, a little at a time.
    pub fn retain(&mut self) {
        if let Err(error) = self.retention.step(&mut self.connection, &self.cursors, &self.counters, now()) {
            let error = LogError::from_sqlite(&self.path, error);
            tracing::warn!(%error, "removing old alerts");
            self.counters.fails(error.to_string(), now());
        }
    }
}

/// The request to close, taken out of the batch: everything before it is written first.
fn take_close(batch: &mut Vec<Job>) -> Option<Reply> {
    let at = batch.iter().position(|job| matches!(job, Job::Close { .. }))?;
    match batch.remove(at) {
        Job::Close { reply } => Some(reply),
        _ => None,
    }
}

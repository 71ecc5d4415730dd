//! What waits for the writer: a queue with two budgets, so that nobody who can reach the intake takes the room of the
//! sensor's own alerts.
//!
//! - Own alerts are offered: taken at once or refused and counted. Each counts 4 KiB at least, which bounds their number.
//! - Received alerts wait for room in a smaller budget. A request larger than the whole budget waits until it is empty.
//! - Changes for outputs and questions have no budget: whoever sends one waits for its answer before the next.
//!
//! An offer that ends unwritten, for whatever reason, counts itself as lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SendError, Sender, channel};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::entry::Seq;
use super::error::LogError;
use super::outputs::Change;
use super::stats::Counters;
use crate::alert::Alert;

/// Bytes of own alerts that may wait: 12,288 alerts of the usual size.
pub(super) const OWN: usize = 48 << 20;
/// Bytes of received alerts that may wait. Their senders can wait, too.
pub(super) const RECEIVED: usize = 16 << 20;
/// What an alert counts at least; bounds their number.
const ALERT_SIZE: usize = 4096;

/// An answer to one who waits.
pub(super) type Reply = oneshot::Sender<Result<Seq, LogError>>;

/// Work for the writer.
pub(super) enum Job {
    Offer(Offer),
    Append {
        alerts: Vec<Alert>,
        reply: Reply,
        _room: OwnedSemaphorePermit,
    },
    Change {
        change: Change,
        reply: Reply,
    },
    /// Answered when everything before is durable.
    Flush {
        reply: Reply,
    },
    Close {
        reply: Reply,
    },
}

/// An own alert on its way into the log.
pub(super) struct Offer {
    pub alert: Alert,
    pub written: bool,
    counters: Arc<Counters>,
    /// Its place in the queue, free again when the offer ends.
    _room: OwnedSemaphorePermit,
}

impl Drop for Offer {
    fn drop(&mut self) {
        if !self.written {
            self.counters.unwritten.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The end of the queue that takes jobs.
#[derive(Debug)]
pub(super) struct Queue {
    jobs: Sender<Job>,
    own: Arc<Semaphore>,
    received: Arc<Semaphore>,
    counters: Arc<Counters>,
}

impl Queue {
    /// The queue, and the writer's end of it.
    pub fn new(counters: Arc<Counters>) -> (Self, Receiver<Job>) {
        let (jobs, writers) = channel();
        let (own, received) = (Arc::new(Semaphore::new(OWN)), Arc::new(Semaphore::new(RECEIVED)));
        (Self { jobs, own, received, counters }, writers)
    }

    /// Takes an own alert without waiting; `false` when there is no room or the log is closed.
    pub fn offer(&self, alert: Alert) -> bool {
        let taken = Arc::clone(&self.own).try_acquire_many_owned(room(size(&alert), OWN)).is_ok_and(|room| {
            let counters = Arc::clone(&self.counters);
            let offer = Offer { alert, written: false, counters, _room: room };
            match self.jobs.send(Job::Offer(offer)) {
                Ok(()) => true,
                Err(SendError(job)) => {
                    // Refused, and counted as that.
                    if let Job::Offer(mut offer) = job {
                        offer.written = true;
                    }
                    false
                }
            }
        });
        if !taken {
            self.counters.refused.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Waits for room, then until the alerts are durable.
    pub async fn append(&self, alerts: Vec<Alert>) -> Result<Seq, LogError> {
        let room = room(alerts.iter().map(size).sum(), RECEIVED);
        let room = Arc::clone(&self.received).acquire_many_owned(room).await.map_err(|_| LogError::Closed)?;
        self.ask(|reply| Job::Append { alerts, reply, _room: room }).await
    }

    /// Hands a job over and waits for its answer.
    pub async fn ask(&self, job: impl FnOnce(Reply) -> Job) -> Result<Seq, LogError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).map_err(|_| LogError::Closed)?;
        answer.await.map_err(|_| LogError::Closed)?
    }

    /// Takes no more alerts. What is in the queue is still written.
    pub fn close(&self) {
        self.own.close();
        self.received.close();
    }

    /// Bytes in use by own and by received alerts.
    pub fn used(&self) -> (u64, u64) {
        let used = |all: usize, room: &Semaphore| all.saturating_sub(room.available_permits()) as u64;
        (used(OWN, &self.own), used(RECEIVED, &self.received))
    }
}

fn room(size: usize, budget: usize) -> u32 {
    u32::try_from(size.min(budget)).unwrap_or(u32::MAX)
}

/// Room that an alert takes: about its size in memory.
fn size(alert: &Alert) -> usize {
    fn value(json: &serde_json::Value) -> usize {
        32 + match json {
            serde_json::Value::String(text) => text.len(),
            serde_json::Value::Array(items) => items.iter().map(value).sum(),
            serde_json::Value::Object(map) => map.iter().map(|(k, v)| k.len() + value(v)).sum(),
            _ => 0,
        }
    }
    let fields: usize = alert.output_fields.iter().map(|(k, v)| k.len() + value(v)).sum();
    let tags: usize = alert.tags.iter().map(|tag| 24 + tag.len()).sum();
    let context = alert.context.as_ref().map_or(0, value);
    (alert.output.len() + alert.rule.len() + fields + tags + context).max(ALERT_SIZE)
}

//! What an output is: it is handed alerts, sends them, and says what came of it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::backoff;
use crate::alert::Alert;
use crate::rules::Priority;

/// A destination of alerts. Methods take `&self`, so that one output can have several requests under way.
pub trait Output: Send + Sync {
    /// Short lower-case name: that of the cursor, of the metrics' `destination` and of the UI.
    fn name(&self) -> &'static str;

    /// Less severe alerts are filtered; `None` sends all.
    fn minimum_priority(&self) -> Option<Priority> {
        None
    }

    /// How the next requests are cut when `waiting` alerts (counted up to [`Output::window`]) are to be sent.
    fn plan(&self, _waiting: usize) -> Plan {
        Plan { requests: 1, alerts: 1 }
    }

    /// How many alerts may be read ahead.
    fn window(&self) -> usize {
        256
    }

    /// Pauses after failures.
    fn pauses(&self) -> backoff::Range {
        backoff::Range { first: Duration::from_secs(2), longest: Duration::from_mins(5) }
    }

    /// True when the log is to note the fate of every alert, not only of those given up. Not worth a row per line for local files.
    fn notes_deliveries(&self) -> bool {
        true
    }

    /// Sends `batch` as one unit: on success all of it has been taken.
    fn send<'a>(&'a self, batch: &'a [Arc<Alert>]) -> BoxFuture<'a, Result<(), SendError>>;
}

/// How waiting alerts are cut into requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Requests under way at the same time, at least 1.
    pub requests: usize,
    /// Alerts in one request, at least 1.
    pub alerts: usize,
}

/// Why a batch was not delivered.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum SendError {
    /// Worth another try, no sooner than `after` if the destination said so. `suspect`: the destination was reached
    /// and failed on this batch, so the batch may be the cause.
    #[error("{reason}")]
    Retry { after: Option<Duration>, suspect: bool, reason: String },
    /// Trying again cannot help: the batch goes to the dead-letter list.
    #[error("{reason}")]
    Permanent { reason: String },
    /// The destination is gone for as long as this process runs; alerts stay in the log.
    #[error("{reason}")]
    Stop { reason: String },
}

impl SendError {
    /// The destination was not reached.
    pub fn unreachable(reason: impl Into<String>) -> Self {
        Self::Retry { after: None, suspect: false, reason: reason.into() }
    }
}

/// An output cannot be used as configured.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {problem}; {remedy}")]
pub struct OutputError {
    /// Path of the configuration key, e.g. `teams.webhookurl`.
    pub key: String,
    pub problem: String,
    pub remedy: String,
}

impl OutputError {
    pub fn new(key: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { key: key.into(), problem: problem.into(), remedy: remedy.into() }
    }
}

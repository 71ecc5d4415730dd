//! What an output needs of the alert log. A trait, so that the dispatcher's tests can use a log that fails on demand.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;

use crate::alert::Alert;

/// Position in the log: strictly rising.
pub type Seq = i64;

/// One stored alert.
#[derive(Debug, Clone)]
pub struct Entry {
    pub seq: Seq,
    pub alert: Arc<Alert>,
}

/// What became of one alert at one output.
#[derive(Debug, Clone)]
pub struct Verdict {
    pub seq: Seq,
    pub fate: Fate,
    /// Requests made for it.
    pub tries: u32,
    /// When it was decided: nanoseconds since the Unix epoch.
    pub at: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    Delivered,
    Filtered,
    /// Given up, for this reason.
    Dead(String),
}

/// The log could not be read or written; the text says why.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct JournalError(pub String);

/// The alert log as outputs see it.
pub trait Journal: Clone + Send + Sync + 'static {
    /// Position of the newest stored alert.
    fn head(&self) -> Seq;

    /// Changes whenever an alert was stored, or somebody asked to send dead letters again.
    fn subscribe(&self) -> watch::Receiver<Seq>;

    /// Up to `limit` alerts after `after`, oldest first.
    fn read(&self, after: Seq, limit: usize)
    -> impl Future<Output = Result<Vec<Entry>, JournalError>> + Send;

    /// Where `output` stopped; a new output begins at the head.
    fn cursor(&self, output: &str) -> impl Future<Output = Result<Seq, JournalError>> + Send;

    /// Up to `limit` dead letters that `output` is asked to send again. A verdict takes one off this list.
    fn replays(
        &self,
        output: &str,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Entry>, JournalError>> + Send;

    /// Stores the verdicts, then moves the cursor of `output` to `to`.
    fn settle(
        &self,
        output: &str,
        verdicts: &[Verdict],
        to: Seq,
    ) -> impl Future<Output = Result<(), JournalError>> + Send;
}

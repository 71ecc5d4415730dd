//! What an output needs of the alert log. A trait, so that the dispatcher's tests can use a log that fails on demand.

use std::future::Future;

use tokio::sync::watch;

use crate::alert::log::{AlertLog, Delivery, DeliveryState, LogError};
pub use crate::alert::log::{Entry, Seq};

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

/// The alert log as outputs see it.
pub trait Journal: Clone + Send + Sync + 'static {
    /// Position of the newest stored alert.
    fn head(&self) -> Seq;

    /// Changes whenever an alert was stored, or somebody asked to send dead letters again.
    fn subscribe(&self) -> watch::Receiver<Seq>;

    /// Up to `limit` alerts after `after`, oldest first.
    fn read(&self, after: Seq, limit: usize) -> impl Future<Output = Result<Vec<Entry>, LogError>> + Send;

    /// Where `output` stopped; a new output begins at the head.
    fn cursor(&self, output: &str) -> impl Future<Output = Result<Seq, LogError>> + Send;

    /// Up to `limit` dead letters that `output` is asked to send again. A verdict takes one off this list.
    fn replays(
        &self,
        output: &str,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Entry>, LogError>> + Send;

    /// Stores the verdicts, then moves the cursor of `output` to `to`.
    fn settle(
        &self,
        output: &str,
        verdicts: &[Verdict],
        to: Seq,
    ) -> impl Future<Output = Result<(), LogError>> + Send;
}

impl Journal for AlertLog {
    fn head(&self) -> Seq {
        Self::head(self)
    }

    fn subscribe(&self) -> watch::Receiver<Seq> {
        Self::subscribe(self)
    }

    async fn read(&self, after: Seq, limit: usize) -> Result<Vec<Entry>, LogError> {
        Self::read(self, after, limit).await
    }

    async fn cursor(&self, output: &str) -> Result<Seq, LogError> {
        Self::cursor(self, output).await
    }

    async fn replays(&self, output: &str, limit: usize) -> Result<Vec<Entry>, LogError> {
        Ok(Self::replays(self, output, limit).await?.into_iter().map(|letter| letter.entry).collect())
    }

    async fn settle(&self, output: &str, verdicts: &[Verdict], to: Seq) -> Result<(), LogError> {
        let deliveries = verdicts.iter().map(|verdict| {
            let (state, error) = match &verdict.fate {
                Fate::Delivered => (DeliveryState::Delivered, None),
                Fate::Filtered => (DeliveryState::Filtered, None),
                Fate::Dead(reason) => (DeliveryState::Dead, Some(reason.clone())),
            };
            (verdict.seq, Delivery { at: verdict.at, tries: verdict.tries, state, error })
        });
        Self::settle(self, output, deliveries.collect(), Some(to)).await
    }
}

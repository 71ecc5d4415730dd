//! Destinations of alerts. Every enabled output is one task with its own cursor in the alert log: it reads what comes
//! after the cursor, sends it, and moves the cursor when an alert was delivered, filtered or given up. So one slow
//! destination holds up no other, a restart goes on where it stopped, and each alert arrives at least once.
//!
//! What a failure does (see [`dispatch`]):
//! - destination down, slow, throttling or answering 5xx: tried again for as long as the log keeps the alert, with growing pauses;
//! - destination refuses the alert (most 4xx): the alert goes to the dead-letter list with the reason;
//! - one alert that alone makes the destination fail goes there too, once a later alert has been accepted.
//!
//! Adding an output: one file (or folder) with its configuration, payload and tests, and a line in [`start`].

pub mod backoff;
pub mod config;
pub mod dispatch;
pub mod escape;
pub mod file;
pub mod http;
pub mod journal;
pub mod line;
pub mod local;
pub mod status;
pub mod stdout;
pub mod teams;
pub mod webhook;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::alert::Alert;
use crate::rules::Priority;

pub use config::OutputsConfig;
pub use status::{OutputStatus, State};

use journal::Journal;
use status::Board;

/// A destination of alerts. Methods take `&self`, so that one output can have several requests under way.
pub trait Output: Send + Sync {
    /// Short lower-case name: that of the cursor, of the metrics' `destination` and of the UI.
    fn name(&self) -> &str;

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

/// The running outputs.
pub struct Running {
    board: Board,
    tasks: Vec<(String, JoinHandle<()>)>,
}

impl Running {
    /// What the UI and the metrics read; cheap to clone, lives on after [`Running::join`].
    pub fn board(&self) -> Board {
        self.board.clone()
    }

    /// State of every output, in the order of the configuration.
    pub fn status(&self) -> Vec<OutputStatus> {
        self.board.status()
    }

    /// Waits until all outputs have ended, which they do within the grace period after shutdown was signalled.
    pub async fn join(self) {
        for (name, task) in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(output = name, %error, "output ended unexpectedly; its alerts stay in the log");
            }
        }
    }
}

/// Builds every enabled output, so that a mistake in the configuration is told before anything is sent.
pub fn build(config: &OutputsConfig) -> Result<Vec<Box<dyn Output>>, OutputError> {
    let mut outputs: Vec<Box<dyn Output>> = Vec::new();
    let format = config.line_format();
    if config.stdout_output.enabled {
        outputs.push(Box::new(stdout::Stdout::new(format)?));
    }
    if config.file_output.enabled {
        outputs.push(Box::new(file::File::new(&config.file_output, format)?));
    }
    if config.http_output.enabled {
        outputs.push(Box::new(webhook::Webhook::falco(&config.http_output, format)?));
    }
    if !config.webhook.address.is_empty() {
        outputs.push(Box::new(webhook::Webhook::falcosidekick(&config.webhook, &config.tls())?));
    }
    if !config.teams.webhookurl.is_empty() {
        outputs.push(Box::new(teams::Teams::new(&config.teams, &config.tls())?));
    }
    Ok(outputs)
}

/// Starts one task per enabled output. They run until `shutdown` becomes true (or its sender is gone), then send what still
/// goes out within [`dispatch::Limits::grace`]. Must be called within a tokio runtime.
#[expect(clippy::needless_pass_by_value, reason = "handles that callers clone or give away")]
pub fn start<J: Journal>(
    config: &OutputsConfig,
    journal: J,
    shutdown: watch::Receiver<bool>,
) -> Result<Running, OutputError> {
    let mut running = Running { board: Board::default(), tasks: Vec::new() };
    for output in build(config)? {
        let name = output.name().to_owned();
        let cell = running.board.add(&name);
        let limits = dispatch::Limits::default();
        let task = dispatch::run(output, journal.clone(), cell, limits, shutdown.clone());
        running.tasks.push((name, tokio::spawn(task)));
    }
    Ok(running)
}

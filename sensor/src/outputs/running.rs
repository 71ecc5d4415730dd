//! Outputs at work: one task for each that is enabled.

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::dispatch::{self, Limits};
use super::journal::Journal;
use super::output::OutputError;
use super::registry::OutputsConfig;
use super::status::{Board, OutputStatus};

/// The running outputs.
pub struct Running {
    board: Board,
    tasks: Vec<(&'static str, JoinHandle<()>)>,
}

impl Running {
    /// What the UI and the metrics read; cheap to clone, lives on after [`Running::join`].
    pub fn board(&self) -> Board {
        self.board.clone()
    }

    /// State of every output, in the order of the registry.
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

/// Starts one task per enabled output. They run until `shutdown` becomes true (or its sender is gone), then send what still
/// goes out within [`Limits::grace`]. Must be called within a tokio runtime.
#[expect(clippy::needless_pass_by_value, reason = "handles that callers clone or give away")]
pub fn start<J: Journal>(
    config: &OutputsConfig,
    journal: J,
    shutdown: watch::Receiver<bool>,
) -> Result<Running, OutputError> {
    let mut running = Running { board: Board::default(), tasks: Vec::new() };
    for output in config.build()? {
        let name = output.name();
        let cell = running.board.add(name);
        let task = dispatch::run(output, journal.clone(), cell, Limits::default(), shutdown.clone());
        running.tasks.push((name, tokio::spawn(task)));
    }
    Ok(running)
}

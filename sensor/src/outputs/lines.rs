//! An output that writes lines on this machine: alerts in, whole lines out, written by a thread of its own.
//!
//! Such a write can block for ever: a pipe that nobody reads, a network file system that is gone. Neither an async worker
//! nor the end of the process may hang on it, so the thread is detached.

use std::sync::Arc;
use std::sync::mpsc::{self, TrySendError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use super::backoff::Range;
use super::line::LineFormat;
use super::output::{Output, OutputError, Plan, SendError};
use crate::alert::Alert;

type Job = (String, oneshot::Sender<Result<(), SendError>>);

/// Writes one line per alert, one batch at a time.
pub struct Lines {
    name: &'static str,
    format: LineFormat,
    jobs: mpsc::SyncSender<Job>,
}

impl Lines {
    /// Starts the thread; it ends when this is dropped and the last write has returned. `key` is that of the output's section.
    pub fn start(
        name: &'static str,
        key: &str,
        format: LineFormat,
        mut write: impl FnMut(&str) -> Result<(), SendError> + Send + 'static,
    ) -> Result<Self, OutputError> {
        let (jobs, queue) = mpsc::sync_channel::<Job>(1);
        let thread = std::thread::Builder::new().name(format!("{name}-output")).spawn(move || {
            for (lines, reply) in queue {
                // Nobody waits any more when the grace period is over.
                _ = reply.send(write(&lines));
            }
        });
        match thread {
            Ok(_) => Ok(Self { name, format, jobs }),
            Err(error) => Err(OutputError::new(
                key,
                format!("no thread can be started: {error}"),
                "raise the limit of threads or memory",
            )),
        }
    }

    /// Completes when `lines` have been written.
    async fn write(&self, lines: String) -> Result<(), SendError> {
        let (reply, done) = oneshot::channel();
        match self.jobs.try_send((lines, reply)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                return Err(SendError::unreachable("the last write has not finished"));
            }
            Err(TrySendError::Disconnected(_)) => return Err(ended()),
        }
        done.await.unwrap_or_else(|_| Err(ended()))
    }
}

impl Output for Lines {
    fn name(&self) -> &'static str {
        self.name
    }

    fn plan(&self, waiting: usize) -> Plan {
        Plan { requests: 1, alerts: waiting }
    }

    fn pauses(&self) -> Range {
        Range { first: Duration::from_secs(1), longest: Duration::from_secs(30) }
    }

    fn notes_deliveries(&self) -> bool {
        false
    }

    fn send<'a>(&'a self, batch: &'a [Arc<Alert>]) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(self.write(lines(self.format, batch)))
    }
}

fn ended() -> SendError {
    SendError::Stop { reason: "the writing thread has ended".into() }
}

/// The lines of a batch, each with its newline.
fn lines(format: LineFormat, batch: &[Arc<Alert>]) -> String {
    let mut lines = String::new();
    for alert in batch {
        lines.push_str(&format.line(alert));
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::testing::alert;

    #[tokio::test]
    async fn a_write_that_blocks_for_ever_holds_up_nobody() {
        let (_keep, never) = mpsc::channel::<()>();
        let (blocks, mut blocked) = tokio::sync::mpsc::channel(1);
        let output = Lines::start("test", "test", LineFormat::Text, move |lines| {
            if lines == "block" {
                blocks.blocking_send(()).unwrap();
                _ = never.recv();
            }
            Ok(())
        })
        .unwrap();
        output.write("pass".into()).await.unwrap();
        let mut blocking = std::pin::pin!(output.write("block".into()));
        tokio::select! {
            result = &mut blocking => panic!("{result:?}"),
            started = blocked.recv() => assert!(started.is_some()),
        }
        // One more fits into the queue, then writes are refused rather than piled up.
        let mut queued = std::pin::pin!(output.write("queued".into()));
        assert!(futures_util::poll!(&mut queued).is_pending());
        assert!(matches!(output.write("more".into()).await, Err(SendError::Retry { .. })));
    }

    #[test]
    fn one_line_per_alert() {
        let mut second = alert(2);
        second.output = "two\nlines".into();
        let text = lines(LineFormat::Text, &[Arc::new(alert(1)), Arc::new(second)]);
        assert_eq!(text, format!("{}\ntwo\\nlines\n", alert(1).output));
    }
}

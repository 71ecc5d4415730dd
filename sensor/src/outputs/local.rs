//! A thread for writes that can block for ever: a pipe that nobody reads, a network file system that is gone. Neither
//! an async worker nor the end of the process may hang on them, so the thread is detached.

use std::sync::mpsc::{self, TrySendError};

use tokio::sync::oneshot;

use super::SendError;

type Job = (String, oneshot::Sender<Result<(), SendError>>);

/// Hands lines to its thread, one batch at a time.
pub struct Writer {
    jobs: mpsc::SyncSender<Job>,
}

impl Writer {
    /// Starts the thread; it ends when this is dropped and the last write has returned.
    pub fn start(
        name: &str,
        mut write: impl FnMut(&str) -> Result<(), SendError> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::sync_channel::<Job>(1);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            for (lines, reply) in queue {
                // Nobody waits any more when the grace period is over.
                _ = reply.send(write(&lines));
            }
        })?;
        Ok(Self { jobs })
    }

    /// Completes when `lines` have been written.
    pub async fn write(&self, lines: String) -> Result<(), SendError> {
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

fn ended() -> SendError {
    SendError::Stop { reason: "the writing thread has ended".into() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_write_that_blocks_for_ever_holds_up_nobody() {
        let (_keep, never) = mpsc::channel::<()>();
        let writer = Writer::start("test", move |lines| {
            if lines == "block" {
                _ = never.recv();
            }
            Ok(())
        })
        .unwrap();
        writer.write("pass".into()).await.unwrap();
        let blocked = tokio::time::timeout(Duration::from_millis(50), writer.write("block".into())).await;
        assert!(blocked.is_err());
        // One more fits into the queue, then writes are refused rather than piled up.
        _ = tokio::time::timeout(Duration::from_millis(10), writer.write("queued".into())).await;
        assert!(matches!(writer.write("more".into()).await, Err(SendError::Retry { .. })));
    }
}

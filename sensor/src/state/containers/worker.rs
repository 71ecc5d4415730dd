//! The thread that finds out what a container is, beside the event thread.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::mpsc;

use super::cgroup::Candidate;
use super::config::EnginesConfig;
use super::container::{Container, Runtime};
use super::{ContainerKey, ContainersError};

/// Requests that wait at most.
const QUEUE: usize = 1024;

struct Request {
    key: ContainerKey,
    candidate: Candidate,
}

/// What was found out.
pub(super) struct Answer {
    pub key: ContainerKey,
    /// `None`: no runtime knows it.
    pub container: Option<Box<Container>>,
}

/// The event thread's end.
pub(super) struct Worker {
    requests: mpsc::Sender<Request>,
    answers: Receiver<Answer>,
    wake: Arc<OwnedFd>,
}

impl Worker {
    pub fn start(engines: &EnginesConfig, proc_root: &Path) -> Result<Self, ContainersError> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|e| ContainersError::EventFd(e.into()))?;
        let wake = Arc::new(wake);
        let (requests, incoming) = mpsc::channel(QUEUE);
        let (outgoing, answers) = channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ContainersError::Thread)?;
        let sources = Arc::new(Sources { engines: engines.clone(), proc_root: proc_root.into() });
        let out = Out { answers: outgoing, wake: wake.clone() };
        std::thread::Builder::new()
            .name("containers".into())
            .spawn(move || runtime.block_on(serve(incoming, &sources, &out)))
            .map_err(ContainersError::Thread)?;
        Ok(Self { requests, answers, wake })
    }

    /// False when the queue is full.
    pub fn ask(&self, key: ContainerKey, candidate: Candidate) -> bool {
        self.requests.try_send(Request { key, candidate }).is_ok()
    }

    /// What was found out since the last call.
    pub fn answers(&self) -> impl Iterator<Item = Answer> {
        // First, so that an answer that comes meanwhile wakes again.
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        self.answers.try_iter()
    }

    pub fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

#[derive(Clone)]
struct Out {
    answers: Sender<Answer>,
    wake: Arc<OwnedFd>,
}

impl Out {
    fn send(&self, answer: Answer) {
        // The receiver is gone only when the sensor ends.
        let _ = self.answers.send(answer);
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

struct Sources {
    engines: EnginesConfig,
    proc_root: PathBuf,
}

async fn serve(mut requests: mpsc::Receiver<Request>, _sources: &Arc<Sources>, out: &Out) {
    while let Some(request) = requests.recv().await {
        out.send(Answer { key: request.key, container: None });
    }
}

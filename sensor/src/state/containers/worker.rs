//! The thread that finds out what a container is, beside the event thread.
//!
//! What is on disk comes first: it is there before the container runs, and needs nobody's answer. Then whoever can add to it is
//! asked. What is not there yet is tried again; what never comes costs the hold time of that container's events and no more.

use std::collections::{HashMap, VecDeque};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};

use super::cgroup::Candidate;
use super::config::EnginesConfig;
use super::container::{Container, ContainerKey};
use super::disk::{Host, Owner, expand};
use super::grpc::{Connection, Refusal};
use super::hint::{Hint, Keeper};
use super::runtime::Runtime;
use super::{containerd, cri, docker};
use crate::state::wake::Wake;

/// Why there is no container state.
#[derive(Debug, thiserror::Error)]
pub enum ContainersError {
    #[error("cannot start the thread that reads container metadata: {0}")]
    Thread(std::io::Error),
    #[error("cannot make an eventfd: {0}")]
    EventFd(std::io::Error),
}

/// Requests that wait at most.
const QUEUE: usize = 1024;

/// What the event thread tells.
enum Request {
    /// A container was made: what is it?
    Container(ContainerKey, Candidate),
    /// One is about to be made.
    Soon(Hint),
}

/// What was found out.
pub(super) struct Answer {
    pub key: ContainerKey,
    pub told: Told,
}

/// What is known of a container that was asked about.
pub(super) enum Told {
    Known(Box<Container>),
    /// Somebody keeps it; what it is may follow.
    Kept,
    /// No runtime knows it.
    Nothing,
}

/// The event thread's end.
pub(super) struct Worker {
    requests: mpsc::Sender<Request>,
    answers: Receiver<Answer>,
    wake: Wake,
}

impl Worker {
    pub fn start(engines: &EnginesConfig, proc_root: &Path) -> Result<Self, ContainersError> {
        let wake = Wake::new().map_err(ContainersError::EventFd)?;
        let (requests, incoming) = mpsc::channel(QUEUE);
        let (outgoing, answers) = channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(READERS)
            .build()
            .map_err(ContainersError::Thread)?;
        let sources = Arc::new(Sources::new(engines, proc_root));
        let out = Out { answers: outgoing, wake: wake.clone() };
        std::thread::Builder::new()
            .name("containers".into())
            .spawn(move || runtime.block_on(serve(incoming, &sources, &out)))
            .map_err(ContainersError::Thread)?;
        Ok(Self { requests, answers, wake })
    }

    /// False when the queue is full.
    pub fn ask(&self, key: ContainerKey, candidate: Candidate) -> bool {
        self.requests.try_send(Request::Container(key, candidate)).is_ok()
    }

    /// Has a container looked for that is about to be made. Not done when the queue is full: it will be asked about anyway.
    pub fn expect(&self, hint: Hint) {
        let _ = self.requests.try_send(Request::Soon(hint));
    }

    /// What was found out since the last call.
    pub fn answers(&self) -> impl Iterator<Item = Answer> {
        self.wake.clear();
        self.answers.try_iter()
    }

    pub fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake.fd()
    }
}

#[derive(Clone)]
struct Out {
    answers: Sender<Answer>,
    wake: Wake,
}

impl Out {
    fn send(&self, answer: Answer) {
        // The receiver is gone only when the sensor ends.
        let _ = self.answers.send(answer);
        self.wake.wake();
    }
}

/// Containers that are looked for at the same time; the others wait in the queue.
const AT_ONCE: usize = 32;
/// Threads that read files; more are never needed unless some hang.
const READERS: usize = 8;

/// Takes requests until the event thread drops its end.
async fn serve(mut requests: mpsc::Receiver<Request>, sources: &Arc<Sources>, out: &Out) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(request) = requests.recv().await {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (sources, out) = (sources.clone(), out.clone());
        tokio::spawn(async move {
            match request {
                Request::Container(key, candidate) => find_out(key, &candidate, &sources, &out).await,
                Request::Soon(hint) => look_early(hint, &sources).await,
            }
            drop(place);
        });
    }
}

/// When it is tried again: at once rather often, as a container's files and records appear while it is being made, then less and
/// less, as each look costs a walk through `/proc`.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// When it is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);

/// Answers as soon as everything is known; at half of the hold time with what is known then; and once more if the rest comes
/// later.
async fn find_out(key: ContainerKey, candidate: &Candidate, sources: &Sources, out: &Out) {
    let started = Instant::now();
    let patience = sources.engines.hold() / 2;
    let (mut told, mut pause) = (false, FIRST_PAUSE);
    let tell = |container: Option<Container>| {
        let told = container.map_or(Told::Nothing, |mut c| {
            c.limit(sources.engines.label_max_len);
            Told::Known(Box::new(c))
        });
        out.send(Answer { key, told });
    };
    let mut kept = false;
    loop {
        let look = match sources.early.found(&candidate.id) {
            Some(container) => Look::Complete(container),
            None => sources.look(candidate).await,
        };
        let waited = started.elapsed();
        match look {
            Look::Complete(container) => return tell(Some(container)),
            Look::Partial(container) if !told && waited >= patience => {
                tell(Some(container));
                told = true;
            }
            // Its shim is there before its cgroup is: what no shim knows is none.
            Look::Unknown if candidate.doubtful => return tell(None),
            Look::Kept | Look::Unknown if !kept => {
                kept = matches!(look, Look::Kept) || sources.is_kept(candidate).await;
                if kept {
                    out.send(Answer { key, told: Told::Kept });
                }
            }
            Look::Partial(_) | Look::Kept | Look::Unknown | Look::Missed => {}
        }
        if waited >= GIVE_UP_AFTER {
            if !told {
                tell(None);
            }
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

/// How long a container that was announced is looked for before it is asked about.
const EARLY: Duration = Duration::from_secs(2);

/// Looks for a container before it is made, so that the answer is there when it is asked for.
async fn look_early(hint: Hint, sources: &Sources) {
    let (id, keeper) = (hint.id.clone(), hint.keeper.clone());
    sources.early.announce(hint);
    // Conmon's directory stays longer than its container; knowing the place is enough.
    let Keeper::Shim { namespace, .. } = keeper else { return };
    let candidate =
        Candidate { id, runtime: Runtime::Containerd, namespace: Some(namespace), doubtful: false };
    let started = Instant::now();
    while started.elapsed() < EARLY {
        if let Look::Complete(container) = sources.look(&candidate).await {
            sources.early.keep(container);
            return;
        }
        tokio::time::sleep(FIRST_PAUSE).await;
    }
}

/// Containers that were announced, and those already found; the newest of each.
#[derive(Default)]
struct Early(Mutex<VecDeque<Announced>>);

struct Announced {
    hint: Hint,
    container: Option<Container>,
}

/// Announced containers that are remembered.
const MAX_ANNOUNCED: usize = 512;

impl Early {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Announced>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self, hint: Hint) {
        let mut all = self.lock();
        // A shim runs more than once with the same words.
        if all.iter().any(|a| a.hint.id == hint.id) {
            return;
        }
        if all.len() == MAX_ANNOUNCED {
            all.pop_front();
        }
        all.push_back(Announced { hint, container: None });
    }

    fn keep(&self, container: Container) {
        if let Some(announced) = self.lock().iter_mut().find(|a| a.hint.id == container.full_id) {
            announced.container = Some(container);
        }
    }

    fn found(&self, id: &str) -> Option<Container> {
        self.lock().iter().find(|a| a.hint.id == id)?.container.clone()
    }

    fn hint(&self, id: &str) -> Option<Hint> {
        Some(self.lock().iter().find(|a| a.hint.id == id)?.hint.clone())
    }
}

/// What one look found.
enum Look {
    Complete(Container),
    /// Named, but an API that should know more did not answer.
    Partial(Container),
    /// It is there, and nobody says what it is.
    Kept,
    /// Nobody knows it.
    Unknown,
    /// The disk did not answer.
    Missed,
}

/// Everybody who can be asked.
struct Sources {
    engines: EnginesConfig,
    host: Host,
    early: Early,
    /// Connections by socket, kept as long as the worker lives.
    connections: Mutex<HashMap<PathBuf, Connection>>,
}

/// gRPC connections that are kept.
const MAX_CONNECTIONS: usize = 64;
/// Longest wait for files, and for everybody who is asked together, unless a quarter of the hold time is longer.
const LOOK_LIMIT: Duration = Duration::from_millis(250);

impl Sources {
    fn new(engines: &EnginesConfig, proc_root: &Path) -> Self {
        Self {
            engines: engines.clone(),
            host: Host::new(proc_root),
            early: Early::default(),
            connections: Mutex::new(HashMap::new()),
        }
    }

    async fn look(&self, candidate: &Candidate) -> Look {
        let (host, wanted) = (self.host.clone(), candidate.clone());
        let hint = self.early.hint(&candidate.id);
        let reading = tokio::task::spawn_blocking(move || host.find(&wanted, hint.as_ref()));
        let limit = LOOK_LIMIT.max(self.engines.hold() / 4);
        let Ok(Ok(found)) = tokio::time::timeout(limit, reading).await else { return Look::Missed };
        let known = found.container.is_some();
        let mut container = found.container.unwrap_or_else(|| Container::of_candidate(candidate));
        if found.complete {
            if container.runtime == Runtime::Docker {
                // Only the digest is missing; without an answer it stays so.
                let mut better = container.clone();
                if tokio::time::timeout(limit, self.image_of(&mut better)).await.is_ok() {
                    container = better;
                }
            }
            return Look::Complete(container);
        }
        if candidate.doubtful && found.containerd.is_none() {
            return Look::Unknown;
        }
        let mut better = container.clone();
        let asking = async {
            match &found.containerd {
                Some(owner) => self.ask_containerd(owner, known, &mut better).await,
                None => self.ask_everybody(&mut better).await,
            }
        };
        let asked = tokio::time::timeout(limit, asking).await.unwrap_or(Asked::Nothing);
        match (asked, known) {
            (Asked::Knows, _) => Look::Complete(better),
            (Asked::Nobody, true) => Look::Complete(container),
            (Asked::Nothing, true) => Look::Partial(container),
            (Asked::Nothing | Asked::Nobody, false) if found.containerd.is_some() => Look::Kept,
            (Asked::Nothing | Asked::Nobody, false) => Look::Unknown,
        }
    }

    async fn is_kept(&self, candidate: &Candidate) -> bool {
        let (host, id) = (self.host.clone(), candidate.id.clone());
        let reading = tokio::task::spawn_blocking(move || host.is_kept(&id));
        matches!(tokio::time::timeout(LOOK_LIMIT, reading).await, Ok(Ok(true)))
    }

    /// containerd itself, and its CRI for what Kubernetes started.
    async fn ask_containerd(&self, owner: &Owner, spec_known: bool, container: &mut Container) -> Asked {
        let mut asked = Asked::Nobody;
        let engines = &self.engines;
        let listed = engines.containerd.sockets.iter().chain(&engines.cri.sockets).map(|s| self.host.path(s));
        let sockets: Vec<PathBuf> =
            owner.address.iter().cloned().chain(listed).filter(|s| s.exists()).collect();
        if engines.containerd.enabled || engines.cri.enabled {
            for socket in &sockets {
                let connection = self.connection(socket);
                match containerd::describe(&connection, &owner.namespace, spec_known, container).await {
                    Ok(()) => asked = Asked::Knows,
                    Err(Refusal::Unimplemented) => continue,
                    Err(Refusal::NotFound | Refusal::Failed) => {
                        asked = Asked::Nothing;
                        continue;
                    }
                }
                break;
            }
        }
        if engines.cri.enabled && container.runtime == Runtime::Cri {
            for socket in &sockets {
                let connection = self.connection(socket);
                if container.is_pod_sandbox {
                    // Only of a pod that runs already: what the network plugin made.
                    let _ = cri::describe_pod(&connection, container).await;
                } else if cri::describe(&connection, container).await.is_ok() {
                    return Asked::Knows;
                }
            }
        }
        asked
    }

    /// A container that left no trace on disk.
    async fn ask_everybody(&self, container: &mut Container) -> Asked {
        let engines = &self.engines;
        let mut asked = Asked::Nobody;
        let docker = (container.runtime != Runtime::Podman && engines.docker.enabled)
            .then_some((Runtime::Docker, &engines.docker.sockets));
        let podman = (container.runtime != Runtime::CriO && engines.podman.enabled)
            .then_some((Runtime::Podman, &engines.podman.sockets));
        // Without namespaces of their own, podman's containers never look like docker's: ask who is more likely first.
        let order = [docker, podman];
        for (runtime, sockets) in order.into_iter().flatten() {
            for socket in self.existing(sockets) {
                asked = Asked::Nothing;
                if docker::describe(&socket, runtime, container).await.is_some() {
                    // The name is known; the digest is an extra.
                    let _ = docker::describe_image(&socket, container).await;
                    return Asked::Knows;
                }
            }
        }
        if container.runtime == Runtime::Podman || !engines.cri.enabled {
            return asked;
        }
        for socket in self.existing(&engines.cri.sockets) {
            match cri::describe(&self.connection(&socket), container).await {
                Ok(()) => return Asked::Knows,
                Err(Refusal::Unimplemented) => {}
                Err(Refusal::NotFound | Refusal::Failed) => asked = Asked::Nothing,
            }
        }
        asked
    }

    async fn image_of(&self, container: &mut Container) {
        if !self.engines.docker.enabled {
            return;
        }
        for socket in self.existing(&self.engines.docker.sockets) {
            if docker::describe_image(&socket, container).await.is_some() {
                return;
            }
        }
    }

    fn existing(&self, sockets: &[PathBuf]) -> Vec<PathBuf> {
        sockets.iter().flat_map(|s| expand(&self.host.path(s))).filter(|s| s.exists()).collect()
    }

    fn connection(&self, socket: &Path) -> Connection {
        let mut connections = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        if connections.len() >= MAX_CONNECTIONS {
            connections.clear();
        }
        connections.entry(socket.into()).or_insert_with(|| Connection::new(socket)).clone()
    }
}

/// What came of asking.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Knows,
    /// Somebody was asked and did not know it, or did not answer.
    Nothing,
    /// There is nobody to ask.
    Nobody,
}

//! Containers: from a cgroup to what runs in it.
//!
//! The path of a cgroup names the container; its metadata is asked for the moment the cgroup is made, which is before the
//! container's first instruction. Until the answer is there, [`Containers::of_cgroup`] says [`Where::Pending`], and the
//! events of that container alone are to wait for [`ContainerEvent::Ready`]. It comes in any case, at the latest after
//! the configured hold, then marked incomplete.

#[cfg(test)]
pub(crate) mod api_tests;
pub mod cgroup;
pub mod config;
pub mod container;
mod containerd;
mod cri;
mod disk;
mod docker;
mod grpc;
mod hint;
pub mod image;
mod oci;
mod podman;
#[cfg(test)]
mod real_tests;
pub mod runtime;
mod sealed;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt as _};
use sensor_ebpf::events::{self, Change, NewImage};
use sensor_ebpf::record::Record;

use cgroup::{Candidate, container_of};
pub use config::EnginesConfig;
use hint::Hint;
use worker::{Answer, Worker};

pub use container::{Container, ContainerKey, Mount, Pod, PortMapping};
pub use image::ImageName;
pub use runtime::Runtime;
pub use worker::ContainersError;

use super::bucket::{Bucket, Rate};
use super::cgroups::Layout;

/// Where a process runs.
#[derive(Debug, Clone, Copy)]
pub enum Where<'a> {
    Host,
    Container(&'a Arc<Container>),
    /// In a container whose metadata is awaited: hold the event until the `Ready` with this key.
    Pending(ContainerKey),
}

/// What became known.
#[derive(Debug, Clone)]
pub enum ContainerEvent {
    /// A container was added: held events of the key go on. `None`: it turned out to be no container, its events are the host's.
    Ready(ContainerKey, Option<Arc<Container>>),
    /// Metadata came after the wait had ended: events from now on have it.
    Updated(ContainerKey, Arc<Container>),
    /// The last cgroup of a container is gone. Its late events still find it for a while.
    Removed(ContainerKey, Arc<Container>),
}

/// Counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    pub containers: usize,
    pub pending: usize,
    pub cgroups: usize,
    /// Went out without metadata.
    pub incomplete: u64,
    /// Not asked for, as the queue to the worker was full.
    pub not_asked: u64,
    /// Cgroups that were found by their id, as no record told of them.
    pub cgroups_resolved: u64,
    /// Cgroups not kept because the table was full.
    pub cgroups_dropped: u64,
    /// Cgroups of events that were not looked up because there were too many in a second: taken for the host's.
    pub cgroups_not_asked: u64,
}

/// How long a removed container is still found, for records that come late.
const KEEP_REMOVED: Duration = Duration::from_secs(30);
/// How often what was removed is looked for.
const PURGE_EVERY: Duration = Duration::from_secs(7);
/// Cgroups that are known at most; containers are fewer.
const MAX_CGROUPS: usize = 200_000;
/// Cgroups that are looked up by their id: in a second, and at once.
const RESOLVED: Rate = Rate::new(1000, 5000);

/// What a cgroup is.
#[derive(Debug, Clone, Copy)]
struct Cgroup {
    /// `None`: the host's.
    key: Option<ContainerKey>,
    removed: Option<Instant>,
}

#[derive(Debug)]
enum State {
    /// Asked about.
    Pending,
    Ready(Arc<Container>),
    /// A doubtful candidate that no runtime knows.
    NotOne,
}

#[derive(Debug)]
struct Entry {
    state: State,
    candidate: Candidate,
    preexisting: bool,
    /// Its cgroups that exist.
    cgroups: usize,
    removed: Option<Instant>,
}

/// The containers of this machine.
pub struct Containers {
    engines: EnginesConfig,
    /// `None`: sealed, whatever is known was put in.
    outside: Option<Outside>,
    cgroups: HashMap<u64, Cgroup>,
    entries: HashMap<ContainerKey, Entry>,
    /// Containers that have a cgroup.
    by_id: HashMap<String, ContainerKey>,
    last_key: u64,
    /// Until when each container that was asked about may be pending; the oldest first.
    deadlines: VecDeque<(Instant, ContainerKey)>,
    events: Vec<ContainerEvent>,
    started: Instant,
    purged: Instant,
    resolved: Bucket,
    stats: Stats,
}

/// Who is asked about what no record tells.
struct Outside {
    layout: Arc<Layout>,
    worker: Worker,
}

impl Containers {
    /// Starts the metadata worker. `proc_root` is where the host's `/proc` is mounted.
    pub fn new(
        engines: EnginesConfig,
        layout: Arc<Layout>,
        proc_root: &Path,
    ) -> Result<Self, ContainersError> {
        let worker = Worker::start(&engines, proc_root)?;
        Ok(Self::with(engines, Some(Outside { layout, worker })))
    }

    fn with(engines: EnginesConfig, outside: Option<Outside>) -> Self {
        Self {
            engines,
            outside,
            cgroups: HashMap::new(),
            entries: HashMap::new(),
            by_id: HashMap::new(),
            last_key: 0,
            deadlines: VecDeque::new(),
            events: Vec::new(),
            started: Instant::now(),
            purged: Instant::now(),
            resolved: Bucket::new(RESOLVED, 0),
            stats: Stats::default(),
        }
    }

    /// Takes in every cgroup that exists. Call it after the probe is attached, before records are read. Each container
    /// found makes a [`ContainerEvent::Ready`] later, as a new one does.
    pub fn seed(&mut self) {
        let Some(layout) = self.outside.as_ref().map(|o| o.layout.clone()) else { return };
        layout.walk(|id, path| self.made(id, path, true));
    }

    /// Takes in a record of a cgroup, or of an exec that announces a container; others are ignored.
    pub fn apply(&mut self, record: &Record) {
        if self.outside.is_none() {
            return;
        }
        match events::change(record) {
            Some(Change::Execed(image)) => self.announced(record, &image),
            Some(Change::CgroupMade { id, path }) => self.made(id, &String::from_utf8_lossy(path), false),
            Some(Change::CgroupRemoved { id }) => self.removed(id),
            Some(Change::Forked(_) | Change::Exited { .. } | Change::Credentials(_)) | None => {}
        }
    }

    /// Believes root outside of containers alone.
    fn announced(&mut self, record: &Record, image: &NewImage<'_>) {
        if image.task.uid == 0
            && let Some(hint) = Hint::of_exec(image)
            && matches!(self.of_cgroup(record.header().cgroup), Where::Host)
            && let Some(outside) = &self.outside
        {
            outside.worker.expect(hint);
        }
    }

    /// Where the process of a record runs, by the cgroup in the record's header.
    pub fn of_cgroup(&mut self, id: u64) -> Where<'_> {
        let key = match self.cgroups.get(&id) {
            Some(cgroup) => cgroup.key,
            None => self.resolve(id),
        };
        let Some(key) = key else { return Where::Host };
        match self.entries.get(&key).map(|e| &e.state) {
            Some(State::Ready(container)) => Where::Container(container),
            Some(State::Pending) => Where::Pending(key),
            Some(State::NotOne) | None => Where::Host,
        }
    }

    /// What became known since the last call. Call it when [`Containers::wake_fd`] is readable, and at least every 100 ms or so.
    pub fn poll(&mut self) -> Vec<ContainerEvent> {
        let Some(outside) = &self.outside else { return std::mem::take(&mut self.events) };
        let now = Instant::now();
        let answers: Vec<Answer> = outside.worker.answers().collect();
        for answer in answers {
            self.answered(answer);
        }
        while let Some((_, key)) = self.deadlines.pop_front_if(|(until, _)| *until <= now) {
            if matches!(self.entries.get(&key).map(|e| &e.state), Some(State::Pending)) {
                self.give_up(key);
            }
        }
        self.purge(now);
        std::mem::take(&mut self.events)
    }

    /// Readable when [`Containers::poll`] has something to tell; a sealed table has none.
    pub fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        self.outside.as_ref().map(|o| o.worker.wake_fd())
    }

    /// The containers that are known now.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Container>> {
        self.entries.values().filter_map(|e| match (&e.state, e.removed) {
            (State::Ready(container), None) => Some(container),
            _ => None,
        })
    }

    pub fn stats(&self) -> Stats {
        let pending = self.entries.values().filter(|e| matches!(e.state, State::Pending)).count();
        Stats { containers: self.entries.len(), pending, cgroups: self.cgroups.len(), ..self.stats }
    }

    /// A cgroup that no record told of. The kernel has it in memory, and nobody else is asked: this takes microseconds.
    fn resolve(&mut self, id: u64) -> Option<ContainerKey> {
        self.outside.as_ref()?;
        let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if !self.resolved.take(RESOLVED, now) {
            self.stats.cgroups_not_asked += 1;
            return None;
        }
        match self.outside.as_ref()?.layout.path_of(id) {
            Some(path) => {
                self.stats.cgroups_resolved += 1;
                self.made(id, &path, false);
            }
            // Gone already. Remembered, so that its other late records do not ask again.
            None => self.remember(id, Cgroup { key: None, removed: Some(Instant::now()) }),
        }
        self.cgroups.get(&id)?.key
    }

    fn made(&mut self, id: u64, path: &str, preexisting: bool) {
        if self.cgroups.get(&id).is_some_and(|c| c.removed.is_none()) {
            return;
        }
        let key = container_of(path, &self.engines).map(|candidate| self.enter(candidate, preexisting));
        self.remember(id, Cgroup { key, removed: None });
    }

    /// The container's entry, with one cgroup more.
    fn enter(&mut self, candidate: Candidate, preexisting: bool) -> ContainerKey {
        if let Some(&key) = self.by_id.get(&candidate.id)
            && let Some(entry) = self.entries.get_mut(&key)
        {
            entry.cgroups += 1;
            return key;
        }
        self.last_key += 1;
        let key = ContainerKey(self.last_key);
        self.by_id.insert(candidate.id.clone(), key);
        if !candidate.runtime.has_metadata() {
            let container = Arc::new(Container { preexisting, ..Container::of_candidate(&candidate) });
            let state = State::Ready(container.clone());
            self.entries.insert(key, Entry { state, candidate, preexisting, cgroups: 1, removed: None });
            self.ready(key, Some(container));
            return key;
        }
        let asked = self.outside.as_ref().is_some_and(|o| o.worker.ask(key, candidate.clone()));
        self.deadlines.push_back((Instant::now() + self.engines.hold(), key));
        let state = State::Pending;
        self.entries.insert(key, Entry { state, candidate, preexisting, cgroups: 1, removed: None });
        if !asked {
            self.stats.not_asked += 1;
            self.give_up(key);
        }
        key
    }

    fn remember(&mut self, id: u64, cgroup: Cgroup) {
        if self.cgroups.len() >= MAX_CGROUPS {
            self.purge(Instant::now());
        }
        if self.cgroups.len() < MAX_CGROUPS {
            self.cgroups.insert(id, cgroup);
        } else {
            self.stats.cgroups_dropped += 1;
        }
    }

    fn removed(&mut self, id: u64) {
        let Some(cgroup) = self.cgroups.get_mut(&id) else { return };
        if cgroup.removed.is_some() {
            return;
        }
        let now = Instant::now();
        cgroup.removed = Some(now);
        let Some(key) = cgroup.key else { return };
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.cgroups = entry.cgroups.saturating_sub(1);
        if entry.cgroups > 0 || entry.removed.is_some() {
            return;
        }
        entry.removed = Some(now);
        if self.by_id.get(&entry.candidate.id) == Some(&key) {
            self.by_id.remove(&entry.candidate.id);
        }
        // While it is pending, `Removed` follows its `Ready`.
        if let State::Ready(container) = &entry.state {
            self.events.push(ContainerEvent::Removed(key, container.clone()));
        }
    }

    fn answered(&mut self, answer: Answer) {
        let Some(entry) = self.entries.get_mut(&answer.key) else { return };
        let pending = matches!(entry.state, State::Pending);
        match answer.container {
            Some(mut container) => {
                container.preexisting = entry.preexisting;
                let container = Arc::new(*container);
                entry.state = State::Ready(container.clone());
                if pending {
                    self.ready(answer.key, Some(container));
                } else {
                    self.events.push(ContainerEvent::Updated(answer.key, container));
                }
            }
            None if pending => {
                if entry.candidate.doubtful {
                    entry.state = State::NotOne;
                    self.ready(answer.key, None);
                } else {
                    self.give_up(answer.key);
                }
            }
            None => {}
        }
    }

    /// Ends the wait for metadata, for who cannot hold more events back: the next [`Containers::poll`] has the `Ready`, with
    /// what the path of the cgroup tells, marked incomplete. Metadata that comes later still counts. Nothing happens to a
    /// container that is not pending.
    pub fn give_up(&mut self, key: ContainerKey) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if !matches!(entry.state, State::Pending) {
            return;
        }
        if entry.candidate.doubtful {
            entry.state = State::NotOne;
            self.ready(key, None);
            return;
        }
        let container = Container {
            preexisting: entry.preexisting,
            incomplete: true,
            ..Container::of_candidate(&entry.candidate)
        };
        let container = Arc::new(container);
        entry.state = State::Ready(container.clone());
        self.stats.incomplete += 1;
        self.ready(key, Some(container));
    }

    fn ready(&mut self, key: ContainerKey, container: Option<Arc<Container>>) {
        self.events.push(ContainerEvent::Ready(key, container.clone()));
        let removed = self.entries.get(&key).is_some_and(|e| e.removed.is_some());
        if let (Some(container), true) = (container, removed) {
            self.events.push(ContainerEvent::Removed(key, container));
        }
    }

    /// Forgets what was removed long ago, now and then: it looks at everything.
    fn purge(&mut self, now: Instant) {
        if now.duration_since(self.purged) < PURGE_EVERY {
            return;
        }
        self.purged = now;
        let old = |removed: Option<Instant>| removed.is_some_and(|r| now.duration_since(r) > KEEP_REMOVED);
        self.cgroups.retain(|_, c| !old(c.removed));
        self.entries.retain(|_, e| !old(e.removed) || matches!(e.state, State::Pending));
    }
}

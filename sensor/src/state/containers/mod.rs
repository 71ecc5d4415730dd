//! Containers: from a cgroup to what runs in it.
//!
//! The path of a cgroup names the container; its metadata is asked for the moment the cgroup is made, which is before the
//! container's first instruction. Until the answer is there, [`Containers::of`] says [`Where::Pending`], and the
//! events of that container alone are to wait for [`ContainerEvent::Ready`]. It comes in any case, at the latest after
//! the configured hold, then marked incomplete.
//!
//! A path is a claim: root can make a cgroup of any name. What no runtime knows, and no keeper or runtime was started for, is no
//! container. And where the path says nothing, the runtime that made the cgroup does, or the processes themselves
//! ([`members`]): by descent, or by the mount namespace of a container's first program.

mod announced;
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
mod life;
mod members;
mod oci;
#[cfg(test)]
mod place_tests;
mod podman;
#[cfg(test)]
mod real_tests;
mod remembered;
pub mod runtime;
mod sealed;
mod seed;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt as _};
use sensor_ebpf::events::{self, Change};
use sensor_ebpf::record::{Header, Record};

use announced::Announced;
use cgroup::{Candidate, containers_of};
pub use config::EnginesConfig;
use disk::Host;
use members::Members;
use remembered::Remembered;
use worker::{Answer, Told, Worker};

pub use container::{Container, ContainerKey, Mount, Pod, PortMapping, short_id};
pub use image::ImageName;
pub use runtime::Runtime;
pub use worker::ContainersError;

use super::bucket::{Bucket, Rate};
use super::cgroups::Layout;
use super::procfs::namespace;

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
    /// Cgroups that are named like a container's and are none's.
    pub made_by_hand: u64,
    /// Containers of which it is not remembered that rules have heard of them, because there were too many.
    pub not_remembered: u64,
    /// Processes known to be in a container, and those that were not remembered because the table was full.
    pub members: usize,
    pub members_dropped: u64,
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
    /// Something else than the path of its cgroup shows that there is such a container.
    proven: bool,
    /// The container around it: where it is, if it is none.
    outer: Option<ContainerKey>,
    /// Its cgroups that exist.
    cgroups: usize,
    /// Exec id of its first process, if it has no cgroup of its own: it lives as long as that.
    init: Option<u64>,
    /// Mount namespace of its first program; 0 as long as it is not known.
    mntns: u32,
    removed: Option<Instant>,
}

impl Entry {
    /// Awaited, and with nothing that speaks for it.
    fn new(candidate: Candidate, outer: Option<ContainerKey>) -> Self {
        Self {
            state: State::Pending,
            candidate,
            preexisting: false,
            proven: false,
            outer,
            cgroups: 0,
            init: None,
            mntns: 0,
            removed: None,
        }
    }

    /// Not only a name in a path.
    fn exists(&self) -> bool {
        self.proven || matches!(self.state, State::Ready(_))
    }
}

/// The containers of this machine.
pub struct Containers {
    engines: EnginesConfig,
    /// `None`: sealed, whatever is known was put in.
    outside: Option<Outside>,
    cgroups: HashMap<u64, Cgroup>,
    entries: HashMap<ContainerKey, Entry>,
    /// Containers that live.
    by_id: HashMap<String, ContainerKey>,
    /// Cgroups of containers whose paths do not name them.
    unnamed: HashMap<Arc<str>, ContainerKey>,
    /// Containers by the mount namespace of their first program.
    by_mntns: HashMap<u32, ContainerKey>,
    members: Members,
    announced: Announced,
    host_mntns: u32,
    /// Which of them rules have heard of; `None`: nobody asked for it.
    remembered: Option<Remembered>,
    /// Those that were there before the sensor are news, too, the first time.
    tells_found: bool,
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
    host: Host,
}

impl Containers {
    /// Starts the metadata worker. `proc_root` is where the host's `/proc` is mounted.
    pub fn new(
        engines: EnginesConfig,
        layout: Arc<Layout>,
        proc_root: &Path,
    ) -> Result<Self, ContainersError> {
        let worker = Worker::start(&engines, proc_root)?;
        let of = |pid: &str| namespace(&proc_root.join(pid).join("ns/mnt"));
        let host_mntns = Some(of("1")).filter(|mntns| *mntns != 0).unwrap_or_else(|| of("self"));
        let outside = Outside { layout, worker, host: Host::new(proc_root) };
        Ok(Self { host_mntns, ..Self::with(engines, Some(outside)) })
    }

    fn with(engines: EnginesConfig, outside: Option<Outside>) -> Self {
        Self {
            engines,
            outside,
            cgroups: HashMap::new(),
            entries: HashMap::new(),
            by_id: HashMap::new(),
            unnamed: HashMap::new(),
            by_mntns: HashMap::new(),
            members: Members::new(),
            announced: Announced::new(),
            host_mntns: 0,
            remembered: None,
            tells_found: true,
            last_key: 0,
            deadlines: VecDeque::new(),
            events: Vec::new(),
            started: Instant::now(),
            purged: Instant::now(),
            resolved: Bucket::new(RESOLVED, 0),
            stats: Stats::default(),
        }
    }

    /// Remembers in `directory`, over restarts, which containers rules have heard of. `found`: those that were there before the
    /// sensor are news the first time. Call it before [`Containers::seed`].
    pub fn remember_in(&mut self, directory: &Path, found: bool) -> Result<(), ContainersError> {
        self.remembered = Some(Remembered::open(directory).map_err(ContainersError::Thread)?);
        self.tells_found = found;
        Ok(())
    }

    /// Whether rules are to hear of a container that became ready: always of one that was made since the start, of another one
    /// unless they did before.
    pub fn is_news(&mut self, container: &Container) -> bool {
        let first = self.remembered.as_mut().is_none_or(|remembered| remembered.add(&container.full_id));
        !container.preexisting || (first && self.tells_found)
    }

    /// Takes in a record of a cgroup or of a process's life; others are ignored.
    pub fn apply(&mut self, record: &Record) {
        if self.outside.is_none() {
            return;
        }
        let header = record.header();
        match events::change(record) {
            Some(Change::Forked { task, .. }) => self.forked(header, task),
            Some(Change::Execed(image)) => self.execed(header, &image),
            Some(Change::Exited { .. }) => self.exited(header.exec_id),
            Some(Change::CgroupMade { id, path }) => {
                self.made(id, &String::from_utf8_lossy(path), false, Some(header.exec_id));
            }
            Some(Change::CgroupRemoved { id }) => self.removed(id),
            Some(
                Change::Credentials
                | Change::Directory(_)
                | Change::Groups(_)
                | Change::Grouped { .. }
                | Change::Namespace { .. },
            )
            | None => {}
        }
    }

    /// Where the process of a record runs: by its cgroup, and where that says nothing, by where it came from.
    pub fn of(&mut self, header: &Header) -> Where<'_> {
        let key = self.key_of(header.cgroup);
        let this = &*self;
        match this.place(key) {
            Where::Host => this.place(this.members.get(header.exec_id)),
            place => place,
        }
    }

    /// What a cgroup belongs to.
    #[cfg(test)]
    pub fn of_cgroup(&mut self, id: u64) -> Where<'_> {
        let key = self.key_of(id);
        self.place(key)
    }

    fn key_of(&mut self, cgroup: u64) -> Option<ContainerKey> {
        match self.cgroups.get(&cgroup) {
            Some(cgroup) => cgroup.key,
            None => self.resolve(cgroup),
        }
    }

    fn by_cgroup(&mut self, cgroup: u64) -> Option<ContainerKey> {
        let key = self.key_of(cgroup)?;
        self.one(key)
    }

    fn place(&self, key: Option<ContainerKey>) -> Where<'_> {
        let mut next = key;
        while let Some(key) = next {
            match self.entries.get(&key).map(|e| (&e.state, e.outer)) {
                Some((State::Ready(container), _)) => return Where::Container(container),
                Some((State::Pending, _)) => return Where::Pending(key),
                // Always an older one, so this ends.
                Some((State::NotOne, outer)) => next = outer.filter(|outer| *outer < key),
                None => break,
            }
        }
        Where::Host
    }

    /// The container, or the nearest one around it if it is none.
    fn one(&self, mut key: ContainerKey) -> Option<ContainerKey> {
        loop {
            let entry = self.entries.get(&key)?;
            if !matches!(entry.state, State::NotOne) {
                return Some(key);
            }
            // Always an older one, so this ends.
            key = entry.outer.filter(|outer| *outer < key)?;
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
        if let Some(remembered) = &mut self.remembered {
            remembered.tick(now);
        }
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
        Stats {
            containers: self.entries.len(),
            pending,
            cgroups: self.cgroups.len(),
            members: self.members.len(),
            members_dropped: self.members.dropped,
            not_remembered: self.remembered.as_ref().map_or(0, |remembered| remembered.dropped),
            ..self.stats
        }
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
                self.made(id, &path, false, None);
            }
            // Gone already. Remembered, so that its other late records do not ask again.
            None => self.remember(id, Cgroup { key: None, removed: Some(Instant::now()) }),
        }
        self.cgroups.get(&id)?.key
    }

    /// `maker`: exec id of the process that made it.
    fn made(&mut self, id: u64, path: &str, preexisting: bool, maker: Option<u64>) {
        if self.cgroups.get(&id).is_some_and(|c| c.removed.is_none()) {
            return;
        }
        let said = maker.and_then(|maker| self.made_by_runtime(maker, id, path));
        let key = said.or_else(|| self.named(path, preexisting));
        let key = key.or_else(|| self.around(path));
        if let Some(entry) = key.and_then(|key| self.entries.get_mut(&key)) {
            entry.cgroups += 1;
        }
        self.remember(id, Cgroup { key, removed: None });
    }

    /// The container that a path names.
    fn named(&mut self, path: &str, preexisting: bool) -> Option<ContainerKey> {
        let (candidate, outer) = {
            let mut named = containers_of(path, &self.engines);
            (named.next()?, named.find_map(|outer| self.by_id.get(&outer.id).copied()))
        };
        let outer = outer.or_else(|| self.around(path));
        if candidate.doubtful && outer.is_some() {
            // It is in the cgroup of a container that is sure.
            return outer;
        }
        Some(self.enter(candidate, preexisting, outer))
    }

    /// The container's entry. `outer`: what its cgroup is inside of.
    fn enter(
        &mut self,
        candidate: Candidate,
        preexisting: bool,
        outer: Option<ContainerKey>,
    ) -> ContainerKey {
        let announced = self.announced.get(&candidate.id).is_some();
        if let Some(&key) = self.by_id.get(&candidate.id)
            && let Some(entry) = self.entries.get(&key)
            // Somebody had made a cgroup of that name before.
            && !(announced && matches!(entry.state, State::NotOne))
        {
            return key;
        }
        self.last_key += 1;
        let key = ContainerKey(self.last_key);
        self.by_id.insert(candidate.id.clone(), key);
        let candidate = Candidate { doubtful: candidate.doubtful && !announced, ..candidate };
        let mut entry = Entry { preexisting, proven: announced, ..Entry::new(candidate, outer) };
        if !entry.candidate.runtime.has_metadata() {
            let container = Arc::new(Container { preexisting, ..Container::of_candidate(&entry.candidate) });
            entry.state = State::Ready(container.clone());
            self.entries.insert(key, entry);
            self.ready(key, Some(container));
            return key;
        }
        let asked = self.outside.as_ref().is_some_and(|o| o.worker.ask(key, entry.candidate.clone()));
        self.deadlines.push_back((Instant::now() + self.engines.hold(), key));
        self.entries.insert(key, entry);
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
        if entry.cgroups == 0 {
            self.ended(key);
        }
    }

    /// The container is gone.
    fn ended(&mut self, key: ContainerKey) {
        let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.removed.is_none()) else { return };
        entry.removed = Some(Instant::now());
        if let Some(remembered) = &mut self.remembered {
            remembered.remove(&entry.candidate.id);
        }
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
        match answer.told {
            Told::Known(mut container) => {
                container.preexisting = entry.preexisting;
                let container = Arc::new(*container);
                let before = std::mem::replace(&mut entry.state, State::Ready(container.clone()));
                entry.proven = true;
                match before {
                    State::Ready(_) => self.events.push(ContainerEvent::Updated(answer.key, container)),
                    State::Pending | State::NotOne => self.ready(answer.key, Some(container)),
                }
            }
            Told::Kept => entry.proven = true,
            Told::Nothing if pending => self.give_up(answer.key),
            Told::Nothing => {}
        }
    }

    /// Ends the wait for metadata, for who cannot hold more events back: the next [`Containers::poll`] has the `Ready`, with
    /// what the path of the cgroup tells, marked incomplete; or without anything, if nothing but the path speaks for a container.
    /// Metadata that comes later still counts. Nothing happens to a container that is not pending.
    pub fn give_up(&mut self, key: ContainerKey) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        if !matches!(entry.state, State::Pending) {
            return;
        }
        if !entry.proven {
            entry.state = State::NotOne;
            self.stats.made_by_hand += 1;
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
        self.unnamed.retain(|_, key| self.entries.contains_key(key));
        self.by_mntns.retain(|_, key| self.entries.contains_key(key));
        self.members.purge(now, KEEP_REMOVED);
    }
}

//! Keeps the state as the sensor does and notes, in the order in which it takes effect, everything that came from outside: the
//! records, and what was asked of `/proc`, the cgroups, the runtimes, the user files and the clock.

use std::borrow::Cow;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use foldhash::{HashSet, HashSetExt as _};
use sensor_ebpf::events::process::Exec;
use sensor_ebpf::events::{self, Change, Event};
use sensor_ebpf::record::{Record, Tail, tgid_of};

use super::format::{
    CgroupFrame, ClockFrame, ContainerFrame, End, Happened, Lost, MemberFrame, kind, process_bytes,
};
use super::line::{Asked, Line};
use super::write::{Weight, Writer};
use crate::engine::clock::{self, Clock};
use crate::engine::judge::apply;
use crate::probe::EventCounters;
use crate::state::{
    Container, ContainerEvent, ContainerKey, Containers, Found, Process, Processes, Users, Where,
};

/// Cgroups that are remembered as noted; beyond it all are noted again.
const TOLD_MAX: usize = 200_000;
/// Processes whose user files are read when their container is ready.
const WAITING_MAX: usize = 4096;

/// What is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// Environment variables too.
    pub environment: bool,
    /// Only events of these containers (name, or the beginning of the id); the life of processes is kept of all. Empty: everything.
    pub containers: Vec<String>,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Summary {
    /// Records in the file.
    pub records: u64,
    /// Frames left out as the disk did not keep up.
    pub lost: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// The state, and the file beside it.
pub struct Recorder {
    processes: Processes,
    users: Users,
    containers: Containers,
    line: Line,
    options: Options,
    /// Cgroups that were noted, and processes, where their cgroups say nothing.
    told: HashSet<u64>,
    told_members: HashSet<u64>,
    /// Who waits for a container: their names are looked up when it is ready, as the sensor does.
    waiting: Vec<(ContainerKey, Arc<Process>, u64)>,
    lost: Lost,
}

impl Recorder {
    /// Notes the (seeded) state that everything begins with.
    pub fn new(
        processes: Processes,
        users: Users,
        containers: Containers,
        writer: Writer,
        options: Options,
    ) -> Self {
        let mut recorder = Self {
            processes,
            users,
            containers,
            line: Line::new(writer),
            options,
            told: HashSet::new(),
            told_members: HashSet::new(),
            waiting: Vec::new(),
            lost: Lost::default(),
        };
        recorder.clock();
        let environment = recorder.options.environment;
        for process in recorder.processes.iter() {
            let bytes = process_bytes(process, environment);
            recorder.line.frame(kind::PROCESS, &bytes, Weight::State);
        }
        let cgroups: Vec<u64> = recorder.containers.cgroups().collect();
        for cgroup in cgroups {
            recorder.cgroup(cgroup);
        }
        recorder
    }

    /// Takes in one record, as the judge does, and keeps it.
    pub fn record(&mut self, record: &Record<'_>) {
        let header = record.header();
        let Some(event) = Event::of_kind(header.kind) else { return };
        let change = events::change(record);
        if let Some(Change::Forked { task, forker }) = change {
            self.find(task.parent_exec_id, task.ppid, header.time);
            if forker != task.parent_exec_id {
                self.find(forker, tgid_of(forker), header.time);
            }
        }
        // As in the judge: the end of a process is looked at while it is still there.
        let ends = matches!(change, Some(Change::Exited { .. }));
        if !ends {
            apply(&mut self.processes, &mut self.containers, record);
        }
        if let Some(Change::CgroupMade { id, .. }) = change {
            self.cgroup(id);
        }
        let wanted = event.info.rules.is_none() || self.surroundings(record);
        if wanted || event.info.feeds_state() {
            self.keep(record, event);
        }
        if ends {
            apply(&mut self.processes, &mut self.containers, record);
        }
        if let Some(asked) = self.line.overdue() {
            self.give_up(asked);
            self.poll();
        }
    }

    /// Notes what a verdict on the record may need. False when it is not of a container that is wanted.
    fn surroundings(&mut self, record: &Record<'_>) -> bool {
        let header = record.header();
        let process = self.find(header.exec_id, header.tgid, header.time);
        let (pending, in_container, wanted) = match self.containers.of(header) {
            Where::Host => (None, false, self.options.containers.is_empty()),
            Where::Container(container) => (None, true, is_wanted(&self.options.containers, container)),
            Where::Pending(key) => (Some(key), true, true),
        };
        if in_container {
            self.cgroup(header.cgroup);
            self.member(header.exec_id, header.cgroup);
        }
        match (process, pending) {
            // Its names are asked for when it is known.
            (None, _) => {}
            (Some(process), None) => self.names(&process, header.time),
            (Some(process), Some(key)) => {
                let known =
                    self.waiting.iter().any(|(k, p, _)| *k == key && p.task.mntns == process.task.mntns);
                if !known && self.waiting.len() < WAITING_MAX {
                    self.waiting.push((key, process, header.time));
                }
            }
        }
        wanted
    }

    /// The process; `None` while `/proc` is asked for it, and the line waits.
    fn find(&mut self, exec_id: u64, tgid: u32, time: u64) -> Option<Arc<Process>> {
        match self.processes.find(exec_id, tgid, time) {
            Found::Known(process) | Found::Unknown(process) => Some(process),
            Found::Pending { key, process } => {
                self.line.ask(Asked::Process(key));
                process
            }
        }
    }

    /// Notes what a cgroup belongs to.
    fn cgroup(&mut self, cgroup: u64) {
        if self.told.contains(&cgroup) {
            return;
        }
        let Some(belongs) = self.containers.belongs(cgroup) else { return };
        let container = belongs.key.0;
        let outer = belongs.outer.map(|key| key.0);
        let frame = CgroupFrame { cgroup, container, candidate: belongs.candidate.clone(), outer };
        let metadata = belongs.container.map(|c| Box::new(Container::clone(c)));
        self.line.json(kind::CGROUP, &frame);
        self.metadata(container, metadata);
        if self.told.len() >= TOLD_MAX {
            self.told.clear();
        }
        self.told.insert(cgroup);
    }

    /// Notes that a process is in a container of which its cgroup says nothing.
    fn member(&mut self, process: u64, cgroup: u64) {
        if self.told_members.contains(&process) {
            return;
        }
        let Some(belongs) = self.containers.admitted(process, cgroup) else { return };
        let container = belongs.key.0;
        let frame = MemberFrame { process, container, candidate: belongs.candidate.clone() };
        let metadata = belongs.container.map(|c| Box::new(Container::clone(c)));
        self.line.json(kind::MEMBER, &frame);
        self.metadata(container, metadata);
        if self.told_members.len() >= TOLD_MAX {
            self.told_members.clear();
        }
        self.told_members.insert(process);
    }

    /// Notes what is known of a container before its event comes.
    fn metadata(&mut self, container: u64, metadata: Option<Box<Container>>) {
        if metadata.is_some() {
            let time = clock::boot();
            let frame = ContainerFrame { container, happened: Happened::Updated, time, metadata };
            self.line.json(kind::CONTAINER, &frame);
        }
    }

    /// Has the line wait for the names that a process goes by, if they are not known yet.
    fn names(&mut self, process: &Process, time: u64) {
        if let Some(asked) = self.ask_names(process, time) {
            self.line.ask(asked);
        }
    }

    fn ask_names(&mut self, process: &Process, time: u64) -> Option<Asked> {
        let others = self.processes.neighbours(process, time);
        self.users.prepare(process, others, time).map(Asked::Names)
    }

    fn keep(&mut self, record: &Record<'_>, event: &Event) {
        let mut bytes = Cow::Borrowed(record.bytes());
        if !self.options.environment
            && let Some(Change::Execed(_)) = events::change(record)
            && let Some(exec) = record.body::<Exec>()
        {
            blank(bytes.to_mut(), exec.env);
        }
        let weight = if event.info.feeds_state() { Weight::State } else { Weight::Event };
        self.line.frame(kind::RECORD, &bytes, weight);
    }

    /// Takes in what became known. Call it as often as a judge's `poll`.
    pub fn poll(&mut self) {
        for settled in self.processes.poll() {
            let next = settled.told.as_ref().and_then(|process| self.ask_names(process, clock::boot()));
            let bytes = settled.told.map(|process| process_bytes(&process, self.options.environment));
            self.line.answer(Asked::Process(settled.key), bytes.map(|bytes| (kind::PROCESS, bytes)), next);
        }
        for event in self.containers.poll() {
            let (key, happened, metadata) = match event {
                ContainerEvent::Ready(key, container) => {
                    let (now, waiting) =
                        std::mem::take(&mut self.waiting).into_iter().partition(|(waits, ..)| *waits == key);
                    self.waiting = waiting;
                    for (_, process, time) in now {
                        self.names(&process, time);
                    }
                    (key, Happened::Ready, container)
                }
                ContainerEvent::Updated(key, container) => (key, Happened::Updated, Some(container)),
                ContainerEvent::Removed(key, container) => (key, Happened::Removed, Some(container)),
            };
            let frame = ContainerFrame {
                container: key.0,
                happened,
                time: clock::boot(),
                metadata: metadata.map(|c| Box::new(Container::clone(&c))),
            };
            self.line.json(kind::CONTAINER, &frame);
        }
        for settled in self.users.poll() {
            let listing = if settled.changed { self.users.listing(settled.mntns) } else { None };
            let bytes = listing.and_then(|listing| serde_json::to_vec(&listing).ok());
            self.line.answer(Asked::Names(settled.mntns), bytes.map(|bytes| (kind::NAMES, bytes)), None);
        }
    }

    /// Descriptors that are readable when [`Recorder::poll`] has something to do.
    pub fn wake_fds(&self) -> Vec<BorrowedFd<'_>> {
        let (processes, containers) = (self.processes.wake_fd(), self.containers.wake_fd());
        processes.into_iter().chain(containers).chain(self.users.wake_fds()).collect()
    }

    fn give_up(&mut self, asked: Asked) {
        match asked {
            Asked::Process(key) => self.processes.give_up(key),
            Asked::Names(mntns) => self.users.give_up(mntns),
        }
    }

    /// Once a second: where the clock stands, what was lost, and everything so far on its way to the disk.
    pub fn tick(&mut self, counters: EventCounters) {
        self.clock();
        let lost = Lost { time: clock::boot(), kernel: counters.lost(), recorder: self.line.lost() };
        if (lost.kernel, lost.recorder) != (self.lost.kernel, self.lost.recorder) {
            self.lost = lost;
            self.line.json(kind::LOST, &lost);
        }
        self.line.flush();
    }

    fn clock(&mut self) {
        let frame = ClockFrame { time: clock::boot(), offset: Clock::sample().offset() };
        self.line.json(kind::CLOCK, &frame);
    }

    /// True when the file has its full size, or cannot be written.
    pub fn ended(&self) -> bool {
        self.line.ended()
    }

    /// The end: writes the rest.
    pub fn finish(mut self) -> io::Result<Summary> {
        // A process that is told may lead to the question for its names.
        for _ in 0..2 {
            for asked in self.line.asked() {
                self.give_up(asked);
            }
            self.poll();
        }
        let records = self.line.records();
        self.line.json(kind::END, &End { time: clock::boot(), records });
        let lost = self.line.lost();
        Ok(Summary { records, lost, bytes: self.line.finish()? })
    }
}

/// Whether somebody asked for this container.
fn is_wanted(wanted: &[String], container: &Container) -> bool {
    wanted.is_empty()
        || wanted.iter().any(|w| container.name == *w || container.full_id.starts_with(w.as_str()))
}

/// Overwrites a tail's bytes.
fn blank(bytes: &mut [u8], tail: Tail) {
    let start = usize::from(tail.off);
    if let Some(part) = bytes.get_mut(start..start + usize::from(tail.len)) {
        part.fill(0);
    }
}

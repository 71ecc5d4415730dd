//! The table of processes, kept by lifecycle records, seeded and healed from `/proc`.
//!
//! A process is known by its exec id ([`sensor_ebpf::record::exec_id`]), so a reused pid is never taken for the process that
//! had it before. An entry is an immutable snapshot behind an `Arc`, replaced when the process runs a new image or
//! changes its ids, its directory or its session: whoever holds an event back keeps the process as it was then.
//!
//! The table is bounded in entries and in bytes. When it is full, dead processes go first, then the oldest; a living process
//! that was thrown out is asked for in `/proc` when it shows again. The answer comes later, from a thread beside ([`heal`]):
//! until then [`Processes::find`] says [`Found::Pending`], and the events of that process alone wait.

mod changed;
mod heal;
mod images;

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt as _};
use sensor_ebpf::events::{self, Change, NewImage};
use sensor_ebpf::record::{Record, Task, tgid_of};

use super::process::{Image, Process};
use super::procfs::ProcFs;
use changed::Changed;
use heal::{Answer, Death, Healing};
use images::Images;

/// Limits of the table.
#[derive(Debug, Clone)]
pub struct Options {
    /// Most entries, dead ones included.
    pub max_entries: usize,
    /// Most bytes of paths, arguments and environments. What several processes share counts once.
    pub max_bytes: usize,
    /// How long a dead process is kept: late records and its children still ask for it.
    pub keep_dead: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_entries: 64 * 1024, max_bytes: 128 << 20, keep_dead: Duration::from_secs(30) }
    }
}

/// Counters of the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    pub entries: usize,
    pub dead: usize,
    pub bytes: usize,
    /// Asked for in `/proc`, without an answer so far.
    pub asked: usize,
    /// Thrown out because the table was full.
    pub evicted_dead: u64,
    pub evicted_live: u64,
    /// Unknown processes that `/proc` knew, and those that it did not.
    pub healed: u64,
    pub not_healed: u64,
    /// Not asked for in `/proc`, because there were too many in a second or too many without an answer.
    pub not_asked: u64,
    /// Waits that ended before `/proc` had answered.
    pub unanswered: u64,
}

/// What the table says of a record's process.
#[derive(Debug, Clone)]
pub enum Found {
    Known(Arc<Process>),
    /// Nobody can tell all of it, and nobody is asked.
    Unknown(Arc<Process>),
    /// `/proc` is asked for `key`: hold the event until [`Processes::poll`] names it. `process`: known, and only its parent is
    /// asked for.
    Pending {
        key: u64,
        process: Option<Arc<Process>>,
    },
}

/// The wait for a process has ended.
#[derive(Debug, Clone)]
pub struct Settled {
    /// Its exec id.
    pub key: u64,
    /// The process as `/proc` told it; `None` when it did not, or not in time.
    pub told: Option<Arc<Process>>,
}

struct Slot {
    process: Arc<Process>,
    death: Option<Death>,
    /// It was made by a process of which nothing was known: what it runs is not known before its next exec.
    partial: bool,
}

/// Most ancestors that are looked at, and steps to the leader of a session or a group.
pub const MAX_ANCESTORS: usize = 64;
/// Parents that are looked through to find one that lives; namespaces can be 32 deep.
const MAX_REAPERS: usize = 40;
/// How often dead processes are looked for.
const SWEEP_EVERY: u64 = 5_000_000_000;

/// The table of processes.
pub struct Processes {
    options: Options,
    /// `None`: sealed, whatever is known was put in.
    healing: Option<Healing>,
    slots: HashMap<u64, Slot>,
    /// Living processes by tgid.
    pids: HashMap<u32, u64>,
    images: Images,
    /// Bytes of the working directories of all entries; those that entries share count for each.
    cwds: usize,
    /// The image of all of which nothing is known.
    unknown: Arc<Image>,
    settled: Vec<Settled>,
    dead: usize,
    swept: u64,
    stats: Stats,
}

impl Processes {
    /// An empty table. Fails when there is no file descriptor left.
    pub fn new(options: Options, procfs: ProcFs) -> io::Result<Self> {
        Ok(Self::with(options, Some(Healing::new(procfs)?)))
    }

    /// An empty table that never looks at this machine: a capture tells it, by [`Processes::insert`], what `/proc` told when
    /// it was made.
    pub fn sealed(options: Options) -> Self {
        Self::with(options, None)
    }

    fn with(options: Options, healing: Option<Healing>) -> Self {
        Self {
            options,
            healing,
            slots: HashMap::new(),
            pids: HashMap::new(),
            images: Images::new(),
            cwds: 0,
            unknown: Arc::new(Image::unknown()),
            settled: Vec::new(),
            dead: 0,
            swept: 0,
            stats: Stats::default(),
        }
    }

    /// Takes in every process that `/proc` lists, and waits for it. Call it after the probe is attached, before records are read,
    /// so that no process falls between. Returns how many were found.
    pub fn seed(&mut self) -> usize {
        let Some(mut healing) = self.healing.take() else { return 0 };
        let mut found = 0;
        healing.read_all(|process| {
            self.install(process, false);
            found += 1;
        });
        self.healing = Some(healing);
        // The namespace's init may have come after its members.
        let starts: HashMap<u32, u64> = self
            .slots
            .values()
            .filter(|s| s.process.task.vpid == 1)
            .map(|s| (s.process.task.pidns, s.process.task.start))
            .collect();
        for slot in self.slots.values_mut() {
            if let Some(&start) = starts.get(&slot.process.task.pidns) {
                Arc::make_mut(&mut slot.process).task.pidns_start = start;
            }
        }
        found
    }

    /// Takes in a record that changes the state; others are ignored.
    pub fn apply(&mut self, record: &Record) {
        let header = record.header();
        match events::change(record) {
            Some(Change::Forked { task, forker }) => self.fork(record, *task, forker),
            Some(Change::Execed(image)) => self.exec(record, &image),
            Some(Change::Exited { reaper }) => self.exit(header.exec_id, header.time, reaper),
            Some(Change::Grouped { tgid, pgid }) => self.grouped(header.exec_id, tgid, pgid),
            Some(change) => {
                if let Some(changed) = Changed::of(header, &change) {
                    self.changed(header.exec_id, changed);
                }
            }
            None => {}
        }
        if header.time.saturating_sub(self.swept) > SWEEP_EVERY {
            self.sweep(header.time);
        }
    }

    /// Puts in a process as it was found elsewhere.
    pub fn insert(&mut self, process: Process) {
        self.install(process, false);
    }

    /// Every process that is kept, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Process>> {
        self.slots.values().map(|s| &s.process)
    }

    /// A process, also a dead one that is still kept.
    pub fn get(&self, exec_id: u64) -> Option<&Arc<Process>> {
        self.slots.get(&exec_id).map(|s| &s.process)
    }

    /// The process of a record. An unknown one is asked for in `/proc`, and so is one that an unknown one made. `now`:
    /// the event's time, `CLOCK_BOOTTIME` ns.
    pub fn find(&mut self, exec_id: u64, tgid: u32, now: u64) -> Found {
        let Some(healing) = &mut self.healing else { return self.known(exec_id, tgid) };
        match self.slots.get(&exec_id) {
            Some(slot) if !slot.partial => {
                let parent = slot.process.task.parent_exec_id;
                let process = slot.process.clone();
                if healing.awaits(parent) {
                    return Found::Pending { key: parent, process: Some(process) };
                }
                Found::Known(process)
            }
            _ if healing.ask(exec_id, tgid, now) => Found::Pending { key: exec_id, process: None },
            _ => self.known(exec_id, tgid),
        }
    }

    /// What is known of a process now; nobody is asked.
    pub fn known(&self, exec_id: u64, tgid: u32) -> Found {
        match self.slots.get(&exec_id) {
            Some(slot) if slot.partial => Found::Unknown(slot.process.clone()),
            Some(slot) => Found::Known(slot.process.clone()),
            None => {
                let image = self.unknown.clone();
                Found::Unknown(Arc::new(Process { image, ..Process::unknown(exec_id, tgid) }))
            }
        }
    }

    /// Takes in what `/proc` told, and ends waits whose time is up. Call it when [`Processes::wake_fd`] is readable, and at
    /// least every 100 ms or so.
    pub fn poll(&mut self) -> Vec<Settled> {
        let Some(healing) = &mut self.healing else { return Vec::new() };
        for answer in healing.answers() {
            self.answered(answer);
        }
        let now = Instant::now();
        while let Some(exec_id) = self.healing.as_mut().and_then(|healing| healing.overdue(now)) {
            self.give_up(exec_id);
        }
        std::mem::take(&mut self.settled)
    }

    /// Ends the wait for `/proc`, for whoever cannot hold more events back: the next [`Processes::poll`] names the process. An
    /// answer that comes later still counts. Nothing happens to one that is not waited for.
    pub fn give_up(&mut self, key: u64) {
        if self.healing.as_mut().is_some_and(|healing| healing.give_up(key)) {
            self.stats.unanswered += 1;
            self.settled.push(Settled { key, told: None });
        }
    }

    /// Readable when [`Processes::poll`] has something to tell; a sealed table has none.
    pub fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        self.healing.as_ref().map(Healing::wake_fd)
    }

    fn answered(&mut self, answer: Answer) {
        let Answer { exec_id: key, pending, process } = answer;
        let told = process.map(|process| self.heal(process, &pending));
        match &told {
            Some(_) => self.stats.healed += 1,
            None => self.stats.not_healed += 1,
        }
        if !pending.over {
            self.settled.push(Settled { key, told });
        }
    }

    /// Puts in what `/proc` told, as far as no record has told newer things.
    fn heal(&mut self, mut process: Process, pending: &heal::Pending) -> Arc<Process> {
        let task = &mut process.task;
        task.pidns_start = if task.vpid == 1 {
            task.start
        } else {
            let known = self.slots.values().find(|s| s.process.task.pidns == task.pidns);
            known.map_or(0, |s| s.process.task.pidns_start)
        };
        match self.slots.get_mut(&process.exec_id) {
            // A fork told of it, but not what it runs.
            Some(slot) if slot.partial => {
                slot.partial = false;
                self.images.remove(&slot.process.image);
                self.images.add(&process.image);
                let entry = Arc::make_mut(&mut slot.process);
                entry.image = process.image;
                self.cwds = self.cwds - entry.cwd.len() + process.cwd.len();
                entry.cwd = pending.changed.cwd.clone().unwrap_or(process.cwd);
                slot.process.clone()
            }
            // It ran something new since; the events that wait are from before that.
            Some(_) => Arc::new(process),
            None => {
                pending.changed.apply(&mut process);
                // Whoever has the pid now keeps it.
                let now = self.pids.get(&process.tgid).copied();
                let process = self.install(process, false);
                if let (Some(death), Some(slot)) = (pending.death, self.slots.get_mut(&process.exec_id)) {
                    slot.death = Some(death);
                    self.dead += 1;
                    match now {
                        Some(now) => self.pids.insert(process.tgid, now),
                        None => self.pids.remove(&process.tgid),
                    };
                }
                process
            }
        }
    }

    /// The parent as it was at `at` (`CLOCK_BOOTTIME` ns, the event's time): a parent that had ended before is
    /// replaced by the process that inherited its children.
    pub fn parent(&self, of: &Process, at: u64) -> Option<&Arc<Process>> {
        // The entry may know a newer parent than a snapshot that was held back.
        let mut id = self.slots.get(&of.exec_id).map_or(of, |s| &s.process).task.parent_exec_id;
        for _ in 0..MAX_REAPERS {
            if id == of.exec_id {
                return None;
            }
            let slot = self.slots.get(&id)?;
            match slot.death {
                Some(death) if death.at < at => id = death.reaper,
                _ => return Some(&slot.process),
            }
        }
        None
    }

    /// The process that forked this one, as long as it is kept.
    pub fn forker(&self, of: &Process) -> Option<&Arc<Process>> {
        self.get(of.forked_by)
    }

    /// The living process with that pid in the initial namespace.
    pub fn by_pid(&self, tgid: u32) -> Option<&Arc<Process>> {
        self.get(*self.pids.get(&tgid)?)
    }

    /// The session's leader; when it is gone, the oldest ancestor (or the process itself) in the same session, as in Falco.
    pub fn session_leader<'a>(&'a self, of: &'a Arc<Process>, at: u64) -> &'a Arc<Process> {
        self.leader(of, at, |task| task.sid)
    }

    /// The leader of the process group, found the same way.
    pub fn group_leader<'a>(&'a self, of: &'a Arc<Process>, at: u64) -> &'a Arc<Process> {
        self.leader(of, at, |task| task.pgid)
    }

    /// The process whose pid names the set that `of` is in; without it, the oldest ancestor in the same set.
    fn leader<'a>(&'a self, of: &'a Arc<Process>, at: u64, set: fn(&Task) -> u32) -> &'a Arc<Process> {
        if let Some(leader) = self.by_pid(set(&of.task)).filter(|p| set(&p.task) == set(&of.task)) {
            // An event that was held has the process as it was then, also where it is its own leader.
            return if leader.exec_id == of.exec_id { of } else { leader };
        }
        let mut oldest = of;
        for _ in 0..MAX_ANCESTORS {
            match self.parent(oldest, at) {
                Some(parent) if set(&parent.task) == set(&of.task) => oldest = parent,
                _ => break,
            }
        }
        oldest
    }

    /// Ancestors in the same mount namespace, the parent first.
    pub fn neighbours<'a>(&'a self, of: &'a Process, at: u64) -> impl Iterator<Item = &'a Arc<Process>> {
        let parents = std::iter::successors(self.parent(of, at), move |process| self.parent(process, at));
        parents.take(MAX_ANCESTORS).filter(|process| process.task.mntns == of.task.mntns)
    }

    pub fn stats(&self) -> Stats {
        let (asked, not_asked) = self.healing.as_ref().map_or((0, 0), |h| (h.len(), h.not_asked));
        let (entries, bytes) = (self.slots.len(), self.bytes());
        Stats { entries, dead: self.dead, bytes, asked, not_asked, ..self.stats }
    }

    fn fork(&mut self, record: &Record, mut task: Task, forker: u64) {
        let header = record.header();
        let parent = task.parent_exec_id;
        if let Some(healing) = &mut self.healing {
            if !self.slots.contains_key(&parent) {
                healing.ask(parent, task.ppid, header.time);
            }
            if forker != parent && !self.slots.contains_key(&forker) {
                healing.ask(forker, tgid_of(forker), header.time);
            }
        }
        // A child runs the image of who forked it, under the name that came with the image: a name that a process gave itself before
        // is no name of its child.
        let (image, cwd, partial) = if let Some(forker) = self.slots.get(&forker) {
            let Slot { process, partial, .. } = forker;
            task.comm = process.task.comm;
            (process.image.clone(), process.cwd.clone(), *partial)
        } else {
            (self.unknown.clone(), Arc::default(), true)
        };
        let process = Process {
            exec_id: header.exec_id,
            tgid: header.tgid,
            forked_by: forker,
            task,
            cgroup: header.cgroup,
            cloned: header.time,
            execed: 0,
            cwd,
            image,
        };
        self.install(process, partial);
    }

    fn exec(&mut self, record: &Record, image: &NewImage<'_>) {
        let header = record.header();
        let before = self.slots.get(&header.exec_id).map(|slot| &slot.process);
        let (cloned, forked_by) = before.map_or((image.task.start, 0), |p| (p.cloned, p.forked_by));
        let process = Process {
            exec_id: header.exec_id,
            tgid: header.tgid,
            forked_by,
            task: *image.task,
            cgroup: header.cgroup,
            cloned,
            execed: header.time,
            cwd: image.cwd.into(),
            image: Arc::new(Image::of_exec(image)),
        };
        self.install(process, false);
    }

    fn exit(&mut self, exec_id: u64, time: u64, reaper: u32) {
        let reaper = self.pids.get(&reaper).copied().unwrap_or(0);
        let death = Death { at: time, reaper };
        if let Some(pending) = self.pending(exec_id) {
            pending.death = Some(death);
        }
        let Some(slot) = self.slots.get_mut(&exec_id) else { return };
        if slot.death.is_none() {
            self.dead += 1;
        }
        slot.death = Some(death);
        let tgid = slot.process.tgid;
        if self.pids.get(&tgid) == Some(&exec_id) {
            self.pids.remove(&tgid);
        }
    }

    fn changed(&mut self, exec_id: u64, now: Changed) {
        let slot = self.slots.get_mut(&exec_id);
        if let Some(slot) = slot {
            let before = slot.process.cwd.len();
            // Copies the entry if a held event still has the old one.
            let process = Arc::make_mut(&mut slot.process);
            now.apply(process);
            self.cwds = self.cwds - before + process.cwd.len();
        }
        if let Some(pending) = self.pending(exec_id) {
            pending.changed.then(now);
        }
    }

    /// `by` put the process `tgid` into a group, which only a parent may.
    fn grouped(&mut self, by: u64, tgid: u32, pgid: u32) {
        let Some(slot) = self.pids.get(&tgid).and_then(|exec_id| self.slots.get_mut(exec_id)) else { return };
        if slot.process.task.parent_exec_id != by {
            return;
        }
        let task = &mut Arc::make_mut(&mut slot.process).task;
        task.pgid = pgid;
        // Its own numbers are the same, unless it is in a namespace of its own.
        if task.vpid == tgid {
            task.vpgid = pgid;
        }
    }

    /// Bytes of what is kept of all processes.
    fn bytes(&self) -> usize {
        self.images.bytes() + self.cwds
    }

    fn pending(&mut self, exec_id: u64) -> Option<&mut heal::Pending> {
        self.healing.as_mut()?.pending(exec_id)
    }

    /// Puts a process in, in place of what was known of it.
    fn install(&mut self, process: Process, partial: bool) -> Arc<Process> {
        let process = Arc::new(process);
        self.images.add(&process.image);
        self.cwds += process.cwd.len();
        self.pids.insert(process.tgid, process.exec_id);
        let slot = Slot { process: process.clone(), death: None, partial };
        if let Some(old) = self.slots.insert(process.exec_id, slot) {
            self.images.remove(&old.process.image);
            self.cwds -= old.process.cwd.len();
            self.dead -= usize::from(old.death.is_some());
        }
        if self.is_over(self.options.max_entries, self.options.max_bytes) {
            self.make_room(process.exec_id);
        }
        process
    }

    fn is_over(&self, entries: usize, bytes: usize) -> bool {
        self.slots.len() > entries || self.bytes() > bytes
    }

    /// Forgets what has been dead for long, and gives the children of the dead to whoever inherited them.
    fn sweep(&mut self, now: u64) {
        self.swept = now;
        let keep = u64::try_from(self.options.keep_dead.as_nanos()).unwrap_or(u64::MAX);
        let gone: Vec<u64> = self
            .slots
            .values()
            .filter(|s| s.death.is_some_and(|d| now.saturating_sub(d.at) > keep))
            .map(|s| s.process.exec_id)
            .collect();
        let mut heirs = HashMap::new();
        for exec_id in gone {
            self.remove(exec_id, &mut heirs);
        }
        self.inherit(&heirs);
    }

    /// Frees a sixteenth of the table, so that a full one does not pay for every newcomer: dead ones first, then the
    /// oldest.
    fn make_room(&mut self, newest: u64) {
        let entries = self.options.max_entries - self.options.max_entries / 16;
        let bytes = self.options.max_bytes - self.options.max_bytes / 16;
        let mut order: Vec<(bool, u64, u64)> = self
            .slots
            .values()
            .filter(|s| s.process.exec_id != newest)
            .map(|s| match s.death {
                Some(death) => (false, death.at, s.process.exec_id),
                None => (true, s.process.task.start, s.process.exec_id),
            })
            .collect();
        order.sort_unstable();
        let mut heirs = HashMap::new();
        for (live, _, exec_id) in order {
            if !self.is_over(entries, bytes) {
                break;
            }
            self.remove(exec_id, &mut heirs);
            if live {
                self.stats.evicted_live += 1;
            } else {
                self.stats.evicted_dead += 1;
            }
        }
        self.inherit(&heirs);
    }

    /// Takes a process out; `heirs` gets who inherited its children. [`Self::inherit`] must follow.
    fn remove(&mut self, exec_id: u64, heirs: &mut HashMap<u64, u64>) {
        let Some(slot) = self.slots.remove(&exec_id) else { return };
        self.images.remove(&slot.process.image);
        self.cwds -= slot.process.cwd.len();
        match slot.death {
            Some(death) => {
                self.dead -= 1;
                heirs.insert(exec_id, death.reaper);
            }
            None => {
                self.pids.remove(&slot.process.tgid);
            }
        }
    }

    /// Gives the children of who is gone to who inherited them.
    fn inherit(&mut self, heirs: &HashMap<u64, u64>) {
        if heirs.is_empty() {
            return;
        }
        for slot in self.slots.values_mut() {
            let mut parent = slot.process.task.parent_exec_id;
            for _ in 0..MAX_REAPERS {
                let Some(&heir) = heirs.get(&parent) else { break };
                parent = heir;
            }
            if parent != slot.process.task.parent_exec_id {
                Arc::make_mut(&mut slot.process).task.parent_exec_id = parent;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sensor_ebpf::events::Kind;
    use sensor_ebpf::events::chdir::ChangedDir;
    use sensor_ebpf::events::plain::Plain;
    use sensor_ebpf::events::process::{Exit, Fork};
    use sensor_ebpf::events::session::Regrouped;
    use sensor_ebpf::record::{Groups, Header, Tail};

    use super::*;
    use crate::state::testing::Who;

    const S: u64 = 1_000_000_000;
    const INIT: Who = Who { pid: 1, start: 1 };
    const SHELL: Who = Who { pid: 100, start: 10 };
    const CHILD: Who = Who { pid: 200, start: 20 };
    const GRANDCHILD: Who = Who { pid: 300, start: 30 };

    fn empty(options: Options) -> (Processes, tempfile::TempDir) {
        let proc_root = tempfile::tempdir().unwrap();
        (Processes::new(options, ProcFs::new(proc_root.path(), None)).unwrap(), proc_root)
    }

    /// init <- shell, which runs `/bin/sh -i`.
    fn with_shell(options: Options) -> (Processes, tempfile::TempDir) {
        let (mut table, dir) = empty(options);
        table.apply(&INIT.exec(1, INIT.task(Who { pid: 0, start: 0 }, "init"), "/init", b"init\0").record());
        table.apply(&SHELL.fork(10, SHELL.task(INIT, "init")).record());
        table.apply(&SHELL.exec(11, SHELL.task(INIT, "sh"), "/bin/sh", b"sh\0-i\0").record());
        (table, dir)
    }

    #[test]
    fn a_fork_has_its_parents_image_and_an_exec_its_own() {
        let (mut table, _dir) = with_shell(Options::default());
        table.apply(&CHILD.fork(20, CHILD.task(SHELL, "sh")).record());
        let held = table.get(CHILD.exec_id()).unwrap().clone();
        assert_eq!(
            (&*held.image.exepath, held.image.arg0(), held.comm()),
            (&b"/bin/sh"[..], &b"sh"[..], &b"sh"[..])
        );
        assert_eq!((held.cloned, held.execed), (20 * S, 0));
        assert!(Arc::ptr_eq(&held.image, &table.get(SHELL.exec_id()).unwrap().image));

        table.apply(&CHILD.exec(21, CHILD.task(SHELL, "cat"), "/bin/cat", b"cat\0/etc/shadow\0").record());
        let now = table.get(CHILD.exec_id()).unwrap();
        assert_eq!((now.comm(), now.image.rest()), (&b"cat"[..], &b"/etc/shadow\0"[..]));
        assert_eq!((now.cloned, now.execed), (20 * S, 21 * S), "the clone time outlives the exec");
        assert_eq!(held.comm(), b"sh", "what was held is as it was");
        assert_eq!((held.forked_by, now.forked_by), (SHELL.exec_id(), SHELL.exec_id()));
        assert_eq!(table.by_pid(200).unwrap().exec_id, CHILD.exec_id());
    }

    #[test]
    fn children_go_to_the_reaper_when_the_parent_has_ended() {
        let (mut table, _dir) = with_shell(Options::default());
        table.apply(&CHILD.fork(20, CHILD.task(SHELL, "sh")).record());
        table.apply(&GRANDCHILD.fork(30, GRANDCHILD.task(CHILD, "sh")).record());
        table.apply(&CHILD.exit(31, INIT).record());
        let grandchild = table.get(GRANDCHILD.exec_id()).unwrap().clone();
        let parent = |at: u64| table.parent(&grandchild, at * S).map(|p| p.tgid);
        assert_eq!(table.forker(&grandchild).unwrap().tgid, 200, "who forked it stays the same");
        assert_eq!(parent(31), Some(200), "an event from before the end still has the parent");
        assert_eq!(parent(32), Some(1));
        assert!(table.by_pid(200).is_none());
        assert_eq!(table.get(CHILD.exec_id()).unwrap().tgid, 200, "late records find it");
        assert_eq!(table.stats().dead, 1);

        // Once it is forgotten, the child's entry names the heir, and so does a snapshot from before.
        table.apply(&SHELL.setuid(100, 0, 5).record());
        assert!(table.get(CHILD.exec_id()).is_none());
        assert_eq!(table.stats().dead, 0);
        assert_eq!(table.parent(&grandchild, 100 * S).map(|p| p.tgid), Some(1));
        assert!(table.forker(&grandchild).is_none(), "nothing is known of it any more");
    }

    #[test]
    fn a_reused_pid_is_another_process() {
        let (mut table, _dir) = with_shell(Options::default());
        let again = Who { pid: SHELL.pid, start: 50 };
        table.apply(&SHELL.exit(40, INIT).record());
        table.apply(&again.fork(50, again.task(INIT, "new")).record());
        assert_eq!(table.by_pid(SHELL.pid).unwrap().exec_id, again.exec_id());
        assert_eq!(table.get(SHELL.exec_id()).unwrap().comm(), b"sh");
        // A late second end of the old one does not touch the new one.
        table.apply(&SHELL.exit(51, INIT).record());
        assert!(table.by_pid(SHELL.pid).is_some());
    }

    #[test]
    fn setuid_changes_the_entry_only_when_it_succeeds() {
        let (mut table, _dir) = with_shell(Options::default());
        let held = table.get(SHELL.exec_id()).unwrap().clone();
        table.apply(&SHELL.setuid(12, -1, 33).record());
        assert_eq!(table.get(SHELL.exec_id()).unwrap().task.uid, 0);
        table.apply(&SHELL.setuid(13, 0, 33).record());
        let now = table.get(SHELL.exec_id()).unwrap();
        assert_eq!((now.task.uid, now.task.cap_permitted, now.task.cap_effective), (33, 7, 3));
        assert_eq!(held.task.uid, 0);
    }

    #[test]
    fn a_child_has_the_name_of_the_image_that_it_runs() {
        let (mut table, _dir) = with_shell(Options::default());
        // The shell calls itself something else; the kernel gives that name to its children.
        table.apply(&CHILD.fork(20, CHILD.task(SHELL, "kworker/0:1")).record());
        assert_eq!(table.get(CHILD.exec_id()).unwrap().comm(), b"sh");
        table.apply(&GRANDCHILD.fork(30, GRANDCHILD.task(CHILD, "sshd")).record());
        assert_eq!(table.get(GRANDCHILD.exec_id()).unwrap().comm(), b"sh");
        // A sibling that it makes is no child of what its parent runs.
        let sibling = Who { pid: 400, start: 40 };
        table.apply(&sibling.fork_as_sibling(40, sibling.task(INIT, "sshd"), SHELL).record());
        let sibling = table.get(sibling.exec_id()).unwrap();
        assert_eq!((sibling.comm(), &*sibling.image.exepath), (&b"sh"[..], &b"/bin/sh"[..]));
        assert_eq!(table.parent(sibling, 41 * S).unwrap().tgid, INIT.pid);
        assert_eq!(table.forker(sibling).unwrap().tgid, SHELL.pid);
        // Nobody knows what it runs; then the kernel's name is the best there is.
        let orphan = Who { pid: 500, start: 50 };
        let unknown = Who { pid: 499, start: 49 };
        table.apply(&orphan.fork(50, orphan.task(unknown, "strange")).record());
        assert_eq!(table.get(orphan.exec_id()).unwrap().comm(), b"strange");
    }

    #[test]
    fn a_directory_is_the_processs_own_from_its_fork_on() {
        let (mut table, _dir) = with_shell(Options::default());
        let chdir = |who: Who, ret: i64, own: u32, path: &str| {
            crate::state::testing::record(Kind::Chdir, who.header(15), &[b"x", path.as_bytes()], |tails| {
                ChangedDir {
                    ret,
                    raw: tails[0],
                    cwd: if ret == 0 { tails[1] } else { Tail::EMPTY },
                    own,
                    reserved: 0,
                }
            })
        };
        let cwd = |table: &Processes, who: Who| {
            String::from_utf8(table.get(who.exec_id()).unwrap().cwd.to_vec()).unwrap()
        };
        table.apply(&chdir(SHELL, 0, 0, "/srv").record());
        table.apply(&chdir(SHELL, -2, 0, "/nothing").record());
        table.apply(&chdir(SHELL, 0, 1, "/of/a/thread").record());
        table.apply(&CHILD.fork(20, CHILD.task(SHELL, "sh")).record());
        assert_eq!((cwd(&table, SHELL), cwd(&table, CHILD)), ("/srv".into(), "/srv".into()));
        let held = table.get(CHILD.exec_id()).unwrap().clone();
        table.apply(&chdir(CHILD, 0, 0, "/").record());
        assert_eq!((cwd(&table, SHELL), cwd(&table, CHILD)), ("/srv".into(), "/".into()));
        assert_eq!(&*held.cwd, b"/srv", "what was held is as it was");
        assert!(Arc::ptr_eq(&held.image, &table.get(SHELL.exec_id()).unwrap().image));
        for exec_id in table.slots.keys().copied().collect::<Vec<_>>() {
            table.remove(exec_id, &mut HashMap::new());
        }
        assert_eq!(table.stats().bytes, 0, "what comes in goes out");
    }

    #[test]
    fn sessions_and_groups_change_by_the_process_and_by_its_parent() {
        let (mut table, _dir) = with_shell(Options::default());
        table.apply(&CHILD.fork(20, Task { tty: 9, ..CHILD.task(SHELL, "sh") }).record());
        let regrouped = |who: Who, kind: Kind, level: u32, pid: u32, pgid: u32| {
            let now = Groups { sid: who.pid, pgid: who.pid, vsid: 1, vpgid: 1, tty: 0, level };
            crate::state::testing::record(kind, who.header(21), &[], |_| Regrouped { ret: 0, now, pid, pgid })
        };
        let of = |table: &Processes, who: Who| {
            let task = table.get(who.exec_id()).unwrap().task;
            (task.sid, task.pgid, task.vpgid, task.tty)
        };
        let group = |by: Who, level: u32, pid: u32, pgid: u32| regrouped(by, Kind::Setpgid, level, pid, pgid);
        table.apply(&group(SHELL, 0, CHILD.pid, 0).record());
        assert_eq!(of(&table, CHILD), (0, CHILD.pid, CHILD.pid, 9));
        table.apply(&group(SHELL, 0, CHILD.pid, 77).record());
        assert_eq!(of(&table, CHILD), (0, 77, 77, 9));
        // Neither a stranger nor a number of another namespace.
        table.apply(&group(INIT, 0, CHILD.pid, 78).record());
        table.apply(&group(SHELL, 1, CHILD.pid, 79).record());
        assert_eq!(of(&table, CHILD), (0, 77, 77, 9));
        table.apply(&regrouped(CHILD, Kind::Setsid, 1, 0, 0).record());
        assert_eq!(of(&table, CHILD), (CHILD.pid, CHILD.pid, 1, 0));
    }

    #[test]
    fn the_session_leader_or_the_oldest_of_the_session() {
        let (mut table, _dir) = with_shell(Options::default());
        let session = |who: Who, parent: Who, name: &str| Task {
            sid: SHELL.pid,
            pgid: CHILD.pid,
            ..who.task(parent, name)
        };
        table.apply(&SHELL.exec(12, session(SHELL, INIT, "sh"), "/bin/sh", b"sh\0").record());
        table.apply(&CHILD.fork(20, session(CHILD, SHELL, "sh")).record());
        table.apply(&GRANDCHILD.fork(30, session(GRANDCHILD, CHILD, "sh")).record());
        let grandchild = table.get(GRANDCHILD.exec_id()).unwrap().clone();
        assert_eq!(table.session_leader(&grandchild, 30 * S).tgid, SHELL.pid);
        let held = table.get(SHELL.exec_id()).unwrap().clone();
        table.apply(&SHELL.exec(30, session(SHELL, INIT, "new"), "/bin/new", b"new\0").record());
        assert_eq!(table.session_leader(&held, 30 * S).comm(), b"sh", "it leads itself, as it was");
        table.apply(&SHELL.exit(31, INIT).record());
        assert_eq!(table.session_leader(&grandchild, 32 * S).tgid, CHILD.pid);
        assert_eq!(table.group_leader(&grandchild, 32 * S).tgid, CHILD.pid);
    }

    #[test]
    fn a_long_chain_costs_so_many_steps() {
        let (mut table, _dir) = with_shell(Options::default());
        let who = |i: u32| Who { pid: 1000 + i, start: 100 + u64::from(i) };
        for i in 1..200 {
            // A session whose leader is gone.
            let task = Task { sid: 999, ..who(i).task(who(i - 1), "x") };
            table.apply(&who(i).fork(100, task).record());
        }
        let last = table.get(who(199).exec_id()).unwrap();
        let steps = u32::try_from(MAX_ANCESTORS).unwrap();
        assert_eq!(table.session_leader(last, 200 * S).tgid, who(199 - steps).pid);
    }

    #[test]
    fn a_full_table_forgets_the_dead_then_the_oldest() {
        let (mut table, _dir) = with_shell(Options { max_entries: 16, ..Options::default() });
        let who = |i: u32| Who { pid: 1000 + i, start: 100 + u64::from(i) };
        for i in 0..14 {
            table.apply(&who(i).fork(100, who(i).task(SHELL, "x")).record());
        }
        table.apply(&who(13).exit(101, INIT).record());
        table.apply(&who(20).fork(120, who(20).task(SHELL, "x")).record());
        let stats = table.stats();
        assert_eq!((stats.entries, stats.evicted_dead, stats.evicted_live), (15, 1, 1));
        assert!(table.get(who(13).exec_id()).is_none(), "the dead one");
        assert!(table.get(INIT.exec_id()).is_none(), "the oldest");
        assert!(table.get(who(20).exec_id()).is_some(), "never the newest");
    }

    #[test]
    fn bytes_are_bounded_too() {
        let (mut table, _dir) = empty(Options { max_bytes: 64 * 1024, ..Options::default() });
        for i in 0..200 {
            let who = Who { pid: 1000 + i, start: 100 + u64::from(i) };
            table.apply(&who.exec(100, who.task(INIT, "x"), "/x", &[b'x'; 4000]).record());
            assert!(table.stats().bytes <= 64 * 1024);
        }
        let stats = table.stats();
        assert!(stats.evicted_live > 100 && stats.entries > 10, "{stats:?}");
        for exec_id in table.slots.keys().copied().collect::<Vec<_>>() {
            table.remove(exec_id, &mut HashMap::new());
        }
        assert_eq!(table.stats().bytes, 0, "what comes in goes out");
    }

    #[test]
    fn an_image_that_only_children_have_counts() {
        let (mut table, _dir) = empty(Options { max_bytes: 64 * 1024, ..Options::default() });
        for i in 0..50 {
            let parent = Who { pid: 1000 + i, start: 100 + u64::from(i) };
            let child = Who { pid: 5000 + i, start: 1000 + u64::from(i) };
            table.apply(&parent.exec(100, parent.task(INIT, "x"), "/x", &[b'x'; 4000]).record());
            table.apply(&child.fork(101, child.task(parent, "x")).record());
            // The parent runs something small; its old image lives on in the child.
            table.apply(&parent.exec(102, parent.task(INIT, "y"), "/y", b"y\0").record());
            let mut images: Vec<_> = table.iter().map(|p| &p.image).collect();
            images.sort_by_key(|image| Arc::as_ptr(image));
            images.dedup_by(|a, b| Arc::ptr_eq(a, b));
            let bytes: usize = images.iter().map(|image| image.bytes()).sum();
            assert_eq!(table.stats().bytes, bytes);
            assert!(bytes <= 64 * 1024);
        }
        assert!(table.stats().evicted_live > 0);
    }

    /// Polls until something is settled.
    fn settle(table: &mut Processes) -> Vec<Settled> {
        loop {
            let settled = table.poll();
            if !settled.is_empty() {
                return settled;
            }
            let fd = table.wake_fd().unwrap();
            let mut fds = [rustix::event::PollFd::from_borrowed_fd(fd, rustix::event::PollFlags::IN)];
            let limit = rustix::event::Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
            rustix::event::poll(&mut fds, Some(&limit)).unwrap();
        }
    }

    #[test]
    fn unknown_processes_are_healed_from_proc_once() {
        let mut table = Processes::new(Options::default(), ProcFs::new("/proc", None)).unwrap();
        let me = ProcFs::new("/proc", None).read(std::process::id()).unwrap();
        for _ in 0..2 {
            let found = table.find(me.exec_id, me.tgid, S);
            assert!(matches!(found, Found::Pending { key, process: None } if key == me.exec_id), "{found:?}");
        }
        let settled = settle(&mut table);
        let [Settled { key, told: Some(healed) }] = &settled[..] else { panic!("{settled:?}") };
        assert_eq!((*key, &healed.image.args), (me.exec_id, &me.image.args));
        assert!(matches!(table.find(me.exec_id, me.tgid, S), Found::Known(p) if Arc::ptr_eq(&p, healed)));
        // Another process had this pid.
        let other = me.exec_id - (1 << 22);
        assert!(matches!(table.find(other, me.tgid, S), Found::Pending { .. }));
        assert!(matches!(&settle(&mut table)[..], [Settled { told: None, .. }]));
        let Found::Unknown(other) = table.find(other, me.tgid, S) else { panic!("asked again") };
        assert_eq!((other.task.uid, other.comm()), (u32::MAX, &b""[..]));
        assert_eq!((table.stats().healed, table.stats().not_healed), (1, 1));
    }

    /// This process as a test speaks of it: the kernel's start time in ticks, whole seconds do not do.
    fn me() -> (Process, sensor_ebpf::record::Header) {
        let me = ProcFs::new("/proc", None).read(std::process::id()).unwrap();
        let header =
            sensor_ebpf::record::Header { exec_id: me.exec_id, ..Who { pid: me.tgid, start: 0 }.header(50) };
        (me, header)
    }

    #[test]
    fn what_happens_while_proc_is_asked_is_kept() {
        let mut table = Processes::new(Options::default(), ProcFs::new("/proc", None)).unwrap();
        let (me, header) = me();
        let setuid = Header { uid: 33, ..header };
        let setuid =
            crate::state::testing::record(Kind::Setuid, setuid, &[], |_| Plain { ret: 0, args: [33; 6] });
        let exit = crate::state::testing::record(Kind::Exit, header, &[], |_| Exit { status: 0, reaper: 1 });
        table.find(me.exec_id, me.tgid, S);
        table.apply(&setuid.record());
        table.apply(&exit.record());
        settle(&mut table);
        assert_eq!(table.get(me.exec_id).unwrap().task.uid, 33, "the record is newer than the question");
        assert_eq!(table.stats().dead, 1);
        assert!(table.by_pid(me.tgid).is_none(), "it ended");
    }

    #[test]
    fn a_child_of_an_unknown_process_waits_for_its_own_image() {
        let mut table = Processes::new(Options::default(), ProcFs::new("/proc", None)).unwrap();
        let (me, header) = me();
        let mut task = CHILD.task(SHELL, "x");
        (task.parent_exec_id, task.ppid) = (SHELL.exec_id(), u32::MAX);
        table.apply(
            &crate::state::testing::record(Kind::Fork, header, &[], |_| Fork {
                task,
                forker: SHELL.exec_id(),
            })
            .record(),
        );
        assert_eq!(table.stats().asked, 1, "for the parent");
        assert!(
            matches!(table.find(me.exec_id, me.tgid, S), Found::Pending { key, .. } if key == me.exec_id)
        );
        let mut settled = settle(&mut table);
        while settled.len() < 2 {
            settled.extend(settle(&mut table));
        }
        let own = settled.iter().find(|s| s.key == me.exec_id).unwrap().told.as_ref().unwrap();
        assert_eq!((own.comm(), &own.image.args), (&b"x"[..], &me.image.args), "the rest is the record's");
        assert!(matches!(table.find(me.exec_id, me.tgid, S), Found::Known(_)));
        // Had it run something, there would be nothing to ask.
        table.apply(&GRANDCHILD.fork(30, GRANDCHILD.task(Who { pid: 7777, start: 3 }, "y")).record());
        table.apply(
            &GRANDCHILD.exec(31, GRANDCHILD.task(Who { pid: 7777, start: 3 }, "y"), "/y", b"y\0").record(),
        );
        let found = table.find(GRANDCHILD.exec_id(), GRANDCHILD.pid, S);
        assert!(matches!(found, Found::Pending { process: Some(_), .. } | Found::Known(_)), "{found:?}");
    }

    #[test]
    fn a_wait_that_is_given_up_is_named_once() {
        let mut table = Processes::new(Options::default(), ProcFs::new("/proc", None)).unwrap();
        let (me, _) = me();
        table.find(me.exec_id, me.tgid, S);
        table.give_up(me.exec_id);
        table.give_up(me.exec_id);
        assert!(matches!(&table.poll()[..], [Settled { told: None, .. }]));
        assert_eq!(table.stats().unanswered, 1);
        while table.stats().asked > 0 {
            assert!(table.poll().is_empty());
            std::thread::yield_now();
        }
        assert!(table.get(me.exec_id).is_some(), "the late answer counts");
    }

    #[test]
    fn a_flood_of_unknown_processes_asks_so_often_and_no_more() {
        let (mut table, _dir) = empty(Options::default());
        let pending = |table: &mut Processes, n: u32| {
            let who = Who { pid: 1 + n, start: 7 };
            matches!(table.find(who.exec_id(), who.pid, S), Found::Pending { .. })
        };
        let asked = (0..10_000).filter(|n| pending(&mut table, *n)).count();
        assert!((1..=1000).contains(&asked), "{asked}");
        assert_eq!(table.stats().not_asked, 10_000 - asked as u64);
    }

    #[test]
    fn seeding_finds_this_machine() {
        let mut table = Processes::new(Options::default(), ProcFs::new("/proc", None)).unwrap();
        assert!(table.seed() > 0);
        let me = table.by_pid(std::process::id()).unwrap();
        assert_eq!(table.parent(me, u64::MAX).unwrap().tgid, std::os::unix::process::parent_id());
        assert_eq!(me.task.pidns_start, table.by_pid(me.tgid).unwrap().task.pidns_start);
    }
}

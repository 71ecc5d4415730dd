//! The table of processes, kept by lifecycle records, seeded and healed from `/proc`.
//!
//! A process is known by its exec id ([`sensor_ebpf::record::exec_id`]), so a reused pid is never taken for the process that
//! had it before. An entry is an immutable snapshot behind an `Arc`, replaced when the process runs a new image or
//! changes its uid: whoever holds an event back keeps the process as it was then.
//!
//! The table is bounded in entries and in bytes. When it is full, dead processes go first, then the oldest; a living process
//! that was thrown out is healed from `/proc` when it shows again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use foldhash::{HashMap, HashMapExt as _};
use sensor_ebpf::events::process::{Exec, Fork};
use sensor_ebpf::events::{self, Change, Credentials};
use sensor_ebpf::record::{Record, Task};

use super::{Image, Process};
use crate::state::aside::Aside;
use crate::state::procfs::ProcFs;

/// Limits of the table.
#[derive(Debug, Clone)]
pub struct Options {
    /// Most entries, dead ones included.
    pub max_entries: usize,
    /// Most bytes of paths, arguments and environments.
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
    /// Thrown out because the table was full.
    pub evicted_dead: u64,
    pub evicted_live: u64,
    /// Unknown processes that `/proc` knew, and those that it did not.
    pub healed: u64,
    pub not_healed: u64,
}

struct Slot {
    process: Arc<Process>,
    death: Option<Death>,
    /// Bytes of the image, if this process was the first to run it.
    bytes: usize,
}

#[derive(Clone, Copy)]
struct Death {
    at: u64,
    /// Exec id of the process that inherited the children.
    reaper: u64,
}

/// Parents that are looked through to find one that lives; namespaces can be 32 deep.
const MAX_REAPERS: usize = 40;
/// How often dead processes are looked for.
const SWEEP_EVERY: u64 = 5_000_000_000;
/// Longest wait for `/proc` to tell of one process.
const HEAL_LIMIT: Duration = Duration::from_millis(100);
/// Exec ids that were not found in `/proc` and are not looked for again.
const GIVEN_UP: usize = 256;

/// The table of processes.
pub struct Processes {
    options: Options,
    /// `None`: sealed, whatever is known was put in.
    procfs: Option<ProcFs>,
    aside: Aside,
    slots: HashMap<u64, Slot>,
    /// Living processes by tgid.
    pids: HashMap<u32, u64>,
    given_up: VecDeque<u64>,
    bytes: usize,
    dead: usize,
    swept: u64,
    stats: Stats,
}

impl Processes {
    /// An empty table.
    pub fn new(options: Options, procfs: ProcFs) -> Self {
        Self::with(options, Some(procfs))
    }

    /// An empty table that never looks at this machine: a capture tells it, by [`Processes::insert`], what `/proc` told when
    /// it was made.
    pub fn sealed(options: Options) -> Self {
        Self::with(options, None)
    }

    fn with(options: Options, procfs: Option<ProcFs>) -> Self {
        Self {
            options,
            procfs,
            aside: Aside::new("procfs"),
            slots: HashMap::new(),
            pids: HashMap::new(),
            given_up: VecDeque::new(),
            bytes: 0,
            dead: 0,
            swept: 0,
            stats: Stats::default(),
        }
    }

    /// Takes in every process that `/proc` lists. Call it after the probe is attached, before records are read, so that
    /// no process falls between. Returns how many were found.
    pub fn seed(&mut self) -> usize {
        let mut found = 0;
        let Some(procfs) = self.procfs.clone() else { return 0 };
        for tgid in procfs.pids() {
            let procfs = procfs.clone();
            if let Some(process) = self.aside.ask(HEAL_LIMIT, move || procfs.read(tgid)).flatten() {
                self.install(process, true);
                found += 1;
            }
        }
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

    /// Takes in a record of the lifecycle lane; others are ignored.
    pub fn apply(&mut self, record: &Record) {
        let header = record.header();
        match events::change(record) {
            Some(Change::Forked(fork)) => self.fork(record, fork),
            Some(Change::Execed(exec)) => self.exec(record, exec),
            Some(Change::Exited(exit)) => self.exit(header.exec_id, header.time, exit.reaper),
            Some(Change::Credentials(now)) => self.credentials(header.exec_id, now),
            Some(Change::CgroupMade(_) | Change::CgroupRemoved(_)) | None => {}
        }
        if header.time.saturating_sub(self.swept) > SWEEP_EVERY {
            self.sweep(header.time);
        }
    }

    /// Puts in a process as it was found elsewhere.
    pub fn insert(&mut self, process: Process) {
        self.install(process, true);
    }

    /// Every process that is kept, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Process>> {
        self.slots.values().map(|s| &s.process)
    }

    /// A process, also a dead one that is still kept.
    pub fn get(&self, exec_id: u64) -> Option<&Arc<Process>> {
        self.slots.get(&exec_id).map(|s| &s.process)
    }

    /// The process of a record: from the table, else from `/proc` (slow, once), else an entry that knows only its identity.
    pub fn get_or_heal(&mut self, exec_id: u64, tgid: u32) -> Arc<Process> {
        if let Some(process) = self.get(exec_id) {
            return process.clone();
        }
        self.heal(exec_id, tgid).unwrap_or_else(|| Arc::new(Process::unknown(exec_id, tgid)))
    }

    /// Looks an unknown process up in `/proc`; `None` when it is gone, or another one has its pid now.
    pub fn heal(&mut self, exec_id: u64, tgid: u32) -> Option<Arc<Process>> {
        if self.given_up.contains(&exec_id) {
            return None;
        }
        let procfs = self.procfs.clone()?;
        let found = self.aside.ask(HEAL_LIMIT, move || procfs.read(tgid)).flatten();
        let Some(mut process) = found.filter(|p| p.exec_id == exec_id) else {
            self.stats.not_healed += 1;
            if self.given_up.len() == GIVEN_UP {
                self.given_up.pop_front();
            }
            self.given_up.push_back(exec_id);
            return None;
        };
        let pidns = process.task.pidns;
        process.task.pidns_start = if process.task.vpid == 1 {
            process.task.start
        } else {
            let known = self.slots.values().find(|s| s.process.task.pidns == pidns);
            known.map_or(0, |s| s.process.task.pidns_start)
        };
        self.stats.healed += 1;
        Some(self.install(process, true))
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
            return leader;
        }
        let mut oldest = of;
        // Bounded: a chain longer than the table would be a circle.
        for _ in 0..self.slots.len() {
            match self.parent(oldest, at) {
                Some(parent) if set(&parent.task) == set(&of.task) => oldest = parent,
                _ => break,
            }
        }
        oldest
    }

    pub fn stats(&self) -> Stats {
        Stats { entries: self.slots.len(), dead: self.dead, bytes: self.bytes, ..self.stats }
    }

    fn fork(&mut self, record: &Record, fork: &Fork) {
        let header = record.header();
        let task = fork.task;
        let parent = match self.slots.get(&task.parent_exec_id) {
            Some(slot) => Some(slot.process.clone()),
            None => self.heal(task.parent_exec_id, task.ppid),
        };
        // A child runs its parent's image. (With CLONE_PARENT the record names the grandparent, and the image is its until exec.)
        let image = parent.map_or_else(|| Arc::new(Image::unknown()), |p| p.image.clone());
        let process = Process {
            exec_id: header.exec_id,
            tgid: header.tgid,
            task,
            cgroup: header.cgroup,
            cloned: header.time,
            execed: 0,
            image,
        };
        self.install(process, false);
    }

    fn exec(&mut self, record: &Record, exec: &Exec) {
        let header = record.header();
        let cloned = self.slots.get(&header.exec_id).map_or(exec.task.start, |s| s.process.cloned);
        let process = Process {
            exec_id: header.exec_id,
            tgid: header.tgid,
            task: exec.task,
            cgroup: header.cgroup,
            cloned,
            execed: header.time,
            image: Arc::new(Image::of_exec(record, exec)),
        };
        self.install(process, true);
    }

    fn exit(&mut self, exec_id: u64, time: u64, reaper: u32) {
        let reaper = self.pids.get(&reaper).copied().unwrap_or(0);
        let Some(slot) = self.slots.get_mut(&exec_id) else { return };
        if slot.death.is_none() {
            self.dead += 1;
        }
        slot.death = Some(Death { at: time, reaper });
        let tgid = slot.process.tgid;
        if self.pids.get(&tgid) == Some(&exec_id) {
            self.pids.remove(&tgid);
        }
    }

    fn credentials(&mut self, exec_id: u64, now: Credentials) {
        let Some(slot) = self.slots.get_mut(&exec_id) else { return };
        // Copies the entry if a held event still has the old one.
        let process = Arc::make_mut(&mut slot.process);
        process.task.uid = now.uid;
        process.task.cap_permitted = now.cap_permitted;
        process.task.cap_effective = now.cap_effective;
    }

    /// Puts a process in, in place of what was known of it. `owner`: it is the first with this image.
    fn install(&mut self, process: Process, owner: bool) -> Arc<Process> {
        let bytes = if owner { process.image.bytes() } else { 0 };
        let process = Arc::new(process);
        self.pids.insert(process.tgid, process.exec_id);
        let slot = Slot { process: process.clone(), death: None, bytes };
        self.bytes += bytes;
        if let Some(old) = self.slots.insert(process.exec_id, slot) {
            self.bytes -= old.bytes;
            self.dead -= usize::from(old.death.is_some());
        }
        if self.slots.len() > self.options.max_entries || self.bytes > self.options.max_bytes {
            self.make_room(process.exec_id);
        }
        process
    }

    /// Forgets what has been dead for long, and gives the children of the dead to who inherited them.
    fn sweep(&mut self, now: u64) {
        self.swept = now;
        let keep = u64::try_from(self.options.keep_dead.as_nanos()).unwrap_or(u64::MAX);
        let gone: Vec<u64> = self
            .slots
            .values()
            .filter(|s| s.death.is_some_and(|d| now.saturating_sub(d.at) > keep))
            .map(|s| s.process.exec_id)
            .collect();
        self.forget(&gone);
    }

    /// Frees a sixteenth of the table, so that a full one does not pay for every newcomer: dead ones first, then the
    /// oldest.
    fn make_room(&mut self, newest: u64) {
        let entries = self.options.max_entries - self.options.max_entries / 16;
        let max_bytes = self.options.max_bytes - self.options.max_bytes / 16;
        let mut order: Vec<(bool, u64, u64, usize)> = self
            .slots
            .values()
            .filter(|s| s.process.exec_id != newest)
            .map(|s| match s.death {
                Some(death) => (false, death.at, s.process.exec_id, s.bytes),
                None => (true, s.process.task.start, s.process.exec_id, s.bytes),
            })
            .collect();
        order.sort_unstable();
        let (mut left, mut bytes) = (self.slots.len(), self.bytes);
        let mut gone = Vec::new();
        for (live, _, exec_id, size) in order {
            if left <= entries && bytes <= max_bytes {
                break;
            }
            left -= 1;
            bytes -= size;
            if live {
                self.stats.evicted_live += 1;
            } else {
                self.stats.evicted_dead += 1;
            }
            gone.push(exec_id);
        }
        self.forget(&gone);
    }

    fn forget(&mut self, gone: &[u64]) {
        if gone.is_empty() {
            return;
        }
        let mut heirs = HashMap::new();
        for &exec_id in gone {
            let Some(slot) = self.slots.remove(&exec_id) else { continue };
            self.bytes -= slot.bytes;
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

    use super::*;
    use crate::state::testing::Who;

    const S: u64 = 1_000_000_000;
    const INIT: Who = Who { pid: 1, start: 1 };
    const SHELL: Who = Who { pid: 100, start: 10 };
    const CHILD: Who = Who { pid: 200, start: 20 };
    const GRANDCHILD: Who = Who { pid: 300, start: 30 };

    fn empty(options: Options) -> (Processes, tempfile::TempDir) {
        let proc_root = tempfile::tempdir().unwrap();
        (Processes::new(options, ProcFs::new(proc_root.path(), None)), proc_root)
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
    }

    #[test]
    fn a_reused_pid_is_another_process() {
        let (mut table, _dir) = with_shell(Options::default());
        let again = Who { pid: SHELL.pid, start: 50 };
        table.apply(&SHELL.exit(40, INIT).record());
        table.apply(&again.fork(50, again.task(INIT, "new")).record());
        assert_eq!(table.by_pid(SHELL.pid).unwrap().comm(), b"new");
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
        table.apply(&SHELL.exit(31, INIT).record());
        assert_eq!(table.session_leader(&grandchild, 32 * S).tgid, CHILD.pid);
        assert_eq!(table.group_leader(&grandchild, 32 * S).tgid, CHILD.pid);
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
        let all: Vec<u64> = table.slots.keys().copied().collect();
        table.forget(&all);
        assert_eq!(table.bytes, 0, "what comes in goes out");
    }

    #[test]
    fn unknown_processes_are_healed_from_proc_once() {
        let mut table = Processes::new(Options::default(), ProcFs::new("/proc", None));
        let me = ProcFs::new("/proc", None).read(std::process::id()).unwrap();
        let healed = table.get_or_heal(me.exec_id, me.tgid);
        assert_eq!(healed.image.args, me.image.args);
        assert!(Arc::ptr_eq(&healed, table.get(me.exec_id).unwrap()));
        // Another process had this pid.
        let other = table.get_or_heal(me.exec_id - (1 << 22), me.tgid);
        assert_eq!((other.task.uid, other.comm()), (u32::MAX, &b""[..]));
        table.get_or_heal(me.exec_id - (1 << 22), me.tgid);
        assert_eq!((table.stats().healed, table.stats().not_healed), (1, 1));
    }

    #[test]
    fn seeding_finds_this_machine() {
        let mut table = Processes::new(Options::default(), ProcFs::new("/proc", None));
        assert!(table.seed() > 0);
        let me = table.by_pid(std::process::id()).unwrap();
        assert_eq!(table.parent(me, u64::MAX).unwrap().tgid, std::os::unix::process::parent_id());
        assert_eq!(me.task.pidns_start, table.by_pid(me.tgid).unwrap().task.pidns_start);
    }
}

//! Names of users and groups, from the `passwd` and `group` files of the host and of containers. No NSS: the event thread must
//! not wait for a directory server.
//!
//! A process in a mount namespace of its own is looked up in its own files. They are read through `/proc/PID/root`, once per
//! mount namespace and again when they change, by threads beside the event thread ([`files`]). The first events of a mount
//! namespace wait for them; when they are read again nobody waits, the old names hold until the new ones are there.

mod files;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::{HashMap, HashMapExt as _};
use serde::{Deserialize, Serialize};

use super::asking::Asking;
use super::bucket::{Bucket, Rate};
use super::process::Process;
use super::procfs::namespace;
pub use files::User;
use files::{Files, Names};

/// Mount namespaces whose names are kept, and memory of all of them, about.
const MAX_SCOPES: usize = 1024;
const MAX_BYTES: usize = 32 << 20;
/// How often a file is looked at for changes, ns.
const CHECK_EVERY: u64 = 2_000_000_000;
/// When it is tried again after nothing could be read, ns.
const RETRY_AFTER: u64 = 50_000_000;
/// Longest wait for the names of a mount namespace. It delays the first events from there, no others.
const HOLD: Duration = Duration::from_millis(500);
/// Threads that read files of containers; the host's have one for themselves.
const HELPERS: usize = 4;
/// Mount namespaces that are read for the first time, and again: in a second, and at once.
const FIRST: Rate = Rate::new(100, 200);
const AGAIN: Rate = Rate::new(100, 100);
/// Processes through which the files are looked for.
const MAX_WAYS: usize = 4;

/// Counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Mount namespaces whose names are kept, and their memory.
    pub scopes: usize,
    pub bytes: usize,
    /// Forgotten because there were too many.
    pub evicted: u64,
    /// Looks at files, and those that did not reach any.
    pub read: u64,
    pub not_read: u64,
    /// Not asked for, because there were too many in a second or too many without an answer.
    pub not_asked: u64,
    /// Waits that ended before there was an answer.
    pub unanswered: u64,
}

/// There is news of a mount namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    pub mntns: u32,
    /// Its names are others now.
    pub changed: bool,
}

#[derive(Default)]
struct Scope {
    files: Files,
    /// There was an answer, even if it was that there are no such files.
    told: bool,
    asked: Asked,
    /// When the files are looked at again, and when a name was last wanted: ns since boot.
    check: u64,
    used: u64,
}

/// What is asked about a mount namespace.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Asked {
    #[default]
    No,
    /// Nothing is known yet, and events wait.
    First,
    /// Nobody waits.
    Again,
}

/// The names of one mount namespace as a capture keeps them; `None` where the file could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    pub mntns: u32,
    pub users: Option<BTreeMap<u32, User>>,
    pub groups: Option<BTreeMap<u32, Box<str>>>,
}

/// The names known so far.
pub struct Users {
    /// `None`: sealed, whatever is known was put in.
    outside: Option<Outside>,
    host_mntns: u32,
    scopes: HashMap<u32, Scope>,
    bytes: usize,
    settled: Vec<Settled>,
    stats: Stats,
}

/// Who reads the files.
struct Outside {
    proc_root: PathBuf,
    /// A process that has the host's files: init, or the sensor itself where that one is out of reach.
    host: &'static str,
    /// The host's files are not under the control of those who could make a reader hang: they do not stand in one line.
    of_host: Asking<u32, Option<Files>>,
    of_others: Asking<u32, Option<Files>>,
    /// Until when each mount namespace is waited for; the oldest first.
    deadlines: VecDeque<(Instant, u32)>,
    first: Bucket,
    again: Bucket,
}

impl Outside {
    /// Has the files read. False when there is too much to read already.
    fn ask(&mut self, scope: u32, is_host: bool, ways: impl Iterator<Item = u32>, old: Files) -> bool {
        let dir = |pid: String| self.proc_root.join(pid);
        let (asking, dirs): (_, Vec<PathBuf>) = if is_host {
            (&mut self.of_host, vec![dir(self.host.into())])
        } else {
            (&mut self.of_others, ways.take(MAX_WAYS).map(|pid| dir(pid.to_string())).collect())
        };
        asking.ask(scope, move || old.refresh(&dirs, scope))
    }
}

impl Users {
    /// `proc_root` is where the host's `/proc` is mounted. Nothing is read before it is wanted. Fails when there is no file
    /// descriptor left.
    pub fn new(proc_root: &Path) -> io::Result<Self> {
        let of = |pid: &'static str| (namespace(&proc_root.join(pid).join("ns/mnt")), pid);
        let (host_mntns, host) = Some(of("1")).filter(|f| f.0 != 0).unwrap_or_else(|| of("self"));
        let outside = Outside {
            proc_root: proc_root.into(),
            host,
            of_host: Asking::new("users-host", 1)?,
            of_others: Asking::new("users", HELPERS)?,
            deadlines: VecDeque::new(),
            first: Bucket::new(FIRST, 0),
            again: Bucket::new(AGAIN, 0),
        };
        Ok(Self::with(Some(outside), host_mntns))
    }

    /// Names that never come from this machine: a capture tells them by [`Users::insert`]. `host_mntns` is the mount namespace of
    /// the host that it was made on.
    pub fn sealed(host_mntns: u32) -> Self {
        Self::with(None, host_mntns)
    }

    fn with(outside: Option<Outside>, host_mntns: u32) -> Self {
        let (scopes, settled) = (HashMap::new(), Vec::new());
        Self { outside, host_mntns, scopes, bytes: 0, settled, stats: Stats::default() }
    }

    /// The host's mount namespace.
    pub fn host_mntns(&self) -> u32 {
        self.host_mntns
    }

    /// What is known of a mount namespace.
    pub fn listing(&self, mntns: u32) -> Option<Listing> {
        let Files { users, groups } = &self.scopes.get(&mntns)?.files;
        let users = users.as_ref().map(|names| names.by_id.iter().map(|(id, u)| (*id, u.clone())).collect());
        let groups =
            groups.as_ref().map(|names| names.by_id.iter().map(|(id, g)| (*id, g.clone())).collect());
        Some(Listing { mntns, users, groups })
    }

    /// Puts in what was known of a mount namespace elsewhere.
    pub fn insert(&mut self, listing: Listing) {
        let files = Files {
            users: listing.users.map(|all| Arc::new(Names::given(all))),
            groups: listing.groups.map(|all| Arc::new(Names::given(all))),
        };
        self.scopes.entry(listing.mntns).or_default().told = true;
        self.put(listing.mntns, files);
    }

    /// Has the names ready that `of` goes by. Call it before [`Users::user`] and [`Users::group`]; it costs a hash
    /// look-up, and every two seconds at most a question. `others`: further processes in the same mount namespace, should `of` be
    /// gone. `now`: the event's time, `CLOCK_BOOTTIME` ns. Returns the mount namespace whose names are not there yet: hold the
    /// event until [`Users::poll`] names it.
    pub fn prepare<'p>(
        &mut self,
        of: &Process,
        others: impl Iterator<Item = &'p Arc<Process>>,
        now: u64,
    ) -> Option<u32> {
        self.outside.as_ref()?;
        let scope = self.scope(of);
        if scope != self.host_mntns {
            // Login uids are the host's, wherever the process runs.
            self.want(self.host_mntns, std::iter::empty(), now);
        }
        let ways = std::iter::once(of.tgid).chain(others.map(|process| process.tgid));
        self.want(scope, ways, now).then_some(scope)
    }

    /// Has the host's names read, and waits for them: before events are judged, that is.
    pub fn seed(&mut self, now: u64) {
        while self.want(self.host_mntns, std::iter::empty(), now) {
            let Some(outside) = &self.outside else { return };
            let mut fds = [rustix::event::PollFd::from_borrowed_fd(
                outside.of_host.wake_fd(),
                rustix::event::PollFlags::IN,
            )];
            let limit = HOLD.try_into().ok();
            // Whether it was in time, the next poll finds out.
            let _ = rustix::event::poll(&mut fds, limit.as_ref());
            self.poll();
        }
    }

    /// True while events have to wait for the names of that mount namespace.
    fn want(&mut self, scope: u32, ways: impl Iterator<Item = u32>, now: u64) -> bool {
        if !self.scopes.contains_key(&scope) && self.outside.is_some() {
            self.scopes.insert(scope, Scope::default());
            self.make_room(scope);
        }
        let (Some(outside), Some(known)) = (&mut self.outside, self.scopes.get_mut(&scope)) else {
            return false;
        };
        known.used = now;
        if known.asked != Asked::No || now < known.check {
            return known.asked == Asked::First;
        }
        let is_first = !known.told;
        let has_room = if is_first { outside.first.take(FIRST, now) } else { outside.again.take(AGAIN, now) };
        if !has_room || !outside.ask(scope, scope == self.host_mntns, ways, known.files.clone()) {
            known.check = now + if is_first { RETRY_AFTER } else { CHECK_EVERY };
            self.stats.not_asked += 1;
            return false;
        }
        known.asked = if is_first { Asked::First } else { Asked::Again };
        if is_first {
            outside.deadlines.push_back((Instant::now() + HOLD, scope));
        }
        is_first
    }

    /// Takes in what was read, and ends waits whose time is up. Call it when one of [`Users::wake_fds`] is readable, and at least
    /// every 100 ms or so.
    pub fn poll(&mut self) -> Vec<Settled> {
        let Some(outside) = &mut self.outside else { return Vec::new() };
        let answers: Vec<_> = outside.of_host.answers().chain(outside.of_others.answers()).collect();
        for (mntns, files) in answers {
            self.answered(mntns, files.flatten());
        }
        let now = Instant::now();
        let overdue = |outside: &mut Outside| outside.deadlines.pop_front_if(|(until, _)| *until <= now);
        while let Some((_, mntns)) = self.outside.as_mut().and_then(overdue) {
            self.give_up(mntns);
        }
        std::mem::take(&mut self.settled)
    }

    /// Ends the wait for names, for whoever cannot hold more events back: the next [`Users::poll`] names the mount namespace.
    /// Names that come later still count. Nothing happens when they are not waited for.
    pub fn give_up(&mut self, mntns: u32) {
        let waits = self.scopes.get_mut(&mntns).filter(|scope| scope.asked == Asked::First);
        if let Some(scope) = waits {
            scope.asked = Asked::Again;
            self.stats.unanswered += 1;
            self.settled.push(Settled { mntns, changed: false });
        }
    }

    /// Readable when [`Users::poll`] has something to tell; sealed names have none.
    pub fn wake_fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.outside.iter().flat_map(|outside| [outside.of_host.wake_fd(), outside.of_others.wake_fd()])
    }

    fn answered(&mut self, mntns: u32, files: Option<Files>) {
        let Some(scope) = self.scopes.get_mut(&mntns) else { return };
        let asked = std::mem::take(&mut scope.asked);
        // A process that ended already leaves what was known; another one may tell more soon.
        let (wait, changed) = match &files {
            Some(files) => (CHECK_EVERY, !files.same(&scope.files)),
            None => (RETRY_AFTER, false),
        };
        scope.check = scope.used + wait;
        scope.told |= files.is_some();
        match files {
            Some(files) => {
                self.stats.read += 1;
                self.put(mntns, files);
            }
            None => self.stats.not_read += 1,
        }
        if changed || asked == Asked::First {
            self.settled.push(Settled { mntns, changed });
        }
    }

    /// The names of a scope that is there.
    fn put(&mut self, mntns: u32, files: Files) {
        let Some(scope) = self.scopes.get_mut(&mntns) else { return };
        self.bytes = self.bytes + files.bytes() - scope.files.bytes();
        scope.files = files;
        self.make_room(mntns);
    }

    /// Whether the files were looked at where `of` runs.
    pub fn knows(&self, of: &Process) -> bool {
        self.scopes.get(&self.scope(of)).is_some_and(|scope| scope.told)
    }

    /// The user with that id where `of` runs.
    pub fn user(&self, of: &Process, uid: u32) -> Option<&User> {
        self.scopes.get(&self.scope(of))?.files.users.as_ref()?.by_id.get(&uid)
    }

    /// The name of the group with that id where `of` runs.
    pub fn group(&self, of: &Process, gid: u32) -> Option<&str> {
        self.scopes.get(&self.scope(of))?.files.groups.as_ref()?.by_id.get(&gid).map(|g| &**g)
    }

    /// The user with that id on the host: login uids are the host's.
    pub fn host_user(&self, uid: u32) -> Option<&User> {
        self.scopes.get(&self.host_mntns)?.files.users.as_ref()?.by_id.get(&uid)
    }

    pub fn stats(&self) -> Stats {
        Stats { scopes: self.scopes.len(), bytes: self.bytes, ..self.stats }
    }

    /// The mount namespace whose files count; the host's for a process of which nothing is known.
    fn scope(&self, of: &Process) -> u32 {
        if of.task.mntns == 0 { self.host_mntns } else { of.task.mntns }
    }

    /// Forgets what was not used for longest when there is too much, a quarter at once. The host's names and those of `newest` stay,
    /// and so does what events wait for.
    fn make_room(&mut self, newest: u32) {
        if self.scopes.len() <= MAX_SCOPES && self.bytes <= MAX_BYTES {
            return;
        }
        let host = self.host_mntns;
        let stays =
            |mntns: u32, scope: &Scope| mntns == host || mntns == newest || scope.asked == Asked::First;
        let mut used: Vec<(u64, u32)> = self
            .scopes
            .iter()
            .filter(|(mntns, scope)| !stays(**mntns, scope))
            .map(|(mntns, scope)| (scope.used, *mntns))
            .collect();
        used.sort_unstable();
        for (_, mntns) in used {
            if self.scopes.len() <= MAX_SCOPES / 4 * 3 && self.bytes <= MAX_BYTES / 4 * 3 {
                break;
            }
            if let Some(scope) = self.scopes.remove(&mntns) {
                self.bytes -= scope.files.bytes();
                self.stats.evicted += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    const HOST: u32 = 1;
    const BOX: u32 = 2;

    struct Fixture {
        dir: tempfile::TempDir,
        users: Users,
        now: u64,
    }

    impl Fixture {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            for pid in ["1", "50"] {
                fs::create_dir_all(dir.path().join(pid).join("root/etc")).unwrap();
                fs::create_dir(dir.path().join(pid).join("ns")).unwrap();
            }
            symlink("mnt:[1]", dir.path().join("1/ns/mnt")).unwrap();
            symlink("mnt:[2]", dir.path().join("50/ns/mnt")).unwrap();
            let users = Users::new(dir.path()).unwrap();
            let mut fixture = Self { dir, users, now: 0 };
            fixture.write(
                "1/root/etc/passwd",
                "root:x:0:0:Super:/root:/bin/bash\nalice:x:1000:1000::/home/alice:/bin/zsh\n",
            );
            fixture.write("1/root/etc/group", "root:x:0:\nwheel:x:10:alice\n");
            fixture
        }

        fn write(&mut self, name: &str, text: &str) {
            fs::write(self.dir.path().join(name), text).unwrap();
        }

        /// Asks as an event of process 50 does at `now`, and waits for all answers.
        fn prepare(&mut self, process: &Process) -> Option<u32> {
            let waits = self.users.prepare(process, std::iter::empty(), self.now);
            self.settle();
            waits
        }

        fn settle(&mut self) -> Vec<Settled> {
            let mut settled = Vec::new();
            let asked = |users: &Users| {
                let outside = users.outside.as_ref().unwrap();
                outside.of_host.asked() + outside.of_others.asked()
            };
            while asked(&self.users) > 0 {
                settled.extend(self.users.poll());
                std::thread::yield_now();
            }
            settled
        }

        fn name(&mut self, mntns: u32, uid: u32) -> Option<String> {
            let process = process(50, mntns);
            self.now += CHECK_EVERY;
            self.prepare(&process);
            self.users.user(&process, uid).map(|u| u.name.to_string())
        }
    }

    fn process(pid: u32, mntns: u32) -> Process {
        let mut process = Process::unknown(1, pid);
        process.task.mntns = mntns;
        process
    }

    #[test]
    fn host_and_container_have_their_own_names() {
        let mut f = Fixture::new();
        f.write("50/root/etc/passwd", "app:x:1000:1000::/app:/sbin/nologin");
        assert_eq!(f.name(HOST, 1000).as_deref(), Some("alice"));
        assert_eq!(f.name(BOX, 1000).as_deref(), Some("app"));
        assert_eq!(f.name(BOX, 0), None);
        assert_eq!(f.name(0, 0).as_deref(), Some("root"), "nothing known of the process");
        assert_eq!(f.users.group(&process(50, HOST), 10), Some("wheel"));
        let root = f.users.host_user(0).unwrap();
        assert_eq!((&*root.home, &*root.shell), ("/root", "/bin/bash"));
    }

    #[test]
    fn the_first_events_wait_and_later_ones_go_by_what_is_known() {
        let mut f = Fixture::new();
        f.write("50/root/etc/passwd", "app:x:5:5::/:/x\n");
        let process = process(50, BOX);
        for _ in 0..3 {
            assert_eq!(f.users.prepare(&process, std::iter::empty(), 1), Some(BOX));
        }
        let settled = f.settle();
        assert!(settled.contains(&Settled { mntns: BOX, changed: true }), "{settled:?}");
        assert_eq!(f.users.prepare(&process, std::iter::empty(), 2), None);
        f.write("50/root/etc/passwd", "other:x:5:5::/:/x\n");
        assert_eq!(f.users.prepare(&process, std::iter::empty(), 3 * CHECK_EVERY), None, "nobody waits");
        assert_eq!(f.users.user(&process, 5).map(|u| &*u.name), Some("app"));
        assert!(f.settle().contains(&Settled { mntns: BOX, changed: true }));
        assert_eq!(f.users.user(&process, 5).map(|u| &*u.name), Some("other"));
    }

    #[test]
    fn changed_files_are_read_again_and_ended_processes_keep_their_names() {
        let mut f = Fixture::new();
        f.write("50/root/etc/passwd", "a:x:5:5::/:/x\n");
        assert_eq!(f.name(BOX, 5).as_deref(), Some("a"));
        f.write("50/root/etc/passwd", "longer:x:5:5::/:/x\n");
        assert_eq!(f.name(BOX, 5).as_deref(), Some("longer"));
        fs::remove_dir_all(f.dir.path().join("50")).unwrap();
        assert_eq!(f.name(BOX, 5).as_deref(), Some("longer"));
    }

    #[test]
    fn a_process_that_ended_too_early_does_not_hide_the_names() {
        let mut f = Fixture::new();
        f.write("50/root/etc/passwd", "app:x:5:5::/:/x\n");
        let gone = process(49, BOX);
        f.now = 10 * CHECK_EVERY;
        assert_eq!(f.prepare(&gone), Some(BOX));
        assert_eq!(f.users.user(&gone, 5), None);
        assert_eq!(f.users.host_user(1000).map(|u| &*u.name), Some("alice"), "the host's come along");
        // Its parent is there.
        let parent = Arc::new(process(50, BOX));
        f.now += RETRY_AFTER;
        assert_eq!(f.users.prepare(&gone, std::iter::once(&parent), f.now), Some(BOX));
        f.settle();
        assert_eq!(f.users.user(&gone, 5).map(|u| &*u.name), Some("app"));
        // Another process has the pid: its files are not this namespace's.
        assert_eq!(f.name(3, 5), None);
    }

    #[test]
    fn a_wait_is_given_up_and_the_answer_counts_all_the_same() {
        let mut f = Fixture::new();
        f.write("50/root/etc/passwd", "app:x:5:5::/:/x\n");
        let process = process(50, BOX);
        assert_eq!(f.users.prepare(&process, std::iter::empty(), 1), Some(BOX));
        f.users.give_up(BOX);
        f.users.give_up(BOX);
        assert_eq!(f.users.prepare(&process, std::iter::empty(), 1), None);
        assert_eq!(f.users.stats().unanswered, 1);
        f.settle();
        assert_eq!(f.users.user(&process, 5).map(|u| &*u.name), Some("app"));
    }

    #[test]
    fn a_flood_of_mount_namespaces_reads_so_many_and_no_more() {
        let mut f = Fixture::new();
        let mut asked = 0;
        for n in 0..1000 {
            asked += usize::from(f.users.prepare(&process(50, 100 + n), std::iter::empty(), 1).is_some());
        }
        assert!((1..=200).contains(&asked), "{asked}");
        assert_eq!(f.users.stats().not_asked, 1000 - asked as u64);
    }

    #[test]
    fn namespaces_are_bounded() {
        let mut f = Fixture::new();
        f.name(HOST, 0);
        for mntns in 0..u32::try_from(MAX_SCOPES).unwrap() + 50 {
            f.name(100 + mntns, 0);
            assert!(f.users.stats().scopes <= MAX_SCOPES);
        }
        assert!(f.users.stats().evicted > 0);
        assert_eq!(f.name(HOST, 0).as_deref(), Some("root"), "the host stays");
    }

    #[test]
    fn names_are_bounded_in_bytes() {
        let mut users = Users::sealed(HOST);
        for mntns in 0..20 {
            let user =
                |n: u32| User { name: "x".repeat(100).into(), home: n.to_string().into(), shell: "".into() };
            let listing =
                Listing { mntns, users: Some((0..20_000).map(|n| (n, user(n))).collect()), groups: None };
            users.insert(listing);
            let held: usize = users.scopes.values().map(|scope| scope.files.bytes()).sum();
            assert_eq!(users.stats().bytes, held);
            assert!(held <= MAX_BYTES, "{held}");
        }
        assert!(users.stats().evicted > 0);
    }
}

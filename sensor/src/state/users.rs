//! Names of users and groups, from the `passwd` and `group` files of the host and of containers. No NSS: the event thread must
//! not wait for a directory server.
//!
//! A process in a mount namespace of its own is looked up in its own files, read through `/proc/PID/root` once per mount
//! namespace and again when they change. Such a file is under the control of whoever is in there: it is read by a helper
//! thread with a time limit, never outside that root, and only if it is a regular file of bounded size.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use foldhash::{HashMap, HashMapExt as _};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use serde::{Deserialize, Serialize};

use super::aside::Aside;
use super::process::Process;
use super::procfs::namespace;

/// One line of `passwd`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub name: Box<str>,
    pub home: Box<str>,
    pub shell: Box<str>,
}

/// Mount namespaces whose names are kept.
const MAX_SCOPES: usize = 1024;
/// How often a file is looked at for changes, ns.
const CHECK_EVERY: u64 = 2_000_000_000;
/// When it is tried again after nothing could be read, ns.
const RETRY_AFTER: u64 = 50_000_000;
/// Longest wait for files of a container.
const READ_LIMIT: Duration = Duration::from_millis(50);
/// Most bytes of one file.
const FILE_MAX: u64 = 4 << 20;

/// Tells whether a file is still the same: device, inode, size, modification time.
type Stamp = (u64, u64, u64, i64, i64);

/// A file's entries by id.
type Names<T> = HashMap<u32, T>;

#[derive(Default, Clone)]
struct Scope {
    users: Option<(Stamp, Arc<Names<User>>)>,
    groups: Option<(Stamp, Arc<Names<Box<str>>>)>,
    /// When the files are looked at again, and when a name was last wanted: ns since boot.
    check: u64,
    used: u64,
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
    proc_root: Option<PathBuf>,
    host_mntns: u32,
    /// A process that has the host's files: init, or the sensor itself where that one is out of reach.
    host: &'static str,
    aside: Aside,
    scopes: HashMap<u32, Scope>,
}

impl Users {
    /// `proc_root` is where the host's `/proc` is mounted.
    pub fn new(proc_root: &Path) -> Self {
        let of = |pid: &'static str| (namespace(&proc_root.join(pid).join("ns/mnt")), pid);
        let (host_mntns, host) = Some(of("1")).filter(|f| f.0 != 0).unwrap_or_else(|| of("self"));
        Self {
            proc_root: Some(proc_root.into()),
            host_mntns,
            host,
            aside: Aside::new("users"),
            scopes: HashMap::new(),
        }
    }

    /// Names that never come from this machine: a capture tells them by [`Users::insert`]. `host_mntns` is the mount namespace of
    /// the host that it was made on.
    pub fn sealed(host_mntns: u32) -> Self {
        Self { proc_root: None, host_mntns, host: "", aside: Aside::new("users"), scopes: HashMap::new() }
    }

    /// The host's mount namespace.
    pub fn host_mntns(&self) -> u32 {
        self.host_mntns
    }

    /// What is known of a mount namespace.
    pub fn listing(&self, mntns: u32) -> Option<Listing> {
        let scope = self.scopes.get(&mntns)?;
        let users = scope.users.as_ref().map(|(_, all)| all.iter().map(|(id, u)| (*id, u.clone())).collect());
        let groups =
            scope.groups.as_ref().map(|(_, all)| all.iter().map(|(id, g)| (*id, g.clone())).collect());
        Some(Listing { mntns, users, groups })
    }

    /// Puts in what was known of a mount namespace elsewhere.
    pub fn insert(&mut self, listing: Listing) {
        if self.scopes.len() >= MAX_SCOPES && !self.scopes.contains_key(&listing.mntns) {
            self.make_room();
        }
        let stamp = Stamp::default();
        let scope = Scope {
            users: listing.users.map(|all| (stamp, Arc::new(all.into_iter().collect()))),
            groups: listing.groups.map(|all| (stamp, Arc::new(all.into_iter().collect()))),
            ..Scope::default()
        };
        self.scopes.insert(listing.mntns, scope);
    }

    /// Has the names ready that `of` goes by. Call it before [`Users::user`] and [`Users::group`]; it costs a hash
    /// look-up, and every two seconds at most a look at the files. `now`: the event's time, `CLOCK_BOOTTIME` ns.
    /// Returns the mount namespaces whose names are others now.
    pub fn prepare(&mut self, of: &Process, now: u64) -> [Option<u32>; 2] {
        // Login uids are the host's, wherever the process runs.
        let host = self.refresh(self.host_mntns, None, now);
        [host, self.refresh(self.scope(of), Some(of.tgid), now)]
    }

    /// `pid`: a process of that mount namespace; `None`: the host's. Returns `scope` if its names are others now.
    fn refresh(&mut self, scope: u32, pid: Option<u32>, now: u64) -> Option<u32> {
        let known = match self.scopes.get_mut(&scope) {
            Some(known) if now < known.check || self.proc_root.is_none() => {
                known.used = now;
                return None;
            }
            Some(known) => known.clone(),
            None => Scope::default(),
        };
        let root = self.proc_root.as_ref()?;
        let dir = root.join(pid.map_or(self.host.into(), |pid| pid.to_string()));
        let old = known.clone();
        let read = self.aside.ask(READ_LIMIT, move || old.refresh(&dir, scope)).flatten();
        // A process that ended already, or hangs, leaves what was known; another one may tell more soon.
        let wait = if read.is_some() { CHECK_EVERY } else { RETRY_AFTER };
        let changed = read.as_ref().is_some_and(|read| !read.same_names(&known));
        let known = Scope { check: now + wait, used: now, ..read.unwrap_or(known) };
        if self.scopes.len() >= MAX_SCOPES && !self.scopes.contains_key(&scope) {
            self.make_room();
        }
        self.scopes.insert(scope, known);
        changed.then_some(scope)
    }

    /// The user with that id where `of` runs.
    pub fn user(&self, of: &Process, uid: u32) -> Option<&User> {
        self.scopes.get(&self.scope(of))?.users.as_ref()?.1.get(&uid)
    }

    /// The name of the group with that id where `of` runs.
    pub fn group(&self, of: &Process, gid: u32) -> Option<&str> {
        self.scopes.get(&self.scope(of))?.groups.as_ref()?.1.get(&gid).map(|g| &**g)
    }

    /// The user with that id on the host: login uids are the host's.
    pub fn host_user(&self, uid: u32) -> Option<&User> {
        self.scopes.get(&self.host_mntns)?.users.as_ref()?.1.get(&uid)
    }

    /// Mount namespaces whose names are kept.
    pub fn len(&self) -> usize {
        self.scopes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.scopes.is_empty()
    }

    /// The mount namespace whose files count; the host's for a process of which nothing is known.
    fn scope(&self, of: &Process) -> u32 {
        if of.task.mntns == 0 { self.host_mntns } else { of.task.mntns }
    }

    /// Forgets the quarter that was not used for longest.
    fn make_room(&mut self) {
        let mut used: Vec<u64> = self.scopes.values().map(|s| s.used).collect();
        used.sort_unstable();
        let oldest = used.get(used.len() / 4).copied().unwrap_or(0);
        self.scopes.retain(|&mntns, s| s.used > oldest || mntns == self.host_mntns);
    }
}

impl Scope {
    /// Whether both have the same files.
    fn same_names(&self, other: &Self) -> bool {
        let stamps = |scope: &Self| (scope.users.as_ref().map(|u| u.0), scope.groups.as_ref().map(|g| g.0));
        stamps(self) == stamps(other)
    }

    /// Reads the files that changed, as the process with that directory in `/proc` sees them; `None` when it is gone, or
    /// another process has its pid.
    fn refresh(self, dir: &Path, mntns: u32) -> Option<Self> {
        let root = rustix::fs::open(dir.join("root"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
        if namespace(&dir.join("ns/mnt")) != mntns {
            return None;
        }
        let users = read_if_changed(&root, "etc/passwd", self.users, parse_user);
        let groups = read_if_changed(&root, "etc/group", self.groups, parse_group);
        Some(Self { users, groups, ..self })
    }
}

/// The entries of a file under `root`, or `old` if it is the same file; `None` when there is no such file.
fn read_if_changed<T>(
    root: &rustix::fd::OwnedFd,
    path: &str,
    old: Option<(Stamp, Arc<Names<T>>)>,
    parse: fn(&str) -> Option<(u32, T)>,
) -> Option<(Stamp, Arc<Names<T>>)> {
    // Links lead nowhere out of that root, and opening a FIFO or a device does not wait.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file: File = rustix::fs::openat2(root, path, flags, Mode::empty(), resolve).ok()?.into();
    let meta = file.metadata().ok().filter(|m| m.is_file() && m.size() <= FILE_MAX)?;
    let stamp = (meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec());
    if let Some(old) = old.filter(|o| o.0 == stamp) {
        return Some(old);
    }
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes).ok()?;
    let mut names = HashMap::new();
    for line in bytes.split(|&b| b == b'\n') {
        let Some((id, entry)) = std::str::from_utf8(line).ok().and_then(parse) else { continue };
        // The first of several wins, as in getpwuid(3).
        names.entry(id).or_insert(entry);
    }
    Some((stamp, Arc::new(names)))
}

/// `name:password:uid:gid:gecos:home:shell`. Lines for NSS (`+`, `-`) and malformed ones give nothing.
fn parse_user(line: &str) -> Option<(u32, User)> {
    let mut parts = line.split(':');
    let name = parts.next().filter(|n| is_name(n))?;
    let uid = parts.nth(1)?.parse().ok()?;
    let _gid: u32 = parts.next()?.parse().ok()?;
    let home = parts.nth(1)?;
    let shell = parts.next().unwrap_or_default();
    Some((uid, User { name: name.into(), home: home.into(), shell: shell.into() }))
}

/// `name:password:gid:members`.
fn parse_group(line: &str) -> Option<(u32, Box<str>)> {
    let mut parts = line.split(':');
    let name = parts.next().filter(|n| is_name(n))?;
    Some((parts.nth(1)?.parse().ok()?, name.into()))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(['+', '-', '#'])
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
            let users = Users::new(dir.path());
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

        fn name(&mut self, mntns: u32, uid: u32) -> Option<String> {
            let mut process = Process::unknown(1, 50);
            process.task.mntns = mntns;
            self.now += CHECK_EVERY;
            self.users.prepare(&process, self.now);
            self.users.user(&process, uid).map(|u| u.name.to_string())
        }
    }

    #[test]
    fn host_and_container_have_their_own_names() {
        let mut f = Fixture::new();
        f.write("50/root/etc/passwd", "app:x:1000:1000::/app:/sbin/nologin");
        assert_eq!(f.name(HOST, 1000).as_deref(), Some("alice"));
        assert_eq!(f.name(BOX, 1000).as_deref(), Some("app"));
        assert_eq!(f.name(BOX, 0), None);
        assert_eq!(f.name(0, 0).as_deref(), Some("root"), "nothing known of the process");
        let mut process = Process::unknown(1, 50);
        process.task.mntns = HOST;
        assert_eq!(f.users.group(&process, 10), Some("wheel"));
        let root = f.users.host_user(0).unwrap();
        assert_eq!((&*root.home, &*root.shell), ("/root", "/bin/bash"));
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
        let mut process = Process::unknown(1, 49);
        process.task.mntns = BOX;
        f.users.prepare(&process, 10 * CHECK_EVERY);
        assert_eq!(f.users.user(&process, 5), None);
        assert_eq!(f.users.host_user(1000).map(|u| &*u.name), Some("alice"), "the host's come along");
        process.tgid = 50;
        f.users.prepare(&process, 10 * CHECK_EVERY + RETRY_AFTER);
        assert_eq!(f.users.user(&process, 5).map(|u| &*u.name), Some("app"));
        // Another process has the pid: its files are not this namespace's.
        process.task.mntns = 3;
        f.users.prepare(&process, 10 * CHECK_EVERY);
        assert_eq!(f.users.user(&process, 5), None);
    }

    #[test]
    fn malformed_lines_are_skipped() {
        let mut f = Fixture::new();
        let long = "x".repeat(10_000);
        let text = format!(
            "\n:::\n+::::::\n-bad:x:7:7::/:/x\n#c:x:7:7::/:/x\nno:x:-1:0::/:\nbig:x:99999999999:0::/:\nshort:x:7\n{long}\n\
             ok:x:8:8::/home:\nsecond:x:8:8::/:/x\nnoshell:x:9:9::/"
        );
        f.write("50/root/etc/passwd", &text);
        assert_eq!(f.name(BOX, 7), None);
        assert_eq!(f.name(BOX, 8).as_deref(), Some("ok"), "the first one of an id");
        assert_eq!(f.name(BOX, 9).as_deref(), Some("noshell"));
    }

    #[test]
    fn a_hostile_file_is_left_alone() {
        let mut f = Fixture::new();
        let passwd = f.dir.path().join("50/root/etc/passwd");
        // A link out of the container leads to its own root, where there is nothing.
        symlink("/etc/passwd", &passwd).unwrap();
        assert_eq!(f.name(BOX, 0), None);
        fs::remove_file(&passwd).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &passwd, Mode::RWXU).unwrap();
        assert_eq!(f.name(BOX, 0), None);
        fs::remove_file(&passwd).unwrap();
        File::create(&passwd).unwrap().set_len(FILE_MAX + 1).unwrap();
        assert_eq!(f.name(BOX, 0), None);
        assert_eq!(f.users.aside.stuck(), 0);
    }

    #[test]
    fn namespaces_are_bounded() {
        let mut f = Fixture::new();
        f.name(HOST, 0);
        for mntns in 0..u32::try_from(MAX_SCOPES).unwrap() + 50 {
            f.name(100 + mntns, 0);
            assert!(f.users.len() <= MAX_SCOPES);
        }
        assert_eq!(f.name(HOST, 0).as_deref(), Some("root"), "the host stays");
    }
}

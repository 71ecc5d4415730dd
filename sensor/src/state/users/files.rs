//! The `passwd` and `group` files of one mount namespace.
//!
//! Such a file is under the control of whoever is in there: it is never read outside the root of a process there, and only if
//! it is a regular file of bounded size. Reading may hang all the same; it is done on a thread that may.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use serde::{Deserialize, Serialize};

use crate::state::procfs::namespace;

/// One line of `passwd`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub name: Box<str>,
    pub home: Box<str>,
    pub shell: Box<str>,
}

/// Most bytes of one file, and most of its lines.
const FILE_MAX: u64 = 4 << 20;
const LINES_MAX: usize = 65_536;

/// Tells whether a file is still the same: device, inode, size, modification time.
type Stamp = (u64, u64, u64, i64, i64);

/// A file's entries by id.
#[derive(Debug)]
pub(super) struct Names<T> {
    stamp: Stamp,
    pub by_id: HashMap<u32, T>,
    /// Memory of the entries, about.
    bytes: usize,
}

/// The files of one mount namespace; `None` where one could not be read.
#[derive(Debug, Clone, Default)]
pub(super) struct Files {
    pub users: Option<Arc<Names<User>>>,
    pub groups: Option<Arc<Names<Box<str>>>>,
}

/// An entry of a file.
pub(super) trait Entry: Sized {
    fn parse(line: &str) -> Option<(u32, Self)>;
    /// Memory behind it.
    fn bytes(&self) -> usize;
}

impl<T: Entry> Names<T> {
    /// Entries that come from elsewhere.
    pub fn given(entries: impl IntoIterator<Item = (u32, T)>) -> Self {
        let mut names = Self { stamp: Stamp::default(), by_id: HashMap::new(), bytes: 0 };
        entries.into_iter().for_each(|(id, entry)| names.add(id, entry));
        names
    }

    /// The first of several wins, as in getpwuid(3).
    fn add(&mut self, id: u32, entry: T) {
        let bytes = size_of::<(u32, T)>() + entry.bytes();
        self.by_id.entry(id).or_insert_with(|| {
            self.bytes += bytes;
            entry
        });
    }
}

impl Files {
    /// Whether both are the same files.
    pub fn same(&self, other: &Self) -> bool {
        let stamps =
            |files: &Self| (files.users.as_ref().map(|u| u.stamp), files.groups.as_ref().map(|g| g.stamp));
        stamps(self) == stamps(other)
    }

    /// Memory, about.
    pub fn bytes(&self) -> usize {
        self.users.as_ref().map_or(0, |u| u.bytes) + self.groups.as_ref().map_or(0, |g| g.bytes)
    }

    /// Reads the files that changed, as the first of the processes sees them that is still there; `dirs` are their directories
    /// in `/proc`. `None` when all are gone, or in another mount namespace.
    pub fn refresh(self, dirs: &[PathBuf], mntns: u32) -> Option<Self> {
        let root = dirs.iter().find_map(|dir| root(dir, mntns))?;
        let users = read_if_changed(&root, "etc/passwd", self.users);
        let groups = read_if_changed(&root, "etc/group", self.groups);
        Some(Self { users, groups })
    }
}

/// The root of a process, if that is in the mount namespace.
fn root(dir: &Path, mntns: u32) -> Option<rustix::fd::OwnedFd> {
    let root = rustix::fs::open(dir.join("root"), OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
    // After opening, so that it was this process all along.
    (namespace(&dir.join("ns/mnt")) == mntns).then_some(root)
}

/// The entries of a file under `root`, or `old` if it is the same file; `None` when there is no such file.
fn read_if_changed<T: Entry>(
    root: &rustix::fd::OwnedFd,
    path: &str,
    old: Option<Arc<Names<T>>>,
) -> Option<Arc<Names<T>>> {
    // Links lead nowhere out of that root, and opening a FIFO or a device does not wait.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file: File = rustix::fs::openat2(root, path, flags, Mode::empty(), resolve).ok()?.into();
    let meta = file.metadata().ok().filter(|m| m.is_file() && m.size() <= FILE_MAX)?;
    let stamp = (meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec());
    if let Some(old) = old.filter(|o| o.stamp == stamp) {
        return Some(old);
    }
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes).ok()?;
    let lines = bytes.split(|&b| b == b'\n').take(LINES_MAX);
    let entries = lines.filter_map(|line| std::str::from_utf8(line).ok().and_then(T::parse));
    Some(Arc::new(Names { stamp, ..Names::given(entries) }))
}

impl Entry for User {
    /// `name:password:uid:gid:gecos:home:shell`. Lines for NSS (`+`, `-`) and malformed ones give nothing.
    fn parse(line: &str) -> Option<(u32, Self)> {
        let mut parts = line.split(':');
        let name = parts.next().filter(|n| is_name(n))?;
        let uid = parts.nth(1)?.parse().ok()?;
        let _gid: u32 = parts.next()?.parse().ok()?;
        let home = parts.nth(1)?;
        let shell = parts.next().unwrap_or_default();
        Some((uid, Self { name: name.into(), home: home.into(), shell: shell.into() }))
    }

    fn bytes(&self) -> usize {
        self.name.len() + self.home.len() + self.shell.len()
    }
}

impl Entry for Box<str> {
    /// `name:password:gid:members`.
    fn parse(line: &str) -> Option<(u32, Self)> {
        let mut parts = line.split(':');
        let name = parts.next().filter(|n| is_name(n))?;
        Some((parts.nth(1)?.parse().ok()?, name.into()))
    }

    fn bytes(&self) -> usize {
        self.len()
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(['+', '-', '#'])
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A process in mount namespace 2.
    struct Fixture(tempfile::TempDir);

    impl Fixture {
        fn new() -> Self {
            let fixture = Self(tempfile::tempdir().unwrap());
            fs::create_dir_all(fixture.path("root/etc")).unwrap();
            fs::create_dir(fixture.path("ns")).unwrap();
            symlink("mnt:[2]", fixture.path("ns/mnt")).unwrap();
            fixture
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn read(&self) -> Files {
            Files::default().refresh(&[self.0.path().into()], 2).unwrap()
        }

        fn name(&self, uid: u32) -> Option<String> {
            self.read().users?.by_id.get(&uid).map(|user| user.name.to_string())
        }
    }

    #[test]
    fn malformed_lines_are_skipped() {
        let fixture = Fixture::new();
        let long = "x".repeat(10_000);
        let text = format!(
            "\n:::\n+::::::\n-bad:x:7:7::/:/x\n#c:x:7:7::/:/x\nno:x:-1:0::/:\nbig:x:99999999999:0::/:\nshort:x:7\n{long}\n\
             ok:x:8:8::/home:\nsecond:x:8:8::/:/x\nnoshell:x:9:9::/"
        );
        fs::write(fixture.path("root/etc/passwd"), text).unwrap();
        assert_eq!(fixture.name(7), None);
        assert_eq!(fixture.name(8).as_deref(), Some("ok"), "the first one of an id");
        assert_eq!(fixture.name(9).as_deref(), Some("noshell"));
        assert_eq!(fixture.read().users.unwrap().by_id.len(), 2);
    }

    #[test]
    fn a_file_of_many_lines_is_cut() {
        let fixture = Fixture::new();
        let lines: Vec<String> = (0..70_000).map(|n| format!("u{n}:x:{n}:0::/:")).collect();
        fs::write(fixture.path("root/etc/passwd"), lines.join("\n")).unwrap();
        let files = fixture.read();
        assert!(files.bytes() < 16 << 20, "{}", files.bytes());
        assert_eq!(files.users.unwrap().by_id.len(), LINES_MAX);
    }

    #[test]
    fn a_hostile_file_is_left_alone() {
        let fixture = Fixture::new();
        let passwd = fixture.path("root/etc/passwd");
        // A link out of the container leads to its own root, where there is nothing.
        symlink("/etc/passwd", &passwd).unwrap();
        assert_eq!(fixture.name(0), None);
        fs::remove_file(&passwd).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &passwd, Mode::RWXU).unwrap();
        assert_eq!(fixture.name(0), None);
        fs::remove_file(&passwd).unwrap();
        File::create(&passwd).unwrap().set_len(FILE_MAX + 1).unwrap();
        assert_eq!(fixture.name(0), None);
    }

    #[test]
    fn the_first_process_that_is_there_shows_the_files() {
        let (fixture, other) = (Fixture::new(), Fixture::new());
        fs::write(fixture.path("root/etc/group"), "wheel:x:10:a\n").unwrap();
        fs::remove_file(other.path("ns/mnt")).unwrap();
        symlink("mnt:[3]", other.path("ns/mnt")).unwrap();
        let dirs = [PathBuf::from("/nonexistent"), other.0.path().into(), fixture.0.path().into()];
        let groups = Files::default().refresh(&dirs, 2).unwrap().groups.unwrap();
        assert_eq!(&*groups.by_id[&10], "wheel");
        assert!(Files::default().refresh(&dirs[..2], 2).is_none());
    }
}

//! Tells when rule files may have changed.
//!
//! Every directory on the way to a rule file is watched, symbolic links included, for the names that matter there; so an editor
//! that renames a new file over the old one is seen, a Kubernetes `ConfigMap` whose `..data` link is turned to another
//! directory, and a file, directory or link that comes to be or goes. A report is a hint: the caller reads the files again and
//! looks whether they differ. So a lost watch, an overflowed queue and a false alarm all cost one reading, nothing else.
//!
//! Call [`Watcher::arm`] before reading: what changes after it is reported. Where inotify is not to be had (its limits are reached),
//! [`Watcher::wait`] looks at the files every few seconds instead.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};

/// A burst of changes is over when nothing has happened for this long.
const QUIET: Duration = Duration::from_millis(100);
/// And is taken as over after this.
const LONGEST: Duration = Duration::from_secs(1);
/// How often the files are looked at where inotify does not work.
const EVERY: Duration = Duration::from_secs(5);
/// Most directories and files that are watched; the kernel's own limit is lower on some systems.
const MOST: usize = 4096;
/// Most symbolic links on the way to a file, as in the kernel.
const LINKS: usize = 40;

/// The watch.
pub struct Watcher {
    inotify: Option<OwnedFd>,
    /// What matters below each watch.
    watches: BTreeMap<i32, Names>,
    /// Something could not be watched.
    partial: bool,
}

/// Entries of a directory that matter.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Names {
    All,
    These(BTreeSet<OsString>),
}

/// What woke [`Watcher::wait`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// Files may have changed.
    Files,
    /// The descriptor that was given is readable.
    Other,
}

impl Watcher {
    /// Watches nothing yet. `off`: and never will.
    pub fn new(off: bool) -> Self {
        let inotify =
            if off { None } else { inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok() };
        Self { partial: !off && inotify.is_none(), inotify, watches: BTreeMap::new() }
    }

    /// Watches the way to each of these files and directories, and no longer what was watched before.
    pub fn arm(&mut self, paths: &[PathBuf]) {
        let Some(inotify) = &self.inotify else { return };
        let mut watches: BTreeMap<i32, Names> = BTreeMap::new();
        self.partial = false;
        let flags = WatchFlags::CREATE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ATTRIB;
        let mut ways = Ways::default();
        // A directory is watched before it is looked into, so that nothing changes unseen in between.
        ways.all(paths, |place, names| {
            match inotify::add_watch(inotify, place, flags) {
                Ok(watch) => {
                    watches.entry(watch).and_modify(|known| known.add(&names)).or_insert(names);
                }
                // It is gone again, which the directory above it tells.
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {}
                Err(_) => self.partial = true,
            }
        });
        self.partial |= ways.too_many;
        for watch in self.watches.keys().filter(|watch| !watches.contains_key(watch)) {
            // Those of what no longer exists are gone by themselves.
            let _ = inotify::remove_watch(inotify, *watch);
        }
        self.watches = watches;
    }

    /// True when not everything can be watched, so that [`Self::wait`] also returns now and then.
    pub fn is_partial(&self) -> bool {
        self.partial
    }

    /// Waits until files may have changed and it is quiet again, or until `other` is readable.
    pub fn wait(&mut self, other: BorrowedFd<'_>) -> io::Result<Woken> {
        loop {
            let timeout = self.partial.then_some(EVERY);
            let (changed, woken) = self.poll(other, timeout)?;
            if woken {
                return Ok(Woken::Other);
            }
            if changed {
                self.settle(other)?;
                return Ok(Woken::Files);
            }
            if self.partial {
                return Ok(Woken::Files);
            }
            // A neighbour in a busy directory must not cost more than a look now and then.
            std::thread::sleep(QUIET / 5);
        }
    }

    /// Waits for the end of a burst.
    fn settle(&mut self, other: BorrowedFd<'_>) -> io::Result<()> {
        let end = Instant::now() + LONGEST;
        while Instant::now() < end {
            let (changed, woken) = self.poll(other, Some(QUIET))?;
            if woken || !changed {
                break;
            }
        }
        Ok(())
    }

    /// Whether something that matters changed, and whether `other` is readable.
    fn poll(&mut self, other: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<(bool, bool)> {
        let mut fds = vec![PollFd::new(&other, PollFlags::IN)];
        if let Some(inotify) = &self.inotify {
            fds.push(PollFd::new(inotify, PollFlags::IN));
        }
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let woken = fds.first().is_some_and(|fd| fd.revents().contains(PollFlags::IN));
        Ok((self.take(), woken))
    }

    /// Takes what the kernel has told; true when it matters.
    fn take(&mut self) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(inotify.as_fd(), &mut buffer);
        let mut matters = false;
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
                    let about = match self.watches.get(&event.wd()) {
                        // Of a watch that was taken back, or the queue overflowed.
                        None => event.events().contains(ReadFlags::QUEUE_OVERFLOW),
                        Some(names) => names.matter(name),
                    };
                    matters |= about;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return matters,
            }
        }
    }
}

impl Names {
    fn add(&mut self, more: &Self) {
        match (&mut *self, more) {
            (Self::All, _) => {}
            (_, Self::All) => *self = Self::All,
            (Self::These(names), Self::These(more)) => names.extend(more.iter().cloned()),
        }
    }

    /// What has no name happened to the watched file or directory itself.
    fn matter(&self, name: Option<&OsStr>) -> bool {
        match (self, name) {
            (Self::All, _) | (_, None) => true,
            (Self::These(names), Some(name)) => names.contains(name),
        }
    }
}

/// The ways to files, directory by directory.
#[derive(Default)]
struct Ways {
    places: usize,
    too_many: bool,
}

impl Ways {
    /// Calls `watch` with each directory and the names that matter in it, and with the files themselves: one that is mounted alone
    /// changes without its directory.
    fn all(&mut self, paths: &[PathBuf], mut watch: impl FnMut(&Path, Names)) {
        for path in paths {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            let Some(end) = self.follow(&path, &mut watch) else { continue };
            if !end.is_dir() {
                continue;
            }
            for entry in fs::read_dir(&end).into_iter().flatten().flatten() {
                let path = entry.path();
                if crate::rules::source::files::is_rules(&path) {
                    self.follow(&path, &mut watch);
                }
            }
        }
    }

    /// Goes the way to `path`; where it ends, if it does. The end is watched too.
    fn follow(&mut self, path: &Path, watch: &mut impl FnMut(&Path, Names)) -> Option<PathBuf> {
        let mut at = PathBuf::from("/");
        let mut links = 0;
        let mut rest: VecDeque<OsString> = VecDeque::new();
        let parts = |path: &Path| -> Vec<OsString> {
            let part = |part: Component<'_>| match part {
                Component::Normal(name) => Some(name.to_owned()),
                Component::ParentDir => Some("..".into()),
                _ => None,
            };
            path.components().filter_map(part).collect()
        };
        rest.extend(parts(path));
        while let Some(name) = rest.pop_front() {
            if name == ".." {
                at.pop();
                continue;
            }
            self.watch(&at, Names::These([name.clone()].into()), watch);
            let next = at.join(&name);
            if !fs::symlink_metadata(&next).ok()?.is_symlink() {
                at = next;
                continue;
            }
            links += 1;
            if links > LINKS {
                return None;
            }
            let target = fs::read_link(&next).ok()?;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            for part in parts(&target).into_iter().rev() {
                rest.push_front(part);
            }
        }
        self.watch(&at, Names::All, watch);
        Some(at)
    }

    fn watch(&mut self, place: &Path, names: Names, watch: &mut impl FnMut(&Path, Names)) {
        self.places += 1;
        if self.places > MOST {
            self.too_many = true;
        } else {
            watch(place, names);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A directory with a rules directory `d` and a watcher of it and of `one.yaml`.
    fn watched() -> (tempfile::TempDir, PathBuf, Watcher) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        fs::create_dir(root.join("d")).unwrap();
        fs::write(root.join("one.yaml"), "1").unwrap();
        fs::write(root.join("d/a.yaml"), "1").unwrap();
        let mut watcher = Watcher::new(false);
        watcher.arm(&[root.join("one.yaml"), root.join("d")]);
        assert!(!watcher.is_partial());
        assert!(!watcher.take(), "nothing has happened yet");
        (dir, root, watcher)
    }

    #[test]
    fn writing_renaming_and_removing_are_told() {
        let (_dir, root, mut watcher) = watched();
        let mut told = |what: &str| assert!(watcher.take(), "{what}");
        fs::write(root.join("one.yaml"), "2").unwrap();
        told("written in place");
        fs::write(root.join("one.yaml.swp"), "3").unwrap();
        fs::rename(root.join("one.yaml.swp"), root.join("one.yaml")).unwrap();
        told("renamed over");
        fs::remove_file(root.join("one.yaml")).unwrap();
        told("removed");
        fs::write(root.join("one.yaml"), "4").unwrap();
        told("there again");
        fs::write(root.join("d/b.yaml"), "1").unwrap();
        told("one more in the directory");
        fs::remove_file(root.join("d/b.yaml")).unwrap();
        told("one less in the directory");
    }

    #[test]
    fn neighbours_do_not_matter() {
        let (_dir, root, mut watcher) = watched();
        fs::write(root.join("other.yaml"), "").unwrap();
        fs::create_dir(root.join("e")).unwrap();
        fs::write(root.join("e/a.yaml"), "").unwrap();
        fs::read(root.join("one.yaml")).unwrap();
        assert!(!watcher.take());
    }

    #[test]
    fn a_directory_may_go_and_come_back() {
        let (_dir, root, mut watcher) = watched();
        let paths = [root.join("one.yaml"), root.join("d")];
        fs::rename(root.join("d"), root.join("old")).unwrap();
        assert!(watcher.take(), "moved away");
        watcher.arm(&paths);
        watcher.take();
        fs::create_dir(root.join("d")).unwrap();
        assert!(watcher.take(), "there again");
        watcher.arm(&paths);
        watcher.take();
        fs::write(root.join("d/new.yaml"), "").unwrap();
        assert!(watcher.take(), "and watched again");
        fs::write(root.join("old/new.yaml"), "").unwrap();
        assert!(!watcher.take(), "the old one no longer");
    }

    #[test]
    fn a_config_map_is_seen_to_change() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        for version in ["..v1", "..v2", "..v3"] {
            fs::create_dir(root.join(version)).unwrap();
            fs::write(root.join(version).join("r.yaml"), version).unwrap();
        }
        let turn = |version: &str| {
            symlink(version, root.join("..data_tmp")).unwrap();
            fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
        };
        turn("..v1");
        symlink("..data/r.yaml", root.join("r.yaml")).unwrap();
        // As a directory, as a file in it, and by a link to that from elsewhere.
        let elsewhere = tempfile::tempdir().unwrap();
        let link = elsewhere.path().join("link.yaml");
        symlink(root.join("r.yaml"), &link).unwrap();
        for path in [root.clone(), root.join("r.yaml"), link] {
            turn("..v1");
            let mut watcher = Watcher::new(false);
            watcher.arm(std::slice::from_ref(&path));
            watcher.take();
            turn("..v2");
            assert!(watcher.take(), "{}", path.display());
            watcher.arm(std::slice::from_ref(&path));
            watcher.take();
            turn("..v3");
            assert!(watcher.take(), "{} again", path.display());
        }
    }

    #[test]
    fn what_does_not_exist_yet_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let paths = [root.join("a/b/r.yaml")];
        let mut watcher = Watcher::new(false);
        watcher.arm(&paths);
        watcher.take();
        for step in ["a", "a/b"] {
            fs::create_dir(root.join(step)).unwrap();
            assert!(watcher.take(), "{step}");
            watcher.arm(&paths);
            watcher.take();
        }
        fs::write(root.join("a/b/r.yaml"), "").unwrap();
        assert!(watcher.take());
    }

    #[test]
    fn links_in_a_circle_end() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        symlink("b.yaml", root.join("a.yaml")).unwrap();
        symlink("a.yaml", root.join("b.yaml")).unwrap();
        let mut watcher = Watcher::new(false);
        watcher.arm(&[root.join("a.yaml")]);
        watcher.take();
        fs::remove_file(root.join("b.yaml")).unwrap();
        assert!(watcher.take());
    }

    #[test]
    fn waiting_ends_for_files_and_for_others() {
        let (_dir, root, mut watcher) = watched();
        let (reader, mut writer) = std::io::pipe().unwrap();
        fs::write(root.join("d/a.yaml"), "2").unwrap();
        assert_eq!(watcher.wait(reader.as_fd()).unwrap(), Woken::Files);
        std::io::Write::write_all(&mut writer, b"x").unwrap();
        assert_eq!(watcher.wait(reader.as_fd()).unwrap(), Woken::Other);
        let mut off = Watcher::new(true);
        off.arm(&[root.join("d")]);
        assert_eq!(off.wait(reader.as_fd()).unwrap(), Woken::Other);
    }
}

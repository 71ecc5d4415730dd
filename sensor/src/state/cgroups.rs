//! The cgroup hierarchy that names containers on this machine, and the way from a kernfs id to a path.
//!
//! Pure v2: the unified hierarchy. With v1 controllers mounted (also "hybrid"), container managers put containers into all of
//! them; the one with the fewest other users is taken, so that little else makes records.
//! A directory's inode number in cgroupfs is its kernfs id, which is what the kernel puts into each record.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use crate::probe::kernfs::open_by_id;

/// v1 controllers in the order in which they are taken. systemd leaves `freezer` alone, and runc cannot do without it.
const CONTROLLERS: &[&str] = &["freezer", "devices", "pids", "memory", "cpuset", "blkio", "cpu", "cpuacct"];
/// Deepest cgroup and most cgroups that a walk visits.
const MAX_DEPTH: usize = 32;
const MAX_CGROUPS: usize = 100_000;

/// Why no hierarchy was found.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    #[error("cannot read {}: {cause}; is /proc mounted, and of the host?", .path.display())]
    Read { path: PathBuf, cause: io::Error },
    #[error(
        "no cgroup file system is mounted (looked in {}): containers cannot be told apart; mount one at /sys/fs/cgroup",
        .0.display()
    )]
    NotMounted(PathBuf),
}

/// One cgroup hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    controller: Option<String>,
    hierarchy: u32,
    /// Where the sensor reaches it.
    mount: PathBuf,
    /// Where its mount says that it is.
    mount_point: PathBuf,
    /// Path in the hierarchy of what is mounted there; empty for the root.
    prefix: String,
}

impl Layout {
    /// Finds the hierarchy with the help of the host's `/proc`.
    pub fn detect(proc_root: &Path) -> Result<Self, LayoutError> {
        let (init, own) = (proc_root.join("1/mountinfo"), proc_root.join("self/mountinfo"));
        let (mounts, mountinfo, host_root) = if let Ok(text) = fs::read_to_string(&init) {
            (text, init, proc_root.join("1/root"))
        } else {
            let text =
                fs::read_to_string(&own).map_err(|cause| LayoutError::Read { path: own.clone(), cause })?;
            (text, own, PathBuf::from("/"))
        };
        let cgroups = fs::read_to_string(proc_root.join("cgroups")).unwrap_or_default();
        for controller in CONTROLLERS {
            let Some(hierarchy) = hierarchy_of(&cgroups, controller) else { continue };
            let wanted = |m: &Mount| m.fstype == "cgroup" && m.options.split(',').any(|o| o == *controller);
            if let Some(mount) = mounts.lines().filter_map(Mount::parse).find(wanted) {
                return Ok(Self::new(Some((*controller).into()), hierarchy, &host_root, &mount));
            }
        }
        match mounts.lines().filter_map(Mount::parse).find(|m| m.fstype == "cgroup2") {
            Some(mount) => Ok(Self::new(None, 0, &host_root, &mount)),
            None => Err(LayoutError::NotMounted(mountinfo)),
        }
    }

    fn new(controller: Option<String>, hierarchy: u32, host_root: &Path, mount: &Mount) -> Self {
        let mount_point = PathBuf::from(unescape(mount.point));
        let through_root = host_root.join(mount_point.strip_prefix("/").unwrap_or(&mount_point));
        let reached = if through_root.is_dir() { through_root } else { mount_point.clone() };
        let prefix = unescape(mount.root);
        Self {
            controller,
            hierarchy,
            mount: reached,
            mount_point,
            prefix: prefix.trim_end_matches('/').into(),
        }
    }

    /// For [`crate::probe::Options::cgroup_controller`]; `None` for the unified hierarchy.
    pub fn controller(&self) -> Option<&str> {
        self.controller.as_deref()
    }

    /// For [`crate::probe::Options::cgroup_hierarchy`].
    pub fn hierarchy(&self) -> u32 {
        self.hierarchy
    }

    /// The directory where the hierarchy is reached.
    pub fn mount(&self) -> &Path {
        &self.mount
    }

    /// The path in this hierarchy from the text of `/proc/PID/cgroup`.
    pub fn path_in<'a>(&self, text: &'a str) -> Option<&'a str> {
        text.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            let ours = match &self.controller {
                None => controllers.is_empty(),
                Some(name) => controllers.split(',').any(|c| c == name),
            };
            ours.then_some(path)
        })
    }

    /// kernfs id of the cgroup at `path` (from the hierarchy's root).
    pub fn id_of(&self, path: &str) -> Option<u64> {
        let relative = path.strip_prefix(self.prefix.as_str())?.trim_start_matches('/');
        Some(fs::metadata(self.mount.join(relative)).ok()?.ino())
    }

    /// Path of a cgroup that exists now. Needs `CAP_DAC_READ_SEARCH`.
    pub fn path_of(&self, id: u64) -> Option<String> {
        let root = File::open(&self.mount).ok()?;
        let directory = open_by_id(root.as_fd(), id).ok()?;
        let link = fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd())).ok()?;
        let bytes = link.as_os_str().as_bytes();
        if bytes.ends_with(b" (deleted)") {
            return None;
        }
        let inside = link.strip_prefix(&self.mount_point).or_else(|_| link.strip_prefix(&self.mount)).ok()?;
        Some(self.join(inside.to_str()?))
    }

    /// Calls `found` with id and path of every cgroup, parents first.
    pub fn walk(&self, mut found: impl FnMut(u64, &str)) {
        let Ok(root) = fs::metadata(&self.mount) else { return };
        found(root.ino(), &self.join(""));
        let mut left = MAX_CGROUPS;
        let mut directories = vec![(PathBuf::new(), 0)];
        while let Some((relative, depth)) = directories.pop() {
            // A directory that is gone meanwhile has nothing to tell.
            let Ok(entries) = fs::read_dir(self.mount.join(&relative)) else { continue };
            for entry in entries.flatten() {
                if !entry.file_type().is_ok_and(|t| t.is_dir()) {
                    continue;
                }
                let child = relative.join(entry.file_name());
                let Some(path) = child.to_str() else { continue };
                found(entry.ino(), &self.join(path));
                left -= 1;
                if left == 0 {
                    return;
                }
                if depth < MAX_DEPTH {
                    directories.push((child, depth + 1));
                }
            }
        }
    }

    fn join(&self, relative: &str) -> String {
        format!("{}/{relative}", self.prefix)
    }
}

/// `hierarchy` column of a v1 controller in `/proc/cgroups`; `None` when it is disabled or not v1.
fn hierarchy_of(cgroups: &str, controller: &str) -> Option<u32> {
    cgroups.lines().find_map(|line| {
        let mut columns = line.split_ascii_whitespace();
        if columns.next()? != controller {
            return None;
        }
        let hierarchy: u32 = columns.next()?.parse().ok()?;
        let enabled = columns.nth(1)? == "1";
        (enabled && hierarchy != 0).then_some(hierarchy)
    })
}

/// One line of `/proc/PID/mountinfo`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mount<'a> {
    pub root: &'a str,
    pub point: &'a str,
    pub fstype: &'a str,
    /// Of the super block.
    pub options: &'a str,
}

impl<'a> Mount<'a> {
    pub fn parse(line: &'a str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, point) = (left.next()?, left.next()?);
        let mut right = right.split(' ');
        let fstype = right.next()?;
        Some(Self { root, point, fstype, options: right.nth(1).unwrap_or_default() })
    }
}

/// `mountinfo` writes space, tab, newline and backslash as three octal digits.
pub(super) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let octal = (first == b'\\')
            .then(|| std::str::from_utf8(tail.get(..3)?).ok())
            .flatten()
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(octal.unwrap_or(first));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    OsStr::from_bytes(&bytes).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
21 20 0:19 / /sys rw,nosuid - sysfs sysfs rw
30 21 0:25 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
31 30 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
32 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
33 30 0:28 / /sys/fs/cgroup/with\\040space rw shared:9 - cgroup cgroup rw,freezer
34 30 0:29 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
";
    const PURE: &str = "31 30 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    fn proc_root(mountinfo: &str, cgroups: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("1")).unwrap();
        fs::write(dir.path().join("1/mountinfo"), mountinfo).unwrap();
        fs::write(dir.path().join("cgroups"), cgroups).unwrap();
        dir
    }

    #[test]
    fn the_hierarchy_with_the_fewest_other_users_is_taken() {
        let cgroups =
            "#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t1\t1\nfreezer\t6\t1\t1\npids\t8\t1\t1\n";
        let root = proc_root(HYBRID, cgroups);
        let layout = Layout::detect(root.path()).unwrap();
        assert_eq!((layout.controller(), layout.hierarchy()), (Some("freezer"), 6));
        assert_eq!(layout.mount(), Path::new("/sys/fs/cgroup/with space"));

        let disabled = cgroups.replace("freezer\t6\t1\t1", "freezer\t6\t1\t0");
        let layout = Layout::detect(proc_root(HYBRID, &disabled).path()).unwrap();
        assert_eq!((layout.controller(), layout.hierarchy()), (Some("pids"), 8));
    }

    #[test]
    fn without_v1_controllers_it_is_the_unified_one() {
        let cgroups = "#subsys_name\thierarchy\tnum_cgroups\tenabled\nfreezer\t0\t1\t1\n";
        let layout = Layout::detect(proc_root(PURE, cgroups).path()).unwrap();
        assert_eq!((layout.controller(), layout.hierarchy()), (None, 0));
        // Newer kernels have no such file on pure v2.
        assert_eq!(Layout::detect(proc_root(PURE, "").path()).unwrap(), layout);
        assert_eq!(layout.path_in("4:memory:/a\n0::/b:c\n"), Some("/b:c"));
    }

    #[test]
    fn octal_escapes() {
        for (text, means) in [
            ("/a\\040b\\134", "/a b\\"),
            ("\\", "\\"),
            ("\\04", "\\04"),
            ("\\777x", "\\777x"),
            ("\\é40", "\\é40"),
            ("\\+40", "\\+40"),
        ] {
            assert_eq!(unescape(text), means, "{text}");
        }
    }

    #[test]
    fn no_cgroups_is_an_error_that_says_what_to_do() {
        let error = Layout::detect(proc_root("1 0 0:1 / / rw - ext4 /dev/vda rw\n", "").path()).unwrap_err();
        assert!(error.to_string().contains("mount one at /sys/fs/cgroup"), "{error}");
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(Layout::detect(empty.path()), Err(LayoutError::Read { .. })));
    }

    #[test]
    fn a_walk_finds_the_tree_and_ids_lead_back() {
        let root = proc_root(PURE, "");
        let tree = root.path().join("1/root/sys/fs/cgroup/docker/abc");
        fs::create_dir_all(&tree).unwrap();
        fs::write(root.path().join("1/root/sys/fs/cgroup/cgroup.procs"), "").unwrap();
        let layout = Layout::detect(root.path()).unwrap();
        let mut seen = Vec::new();
        layout.walk(|id, path| seen.push((id, path.to_owned())));
        let paths: Vec<_> = seen.iter().map(|(_, p)| p.as_str()).collect();
        assert_eq!(paths, ["/", "/docker", "/docker/abc"]);
        for (id, path) in &seen {
            assert_eq!(layout.id_of(path), Some(*id));
        }
        assert_eq!(layout.id_of("/none"), None);
    }

    #[test]
    #[cfg_attr(not(has_admin), ignore = "needs root: it makes a cgroup")]
    fn the_running_kernel_resolves_ids() {
        let layout = Layout::detect(Path::new("/proc")).unwrap();
        let directory = layout.mount().join(format!("falconet-test-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        let name = format!("/falconet-test-{}", std::process::id());
        let id = layout.id_of(&name).unwrap();
        let path = layout.path_of(id);
        fs::remove_dir(&directory).unwrap();
        assert_eq!(path.as_deref(), Some(name.as_str()));
        assert_eq!(layout.path_of(id), None);
    }
}

//! What `/proc` tells of processes that the probe did not see start.
//!
//! It tells less than the kernel does: whether an executable is in the upper layer of an overlay is guessed from the mount
//! options of the process's mount table (the upper directory must be reachable from the host's root), the times are
//! those of clock ticks, and all of it can change between two reads. A process that ends meanwhile is not found.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sensor_ebpf::config::{ARGS_ENDS, ENV_ENDS, Ends, GAP};
use sensor_ebpf::record::{
    EXE_FROM_MEMFD, EXE_LOWER_LAYER, EXE_UPPER_LAYER, EXE_WRITABLE, Exe, NS_PER_TICK, Task, exec_id,
};

use super::cgroups::{Layout, Mount, unescape};
use super::process::{Image, Process, exe_path};

/// Most bytes of a file of `/proc`.
const FILE_MAX: usize = 1 << 20;

/// A reader of the host's `/proc`.
#[derive(Debug, Clone)]
pub struct ProcFs {
    root: Arc<Path>,
    layout: Option<Arc<Layout>>,
}

impl ProcFs {
    /// `root` is where the host's `/proc` is mounted. Without a layout, processes have cgroup 0.
    pub fn new(root: impl Into<PathBuf>, layout: Option<Arc<Layout>>) -> Self {
        Self { root: root.into().into(), layout }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Every process there is.
    pub fn pids(&self) -> Vec<u32> {
        let Ok(entries) = fs::read_dir(&self.root) else { return Vec::new() };
        entries.flatten().filter_map(|e| e.file_name().to_str()?.parse().ok()).collect()
    }

    /// One process; `None` when there is none, or it ended while it was read. `pidns_start` is left 0.
    pub fn read(&self, tgid: u32) -> Option<Process> {
        let dir = self.root.join(tgid.to_string());
        let stat = Stat::parse(&read(&dir.join("stat"), FILE_MAX)?)?;
        let status = Status::parse(&String::from_utf8_lossy(&read(&dir.join("status"), FILE_MAX)?))?;
        let parent = (stat.ppid != 0)
            .then(|| Stat::parse(&read(&self.root.join(stat.ppid.to_string()).join("stat"), FILE_MAX)?))
            .flatten();
        let text = |name: &str| String::from_utf8(read(&dir.join(name), FILE_MAX)?).ok();
        let loginuid = text("loginuid").and_then(|t| t.trim().parse().ok()).unwrap_or(u32::MAX);
        let cgroup = self.layout.as_ref().and_then(|l| l.id_of(l.path_in(&text("cgroup")?)?)).unwrap_or(0);
        let root = link(&dir.join("root"));
        let exe = link(&dir.join("exe"));
        let facts = self.exe(&dir, &exe, &status);
        let image = Image {
            exe: facts,
            exepath: exe_path(inside(&exe, &root)).into(),
            filename: Box::default(),
            args: ends(&read(&dir.join("cmdline"), FILE_MAX).unwrap_or_default(), ARGS_ENDS),
            env: ends(&read(&dir.join("environ"), FILE_MAX).unwrap_or_default(), ENV_ENDS),
        };
        let cwd = inside(&link(&dir.join("cwd")), &root).into();
        let start = stat.start * NS_PER_TICK;
        // Still the same process: none of the above is another one's that got the pid.
        if Stat::parse(&read(&dir.join("stat"), FILE_MAX)?)?.start != stat.start {
            return None;
        }
        Some(Process {
            exec_id: exec_id(tgid, start),
            tgid,
            forked_by: 0,
            task: Task {
                start,
                parent_exec_id: parent.map_or(0, |p| exec_id(stat.ppid, p.start * NS_PER_TICK)),
                cap_inheritable: status.caps[0],
                cap_permitted: status.caps[1],
                cap_effective: status.caps[2],
                pidns_start: 0,
                ppid: stat.ppid,
                sid: stat.sid,
                pgid: stat.pgid,
                vpid: status.vpid.unwrap_or(tgid),
                vsid: status.vsid.unwrap_or(stat.sid),
                vpgid: status.vpgid.unwrap_or(stat.pgid),
                uid: status.uid,
                gid: status.gid,
                loginuid,
                tty: stat.tty,
                pidns: namespace(&dir.join("ns/pid")),
                mntns: namespace(&dir.join("ns/mnt")),
                comm: stat.comm,
            },
            cgroup,
            cloned: start,
            execed: 0,
            cwd,
            image: Arc::new(image),
        })
    }

    /// Facts of the executable behind `/proc/PID/exe`, whose link text is `path`.
    fn exe(&self, dir: &Path, path: &[u8], status: &Status) -> Exe {
        let mut exe = Image::unknown().exe;
        let Ok(file) = fs::metadata(dir.join("exe")) else { return exe };
        exe.ino = file.ino();
        exe.dev = kernel_dev(file.dev());
        exe.ctime = nanoseconds(file.ctime(), file.ctime_nsec());
        exe.mtime = nanoseconds(file.mtime(), file.mtime_nsec());
        let owner = file.uid() == status.fsuid && file.mode() & 0o200 != 0;
        if owner || file.mode() & 0o002 != 0 || status.fsuid == 0 {
            exe.flags |= EXE_WRITABLE;
        }
        if path.starts_with(b"/memfd:") {
            exe.flags |= EXE_FROM_MEMFD;
        } else if let Some(upper) = self.in_upper_layer(dir, path) {
            exe.flags |= if upper { EXE_UPPER_LAYER } else { EXE_LOWER_LAYER };
        }
        exe
    }

    /// Layer of the overlay that `path` is on; `None` when it is on none, or was deleted.
    fn in_upper_layer(&self, dir: &Path, path: &[u8]) -> Option<bool> {
        let text = String::from_utf8_lossy(&read(&dir.join("mountinfo"), FILE_MAX)?).into_owned();
        let deleted = path.ends_with(b" (deleted)");
        let path = Path::new(std::ffi::OsStr::from_bytes(path.strip_suffix(b" (deleted)").unwrap_or(path)));
        // The longest mount point that leads to the path; of equal ones the last covers the others.
        let (mount, relative) = text
            .lines()
            .filter_map(Mount::parse)
            .filter_map(|m| Some((m, path.strip_prefix(unescape(m.point)).ok()?)))
            .max_by_key(|(m, _)| m.point.trim_end_matches('/').len())?;
        if mount.fstype != "overlay" {
            return None;
        }
        let upper = mount.options.split(',').find_map(|o| o.strip_prefix("upperdir="))?;
        let upper = unescape(upper);
        let host = self.root.join("1/root").join(upper.trim_start_matches('/'));
        let file = host.join(mount.root.trim_start_matches('/')).join(relative);
        let upper = fs::symlink_metadata(file).is_ok_and(|m| m.is_file());
        (upper || !deleted).then_some(upper)
    }
}

/// `path` from the directory `root`, both as the sensor sees them.
fn inside<'a>(path: &'a [u8], root: &[u8]) -> &'a [u8] {
    match path.strip_prefix(root) {
        Some(b"") => b"/",
        Some(rest) if root.len() > 1 && rest.starts_with(b"/") => rest,
        _ => path,
    }
}

fn link(path: &Path) -> Vec<u8> {
    fs::read_link(path).map(|l| l.into_os_string().into_vec()).unwrap_or_default()
}

/// Inode number in a link like `pid:[4026531836]`.
pub(super) fn namespace(path: &Path) -> u32 {
    let text = link(path);
    let number = text.split(|b| !b.is_ascii_digit()).find(|p| !p.is_empty()).unwrap_or_default();
    std::str::from_utf8(number).ok().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// As much of a text as a record of the kernel's has of it.
fn ends(text: &[u8], ends: Ends) -> Box<[u8]> {
    match (text.split_at_checked(ends.head), text.len().checked_sub(ends.tail)) {
        (Some((head, _)), Some(tail)) if tail > ends.head => [head, GAP, &text[tail..]].concat().into(),
        _ => text.into(),
    }
}

/// At most `max` bytes of a file.
fn read(path: &Path, max: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(max as u64).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// `new_encode_dev` of a device number as stat(2) gives it.
fn kernel_dev(dev: u64) -> u32 {
    let (major, minor) = (libc::major(dev), libc::minor(dev));
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

fn nanoseconds(seconds: i64, nanoseconds: i64) -> u64 {
    u64::try_from(seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)).unwrap_or(0)
}

/// `/proc/PID/stat`.
struct Stat {
    comm: [u8; 16],
    ppid: u32,
    pgid: u32,
    sid: u32,
    tty: u32,
    /// Ticks since boot.
    start: u64,
}

impl Stat {
    fn parse(bytes: &[u8]) -> Option<Self> {
        // The name may hold anything, parentheses too.
        let open = bytes.iter().position(|&b| b == b'(')?;
        let close = bytes.iter().rposition(|&b| b == b')')?;
        let name = bytes.get(open + 1..close)?;
        let mut comm = [0; 16];
        let len = name.len().min(15);
        comm[..len].copy_from_slice(&name[..len]);
        let rest = std::str::from_utf8(bytes.get(close + 1..)?).ok()?;
        let field: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |i: usize| field.get(i)?.parse::<i64>().ok();
        let id = |i: usize| u32::try_from(number(i)?.max(0)).ok();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a device number, printed as int"
        )]
        let tty = number(4)? as u32;
        Some(Self {
            comm,
            ppid: id(1)?,
            pgid: id(2)?,
            sid: id(3)?,
            tty,
            start: u64::try_from(number(19)?).ok()?,
        })
    }
}

/// `/proc/PID/status`.
#[derive(Default)]
struct Status {
    uid: u32,
    gid: u32,
    fsuid: u32,
    /// Inheritable, permitted, effective.
    caps: [u64; 3],
    vpid: Option<u32>,
    vpgid: Option<u32>,
    vsid: Option<u32>,
}

impl Status {
    fn parse(text: &str) -> Option<Self> {
        let mut status = Self::default();
        let mut has_uid = false;
        for line in text.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let mut numbers = value.split_ascii_whitespace();
            let hex = || u64::from_str_radix(value.trim(), 16).unwrap_or(0);
            let innermost = || value.split_ascii_whitespace().last().and_then(|n| n.parse().ok());
            match key {
                "Uid" => {
                    status.uid = numbers.nth(1)?.parse().ok()?;
                    status.fsuid = numbers.nth(1)?.parse().ok()?;
                    has_uid = true;
                }
                "Gid" => status.gid = numbers.nth(1)?.parse().ok()?,
                "CapInh" => status.caps[0] = hex(),
                "CapPrm" => status.caps[1] = hex(),
                "CapEff" => status.caps[2] = hex(),
                "NStgid" => status.vpid = innermost(),
                "NSpgid" => status.vpgid = innermost(),
                "NSsid" => status.vsid = innermost(),
                _ => {}
            }
        }
        has_uid.then_some(status)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const STATUS: &str = "Name:\tx\nUid:\t1000\t0\t0\t33\nGid:\t1000\t50\t0\t0\nNStgid:\t200\t7\nNSpid:\t200\t7\n\
        NSpgid:\t200\t7\nNSsid:\t100\t1\nCapInh:\t0000000000000001\nCapPrm:\t00000000a80425fb\nCapEff:\t0000000000000002\n";

    struct Fixture(tempfile::TempDir);

    impl Fixture {
        fn new() -> Self {
            let fixture = Self(tempfile::tempdir().unwrap());
            fixture.write("100/stat", b"100 (sh) S 1 100 100 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 500 0");
            fixture.write(
                "200/stat",
                b"200 (a) b (c) S 100 200 100 34816 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 123456 0",
            );
            fixture.write("200/status", STATUS.as_bytes());
            fixture.write("200/cmdline", b"./x\0-a\0");
            fixture.write("200/environ", b"A=1\0B=2\0");
            fixture.write("200/loginuid", b"1000");
            fixture
        }

        fn path(&self, name: &str) -> PathBuf {
            self.0.path().join(name)
        }

        fn write(&self, name: &str, bytes: &[u8]) {
            fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
            fs::write(self.path(name), bytes).unwrap();
        }

        fn link(&self, name: &str, to: &str) {
            fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
            symlink(to, self.path(name)).unwrap();
        }

        fn read(&self) -> Option<Process> {
            ProcFs::new(self.0.path(), None).read(200)
        }
    }

    #[test]
    fn long_arguments_have_both_ends() {
        let fixture = Fixture::new();
        for len in [4095, 8190, 8191, 60_000] {
            let args = ["x".repeat(len - 9), "payload\0y".into()].concat();
            fixture.write("200/cmdline", args.as_bytes());
            let kept = fixture.read().unwrap().image.args.to_vec();
            assert!(kept.ends_with(b"xxpayload\0y"));
            assert_eq!(kept.len(), if len <= 8190 { len } else { 8190 + GAP.len() });
            assert_eq!(kept.windows(3).any(|part| part == GAP), len > 8190);
        }
    }

    #[test]
    fn a_process_is_read() {
        let fixture = Fixture::new();
        fixture.link("200/root", "/jail");
        fixture.link("200/exe", "/jail/bin/x (deleted)");
        fixture.link("200/cwd", "/jail");
        fixture.link("200/ns/mnt", "mnt:[4026532000]");
        fixture.link("200/ns/pid", "pid:[4026532001]");
        let p = fixture.read().unwrap();
        let t = &p.task;
        assert_eq!(
            (p.comm(), &*p.image.args, &*p.image.env),
            (&b"a) b (c"[..], &b"./x\0-a\0"[..], &b"A=1\0B=2\0"[..])
        );
        assert_eq!((&*p.image.exepath, &*p.cwd), (&b"/bin/x"[..], &b"/"[..]));
        assert_eq!((t.ppid, t.pgid, t.sid, t.tty, t.start), (100, 200, 100, 34816, 1_234_560_000_000));
        assert_eq!(p.exec_id, exec_id(200, t.start));
        assert_eq!(t.parent_exec_id, exec_id(100, 5_000_000_000));
        assert_eq!((t.uid, t.gid, t.loginuid), (0, 50, 1000));
        assert_eq!((t.vpid, t.vpgid, t.vsid), (7, 7, 1));
        assert_eq!((t.cap_inheritable, t.cap_permitted, t.cap_effective), (1, 0xa804_25fb, 2));
        assert_eq!((t.mntns, t.pidns), (4_026_532_000, 4_026_532_001));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_parsed(bytes: Vec<u8>, text in "[0-9]{0,3} ?\\(.{0,20}\\) ?[A-Z]( -?[0-9]{0,22}){0,30}") {
            for stat in [&bytes[..], text.as_bytes()] {
                let _ = Stat::parse(stat);
                let _ = Status::parse(&String::from_utf8_lossy(stat));
                let _ = inside(stat, b"/jail");
                let _ = exe_path(stat);
                let line = format!("1 1 0:1 / {text} rw - {text}");
                let _ = Mount::parse(&line).map(|m| unescape(m.point));
            }
        }
    }

    #[test]
    fn what_is_missing_or_broken_is_no_panic() {
        assert!(ProcFs::new("/nonexistent", None).read(1).is_none());
        assert!(ProcFs::new("/nonexistent", None).pids().is_empty());
        for stat in ["", "200", "200 (x", "200 )x(", "200 (x) S", "200 (x) S a b c d e f", "200 () \u{ff}"] {
            let fixture = Fixture::new();
            fixture.write("200/stat", stat.as_bytes());
            assert!(fixture.read().is_none(), "{stat}");
        }
        let fixture = Fixture::new();
        fixture.write("200/status", b"Uid:\t1\n");
        assert!(fixture.read().is_none());
        assert_eq!(ProcFs::new(fixture.0.path(), None).pids().len(), 2);
    }

    #[test]
    fn the_layer_of_an_executable_is_told_by_the_mount_table() {
        let fixture = Fixture::new();
        fixture.write("1/root/upper/bin/new", b"");
        let mounts = "10 1 0:1 / / rw - overlay overlay rw,lowerdir=/low,upperdir=/upper,workdir=/w\n\
            11 10 0:2 / /tmp rw - tmpfs tmpfs rw\n";
        fixture.write("200/mountinfo", mounts.as_bytes());
        let procfs = ProcFs::new(fixture.0.path(), None);
        let layer = |path: &str| procfs.in_upper_layer(&fixture.path("200"), path.as_bytes());
        assert_eq!(layer("/bin/new"), Some(true));
        assert_eq!(layer("/bin/new (deleted)"), Some(true));
        assert_eq!(layer("/bin/old"), Some(false));
        assert_eq!(layer("/bin/old (deleted)"), None, "it may have been in either");
        assert_eq!(layer("/tmp/x"), None);
        assert_eq!(layer("memfd:x"), None);
    }

    #[test]
    fn this_process_is_as_it_knows_itself() {
        let me = ProcFs::new("/proc", None).read(std::process::id()).unwrap();
        assert_eq!(me.image.exepath, std::env::current_exe().unwrap().as_os_str().as_bytes().into());
        assert_eq!(me.cwd, std::env::current_dir().unwrap().as_os_str().as_bytes().into());
        assert_eq!(me.task.uid, rustix::process::geteuid().as_raw());
        let exe = fs::metadata("/proc/self/exe").unwrap();
        assert_eq!(
            (me.image.exe.ino, me.image.exe.mtime),
            (exe.ino(), nanoseconds(exe.mtime(), exe.mtime_nsec()))
        );
    }
}

//! chown(2), lchown(2), fchown(2), fchownat(2).

use super::flags::FCHOWNAT_FLAGS;
use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, PathRole, Role,
    View, Volume, params,
};
use crate::record;
use crate::record::{Fd, Pod as _, Record, Tail};

record! {
    /// A finished chown.
    pub struct OwnerChanged {
        pub ret: i64,
        /// What `fd` is: the file of fchown, the directory of fchownat; `kind` 0 for none.
        pub file: Fd,
        pub fd: i32,
        /// `u32::MAX`: stays as it is.
        pub uid: u32,
        pub gid: u32,
        /// Linux's `AT_*` (fchownat).
        pub flags: u32,
        pub raw: Tail,
        pub base: Tail,
    }
}

/// chown(2).
pub struct Chown;
/// lchown(2).
pub struct Lchown;
/// fchown(2).
pub struct Fchown;
/// fchownat(2).
pub struct Fchownat;

impl Chown {
    pub const EVENT: Info = event("chown", CHOWN, None);
}

impl Lchown {
    pub const EVENT: Info = event("lchown", CHOWN, None);
}

impl Fchown {
    pub const EVENT: Info = event("fchown", FCHOWN, fd(Is::Subject));
}

impl Fchownat {
    pub const EVENT: Info = event("fchownat", FCHOWNAT, fd(Is::Directory));
}

const fn fd(is: Is) -> Option<Descriptor> {
    Some(Descriptor {
        view: |r| r.body().map(|b: &OwnerChanged| FdView::of(r, b.fd.into(), &b.file)),
        is,
        otherwise: b'o',
        role: Role::Unknown,
    })
}

/// The four differ in this.
const fn event(name: &'static str, params: &'static [Param], fd: Option<Descriptor>) -> Info {
    Info {
        layout: OwnerChanged::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name,
            codes: Codes::Exit,
            category: Category::File,
            params,
            fd,
            io: None,
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    }
}

fn path<'a>(r: &Record<'a>, b: &OwnerChanged) -> Arg<'a> {
    Arg::Path { raw: r.tail(b.raw), base: r.tail(b.base) }
}

const CHOWN: &[Param] = params! {
    "res": T::Errno, |r, b: &OwnerChanged| Arg::Int(b.ret);
    "path": T::Path(PathRole::Name), |r, b: &OwnerChanged| path(r, b);
    "uid": T::Dec(32), |r, b: &OwnerChanged| Arg::Uint(b.uid.into());
    "gid": T::Dec(32), |r, b: &OwnerChanged| Arg::Uint(b.gid.into());
};

const FCHOWN: &[Param] = params! {
    "res": T::Errno, |r, b: &OwnerChanged| Arg::Int(b.ret);
    "fd": T::FdPath(PathRole::Name), |r, b: &OwnerChanged| Arg::Int(b.fd.into());
    "uid": T::Dec(32), |r, b: &OwnerChanged| Arg::Uint(b.uid.into());
    "gid": T::Dec(32), |r, b: &OwnerChanged| Arg::Uint(b.gid.into());
};

const FCHOWNAT: &[Param] = params! {
    "res": T::Errno, |r, b: &OwnerChanged| Arg::Int(b.ret);
    "dirfd": T::Fd, |r, b: &OwnerChanged| Arg::Int(b.fd.into());
    "pathname": T::PathAt(PathRole::Name), |r, b: &OwnerChanged| path(r, b);
    "uid": T::Dec(32), |r, b: &OwnerChanged| Arg::Uint(b.uid.into());
    "gid": T::Dec(32), |r, b: &OwnerChanged| Arg::Uint(b.gid.into());
    "flags": T::Flags(32, FCHOWNAT_FLAGS), |r, b: &OwnerChanged| Arg::Uint(falco_flags(b.flags).into());
};

/// Falco's bits of Linux's flags: in its table of this call `AT_SYMLINK_NOFOLLOW` is not what it is in Linux.
fn falco_flags(linux: u32) -> u32 {
    let bit = |linux_bit, falco| if linux & linux_bit != 0 { falco } else { 0 };
    bit(0x100, 1024) | bit(0x1000, 4096)
}

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::OwnerChanged;
    use crate::events::Kind;
    use crate::kernel::file::{self, AT_FDCWD};
    use crate::kernel::{Exit, Writer};
    use crate::record::Tail;

    /// i386's numbers of the calls whose ids have 16 bits.
    const OF_16_BITS: [u64; 3] = [16, 95, 182];

    #[inline(always)]
    fn id(exit: &Exit, n: usize) -> u32 {
        let id = exit.arg(n) as u32;
        if !exit.compat || !OF_16_BITS.contains(&exit.nr) {
            return id;
        }
        if id & 0xffff == 0xffff { u32::MAX } else { id & 0xffff }
    }

    #[inline(always)]
    fn record(exit: &Exit, kind: Kind, fd: i32, raw: Option<u64>, uid: usize, flags: u32) {
        let Some(mut w) = Writer::new::<OwnerChanged>(kind) else { return };
        let body = w.body::<OwnerChanged>();
        body.ret = exit.ret;
        file::describe(&mut w, exit.task, fd, &mut body.file);
        body.fd = fd;
        body.uid = id(exit, uid);
        body.gid = id(exit, uid + 1);
        body.flags = flags;
        (body.raw, body.base) = match raw {
            Some(raw) => file::argument(&mut w, exit, fd, raw),
            None => (Tail::EMPTY, Tail::EMPTY),
        };
        w.submit(kind);
    }

    #[inline(always)]
    pub fn chown(exit: &Exit) {
        record(exit, Kind::Chown, AT_FDCWD, Some(exit.arg(0)), 1, 0);
    }

    #[inline(always)]
    pub fn lchown(exit: &Exit) {
        record(exit, Kind::Lchown, AT_FDCWD, Some(exit.arg(0)), 1, 0);
    }

    #[inline(always)]
    pub fn fchown(exit: &Exit) {
        record(exit, Kind::Fchown, exit.arg(0) as i32, None, 1, 0);
    }

    #[inline(always)]
    pub fn fchownat(exit: &Exit) {
        let flags = exit.arg(4) as u32;
        record(exit, Kind::Fchownat, exit.arg(0) as i32, Some(exit.arg(1)), 2, flags);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{chown, fchown, fchownat, lchown};

#[cfg(feature = "testing")]
mod scenarios {
    use std::format;
    use std::os::fd::AsRawFd as _;

    use super::{Chown, Fchown, Fchownat, Lchown};
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Stage, c};

    impl Chown {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "a relative path", play: chown },
            Scenario { shows: "a failed one keeps what was asked", play: failed },
        ];
    }

    impl Lchown {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "the link itself", play: lchown }];
    }

    impl Fchown {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "the path is the descriptor's", play: fchown }];
    }

    impl Fchownat {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "below a directory, which is the descriptor", play: fchownat }];
    }

    fn chown(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let (path, top) = (dir.file("a"), c(dir.path()));
        let seen = stage.one(&|| {
            syscall!(SYS_chdir, top.as_ptr());
            syscall!(SYS_chown, c"a".as_ptr(), 0, 65534);
        });
        let raw = format!("a in {}", dir.path());
        seen.is("chown", &[("res", "0"), ("path", &raw), ("uid", "0"), ("gid", "65534")])
            .has(&[("evt.type", "chown"), ("evt.category", "file"), ("evt.arg[1]", &path)])
            .has(&[("fs.path.name", &path), ("fs.path.nameraw", "a")])
            .lacks(&["fd.num", "evt.abspath", "fs.path.source"]);
    }

    fn failed(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_chown, c"/nonexistent".as_ptr(), -1, 0);
        });
        let args = [("res", "-2"), ("path", "/nonexistent"), ("uid", "4294967295"), ("gid", "0")];
        seen.is("chown", &args).has(&[("evt.res", "ENOENT")]).lacks(&["fs.path.name"]);
    }

    fn lchown(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let link = dir.at("link");
        std::os::unix::fs::symlink(dir.file("real"), &link).unwrap();
        let path = c(&link);
        let seen = stage.one(&|| {
            syscall!(SYS_lchown, path.as_ptr(), 1, 2);
        });
        seen.is("lchown", &[("res", "0"), ("path", &link), ("uid", "1"), ("gid", "2")])
            .has(&[("evt.type", "lchown"), ("evt.category", "file"), ("fs.path.name", &link)])
            .lacks(&["fd.num", "evt.abspath"]);
    }

    fn fchown(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let path = dir.file("a");
        let file = std::fs::File::open(&path).unwrap();
        let fd = file.as_raw_fd();
        let seen = stage.observe(&|| {
            syscall!(SYS_fchown, fd, 1, 2);
            syscall!(SYS_fchown, -1, 1, 2);
        });
        let [done, failed] = seen.as_slice() else { panic!("{seen:?}") };
        let fd = format!("{fd}");
        done.is("fchown", &[("res", "0"), ("fd", &fd), ("uid", "1"), ("gid", "2")])
            .has(&[("evt.type", "fchown"), ("fd.num", &fd), ("fd.name", &path)])
            .has(&[("fs.path.name", &path), ("evt.arg[1]", &format!("<f>{path}"))]);
        failed
            .is("fchown", &[("res", "-9"), ("fd", "-1"), ("uid", "1"), ("gid", "2")])
            .has(&[("evt.res", "EBADF")])
            .lacks(&["fs.path.name", "fd.name"]);
    }

    fn fchownat(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let path = dir.file("a");
        let open = std::fs::File::open(dir.path()).unwrap();
        let dirfd = open.as_raw_fd();
        let seen = stage.one(&|| {
            syscall!(SYS_fchownat, dirfd, c"a".as_ptr(), 1, 2, libc::AT_SYMLINK_NOFOLLOW);
        });
        let (fd, name) = (format!("{dirfd}"), format!("a in {}", dir.path()));
        let args = [
            ("res", "0"),
            ("dirfd", &*fd),
            ("pathname", &name),
            ("uid", "1"),
            ("gid", "2"),
            ("flags", "1024"),
        ];
        seen.is("fchownat", &args)
            .has(&[("evt.type", "fchownat"), ("fd.num", &fd), ("fd.name", dir.path())])
            .has(&[("evt.arg[5]", "AT_SYMLINK_NOFOLLOW"), ("fd.type", "directory")])
            .has(&[("fs.path.name", &path), ("evt.abspath", &path)]);
    }
}

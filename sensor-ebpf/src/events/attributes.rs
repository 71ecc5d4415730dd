//! Calls that change what is known of a file besides its bytes: utimensat(2), setxattr(2), removexattr(2) and their kin.
//!
//! Falco has them by name alone; the parameters are ours.

use super::flags::AT_FLAGS;
use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, PathRole, Role,
    View, Volume, params,
};
use crate::record;
use crate::record::{Fd, Pod as _, Record, Tail};

record! {
    /// A finished call.
    pub struct AttributeChanged {
        pub ret: i64,
        /// What `fd` is: the file, or the directory that a path starts from; `kind` 0 for none.
        pub file: Fd,
        pub fd: i32,
        pub flags: u32,
        pub raw: Tail,
        pub base: Tail,
        /// Name of the attribute, as passed.
        pub name: Tail,
        pub reserved: u32,
    }
}

/// utimensat(2).
pub struct Utimensat;
/// utimes(2).
pub struct Utimes;
/// utime(2).
pub struct Utime;
/// setxattr(2).
pub struct Setxattr;
/// lsetxattr(2).
pub struct Lsetxattr;
/// fsetxattr(2).
pub struct Fsetxattr;
/// removexattr(2).
pub struct Removexattr;
/// lremovexattr(2).
pub struct Lremovexattr;
/// fremovexattr(2).
pub struct Fremovexattr;

impl Utimensat {
    pub const EVENT: Info = event("utimensat", UTIMENSAT, fd(Is::Directory));
}

impl Utimes {
    pub const EVENT: Info = event("utimes", UTIMES, None);
}

impl Utime {
    pub const EVENT: Info = event("utime", UTIMES, None);
}

impl Setxattr {
    pub const EVENT: Info = event("setxattr", SETXATTR, None);
}

impl Lsetxattr {
    pub const EVENT: Info = event("lsetxattr", SETXATTR, None);
}

impl Fsetxattr {
    pub const EVENT: Info = event("fsetxattr", FSETXATTR, fd(Is::Subject));
}

impl Removexattr {
    pub const EVENT: Info = event("removexattr", REMOVEXATTR, None);
}

impl Lremovexattr {
    pub const EVENT: Info = event("lremovexattr", REMOVEXATTR, None);
}

impl Fremovexattr {
    pub const EVENT: Info = event("fremovexattr", FREMOVEXATTR, fd(Is::Subject));
}

const fn fd(is: Is) -> Option<Descriptor> {
    Some(Descriptor {
        view: |r| r.body().map(|b: &AttributeChanged| FdView::of(r, b.fd.into(), &b.file)),
        is,
        otherwise: b'o',
        role: Role::Unknown,
    })
}

/// They differ in this.
const fn event(name: &'static str, params: &'static [Param], fd: Option<Descriptor>) -> Info {
    Info {
        layout: AttributeChanged::LAYOUT,
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

fn path<'a>(r: &Record<'a>, b: &AttributeChanged) -> Arg<'a> {
    Arg::Path { raw: r.tail(b.raw), base: r.tail(b.base) }
}

const UTIMENSAT: &[Param] = params! {
    "res": T::Errno, |r, b: &AttributeChanged| Arg::Int(b.ret);
    "dirfd": T::Fd, |r, b: &AttributeChanged| Arg::Int(b.fd.into());
    "path": T::PathAt(PathRole::Name), |r, b: &AttributeChanged| path(r, b);
    "flags": T::Flags(32, AT_FLAGS), |r, b: &AttributeChanged| Arg::Uint(b.flags.into());
};

const UTIMES: &[Param] = params! {
    "res": T::Errno, |r, b: &AttributeChanged| Arg::Int(b.ret);
    "path": T::Path(PathRole::Name), |r, b: &AttributeChanged| path(r, b);
};

const SETXATTR: &[Param] = params! {
    "res": T::Errno, |r, b: &AttributeChanged| Arg::Int(b.ret);
    "path": T::Path(PathRole::Name), |r, b: &AttributeChanged| path(r, b);
    "name": T::CharBuf, |r, b: &AttributeChanged| Arg::Bytes(r.tail(b.name));
    "flags": T::Hex(32), |r, b: &AttributeChanged| Arg::Uint(b.flags.into());
};

const FSETXATTR: &[Param] = params! {
    "res": T::Errno, |r, b: &AttributeChanged| Arg::Int(b.ret);
    "fd": T::FdPath(PathRole::Name), |r, b: &AttributeChanged| Arg::Int(b.fd.into());
    "name": T::CharBuf, |r, b: &AttributeChanged| Arg::Bytes(r.tail(b.name));
    "flags": T::Hex(32), |r, b: &AttributeChanged| Arg::Uint(b.flags.into());
};

const REMOVEXATTR: &[Param] = params! {
    "res": T::Errno, |r, b: &AttributeChanged| Arg::Int(b.ret);
    "path": T::Path(PathRole::Name), |r, b: &AttributeChanged| path(r, b);
    "name": T::CharBuf, |r, b: &AttributeChanged| Arg::Bytes(r.tail(b.name));
};

const FREMOVEXATTR: &[Param] = params! {
    "res": T::Errno, |r, b: &AttributeChanged| Arg::Int(b.ret);
    "fd": T::FdPath(PathRole::Name), |r, b: &AttributeChanged| Arg::Int(b.fd.into());
    "name": T::CharBuf, |r, b: &AttributeChanged| Arg::Bytes(r.tail(b.name));
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::AttributeChanged;
    use crate::events::Kind;
    use crate::kernel::file::{self, AT_FDCWD};
    use crate::kernel::{Exit, Writer};
    use crate::record::Tail;

    /// Addresses of path and attribute's name; 0: the call has none.
    #[inline(always)]
    fn record(exit: &Exit, kind: Kind, fd: i32, raw: u64, name: u64, flags: u32) {
        let Some(mut w) = Writer::new::<AttributeChanged>(kind) else { return };
        let body = w.body::<AttributeChanged>();
        body.ret = exit.ret;
        file::describe(&mut w, exit.task, fd, &mut body.file);
        body.fd = fd;
        body.flags = flags;
        (body.raw, body.base) =
            if raw == 0 { (Tail::EMPTY, Tail::EMPTY) } else { file::argument(&mut w, exit, fd, raw) };
        body.name = if name == 0 { Tail::EMPTY } else { w.argument_str(exit, name) };
        body.reserved = 0;
        w.submit(kind);
    }

    /// `utimensat(dirfd, path, times, flags)`: without a path it is about the descriptor.
    #[inline(always)]
    pub fn utimensat(exit: &Exit) {
        record(exit, Kind::Utimensat, exit.arg(0) as i32, exit.arg(1), 0, exit.arg(3) as u32);
    }

    #[inline(always)]
    pub fn utimes(exit: &Exit) {
        record(exit, Kind::Utimes, AT_FDCWD, exit.arg(0), 0, 0);
    }

    #[inline(always)]
    pub fn utime(exit: &Exit) {
        record(exit, Kind::Utime, AT_FDCWD, exit.arg(0), 0, 0);
    }

    /// `setxattr(path, name, value, size, flags)`.
    #[inline(always)]
    pub fn setxattr(exit: &Exit) {
        record(exit, Kind::Setxattr, AT_FDCWD, exit.arg(0), exit.arg(1), exit.arg(4) as u32);
    }

    #[inline(always)]
    pub fn lsetxattr(exit: &Exit) {
        record(exit, Kind::Lsetxattr, AT_FDCWD, exit.arg(0), exit.arg(1), exit.arg(4) as u32);
    }

    #[inline(always)]
    pub fn fsetxattr(exit: &Exit) {
        record(exit, Kind::Fsetxattr, exit.arg(0) as i32, 0, exit.arg(1), exit.arg(4) as u32);
    }

    #[inline(always)]
    pub fn removexattr(exit: &Exit) {
        record(exit, Kind::Removexattr, AT_FDCWD, exit.arg(0), exit.arg(1), 0);
    }

    #[inline(always)]
    pub fn lremovexattr(exit: &Exit) {
        record(exit, Kind::Lremovexattr, AT_FDCWD, exit.arg(0), exit.arg(1), 0);
    }

    #[inline(always)]
    pub fn fremovexattr(exit: &Exit) {
        record(exit, Kind::Fremovexattr, exit.arg(0) as i32, 0, exit.arg(1), 0);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{
    fremovexattr, fsetxattr, lremovexattr, lsetxattr, removexattr, setxattr, utime, utimensat, utimes,
};

#[cfg(feature = "testing")]
mod scenarios {
    use std::format;
    use std::os::fd::AsRawFd as _;
    use std::ptr::null;
    use std::string::ToString as _;

    use super::{
        Fremovexattr, Fsetxattr, Lremovexattr, Lsetxattr, Removexattr, Setxattr, Utime, Utimensat, Utimes,
    };
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Stage, c, touch};

    macro_rules! scenarios {
        ($($event:ident: $shows:literal, $play:ident;)+) => {
            $(impl $event {
                pub const SCENARIOS: &[Scenario] = &[Scenario { shows: $shows, play: $play }];
            })+
        };
    }
    scenarios! {
        Utimensat: "below a directory, and of a descriptor", utimensat;
        Utimes: "a relative path, and one that there is not", utimes;
        Utime: "a path", utime;
        Setxattr: "path and attribute, through a link", by_path;
        Lsetxattr: "path and attribute, through a link", by_path;
        Fsetxattr: "the path is the descriptor's", by_descriptor;
        Removexattr: "path and attribute, through a link", by_path;
        Lremovexattr: "path and attribute, through a link", by_path;
        Fremovexattr: "the path is the descriptor's", by_descriptor;
    }

    fn utimensat(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let (path, open) = (dir.file("a"), std::fs::File::open(dir.path()).unwrap());
        let dirfd = open.as_raw_fd();
        let seen = stage.observe(&|| {
            syscall!(SYS_utimensat, dirfd, c"a".as_ptr(), null::<u8>(), libc::AT_SYMLINK_NOFOLLOW);
            syscall!(SYS_utimensat, dirfd, null::<u8>(), null::<u8>(), 0);
        });
        let [below, own] = seen.as_slice() else { panic!("{seen:?}") };
        let (fd, name) = (dirfd.to_string(), format!("a in {}", dir.path()));
        below
            .is("utimensat", &[("res", "0"), ("dirfd", &fd), ("path", &name), ("flags", "256")])
            .has(&[("evt.type", "utimensat"), ("evt.category", "file"), ("fd.name", dir.path())])
            .has(&[("fs.path.name", &path), ("evt.abspath", &path)]);
        own.is("utimensat", &[("res", "0"), ("dirfd", &fd), ("path", ""), ("flags", "0")])
            .has(&[("fd.name", dir.path())]);
        assert_eq!(own.cut(), 0, "what is not passed is not cut");
    }

    fn utimes(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let (path, top) = (dir.file("a"), c(dir.path()));
        let seen = stage.observe(&|| {
            syscall!(SYS_chdir, top.as_ptr());
            syscall!(SYS_utimes, c"a".as_ptr(), null::<u8>());
            syscall!(SYS_utimes, c"/nonexistent".as_ptr(), null::<u8>());
        });
        let seen: std::vec::Vec<_> = seen.iter().filter(|seen| seen.event == "utimes").collect();
        let [done, failed] = seen.as_slice() else { panic!("{seen:?}") };
        done.is("utimes", &[("res", "0"), ("path", &format!("a in {}", dir.path()))])
            .has(&[("evt.type", "utimes"), ("fs.path.name", &path)])
            .lacks(&["fd.num"]);
        failed
            .is("utimes", &[("res", "-2"), ("path", "/nonexistent")])
            .has(&[("evt.res", "ENOENT")])
            .lacks(&["fs.path.name"]);
    }

    fn utime(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let path = dir.file("a");
        let name = c(&path);
        let seen = stage.one(&|| {
            syscall!(SYS_utime, name.as_ptr(), null::<u8>());
        });
        seen.is("utime", &[("res", "0"), ("path", &path)])
            .has(&[("evt.type", "utime"), ("fs.path.name", &path)]);
    }

    /// The four calls on a path. `/proc` keeps no attributes, so they fail wherever it runs.
    fn by_path(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let link = dir.at("link");
        std::os::unix::fs::symlink("/nonexistent", &link).unwrap();
        let (path, name) = (c(&link), c"trusted.x");
        let seen = stage.observe(&|| {
            touch(&[&path, name]);
            let (path, name) = (path.as_ptr(), name.as_ptr());
            syscall!(SYS_setxattr, path, name, c"value".as_ptr(), 5, libc::XATTR_CREATE);
            syscall!(SYS_lsetxattr, path, name, c"value".as_ptr(), 5, 8);
            syscall!(SYS_removexattr, path, name);
            syscall!(SYS_lremovexattr, path, c"nothing".as_ptr());
        });
        let [set, lset, removed, lremoved] = seen.as_slice() else { panic!("{seen:?}") };
        let (path, name) = (("path", &*link), ("name", "trusted.x"));
        set.is("setxattr", &[("res", "-2"), path, name, ("flags", "1")])
            .has(&[("evt.type", "setxattr"), ("evt.category", "file"), ("evt.res", "ENOENT")])
            .lacks(&["fd.num", "fs.path.name"]);
        lset.is("lsetxattr", &[("res", "-22"), path, name, ("flags", "8")]);
        removed.is("removexattr", &[("res", "-2"), path, name]).has(&[("evt.type", "removexattr")]);
        lremoved
            .is("lremovexattr", &[("res", "-95"), path, ("name", "nothing")])
            .has(&[("evt.type", "lremovexattr"), ("evt.res", "EOPNOTSUPP")]);
    }

    fn by_descriptor(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let path = dir.file("a");
        let file = std::fs::File::options().write(true).open(&path).unwrap();
        let fd = file.as_raw_fd();
        let seen = stage.observe(&|| {
            syscall!(SYS_fsetxattr, fd, c"user.x".as_ptr(), c"value".as_ptr(), 5, 0);
            syscall!(SYS_fremovexattr, fd, c"user.x".as_ptr());
        });
        let [set, removed] = seen.as_slice() else { panic!("{seen:?}") };
        let (number, name) = (fd.to_string(), ("name", "user.x"));
        let (own, res) = (("fd", &*number), |seen: &crate::testing::Seen| seen.arg("res").to_string());
        set.is("fsetxattr", &[("res", &res(set)), own, name, ("flags", "0")]).has(&[
            ("evt.type", "fsetxattr"),
            ("fd.num", &number),
            ("fd.name", &path),
        ]);
        removed
            .is("fremovexattr", &[("res", &res(removed)), own, name])
            .has(&[("evt.type", "fremovexattr"), ("fd.name", &path)]);
        if set.arg("res") == "0" {
            set.has(&[("fs.path.name", &path)]);
        }
    }
}

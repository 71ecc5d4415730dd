//! Calls that look at what a path names: access(2), stat(2), readlink(2) and their kin; and truncate(2).
//!
//! What Falco has as events has Falco's parameters, and no `fs.path.name`, as there. Of the others Falco has only the name.

use super::flags::{ACCESS_MODES, AT_FLAGS, NEWFSTATAT_FLAGS};
use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, PathRole, Role,
    View, Volume, params,
};
use crate::record;
use crate::record::{Fd, Pod as _, Record, Tail};

record! {
    /// A finished call.
    pub struct Looked {
        pub ret: i64,
        /// The directory that `dirfd` names; `kind` 0 for `AT_FDCWD`.
        pub dir: Fd,
        /// The new length of a file.
        pub length: u64,
        pub dirfd: i32,
        /// What access asks for, `R_OK` and so on.
        pub mode: u32,
        /// `AT_*`.
        pub flags: u32,
        pub raw: Tail,
        pub base: Tail,
        pub reserved: u32,
    }
}

/// access(2).
pub struct Access;
/// faccessat(2).
pub struct Faccessat;
/// faccessat2(2).
pub struct Faccessat2;
/// stat(2).
pub struct Stat;
/// lstat(2).
pub struct Lstat;
/// newfstatat(2).
pub struct Newfstatat;
/// statx(2).
pub struct Statx;
/// readlink(2).
pub struct Readlink;
/// readlinkat(2).
pub struct Readlinkat;
/// truncate(2).
pub struct Truncate;

impl Access {
    pub const EVENT: Info = event("access", ACCESS, None);
}

impl Faccessat {
    pub const EVENT: Info = event("faccessat", FACCESSAT, DIRECTORY);
}

impl Faccessat2 {
    pub const EVENT: Info = event("faccessat2", FACCESSAT2, DIRECTORY);
}

impl Stat {
    pub const EVENT: Info = event("stat", PATH, None);
}

impl Lstat {
    pub const EVENT: Info = event("lstat", PATH, None);
}

impl Newfstatat {
    pub const EVENT: Info = event("newfstatat", NEWFSTATAT, DIRECTORY);
}

impl Statx {
    pub const EVENT: Info = event("statx", STATX, DIRECTORY);
}

impl Readlink {
    pub const EVENT: Info = event("readlink", PATH, None);
}

impl Readlinkat {
    pub const EVENT: Info = event("readlinkat", READLINKAT, DIRECTORY);
}

impl Truncate {
    pub const EVENT: Info = event("truncate", TRUNCATE, None);
}

const DIRECTORY: Option<Descriptor> = Some(Descriptor {
    view: |r| r.body().map(|b: &Looked| FdView::of(r, b.dirfd.into(), &b.dir)),
    is: Is::Directory,
    otherwise: b'o',
    role: Role::Unknown,
});

/// They differ in this.
const fn event(name: &'static str, params: &'static [Param], fd: Option<Descriptor>) -> Info {
    Info {
        layout: Looked::LAYOUT,
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

fn path<'a>(r: &Record<'a>, b: &Looked) -> Arg<'a> {
    Arg::Path { raw: r.tail(b.raw), base: r.tail(b.base) }
}

const ACCESS: &[Param] = params! {
    "res": T::Errno, |r, b: &Looked| Arg::Int(b.ret);
    "name": T::Path(PathRole::Other), |r, b: &Looked| path(r, b);
    "mode": T::Flags(32, ACCESS_MODES), |r, b: &Looked| Arg::Uint(b.mode.into());
};

const FACCESSAT: &[Param] = params! {
    "res": T::Errno, |r, b: &Looked| Arg::Int(b.ret);
    "dirfd": T::Fd, |r, b: &Looked| Arg::Int(b.dirfd.into());
    "name": T::PathAt(PathRole::Other), |r, b: &Looked| path(r, b);
    "mode": T::Flags(32, ACCESS_MODES), |r, b: &Looked| Arg::Uint(b.mode.into());
};

const FACCESSAT2: &[Param] = params! {
    "res": T::Errno, |r, b: &Looked| Arg::Int(b.ret);
    "dirfd": T::Fd, |r, b: &Looked| Arg::Int(b.dirfd.into());
    "name": T::PathAt(PathRole::Other), |r, b: &Looked| path(r, b);
    "mode": T::Flags(32, ACCESS_MODES), |r, b: &Looked| Arg::Uint(b.mode.into());
    "flags": T::Flags(32, AT_FLAGS), |r, b: &Looked| Arg::Uint(b.flags.into());
};

const PATH: &[Param] = params! {
    "res": T::Errno, |r, b: &Looked| Arg::Int(b.ret);
    "path": T::Path(PathRole::Other), |r, b: &Looked| path(r, b);
};

const NEWFSTATAT: &[Param] = params! {
    "res": T::Errno, |r, b: &Looked| Arg::Int(b.ret);
    "dirfd": T::Fd, |r, b: &Looked| Arg::Int(b.dirfd.into());
    "path": T::PathAt(PathRole::Other), |r, b: &Looked| path(r, b);
    "flags": T::Flags(32, NEWFSTATAT_FLAGS), |r, b: &Looked| Arg::Uint(b.flags.into());
};

const STATX: &[Param] = params! {
    "res": T::Errno, |r, b: &Looked| Arg::Int(b.ret);
    "dirfd": T::Fd, |r, b: &Looked| Arg::Int(b.dirfd.into());
    "path": T::PathAt(PathRole::Other), |r, b: &Looked| path(r, b);
    "flags": T::Flags(32, AT_FLAGS), |r, b: &Looked| Arg::Uint(b.flags.into());
};

const READLINKAT: &[Param] = params! {
    "res": T::Errno, |r, b: &Looked| Arg::Int(b.ret);
    "dirfd": T::Fd, |r, b: &Looked| Arg::Int(b.dirfd.into());
    "path": T::PathAt(PathRole::Other), |r, b: &Looked| path(r, b);
};

const TRUNCATE: &[Param] = params! {
    "res": T::Errno, |r, b: &Looked| Arg::Int(b.ret);
    "path": T::Path(PathRole::Name), |r, b: &Looked| path(r, b);
    "length": T::Dec(64), |r, b: &Looked| Arg::Uint(b.length);
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Looked;
    use crate::events::Kind;
    use crate::kernel::file::{self, AT_FDCWD};
    use crate::kernel::{Exit, Writer};

    #[inline(always)]
    fn record(exit: &Exit, kind: Kind, dirfd: i32, raw: u64, mode: u32, flags: u32, length: u64) {
        let Some(mut w) = Writer::new::<Looked>(kind) else { return };
        let body = w.body::<Looked>();
        body.ret = exit.ret;
        file::describe(&mut w, exit.task, dirfd, &mut body.dir);
        body.length = length;
        body.dirfd = dirfd;
        body.mode = mode;
        body.flags = flags;
        (body.raw, body.base) = file::argument(&mut w, exit, dirfd, raw);
        body.reserved = 0;
        w.submit(kind);
    }

    #[inline(always)]
    fn here(exit: &Exit, kind: Kind, mode: u32, length: u64) {
        record(exit, kind, AT_FDCWD, exit.arg(0), mode, 0, length);
    }

    #[inline(always)]
    fn at(exit: &Exit, kind: Kind, mode: u32, flags: u32) {
        record(exit, kind, exit.arg(0) as i32, exit.arg(1), mode, flags, 0);
    }

    #[inline(always)]
    pub fn access(exit: &Exit) {
        here(exit, Kind::Access, exit.arg(1) as u32, 0);
    }

    #[inline(always)]
    pub fn faccessat(exit: &Exit) {
        at(exit, Kind::Faccessat, exit.arg(2) as u32, 0);
    }

    #[inline(always)]
    pub fn faccessat2(exit: &Exit) {
        at(exit, Kind::Faccessat2, exit.arg(2) as u32, exit.arg(3) as u32);
    }

    #[inline(always)]
    pub fn stat(exit: &Exit) {
        here(exit, Kind::Stat, 0, 0);
    }

    #[inline(always)]
    pub fn lstat(exit: &Exit) {
        here(exit, Kind::Lstat, 0, 0);
    }

    #[inline(always)]
    pub fn newfstatat(exit: &Exit) {
        at(exit, Kind::Newfstatat, 0, exit.arg(3) as u32);
    }

    #[inline(always)]
    pub fn statx(exit: &Exit) {
        at(exit, Kind::Statx, 0, exit.arg(2) as u32);
    }

    #[inline(always)]
    pub fn readlink(exit: &Exit) {
        here(exit, Kind::Readlink, 0, 0);
    }

    #[inline(always)]
    pub fn readlinkat(exit: &Exit) {
        at(exit, Kind::Readlinkat, 0, 0);
    }

    #[inline(always)]
    pub fn truncate(exit: &Exit) {
        /// i386's truncate64, whose length is two words.
        const TRUNCATE64: u64 = 193;
        let high = if exit.compat && exit.nr == TRUNCATE64 { exit.arg(2) << 32 } else { 0 };
        here(exit, Kind::Truncate, 0, exit.arg(1) | high);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{
    access, faccessat, faccessat2, lstat, newfstatat, readlink, readlinkat, stat, statx, truncate,
};

#[cfg(feature = "testing")]
mod scenarios {
    use std::format;
    use std::os::fd::AsRawFd as _;
    use std::string::ToString as _;

    use super::{
        Access, Faccessat, Faccessat2, Lstat, Newfstatat, Readlink, Readlinkat, Stat, Statx, Truncate,
    };
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Stage, c};

    macro_rules! scenarios {
        ($($event:ident: $shows:literal, $play:ident;)+) => {
            $(impl $event {
                pub const SCENARIOS: &[Scenario] = &[Scenario { shows: $shows, play: $play }];
            })+
        };
    }
    scenarios! {
        Access: "what is asked for, and what there is not", access;
        Faccessat: "below a directory, which is the descriptor", faccessat;
        Faccessat2: "the flags, too", faccessat2;
        Stat: "a relative path, and one that there is not", stat;
        Lstat: "a link", lstat;
        Newfstatat: "below a directory, which is the descriptor", newfstatat;
        Statx: "the flags, too", statx;
        Readlink: "a link, and a file that is none", readlink;
        Readlinkat: "below a directory, which is the descriptor", readlinkat;
        Truncate: "the new length, and a file that there is not", truncate;
    }

    fn access(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            syscall!(SYS_access, c"/etc/passwd".as_ptr(), libc::R_OK | libc::W_OK);
            syscall!(SYS_access, c"/nonexistent".as_ptr(), libc::F_OK);
        });
        let [done, failed] = seen.as_slice() else { panic!("{seen:?}") };
        done.is("access", &[("res", "0"), ("name", "/etc/passwd"), ("mode", "6")])
            .has(&[("evt.type", "access"), ("evt.category", "file"), ("evt.arg[2]", "R_OK|W_OK")])
            .lacks(&["fd.num", "fs.path.name", "evt.abspath"]);
        failed
            .is("access", &[("res", "-2"), ("name", "/nonexistent"), ("mode", "0")])
            .has(&[("evt.res", "ENOENT"), ("evt.arg[2]", "F_OK")]);
    }

    fn faccessat(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let (path, open) = (dir.file("a"), std::fs::File::open(dir.path()).unwrap());
        let dirfd = open.as_raw_fd();
        let seen = stage.one(&|| {
            syscall!(SYS_faccessat, dirfd, c"a".as_ptr(), libc::X_OK);
        });
        let (fd, name) = (dirfd.to_string(), format!("a in {}", dir.path()));
        seen.is("faccessat", &[("res", "-13"), ("dirfd", &fd), ("name", &name), ("mode", "1")])
            .has(&[("evt.type", "faccessat"), ("fd.name", dir.path()), ("evt.abspath", &path)])
            .lacks(&["fs.path.name"]);
    }

    fn faccessat2(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            let (at, flags) = (libc::AT_FDCWD, libc::AT_SYMLINK_NOFOLLOW);
            syscall!(SYS_faccessat2, at, c"/etc/passwd".as_ptr(), libc::R_OK, flags);
        });
        if seen.arg("res") == "-38" {
            return stage.skip("this kernel has no faccessat2");
        }
        let name = ("name", "/etc/passwd");
        seen.is("faccessat2", &[("res", "0"), ("dirfd", "-100"), name, ("mode", "4"), ("flags", "256")])
            .has(&[("evt.type", "faccessat2"), ("evt.arg[4]", "AT_SYMLINK_NOFOLLOW")]);
    }

    fn stat(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let (path, top, mut room) = (dir.file("a"), c(dir.path()), [0_u64; 32]);
        let room = room.as_mut_ptr().cast_const();
        let seen = stage.observe(&|| {
            syscall!(SYS_chdir, top.as_ptr());
            syscall!(SYS_stat, c"a".as_ptr(), room);
            syscall!(SYS_stat, c"b".as_ptr(), room);
        });
        let [done, failed] = seen.as_slice() else { panic!("{seen:?}") };
        let at = |name: &str| format!("{name} in {}", dir.path());
        done.is("stat", &[("res", "0"), ("path", &at("a"))])
            .has(&[("evt.type", "stat"), ("evt.category", "file"), ("evt.arg[1]", &path)])
            .lacks(&["fd.num", "fs.path.name"]);
        failed.is("stat", &[("res", "-2"), ("path", &at("b"))]).has(&[("evt.res", "ENOENT")]);
    }

    fn lstat(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let link = dir.at("link");
        std::os::unix::fs::symlink("/nonexistent", &link).unwrap();
        let (path, mut room) = (c(&link), [0_u64; 32]);
        let room = room.as_mut_ptr().cast_const();
        let seen = stage.one(&|| {
            syscall!(SYS_lstat, path.as_ptr(), room);
        });
        seen.is("lstat", &[("res", "0"), ("path", &link)])
            .has(&[("evt.type", "lstat"), ("evt.category", "file")]);
    }

    fn newfstatat(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let (path, open) = (dir.file("a"), std::fs::File::open(dir.path()).unwrap());
        let (dirfd, mut room) = (open.as_raw_fd(), [0_u64; 32]);
        let room = room.as_mut_ptr().cast_const();
        let seen = stage.one(&|| {
            syscall!(SYS_newfstatat, dirfd, c"a".as_ptr(), room, libc::AT_SYMLINK_NOFOLLOW);
        });
        let (fd, name) = (dirfd.to_string(), format!("a in {}", dir.path()));
        seen.is("newfstatat", &[("res", "0"), ("dirfd", &fd), ("path", &name), ("flags", "256")])
            .has(&[("evt.type", "newfstatat"), ("evt.arg[3]", "AT_SYMLINK_NOFOLLOW")])
            .has(&[("fd.name", dir.path()), ("evt.arg[2]", &path)])
            .lacks(&["fs.path.name"]);
    }

    fn statx(stage: &mut dyn Stage) {
        let mut room = [0_u64; 64];
        let room = room.as_mut_ptr().cast_const();
        let seen = stage.one(&|| {
            let (at, flags) = (libc::AT_FDCWD, libc::AT_NO_AUTOMOUNT);
            syscall!(SYS_statx, at, c"/etc/passwd".as_ptr(), flags, 0x7ff, room);
        });
        let path = ("path", "/etc/passwd");
        seen.is("statx", &[("res", "0"), ("dirfd", "-100"), path, ("flags", "2048")]).has(&[
            ("evt.type", "statx"),
            ("evt.category", "file"),
            ("evt.arg[3]", "AT_NO_AUTOMOUNT"),
        ]);
    }

    fn readlink(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let link = dir.at("link");
        std::os::unix::fs::symlink("/nonexistent", &link).unwrap();
        let (path, mut room) = (c(&link), [0_u8; 64]);
        let room = room.as_mut_ptr().cast_const();
        let seen = stage.observe(&|| {
            syscall!(SYS_readlink, path.as_ptr(), room, 64);
            syscall!(SYS_readlink, c"/etc/passwd".as_ptr(), room, 64);
        });
        let [done, failed] = seen.as_slice() else { panic!("{seen:?}") };
        done.is("readlink", &[("res", "12"), ("path", &link)]).has(&[
            ("evt.type", "readlink"),
            ("evt.category", "file"),
            ("evt.res", "SUCCESS"),
        ]);
        failed.is("readlink", &[("res", "-22"), ("path", "/etc/passwd")]).has(&[("evt.res", "EINVAL")]);
    }

    fn readlinkat(stage: &mut dyn Stage) {
        let dir = Dir::new();
        std::os::unix::fs::symlink("/nonexistent", dir.at("link")).unwrap();
        let open = std::fs::File::open(dir.path()).unwrap();
        let (dirfd, mut room) = (open.as_raw_fd(), [0_u8; 64]);
        let room = room.as_mut_ptr().cast_const();
        let seen = stage.one(&|| {
            syscall!(SYS_readlinkat, dirfd, c"link".as_ptr(), room, 64);
        });
        let (fd, path) = (dirfd.to_string(), format!("link in {}", dir.path()));
        seen.is("readlinkat", &[("res", "12"), ("dirfd", &fd), ("path", &path)])
            .has(&[("evt.type", "readlinkat"), ("fd.name", dir.path())])
            .has(&[("evt.abspath", &dir.at("link"))]);
    }

    fn truncate(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let (file, top) = (dir.file("a"), c(dir.path()));
        let seen = stage.observe(&|| {
            syscall!(SYS_chdir, top.as_ptr());
            syscall!(SYS_truncate, c"a".as_ptr(), 5_i64 << 32);
            syscall!(SYS_truncate, c"/nonexistent".as_ptr(), 0);
        });
        let [done, failed] = seen.as_slice() else { panic!("{seen:?}") };
        let path = format!("a in {}", dir.path());
        done.is("truncate", &[("res", "0"), ("path", &path), ("length", "21474836480")]).has(&[
            ("evt.type", "truncate"),
            ("evt.category", "file"),
            ("fs.path.name", &file),
        ]);
        failed
            .is("truncate", &[("res", "-2"), ("path", "/nonexistent"), ("length", "0")])
            .has(&[("evt.res", "ENOENT")])
            .lacks(&["fs.path.name"]);
    }
}

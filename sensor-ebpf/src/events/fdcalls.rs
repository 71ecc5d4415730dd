//! Calls about an open file that move no data: flock(2), lseek(2), ioctl(2), getdents(2), fstat(2), ftruncate(2).

use super::flags::{FLOCK_FLAGS, LSEEK_WHENCE};
use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, PathRole, Role,
    View, Volume, params,
};
use crate::record;
use crate::record::{Fd, Pod as _};

record! {
    /// A finished call.
    pub struct Asked {
        pub ret: i64,
        pub file: Fd,
        /// An offset, a length, a request; and its argument.
        pub first: u64,
        pub second: u64,
        pub fd: i32,
        pub reserved: u32,
    }
}

/// flock(2).
pub struct Flock;
/// lseek(2).
pub struct Lseek;
/// ioctl(2).
pub struct Ioctl;
/// getdents(2).
pub struct Getdents;
/// getdents64(2).
pub struct Getdents64;
/// fstat(2).
pub struct Fstat;
/// ftruncate(2), which Falco has without parameters.
pub struct Ftruncate;

impl Flock {
    pub const EVENT: Info = event("flock", Category::File, FLOCK);
}

impl Lseek {
    pub const EVENT: Info = event("lseek", Category::File, LSEEK);
}

impl Ioctl {
    pub const EVENT: Info = event("ioctl", Category::OfDescriptor, IOCTL);
}

impl Getdents {
    pub const EVENT: Info = event("getdents", Category::File, FD);
}

impl Getdents64 {
    pub const EVENT: Info = event("getdents64", Category::File, FD);
}

impl Fstat {
    pub const EVENT: Info = event("fstat", Category::File, FD);
}

impl Ftruncate {
    pub const EVENT: Info = event("ftruncate", Category::File, FTRUNCATE);
}

/// They differ in this.
const fn event(name: &'static str, category: Category, params: &'static [Param]) -> Info {
    Info {
        layout: Asked::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name,
            codes: Codes::Exit,
            category,
            params,
            fd: Some(Descriptor {
                view: |r| r.body().map(|b: &Asked| FdView::of(r, b.fd.into(), &b.file)),
                is: Is::Subject,
                otherwise: b'o',
                role: Role::Unknown,
            }),
            io: None,
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    }
}

const FLOCK: &[Param] = params! {
    "res": T::Errno, |r, b: &Asked| Arg::Int(b.ret);
    "fd": T::Fd, |r, b: &Asked| Arg::Int(b.fd.into());
    "operation": T::Flags(32, FLOCK_FLAGS), |r, b: &Asked| Arg::Uint(b.first & 0xffff_ffff);
};

const LSEEK: &[Param] = params! {
    "res": T::Errno, |r, b: &Asked| Arg::Int(b.ret);
    "fd": T::Fd, |r, b: &Asked| Arg::Int(b.fd.into());
    "offset": T::Dec(64), |r, b: &Asked| Arg::Uint(b.first);
    "whence": T::Enum(8, LSEEK_WHENCE), |r, b: &Asked| Arg::Uint(b.second & 0xff);
};

const IOCTL: &[Param] = params! {
    "res": T::Errno, |r, b: &Asked| Arg::Int(b.ret);
    "fd": T::Fd, |r, b: &Asked| Arg::Int(b.fd.into());
    "request": T::Hex(64), |r, b: &Asked| Arg::Uint(b.first);
    "argument": T::Hex(64), |r, b: &Asked| Arg::Uint(b.second);
};

const FD: &[Param] = params! {
    "res": T::Errno, |r, b: &Asked| Arg::Int(b.ret);
    "fd": T::Fd, |r, b: &Asked| Arg::Int(b.fd.into());
};

const FTRUNCATE: &[Param] = params! {
    "res": T::Errno, |r, b: &Asked| Arg::Int(b.ret);
    "fd": T::FdPath(PathRole::Name), |r, b: &Asked| Arg::Int(b.fd.into());
    "length": T::Dec(64), |r, b: &Asked| Arg::Uint(b.first);
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Asked;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, file};

    #[inline(always)]
    fn record(exit: &Exit, kind: Kind, first: u64, second: u64) {
        let Some(mut w) = Writer::new::<Asked>(kind) else { return };
        let body = w.body::<Asked>();
        body.ret = exit.ret;
        body.fd = exit.arg(0) as i32;
        file::describe(&mut w, exit.task, body.fd, &mut body.file);
        body.first = first;
        body.second = second;
        body.reserved = 0;
        w.submit(kind);
    }

    #[inline(always)]
    pub fn flock(exit: &Exit) {
        record(exit, Kind::Flock, exit.arg(1), 0);
    }

    #[inline(always)]
    pub fn lseek(exit: &Exit) {
        record(exit, Kind::Lseek, exit.arg(1), exit.arg(2));
    }

    #[inline(always)]
    pub fn ioctl(exit: &Exit) {
        // The kernel takes 32 bits of it.
        record(exit, Kind::Ioctl, exit.arg(1) & 0xffff_ffff, exit.arg(2));
    }

    #[inline(always)]
    pub fn getdents(exit: &Exit) {
        record(exit, Kind::Getdents, 0, 0);
    }

    #[inline(always)]
    pub fn getdents64(exit: &Exit) {
        record(exit, Kind::Getdents64, 0, 0);
    }

    #[inline(always)]
    pub fn fstat(exit: &Exit) {
        record(exit, Kind::Fstat, 0, 0);
    }

    #[inline(always)]
    pub fn ftruncate(exit: &Exit) {
        /// i386's ftruncate64, whose length is two words.
        const FTRUNCATE64: u64 = 194;
        let high = if exit.compat && exit.nr == FTRUNCATE64 { exit.arg(2) << 32 } else { 0 };
        record(exit, Kind::Ftruncate, exit.arg(1) | high, 0);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{flock, fstat, ftruncate, getdents, getdents64, ioctl, lseek};

#[cfg(feature = "testing")]
mod scenarios {
    use std::fs::File;
    use std::os::fd::AsRawFd as _;
    use std::string::ToString as _;

    use super::{Flock, Fstat, Ftruncate, Getdents, Getdents64, Ioctl, Lseek};
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Seen, Stage};

    macro_rules! scenarios {
        ($($event:ident: $shows:literal, $play:ident;)+) => {
            $(impl $event {
                pub const SCENARIOS: &[Scenario] = &[Scenario { shows: $shows, play: $play }];
            })+
        };
    }
    scenarios! {
        Flock: "a lock, and no file to lock", flock;
        Lseek: "whence and whither", lseek;
        Ioctl: "request and argument", ioctl;
        Getdents: "a directory", getdents;
        Getdents64: "a directory, and a file that is none", getdents64;
        Fstat: "the file", fstat;
        Ftruncate: "the path is the descriptor's", ftruncate;
    }

    /// It is about this open file.
    fn about<'s>(seen: &'s Seen, name: &str, fd: i32, path: &str) -> &'s Seen {
        let fd = fd.to_string();
        seen.has(&[("evt.type", name), ("evt.category", "file"), ("fd.num", &fd), ("fd.name", path)])
    }

    fn flock(stage: &mut dyn Stage) {
        let file = File::open("/etc/passwd").unwrap();
        let fd = file.as_raw_fd();
        let seen = stage.observe(&|| {
            syscall!(SYS_flock, fd, libc::LOCK_SH | libc::LOCK_NB);
            syscall!(SYS_flock, -1, libc::LOCK_EX);
        });
        let [done, failed] = seen.as_slice() else { panic!("{seen:?}") };
        about(done, "flock", fd, "/etc/passwd")
            .is("flock", &[("res", "0"), ("fd", &fd.to_string()), ("operation", "5")])
            .has(&[("evt.arg[2]", "LOCK_SH|LOCK_NB")])
            .lacks(&["fs.path.name"]);
        failed
            .is("flock", &[("res", "-9"), ("fd", "-1"), ("operation", "2")])
            .has(&[("evt.res", "EBADF"), ("fd.num", "-1"), ("fd.typechar", "o")])
            .lacks(&["fd.name"]);
    }

    fn lseek(stage: &mut dyn Stage) {
        let file = File::open("/etc/passwd").unwrap();
        let fd = file.as_raw_fd();
        let seen = stage.one(&|| {
            syscall!(SYS_lseek, fd, 7, libc::SEEK_CUR);
        });
        about(&seen, "lseek", fd, "/etc/passwd")
            .is("lseek", &[("res", "7"), ("fd", &fd.to_string()), ("offset", "7"), ("whence", "1")])
            .has(&[("evt.arg[3]", "SEEK_CUR")]);
    }

    fn ioctl(stage: &mut dyn Stage) {
        let file = File::open("/etc/passwd").unwrap();
        let fd = file.as_raw_fd();
        let seen = stage.one(&|| {
            syscall!(SYS_ioctl, fd, libc::TIOCSTI, 0x10);
        });
        about(&seen, "ioctl", fd, "/etc/passwd")
            .is("ioctl", &[("res", "-25"), ("fd", &fd.to_string()), ("request", "21522"), ("argument", "16")])
            .has(&[("evt.res", "ENOTTY"), ("evt.arg[2]", "5412"), ("evt.arg[3]", "10")]);
    }

    fn getdents(stage: &mut dyn Stage) {
        let dir = File::open("/").unwrap();
        let (fd, mut room) = (dir.as_raw_fd(), [0_u64; 512]);
        let room = room.as_mut_ptr().cast_const();
        let seen = stage.one(&|| {
            syscall!(SYS_getdents, fd, room, 4096);
        });
        let res = seen.arg("res");
        about(&seen, "getdents", fd, "/")
            .is("getdents", &[("res", res), ("fd", &fd.to_string())])
            .has(&[("evt.res", "SUCCESS"), ("fd.type", "directory")]);
    }

    fn getdents64(stage: &mut dyn Stage) {
        let file = File::open("/etc/passwd").unwrap();
        let (fd, mut room) = (file.as_raw_fd(), [0_u64; 512]);
        let room = room.as_mut_ptr().cast_const();
        let seen = stage.one(&|| {
            syscall!(SYS_getdents64, fd, room, 4096);
        });
        about(&seen, "getdents64", fd, "/etc/passwd")
            .is("getdents64", &[("res", "-20"), ("fd", &fd.to_string())])
            .has(&[("evt.res", "ENOTDIR")]);
    }

    fn fstat(stage: &mut dyn Stage) {
        let file = File::open("/etc/passwd").unwrap();
        let (fd, mut room) = (file.as_raw_fd(), [0_u64; 32]);
        let room = room.as_mut_ptr().cast_const();
        let seen = stage.one(&|| {
            syscall!(SYS_fstat, fd, room);
        });
        about(&seen, "fstat", fd, "/etc/passwd").is("fstat", &[("res", "0"), ("fd", &fd.to_string())]);
    }

    fn ftruncate(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let path = dir.file("a");
        let file = File::options().write(true).open(&path).unwrap();
        let fd = file.as_raw_fd();
        let seen = stage.one(&|| {
            syscall!(SYS_ftruncate, fd, 9);
        });
        about(&seen, "ftruncate", fd, &path)
            .is("ftruncate", &[("res", "0"), ("fd", &fd.to_string()), ("length", "9")])
            .has(&[("fs.path.name", &path)]);
    }
}

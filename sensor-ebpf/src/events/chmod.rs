//! chmod(2), fchmod(2), fchmodat(2), fchmodat2(2).

use super::flags::{AT_FLAGS, CHMOD_MODES};
use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, PathRole, Role,
    View, Volume, params,
};
use crate::record;
use crate::record::{Fd, Pod as _, Record, Tail};

record! {
    /// A finished chmod.
    pub struct ModeChanged {
        pub ret: i64,
        /// What `fd` is: the file of fchmod, the directory of fchmodat; `kind` 0 for none.
        pub file: Fd,
        pub fd: i32,
        pub mode: u32,
        /// `AT_*` (fchmodat2).
        pub flags: u32,
        pub raw: Tail,
        pub base: Tail,
        pub reserved: u32,
    }
}

/// chmod(2).
pub struct Chmod;
/// fchmod(2).
pub struct Fchmod;
/// fchmodat(2).
pub struct Fchmodat;
/// fchmodat2(2), which Falco has without parameters: fchmodat's and the flags.
pub struct Fchmodat2;

impl Chmod {
    pub const EVENT: Info = event("chmod", CHMOD, None);
}

impl Fchmod {
    pub const EVENT: Info = event("fchmod", FCHMOD, fd(Is::Subject));
}

impl Fchmodat {
    pub const EVENT: Info = event("fchmodat", FCHMODAT, fd(Is::Directory));
}

impl Fchmodat2 {
    pub const EVENT: Info = event("fchmodat2", FCHMODAT2, fd(Is::Directory));
}

const fn fd(is: Is) -> Option<Descriptor> {
    Some(Descriptor {
        view: |r| r.body().map(|b: &ModeChanged| FdView::of(r, b.fd.into(), &b.file)),
        is,
        otherwise: b'o',
        role: Role::Unknown,
    })
}

/// The four differ in this.
const fn event(name: &'static str, params: &'static [Param], fd: Option<Descriptor>) -> Info {
    Info {
        layout: ModeChanged::LAYOUT,
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

fn path<'a>(r: &Record<'a>, b: &ModeChanged) -> Arg<'a> {
    Arg::Path { raw: r.tail(b.raw), base: r.tail(b.base) }
}

/// Without the type of the file, which some callers pass, too.
fn mode(b: &ModeChanged) -> Arg<'static> {
    Arg::Uint((b.mode & 0o7777).into())
}

const CHMOD: &[Param] = params! {
    "res": T::Errno, |r, b: &ModeChanged| Arg::Int(b.ret);
    "filename": T::Path(PathRole::Name), |r, b: &ModeChanged| path(r, b);
    "mode": T::Mode(CHMOD_MODES), |r, b: &ModeChanged| mode(b);
};

const FCHMOD: &[Param] = params! {
    "res": T::Errno, |r, b: &ModeChanged| Arg::Int(b.ret);
    "fd": T::FdPath(PathRole::Name), |r, b: &ModeChanged| Arg::Int(b.fd.into());
    "mode": T::Mode(CHMOD_MODES), |r, b: &ModeChanged| mode(b);
};

const FCHMODAT: &[Param] = params! {
    "res": T::Errno, |r, b: &ModeChanged| Arg::Int(b.ret);
    "dirfd": T::Fd, |r, b: &ModeChanged| Arg::Int(b.fd.into());
    "filename": T::PathAt(PathRole::Name), |r, b: &ModeChanged| path(r, b);
    "mode": T::Mode(CHMOD_MODES), |r, b: &ModeChanged| mode(b);
};

const FCHMODAT2: &[Param] = params! {
    "res": T::Errno, |r, b: &ModeChanged| Arg::Int(b.ret);
    "dirfd": T::Fd, |r, b: &ModeChanged| Arg::Int(b.fd.into());
    "filename": T::PathAt(PathRole::Name), |r, b: &ModeChanged| path(r, b);
    "mode": T::Mode(CHMOD_MODES), |r, b: &ModeChanged| mode(b);
    "flags": T::Flags(32, AT_FLAGS), |r, b: &ModeChanged| Arg::Uint(b.flags.into());
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::ModeChanged;
    use crate::events::Kind;
    use crate::kernel::file::{self, AT_FDCWD};
    use crate::kernel::{Exit, Writer};
    use crate::record::Tail;

    #[inline(always)]
    fn record(exit: &Exit, kind: Kind, fd: i32, raw: Option<u64>, mode: u32, flags: u32) {
        let Some(mut w) = Writer::new::<ModeChanged>(kind) else { return };
        let body = w.body::<ModeChanged>();
        body.ret = exit.ret;
        file::describe(&mut w, exit.task, fd, &mut body.file);
        body.fd = fd;
        body.mode = mode;
        body.flags = flags;
        (body.raw, body.base) = match raw {
            Some(raw) => file::argument(&mut w, exit, fd, raw),
            None => (Tail::EMPTY, Tail::EMPTY),
        };
        body.reserved = 0;
        w.submit(kind);
    }

    #[inline(always)]
    pub fn chmod(exit: &Exit) {
        record(exit, Kind::Chmod, AT_FDCWD, Some(exit.arg(0)), exit.arg(1) as u32, 0);
    }

    #[inline(always)]
    pub fn fchmod(exit: &Exit) {
        record(exit, Kind::Fchmod, exit.arg(0) as i32, None, exit.arg(1) as u32, 0);
    }

    #[inline(always)]
    pub fn fchmodat(exit: &Exit) {
        let mode = exit.arg(2) as u32;
        record(exit, Kind::Fchmodat, exit.arg(0) as i32, Some(exit.arg(1)), mode, 0);
    }

    #[inline(always)]
    pub fn fchmodat2(exit: &Exit) {
        let (mode, flags) = (exit.arg(2) as u32, exit.arg(3) as u32);
        record(exit, Kind::Fchmodat2, exit.arg(0) as i32, Some(exit.arg(1)), mode, flags);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{chmod, fchmod, fchmodat, fchmodat2};

#[cfg(feature = "testing")]
mod scenarios {
    use std::format;
    use std::os::fd::AsRawFd as _;

    use super::{Chmod, Fchmod, Fchmodat, Fchmodat2};
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Stage, c};

    impl Chmod {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "the name is the caller's, also through a link", play: chmod },
            Scenario { shows: "a failed one keeps what was asked", play: failed },
        ];
    }

    impl Fchmod {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "the path is the descriptor's", play: fchmod },
            Scenario { shows: "a failed one has no path", play: none },
        ];
    }

    impl Fchmodat {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "below a directory, which is the descriptor", play: fchmodat }];
    }

    impl Fchmodat2 {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "the flags, too", play: fchmodat2 }];
    }

    /// fchmodat2(2).
    #[expect(non_upper_case_globals, reason = "as libc names its own")]
    const SYS_fchmodat2: libc::c_long = 452;

    fn chmod(stage: &mut dyn Stage) {
        let dir = Dir::new();
        std::os::unix::fs::symlink(dir.file("real"), dir.at("link")).unwrap();
        let top = c(dir.path());
        let seen = stage.one(&|| {
            syscall!(SYS_chdir, top.as_ptr());
            syscall!(SYS_chmod, c"./link".as_ptr(), 0o104_711);
        });
        let (link, raw) = (dir.at("link"), format!("./link in {}", dir.path()));
        seen.is("chmod", &[("res", "0"), ("filename", &raw), ("mode", "2505")])
            .has(&[("evt.type", "chmod"), ("evt.category", "file"), ("evt.arg[1]", &link)])
            .has(&[("evt.arg[2]", "S_IXOTH|S_IXGRP|S_IXUSR|S_IWUSR|S_IRUSR|S_ISUID")])
            .has(&[("fs.path.name", &link), ("fs.path.nameraw", "./link")])
            .lacks(&["fd.num", "evt.abspath", "fs.path.source"]);
    }

    fn failed(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_chmod, c"/nonexistent".as_ptr(), 0o644);
        });
        seen.is("chmod", &[("res", "-2"), ("filename", "/nonexistent"), ("mode", "420")])
            .has(&[("evt.res", "ENOENT"), ("evt.arg[1]", "/nonexistent")])
            .lacks(&["fs.path.name"]);
    }

    fn fchmod(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let path = dir.file("a");
        let file = std::fs::File::open(&path).unwrap();
        let fd = file.as_raw_fd();
        let seen = stage.one(&|| {
            syscall!(SYS_fchmod, fd, 0o600);
        });
        let fd = format!("{fd}");
        seen.is("fchmod", &[("res", "0"), ("fd", &fd), ("mode", "384")])
            .has(&[("evt.type", "fchmod"), ("evt.arg[1]", &format!("<f>{path}"))])
            .has(&[("evt.arg[2]", "S_IWUSR|S_IRUSR"), ("fd.num", &fd), ("fd.name", &path)])
            .has(&[("fs.path.name", &path), ("fs.path.nameraw", &path)])
            .lacks(&["evt.abspath"]);
    }

    fn none(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_fchmod, -1, 0o600);
        });
        seen.is("fchmod", &[("res", "-9"), ("fd", "-1"), ("mode", "384")])
            .has(&[("evt.res", "EBADF"), ("fd.num", "-1")])
            .lacks(&["fs.path.name", "fd.name"]);
    }

    fn fchmodat(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let path = dir.file("a");
        let open = std::fs::File::open(dir.path()).unwrap();
        let dirfd = open.as_raw_fd();
        let seen = stage.one(&|| {
            syscall!(SYS_fchmodat, dirfd, c"a".as_ptr(), 0o4755);
        });
        let (fd, name) = (format!("{dirfd}"), format!("a in {}", dir.path()));
        seen.is("fchmodat", &[("res", "0"), ("dirfd", &fd), ("filename", &name), ("mode", "2541")])
            .has(&[("evt.type", "fchmodat"), ("fd.num", &fd), ("fd.name", dir.path())])
            .has(&[("fd.type", "directory"), ("fs.path.name", &path), ("evt.abspath", &path)]);
    }

    fn fchmodat2(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let path = dir.file("a");
        let name = c(&path);
        let seen = stage.one(&|| {
            let number = SYS_fchmodat2;
            crate::testing::call(
                number,
                &[
                    i64::from(libc::AT_FDCWD),
                    crate::testing::Word::word(name.as_ptr()),
                    0o640,
                    i64::from(libc::AT_SYMLINK_NOFOLLOW),
                ],
            );
        });
        if seen.arg("res") == "-38" {
            return stage.skip("this kernel has no fchmodat2");
        }
        let args = [("res", "0"), ("dirfd", "-100"), ("filename", &*path), ("mode", "416"), ("flags", "256")];
        seen.is("fchmodat2", &args)
            .has(&[("evt.type", "fchmodat2"), ("evt.category", "file"), ("fd.num", "-100")])
            .has(&[("evt.arg[4]", "AT_SYMLINK_NOFOLLOW"), ("evt.arg[3]", "S_IRGRP|S_IWUSR|S_IRUSR")])
            .has(&[("fs.path.name", &path), ("evt.abspath", &path)]);
    }
}

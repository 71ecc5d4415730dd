//! mkdir(2), mkdirat(2).

use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, PathRole, Role,
    View, Volume, params,
};
use crate::record;
use crate::record::{Fd, Pod as _, Record, Tail};

record! {
    /// A finished mkdir.
    pub struct Made {
        pub ret: i64,
        /// The directory that `dirfd` names; `kind` 0 for `AT_FDCWD`.
        pub dir: Fd,
        pub dirfd: i32,
        /// As passed; the process's umask is not in it.
        pub mode: u32,
        pub raw: Tail,
        pub base: Tail,
    }
}

/// mkdir(2).
pub struct Mkdir;
/// mkdirat(2).
pub struct Mkdirat;

impl Mkdir {
    pub const EVENT: Info = event("mkdir", MKDIR, None);
}

impl Mkdirat {
    pub const EVENT: Info = event(
        "mkdirat",
        MKDIRAT,
        Some(Descriptor {
            view: |r| r.body().map(|b: &Made| FdView::of(r, b.dirfd.into(), &b.dir)),
            is: Is::Directory,
            otherwise: b'o',
            role: Role::Unknown,
        }),
    );
}

/// The two differ in this.
const fn event(name: &'static str, params: &'static [Param], fd: Option<Descriptor>) -> Info {
    Info {
        layout: Made::LAYOUT,
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

fn path<'a>(r: &Record<'a>, b: &Made) -> Arg<'a> {
    Arg::Path { raw: r.tail(b.raw), base: r.tail(b.base) }
}

const MKDIR: &[Param] = params! {
    "res": T::Errno, |r, b: &Made| Arg::Int(b.ret);
    "path": T::Path(PathRole::Name), |r, b: &Made| path(r, b);
    "mode": T::Hex(32), |r, b: &Made| Arg::Uint(b.mode.into());
};

const MKDIRAT: &[Param] = params! {
    "res": T::Errno, |r, b: &Made| Arg::Int(b.ret);
    "dirfd": T::Fd, |r, b: &Made| Arg::Int(b.dirfd.into());
    "path": T::PathAt(PathRole::Name), |r, b: &Made| path(r, b);
    "mode": T::Hex(32), |r, b: &Made| Arg::Uint(b.mode.into());
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Made;
    use crate::events::Kind;
    use crate::kernel::file::AT_FDCWD;
    use crate::kernel::{Exit, Writer, file};

    #[inline(always)]
    fn record(exit: &Exit, kind: Kind, dirfd: i32, raw: u64, mode: u32) {
        let Some(mut w) = Writer::new::<Made>(kind) else { return };
        let body = w.body::<Made>();
        body.ret = exit.ret;
        file::describe(&mut w, exit.task, dirfd, &mut body.dir);
        body.dirfd = dirfd;
        body.mode = mode;
        (body.raw, body.base) = file::argument(&mut w, exit, dirfd, raw);
        w.submit(kind);
    }

    #[inline(always)]
    pub fn mkdir(exit: &Exit) {
        record(exit, Kind::Mkdir, AT_FDCWD, exit.arg(0), exit.arg(1) as u32);
    }

    #[inline(always)]
    pub fn mkdirat(exit: &Exit) {
        record(exit, Kind::Mkdirat, exit.arg(0) as i32, exit.arg(1), exit.arg(2) as u32);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{mkdir, mkdirat};

#[cfg(feature = "testing")]
mod scenarios {
    use std::format;
    use std::os::fd::AsRawFd as _;

    use super::{Mkdir, Mkdirat};
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Stage, c};

    impl Mkdir {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "a directory, once", play: mkdir }];
    }

    impl Mkdirat {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "below a directory, which is the descriptor", play: below }];
    }

    fn mkdir(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let made = dir.at("made");
        let (top, path) = (c(dir.path()), c(&made));
        let seen = stage.observe(&|| {
            syscall!(SYS_chdir, top.as_ptr());
            syscall!(SYS_mkdir, c"made".as_ptr(), 0o755);
            syscall!(SYS_mkdir, path.as_ptr(), 0o700);
        });
        let [first, second] = seen.as_slice() else { panic!("{seen:?}") };
        let relative = format!("made in {}", dir.path());
        first
            .is("mkdir", &[("res", "0"), ("path", &relative), ("mode", "493")])
            .has(&[("evt.type", "mkdir"), ("evt.category", "file"), ("evt.arg[2]", "1ED")])
            .has(&[("fs.path.name", &made), ("fs.path.nameraw", "made"), ("evt.arg[1]", &made)])
            .lacks(&["fd.num", "evt.abspath", "fs.path.source"]);
        second
            .is("mkdir", &[("res", "-17"), ("path", &made), ("mode", "448")])
            .has(&[("evt.res", "EEXIST")])
            .lacks(&["fs.path.name"]);
    }

    fn below(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let open = std::fs::File::open(dir.path()).unwrap();
        let dirfd = open.as_raw_fd();
        let seen = stage.one(&|| {
            syscall!(SYS_mkdirat, dirfd, c"made".as_ptr(), 0o700);
        });
        let (fd, path) = (format!("{dirfd}"), format!("made in {}", dir.path()));
        seen.is("mkdirat", &[("res", "0"), ("dirfd", &fd), ("path", &path), ("mode", "448")])
            .has(&[("evt.type", "mkdirat"), ("fd.num", &fd), ("fd.type", "directory")])
            .has(&[("fd.name", dir.path()), ("fs.path.name", &dir.at("made"))])
            .has(&[("evt.abspath", &dir.at("made"))]);
    }
}

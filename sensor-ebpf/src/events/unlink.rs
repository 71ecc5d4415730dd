//! unlink(2), unlinkat(2), rmdir(2).

use super::flags::UNLINKAT_FLAGS;
use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, PathRole, Role,
    View, Volume, params,
};
use crate::record;
use crate::record::{Fd, Pod as _, Tail};

record! {
    /// A finished unlink.
    pub struct Unlinked {
        pub ret: i64,
        /// The directory that `dirfd` names; `kind` 0 for `AT_FDCWD`.
        pub dir: Fd,
        pub dirfd: i32,
        pub flags: u32,
        pub raw: Tail,
        pub base: Tail,
    }
}

/// unlink(2).
pub struct Unlink;
/// unlinkat(2).
pub struct Unlinkat;
/// rmdir(2).
pub struct Rmdir;

impl Unlink {
    pub const EVENT: Info = event("unlink", UNLINK, None);
}

impl Unlinkat {
    pub const EVENT: Info = event(
        "unlinkat",
        UNLINKAT,
        Some(Descriptor {
            view: |r| r.body().map(|b: &Unlinked| FdView::of(r, b.dirfd.into(), &b.dir)),
            is: Is::Directory,
            otherwise: b'o',
            role: Role::Unknown,
        }),
    );
}

impl Rmdir {
    pub const EVENT: Info = event("rmdir", UNLINK, None);
}

/// The three differ in this.
const fn event(name: &'static str, params: &'static [Param], fd: Option<Descriptor>) -> Info {
    Info {
        layout: Unlinked::LAYOUT,
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

const UNLINK: &[Param] = params! {
    "res": T::Errno, |r, b: &Unlinked| Arg::Int(b.ret);
    "path": T::Path(PathRole::Name), |r, b: &Unlinked| Arg::Path { raw: r.tail(b.raw), base: r.tail(b.base) };
};

const UNLINKAT: &[Param] = params! {
    "res": T::Errno, |r, b: &Unlinked| Arg::Int(b.ret);
    "dirfd": T::Fd, |r, b: &Unlinked| Arg::Int(b.dirfd.into());
    "name": T::PathAt(PathRole::Name), |r, b: &Unlinked| Arg::Path { raw: r.tail(b.raw), base: r.tail(b.base) };
    "flags": T::Flags(32, UNLINKAT_FLAGS), |r, b: &Unlinked| Arg::Uint(b.flags.into());
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Unlinked;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, file};

    const AT_FDCWD: i32 = -100;

    #[inline(always)]
    fn record(exit: &Exit, kind: Kind, dirfd: i32, raw: u64, flags: u32) {
        let Some(mut w) = Writer::new::<Unlinked>(kind) else { return };
        let body = w.body::<Unlinked>();
        body.ret = exit.ret;
        file::describe(&mut w, exit.task, dirfd, &mut body.dir);
        body.dirfd = dirfd;
        body.flags = flags;
        (body.raw, body.base) = file::argument(&mut w, exit, dirfd, raw);
        w.submit(kind);
    }

    #[inline(always)]
    pub fn unlink(exit: &Exit) {
        record(exit, Kind::Unlink, AT_FDCWD, exit.arg(0), 0);
    }

    #[inline(always)]
    pub fn rmdir(exit: &Exit) {
        record(exit, Kind::Rmdir, AT_FDCWD, exit.arg(0), 0);
    }

    #[inline(always)]
    pub fn unlinkat(exit: &Exit) {
        record(exit, Kind::Unlinkat, exit.arg(0) as i32, exit.arg(1), exit.arg(2) as u32);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{rmdir, unlink, unlinkat};

#[cfg(feature = "testing")]
mod scenarios {
    use super::{Rmdir, Unlink, Unlinkat};
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Stage, c};

    impl Unlink {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "a relative path", play: unlink }];
    }

    impl Unlinkat {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "below a directory, which is the descriptor", play: below },
            Scenario { shows: "a failed one has no path that it touched", play: failed },
        ];
    }

    impl Rmdir {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "a directory, once", play: rmdir }];
    }

    fn rmdir(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let made = dir.at("made");
        std::fs::create_dir(&made).unwrap();
        let path = c(&made);
        let seen = stage.observe(&|| {
            syscall!(SYS_rmdir, path.as_ptr());
            syscall!(SYS_rmdir, path.as_ptr());
        });
        let [gone, failed] = seen.as_slice() else { panic!("{seen:?}") };
        gone.is("rmdir", &[("res", "0"), ("path", &made)])
            .has(&[("evt.type", "rmdir"), ("evt.category", "file"), ("fs.path.name", &made)])
            .lacks(&["fd.num", "evt.abspath"]);
        failed
            .is("rmdir", &[("res", "-2"), ("path", &made)])
            .has(&[("evt.res", "ENOENT"), ("evt.arg[1]", &made)])
            .lacks(&["fs.path.name"]);
    }

    fn unlink(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let (file, top) = (dir.file("a"), c(dir.path()));
        let seen = stage.one(&|| {
            syscall!(SYS_chdir, top.as_ptr());
            syscall!(SYS_unlink, c"a".as_ptr());
        });
        seen.is("unlink", &[("res", "0"), ("path", &std::format!("a in {}", dir.path()))])
            .has(&[("evt.type", "unlink"), ("evt.category", "file"), ("fs.path.name", &file)])
            .has(&[("fs.path.nameraw", "a")])
            .lacks(&["fd.num", "evt.abspath", "fs.path.source"]);
    }

    fn below(stage: &mut dyn Stage) {
        use std::os::fd::AsRawFd as _;
        let dir = Dir::new();
        let file = dir.file("a");
        let open = std::fs::File::open(dir.path()).unwrap();
        let dirfd = open.as_raw_fd();
        let seen = stage.one(&|| {
            syscall!(SYS_unlinkat, dirfd, c"a".as_ptr(), 0);
        });
        let (fd, name) = (std::format!("{dirfd}"), std::format!("a in {}", dir.path()));
        seen.is("unlinkat", &[("res", "0"), ("dirfd", &fd), ("name", &name), ("flags", "0")])
            .has(&[
                ("evt.type", "unlinkat"),
                ("evt.category", "file"),
                ("fd.num", &fd),
                ("fd.type", "directory"),
            ])
            .has(&[("fd.name", dir.path()), ("fs.path.name", &file), ("evt.abspath", &file)]);
    }

    fn failed(stage: &mut dyn Stage) {
        let dir = Dir::new();
        dir.file("a");
        let path = c(dir.path());
        let seen = stage.one(&|| {
            syscall!(SYS_unlinkat, libc::AT_FDCWD, path.as_ptr(), libc::AT_REMOVEDIR);
        });
        seen.is("unlinkat", &[("res", "-39"), ("dirfd", "-100"), ("name", dir.path()), ("flags", "512")])
            .has(&[("evt.res", "ENOTEMPTY"), ("fd.num", "-100")])
            .lacks(&["fs.path.name", "fd.name"]);
    }
}

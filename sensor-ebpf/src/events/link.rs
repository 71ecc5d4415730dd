//! link(2), linkat(2).
//!
//! Falco's `fs.path.source` is the new name here and `fs.path.target` the old one: the link points to its target.

use super::flags::LINKAT_FLAGS;
use super::{Arg, Category, Codes, Info, Lane, Looks, Param, ParamType as T, PathRole, View, Volume, params};
use crate::record;
use crate::record::{Pod as _, Record, Tail};

record! {
    /// A finished link.
    pub struct Linked {
        pub ret: i64,
        pub olddir: i32,
        pub newdir: i32,
        pub flags: u32,
        pub old: Tail,
        pub old_base: Tail,
        pub new: Tail,
        pub new_base: Tail,
        pub reserved: u32,
    }
}

/// link(2).
pub struct Link;
/// linkat(2).
pub struct Linkat;

impl Link {
    pub const EVENT: Info = event("link", LINK);
}

impl Linkat {
    pub const EVENT: Info = event("linkat", LINKAT);
}

/// The two differ in name and arguments.
const fn event(name: &'static str, params: &'static [Param]) -> Info {
    Info {
        layout: Linked::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name,
            codes: Codes::Exit,
            category: Category::File,
            params,
            fd: None,
            io: None,
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    }
}

fn old<'a>(r: &Record<'a>, b: &Linked) -> Arg<'a> {
    Arg::Path { raw: r.tail(b.old), base: r.tail(b.old_base) }
}

fn new<'a>(r: &Record<'a>, b: &Linked) -> Arg<'a> {
    Arg::Path { raw: r.tail(b.new), base: r.tail(b.new_base) }
}

const LINK: &[Param] = params! {
    "res": T::Errno, |r, b: &Linked| Arg::Int(b.ret);
    "oldpath": T::Path(PathRole::Target), |r, b: &Linked| old(r, b);
    "newpath": T::Path(PathRole::Source), |r, b: &Linked| new(r, b);
};

const LINKAT: &[Param] = params! {
    "res": T::Errno, |r, b: &Linked| Arg::Int(b.ret);
    "olddir": T::Fd, |r, b: &Linked| Arg::Int(b.olddir.into());
    "oldpath": T::PathAt(PathRole::Target), |r, b: &Linked| old(r, b);
    "newdir": T::Fd, |r, b: &Linked| Arg::Int(b.newdir.into());
    "newpath": T::PathAt(PathRole::Source), |r, b: &Linked| new(r, b);
    "flags": T::Flags(32, LINKAT_FLAGS), |r, b: &Linked| Arg::Uint(b.flags.into());
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Linked;
    use crate::events::Kind;
    use crate::kernel::file::AT_FDCWD;
    use crate::kernel::{Exit, Writer, file};

    #[inline(always)]
    fn record(exit: &Exit, kind: Kind, old: (i32, u64), new: (i32, u64), flags: u32) {
        let Some(mut w) = Writer::new::<Linked>(kind) else { return };
        let body = w.body::<Linked>();
        body.ret = exit.ret;
        body.olddir = old.0;
        body.newdir = new.0;
        body.flags = flags;
        (body.old, body.old_base) = file::argument(&mut w, exit, old.0, old.1);
        (body.new, body.new_base) = file::argument(&mut w, exit, new.0, new.1);
        body.reserved = 0;
        w.submit(kind);
    }

    #[inline(always)]
    pub fn link(exit: &Exit) {
        record(exit, Kind::Link, (AT_FDCWD, exit.arg(0)), (AT_FDCWD, exit.arg(1)), 0);
    }

    #[inline(always)]
    pub fn linkat(exit: &Exit) {
        let (old, new) = ((exit.arg(0) as i32, exit.arg(1)), (exit.arg(2) as i32, exit.arg(3)));
        record(exit, Kind::Linkat, old, new, exit.arg(4) as u32);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{link, linkat};

#[cfg(feature = "testing")]
mod scenarios {
    use std::format;
    use std::os::fd::AsRawFd as _;

    use super::{Link, Linkat};
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Stage, c};

    impl Link {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "the new name is the source, the old one the target", play: link },
            Scenario { shows: "a failed one keeps what was asked", play: failed },
        ];
    }

    impl Linkat {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "below directories, through a symbolic link", play: below }];
    }

    fn link(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let (old, top) = (dir.file("old"), c(dir.path()));
        let from = c(&old);
        let seen = stage.one(&|| {
            syscall!(SYS_chdir, top.as_ptr());
            syscall!(SYS_link, from.as_ptr(), c"new".as_ptr());
        });
        seen.is("link", &[("res", "0"), ("oldpath", &old), ("newpath", &format!("new in {}", dir.path()))])
            .has(&[("evt.type", "link"), ("evt.category", "file"), ("evt.arg[2]", &dir.at("new"))])
            .has(&[("fs.path.source", &dir.at("new")), ("fs.path.sourceraw", "new")])
            .has(&[("fs.path.target", &old), ("fs.path.targetraw", &old)])
            .lacks(&["fd.num", "fs.path.name", "evt.abspath"]);
    }

    fn failed(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_link, c"/nonexistent/a".as_ptr(), c"/nonexistent/b".as_ptr());
        });
        seen.is("link", &[("res", "-2"), ("oldpath", "/nonexistent/a"), ("newpath", "/nonexistent/b")])
            .has(&[("evt.res", "ENOENT")])
            .lacks(&["fs.path.source", "fs.path.target"]);
    }

    fn below(stage: &mut dyn Stage) {
        let (dir, other) = (Dir::new(), Dir::new());
        std::os::unix::fs::symlink(dir.file("real"), dir.at("link")).unwrap();
        let (from, to) =
            (std::fs::File::open(dir.path()).unwrap(), std::fs::File::open(other.path()).unwrap());
        let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
        let seen = stage.one(&|| {
            syscall!(SYS_linkat, from, c"link".as_ptr(), to, c"new".as_ptr(), libc::AT_SYMLINK_FOLLOW);
        });
        let args = [
            ("res", "0"),
            ("olddir", &format!("{from}")),
            ("oldpath", &format!("link in {}", dir.path())),
            ("newdir", &format!("{to}")),
            ("newpath", &format!("new in {}", other.path())),
            ("flags", "1024"),
        ];
        seen.is("linkat", &args)
            .has(&[("evt.type", "linkat"), ("evt.arg[5]", "AT_SYMLINK_FOLLOW")])
            .has(&[("fs.path.source", &other.at("new")), ("fs.path.target", &dir.at("link"))])
            .has(&[("evt.abspath", &dir.at("link")), ("evt.abspath.src", &dir.at("link"))])
            .has(&[("evt.abspath.dst", &other.at("new"))])
            .lacks(&["fd.num", "fs.path.name"]);
    }
}

//! rename(2), renameat(2), renameat2(2).

use super::flags::RENAMEAT2_FLAGS;
use super::{Arg, Category, Codes, Info, Lane, Looks, Param, ParamType as T, PathRole, View, Volume, params};
use crate::record;
use crate::record::{Pod as _, Record, Tail};

record! {
    /// A finished rename.
    pub struct Renamed {
        pub ret: i64,
        pub olddirfd: i32,
        pub newdirfd: i32,
        pub flags: u32,
        pub old: Tail,
        pub old_base: Tail,
        pub new: Tail,
        pub new_base: Tail,
        pub reserved: u32,
    }
}

/// rename(2).
pub struct Rename;
/// renameat(2).
pub struct Renameat;
/// renameat2(2).
pub struct Renameat2;

impl Rename {
    pub const EVENT: Info = event("rename", RENAME);
}

impl Renameat {
    pub const EVENT: Info = event("renameat", RENAMEAT);
}

impl Renameat2 {
    pub const EVENT: Info = event("renameat2", RENAMEAT2);
}

/// The three differ in name and arguments.
const fn event(name: &'static str, params: &'static [Param]) -> Info {
    Info {
        layout: Renamed::LAYOUT,
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

fn old<'a>(r: &Record<'a>, b: &Renamed) -> Arg<'a> {
    Arg::Path { raw: r.tail(b.old), base: r.tail(b.old_base) }
}

fn new<'a>(r: &Record<'a>, b: &Renamed) -> Arg<'a> {
    Arg::Path { raw: r.tail(b.new), base: r.tail(b.new_base) }
}

const RENAME: &[Param] = params! {
    "res": T::Errno, |r, b: &Renamed| Arg::Int(b.ret);
    "oldpath": T::Path(PathRole::Source), |r, b: &Renamed| old(r, b);
    "newpath": T::Path(PathRole::Target), |r, b: &Renamed| new(r, b);
};

const RENAMEAT: &[Param] = params! {
    "res": T::Errno, |r, b: &Renamed| Arg::Int(b.ret);
    "olddirfd": T::Fd, |r, b: &Renamed| Arg::Int(b.olddirfd.into());
    "oldpath": T::PathAt(PathRole::Source), |r, b: &Renamed| old(r, b);
    "newdirfd": T::Fd, |r, b: &Renamed| Arg::Int(b.newdirfd.into());
    "newpath": T::PathAt(PathRole::Target), |r, b: &Renamed| new(r, b);
};

const RENAMEAT2: &[Param] = params! {
    "res": T::Errno, |r, b: &Renamed| Arg::Int(b.ret);
    "olddirfd": T::Fd, |r, b: &Renamed| Arg::Int(b.olddirfd.into());
    "oldpath": T::PathAt(PathRole::Source), |r, b: &Renamed| old(r, b);
    "newdirfd": T::Fd, |r, b: &Renamed| Arg::Int(b.newdirfd.into());
    "newpath": T::PathAt(PathRole::Target), |r, b: &Renamed| new(r, b);
    "flags": T::Flags(32, RENAMEAT2_FLAGS), |r, b: &Renamed| Arg::Uint(b.flags.into());
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Renamed;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, file};

    const AT_FDCWD: i32 = -100;

    #[inline(always)]
    fn record(exit: &Exit, kind: Kind, old: (i32, u64), new: (i32, u64), flags: u32) {
        let Some(mut w) = Writer::new::<Renamed>(kind) else { return };
        let body = w.body::<Renamed>();
        body.ret = exit.ret;
        body.olddirfd = old.0;
        body.newdirfd = new.0;
        body.flags = flags;
        (body.old, body.old_base) = file::argument(&mut w, exit, old.0, old.1);
        (body.new, body.new_base) = file::argument(&mut w, exit, new.0, new.1);
        body.reserved = 0;
        w.submit(kind);
    }

    #[inline(always)]
    pub fn rename(exit: &Exit) {
        record(exit, Kind::Rename, (AT_FDCWD, exit.arg(0)), (AT_FDCWD, exit.arg(1)), 0);
    }

    #[inline(always)]
    pub fn renameat(exit: &Exit) {
        let (old, new) = ((exit.arg(0) as i32, exit.arg(1)), (exit.arg(2) as i32, exit.arg(3)));
        record(exit, Kind::Renameat, old, new, 0);
    }

    #[inline(always)]
    pub fn renameat2(exit: &Exit) {
        let (old, new) = ((exit.arg(0) as i32, exit.arg(1)), (exit.arg(2) as i32, exit.arg(3)));
        record(exit, Kind::Renameat2, old, new, exit.arg(4) as u32);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{rename, renameat, renameat2};

#[cfg(feature = "testing")]
mod scenarios {
    use super::{Rename, Renameat, Renameat2};
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Stage, c};

    impl Rename {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "both paths", play: rename }];
    }

    impl Renameat {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "a failed one", play: failed }];
    }

    impl Renameat2 {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "relative paths and flags", play: relative }];
    }

    fn rename(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let (old, new) = (dir.file("old"), dir.at("new"));
        let (from, to) = (c(&old), c(&new));
        let seen = stage.one(&|| {
            syscall!(SYS_rename, from.as_ptr(), to.as_ptr());
        });
        seen.is("rename", &[("res", "0"), ("oldpath", &old), ("newpath", &new)])
            .has(&[("evt.type", "rename"), ("evt.category", "file")])
            .has(&[("fs.path.source", &old), ("fs.path.target", &new), ("fs.path.targetraw", &new)])
            .lacks(&["fd.num", "fs.path.name", "evt.abspath.src"]);
    }

    fn failed(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_renameat, -100, c"/nonexistent/a".as_ptr(), -100, c"/nonexistent/b".as_ptr());
        });
        let (old, new) = (("oldpath", "/nonexistent/a"), ("newpath", "/nonexistent/b"));
        seen.is("renameat", &[("res", "-2"), ("olddirfd", "-100"), old, ("newdirfd", "-100"), new])
            .has(&[("evt.type", "renameat"), ("evt.res", "ENOENT"), ("evt.abspath.src", "/nonexistent/a")])
            .lacks(&["fs.path.source", "fs.path.target"]);
    }

    fn relative(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let (old, top) = (dir.file("old"), c(dir.path()));
        let seen = stage.one(&|| {
            syscall!(SYS_chdir, top.as_ptr());
            let (from, to, flags) = (c"old".as_ptr(), c"new".as_ptr(), libc::RENAME_NOREPLACE);
            syscall!(SYS_renameat2, libc::AT_FDCWD, from, libc::AT_FDCWD, to, flags);
        });
        let inside = |name: &str| std::format!("{name} in {}", dir.path());
        let (from, to) = (inside("old"), inside("new"));
        let (from, to) = (("oldpath", from.as_str()), ("newpath", to.as_str()));
        let args = [("res", "0"), ("olddirfd", "-100"), from, ("newdirfd", "-100"), to, ("flags", "1")];
        seen.is("renameat2", &args)
            .has(&[("evt.type", "renameat2"), ("evt.abspath.src", &old), ("evt.abspath.dst", &dir.at("new"))])
            .has(&[
                ("fs.path.source", &old),
                ("fs.path.sourceraw", "old"),
                ("fs.path.target", &dir.at("new")),
            ]);
    }
}

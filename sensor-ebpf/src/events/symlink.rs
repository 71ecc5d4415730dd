//! symlink(2), symlinkat(2): the target is text, which the kernel resolves only when somebody follows the link.

use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, PathRole, Role,
    View, Volume, params,
};
use crate::record;
use crate::record::{Fd, Pod as _, Record, Tail};

record! {
    /// A finished symlink.
    pub struct Symlinked {
        pub ret: i64,
        /// The directory that `linkdirfd` names; `kind` 0 for `AT_FDCWD`.
        pub dir: Fd,
        pub linkdirfd: i32,
        pub reserved: u32,
        pub target: Tail,
        /// The working directory, if the target is relative.
        pub target_base: Tail,
        pub link: Tail,
        pub link_base: Tail,
    }
}

/// symlink(2).
pub struct Symlink;
/// symlinkat(2).
pub struct Symlinkat;

impl Symlink {
    pub const EVENT: Info = event("symlink", SYMLINK, None);
}

impl Symlinkat {
    pub const EVENT: Info = event(
        "symlinkat",
        SYMLINKAT,
        Some(Descriptor {
            view: |r| r.body().map(|b: &Symlinked| FdView::of(r, b.linkdirfd.into(), &b.dir)),
            is: Is::Directory,
            otherwise: b'o',
            role: Role::Unknown,
        }),
    );
}

/// The two differ in this.
const fn event(name: &'static str, params: &'static [Param], fd: Option<Descriptor>) -> Info {
    Info {
        layout: Symlinked::LAYOUT,
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

fn target<'a>(r: &Record<'a>, b: &Symlinked) -> Arg<'a> {
    Arg::Path { raw: r.tail(b.target), base: r.tail(b.target_base) }
}

fn link<'a>(r: &Record<'a>, b: &Symlinked) -> Arg<'a> {
    Arg::Path { raw: r.tail(b.link), base: r.tail(b.link_base) }
}

const SYMLINK: &[Param] = params! {
    "res": T::Errno, |r, b: &Symlinked| Arg::Int(b.ret);
    "target": T::Text(PathRole::Target), |r, b: &Symlinked| target(r, b);
    "linkpath": T::Path(PathRole::Source), |r, b: &Symlinked| link(r, b);
};

const SYMLINKAT: &[Param] = params! {
    "res": T::Errno, |r, b: &Symlinked| Arg::Int(b.ret);
    "target": T::Text(PathRole::Target), |r, b: &Symlinked| target(r, b);
    "linkdirfd": T::Fd, |r, b: &Symlinked| Arg::Int(b.linkdirfd.into());
    "linkpath": T::PathAt(PathRole::Source), |r, b: &Symlinked| link(r, b);
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Symlinked;
    use crate::events::Kind;
    use crate::kernel::file::AT_FDCWD;
    use crate::kernel::{Exit, Writer, file};

    #[inline(always)]
    fn record(exit: &Exit, kind: Kind, target: u64, linkdirfd: i32, link: u64) {
        let Some(mut w) = Writer::new::<Symlinked>(kind) else { return };
        let body = w.body::<Symlinked>();
        body.ret = exit.ret;
        file::describe(&mut w, exit.task, linkdirfd, &mut body.dir);
        body.linkdirfd = linkdirfd;
        body.reserved = 0;
        (body.target, body.target_base) = file::argument(&mut w, exit, AT_FDCWD, target);
        (body.link, body.link_base) = file::argument(&mut w, exit, linkdirfd, link);
        w.submit(kind);
    }

    #[inline(always)]
    pub fn symlink(exit: &Exit) {
        record(exit, Kind::Symlink, exit.arg(0), AT_FDCWD, exit.arg(1));
    }

    #[inline(always)]
    pub fn symlinkat(exit: &Exit) {
        record(exit, Kind::Symlinkat, exit.arg(0), exit.arg(1) as i32, exit.arg(2));
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{symlink, symlinkat};

#[cfg(feature = "testing")]
mod scenarios {
    use std::format;
    use std::os::fd::AsRawFd as _;

    use super::{Symlink, Symlinkat};
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Stage, c};

    impl Symlink {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "the link is the source, its text the target", play: symlink },
            Scenario { shows: "a failed one keeps what was asked", play: failed },
        ];
    }

    impl Symlinkat {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "below a directory, which is the descriptor", play: below }];
    }

    fn symlink(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let (link, top) = (dir.at("link"), c(dir.path()));
        let path = c(&link);
        let seen = stage.one(&|| {
            syscall!(SYS_chdir, top.as_ptr());
            syscall!(SYS_symlink, c"x/../text".as_ptr(), path.as_ptr());
        });
        let text = format!("x/../text in {}", dir.path());
        seen.is("symlink", &[("res", "0"), ("target", &text), ("linkpath", &link)])
            .has(&[("evt.type", "symlink"), ("evt.category", "file"), ("evt.arg[1]", "x/../text")])
            .has(&[("fs.path.source", &link), ("fs.path.sourceraw", &link)])
            .has(&[("fs.path.target", &dir.at("text")), ("fs.path.targetraw", "x/../text")])
            .lacks(&["fd.num", "fs.path.name", "evt.abspath"]);
    }

    fn failed(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_symlink, c"/etc/passwd".as_ptr(), c"/nonexistent/b".as_ptr());
        });
        seen.is("symlink", &[("res", "-2"), ("target", "/etc/passwd"), ("linkpath", "/nonexistent/b")])
            .has(&[("evt.res", "ENOENT")])
            .lacks(&["fs.path.source", "fs.path.target"]);
    }

    fn below(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let open = std::fs::File::open(dir.path()).unwrap();
        let dirfd = open.as_raw_fd();
        let seen = stage.one(&|| {
            syscall!(SYS_symlinkat, c"/etc/passwd".as_ptr(), dirfd, c"link".as_ptr());
        });
        let (fd, link) = (format!("{dirfd}"), format!("link in {}", dir.path()));
        let args = [("res", "0"), ("target", "/etc/passwd"), ("linkdirfd", &fd), ("linkpath", &link)];
        seen.is("symlinkat", &args)
            .has(&[("evt.type", "symlinkat"), ("fd.num", &fd), ("fd.name", dir.path())])
            .has(&[("fs.path.source", &dir.at("link")), ("fs.path.target", "/etc/passwd")])
            .has(&[("evt.abspath", &dir.at("link")), ("fd.type", "directory")]);
    }
}

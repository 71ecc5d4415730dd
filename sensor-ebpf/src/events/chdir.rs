//! chdir(2), fchdir(2): the working directory, by the kernel's name of it.

use super::{
    Arg, Category, Change, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, Role,
    View, Volume, params,
};
use crate::record;
use crate::record::{Fd, Pod as _, Record, Tail};

record! {
    /// A finished chdir.
    pub struct ChangedDir {
        pub ret: i64,
        /// The path as passed.
        pub raw: Tail,
        /// The working directory that the thread has now, from the process's root; empty if the call failed.
        pub cwd: Tail,
        /// 1: the thread has a working directory of its own, and the others of its process keep theirs.
        pub own: u32,
        pub reserved: u32,
    }
}

record! {
    /// A finished fchdir.
    pub struct ChangedToFd {
        pub ret: i64,
        /// What `fd` is; if the call succeeded, its path is the working directory.
        pub dir: Fd,
        pub fd: i32,
        /// As in [`ChangedDir`].
        pub own: u32,
    }
}

/// chdir(2).
pub struct Chdir;
/// fchdir(2).
pub struct Fchdir;

impl Chdir {
    pub const EVENT: Info = Info {
        layout: ChangedDir::LAYOUT,
        lane: Lane::Bulk,
        changes: Some(chdir_changes),
        rules: Some(view("chdir", CHDIR, None)),
    };
}

impl Fchdir {
    pub const EVENT: Info = Info {
        layout: ChangedToFd::LAYOUT,
        lane: Lane::Bulk,
        changes: Some(fchdir_changes),
        rules: Some(view(
            "fchdir",
            FCHDIR,
            Some(Descriptor {
                view: |r| r.body().map(|b: &ChangedToFd| FdView::of(r, b.fd.into(), &b.dir)),
                is: Is::Subject,
                otherwise: b'o',
                role: Role::Unknown,
            }),
        )),
    };
}

const fn view(name: &'static str, params: &'static [Param], fd: Option<Descriptor>) -> View {
    View {
        name,
        codes: Codes::Exit,
        category: Category::File,
        params,
        fd,
        io: None,
        open: None,
        filter: Looks::Nothing,
        volume: Volume::Normal,
    }
}

fn chdir_changes<'a>(r: &Record<'a>) -> Option<Change<'a>> {
    let body: &ChangedDir = r.body().filter(|body: &&ChangedDir| body.ret == 0 && body.own == 0)?;
    Some(Change::Directory(r.tail(body.cwd)))
}

fn fchdir_changes<'a>(r: &Record<'a>) -> Option<Change<'a>> {
    let body: &ChangedToFd = r.body().filter(|body: &&ChangedToFd| body.ret == 0 && body.own == 0)?;
    Some(Change::Directory(r.tail(body.dir.path)))
}

const CHDIR: &[Param] = params! {
    "res": T::Errno, |r, b: &ChangedDir| Arg::Int(b.ret);
    "path": T::CharBuf, |r, b: &ChangedDir| Arg::Bytes(r.tail(b.raw));
};

const FCHDIR: &[Param] = params! {
    "res": T::Errno, |r, b: &ChangedToFd| Arg::Int(b.ret);
    "fd": T::Fd, |r, b: &ChangedToFd| Arg::Int(b.fd.into());
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::{ChangedDir, ChangedToFd};
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, file, path, task};
    use crate::record::Tail;

    #[inline(always)]
    pub fn chdir(exit: &Exit) {
        let Some(mut w) = Writer::new::<ChangedDir>(Kind::Chdir) else { return };
        let body = w.body::<ChangedDir>();
        body.ret = exit.ret;
        body.raw = w.argument_str(exit, exit.arg(0));
        body.cwd = if exit.ret == 0 {
            path::append(&mut w, task::cwd(exit.task), task::root(exit.task))
        } else {
            Tail::EMPTY
        };
        body.own = u32::from(task::has_own_cwd(exit.task));
        body.reserved = 0;
        w.submit(Kind::Chdir);
    }

    #[inline(always)]
    pub fn fchdir(exit: &Exit) {
        let Some(mut w) = Writer::new::<ChangedToFd>(Kind::Fchdir) else { return };
        let body = w.body::<ChangedToFd>();
        body.ret = exit.ret;
        body.fd = exit.arg(0) as i32;
        file::describe(&mut w, exit.task, body.fd, &mut body.dir);
        body.own = u32::from(task::has_own_cwd(exit.task));
        w.submit(Kind::Fchdir);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{chdir, fchdir};

#[cfg(feature = "testing")]
mod scenarios {
    use std::string::ToString as _;

    use super::{Chdir, Fchdir};
    use crate::events::Change;
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Stage, c};

    impl Chdir {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "where it led, through a link", play: chdir },
            Scenario { shows: "a thread with a directory of its own leaves the others theirs", play: own },
        ];
    }

    impl Fchdir {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "where the descriptor led", play: fchdir }];
    }

    fn chdir(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let (real, link) = (dir.at("real"), dir.at("link"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink("real", &link).unwrap();
        let (top, nothing) = (c(&link), c(&dir.at("nothing")));
        let seen = stage.life(&|| {
            syscall!(SYS_chdir, top.as_ptr());
            syscall!(SYS_chdir, nothing.as_ptr());
        });
        let [.., there, failed, end] = seen.as_slice() else { panic!("{seen:?}") };
        let cwd = std::format!("{real}/");
        there
            .is("chdir", &[("res", "0"), ("path", &link)])
            .has(&[("evt.type", "chdir"), ("evt.category", "file"), ("proc.cwd", &cwd)])
            .lacks(&["fd.num", "fs.path.name", "evt.abspath"])
            .changes(|change, _| {
                let Change::Directory(path) = change else { panic!("{change:?}") };
                assert_eq!(path, real.as_bytes());
            });
        failed
            .is("chdir", &[("res", "-2"), ("path", &dir.at("nothing"))])
            .has(&[("evt.res", "ENOENT"), ("proc.cwd", &cwd)]);
        assert!(failed.changes_nothing());
        end.has(&[("proc.cwd", &cwd)]);
    }

    fn own(stage: &mut dyn Stage) {
        let seen = stage.life(&|| {
            let thread = std::thread::spawn(|| {
                syscall!(SYS_unshare, libc::CLONE_FS);
                syscall!(SYS_chdir, c"/dev".as_ptr());
            });
            thread.join().unwrap();
        });
        let there = seen.iter().find(|seen| seen.event == "chdir").expect("a chdir");
        assert!(there.changes_nothing());
    }

    fn fchdir(stage: &mut dyn Stage) {
        use std::os::fd::AsRawFd as _;
        let dir = Dir::new();
        let open = std::fs::File::open(dir.path()).unwrap();
        let fd = open.as_raw_fd();
        let seen = stage.life(&|| {
            syscall!(SYS_fchdir, fd);
            syscall!(SYS_fchdir, 9999);
        });
        let [.., there, failed, _] = seen.as_slice() else { panic!("{seen:?}") };
        let (number, cwd) = (fd.to_string(), std::format!("{}/", dir.path()));
        there
            .is("fchdir", &[("res", "0"), ("fd", &number)])
            .has(&[("evt.type", "fchdir"), ("evt.category", "file"), ("proc.cwd", &cwd)])
            .has(&[("fd.num", &number), ("fd.name", dir.path()), ("fd.type", "directory")])
            .changes(|change, _| {
                let Change::Directory(path) = change else { panic!("{change:?}") };
                assert_eq!(path, dir.path().as_bytes());
            });
        failed
            .is("fchdir", &[("res", "-9"), ("fd", "9999")])
            .has(&[("evt.res", "EBADF"), ("proc.cwd", &cwd)]);
        assert!(failed.changes_nothing());
    }
}

//! The mount calls that work on descriptors: `open_tree(2)`, `move_mount(2)`, fsopen(2), fsmount(2), `mount_setattr(2)`.
//!
//! Falco has them by name alone; the parameters are ours.

use super::flags::Flags;
use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, PathRole, Role,
    View, Volume, params,
};
use crate::record;
use crate::record::{Fd, Pod as _, Tail};

record! {
    /// A finished call.
    pub struct MountedByFd {
        pub ret: i64,
        /// The new descriptor of a call that makes one.
        pub file: Fd,
        /// `MOUNT_ATTR_*` that are set (mount_setattr, fsmount) and cleared.
        pub set: u64,
        pub clear: u64,
        /// Where the paths start from, or the descriptor that the call is about.
        pub from_fd: i32,
        pub to_fd: i32,
        pub flags: u32,
        /// A path, or the name of a file system.
        pub from: Tail,
        pub from_base: Tail,
        pub to: Tail,
        pub to_base: Tail,
        pub reserved: u32,
    }
}

/// `open_tree(2)`.
pub struct OpenTree;
/// `move_mount(2)`.
pub struct MoveMount;
/// fsopen(2).
pub struct Fsopen;
/// fsmount(2).
pub struct Fsmount;
/// `mount_setattr(2)`.
pub struct MountSetattr;

impl OpenTree {
    pub const EVENT: Info = event("open_tree", OPEN_TREE, MADE);
}

impl MoveMount {
    pub const EVENT: Info = event("move_mount", MOVE_MOUNT, None);
}

impl Fsopen {
    pub const EVENT: Info = event("fsopen", FSOPEN, MADE);
}

impl Fsmount {
    pub const EVENT: Info = event("fsmount", FSMOUNT, MADE);
}

impl MountSetattr {
    pub const EVENT: Info = event("mount_setattr", MOUNT_SETATTR, None);
}

/// The new descriptor.
const MADE: Option<Descriptor> = Some(Descriptor {
    view: |r| r.body().map(|b: &MountedByFd| FdView::of(r, b.ret.max(-1), &b.file)),
    is: Is::Subject,
    otherwise: b'o',
    role: Role::Unknown,
});

/// They differ in this.
const fn event(name: &'static str, params: &'static [Param], fd: Option<Descriptor>) -> Info {
    Info {
        layout: MountedByFd::LAYOUT,
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

const OPEN_TREE: &[Param] = params! {
    "fd": T::Fd, |r, b: &MountedByFd| Arg::Int(b.ret);
    "dirfd": T::Fd, |r, b: &MountedByFd| Arg::Int(b.from_fd.into());
    "path": T::PathAt(PathRole::Name), |r, b: &MountedByFd| Arg::Path { raw: r.tail(b.from), base: r.tail(b.from_base) };
    "flags": T::Flags(32, OPEN_TREE_FLAGS), |r, b: &MountedByFd| Arg::Uint(b.flags.into());
};

const MOVE_MOUNT: &[Param] = params! {
    "res": T::Errno, |r, b: &MountedByFd| Arg::Int(b.ret);
    "from_dirfd": T::Fd, |r, b: &MountedByFd| Arg::Int(b.from_fd.into());
    "from_path": T::PathAt(PathRole::Source), |r, b: &MountedByFd| Arg::Path { raw: r.tail(b.from), base: r.tail(b.from_base) };
    "to_dirfd": T::Fd, |r, b: &MountedByFd| Arg::Int(b.to_fd.into());
    "to_path": T::PathAt(PathRole::Target), |r, b: &MountedByFd| Arg::Path { raw: r.tail(b.to), base: r.tail(b.to_base) };
    "flags": T::Hex(32), |r, b: &MountedByFd| Arg::Uint(b.flags.into());
};

const FSOPEN: &[Param] = params! {
    "fd": T::Fd, |r, b: &MountedByFd| Arg::Int(b.ret);
    "name": T::CharBuf, |r, b: &MountedByFd| Arg::Bytes(r.tail(b.from));
    "flags": T::Hex(32), |r, b: &MountedByFd| Arg::Uint(b.flags.into());
};

const FSMOUNT: &[Param] = params! {
    "fd": T::Fd, |r, b: &MountedByFd| Arg::Int(b.ret);
    "fs_fd": T::Fd, |r, b: &MountedByFd| Arg::Int(b.from_fd.into());
    "flags": T::Hex(32), |r, b: &MountedByFd| Arg::Uint(b.flags.into());
    "attr": T::Flags(32, MOUNT_ATTRS), |r, b: &MountedByFd| Arg::Uint(b.set);
};

const MOUNT_SETATTR: &[Param] = params! {
    "res": T::Errno, |r, b: &MountedByFd| Arg::Int(b.ret);
    "dirfd": T::Fd, |r, b: &MountedByFd| Arg::Int(b.from_fd.into());
    "path": T::PathAt(PathRole::Name), |r, b: &MountedByFd| Arg::Path { raw: r.tail(b.from), base: r.tail(b.from_base) };
    "flags": T::Flags(32, OPEN_TREE_FLAGS), |r, b: &MountedByFd| Arg::Uint(b.flags.into());
    "attr_set": T::Flags(32, MOUNT_ATTRS), |r, b: &MountedByFd| Arg::Uint(b.set);
    "attr_clr": T::Flags(32, MOUNT_ATTRS), |r, b: &MountedByFd| Arg::Uint(b.clear);
};

/// Flags of `open_tree` and `mount_setattr`.
static OPEN_TREE_FLAGS: &Flags = &[
    ("OPEN_TREE_CLONE", 1),
    ("AT_SYMLINK_NOFOLLOW", 0x100),
    ("AT_NO_AUTOMOUNT", 0x800),
    ("AT_EMPTY_PATH", 0x1000),
    ("AT_RECURSIVE", 0x8000),
    ("OPEN_TREE_CLOEXEC", 0o2_000_000),
];

/// `MOUNT_ATTR_*`.
static MOUNT_ATTRS: &Flags = &[
    ("MOUNT_ATTR_RDONLY", 1),
    ("MOUNT_ATTR_NOSUID", 2),
    ("MOUNT_ATTR_NODEV", 4),
    ("MOUNT_ATTR_NOEXEC", 8),
    ("MOUNT_ATTR_NOATIME", 0x10),
    ("MOUNT_ATTR_STRICTATIME", 0x20),
    ("MOUNT_ATTR_NODIRATIME", 0x80),
    ("MOUNT_ATTR_IDMAP", 0x10_0000),
    ("MOUNT_ATTR_NOSYMFOLLOW", 0x20_0000),
];

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::MountedByFd;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, file};
    use crate::record::Tail;

    /// Begins the record of a call, with `made` described and no path.
    #[inline(always)]
    fn begin(exit: &Exit, kind: Kind, made: i32, flags: u32) -> Option<(Writer, &'static mut MountedByFd)> {
        let mut w = Writer::new::<MountedByFd>(kind)?;
        let body = w.body::<MountedByFd>();
        body.ret = exit.ret;
        file::describe(&mut w, exit.task, made, &mut body.file);
        (body.set, body.clear) = (0, 0);
        (body.from_fd, body.to_fd) = (exit.arg(0) as i32, -1);
        body.flags = flags;
        (body.from, body.from_base) = (Tail::EMPTY, Tail::EMPTY);
        (body.to, body.to_base) = (Tail::EMPTY, Tail::EMPTY);
        body.reserved = 0;
        Some((w, body))
    }

    /// `open_tree(dirfd, path, flags)`.
    #[inline(always)]
    pub fn open_tree(exit: &Exit) {
        let made = exit.ret as i32;
        let Some((mut w, body)) = begin(exit, Kind::OpenTree, made, exit.arg(2) as u32) else { return };
        (body.from, body.from_base) = file::argument(&mut w, exit, body.from_fd, exit.arg(1));
        w.submit(Kind::OpenTree);
    }

    /// `move_mount(from_dirfd, from_path, to_dirfd, to_path, flags)`.
    #[inline(always)]
    pub fn move_mount(exit: &Exit) {
        let Some((mut w, body)) = begin(exit, Kind::MoveMount, -1, exit.arg(4) as u32) else { return };
        body.to_fd = exit.arg(2) as i32;
        (body.from, body.from_base) = file::argument(&mut w, exit, body.from_fd, exit.arg(1));
        (body.to, body.to_base) = file::argument(&mut w, exit, body.to_fd, exit.arg(3));
        w.submit(Kind::MoveMount);
    }

    /// `fsopen(name, flags)`.
    #[inline(always)]
    pub fn fsopen(exit: &Exit) {
        let made = exit.ret as i32;
        let Some((mut w, body)) = begin(exit, Kind::Fsopen, made, exit.arg(1) as u32) else { return };
        body.from_fd = -1;
        body.from = w.argument_str(exit, exit.arg(0));
        w.submit(Kind::Fsopen);
    }

    /// `fsmount(fs_fd, flags, attr)`.
    #[inline(always)]
    pub fn fsmount(exit: &Exit) {
        let made = exit.ret as i32;
        let Some((w, body)) = begin(exit, Kind::Fsmount, made, exit.arg(1) as u32) else { return };
        body.set = (exit.arg(2) as u32).into();
        w.submit(Kind::Fsmount);
    }

    /// `mount_setattr(dirfd, path, flags, struct mount_attr { u64 set, clear, … } *, size)`.
    #[inline(always)]
    pub fn mount_setattr(exit: &Exit) {
        let Some((mut w, body)) = begin(exit, Kind::MountSetattr, -1, exit.arg(2) as u32) else { return };
        body.set = exit.read::<u64>(exit.arg(3)).unwrap_or(0);
        body.clear = exit.read::<u64>(exit.arg(3).wrapping_add(8)).unwrap_or(0);
        (body.from, body.from_base) = file::argument(&mut w, exit, body.from_fd, exit.arg(1));
        w.submit(Kind::MountSetattr);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{fsmount, fsopen, mount_setattr, move_mount, open_tree};

#[cfg(feature = "testing")]
mod scenarios {
    use super::{Fsmount, Fsopen, MountSetattr, MoveMount, OpenTree};
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
        OpenTree: "the tree that was opened, and one that there is not", open_tree;
        MoveMount: "both paths of a failed one", move_mount;
        Fsopen: "the name of a file system that there is not", fsopen;
        Fsmount: "the attributes of a failed one", fsmount;
        MountSetattr: "what is set and cleared", mount_setattr;
    }

    fn open_tree(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let path = c(dir.path());
        let seen = stage.observe(&|| {
            syscall!(SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), 0);
            syscall!(SYS_open_tree, libc::AT_FDCWD, c"/nonexistent".as_ptr(), libc::AT_SYMLINK_NOFOLLOW);
        });
        let [done, failed] = seen.as_slice() else { panic!("{seen:?}") };
        if failed.arg("fd") == "-38" {
            return stage.skip("this kernel has no open_tree");
        }
        let fd = done.arg("fd");
        done.is("open_tree", &[("fd", fd), ("dirfd", "-100"), ("path", dir.path()), ("flags", "0")])
            .has(&[("evt.type", "open_tree"), ("evt.category", "file"), ("fd.num", fd)])
            .has(&[("fd.name", dir.path()), ("fs.path.name", dir.path()), ("evt.abspath", dir.path())]);
        let args = [("fd", "-2"), ("dirfd", "-100"), ("path", "/nonexistent"), ("flags", "256")];
        failed
            .is("open_tree", &args)
            .has(&[("evt.res", "ENOENT"), ("fd.num", "-1"), ("evt.arg[3]", "AT_SYMLINK_NOFOLLOW")])
            .lacks(&["fs.path.name", "fd.name"]);
    }

    fn move_mount(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            let (from, to, at) = (c"/nonexistent/a", c"/nonexistent/b", libc::AT_FDCWD);
            touch(&[from, to]);
            syscall!(SYS_move_mount, at, from.as_ptr(), at, to.as_ptr(), 0);
        });
        let (from, to) = (("from_path", "/nonexistent/a"), ("to_path", "/nonexistent/b"));
        let res = ("res", seen.arg("res"));
        assert!(res.1.starts_with('-'));
        seen.is("move_mount", &[res, ("from_dirfd", "-100"), from, ("to_dirfd", "-100"), to, ("flags", "0")])
            .has(&[("evt.type", "move_mount"), ("evt.abspath.src", from.1), ("evt.abspath.dst", to.1)])
            .lacks(&["fd.num", "fs.path.source"]);
    }

    fn fsopen(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            touch(&[c"nosuchfs"]);
            syscall!(SYS_fsopen, c"nosuchfs".as_ptr(), 1);
        });
        let fd = seen.arg("fd");
        assert!(fd.starts_with('-'));
        seen.is("fsopen", &[("fd", fd), ("name", "nosuchfs"), ("flags", "1")]).has(&[
            ("evt.type", "fsopen"),
            ("fd.num", "-1"),
            ("evt.failed", "true"),
        ]);
    }

    fn fsmount(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_fsmount, -1, 1, libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV);
        });
        let fd = seen.arg("fd");
        assert!(fd.starts_with('-'));
        seen.is("fsmount", &[("fd", fd), ("fs_fd", "-1"), ("flags", "1"), ("attr", "6")])
            .has(&[("evt.type", "fsmount"), ("evt.arg[3]", "MOUNT_ATTR_NOSUID|MOUNT_ATTR_NODEV")])
            .has(&[("fd.num", "-1")]);
    }

    fn mount_setattr(stage: &mut dyn Stage) {
        let attributes = [1_u64, 8, 0, 0];
        let seen = stage.one(&|| {
            let path = c"/nonexistent";
            touch(&[path]);
            let (at, size) = (libc::AT_FDCWD, size_of_val(&attributes));
            syscall!(SYS_mount_setattr, at, path.as_ptr(), 0, attributes.as_ptr(), size);
        });
        let args = [
            ("res", seen.arg("res")),
            ("dirfd", "-100"),
            ("path", "/nonexistent"),
            ("flags", "0"),
            ("attr_set", "1"),
            ("attr_clr", "8"),
        ];
        assert!(args[0].1.starts_with('-'));
        seen.is("mount_setattr", &args)
            .has(&[("evt.type", "mount_setattr"), ("evt.arg[4]", "MOUNT_ATTR_RDONLY")])
            .has(&[("evt.arg[5]", "MOUNT_ATTR_NOEXEC")])
            .lacks(&["fs.path.name", "fd.num"]);
    }
}

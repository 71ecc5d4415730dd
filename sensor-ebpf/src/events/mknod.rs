//! mknod(2), mknodat(2).

use super::flags::MKNOD_MODES;
use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, PathRole, Role,
    View, Volume, params,
};
use crate::record;
use crate::record::{Fd, Pod as _, Record, Tail};

record! {
    /// A finished mknod.
    pub struct NodeMade {
        pub ret: i64,
        /// The directory that `dirfd` names; `kind` 0 for `AT_FDCWD`.
        pub dir: Fd,
        pub dirfd: i32,
        /// `S_IF*` and permissions as passed.
        pub mode: u32,
        /// As passed: `new_encode_dev`.
        pub dev: u32,
        pub raw: Tail,
        pub base: Tail,
        pub reserved: u32,
    }
}

/// mknod(2).
pub struct Mknod;
/// mknodat(2).
pub struct Mknodat;

impl Mknod {
    pub const EVENT: Info = event("mknod", MKNOD, None);
}

impl Mknodat {
    pub const EVENT: Info = event(
        "mknodat",
        MKNODAT,
        Some(Descriptor {
            view: |r| r.body().map(|b: &NodeMade| FdView::of(r, b.dirfd.into(), &b.dir)),
            is: Is::Directory,
            otherwise: b'o',
            role: Role::Unknown,
        }),
    );
}

/// The two differ in this.
const fn event(name: &'static str, params: &'static [Param], fd: Option<Descriptor>) -> Info {
    Info {
        layout: NodeMade::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name,
            codes: Codes::Exit,
            category: Category::Other,
            params,
            fd,
            io: None,
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    }
}

fn path<'a>(r: &Record<'a>, b: &NodeMade) -> Arg<'a> {
    Arg::Path { raw: r.tail(b.raw), base: r.tail(b.base) }
}

// As in Falco, neither `fs.path.name` nor `evt.abspath` speaks of these.
const MKNOD: &[Param] = params! {
    "res": T::Errno, |r, b: &NodeMade| Arg::Int(b.ret);
    "path": T::Path(PathRole::Other), |r, b: &NodeMade| path(r, b);
    "mode": T::Mode(MKNOD_MODES), |r, b: &NodeMade| Arg::Uint(b.mode.into());
    "dev": T::Dec(32), |r, b: &NodeMade| Arg::Uint(b.dev.into());
};

const MKNODAT: &[Param] = params! {
    "res": T::Errno, |r, b: &NodeMade| Arg::Int(b.ret);
    "dirfd": T::Fd, |r, b: &NodeMade| Arg::Int(b.dirfd.into());
    "path": T::PathAt(PathRole::Other), |r, b: &NodeMade| path(r, b);
    "mode": T::Mode(MKNOD_MODES), |r, b: &NodeMade| Arg::Uint(b.mode.into());
    "dev": T::Dec(32), |r, b: &NodeMade| Arg::Uint(b.dev.into());
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::NodeMade;
    use crate::events::Kind;
    use crate::kernel::file::AT_FDCWD;
    use crate::kernel::{Exit, Writer, file};

    #[inline(always)]
    fn record(exit: &Exit, kind: Kind, dirfd: i32, raw: u64, mode: u32, dev: u32) {
        let Some(mut w) = Writer::new::<NodeMade>(kind) else { return };
        let body = w.body::<NodeMade>();
        body.ret = exit.ret;
        file::describe(&mut w, exit.task, dirfd, &mut body.dir);
        body.dirfd = dirfd;
        body.mode = mode;
        body.dev = dev;
        (body.raw, body.base) = file::argument(&mut w, exit, dirfd, raw);
        body.reserved = 0;
        w.submit(kind);
    }

    #[inline(always)]
    pub fn mknod(exit: &Exit) {
        record(exit, Kind::Mknod, AT_FDCWD, exit.arg(0), exit.arg(1) as u32, exit.arg(2) as u32);
    }

    #[inline(always)]
    pub fn mknodat(exit: &Exit) {
        let (mode, dev) = (exit.arg(2) as u32, exit.arg(3) as u32);
        record(exit, Kind::Mknodat, exit.arg(0) as i32, exit.arg(1), mode, dev);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{mknod, mknodat};

#[cfg(feature = "testing")]
mod scenarios {
    use std::format;
    use std::os::fd::AsRawFd as _;

    use super::{Mknod, Mknodat};
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Stage, c};

    impl Mknod {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "a fifo, once", play: fifo }];
    }

    impl Mknodat {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "a device below a directory, which is the descriptor", play: below }];
    }

    fn fifo(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let (path, top) = (dir.at("fifo"), c(dir.path()));
        let seen = stage.observe(&|| {
            syscall!(SYS_chdir, top.as_ptr());
            syscall!(SYS_mknod, c"fifo".as_ptr(), libc::S_IFIFO | 0o600, 0);
            syscall!(SYS_mknod, c"fifo".as_ptr(), libc::S_IFREG, 0);
        });
        let [made, failed] = seen.as_slice() else { panic!("{seen:?}") };
        let raw = format!("fifo in {}", dir.path());
        made.is("mknod", &[("res", "0"), ("path", &raw), ("mode", "4480"), ("dev", "0")])
            .has(&[("evt.type", "mknod"), ("evt.category", "other"), ("evt.arg[1]", &path)])
            .has(&[("evt.arg[2]", "S_IWUSR|S_IRUSR|S_IFIFO")])
            .lacks(&["fd.num", "fs.path.name", "evt.abspath"]);
        failed
            .is("mknod", &[("res", "-17"), ("path", &raw), ("mode", "32768"), ("dev", "0")])
            .has(&[("evt.res", "EEXIST"), ("evt.arg[2]", "S_IFREG")]);
    }

    fn below(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let open = std::fs::File::open(dir.path()).unwrap();
        let dirfd = open.as_raw_fd();
        let null = 0x103;
        let seen = stage.one(&|| {
            syscall!(SYS_mknodat, dirfd, c"null".as_ptr(), libc::S_IFCHR | 0o666, null);
        });
        let (res, fd, raw) = (seen.arg("res"), format!("{dirfd}"), format!("null in {}", dir.path()));
        let args = [("res", res), ("dirfd", &*fd), ("path", &*raw), ("mode", "8630"), ("dev", "259")];
        seen.is("mknodat", &args)
            .has(&[("evt.type", "mknodat"), ("fd.num", &fd), ("fd.name", dir.path())])
            .has(&[("evt.arg[2]", &dir.at("null"))])
            .lacks(&["fs.path.name"]);
    }
}

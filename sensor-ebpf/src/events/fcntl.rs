//! fcntl(2): `fd.*` is the new descriptor if the call makes one, else the one that it asks about.

use super::flags::Flags;
use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, Role, View,
    Volume, params,
};
use crate::record;
use crate::record::{Fd, Pod as _};

record! {
    /// A finished fcntl.
    pub struct Controlled {
        pub ret: i64,
        pub file: Fd,
        /// The descriptor that `file` describes.
        pub described: i64,
        pub arg: u64,
        pub fd: i32,
        /// Linux's `F_*`.
        pub cmd: u32,
    }
}

/// fcntl(2).
pub struct Fcntl;

impl Fcntl {
    pub const EVENT: Info = Info {
        layout: Controlled::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name: "fcntl",
            codes: Codes::Exit,
            category: Category::OfDescriptor,
            params: PARAMS,
            fd: Some(Descriptor {
                view: |r| r.body().map(|b: &Controlled| FdView::of(r, b.described, &b.file)),
                is: Is::Subject,
                otherwise: b'o',
                role: Role::Unknown,
            }),
            io: None,
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    };
}

const PARAMS: &[Param] = params! {
    "res": T::Fd, |r, b: &Controlled| Arg::Int(b.ret);
    "fd": T::Fd, |r, b: &Controlled| Arg::Int(b.fd.into());
    "cmd": T::Enum(8, COMMANDS), |r, b: &Controlled| Arg::Uint(falco_command(b.cmd).into());
    "arg": T::Hex(64), |r, b: &Controlled| Arg::Uint(b.arg);
};

/// Falco's numbers of commands.
static COMMANDS: &Flags = &[
    ("F_DUPFD", 1),
    ("F_GETFD", 2),
    ("F_SETFD", 3),
    ("F_GETFL", 4),
    ("F_SETFL", 5),
    ("F_GETLK", 6),
    ("F_SETLK", 8),
    ("F_SETLKW", 9),
    ("F_SETOWN", 10),
    ("F_GETOWN", 12),
    ("F_SETSIG", 13),
    ("F_GETSIG", 15),
    ("F_GETLK64", 17),
    ("F_SETLK64", 18),
    ("F_SETLKW64", 19),
    ("F_SETOWN_EX", 21),
    ("F_GETOWN_EX", 22),
    ("F_SETLEASE", 23),
    ("F_GETLEASE", 24),
    ("F_CANCELLK", 25),
    ("F_DUPFD_CLOEXEC", 26),
    ("F_NOTIFY", 27),
    ("F_SETPIPE_SZ", 28),
    ("F_GETPIPE_SZ", 29),
    ("F_OFD_GETLK", 30),
    ("F_OFD_SETLK", 31),
    ("F_OFD_SETLKW", 32),
    ("UNKNOWN", 0),
];

/// Falco's number of a Linux command; 0 for one that it does not know.
fn falco_command(linux: u32) -> u32 {
    /// Linux's 0 to 16.
    const LOW: [u32; 17] = [1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 13, 15, 17, 18, 19, 21, 22];
    match linux {
        0..=16 => LOW[linux as usize],
        36 => 30,
        37 => 31,
        38 => 32,
        1024 => 23,
        1025 => 24,
        1026 => 27,
        1029 => 25,
        1030 => 26,
        1031 => 28,
        1032 => 29,
        _ => 0,
    }
}

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Controlled;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, file};

    const F_DUPFD: u32 = 0;
    const F_DUPFD_CLOEXEC: u32 = 1030;

    #[inline(always)]
    pub fn fcntl(exit: &Exit) {
        let Some(mut w) = Writer::new::<Controlled>(Kind::Fcntl) else { return };
        let body = w.body::<Controlled>();
        body.ret = exit.ret;
        body.fd = exit.arg(0) as i32;
        body.cmd = exit.arg(1) as u32;
        body.arg = exit.arg(2);
        let makes = body.cmd == F_DUPFD || body.cmd == F_DUPFD_CLOEXEC;
        let described = if makes { exit.ret as i32 } else { body.fd };
        body.described = if described < -1 { -1 } else { described.into() };
        file::describe(&mut w, exit.task, described, &mut body.file);
        w.submit(Kind::Fcntl);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::fcntl;

#[cfg(feature = "testing")]
mod scenarios {
    use std::os::fd::AsRawFd as _;
    use std::string::ToString as _;

    use super::Fcntl;
    use crate::syscall;
    use crate::testing::{Scenario, Stage};

    impl Fcntl {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "the new descriptor of a copy", play: copy },
            Scenario { shows: "the descriptor that it asks about, and none", play: asks },
        ];
    }

    fn copy(stage: &mut dyn Stage) {
        let file = std::fs::File::open("/etc/passwd").unwrap();
        let old = file.as_raw_fd();
        let seen = stage.observe(&|| {
            syscall!(SYS_fcntl, old, libc::F_DUPFD_CLOEXEC, 300);
            syscall!(SYS_fcntl, -1, libc::F_DUPFD, 0);
        });
        let [made, failed] = seen.as_slice() else { panic!("{seen:?}") };
        made.is("fcntl", &[("res", "300"), ("fd", &old.to_string()), ("cmd", "26"), ("arg", "300")])
            .has(&[("evt.type", "fcntl"), ("evt.category", "file"), ("evt.arg[2]", "F_DUPFD_CLOEXEC")])
            .has(&[("fd.num", "300"), ("fd.type", "file"), ("fd.name", "/etc/passwd")])
            .lacks(&["fs.path.name"]);
        failed
            .is("fcntl", &[("res", "-9"), ("fd", "-1"), ("cmd", "1"), ("arg", "0")])
            .has(&[("evt.res", "EBADF"), ("fd.num", "-1"), ("fd.typechar", "o")])
            .lacks(&["fd.name"]);
    }

    fn asks(stage: &mut dyn Stage) {
        let file = std::fs::File::open("/etc/passwd").unwrap();
        let fd = file.as_raw_fd();
        let seen = stage.observe(&|| {
            syscall!(SYS_fcntl, fd, libc::F_GETFD, 0);
            syscall!(SYS_fcntl, fd, 9999, 0);
        });
        let [asked, unknown] = seen.as_slice() else { panic!("{seen:?}") };
        let fd = fd.to_string();
        asked
            .has(&[("evt.arg[2]", "F_GETFD"), ("fd.num", &fd), ("fd.name", "/etc/passwd")])
            .has(&[("evt.res", "SUCCESS")]);
        unknown.has(&[("evt.arg[2]", "UNKNOWN"), ("evt.res", "EINVAL"), ("fd.num", &fd)]);
    }
}

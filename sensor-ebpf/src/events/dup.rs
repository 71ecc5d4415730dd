//! dup(2), dup2(2), dup3(2): `fd.*` is the new descriptor.

use super::flags::FILE_FLAGS;
use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, Role, View,
    Volume, params,
};
use crate::record;
use crate::record::{Fd, Pod as _};

record! {
    /// A finished dup.
    pub struct Duplicated {
        /// The new descriptor, or a negative errno.
        pub ret: i64,
        pub file: Fd,
        pub oldfd: i32,
        pub newfd: i32,
        /// The caller's `O_*` (dup3).
        pub flags: u32,
        pub reserved: u32,
    }
}

/// dup(2).
pub struct Dup;
/// dup2(2).
pub struct Dup2;
/// dup3(2).
pub struct Dup3;

impl Dup {
    pub const EVENT: Info = event("dup", DUP);
}

impl Dup2 {
    pub const EVENT: Info = event("dup2", DUP2);
}

impl Dup3 {
    pub const EVENT: Info = event("dup3", DUP3);
}

/// The three differ in name and arguments.
const fn event(name: &'static str, params: &'static [Param]) -> Info {
    Info {
        layout: Duplicated::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name,
            codes: Codes::Exit,
            category: Category::OfDescriptor,
            params,
            fd: Some(Descriptor {
                view: |r| r.body().map(|b: &Duplicated| FdView::of(r, b.ret.max(-1), &b.file)),
                is: Is::Subject,
                otherwise: b'o',
                role: Role::Unknown,
            }),
            io: None,
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    }
}

const DUP: &[Param] = params! {
    "res": T::Fd, |r, b: &Duplicated| Arg::Int(b.ret);
    "oldfd": T::Fd, |r, b: &Duplicated| Arg::Int(b.oldfd.into());
};

const DUP2: &[Param] = params! {
    "res": T::Fd, |r, b: &Duplicated| Arg::Int(b.ret);
    "oldfd": T::Fd, |r, b: &Duplicated| Arg::Int(b.oldfd.into());
    "newfd": T::Fd, |r, b: &Duplicated| Arg::Int(b.newfd.into());
};

const DUP3: &[Param] = params! {
    "res": T::Fd, |r, b: &Duplicated| Arg::Int(b.ret);
    "oldfd": T::Fd, |r, b: &Duplicated| Arg::Int(b.oldfd.into());
    "newfd": T::Fd, |r, b: &Duplicated| Arg::Int(b.newfd.into());
    // Only O_CLOEXEC is legal here: 4096 in Falco's bit set.
    "flags": T::Flags(32, FILE_FLAGS), |r, b: &Duplicated| Arg::Uint(if b.flags & 0o2_000_000 != 0 { 4096 } else { 0 });
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Duplicated;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, file};

    #[inline(always)]
    fn record(exit: &Exit, kind: Kind, newfd: i32, flags: u32) {
        let Some(mut w) = Writer::new::<Duplicated>(kind) else { return };
        let body = w.body::<Duplicated>();
        body.ret = exit.ret;
        file::describe(&mut w, exit.task, exit.ret as i32, &mut body.file);
        body.oldfd = exit.arg(0) as i32;
        body.newfd = newfd;
        body.flags = flags;
        body.reserved = 0;
        w.submit(kind);
    }

    #[inline(always)]
    pub fn dup(exit: &Exit) {
        record(exit, Kind::Dup, exit.ret as i32, 0);
    }

    #[inline(always)]
    pub fn dup2(exit: &Exit) {
        record(exit, Kind::Dup2, exit.arg(1) as i32, 0);
    }

    #[inline(always)]
    pub fn dup3(exit: &Exit) {
        record(exit, Kind::Dup3, exit.arg(1) as i32, exit.arg(2) as u32);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{dup, dup2, dup3};

#[cfg(feature = "testing")]
mod scenarios {
    use std::os::fd::AsRawFd as _;
    use std::string::ToString as _;

    use super::{Dup, Dup2, Dup3};
    use crate::syscall;
    use crate::testing::{Scenario, Stage};

    impl Dup {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "a failed dup has no descriptor", play: failed }];
    }

    impl Dup2 {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "the new descriptor", play: dup2 }];
    }

    impl Dup3 {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "the new descriptor and the flags", play: dup3 }];
    }

    fn failed(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_dup, -1);
        });
        seen.is("dup", &[("res", "-9"), ("oldfd", "-1")])
            .has(&[("evt.type", "dup"), ("evt.category", "unknown"), ("evt.res", "EBADF")])
            .has(&[("fd.num", "-1"), ("fd.typechar", "o")])
            .lacks(&["fd.name", "fs.path.name"]);
    }

    fn dup2(stage: &mut dyn Stage) {
        let file = std::fs::File::open("/etc/passwd").unwrap();
        let old = file.as_raw_fd();
        let seen = stage.one(&|| {
            syscall!(SYS_dup2, old, 200);
        });
        seen.is("dup2", &[("res", "200"), ("oldfd", &old.to_string()), ("newfd", "200")])
            .has(&[("evt.type", "dup2"), ("evt.category", "file"), ("evt.is_io", "false")])
            .has(&[("fd.num", "200"), ("fd.type", "file"), ("fd.name", "/etc/passwd")]);
    }

    fn dup3(stage: &mut dyn Stage) {
        let (_one, other) = std::os::unix::net::UnixStream::pair().unwrap();
        let old = other.as_raw_fd();
        let seen = stage.one(&|| {
            syscall!(SYS_dup3, old, 201, libc::O_CLOEXEC);
        });
        seen.is("dup3", &[("res", "201"), ("oldfd", &old.to_string()), ("newfd", "201"), ("flags", "4096")])
            .has(&[("evt.type", "dup3"), ("evt.category", "IPC"), ("fd.num", "201"), ("fd.type", "unix")]);
    }
}

//! pipe(2), pipe2(2): `fd.*` is the end to read from.

use super::flags::FILE_FLAGS;
use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, Role, View,
    Volume, params,
};
use crate::record;
use crate::record::{Fd, Pod as _};

record! {
    /// A finished pipe.
    pub struct Piped {
        pub ret: i64,
        /// The end to read from.
        pub file: Fd,
        /// The two ends; -1 when the call failed.
        pub fd1: i32,
        pub fd2: i32,
        /// Linux's `O_*` (pipe2).
        pub flags: u32,
        pub reserved: u32,
    }
}

/// pipe(2).
pub struct Pipe;
/// pipe2(2).
pub struct Pipe2;

impl Pipe {
    pub const EVENT: Info = event("pipe", PIPE);
}

impl Pipe2 {
    pub const EVENT: Info = event("pipe2", PIPE2);
}

/// The two differ in name and arguments.
const fn event(name: &'static str, params: &'static [Param]) -> Info {
    Info {
        layout: Piped::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name,
            codes: Codes::Exit,
            category: Category::Ipc,
            params,
            fd: Some(Descriptor {
                view: |r| r.body().map(|b: &Piped| FdView::of(r, b.fd1.into(), &b.file)),
                is: Is::Subject,
                otherwise: b'p',
                role: Role::Unknown,
            }),
            io: None,
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    }
}

const PIPE: &[Param] = params! {
    "res": T::Errno, |r, b: &Piped| Arg::Int(b.ret);
    "fd1": T::Fd, |r, b: &Piped| Arg::Int(b.fd1.into());
    "fd2": T::Fd, |r, b: &Piped| Arg::Int(b.fd2.into());
    "ino": T::Dec(64), |r, b: &Piped| Arg::Uint(b.file.ino);
};

const PIPE2: &[Param] = params! {
    "res": T::Errno, |r, b: &Piped| Arg::Int(b.ret);
    "fd1": T::Fd, |r, b: &Piped| Arg::Int(b.fd1.into());
    "fd2": T::Fd, |r, b: &Piped| Arg::Int(b.fd2.into());
    "ino": T::Dec(64), |r, b: &Piped| Arg::Uint(b.file.ino);
    "flags": T::Flags(32, FILE_FLAGS), |r, b: &Piped| Arg::Uint(falco_flags(b.flags));
};

/// Falco's bits of the flags that pipe2 takes.
fn falco_flags(linux: u32) -> u64 {
    let bit = |linux_bit, falco| if linux & linux_bit != 0 { falco } else { 0 };
    bit(0o4000, 64) | bit(0o40000, 512) | bit(0o2_000_000, 4096)
}

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Piped;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, file};

    /// `pipe(int[2])`: the kernel has written the two numbers there.
    #[inline(always)]
    fn record(exit: &Exit, kind: Kind, flags: u32) {
        let Some(mut w) = Writer::new::<Piped>(kind) else { return };
        let body = w.body::<Piped>();
        body.ret = exit.ret;
        let ends = if exit.ret < 0 { None } else { exit.read::<u64>(exit.arg(0)) };
        (body.fd1, body.fd2) = match ends {
            Some(ends) => (ends as i32, (ends >> 32) as i32),
            None => (-1, -1),
        };
        file::describe(&mut w, exit.task, body.fd1, &mut body.file);
        body.flags = flags;
        body.reserved = 0;
        w.submit(kind);
    }

    #[inline(always)]
    pub fn pipe(exit: &Exit) {
        record(exit, Kind::Pipe, 0);
    }

    #[inline(always)]
    pub fn pipe2(exit: &Exit) {
        record(exit, Kind::Pipe2, exit.arg(1) as u32);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{pipe, pipe2};

#[cfg(feature = "testing")]
mod scenarios {
    use super::{Pipe, Pipe2};
    use crate::syscall;
    use crate::testing::{Scenario, Stage};

    impl Pipe {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "both ends", play: pipe }];
    }

    impl Pipe2 {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "the flags, and flags that there are not", play: pipe2 }];
    }

    fn pipe(stage: &mut dyn Stage) {
        let mut ends = [0_i32; 2];
        let ends = ends.as_mut_ptr().cast_const();
        let seen = stage.one(&|| {
            syscall!(SYS_pipe, ends);
        });
        let (first, second, ino) = (seen.arg("fd1"), seen.arg("fd2"), seen.arg("ino"));
        assert_ne!((first, ino), (second, "0"));
        seen.is("pipe", &[("res", "0"), ("fd1", first), ("fd2", second), ("ino", ino)])
            .has(&[("evt.type", "pipe"), ("evt.category", "IPC"), ("fd.num", first), ("fd.type", "pipe")])
            .lacks(&["fs.path.name"]);
    }

    fn pipe2(stage: &mut dyn Stage) {
        let mut ends = [0_i32; 2];
        let ends = ends.as_mut_ptr().cast_const();
        let seen = stage.observe(&|| {
            syscall!(SYS_pipe2, ends, libc::O_CLOEXEC | libc::O_NONBLOCK);
            syscall!(SYS_pipe2, ends, 1 << 30);
        });
        let [done, failed] = seen.as_slice() else { panic!("{seen:?}") };
        done.has(&[("evt.type", "pipe2"), ("evt.arg[4]", "O_NONBLOCK|O_CLOEXEC"), ("fd.type", "pipe")]);
        failed
            .is("pipe2", &[("res", "-22"), ("fd1", "-1"), ("fd2", "-1"), ("ino", "0"), ("flags", "0")])
            .has(&[("evt.res", "EINVAL"), ("fd.num", "-1"), ("fd.typechar", "p")]);
    }
}

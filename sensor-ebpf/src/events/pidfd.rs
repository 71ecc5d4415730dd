//! `pidfd_open`(2), `pidfd_getfd`(2): processes by descriptor, and descriptors of other processes.

use super::flags::Flags;
use super::plain::PlainFd;
use super::{Arg, Param, ParamType as T, params};
use crate::calls_of_fd;

calls_of_fd! {
    PidfdOpen, pidfd_open, "pidfd_open", Process, makes b'P', OPEN;
    PidfdGetfd, pidfd_getfd, "pidfd_getfd", Process, makes b'o', GETFD;
}

const OPEN: &[Param] = params! {
    "fd": T::Fd, |r, b: &PlainFd| Arg::Int(b.call.ret);
    "pid": T::Pid, |r, b: &PlainFd| b.call.int(0);
    "flags": T::Flags(32, PIDFD_OPEN_FLAGS), |r, b: &PlainFd| Arg::Uint(falco_flags(b.call.low(1)).into());
};

const GETFD: &[Param] = params! {
    "fd": T::Fd, |r, b: &PlainFd| Arg::Int(b.call.ret);
    "pid_fd": T::Fd, |r, b: &PlainFd| b.call.int(0);
    "target_fd": T::Fd, |r, b: &PlainFd| b.call.int(1);
    "flags": T::Hex(32), |r, b: &PlainFd| b.call.uint(2);
};

static PIDFD_OPEN_FLAGS: &Flags = &[("PIDFD_NONBLOCK", 1)];

/// Falco's bits; `PIDFD_NONBLOCK` is `O_NONBLOCK`.
fn falco_flags(linux: u32) -> u32 {
    u32::from(linux & 0o4000 != 0)
}

#[cfg(feature = "testing")]
mod scenarios {
    use std::process::id;
    use std::string::ToString as _;

    use super::{PidfdGetfd, PidfdOpen};
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Stage};

    impl PidfdOpen {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "a process by descriptor, and nobody", play: open }];
    }

    impl PidfdGetfd {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "a file of another's, and no such one", play: getfd }];
    }

    fn open(stage: &mut dyn Stage) {
        let parent = id();
        let seen = stage.observe(&|| {
            syscall!(SYS_pidfd_open, parent, libc::O_NONBLOCK);
            syscall!(SYS_pidfd_open, i32::MAX, 0);
        });
        let [made, failed] = seen.as_slice() else { panic!("{seen:?}") };
        let fd = made.arg("fd");
        made.is("pidfd_open", &[("fd", fd), ("pid", &parent.to_string()), ("flags", "1")])
            .has(&[("evt.type", "pidfd_open"), ("evt.category", "process"), ("evt.res", "SUCCESS")])
            .has(&[("fd.num", fd), ("fd.typechar", "P"), ("evt.arg[2]", "PIDFD_NONBLOCK")]);
        failed.is("pidfd_open", &[("fd", "-3"), ("pid", &i32::MAX.to_string()), ("flags", "0")]).has(&[
            ("evt.res", "ESRCH"),
            ("fd.num", "-1"),
            ("fd.typechar", "P"),
        ]);
    }

    fn getfd(stage: &mut dyn Stage) {
        use std::os::fd::AsRawFd as _;
        let dir = Dir::new();
        let path = dir.file("a");
        let file = std::fs::File::open(&path).unwrap();
        let fd = file.as_raw_fd();
        let seen = stage.observe(&|| {
            // A process may always take its own.
            let me = syscall!(SYS_pidfd_open, syscall!(SYS_getpid), 0);
            syscall!(SYS_pidfd_getfd, me, fd, 0);
            syscall!(SYS_pidfd_getfd, me, 9999, 0);
        });
        let [open, made, failed] = seen.as_slice() else { panic!("{seen:?}") };
        let (new, of, target) = (made.arg("fd"), open.arg("fd"), fd.to_string());
        made.is("pidfd_getfd", &[("fd", new), ("pid_fd", of), ("target_fd", &target), ("flags", "0")])
            .has(&[("evt.type", "pidfd_getfd"), ("evt.category", "process"), ("evt.res", "SUCCESS")])
            .has(&[("fd.num", new), ("fd.typechar", "f"), ("fd.name", &path)]);
        failed
            .is("pidfd_getfd", &[("fd", "-9"), ("pid_fd", of), ("target_fd", "9999"), ("flags", "0")])
            .has(&[("evt.res", "EBADF"), ("fd.num", "-1")]);
    }
}

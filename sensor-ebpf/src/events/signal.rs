//! kill(2), tkill(2), tgkill(2), `pidfd_send_signal`(2): signals that a process sends.

use super::plain::{Plain, PlainFd};
use super::{Arg, Param, ParamType as T, params};
use crate::{calls, calls_of_fd};

calls! {
    Kill, kill, "kill", Signal, None, KILL;
    Tkill, tkill, "tkill", Signal, None, TKILL;
    Tgkill, tgkill, "tgkill", Signal, None, TGKILL;
}

calls_of_fd! {
    PidfdSendSignal, pidfd_send_signal, "pidfd_send_signal", Signal, uses 0 as b'P', PIDFD;
}

const KILL: &[Param] = params! {
    "res": T::Errno, |r, b: &Plain| Arg::Int(b.ret);
    "pid": T::Pid, |r, b: &Plain| b.int(0);
    "sig": T::Signal, |r, b: &Plain| b.int(1);
};

const TKILL: &[Param] = params! {
    "res": T::Errno, |r, b: &Plain| Arg::Int(b.ret);
    "tid": T::Pid, |r, b: &Plain| b.int(0);
    "sig": T::Signal, |r, b: &Plain| b.int(1);
};

const TGKILL: &[Param] = params! {
    "res": T::Errno, |r, b: &Plain| Arg::Int(b.ret);
    "pid": T::Pid, |r, b: &Plain| b.int(0);
    "tid": T::Pid, |r, b: &Plain| b.int(1);
    "sig": T::Signal, |r, b: &Plain| b.int(2);
};

// Falco has its name alone.
const PIDFD: &[Param] = params! {
    "res": T::Errno, |r, b: &PlainFd| Arg::Int(b.call.ret);
    "pid_fd": T::Fd, |r, b: &PlainFd| b.call.int(0);
    "sig": T::Signal, |r, b: &PlainFd| b.call.int(1);
    "flags": T::Hex(32), |r, b: &PlainFd| b.call.uint(3);
};

#[cfg(feature = "testing")]
mod scenarios {
    use std::process::id;
    use std::string::ToString as _;

    use super::{Kill, PidfdSendSignal, Tgkill, Tkill};
    use crate::syscall;
    use crate::testing::{Scenario, Stage};

    impl Kill {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "a signal that is sent, and one to nobody", play: kill }];
    }

    impl Tkill {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "a signal that is sent, and one to nobody", play: tkill }];
    }

    impl Tgkill {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "a signal that is sent, and one to nobody", play: tgkill }];
    }

    impl PidfdSendSignal {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "a signal that is sent, and one to nobody", play: pidfd }];
    }

    fn pidfd(stage: &mut dyn Stage) {
        let parent = id();
        let seen = stage.observe(&|| {
            let fd = syscall!(SYS_pidfd_open, parent, 0);
            syscall!(SYS_pidfd_send_signal, fd, 0, 0, 0);
            syscall!(SYS_pidfd_send_signal, 9999, libc::SIGKILL, 0, 0);
        });
        let [open, sent, nobody] = seen.as_slice() else { panic!("{seen:?}") };
        let fd = open.arg("fd");
        sent.is("pidfd_send_signal", &[("res", "0"), ("pid_fd", fd), ("sig", "0"), ("flags", "0")])
            .has(&[("evt.type", "pidfd_send_signal"), ("evt.category", "signal")])
            .has(&[("fd.num", fd), ("fd.typechar", "P")]);
        nobody
            .is("pidfd_send_signal", &[("res", "-9"), ("pid_fd", "9999"), ("sig", "9"), ("flags", "0")])
            .has(&[("evt.res", "EBADF"), ("evt.arg[2]", "SIGKILL"), ("fd.num", "9999")]);
    }

    fn kill(stage: &mut dyn Stage) {
        let parent = id();
        let seen = stage.observe(&|| {
            syscall!(SYS_kill, parent, 0);
            syscall!(SYS_kill, i32::MAX, libc::SIGKILL);
            syscall!(SYS_kill, -1_i32, 999);
        });
        let [sent, nobody, wrong] = seen.as_slice() else { panic!("{seen:?}") };
        sent.is("kill", &[("res", "0"), ("pid", &parent.to_string()), ("sig", "0")])
            .has(&[("evt.type", "kill"), ("evt.category", "signal")])
            .lacks(&["fd.num"]);
        nobody
            .is("kill", &[("res", "-3"), ("pid", &i32::MAX.to_string()), ("sig", "9")])
            .has(&[("evt.res", "ESRCH"), ("evt.arg[2]", "SIGKILL")]);
        wrong.is("kill", &[("res", "-22"), ("pid", "-1"), ("sig", "999")]);
    }

    fn tkill(stage: &mut dyn Stage) {
        let parent = id();
        let seen = stage.observe(&|| {
            syscall!(SYS_tkill, parent, 0);
            syscall!(SYS_tkill, i32::MAX, libc::SIGTERM);
        });
        let [sent, nobody] = seen.as_slice() else { panic!("{seen:?}") };
        sent.is("tkill", &[("res", "0"), ("tid", &parent.to_string()), ("sig", "0")])
            .has(&[("evt.type", "tkill"), ("evt.category", "signal")]);
        nobody
            .is("tkill", &[("res", "-3"), ("tid", &i32::MAX.to_string()), ("sig", "15")])
            .has(&[("evt.res", "ESRCH"), ("evt.arg[2]", "SIGTERM")]);
    }

    fn tgkill(stage: &mut dyn Stage) {
        let parent = id();
        let seen = stage.observe(&|| {
            syscall!(SYS_tgkill, parent, parent, 0);
            syscall!(SYS_tgkill, parent, i32::MAX, libc::SIGTERM);
        });
        let [sent, nobody] = seen.as_slice() else { panic!("{seen:?}") };
        let pid = parent.to_string();
        sent.is("tgkill", &[("res", "0"), ("pid", &pid), ("tid", &pid), ("sig", "0")])
            .has(&[("evt.type", "tgkill"), ("evt.category", "signal")]);
        nobody
            .is("tgkill", &[("res", "-3"), ("pid", &pid), ("tid", &i32::MAX.to_string()), ("sig", "15")])
            .has(&[("evt.res", "ESRCH"), ("evt.arg[3]", "SIGTERM")]);
    }
}

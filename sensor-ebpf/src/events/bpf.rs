//! bpf(2), userfaultfd(2), `perf_event_open`(2), seccomp(2): calls that look into the kernel and into processes.

use super::flags::{FILE_FLAGS, Flags};
use super::plain::{Plain, PlainFd};
use super::{Arg, Param, ParamType as T, params};
use crate::{calls, calls_of_fd};

calls_of_fd! {
    Bpf, bpf, "bpf", Other, makes b'b', BPF;
    Userfaultfd, userfaultfd, "userfaultfd", File, makes b'u', USERFAULTFD;
    PerfEventOpen, perf_event_open, "perf_event_open", Other, makes b'o', PERF;
}

calls! {
    Seccomp, seccomp, "seccomp", Other, None, SECCOMP;
}

const SECCOMP: &[Param] = params! {
    "res": T::Errno, |r, b: &Plain| Arg::Int(b.ret);
    "op": T::Dec(64), |r, b: &Plain| b.uint(0);
    "flags": T::Hex(64), |r, b: &Plain| b.uint(1);
};

// Falco has its name alone.
const PERF: &[Param] = params! {
    "fd": T::Fd, |r, b: &PlainFd| Arg::Int(b.call.ret);
    "pid": T::Pid, |r, b: &PlainFd| b.call.int(1);
    "cpu": T::Int(32), |r, b: &PlainFd| b.call.int(2);
    "group_fd": T::Fd, |r, b: &PlainFd| b.call.int(3);
    "flags": T::Hex(64), |r, b: &PlainFd| b.call.word(4);
};

// Most commands make no descriptor, and return something else.
const BPF: &[Param] = params! {
    "fd": T::Fd, |r, b: &PlainFd| Arg::Int(b.call.ret);
    "cmd": T::Enum(32, BPF_COMMANDS), |r, b: &PlainFd| b.call.uint(0);
};

const USERFAULTFD: &[Param] = params! {
    "res": T::Errno, |r, b: &PlainFd| Arg::Int(b.call.ret);
    "flags": T::Flags(32, FILE_FLAGS), |r, b: &PlainFd| Arg::Uint(falco_flags(b.call.low(0)).into());
};

/// Falco's bits of `O_NONBLOCK` and `O_CLOEXEC`.
fn falco_flags(linux: u32) -> u32 {
    let bit = |linux_bit, falco| if linux & linux_bit != 0 { falco } else { 0 };
    bit(0o4000, 64) | bit(0o2_000_000, 4096)
}

/// Falco's names of commands, by Linux's numbers. Of two for one number the first is printed, as there.
static BPF_COMMANDS: &Flags = &[
    ("BPF_MAP_CREATE", 0),
    ("BPF_MAP_LOOKUP_ELEM", 1),
    ("BPF_MAP_UPDATE_ELEM", 2),
    ("BPF_MAP_DELETE_ELEM", 3),
    ("BPF_MAP_GET_NEXT_KEY", 4),
    ("BPF_PROG_LOAD", 5),
    ("BPF_OBJ_PIN", 6),
    ("BPF_OBJ_GET", 7),
    ("BPF_PROG_ATTACH", 8),
    ("BPF_PROG_DETACH", 9),
    ("BPF_PROG_TEST_RUN", 10),
    ("BPF_PROG_RUN", 10),
    ("BPF_PROG_GET_NEXT_ID", 11),
    ("BPF_MAP_GET_NEXT_ID", 12),
    ("BPF_PROG_GET_FD_BY_ID", 13),
    ("BPF_MAP_GET_FD_BY_ID", 14),
    ("BPF_OBJ_GET_INFO_BY_FD", 15),
    ("BPF_PROG_QUERY", 16),
    ("BPF_RAW_TRACEPOINT_OPEN", 17),
    ("BPF_BTF_LOAD", 18),
    ("BPF_BTF_GET_FD_BY_ID", 19),
    ("BPF_TASK_FD_QUERY", 20),
    ("BPF_MAP_LOOKUP_AND_DELETE_ELEM", 21),
    ("BPF_MAP_FREEZE", 22),
    ("BPF_BTF_GET_NEXT_ID", 23),
    ("BPF_MAP_LOOKUP_BATCH", 24),
    ("BPF_MAP_LOOKUP_AND_DELETE_BATCH", 25),
    ("BPF_MAP_UPDATE_BATCH", 26),
    ("BPF_MAP_DELETE_BATCH", 27),
    ("BPF_LINK_CREATE", 28),
    ("BPF_LINK_UPDATE", 29),
    ("BPF_LINK_GET_FD_BY_ID", 30),
    ("BPF_LINK_GET_NEXT_ID", 31),
    ("BPF_ENABLE_STATS", 32),
    ("BPF_ITER_CREATE", 33),
    ("BPF_LINK_DETACH", 34),
    ("BPF_PROG_BIND_MAP", 35),
];

#[cfg(feature = "testing")]
mod scenarios {
    use super::{Bpf, PerfEventOpen, Seccomp, Userfaultfd};
    use crate::syscall;
    use crate::testing::{Scenario, Stage};

    impl Bpf {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "a map, and a refused command", play: bpf }];
    }

    impl Userfaultfd {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "a descriptor, and wrong flags", play: userfaultfd }];
    }

    impl PerfEventOpen {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "whom it was to watch", play: perf }];
    }

    impl Seccomp {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "an operation that is there, and one that is not", play: seccomp }];
    }

    fn perf(stage: &mut dyn Stage) {
        let attr = [0_u64; 16];
        let seen = stage.one(&|| {
            syscall!(SYS_perf_event_open, attr.as_ptr(), -1, -1, 9999, 8);
        });
        let args = [("pid", "-1"), ("cpu", "-1"), ("group_fd", "9999"), ("flags", "8")];
        seen.is("perf_event_open", &[&[("fd", seen.arg("fd"))], args.as_slice()].concat())
            .has(&[("evt.type", "perf_event_open"), ("evt.category", "other"), ("evt.failed", "true")])
            .has(&[("fd.num", "-1")]);
    }

    fn seccomp(stage: &mut dyn Stage) {
        let action = 0x7fff_0000_u32;
        let seen = stage.observe(&|| {
            // SECCOMP_GET_ACTION_AVAIL.
            syscall!(SYS_seccomp, 2, 0, core::ptr::from_ref(&action));
            syscall!(SYS_seccomp, 99, 1, 0);
        });
        let [asked, failed] = seen.as_slice() else { panic!("{seen:?}") };
        asked
            .is("seccomp", &[("res", "0"), ("op", "2"), ("flags", "0")])
            .has(&[("evt.type", "seccomp"), ("evt.category", "other")])
            .lacks(&["fd.num"]);
        failed.is("seccomp", &[("res", "-22"), ("op", "99"), ("flags", "1")]).has(&[("evt.res", "EINVAL")]);
    }

    fn bpf(stage: &mut dyn Stage) {
        // `union bpf_attr` of an array of one word.
        let attr = [2_u32, 4, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let seen = stage.observe(&|| {
            syscall!(SYS_bpf, 0, attr.as_ptr(), size_of_val(&attr));
            syscall!(SYS_bpf, 5, attr.as_ptr(), 1 << 20);
        });
        let [made, failed] = seen.as_slice() else { panic!("{seen:?}") };
        let fd = made.arg("fd");
        made.is("bpf", &[("fd", fd), ("cmd", "0")])
            .has(&[("evt.type", "bpf"), ("evt.category", "other"), ("evt.res", "SUCCESS")])
            .has(&[("evt.arg[1]", "BPF_MAP_CREATE"), ("fd.num", fd), ("fd.typechar", "b")]);
        failed.is("bpf", &[("fd", "-7"), ("cmd", "5")]).has(&[
            ("evt.res", "E2BIG"),
            ("evt.arg[1]", "BPF_PROG_LOAD"),
            ("fd.num", "-1"),
        ]);
    }

    fn userfaultfd(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            syscall!(SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK);
            syscall!(SYS_userfaultfd, 0x10);
        });
        let [made, failed] = seen.as_slice() else { panic!("{seen:?}") };
        let fd = made.arg("res");
        if fd == "-38" {
            return stage.skip("this kernel has no userfaultfd");
        }
        made.is("userfaultfd", &[("res", fd), ("flags", "4160")])
            .has(&[("evt.type", "userfaultfd"), ("evt.category", "file"), ("evt.res", "SUCCESS")])
            .has(&[("evt.arg[1]", "O_NONBLOCK|O_CLOEXEC"), ("fd.num", fd), ("fd.typechar", "u")]);
        failed.is("userfaultfd", &[("res", "-22"), ("flags", "0")]).has(&[("evt.res", "EINVAL")]);
    }
}

//! `io_uring_setup`(2), `io_uring_enter`(2), `io_uring_register`(2).

use super::flags::Flags;
use super::plain::PlainFd;
use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, Role, View,
    Volume, params,
};
use crate::record::{Fd, Pod as _};
use crate::{calls_of_fd, record};

calls_of_fd! {
    IoUringRegister, io_uring_register, "io_uring_register", OfDescriptor, uses 0 as b'o', REGISTER;
}

record! {
    /// A finished `io_uring_setup`.
    pub struct RingMade {
        /// The descriptor, or a negative errno.
        pub ret: i64,
        pub file: Fd,
        pub entries: u32,
        /// Of `struct io_uring_params`, which the kernel has filled in if the call succeeded.
        pub sq_entries: u32,
        pub cq_entries: u32,
        /// `IORING_SETUP_*`.
        pub flags: u32,
        pub sq_thread_cpu: u32,
        pub sq_thread_idle: u32,
        /// `IORING_FEAT_*`.
        pub features: u32,
        pub reserved: u32,
    }
}

record! {
    /// A finished `io_uring_enter`.
    pub struct RingEntered {
        pub ret: i64,
        pub file: Fd,
        pub fd: i32,
        pub to_submit: u32,
        pub min_complete: u32,
        /// `IORING_ENTER_*`.
        pub flags: u32,
        /// The first 32 of the signals that are held back meanwhile.
        pub signals: u32,
        pub reserved: u32,
    }
}

/// `io_uring_enter`(2).
pub struct IoUringEnter;
/// `io_uring_setup`(2).
pub struct IoUringSetup;

impl IoUringSetup {
    pub const EVENT: Info = Info {
        layout: RingMade::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name: "io_uring_setup",
            codes: Codes::Exit,
            category: Category::OfDescriptor,
            params: SETUP,
            fd: Some(Descriptor {
                view: |r| r.body().map(|b: &RingMade| FdView::of(r, b.ret.max(-1), &b.file)),
                is: Is::Subject,
                otherwise: b'r',
                role: Role::Unknown,
            }),
            io: None,
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    };
}

impl IoUringEnter {
    pub const EVENT: Info = Info {
        layout: RingEntered::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name: "io_uring_enter",
            codes: Codes::Exit,
            category: Category::OfDescriptor,
            params: ENTER,
            fd: Some(Descriptor {
                view: |r| r.body().map(|b: &RingEntered| FdView::of(r, b.fd.into(), &b.file)),
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

const SETUP: &[Param] = params! {
    "res": T::Errno, |r, b: &RingMade| Arg::Int(b.ret);
    "entries": T::Dec(32), |r, b: &RingMade| Arg::Uint(b.entries.into());
    "sq_entries": T::Dec(32), |r, b: &RingMade| Arg::Uint(b.sq_entries.into());
    "cq_entries": T::Dec(32), |r, b: &RingMade| Arg::Uint(b.cq_entries.into());
    "flags": T::Flags(32, SETUP_FLAGS), |r, b: &RingMade| Arg::Uint(falco_setup_flags(b.flags).into());
    "sq_thread_cpu": T::Dec(32), |r, b: &RingMade| Arg::Uint(b.sq_thread_cpu.into());
    "sq_thread_idle": T::Dec(32), |r, b: &RingMade| Arg::Uint(b.sq_thread_idle.into());
    "features": T::Flags(32, FEATURES), |r, b: &RingMade| Arg::Uint((b.features & KNOWN_FEATURES).into());
};

const ENTER: &[Param] = params! {
    "res": T::Errno, |r, b: &RingEntered| Arg::Int(b.ret);
    "fd": T::Fd, |r, b: &RingEntered| Arg::Int(b.fd.into());
    "to_submit": T::Dec(32), |r, b: &RingEntered| Arg::Uint(b.to_submit.into());
    "min_complete": T::Dec(32), |r, b: &RingEntered| Arg::Uint(b.min_complete.into());
    "flags": T::Flags(32, ENTER_FLAGS), |r, b: &RingEntered| Arg::Uint(b.flags.into());
    "sig": T::SigSet, |r, b: &RingEntered| Arg::Uint(b.signals.into());
};

const REGISTER: &[Param] = params! {
    "res": T::Errno, |r, b: &PlainFd| Arg::Int(b.call.ret);
    "fd": T::Fd, |r, b: &PlainFd| b.call.int(0);
    "opcode": T::Enum(16, OPCODES), |r, b: &PlainFd| b.call.uint(1);
    "arg": T::Hex(64), |r, b: &PlainFd| b.call.word(2);
    "nr_args": T::Dec(32), |r, b: &PlainFd| b.call.uint(3);
};

/// Falco's bits: those of Linux, with one of its own after the second.
fn falco_setup_flags(linux: u32) -> u32 {
    (linux & 3) | ((linux & 0x7c) << 1)
}

static SETUP_FLAGS: &Flags = &[
    ("IORING_SETUP_IOPOLL", 1),
    ("IORING_SETUP_SQPOLL", 2),
    ("IORING_SQ_NEED_WAKEUP", 4),
    ("IORING_SETUP_SQ_AFF", 8),
    ("IORING_SETUP_CQSIZE", 16),
    ("IORING_SETUP_CLAMP", 32),
    ("IORING_SETUP_ATTACH_RW", 64),
    ("IORING_SETUP_R_DISABLED", 128),
];

/// Features that Falco has names for; their bits are Linux's.
const KNOWN_FEATURES: u32 = 0x7ff;

static FEATURES: &Flags = &[
    ("IORING_FEAT_SINGLE_MMAP", 1),
    ("IORING_FEAT_NODROP", 2),
    ("IORING_FEAT_SUBMIT_STABLE", 4),
    ("IORING_FEAT_RW_CUR_POS", 8),
    ("IORING_FEAT_CUR_PERSONALITY", 16),
    ("IORING_FEAT_FAST_POLL", 32),
    ("IORING_FEAT_POLL_32BITS", 64),
    ("IORING_FEAT_SQPOLL_NONFIXED", 128),
    ("IORING_FEAT_ENTER_EXT_ARG", 256),
    ("IORING_FEAT_NATIVE_WORKERS", 512),
    ("IORING_FEAT_RSRC_TAGS", 1024),
];

/// Falco's bits are Linux's.
static ENTER_FLAGS: &Flags = &[
    ("IORING_ENTER_GETEVENTS", 1),
    ("IORING_ENTER_SQ_WAKEUP", 2),
    ("IORING_ENTER_SQ_WAIT", 4),
    ("IORING_ENTER_EXT_ARG", 8),
];

/// By Linux's numbers.
static OPCODES: &Flags = &[
    ("IORING_REGISTER_BUFFERS", 0),
    ("IORING_UNREGISTER_BUFFERS", 1),
    ("IORING_REGISTER_FILES", 2),
    ("IORING_UNREGISTER_FILES", 3),
    ("IORING_REGISTER_EVENTFD", 4),
    ("IORING_UNREGISTER_EVENTFD", 5),
    ("IORING_REGISTER_FILES_UPDATE", 6),
    ("IORING_REGISTER_EVENTFD_ASYNC", 7),
    ("IORING_REGISTER_PROBE", 8),
    ("IORING_REGISTER_PERSONALITY", 9),
    ("IORING_UNREGISTER_PERSONALITY", 10),
    ("IORING_REGISTER_RESTRICTIONS", 11),
    ("IORING_REGISTER_ENABLE_RINGS", 12),
    ("IORING_REGISTER_FILES2", 13),
    ("IORING_REGISTER_FILES_UPDATE2", 14),
    ("IORING_REGISTER_BUFFERS2", 15),
    ("IORING_REGISTER_BUFFERS_UPDATE", 16),
    ("IORING_REGISTER_IOWQ_AFF", 17),
    ("IORING_UNREGISTER_IOWQ_AFF", 18),
    ("IORING_REGISTER_IOWQ_MAX_WORKERS", 19),
    ("IORING_REGISTER_RING_FDS", 20),
    ("IORING_UNREGISTER_RING_FDS", 21),
];

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::{RingEntered, RingMade};
    use crate::events::{Kind, plain};
    use crate::kernel::{Exit, Writer};

    #[inline(always)]
    pub fn io_uring_setup(exit: &Exit) {
        let Some(mut w) = Writer::new::<RingMade>(Kind::IoUringSetup) else { return };
        let body = w.body::<RingMade>();
        body.ret = exit.ret;
        plain::describe(&mut w, exit, exit.ret as i32, b'r', &mut body.file);
        body.entries = exit.arg(0) as u32;
        let params = exit.arg(1);
        let word = |n: u64| exit.read::<u32>(params.wrapping_add(4 * n)).unwrap_or(0);
        body.sq_entries = word(0);
        body.cq_entries = word(1);
        body.flags = word(2);
        body.sq_thread_cpu = word(3);
        body.sq_thread_idle = word(4);
        body.features = word(5);
        body.reserved = 0;
        w.submit(Kind::IoUringSetup);
    }

    #[inline(always)]
    pub fn io_uring_enter(exit: &Exit) {
        /// The argument is a structure instead, which begins with a pointer to the set.
        const EXT_ARG: u64 = 8;
        let Some(mut w) = Writer::new::<RingEntered>(Kind::IoUringEnter) else { return };
        let body = w.body::<RingEntered>();
        body.ret = exit.ret;
        body.fd = exit.arg(0) as i32;
        plain::describe(&mut w, exit, exit.arg(0) as i32, b'r', &mut body.file);
        body.to_submit = exit.arg(1) as u32;
        body.min_complete = exit.arg(2) as u32;
        body.flags = exit.arg(3) as u32;
        let set =
            if exit.arg(3) & EXT_ARG == 0 { exit.arg(4) } else { exit.read::<u64>(exit.arg(4)).unwrap_or(0) };
        body.signals = exit.read::<u32>(set).unwrap_or(0);
        body.reserved = 0;
        w.submit(Kind::IoUringEnter);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{io_uring_enter, io_uring_setup};

#[cfg(feature = "testing")]
mod scenarios {
    use super::{IoUringEnter, IoUringRegister, IoUringSetup};
    use crate::syscall;
    use crate::testing::{Scenario, Stage};

    impl IoUringSetup {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "a ring as the kernel made it, and none", play: setup }];
    }

    impl IoUringEnter {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "a look at a descriptor that is no ring", play: enter }];
    }

    impl IoUringRegister {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "an operation on a descriptor that is no ring", play: register }];
    }

    fn setup(stage: &mut dyn Stage) {
        // `struct io_uring_params`, with IORING_SETUP_CLAMP.
        let mut params = [0_u32; 30];
        params[2] = 16;
        let seen = stage.observe(&|| {
            syscall!(SYS_io_uring_setup, 3, params.as_ptr());
            syscall!(SYS_io_uring_setup, 0, params.as_ptr());
        });
        let [made, failed] = seen.as_slice() else { panic!("{seen:?}") };
        let fd = made.arg("res");
        if fd.starts_with('-') {
            return stage.skip("this process may make no ring");
        }
        assert_eq!((made.arg("entries"), made.arg("sq_entries"), made.arg("cq_entries")), ("3", "4", "8"));
        assert_eq!(
            (made.arg("flags"), made.arg("sq_thread_cpu"), made.arg("sq_thread_idle")),
            ("32", "0", "0")
        );
        assert!(
            made.fields["evt.arg[7]"].starts_with("IORING_FEAT_SINGLE_MMAP|IORING_FEAT_NODROP"),
            "{made:?}"
        );
        made.has(&[
            ("evt.type", "io_uring_setup"),
            ("evt.res", "SUCCESS"),
            ("evt.arg[4]", "IORING_SETUP_CLAMP"),
        ])
        .has(&[("fd.num", fd), ("fd.typechar", "r")]);
        failed.has(&[("evt.res", "EINVAL"), ("fd.num", "-1"), ("fd.typechar", "r")]);
        assert_eq!((failed.arg("res"), failed.arg("entries")), ("-22", "0"));
    }

    fn enter(stage: &mut dyn Stage) {
        let set = 5_u64;
        let seen = stage.one(&|| {
            syscall!(SYS_io_uring_enter, 9999, 1, 2, 1, core::ptr::from_ref(&set), 8);
        });
        let args = [("fd", "9999"), ("to_submit", "1"), ("min_complete", "2"), ("flags", "1"), ("sig", "5")];
        seen.is("io_uring_enter", &[&[("res", seen.arg("res"))], args.as_slice()].concat())
            .has(&[("evt.type", "io_uring_enter"), ("evt.failed", "true"), ("fd.num", "9999")])
            .has(&[("evt.arg[4]", "IORING_ENTER_GETEVENTS")]);
    }

    fn register(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_io_uring_register, 9999, 9, 16, 1);
        });
        let args = [("fd", "9999"), ("opcode", "9"), ("arg", "16"), ("nr_args", "1")];
        seen.is("io_uring_register", &[&[("res", seen.arg("res"))], args.as_slice()].concat())
            .has(&[("evt.type", "io_uring_register"), ("evt.failed", "true"), ("fd.num", "9999")])
            .has(&[("evt.arg[2]", "IORING_REGISTER_PERSONALITY")]);
    }
}

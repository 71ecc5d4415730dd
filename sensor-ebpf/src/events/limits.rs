//! getrlimit(2), setrlimit(2), prlimit64(2): what a process may use.

use super::flags::Flags;
use super::{Arg, Category, Codes, Info, Lane, Looks, Param, ParamType as T, View, Volume, params};
use crate::record;
use crate::record::Pod as _;

record! {
    /// A finished call about limits; -1 is none, also where the call has none to tell.
    pub struct Limited {
        pub ret: i64,
        /// The limit that is set, or read by getrlimit.
        pub current: i64,
        pub max: i64,
        /// The limit of before, which prlimit64 tells.
        pub old_current: i64,
        pub old_max: i64,
        /// Whose, for prlimit64; 0: the caller's.
        pub pid: i32,
        /// `RLIMIT_*`.
        pub resource: u32,
    }
}

/// getrlimit(2).
pub struct Getrlimit;
/// setrlimit(2).
pub struct Setrlimit;
/// prlimit64(2).
pub struct Prlimit;

impl Getrlimit {
    pub const EVENT: Info = event("getrlimit", ONE);
}

impl Setrlimit {
    pub const EVENT: Info = event("setrlimit", ONE);
}

impl Prlimit {
    pub const EVENT: Info = event("prlimit", BOTH);
}

const fn event(name: &'static str, params: &'static [Param]) -> Info {
    Info {
        layout: Limited::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name,
            codes: Codes::Exit,
            category: Category::Process,
            params,
            fd: None,
            io: None,
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    }
}

const ONE: &[Param] = params! {
    "res": T::Errno, |r, b: &Limited| Arg::Int(b.ret);
    "cur": T::Int(64), |r, b: &Limited| Arg::Int(b.current);
    "max": T::Int(64), |r, b: &Limited| Arg::Int(b.max);
    "resource": T::Enum(8, RESOURCES), |r, b: &Limited| Arg::Uint(falco_resource(b.resource).into());
};

const BOTH: &[Param] = params! {
    "res": T::Errno, |r, b: &Limited| Arg::Int(b.ret);
    "newcur": T::Int(64), |r, b: &Limited| Arg::Int(b.current);
    "newmax": T::Int(64), |r, b: &Limited| Arg::Int(b.max);
    "oldcur": T::Int(64), |r, b: &Limited| Arg::Int(b.old_current);
    "oldmax": T::Int(64), |r, b: &Limited| Arg::Int(b.old_max);
    "pid": T::Int(64), |r, b: &Limited| Arg::Int(b.pid.into());
    "resource": T::Enum(8, RESOURCES), |r, b: &Limited| Arg::Uint(falco_resource(b.resource).into());
};

/// Falco's number of a resource: Linux's, or `RLIMIT_UNKNOWN`.
fn falco_resource(linux: u32) -> u32 {
    if linux <= 15 { linux } else { 255 }
}

static RESOURCES: &Flags = &[
    ("RLIMIT_UNKNOWN", 255),
    ("RLIMIT_RTTIME", 15),
    ("RLIMIT_RTPRIO", 14),
    ("RLIMIT_NICE", 13),
    ("RLIMIT_MSGQUEUE", 12),
    ("RLIMIT_SIGPENDING", 11),
    ("RLIMIT_LOCKS", 10),
    ("RLIMIT_AS", 9),
    ("RLIMIT_MEMLOCK", 8),
    ("RLIMIT_NOFILE", 7),
    ("RLIMIT_NPROC", 6),
    ("RLIMIT_RSS", 5),
    ("RLIMIT_CORE", 4),
    ("RLIMIT_STACK", 3),
    ("RLIMIT_DATA", 2),
    ("RLIMIT_FSIZE", 1),
    ("RLIMIT_CPU", 0),
];

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Limited;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, read};

    /// The two words of a `struct rlimit`, whose words are the caller's.
    #[inline(always)]
    fn limit(exit: &Exit, ptr: u64) -> (i64, i64) {
        let word = |n| match read::user_word(ptr, n, exit.compat) {
            // The caller's way to say that there is none.
            Some(0xffff_ffff) if exit.compat => -1,
            Some(limit) => limit as i64,
            None => -1,
        };
        (word(0), word(1))
    }

    #[inline(always)]
    fn record(exit: &Exit, kind: Kind) {
        let Some(mut w) = Writer::new::<Limited>(kind) else { return };
        let body = w.body::<Limited>();
        body.ret = exit.ret;
        body.resource = exit.arg(0) as u32;
        body.pid = 0;
        (body.current, body.max) = limit(exit, exit.arg(1));
        (body.old_current, body.old_max) = (-1, -1);
        w.submit(kind);
    }

    #[inline(always)]
    pub fn getrlimit(exit: &Exit) {
        record(exit, Kind::Getrlimit);
    }

    #[inline(always)]
    pub fn setrlimit(exit: &Exit) {
        record(exit, Kind::Setrlimit);
    }

    #[inline(always)]
    pub fn prlimit(exit: &Exit) {
        let Some(mut w) = Writer::new::<Limited>(Kind::Prlimit) else { return };
        let body = w.body::<Limited>();
        body.ret = exit.ret;
        body.pid = exit.arg(0) as i32;
        body.resource = exit.arg(1) as u32;
        // Words of 64 bits for every caller. What is not passed cannot be read.
        let word = |ptr: u64, n: u64| exit.read::<i64>(ptr.wrapping_add(8 * n)).unwrap_or(-1);
        (body.current, body.max) = (word(exit.arg(2), 0), word(exit.arg(2), 1));
        (body.old_current, body.old_max) = (-1, -1);
        if exit.ret == 0 {
            (body.old_current, body.old_max) = (word(exit.arg(3), 0), word(exit.arg(3), 1));
        }
        w.submit(Kind::Prlimit);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{getrlimit, prlimit, setrlimit};

#[cfg(feature = "testing")]
mod scenarios {
    use super::{Getrlimit, Prlimit, Setrlimit};
    use crate::syscall;
    use crate::testing::{Scenario, Stage};

    impl Getrlimit {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "the limit, and no such resource", play: getrlimit }];
    }

    impl Setrlimit {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "the new limit, and no such resource", play: setrlimit }];
    }

    impl Prlimit {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "the new limit and the old one", play: prlimit }];
    }

    fn getrlimit(stage: &mut dyn Stage) {
        let (set, got) = ([3_u64, 5], [0_u64; 2]);
        let seen = stage.observe(&|| {
            syscall!(SYS_setrlimit, libc::RLIMIT_CORE, set.as_ptr());
            syscall!(SYS_getrlimit, libc::RLIMIT_CORE, got.as_ptr());
            syscall!(SYS_getrlimit, 99, 0);
        });
        let [_, got, failed] = seen.as_slice() else { panic!("{seen:?}") };
        got.is("getrlimit", &[("res", "0"), ("cur", "3"), ("max", "5"), ("resource", "4")])
            .has(&[("evt.type", "getrlimit"), ("evt.category", "process"), ("evt.arg[3]", "RLIMIT_CORE")])
            .lacks(&["fd.num"]);
        failed
            .is("getrlimit", &[("res", "-22"), ("cur", "-1"), ("max", "-1"), ("resource", "255")])
            .has(&[("evt.res", "EINVAL")]);
    }

    fn setrlimit(stage: &mut dyn Stage) {
        let (set, wrong) = ([7_u64, u64::MAX], [9_u64, 8]);
        let seen = stage.observe(&|| {
            syscall!(SYS_setrlimit, libc::RLIMIT_CORE, set.as_ptr());
            syscall!(SYS_setrlimit, libc::RLIMIT_CORE, wrong.as_ptr());
        });
        let [set, failed] = seen.as_slice() else { panic!("{seen:?}") };
        set.is("setrlimit", &[("res", set.arg("res")), ("cur", "7"), ("max", "-1"), ("resource", "4")])
            .has(&[("evt.type", "setrlimit"), ("evt.category", "process"), ("evt.arg[3]", "RLIMIT_CORE")]);
        failed
            .is("setrlimit", &[("res", "-22"), ("cur", "9"), ("max", "8"), ("resource", "4")])
            .has(&[("evt.res", "EINVAL")]);
    }

    fn prlimit(stage: &mut dyn Stage) {
        let (first, second, old) = ([3_u64, 5], [2_u64, 4], [0_u64; 2]);
        let seen = stage.observe(&|| {
            syscall!(SYS_prlimit64, 0, libc::RLIMIT_CORE, first.as_ptr(), 0);
            syscall!(SYS_prlimit64, 0, libc::RLIMIT_CORE, second.as_ptr(), old.as_ptr());
            syscall!(SYS_prlimit64, i32::MAX, libc::RLIMIT_CORE, 0, 0);
        });
        let [_, set, failed] = seen.as_slice() else { panic!("{seen:?}") };
        let limits = [("newcur", "2"), ("newmax", "4"), ("oldcur", "3"), ("oldmax", "5")];
        set.is("prlimit", &[&[("res", "0")], limits.as_slice(), &[("pid", "0"), ("resource", "4")]].concat())
            .has(&[("evt.type", "prlimit"), ("evt.category", "process"), ("evt.arg[6]", "RLIMIT_CORE")]);
        assert_eq!((failed.arg("res"), failed.arg("newcur"), failed.arg("oldmax")), ("-3", "-1", "-1"));
        failed.has(&[("evt.res", "ESRCH")]);
    }
}

//! getuid(2) and its kin: a process that asks who it is.

use super::plain::{self, Plain};
use super::{Arg, Category, Info, Param, ParamType as T, Volume, params};
use crate::record::Pod as _;
use crate::{calls, record};

calls! {
    Getuid, getuid, "getuid", User, None, GETUID;
    Geteuid, geteuid, "geteuid", User, None, GETEUID;
    Getgid, getgid, "getgid", User, None, GETGID;
    Getegid, getegid, "getegid", User, None, GETEGID;
}

record! {
    /// A finished getresuid or getresgid.
    pub struct Identity {
        pub ret: i64,
        /// What the call wrote for the caller; the highest number where it failed.
        pub real: u32,
        pub effective: u32,
        pub saved: u32,
        pub reserved: u32,
    }
}

/// getresuid(2).
pub struct Getresuid;
/// getresgid(2).
pub struct Getresgid;

impl Getresuid {
    pub const EVENT: Info = event("getresuid", GETRESUID);
}

impl Getresgid {
    pub const EVENT: Info = event("getresgid", GETRESGID);
}

const fn event(name: &'static str, params: &'static [Param]) -> Info {
    Info { layout: Identity::LAYOUT, ..plain::event(name, Category::User, None, params, Volume::Normal) }
}

/// An id that came back.
fn id(call: &Plain) -> Arg<'static> {
    Arg::Uint(call.ret.cast_unsigned() & u64::from(u32::MAX))
}

const GETUID: &[Param] = params! {
    "uid": T::Uid, |r, b: &Plain| id(b);
};

const GETEUID: &[Param] = params! {
    "euid": T::Uid, |r, b: &Plain| id(b);
};

const GETGID: &[Param] = params! {
    "gid": T::Gid, |r, b: &Plain| id(b);
};

const GETEGID: &[Param] = params! {
    "egid": T::Gid, |r, b: &Plain| id(b);
};

const GETRESUID: &[Param] = params! {
    "res": T::Errno, |r, b: &Identity| Arg::Int(b.ret);
    "ruid": T::Uid, |r, b: &Identity| Arg::Uint(b.real.into());
    "euid": T::Uid, |r, b: &Identity| Arg::Uint(b.effective.into());
    "suid": T::Uid, |r, b: &Identity| Arg::Uint(b.saved.into());
};

const GETRESGID: &[Param] = params! {
    "res": T::Errno, |r, b: &Identity| Arg::Int(b.ret);
    "rgid": T::Gid, |r, b: &Identity| Arg::Uint(b.real.into());
    "egid": T::Gid, |r, b: &Identity| Arg::Uint(b.effective.into());
    "sgid": T::Gid, |r, b: &Identity| Arg::Uint(b.saved.into());
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Identity;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer};

    /// Numbers of i386 for the calls that write ids of half a word.
    const GETRESUID16: u64 = 165;
    const GETRESGID16: u64 = 171;

    #[inline(always)]
    fn record(exit: &Exit, kind: Kind) {
        let Some(mut w) = Writer::new::<Identity>(kind) else { return };
        let body = w.body::<Identity>();
        body.ret = exit.ret;
        let short = exit.compat && (exit.nr == GETRESUID16 || exit.nr == GETRESGID16);
        let id = |n| {
            let id = match exit.read::<u32>(exit.arg(n)) {
                Some(id) if exit.ret == 0 => id,
                _ => return u32::MAX,
            };
            if short { id & 0xffff } else { id }
        };
        body.real = id(0);
        body.effective = id(1);
        body.saved = id(2);
        body.reserved = 0;
        w.submit(kind);
    }

    #[inline(always)]
    pub fn getresuid(exit: &Exit) {
        record(exit, Kind::Getresuid);
    }

    #[inline(always)]
    pub fn getresgid(exit: &Exit) {
        record(exit, Kind::Getresgid);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{getresgid, getresuid};

#[cfg(feature = "testing")]
mod scenarios {
    use super::{Getegid, Geteuid, Getgid, Getresgid, Getresuid, Getuid};
    use crate::syscall;
    use crate::testing::{Scenario, Stage};

    impl Getuid {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "the real id", play: ids }];
    }

    impl Geteuid {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "the effective id", play: ids }];
    }

    impl Getgid {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "the real id", play: ids }];
    }

    impl Getegid {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "the effective id", play: ids }];
    }

    impl Getresuid {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "all three ids, and none", play: three_users }];
    }

    impl Getresgid {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "all three ids, and none", play: three_groups }];
    }

    fn ids(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            syscall!(SYS_setresgid, 11, 12, 13);
            syscall!(SYS_setresuid, 21, 22, 23);
            syscall!(SYS_getuid);
            syscall!(SYS_geteuid);
            syscall!(SYS_getgid);
            syscall!(SYS_getegid);
        });
        let [_, _, uid, euid, gid, egid] = seen.as_slice() else { panic!("{seen:?}") };
        uid.is("getuid", &[("uid", "21")])
            .has(&[("evt.type", "getuid"), ("evt.category", "user"), ("user.uid", "22")])
            .lacks(&["evt.res", "fd.num"]);
        euid.is("geteuid", &[("euid", "22")]).has(&[("evt.type", "geteuid"), ("evt.category", "user")]);
        gid.is("getgid", &[("gid", "11")]).has(&[("evt.type", "getgid"), ("group.gid", "12")]);
        egid.is("getegid", &[("egid", "12")]).has(&[("evt.type", "getegid"), ("evt.category", "user")]);
    }

    fn three_users(stage: &mut dyn Stage) {
        let ids = [0_u32; 3];
        let at = |n: usize| core::ptr::from_ref(&ids[n]);
        let seen = stage.observe(&|| {
            syscall!(SYS_setresuid, 21, 22, 23);
            syscall!(SYS_getresuid, at(0), at(1), at(2));
            syscall!(SYS_getresuid, 1, 1, 1);
        });
        let [_, got, failed] = seen.as_slice() else { panic!("{seen:?}") };
        got.is("getresuid", &[("res", "0"), ("ruid", "21"), ("euid", "22"), ("suid", "23")]).has(&[
            ("evt.type", "getresuid"),
            ("evt.category", "user"),
            ("evt.res", "SUCCESS"),
        ]);
        failed.has(&[("evt.res", "EFAULT"), ("evt.arg[1]", "<NONE>")]);
    }

    fn three_groups(stage: &mut dyn Stage) {
        let ids = [0_u32; 3];
        let at = |n: usize| core::ptr::from_ref(&ids[n]);
        let seen = stage.observe(&|| {
            syscall!(SYS_setresgid, 21, 22, 23);
            syscall!(SYS_getresgid, at(0), at(1), at(2));
            syscall!(SYS_getresgid, 1, 1, 1);
        });
        let [_, got, failed] = seen.as_slice() else { panic!("{seen:?}") };
        got.is("getresgid", &[("res", "0"), ("rgid", "21"), ("egid", "22"), ("sgid", "23")]).has(&[
            ("evt.type", "getresgid"),
            ("evt.category", "user"),
            ("evt.res", "SUCCESS"),
        ]);
        failed.has(&[("evt.res", "EFAULT"), ("evt.arg[1]", "<NONE>")]);
    }
}

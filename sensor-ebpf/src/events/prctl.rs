//! prctl(2).

use super::flags::Flags;
use super::{Arg, Category, Codes, Info, Lane, Looks, Param, ParamType as T, View, Volume, params};
use crate::record;
use crate::record::{Pod as _, Tail};

record! {
    /// A finished prctl.
    pub struct Controlled {
        pub ret: i64,
        /// The second argument; what it points to for `PR_GET_CHILD_SUBREAPER`, 0 where it is a text.
        pub arg2: i64,
        /// `PR_*`.
        pub option: u32,
        /// The text that the second argument points to, for the options that set or get the thread's name.
        pub text: Tail,
    }
}

/// prctl(2).
pub struct Prctl;

impl Prctl {
    pub const EVENT: Info = Info {
        layout: Controlled::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name: "prctl",
            codes: Codes::Exit,
            category: Category::Process,
            params: PARAMS,
            fd: None,
            io: None,
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    };
}

const PARAMS: &[Param] = params! {
    "res": T::Errno, |r, b: &Controlled| Arg::Int(b.ret);
    "option": T::Enum(32, PRCTL_OPTIONS), |r, b: &Controlled| Arg::Uint(b.option.into());
    "arg2_str": T::CharBuf, |r, b: &Controlled| Arg::Bytes(r.tail(b.text));
    "arg2_int": T::Int(64), |r, b: &Controlled| Arg::Int(b.arg2);
};

/// Falco's names of options, by Linux's numbers.
static PRCTL_OPTIONS: &Flags = &[
    ("PR_GET_DUMPABLE", 3),
    ("PR_SET_DUMPABLE", 4),
    ("PR_GET_KEEPCAPS", 7),
    ("PR_SET_KEEPCAPS", 8),
    ("PR_SET_NAME", 15),
    ("PR_GET_NAME", 16),
    ("PR_GET_SECCOMP", 21),
    ("PR_SET_SECCOMP", 22),
    ("PR_CAPBSET_READ", 23),
    ("PR_CAPBSET_DROP", 24),
    ("PR_GET_SECUREBITS", 27),
    ("PR_SET_SECUREBITS", 28),
    ("PR_MCE_KILL", 33),
    ("PR_SET_MM", 35),
    ("PR_SET_CHILD_SUBREAPER", 36),
    ("PR_GET_CHILD_SUBREAPER", 37),
    ("PR_SET_NO_NEW_PRIVS", 38),
    ("PR_GET_NO_NEW_PRIVS", 39),
    ("PR_GET_TID_ADDRESS", 40),
    ("PR_SET_THP_DISABLE", 41),
    ("PR_GET_THP_DISABLE", 42),
    ("PR_CAP_AMBIENT", 47),
];

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Controlled;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer};
    use crate::record::Tail;

    const PR_SET_NAME: u32 = 15;
    const PR_GET_NAME: u32 = 16;
    const PR_GET_CHILD_SUBREAPER: u32 = 37;

    #[inline(always)]
    pub fn prctl(exit: &Exit) {
        let Some(mut w) = Writer::new::<Controlled>(Kind::Prctl) else { return };
        let body = w.body::<Controlled>();
        let (option, arg2) = (exit.arg(0) as u32, exit.arg(1));
        body.ret = exit.ret;
        body.option = option;
        body.text = Tail::EMPTY;
        body.arg2 = 0;
        if option == PR_SET_NAME || option == PR_GET_NAME {
            body.text = w.argument_str(exit, arg2);
        } else if option == PR_GET_CHILD_SUBREAPER {
            body.arg2 = i64::from(exit.read::<i32>(arg2).unwrap_or(0));
        } else {
            body.arg2 = arg2 as i64;
        }
        w.submit(Kind::Prctl);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::prctl;

#[cfg(feature = "testing")]
mod scenarios {
    use super::Prctl;
    use crate::syscall;
    use crate::testing::{Scenario, Stage};

    impl Prctl {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "a name, which is not that of the program", play: name },
            Scenario { shows: "a number, and a failed one", play: number },
        ];
    }

    fn name(stage: &mut dyn Stage) {
        let before = stage.life(&|| ())[0].with(|record| record.header().comm);
        let seen = stage.one(&|| {
            syscall!(SYS_prctl, libc::PR_SET_NAME, c"kworker/0:1".as_ptr());
        });
        seen.is("prctl", &[("res", "0"), ("option", "15"), ("arg2_str", "kworker/0:1"), ("arg2_int", "0")])
            .has(&[("evt.type", "prctl"), ("evt.category", "process"), ("evt.arg[1]", "PR_SET_NAME")])
            .lacks(&["fd.num"]);
        let now = seen.with(|record| record.header().comm);
        assert_eq!(&now[..12], b"kworker/0:1\0");
        assert_ne!(now, before);
        assert_ne!(seen.fields["proc.name"], "kworker/0:1");
    }

    fn number(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            syscall!(SYS_prctl, libc::PR_SET_DUMPABLE, 0);
            syscall!(SYS_prctl, libc::PR_SET_DUMPABLE, 77);
        });
        let [set, failed] = seen.as_slice() else { panic!("{seen:?}") };
        set.is("prctl", &[("res", "0"), ("option", "4"), ("arg2_str", ""), ("arg2_int", "0")]);
        failed
            .is("prctl", &[("res", "-22"), ("option", "4"), ("arg2_str", ""), ("arg2_int", "77")])
            .has(&[("evt.res", "EINVAL"), ("evt.arg[1]", "PR_SET_DUMPABLE")]);
    }
}

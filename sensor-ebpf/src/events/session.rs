//! setsid(2), setpgid(2).

use super::{Arg, Category, Change, Codes, Info, Lane, Looks, Param, ParamType as T, View, Volume, params};
use crate::record;
use crate::record::{Groups, Pod as _, Record};

record! {
    /// A finished setsid or setpgid.
    pub struct Regrouped {
        /// The new session, 0, or a negative errno.
        pub ret: i64,
        /// Of the caller.
        pub now: Groups,
        /// Arguments of setpgid, as the caller sees processes; 0: the caller, and the process itself.
        pub pid: u32,
        pub pgid: u32,
    }
}

/// setsid(2).
pub struct Setsid;
/// setpgid(2).
pub struct Setpgid;

impl Setsid {
    pub const EVENT: Info = event("setsid", setsid_changes, SETSID);
}

impl Setpgid {
    pub const EVENT: Info = event("setpgid", setpgid_changes, SETPGID);
}

/// The two differ in this.
const fn event(
    name: &'static str,
    changes: for<'a> fn(&Record<'a>) -> Option<Change<'a>>,
    params: &'static [Param],
) -> Info {
    Info {
        layout: Regrouped::LAYOUT,
        lane: Lane::Bulk,
        changes: Some(changes),
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

fn setsid_changes<'a>(r: &Record<'a>) -> Option<Change<'a>> {
    let body: &Regrouped = r.body().filter(|body: &&Regrouped| body.ret >= 0)?;
    Some(Change::Groups(&body.now))
}

/// A shell puts its children into groups, and each child does the same for itself, as neither knows who comes first. In another pid
/// namespace than the initial one only the child's own call tells who it is.
fn setpgid_changes<'a>(r: &Record<'a>) -> Option<Change<'a>> {
    let body: &Regrouped = r.body().filter(|body: &&Regrouped| body.ret == 0)?;
    match (body.pid, body.pgid) {
        (0, _) => Some(Change::Groups(&body.now)),
        (pid, _) if body.now.level == 0 && pid == r.header().tgid => Some(Change::Groups(&body.now)),
        (tgid, 0) if body.now.level == 0 => Some(Change::Grouped { tgid, pgid: tgid }),
        (tgid, pgid) if body.now.level == 0 => Some(Change::Grouped { tgid, pgid }),
        // It may be the caller, who is right in any case.
        _ => Some(Change::Groups(&body.now)),
    }
}

const SETSID: &[Param] = params! {
    "res": T::Pid, |r, b: &Regrouped| Arg::Int(b.ret);
};

const SETPGID: &[Param] = params! {
    "res": T::Errno, |r, b: &Regrouped| Arg::Int(b.ret);
    "pid": T::Pid, |r, b: &Regrouped| Arg::Int(b.pid.cast_signed().into());
    "pgid": T::Pid, |r, b: &Regrouped| Arg::Int(b.pgid.cast_signed().into());
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Regrouped;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, task};

    #[inline(always)]
    fn record(exit: &Exit, kind: Kind, pid: u32, pgid: u32) {
        let Some(mut w) = Writer::new::<Regrouped>(kind) else { return };
        let body = w.body::<Regrouped>();
        body.ret = exit.ret;
        body.now = task::groups(exit.task);
        body.pid = pid;
        body.pgid = pgid;
        w.submit(kind);
    }

    #[inline(always)]
    pub fn setsid(exit: &Exit) {
        record(exit, Kind::Setsid, 0, 0);
    }

    #[inline(always)]
    pub fn setpgid(exit: &Exit) {
        record(exit, Kind::Setpgid, exit.arg(0) as u32, exit.arg(1) as u32);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{setpgid, setsid};

#[cfg(feature = "testing")]
mod scenarios {
    use std::process::id;
    use std::string::ToString as _;

    use super::{Setpgid, Setsid};
    use crate::events::Change;
    use crate::syscall;
    use crate::testing::{Scenario, Stage};

    impl Setsid {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "a session of one's own, once", play: setsid }];
    }

    impl Setpgid {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "a group of one's own", play: setpgid },
            Scenario { shows: "the group of another process", play: another },
        ];
    }

    fn setsid(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            syscall!(SYS_setsid);
            syscall!(SYS_setsid);
        });
        let [made, failed] = seen.as_slice() else { panic!("{seen:?}") };
        let pid = made.fields["proc.pid"].clone();
        made.is("setsid", &[("res", &pid)])
            .has(&[("evt.type", "setsid"), ("evt.category", "process"), ("proc.sid", &pid)])
            .has(&[("proc.is_sid_leader", "true"), ("proc.vpgid", &pid), ("proc.tty", "0")])
            .changes(|change, _| {
                let Change::Groups(now) = change else { panic!("{change:?}") };
                assert_eq!((now.sid.to_string(), now.pgid.to_string()), (pid.clone(), pid.clone()));
            });
        failed.is("setsid", &[("res", "-1")]).has(&[("evt.res", "EPERM")]);
        assert!(failed.changes_nothing());
    }

    fn setpgid(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            syscall!(SYS_setpgid, 0, 0);
            syscall!(SYS_setpgid, 0, i32::MAX);
        });
        let [made, failed] = seen.as_slice() else { panic!("{seen:?}") };
        let pid = made.fields["proc.pid"].clone();
        made.is("setpgid", &[("res", "0"), ("pid", "0"), ("pgid", "0")])
            .has(&[("evt.type", "setpgid"), ("evt.category", "process"), ("proc.pgid", &pid)])
            .has(&[("proc.is_pgid_leader", "true"), ("proc.is_vpgid_leader", "true")]);
        let most = i32::MAX.to_string();
        failed.is("setpgid", &[("res", "-1"), ("pid", "0"), ("pgid", &most)]).has(&[("evt.res", "EPERM")]);
        assert!(failed.changes_nothing());
    }

    fn another(stage: &mut dyn Stage) {
        let parent = id();
        let seen = stage.one(&|| {
            syscall!(SYS_setpgid, parent, 7);
        });
        // Only children can be put into groups.
        seen.is("setpgid", &[("res", "-3"), ("pid", &parent.to_string()), ("pgid", "7")])
            .has(&[("evt.res", "ESRCH")]);
        assert!(seen.changes_nothing());
    }
}

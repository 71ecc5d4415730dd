//! setuid(2).

use super::{
    Arg, Category, Change, Codes, Credentials, Info, Lane, Looks, Param, ParamType as T, View, params,
};
use crate::record;
use crate::record::{Pod as _, Record};

record! {
    /// A finished setuid; the credentials are those after it.
    pub struct SetUid {
        pub ret: i64,
        /// The argument.
        pub uid: u32,
        /// Effective uid now.
        pub euid: u32,
        pub cap_permitted: u64,
        pub cap_effective: u64,
    }
}

/// setuid(2).
pub struct Setuid;

impl Setuid {
    pub const EVENT: Info = Info {
        layout: SetUid::LAYOUT,
        lane: Lane::Lifecycle,
        changes: Some(credentials),
        rules: Some(View {
            name: "setuid",
            codes: Codes::Exit,
            category: Category::User,
            params: PARAMS,
            fd: None,
            io: None,
            open: None,
            filter: Looks::Nothing,
        }),
    };
}

fn credentials<'a>(r: &Record<'a>) -> Option<Change<'a>> {
    let body: &SetUid = r.body().filter(|body: &&SetUid| body.ret == 0)?;
    Some(Change::Credentials(Credentials {
        uid: body.euid,
        cap_permitted: body.cap_permitted,
        cap_effective: body.cap_effective,
    }))
}

const PARAMS: &[Param] = params! {
    "res": T::Errno, |r, b: &SetUid| Arg::Int(b.ret);
    "uid": T::Uid, |r, b: &SetUid| Arg::Uint(b.uid.into());
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::SetUid;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, read};
    use crate::off;

    #[inline(always)]
    pub fn setuid(exit: &Exit) {
        let Some(mut w) = Writer::new::<SetUid>(Kind::Setuid) else { return };
        let body = w.body::<SetUid>();
        let cred = read::pointer(exit.task, off!(task_cred));
        body.ret = exit.ret;
        body.uid = exit.arg(0) as u32;
        body.euid = read::kernel(cred, off!(cred_euid));
        body.cap_permitted = read::kernel(cred, off!(cred_cap_permitted));
        body.cap_effective = read::kernel(cred, off!(cred_cap_effective));
        w.submit(Kind::Setuid);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::setuid;

#[cfg(feature = "testing")]
mod scenarios {
    use super::Setuid;
    use crate::events::Change;
    use crate::syscall;
    use crate::testing::{Scenario, Stage};

    impl Setuid {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "the new id, and no way back", play: there }];
    }

    fn there(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            syscall!(SYS_setuid, 65534);
            syscall!(SYS_setuid, 0);
        });
        let [there, back] = seen.as_slice() else { panic!("{seen:?}") };
        there
            .is("setuid", &[("res", "0"), ("uid", "65534")])
            .has(&[("evt.type", "setuid"), ("evt.category", "user"), ("user.uid", "65534")])
            .lacks(&["fd.num", "fs.path.name"])
            .changes(|change, _| {
                let Change::Credentials(now) = change else { panic!("{change:?}") };
                assert_eq!((now.uid, now.cap_effective), (65534, 0));
            });
        back.is("setuid", &[("res", "-1"), ("uid", "0")]).has(&[("evt.res", "EPERM"), ("user.uid", "65534")]);
    }
}

//! `close_range(2)`. What it closed is gone when it ends; what it was asked to close is told.

use super::flags::CLOSE_RANGE_FLAGS;
use super::{Arg, Category, Codes, Info, Lane, Looks, Param, ParamType as T, View, Volume, params};
use crate::record;
use crate::record::Pod as _;

record! {
    /// A finished `close_range`.
    pub struct RangeClosed {
        pub ret: i64,
        pub first: u32,
        pub last: u32,
        pub flags: u32,
        pub reserved: u32,
    }
}

/// `close_range(2)`.
pub struct CloseRange;

impl CloseRange {
    pub const EVENT: Info = Info {
        layout: RangeClosed::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name: "close_range",
            codes: Codes::Exit,
            category: Category::OfDescriptor,
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
    "res": T::Errno, |r, b: &RangeClosed| Arg::Int(b.ret);
    "first": T::Dec(32), |r, b: &RangeClosed| Arg::Uint(b.first.into());
    "last": T::Dec(32), |r, b: &RangeClosed| Arg::Uint(b.last.into());
    "flags": T::Flags(32, CLOSE_RANGE_FLAGS), |r, b: &RangeClosed| Arg::Uint(b.flags.into());
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::RangeClosed;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer};

    #[inline(always)]
    pub fn close_range(exit: &Exit) {
        let Some(mut w) = Writer::new::<RangeClosed>(Kind::CloseRange) else { return };
        let body = w.body::<RangeClosed>();
        body.ret = exit.ret;
        body.first = exit.arg(0) as u32;
        body.last = exit.arg(1) as u32;
        body.flags = exit.arg(2) as u32;
        body.reserved = 0;
        w.submit(Kind::CloseRange);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::close_range;

#[cfg(feature = "testing")]
mod scenarios {
    use super::CloseRange;
    use crate::syscall;
    use crate::testing::{Scenario, Stage};

    impl CloseRange {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "a range, and one upside down", play: range }];
    }

    fn range(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            syscall!(SYS_close_range, 700, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            syscall!(SYS_close_range, 800, 700, 0);
        });
        let [done, failed] = seen.as_slice() else { panic!("{seen:?}") };
        if done.arg("res") == "-38" {
            return stage.skip("this kernel has no close_range");
        }
        done.is("close_range", &[("res", "0"), ("first", "700"), ("last", "4294967295"), ("flags", "4")])
            .has(&[("evt.type", "close_range"), ("evt.arg[3]", "CLOSE_RANGE_CLOEXEC")])
            .lacks(&["fd.num", "fs.path.name"]);
        failed
            .is("close_range", &[("res", "-22"), ("first", "800"), ("last", "700"), ("flags", "0")])
            .has(&[("evt.res", "EINVAL")]);
    }
}

//! ptrace(2).

use super::flags::PTRACE_REQUESTS;
use super::{Arg, Category, Codes, Info, Lane, Looks, Param, ParamType as T, View, Volume, params};
use crate::record;
use crate::record::Pod as _;

record! {
    /// A finished ptrace.
    pub struct Traced {
        pub ret: i64,
        /// `addr` and `data` as passed.
        pub addr: u64,
        pub data: u64,
        /// Linux's request number.
        pub request: u32,
        pub pid: i32,
    }
}

/// ptrace(2).
pub struct Ptrace;

impl Ptrace {
    pub const EVENT: Info = Info {
        layout: Traced::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name: "ptrace",
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
    "res": T::Errno, |r, b: &Traced| Arg::Int(b.ret);
    "addr": T::Dynamic, |r, b: &Traced| Arg::Uint(b.addr);
    "data": T::Dynamic, |r, b: &Traced| Arg::Uint(b.data);
    "request": T::Enum(16, PTRACE_REQUESTS), |r, b: &Traced| Arg::Uint(falco_request(b.request).into());
    "pid": T::Pid, |r, b: &Traced| Arg::Int(b.pid.into());
};

/// Falco's number of a Linux x86-64 ptrace request; 0 (`PTRACE_UNKNOWN`) for one it does not know.
pub fn falco_request(linux: u32) -> u32 {
    /// Linux numbers in the order of Falco's 1..=38.
    const LINUX: [u32; 38] = [
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 17, 24, 0x4200, 0x4201, 0x4202, 0x4203, 0x4204, 0x4205, 0x4206,
        0x4207, 0x4208, 0x4209, 0x420a, 0x420b, 12, 13, 14, 15, 18, 19, 21, 25, 26, 30, 31, 32, 33,
    ];
    (1..).zip(LINUX).find(|&(_, n)| n == linux).map_or(0, |(falco, _)| falco)
}

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Traced;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer};

    #[inline(always)]
    pub fn ptrace(exit: &Exit) {
        let Some(mut w) = Writer::new::<Traced>(Kind::Ptrace) else { return };
        let body = w.body::<Traced>();
        body.ret = exit.ret;
        body.addr = exit.arg(2);
        body.data = exit.arg(3);
        body.request = exit.arg(0) as u32;
        body.pid = exit.arg(1) as i32;
        w.submit(Kind::Ptrace);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::ptrace;

#[cfg(feature = "testing")]
mod scenarios {
    use std::string::ToString as _;

    use super::Ptrace;
    use crate::syscall;
    use crate::testing::{Scenario, Stage};

    impl Ptrace {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "arguments and result", play: attach }];
    }

    fn attach(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_ptrace, libc::PTRACE_ATTACH, i64::from(i32::MAX), 0x10, 0x20);
        });
        let pid = i32::MAX.to_string();
        let args = [("res", "-3"), ("addr", "16"), ("data", "32"), ("request", "11"), ("pid", &pid)];
        seen.is("ptrace", &args)
            .has(&[("evt.type", "ptrace"), ("evt.category", "process"), ("evt.res", "ESRCH")])
            .has(&[("evt.arg[3]", "PTRACE_ATTACH")])
            .lacks(&["fd.num", "fs.path.name"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(linux: u32) -> &'static str {
        let number = falco_request(linux);
        PTRACE_REQUESTS.iter().find(|(_, value)| *value == number).unwrap().0
    }

    #[test]
    fn linux_requests_have_falcos_names() {
        assert_eq!(name(0), "PTRACE_TRACEME");
        assert_eq!(name(16), "PTRACE_ATTACH");
        assert_eq!(name(0x4206), "PTRACE_SEIZE");
        assert_eq!(name(5), "PTRACE_POKEDATA");
        assert_eq!(name(9999), "PTRACE_UNKNOWN");
    }
}

//! `process_vm_readv`(2), `process_vm_writev`(2): the memory of other processes.

use super::{Arg, Category, Codes, Info, Lane, Looks, Param, ParamType as T, View, Volume, params};
use crate::record;
use crate::record::{Pod as _, Tail};

record! {
    /// A finished `process_vm_readv` or `process_vm_writev`.
    pub struct Moved {
        /// Bytes that were moved, or a negative errno.
        pub ret: i64,
        pub pid: i32,
        /// The beginning of what was moved, from the caller's first piece of memory.
        pub data: Tail,
    }
}

/// `process_vm_readv`(2).
pub struct ProcessVmReadv;
/// `process_vm_writev`(2).
pub struct ProcessVmWritev;

impl ProcessVmReadv {
    pub const EVENT: Info = event("process_vm_readv");
}

impl ProcessVmWritev {
    pub const EVENT: Info = event("process_vm_writev");
}

const fn event(name: &'static str) -> Info {
    Info {
        layout: Moved::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name,
            codes: Codes::Exit,
            category: Category::Ipc,
            params: PARAMS,
            fd: None,
            io: None,
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    }
}

const PARAMS: &[Param] = params! {
    "res": T::Int(64), |r, b: &Moved| Arg::Int(b.ret);
    "pid": T::Pid, |r, b: &Moved| Arg::Int(b.pid.into());
    "data": T::Strings, |r, b: &Moved| Arg::Bytes(r.tail(b.data));
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Moved;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, read};
    use crate::record::{CUT_ARGUMENT, Tail};

    /// Bytes of data that are read, as many as Falco reads.
    const DATA: u64 = 80;

    #[inline(always)]
    fn record(exit: &Exit, kind: Kind) {
        let Some(mut w) = Writer::new::<Moved>(kind) else { return };
        let body = w.body::<Moved>();
        body.ret = exit.ret;
        body.pid = exit.arg(0) as i32;
        let pieces = exit.arg(1);
        body.data = match (read::user_word(pieces, 0, exit.compat), read::user_word(pieces, 1, exit.compat)) {
            (Some(base), Some(len)) if exit.ret > 0 => {
                let len = if len < exit.ret as u64 { len } else { exit.ret as u64 };
                w.user_bytes(base, if len < DATA { len } else { DATA }, DATA, CUT_ARGUMENT)
            }
            _ => Tail::EMPTY,
        };
        w.submit(kind);
    }

    #[inline(always)]
    pub fn process_vm_readv(exit: &Exit) {
        record(exit, Kind::ProcessVmReadv);
    }

    #[inline(always)]
    pub fn process_vm_writev(exit: &Exit) {
        record(exit, Kind::ProcessVmWritev);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{process_vm_readv, process_vm_writev};

#[cfg(feature = "testing")]
mod scenarios {
    use std::string::ToString as _;

    use super::{ProcessVmReadv, ProcessVmWritev};
    use crate::syscall;
    use crate::testing::{Scenario, Stage};

    impl ProcessVmReadv {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "what was read, and from nobody", play: read }];
    }

    impl ProcessVmWritev {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "what was written, and to nobody", play: write }];
    }

    fn read(stage: &mut dyn Stage) {
        let (from, to) = (*b"secret", [b'-'; 6]);
        let (local, remote) = ([to.as_ptr().addr(), 6], [from.as_ptr().addr(), 6]);
        let seen = stage.observe(&|| {
            let me = syscall!(SYS_getpid);
            syscall!(SYS_process_vm_readv, me, local.as_ptr(), 1, remote.as_ptr(), 1, 0);
            syscall!(SYS_process_vm_readv, i32::MAX, local.as_ptr(), 1, remote.as_ptr(), 1, 0);
        });
        let [moved, failed] = seen.as_slice() else { panic!("{seen:?}") };
        let pid = moved.fields["proc.pid"].clone();
        moved
            .is("process_vm_readv", &[("res", "6"), ("pid", &pid), ("data", "secret")])
            .has(&[("evt.type", "process_vm_readv"), ("evt.category", "IPC")])
            .lacks(&["fd.num"]);
        failed
            .is("process_vm_readv", &[("res", "-3"), ("pid", &i32::MAX.to_string()), ("data", "")])
            .has(&[("evt.res", "ESRCH")]);
    }

    fn write(stage: &mut dyn Stage) {
        let (from, to) = ([b'x'; 100], [b'-'; 100]);
        let (local, remote) = ([from.as_ptr().addr(), 100], [to.as_ptr().addr(), 100]);
        let seen = stage.observe(&|| {
            let me = syscall!(SYS_getpid);
            syscall!(SYS_process_vm_writev, me, local.as_ptr(), 1, remote.as_ptr(), 1, 0);
            syscall!(SYS_process_vm_writev, i32::MAX, local.as_ptr(), 1, remote.as_ptr(), 1, 0);
        });
        let [moved, failed] = seen.as_slice() else { panic!("{seen:?}") };
        let pid = moved.fields["proc.pid"].clone();
        moved
            .is("process_vm_writev", &[("res", "100"), ("pid", &pid), ("data", &"x".repeat(80))])
            .has(&[("evt.type", "process_vm_writev"), ("evt.category", "IPC")]);
        assert_eq!(moved.cut(), 0);
        failed
            .is("process_vm_writev", &[("res", "-3"), ("pid", &i32::MAX.to_string()), ("data", "")])
            .has(&[("evt.res", "ESRCH")]);
    }
}

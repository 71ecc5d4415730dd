//! execve(2), execveat(2) that failed: the caller goes on with its old image. Success is `process::Exec`.

use super::flags::EXECVEAT_FLAGS;
use super::process::split_first;
use super::{Arg, Info, Param, ParamType as T, params};
use crate::record;
use crate::record::{Pod as _, Tail};

record! {
    /// A failed exec.
    pub struct FailedExec {
        /// Negative errno.
        pub ret: i64,
        pub dirfd: i32,
        /// Flags of `execveat`.
        pub flags: u32,
        pub filename: Tail,
        /// Directory that a relative `filename` starts from.
        pub base: Tail,
        /// `argv` as passed, each string ended by NUL.
        pub args: Tail,
        pub reserved: u32,
    }
}

/// execve(2).
pub struct Execve;
/// execveat(2).
pub struct Execveat;

impl Execve {
    pub const EVENT: Info =
        Info { name: Some("execve"), state: false, params: EXECVE, layout: FailedExec::LAYOUT, fd: None };
}

impl Execveat {
    pub const EVENT: Info =
        Info { name: Some("execveat"), state: false, params: EXECVEAT, layout: FailedExec::LAYOUT, fd: None };
}

const EXECVE: &[Param] = params! {
    "res": T::Errno, |r, b: &FailedExec| Arg::Int(b.ret);
    "exe": T::CharBuf, |r, b: &FailedExec| Arg::Bytes(split_first(r.tail(b.args)).0);
    "args": T::Strings, |r, b: &FailedExec| Arg::Bytes(split_first(r.tail(b.args)).1);
    "tid": T::Pid, |r, b: &FailedExec| Arg::Int(r.header().tid.into());
    "pid": T::Pid, |r, b: &FailedExec| Arg::Int(r.header().tgid.into());
    "filename": T::Path, |r, b: &FailedExec| Arg::Path { raw: r.tail(b.filename), base: r.tail(b.base) };
};

const EXECVEAT: &[Param] = params! {
    "res": T::Errno, |r, b: &FailedExec| Arg::Int(b.ret);
    "exe": T::CharBuf, |r, b: &FailedExec| Arg::Bytes(split_first(r.tail(b.args)).0);
    "args": T::Strings, |r, b: &FailedExec| Arg::Bytes(split_first(r.tail(b.args)).1);
    "tid": T::Pid, |r, b: &FailedExec| Arg::Int(r.header().tid.into());
    "pid": T::Pid, |r, b: &FailedExec| Arg::Int(r.header().tgid.into());
    "flags": T::Flags(EXECVEAT_FLAGS), |r, b: &FailedExec| Arg::Uint(b.flags.into());
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::FailedExec;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, file};

    /// Arguments that are read of a failed exec.
    const ARGS: usize = 16;
    const AT_FDCWD: i32 = -100;

    #[inline(always)]
    fn record(exit: &Exit, kind: Kind, dirfd: i32, filename: u64, argv: u64, flags: u32) {
        if exit.ret >= 0 {
            return;
        }
        let Some(mut w) = Writer::new::<FailedExec>(kind) else { return };
        let body = w.body::<FailedExec>();
        body.ret = exit.ret;
        body.dirfd = dirfd;
        body.flags = flags;
        (body.filename, body.base) = file::argument(&mut w, exit.task, dirfd, filename);
        body.args = w.user_strings::<ARGS>(argv);
        body.reserved = 0;
        w.submit(kind);
    }

    #[inline(always)]
    pub fn execve(exit: &Exit) {
        record(exit, Kind::Execve, AT_FDCWD, exit.arg(0), exit.arg(1), 0);
    }

    #[inline(always)]
    pub fn execveat(exit: &Exit) {
        record(exit, Kind::Execveat, exit.arg(0) as i32, exit.arg(1), exit.arg(2), exit.arg(4) as u32);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{execve, execveat};

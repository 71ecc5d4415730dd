//! execve(2), execveat(2) that failed: the caller goes on with its old image. Success is `process::Exec`.

use super::flags::EXECVE_FLAGS;
use super::process::split_first;
use super::{Arg, Category, Codes, Info, Lane, Looks, Param, ParamType as T, PathRole, View, params};
use crate::record;
use crate::record::{Pod as _, Tail};

record! {
    /// A failed exec.
    pub struct FailedExec {
        /// Negative errno.
        pub ret: i64,
        pub dirfd: i32,
        /// `AT_*` of `execveat`; Falco's `flags` are about the executable that never ran.
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
    pub const EVENT: Info = event("execve", EXECVE);
}

impl Execveat {
    pub const EVENT: Info = event("execveat", EXECVEAT);
}

/// The two differ in name and arguments.
const fn event(name: &'static str, params: &'static [Param]) -> Info {
    Info {
        layout: FailedExec::LAYOUT,
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
        }),
    }
}

// What Falco tells here of the process that goes on, rules have in `proc.*`.
const EXECVE: &[Param] = params! {
    "res": T::Errno, |r, b: &FailedExec| Arg::Int(b.ret);
    "exe": T::CharBuf, |r, b: &FailedExec| Arg::Bytes(split_first(r.tail(b.args)).0);
    "args": T::Strings, |r, b: &FailedExec| Arg::Bytes(split_first(r.tail(b.args)).1);
    "tid": T::Pid, |r, b: &FailedExec| Arg::Int(r.header().tid.into());
    "pid": T::Pid, |r, b: &FailedExec| Arg::Int(r.header().tgid.into());
    "ptid": T::Pid, absent;
    "cwd": T::CharBuf, absent;
    "fdlimit": T::Dec(64), absent;
    "pgft_maj": T::Dec(64), absent;
    "pgft_min": T::Dec(64), absent;
    "vm_size": T::Dec(32), absent;
    "vm_rss": T::Dec(32), absent;
    "vm_swap": T::Dec(32), absent;
    "comm": T::CharBuf, absent;
    "cgroups": T::Strings, absent;
    "env": T::Strings, absent;
    "tty": T::Dec(32), absent;
    "vpgid": T::Pid, absent;
    "loginuid": T::Uid, absent;
    "flags": T::Flags(32, EXECVE_FLAGS), absent;
    "cap_inheritable": T::Hex(64), absent;
    "cap_permitted": T::Hex(64), absent;
    "cap_effective": T::Hex(64), absent;
    "exe_ino": T::Dec(64), absent;
    "exe_ino_ctime": T::AbsTime, absent;
    "exe_ino_mtime": T::AbsTime, absent;
    "uid": T::Uid, absent;
    "trusted_exepath": T::Path(PathRole::Other), absent;
    "pgid": T::Pid, absent;
    "gid": T::Gid, absent;
    "filename": T::Path(PathRole::Other), |r, b: &FailedExec| Arg::Path { raw: r.tail(b.filename), base: r.tail(b.base) };
};

const EXECVEAT: &[Param] = params! {
    "res": T::Errno, |r, b: &FailedExec| Arg::Int(b.ret);
    "exe": T::CharBuf, |r, b: &FailedExec| Arg::Bytes(split_first(r.tail(b.args)).0);
    "args": T::Strings, |r, b: &FailedExec| Arg::Bytes(split_first(r.tail(b.args)).1);
    "tid": T::Pid, |r, b: &FailedExec| Arg::Int(r.header().tid.into());
    "pid": T::Pid, |r, b: &FailedExec| Arg::Int(r.header().tgid.into());
    "ptid": T::Pid, absent;
    "cwd": T::CharBuf, absent;
    "fdlimit": T::Dec(64), absent;
    "pgft_maj": T::Dec(64), absent;
    "pgft_min": T::Dec(64), absent;
    "vm_size": T::Dec(32), absent;
    "vm_rss": T::Dec(32), absent;
    "vm_swap": T::Dec(32), absent;
    "comm": T::CharBuf, absent;
    "cgroups": T::Strings, absent;
    "env": T::Strings, absent;
    "tty": T::Dec(32), absent;
    "vpgid": T::Pid, absent;
    "loginuid": T::Uid, absent;
    "flags": T::Flags(32, EXECVE_FLAGS), absent;
    "cap_inheritable": T::Hex(64), absent;
    "cap_permitted": T::Hex(64), absent;
    "cap_effective": T::Hex(64), absent;
    "exe_ino": T::Dec(64), absent;
    "exe_ino_ctime": T::AbsTime, absent;
    "exe_ino_mtime": T::AbsTime, absent;
    "uid": T::Uid, absent;
    "trusted_exepath": T::Path(PathRole::Other), absent;
    "pgid": T::Pid, absent;
    "gid": T::Gid, absent;
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

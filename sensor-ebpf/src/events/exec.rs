//! execve(2), execveat(2) that failed: the caller goes on with its old image. Success is `process::Exec`.

use super::flags::EXECVE_FLAGS;
use super::process::split_first;
use super::{Arg, Category, Codes, Info, Lane, Looks, Param, ParamType as T, PathRole, View, Volume, params};
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
            volume: Volume::Normal,
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
        (body.filename, body.base) = file::argument(&mut w, exit, dirfd, filename);
        body.args = w.user_strings::<ARGS>(argv, exit.compat);
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

#[cfg(feature = "testing")]
mod scenarios {
    use super::{Execve, Execveat};
    use crate::syscall;
    use crate::testing::{Scenario, Stage, pointers, touch};

    impl Execve {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "a failed exec has its attempt", play: execve }];
    }

    impl Execveat {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "a failed exec has its attempt", play: execveat }];
    }

    fn execve(stage: &mut dyn Stage) {
        let words = [c"argv zero", c"-c", c"true"];
        let argv = pointers(&words);
        let seen = stage.one(&|| {
            touch(&words);
            syscall!(SYS_execve, c"nonexistent/image".as_ptr(), argv.as_ptr(), argv[3..].as_ptr());
        });
        let cwd = std::env::current_dir().unwrap().canonicalize().unwrap();
        let (pid, cwd) = (seen.arg("pid"), cwd.to_str().unwrap());
        let filename = std::format!("nonexistent/image in {cwd}");
        let args = [("res", "-2"), ("exe", "argv zero"), ("args", "-c\0true\0"), ("tid", pid), ("pid", pid)];
        seen.is("execve", &[args.as_slice(), &[("filename", &filename)]].concat())
            .has(&[("evt.type", "execve"), ("evt.category", "process"), ("evt.res", "ENOENT")])
            .has(&[("evt.arg[30]", &std::format!("{cwd}/nonexistent/image"))])
            .lacks(&["fd.num", "fs.path.name", "evt.arg[5]"]);
    }

    fn execveat(stage: &mut dyn Stage) {
        let words = [c"argv zero", c"-c", c"true"];
        let argv = pointers(&words);
        let (path, envp) = (c"/nonexistent".as_ptr(), argv[3..].as_ptr());
        let seen = stage.one(&|| {
            touch(&words);
            syscall!(SYS_execveat, libc::AT_FDCWD, path, argv.as_ptr(), envp, libc::AT_SYMLINK_NOFOLLOW);
        });
        let pid = seen.arg("pid");
        let args = [("res", "-2"), ("exe", "argv zero"), ("args", "-c\0true\0"), ("tid", pid), ("pid", pid)];
        seen.is("execveat", &args)
            .has(&[("evt.type", "execveat"), ("evt.category", "process"), ("evt.res", "ENOENT")])
            .lacks(&["fd.num", "fs.path.name", "evt.arg[19]"]);
    }
}

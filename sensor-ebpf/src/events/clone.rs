//! clone(2), clone3(2), fork(2), vfork(2), for rules: the parent's return and the child's. What the state needs of a new process comes
//! from `process::Fork`.

use super::flags::Flags;
use super::process::{comm, split_first};
use super::{Arg, Category, Codes, Info, Lane, Looks, Param, ParamType as T, View, Volume, params};
use crate::record;
use crate::record::{Pod as _, Tail, Task};

record! {
    /// A finished clone: once in the parent, and once in the child, where it returned 0.
    pub struct Cloned {
        /// The child's thread id as the caller sees it, 0 in the child, or a negative errno.
        pub ret: i64,
        /// Linux's `CLONE_*`, with the signal in the lowest byte that clone(2) takes.
        pub flags: u64,
        /// Of the caller's process.
        pub task: Task,
        /// The thread as it sees itself.
        pub vtid: u32,
        /// Depth of its pid namespace; 0: the initial one.
        pub level: u32,
        /// `argv`, each string ended by NUL.
        pub args: Tail,
        /// Working directory, from the process's root.
        pub cwd: Tail,
    }
}

/// clone(2).
pub struct Clone;
/// clone3(2).
pub struct Clone3;
/// fork(2).
pub struct ForkCall;
/// vfork(2).
pub struct Vfork;

impl Clone {
    pub const EVENT: Info = event("clone");
}

impl Clone3 {
    pub const EVENT: Info = event("clone3");
}

impl ForkCall {
    pub const EVENT: Info = event("fork");
}

impl Vfork {
    pub const EVENT: Info = event("vfork");
}

const fn event(name: &'static str) -> Info {
    Info {
        layout: Cloned::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name,
            codes: Codes::Exit,
            category: Category::Process,
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
    "res": T::Pid, |r, b: &Cloned| Arg::Int(b.ret);
    "exe": T::CharBuf, |r, b: &Cloned| Arg::Bytes(split_first(r.tail(b.args)).0);
    "args": T::Strings, |r, b: &Cloned| Arg::Bytes(split_first(r.tail(b.args)).1);
    "tid": T::Pid, |r, b: &Cloned| Arg::Int(r.header().tid.into());
    "pid": T::Pid, |r, b: &Cloned| Arg::Int(r.header().tgid.into());
    "ptid": T::Pid, |r, b: &Cloned| Arg::Int(b.task.ppid.into());
    "cwd": T::CharBuf, |r, b: &Cloned| Arg::Bytes(r.tail(b.cwd));
    "fdlimit": T::Int(64), absent;
    "pgft_maj": T::Dec(64), absent;
    "pgft_min": T::Dec(64), absent;
    "vm_size": T::Dec(32), absent;
    "vm_rss": T::Dec(32), absent;
    "vm_swap": T::Dec(32), absent;
    "comm": T::CharBuf, |r, b: &Cloned| Arg::Bytes(comm(&b.task));
    "cgroups": T::Strings, absent;
    "flags": T::Flags(32, CLONE_FLAGS), |r, b: &Cloned| Arg::Uint(flags(b).into());
    "uid": T::Dec(32), |r, b: &Cloned| Arg::Uint(b.task.uid.into());
    "gid": T::Dec(32), |r, b: &Cloned| Arg::Uint(b.task.gid.into());
    "vtid": T::Pid, |r, b: &Cloned| Arg::Int(b.vtid.into());
    "vpid": T::Pid, |r, b: &Cloned| Arg::Int(b.task.vpid.into());
    "pidns_init_start_ts": T::Dec(64), |r, b: &Cloned| Arg::Uint(b.task.pidns_start);
};

/// Linux's flags, in the order of Falco's names for them. Falco's bit, Linux's bit.
const BITS: [(u32, u64); 22] = [
    (1, 0x400),
    (2, 0x200),
    (4, 0x8000_0000),
    (8, 0x800_0000),
    (16, 0x4000_0000),
    (32, 0x2_0000),
    (64, 0x2000_0000),
    (128, 0x400_0000),
    (256, 0x8000),
    (512, 0x10_0000),
    (1024, 0x2000),
    (2048, 0x800),
    (4096, 0x4_0000),
    (8192, 0x1_0000),
    (16384, 0x80_0000),
    (32768, 0x100),
    (0x10_0000, 0x1000_0000),
    (0x80_0000, 0x20_0000),
    (0x100_0000, 0x100_0000),
    (0x200_0000, 0x8_0000),
    (0x800_0000, 0x4000),
    (0x1000_0000, 0x200_0000),
];
/// Falco's bit for a child that has another number in its own pid namespace.
const CHILD_IN_PIDNS: u32 = 0x2000_0000;

/// Falco's bits of Linux's `CLONE_*`.
pub(super) fn falco_flags(linux: u64) -> u32 {
    BITS.iter().filter(|(_, bit)| linux & bit != 0).map(|(falco, _)| falco).sum()
}

fn flags(body: &Cloned) -> u32 {
    const CLONE_NEWPID: u64 = 0x2000_0000;
    let inside = body.level > 0 || body.flags & CLONE_NEWPID != 0;
    falco_flags(body.flags) | if inside { CHILD_IN_PIDNS } else { 0 }
}

/// Falco's names.
pub(super) static CLONE_FLAGS: &Flags = &[
    ("CLONE_FILES", 1),
    ("CLONE_FS", 2),
    ("CLONE_IO", 4),
    ("CLONE_NEWIPC", 8),
    ("CLONE_NEWNET", 16),
    ("CLONE_NEWNS", 32),
    ("CLONE_NEWPID", 64),
    ("CLONE_NEWUTS", 128),
    ("CLONE_PARENT", 256),
    ("CLONE_PARENT_SETTID", 512),
    ("CLONE_PTRACE", 1024),
    ("CLONE_SIGHAND", 2048),
    ("CLONE_SYSVSEM", 4096),
    ("CLONE_THREAD", 8192),
    ("CLONE_UNTRACED", 16384),
    ("CLONE_VM", 32768),
    ("CLONE_INVERTED", 65536),
    ("NAME_CHANGED", 131_072),
    ("CLOSED", 262_144),
    ("CLONE_NEWUSER", 1_048_576),
    ("CLONE_CHILD_CLEARTID", 8_388_608),
    ("CLONE_CHILD_SETTID", 16_777_216),
    ("CLONE_SETTLS", 33_554_432),
    ("CLONE_STOPPED", 67_108_864),
    ("CLONE_VFORK", 134_217_728),
    ("CLONE_NEWCGROUP", 268_435_456),
    ("CLONE_CHILD_IN_PIDNS", 536_870_912),
];

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Cloned;
    use crate::config::ARGS_ENDS;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, path, read, task};
    use crate::off;
    use crate::record::CUT_ARGS;

    #[inline(always)]
    fn record(exit: &Exit, kind: Kind, flags: u64) {
        let Some(mut w) = Writer::new::<Cloned>(kind) else { return };
        let body = w.body::<Cloned>();
        body.ret = exit.ret;
        body.flags = flags;
        task::snapshot(exit.task, &mut body.task);
        (body.vtid, body.level) = task::own_number(exit.task);
        let mm = read::pointer(exit.task, off!(task_mm));
        let (start, end): (u64, u64) =
            (read::kernel(mm, off!(mm_arg_start)), read::kernel(mm, off!(mm_arg_end)));
        body.args = w.user_ends(start, end.wrapping_sub(start), ARGS_ENDS, CUT_ARGS);
        body.cwd = path::append(&mut w, task::cwd(exit.task), task::root(exit.task));
        w.submit(kind);
    }

    /// The order of the other arguments is not the same everywhere; the flags come first on all.
    #[inline(always)]
    pub fn clone(exit: &Exit) {
        record(exit, Kind::Clone, exit.arg(0));
    }

    /// `clone_args.flags`, which has 64 bits for all callers.
    #[inline(always)]
    pub fn clone3(exit: &Exit) {
        record(exit, Kind::Clone3, exit.read(exit.arg(0)).unwrap_or(0));
    }

    #[inline(always)]
    pub fn fork_call(exit: &Exit) {
        record(exit, Kind::ForkCall, 0);
    }

    #[inline(always)]
    pub fn vfork(exit: &Exit) {
        record(exit, Kind::Vfork, 0);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{clone, clone3, fork_call, vfork};

#[cfg(feature = "testing")]
mod scenarios {
    use std::process::id;
    use std::string::ToString as _;

    use super::{Clone, Clone3, ForkCall, Vfork};
    use crate::syscall;
    use crate::testing::{Scenario, Seen, Stage, vfork};

    impl Clone {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "the parent's side", play: clone },
            Scenario { shows: "the child's side", play: child },
            Scenario { shows: "a failed one", play: failed },
        ];
    }

    impl Clone3 {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "flags in memory", play: clone3 }];
    }

    impl ForkCall {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "the parent's side", play: fork }];
    }

    impl Vfork {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "the parent's side", play: vforked }];
    }

    /// The parent's side of a call, what it returned left out.
    fn told(seen: &Seen, event: &str, flags: &str) {
        let cwd = std::env::current_dir().unwrap().canonicalize().unwrap();
        let pid = &seen.fields["proc.pid"];
        assert_eq!((seen.event, seen.arg("flags")), (event, flags));
        assert!(seen.arg("res").parse::<i64>().unwrap() > 0, "{seen:?}");
        for (name, value) in [
            ("exe", &*std::env::args().next().unwrap()),
            ("tid", pid),
            ("pid", pid),
            ("ptid", &id().to_string()),
            ("cwd", cwd.to_str().unwrap()),
            ("uid", "0"),
            ("gid", "0"),
            ("vpid", &seen.fields["proc.vpid"]),
        ] {
            assert_eq!(seen.arg(name), value, "{name}");
        }
        seen.has(&[("evt.category", "process"), ("evt.res", "SUCCESS")]).lacks(&["fd.num", "evt.arg[7]"]);
    }

    fn clone(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            if syscall!(SYS_clone, libc::SIGCHLD | libc::CLONE_FILES | libc::CLONE_NEWUTS, 0, 0, 0, 0) == 0 {
                syscall!(SYS_exit_group, 0);
            }
        });
        told(&seen, "clone", "129");
        seen.has(&[("evt.type", "clone"), ("evt.arg[15]", "CLONE_FILES|CLONE_NEWUTS")]);
    }

    fn child(stage: &mut dyn Stage) {
        let life = stage.life(&|| ());
        let born = life.iter().find(|seen| seen.event == "clone").expect("the child's return");
        let pid = &born.fields["proc.pid"];
        assert_eq!((born.arg("res"), born.arg("tid"), born.arg("ptid")), ("0", &**pid, &*id().to_string()));
        born.has(&[("evt.type", "clone"), ("evt.rawres", "0"), ("proc.ppid", &id().to_string())]);
    }

    fn failed(stage: &mut dyn Stage) {
        // A thread without the memory of its process.
        let seen = stage.one(&|| {
            syscall!(SYS_clone, libc::CLONE_THREAD, 0, 0, 0, 0);
        });
        assert_eq!((seen.arg("res"), seen.arg("flags")), ("-22", "8192"));
        seen.has(&[("evt.res", "EINVAL"), ("evt.arg[15]", "CLONE_THREAD")]);
    }

    fn clone3(stage: &mut dyn Stage) {
        // `struct clone_args`: flags first, the signal fifth.
        let mut args = [0_u64; 11];
        args[0] = 0x200;
        args[4] = 17;
        let seen = stage.one(&|| {
            if syscall!(SYS_clone3, args.as_ptr(), size_of_val(&args)) == 0 {
                syscall!(SYS_exit_group, 0);
            }
        });
        told(&seen, "clone3", "2");
        seen.has(&[("evt.type", "clone3"), ("evt.arg[15]", "CLONE_FS")]);
    }

    fn fork(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            if syscall!(SYS_fork) == 0 {
                syscall!(SYS_exit_group, 0);
            }
        });
        told(&seen, "fork_call", "0");
        seen.has(&[("evt.type", "fork")]);
    }

    fn vforked(stage: &mut dyn Stage) {
        let seen = stage.one(&vfork);
        told(&seen, "vfork", "0");
        seen.has(&[("evt.type", "vfork")]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_flags_have_falcos_names() {
        let name = |linux: u64| {
            CLONE_FLAGS.iter().find(|(_, bit)| *bit == falco_flags(linux)).map(|(name, _)| *name)
        };
        for (linux, falco) in [
            (0x100, "CLONE_VM"),
            (0x4000, "CLONE_VFORK"),
            (0x1_0000, "CLONE_THREAD"),
            (0x2_0000, "CLONE_NEWNS"),
            (0x200_0000, "CLONE_NEWCGROUP"),
            (0x1000_0000, "CLONE_NEWUSER"),
            (0x8000_0000, "CLONE_IO"),
        ] {
            assert_eq!(name(linux), Some(falco));
        }
        assert_eq!(falco_flags(17), 0, "the signal is no flag");
    }
}

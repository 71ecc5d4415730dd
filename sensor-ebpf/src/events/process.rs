//! The life of a process: `sched_process_fork`, `sched_process_exec` (rules see it as `execve`), `sched_process_exit`.

use super::flags::EXECVE_FLAGS;
use super::{
    Arg, Category, Change, Codes, Info, Lane, Looks, NewImage, Param, ParamType as T, PathRole, View, Volume,
    params,
};
use crate::record;
use crate::record::{Exe, Pod as _, Record, Tail, Task};

record! {
    /// A process was made; the header describes the child. Threads make no record.
    pub struct Fork {
        pub task: Task,
        /// [`exec_id`](record::exec_id) of the process that forked, also where the kernel gives the child another parent (`CLONE_PARENT`).
        pub forker: u64,
    }
}

record! {
    /// A process has a new image. Its arguments can be trusted: they were read from the new `mm`.
    pub struct Exec {
        pub task: Task,
        pub exe: Exe,
        /// Path of the executable, from the process's root.
        pub exepath: Tail,
        /// `linux_binprm->filename`: what the caller asked for.
        pub filename: Tail,
        /// `argv`, each string ended by NUL.
        pub args: Tail,
        /// `envp`, each string ended by NUL.
        pub env: Tail,
        /// Working directory, from the process's root.
        pub cwd: Tail,
        pub reserved: u32,
    }
}

record! {
    /// The last thread of a process ended.
    pub struct Exit {
        /// `wait(2)` status.
        pub status: i32,
        /// `tgid` of the init of its pid namespace, which inherits the children.
        pub reaper: u32,
    }
}

impl Fork {
    pub const EVENT: Info = Info {
        layout: Self::LAYOUT,
        lane: Lane::Lifecycle,
        changes: Some(|r| r.body().map(|b: &Self| Change::Forked { task: &b.task, forker: b.forker })),
        rules: None,
    };
}

impl Exec {
    pub const EVENT: Info = Info {
        layout: Self::LAYOUT,
        lane: Lane::Lifecycle,
        changes: Some(|r| r.body().map(|b: &Self| Change::Execed(b.image(r)))),
        rules: Some(View {
            name: "execve",
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

impl Exec {
    fn image<'a>(&'a self, r: &Record<'a>) -> NewImage<'a> {
        NewImage {
            task: &self.task,
            exe: &self.exe,
            exepath: r.tail(self.exepath),
            filename: r.tail(self.filename),
            args: r.tail(self.args),
            env: r.tail(self.env),
            cwd: r.tail(self.cwd),
        }
    }
}

impl Exit {
    pub const EVENT: Info = Info {
        layout: Self::LAYOUT,
        lane: Lane::Lifecycle,
        changes: Some(|r| r.body().map(|b: &Self| Change::Exited { reaper: b.reaper })),
        rules: Some(View {
            name: "procexit",
            codes: Codes::Tracepoint,
            category: Category::Process,
            params: EXIT_PARAMS,
            fd: None,
            io: None,
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    };
}

/// The first string of a list of NUL-ended ones, and the rest.
pub fn split_first(strings: &[u8]) -> (&[u8], &[u8]) {
    match strings.iter().position(|&b| b == 0) {
        Some(end) => (&strings[..end], &strings[end + 1..]),
        None => (strings, &[]),
    }
}

/// `comm` without its padding.
pub fn comm(task: &Task) -> &[u8] {
    split_first(&task.comm).0
}

const PARAMS: &[Param] = params! {
    "res": T::Errno, |r, b: &Exec| Arg::Int(0);
    "exe": T::CharBuf, |r, b: &Exec| Arg::Bytes(split_first(r.tail(b.args)).0);
    "args": T::Strings, |r, b: &Exec| Arg::Bytes(split_first(r.tail(b.args)).1);
    "tid": T::Pid, |r, b: &Exec| Arg::Int(r.header().tid.into());
    "pid": T::Pid, |r, b: &Exec| Arg::Int(r.header().tgid.into());
    "ptid": T::Pid, |r, b: &Exec| Arg::Int(b.task.ppid.into());
    "cwd": T::CharBuf, |r, b: &Exec| Arg::Bytes(r.tail(b.cwd));
    "fdlimit": T::Dec(64), absent;
    "pgft_maj": T::Dec(64), absent;
    "pgft_min": T::Dec(64), absent;
    "vm_size": T::Dec(32), absent;
    "vm_rss": T::Dec(32), absent;
    "vm_swap": T::Dec(32), absent;
    "comm": T::CharBuf, |r, b: &Exec| Arg::Bytes(comm(&b.task));
    "cgroups": T::Strings, absent;
    "env": T::Strings, |r, b: &Exec| Arg::Bytes(r.tail(b.env));
    "tty": T::Dec(32), |r, b: &Exec| Arg::Uint(b.task.tty.into());
    "vpgid": T::Pid, |r, b: &Exec| Arg::Int(b.task.vpgid.into());
    "loginuid": T::Uid, |r, b: &Exec| Arg::Uint(b.task.loginuid.into());
    "flags": T::Flags(32, EXECVE_FLAGS), |r, b: &Exec| Arg::Uint(b.exe.flags.into());
    "cap_inheritable": T::Hex(64), |r, b: &Exec| Arg::Uint(b.task.cap_inheritable);
    "cap_permitted": T::Hex(64), |r, b: &Exec| Arg::Uint(b.task.cap_permitted);
    "cap_effective": T::Hex(64), |r, b: &Exec| Arg::Uint(b.task.cap_effective);
    "exe_ino": T::Dec(64), |r, b: &Exec| Arg::Uint(b.exe.ino);
    "exe_ino_ctime": T::AbsTime, |r, b: &Exec| Arg::Uint(b.exe.ctime);
    "exe_ino_mtime": T::AbsTime, |r, b: &Exec| Arg::Uint(b.exe.mtime);
    "uid": T::Uid, |r, b: &Exec| Arg::Uint(b.task.uid.into());
    "trusted_exepath": T::Path(PathRole::Other), |r, b: &Exec| Arg::Path { raw: r.tail(b.exepath), base: &[] };
    "pgid": T::Pid, |r, b: &Exec| Arg::Int(b.task.pgid.into());
    "gid": T::Gid, |r, b: &Exec| Arg::Uint(b.task.gid.into());
    "filename": T::Path(PathRole::Other), |r, b: &Exec| filename(r.tail(b.filename), r.tail(b.cwd));
};

/// `bprm->filename`, with the directory that it starts from if it is relative.
fn filename<'a>(raw: &'a [u8], cwd: &'a [u8]) -> Arg<'a> {
    Arg::Path { raw, base: if raw.starts_with(b"/") { &[] } else { cwd } }
}

const EXIT_PARAMS: &[Param] = params! {
    "status": T::Errno, |r, b: &Exit| Arg::Int(b.status.into());
    "ret": T::Errno, |r, b: &Exit| Arg::Int(((b.status >> 8) & 0xff).into());
    "sig": T::Signal, |r, b: &Exit| Arg::Int((b.status & 0x7f).into());
    "core": T::Dec(8), |r, b: &Exit| Arg::Uint(u64::from(b.status & 0x80 != 0));
    "reaper_tid": T::Pid, |r, b: &Exit| Arg::Int(b.reaper.into());
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use aya_ebpf::programs::BtfTracePointContext;

    use super::{Exec, Exit, Fork};
    use crate::config::{ARGS_ENDS, ENV_ENDS};
    use crate::events::Kind;
    use crate::kernel::path::{self, Path};
    use crate::kernel::read::{self, Ptr};
    use crate::kernel::{Writer, file, task};
    use crate::off;
    use crate::record::{CUT_ARGS, CUT_ENV};

    /// `sched_process_fork(parent, child)`.
    #[inline(always)]
    pub fn fork(ctx: &BtfTracePointContext) {
        let child = ctx.arg::<u64>(1) as Ptr;
        let tgid: u32 = read::kernel(child, off!(task_tgid));
        let pid: u32 = read::kernel(child, off!(task_pid));
        if tgid != pid {
            return;
        }
        let Some(mut w) = Writer::about::<Fork>(Kind::Fork, child, tgid, pid) else { return };
        let body = w.body::<Fork>();
        task::snapshot(child, &mut body.task);
        body.forker = task::exec_id_of(ctx.arg::<u64>(0) as Ptr);
        w.submit(Kind::Fork);
    }

    /// `sched_process_exec(task, old_pid, bprm)`.
    #[inline(always)]
    pub fn exec(ctx: &BtfTracePointContext) {
        let me = ctx.arg::<u64>(0) as Ptr;
        let bprm = ctx.arg::<u64>(2) as Ptr;
        let Some(mut w) = Writer::new::<Exec>(Kind::Exec) else { return };
        let body = w.body::<Exec>();
        task::snapshot(me, &mut body.task);
        let mm = read::pointer(me, off!(task_mm));
        let exe = read::pointer(mm, off!(mm_exe_file));
        file::executable(&mut w, me, exe, &mut body.exe);
        // The arguments first, so that long paths leave them their room, and the environment last.
        let (start, end): (u64, u64) =
            (read::kernel(mm, off!(mm_arg_start)), read::kernel(mm, off!(mm_arg_end)));
        body.args = w.user_ends(start, end.wrapping_sub(start), ARGS_ENDS, CUT_ARGS);
        body.exepath = path::append(&mut w, Path::at(exe.wrapping_add(off!(file_path))), task::root(me));
        body.cwd = path::append(&mut w, task::cwd(me), task::root(me));
        body.filename = w.kernel_str(read::pointer(bprm, off!(bprm_filename)));
        let (start, end): (u64, u64) =
            (read::kernel(mm, off!(mm_env_start)), read::kernel(mm, off!(mm_env_end)));
        body.env = w.user_ends(start, end.wrapping_sub(start), ENV_ENDS, CUT_ENV);
        body.reserved = 0;
        w.submit(Kind::Exec);
    }

    /// `sched_process_exit(task)`.
    #[inline(always)]
    pub fn exit(ctx: &BtfTracePointContext) {
        let me = ctx.arg::<u64>(0) as Ptr;
        // `live` has been decremented for this thread; the process ends with its last one.
        let live: u32 = read::kernel(read::pointer(me, off!(task_signal)), off!(signal_live));
        if live != 0 {
            return;
        }
        let Some(mut w) = Writer::new::<Exit>(Kind::Exit) else { return };
        let body = w.body::<Exit>();
        body.status = read::kernel(me, off!(task_exit_code));
        body.reaper = task::reaper(me);
        w.submit(Kind::Exit);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{exec, exit, fork};

#[cfg(feature = "testing")]
mod scenarios {
    use std::process::id;
    use std::string::ToString as _;

    use super::{Exec, Exit, Fork};
    use crate::events::Change;
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Stage, c, identity, pointers};

    impl Fork {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "a child has its parent and its ids", play: child }];
    }

    impl Exec {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "an exec carries the new image", play: image },
            Scenario { shows: CUT, play: cut },
        ];
    }

    impl Exit {
        pub const SCENARIOS: &[Scenario] = &[Scenario {
            shows: "an end has its status, and orphans go to the nearest subreaper",
            play: end,
        }];
    }

    fn child(stage: &mut dyn Stage) {
        let ids = (syscall!(SYS_geteuid), syscall!(SYS_getpgrp));
        let life = stage.life(&|| ());
        life[0].is("fork", &[]).changes(|change, record| {
            let Change::Forked { task, forker } = change else { panic!("{change:?}") };
            assert_eq!((task.ppid, task.parent_exec_id), (id(), forker));
            assert_eq!((task.uid.into(), task.pgid.into()), ids);
            assert_eq!((record.header().tgid, record.header().tgid), (record.header().tid, task.vpid));
        });
    }

    fn image(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let exe = dir.at("image");
        std::fs::copy("/bin/sh", &exe).unwrap();
        let path = c(&exe);
        let argv = pointers(&[c"argv zero", c"-c", c"exit 7"]);
        let envp = pointers(&[c"A=1", c"B=two words"]);
        let life = stage.life(&|| {
            syscall!(SYS_execve, path.as_ptr(), argv.as_ptr(), envp.as_ptr());
        });
        let exec = life.iter().find(|seen| seen.event == "exec").expect("an exec");
        let (_, ino) = identity(&exe);
        let (uid, pgid) = (syscall!(SYS_geteuid), syscall!(SYS_getpgrp));
        let cwd = std::env::current_dir().unwrap().canonicalize().unwrap();
        for (name, value) in [
            ("res", "0"),
            ("exe", "argv zero"),
            ("args", "-c\0exit 7\0"),
            ("tid", exec.arg("pid")),
            ("ptid", &id().to_string()),
            ("cwd", cwd.to_str().unwrap()),
            ("comm", "image"),
            ("env", "A=1\0B=two words\0"),
            ("trusted_exepath", &exe),
            ("exe_ino", &ino),
            ("uid", &uid.to_string()),
            ("pgid", &pgid.to_string()),
            ("filename", &exe),
        ] {
            assert_eq!(exec.arg(name), value, "{name}");
        }
        exec.has(&[("evt.type", "execve"), ("evt.category", "process"), ("syscall.type", "execve")])
            .has(&[("evt.arg[1]", "argv zero"), ("evt.arg[13]", "image"), ("evt.arg[30]", &exe)])
            .has(&[("proc.exepath", &exe), ("proc.cmdline", "image -c exit 7")])
            .lacks(&["fd.num", "fs.path.name", "evt.abspath", "evt.arg[7]"]);
    }

    const CUT: &str = "arguments and environment that are not all there are marked, and have both ends";

    fn cut(stage: &mut dyn Stage) {
        use crate::record::{CUT_ARGS, CUT_ENV};
        let pads = [c(&"x".repeat(4200)), c(&"x".repeat(30_000))];
        let words = pointers(&[c"sh", c"-c", c"exit 7", &pads[1], &pads[1], c"payload"]);
        let script = [words[0], words[1], words[2], words[6]];
        let more = pointers(&[c"sh", c"-c", c"exit 7", &pads[0], c"payload"]);
        let mut run = |argv: &[*const libc::c_char], envp: &[*const libc::c_char]| {
            let life = stage.life(&|| {
                syscall!(SYS_execve, c"/bin/sh".as_ptr(), argv.as_ptr(), envp.as_ptr());
            });
            life.into_iter().find(|seen| seen.event == "exec").expect("an exec")
        };
        assert_eq!(run(&script, &script[3..]).cut(), 0);
        // More than the head, and all of it.
        let seen = run(&more, &script[3..]);
        assert_eq!(seen.cut(), 0);
        assert_eq!(seen.arg("args"), std::format!("-c\0exit 7\0{}\0payload\0", "x".repeat(4200)));
        // 60 KB of padding hide nothing at the end.
        let seen = run(&words, &script[3..]);
        assert_eq!(seen.cut(), CUT_ARGS);
        let args = seen.arg("args");
        assert!(args.starts_with("-c\0exit 7\0xxx") && args.ends_with("xxx\0payload\0"), "{args}");
        let (head, tail) = args.split_once("...").expect("the mark of a gap");
        assert_eq!((head.len() + "sh\0".len(), tail.len()), (4095, 4095));
        assert!(seen.fields["proc.cmdline"].ends_with("xxx payload"));
        let seen = run(&script, &words);
        assert_eq!(seen.cut(), CUT_ENV);
        assert!(seen.arg("env").ends_with("xxx\0payload\0"));
    }

    fn end(stage: &mut dyn Stage) {
        let subreaper = |on: i32| assert_eq!(syscall!(SYS_prctl, libc::PR_SET_CHILD_SUBREAPER, on), 0);
        subreaper(1);
        let life = stage.life(&|| ());
        subreaper(0);
        let me = id().to_string();
        let args = [("status", "1792"), ("ret", "7"), ("sig", "0"), ("core", "0"), ("reaper_tid", &me)];
        let end = life.last().expect("an end");
        end.is("exit", &args).has(&[("evt.type", "procexit"), ("evt.category", "process")]);
        end.lacks(&["syscall.type", "fd.num", "evt.res"]);
    }
}

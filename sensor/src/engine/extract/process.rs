//! `proc.*` and `thread.*`: the process of the event, its ancestors, its session.

use std::io::Write as _;
use std::sync::Arc;

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use sensor_ebpf::record::{EXE_FROM_MEMFD, EXE_LOWER_LAYER, EXE_UPPER_LAYER, EXE_WRITABLE};

use super::text::other_spellings;
use crate::engine::live::Live;
use crate::engine::{args, names};
use crate::rules::registry::fields::ProcessField;
use crate::rules::registry::spellings;
use crate::rules::{Event as _, FieldArg, FieldRef, Value};
use crate::state::Process;

/// Programs that `proc.loginshellid` takes for a shell.
const SHELLS: [&[u8]; 11] =
    [b"ash", b"bash", b"csh", b"dash", b"fish", b"ksh", b"sh", b"tcsh", b"zsh", b"mksh", b"rbash"];

/// Of what process a field is, and what of it. All are missing for events without a process.
#[derive(Clone, Copy)]
pub enum Part {
    /// Of the one that caused the event.
    Own(for<'a> fn(&'a Live<'_>, &'a Arc<Process>) -> Option<Value<'a>>),
    /// The same, by the field's argument.
    Chosen(for<'a> fn(&'a Bump, &'a Process, &FieldArg) -> Value<'a>),
    Parent(for<'a> fn(&'a Live<'_>, &'a Arc<Process>) -> Option<Value<'a>>),
    /// Of the ancestor with the given index, else of all.
    Ancestors(for<'a> fn(&'a Bump, &'a Arc<Process>) -> Value<'a>),
    /// A variable of some ancestor.
    AncestorEnvironment,
}

#[expect(clippy::match_same_arms, reason = "fields are missing for reasons of their own")]
pub const fn of(field: ProcessField) -> Option<Part> {
    use Part::{AncestorEnvironment, Ancestors, Chosen, Own, Parent};
    use ProcessField as F;
    Some(match field {
        F::ProcName => Own(|_, p| Some(Value::Str(p.comm()))),
        F::ProcExe => Own(|_, p| Some(Value::Str(p.image.arg0()))),
        F::ProcExepath => Own(|_, p| Some(Value::Str(&p.image.exepath))),
        F::ProcCmdline => Own(|event, p| Some(Value::Str(cmdline(event.bump, p)))),
        F::ProcExeline => Own(|event, p| Some(Value::Str(args::spaced(event.bump, &p.image.args)))),
        F::ProcArgs => Chosen(arguments),
        F::ProcCmdnargs => Own(|_, p| Some(Value::Uint(list(p.image.rest()).count() as u64))),
        F::ProcCmdlenargs => {
            Own(|_, p| Some(Value::Uint(list(p.image.rest()).map(|arg| arg.len() as u64).sum())))
        }
        F::ProcEnv => Chosen(environment),
        F::ProcCwd => Own(|event, p| Some(Value::Str(with_slash(event.bump, &p.cwd)))),
        F::ProcPname => Parent(|_, p| Some(Value::Str(p.comm()))),
        F::ProcPexe => Parent(|_, p| Some(Value::Str(p.image.arg0()))),
        F::ProcPexepath => Parent(|_, p| Some(Value::Str(&p.image.exepath))),
        F::ProcPcmdline => Parent(|event, p| Some(Value::Str(cmdline(event.bump, p)))),
        F::ProcAname => Ancestors(|_, p| Value::Str(p.comm())),
        F::ProcAexe => Ancestors(|_, p| Value::Str(p.image.arg0())),
        F::ProcAexepath => Ancestors(|_, p| Value::Str(&p.image.exepath)),
        F::ProcAcmdline => Ancestors(|bump, p| Value::Str(cmdline(bump, p))),
        F::ProcAargs => Ancestors(|bump, p| Value::Str(args::spaced(bump, p.image.rest()))),
        F::ProcApid => Ancestors(|_, p| number(p.tgid)),
        F::ProcAenv => AncestorEnvironment,
        F::ProcPid => Own(|_, p| Some(number(p.tgid))),
        F::ProcPpid => {
            Own(|event, p| Some(number(event.ancestors().next().map_or(p.task.ppid, |parent| parent.tgid))))
        }
        F::ProcVpid => Own(|_, p| Some(number(p.task.vpid))),
        F::ProcPvpid => Parent(|_, p| Some(number(p.task.vpid))),
        F::ProcSid => Own(|_, p| Some(number(p.task.vsid))),
        F::ProcPgid => Own(|_, p| Some(number(p.task.pgid))),
        F::ProcVpgid => Own(|_, p| Some(number(p.task.vpgid))),
        F::ProcTty => Own(|_, p| Some(Value::Uint(p.task.tty.into()))),
        F::ProcSname => Own(|event, p| Some(Value::Str(session(event, p).comm()))),
        F::ProcSidExe => Own(|event, p| Some(Value::Str(session(event, p).image.arg0()))),
        F::ProcSidExepath => Own(|event, p| Some(Value::Str(&session(event, p).image.exepath))),
        // The group is the same in every namespace; its number is not.
        F::ProcPgidName | F::ProcVpgidName => Own(|event, p| Some(Value::Str(group(event, p).comm()))),
        F::ProcPgidExe | F::ProcVpgidExe => Own(|event, p| Some(Value::Str(group(event, p).image.arg0()))),
        F::ProcPgidExepath | F::ProcVpgidExepath => {
            Own(|event, p| Some(Value::Str(&group(event, p).image.exepath)))
        }
        F::ProcLoginshellid => Own(|event, p| {
            let family = std::iter::once(p).chain(event.ancestors());
            Some(number(family.filter(|p| SHELLS.contains(&p.comm())).last()?.tgid))
        }),
        F::ProcDuration => Own(age),
        F::ProcPpidDuration => Parent(age),
        F::ProcPidTs => Own(|event, p| since_epoch(event, p.cloned)),
        F::ProcPpidTs => Parent(|event, p| since_epoch(event, p.cloned)),
        F::ProcIsExeWritable => Own(|_, p| flag(p, EXE_WRITABLE)),
        F::ProcIsExeUpperLayer => Own(|_, p| flag(p, EXE_UPPER_LAYER)),
        F::ProcIsExeLowerLayer => Own(|_, p| flag(p, EXE_LOWER_LAYER)),
        F::ProcIsExeFromMemfd => Own(|_, p| flag(p, EXE_FROM_MEMFD)),
        F::ProcIsSidLeader => Own(|_, p| Some(Value::Bool(p.task.vsid == p.task.vpid))),
        F::ProcIsPgidLeader => Own(|_, p| Some(Value::Bool(p.task.pgid == p.tgid))),
        F::ProcIsVpgidLeader => Own(|_, p| Some(Value::Bool(p.task.vpgid == p.task.vpid))),
        F::ProcExeIno => Own(|_, p| known(p.image.exe.ino)),
        F::ProcExeInoCtime => Own(|_, p| known(p.image.exe.ctime)),
        F::ProcExeInoMtime => Own(|_, p| known(p.image.exe.mtime)),
        F::ProcExeInoCtimeDurationProcStart => Own(|event, p| between(event, p.image.exe.ctime, p.cloned)),
        F::ProcExeInoCtimeDurationPidnsStart => {
            Own(|event, p| between(event, p.image.exe.ctime, p.task.pidns_start))
        }
        F::ProcPidnsInitStartTs => Own(|event, p| since_epoch(event, p.task.pidns_start)),
        F::ThreadTid => Own(|event, _| Some(number(event.record()?.header().tid))),
        F::ThreadIsmain => Own(|event, _| {
            let header = event.record()?.header();
            Some(Value::Bool(header.tid == header.tgid))
        }),
        F::ThreadCapPermitted => {
            Own(|event, _| Some(capabilities(event.bump, event.record()?.header().cap_permitted)))
        }
        F::ThreadCapInheritable => {
            Own(|event, _| Some(capabilities(event.bump, event.record()?.header().cap_inheritable)))
        }
        F::ThreadCapEffective => {
            Own(|event, _| Some(capabilities(event.bump, event.record()?.header().cap_effective)))
        }
        // A record names one cgroup by its id; Falco means the paths of all controllers.
        F::ThreadCgroups | F::ThreadCgroup => return None,
        // Falco fills them no longer either.
        F::ProcIsContainerHealthcheck
        | F::ProcIsContainerLivenessProbe
        | F::ProcIsContainerReadinessProbe => return None,
        F::ProcFdopencount
        | F::ProcFdlimit
        | F::ProcFdusage
        | F::ProcVmsize
        | F::ProcVmrss
        | F::ProcVmswap
        | F::ProcNthreads
        | F::ProcNchilds
        | F::ProcStdinType
        | F::ProcStdinName
        | F::ProcStdoutType
        | F::ProcStdoutName
        | F::ProcStderrType
        | F::ProcStderrName
        | F::ThreadVtid
        | F::ThreadNametid
        | F::ThreadExectime
        | F::ThreadTotexectime
        | F::ThreadCpu
        | F::ThreadCpuUser
        | F::ThreadCpuSystem
        | F::ThreadVmsize
        | F::ThreadVmrss
        | F::ThreadVmsizeB
        | F::ThreadVmrssB
        | F::ThreadPfmajor
        | F::ThreadPfminor => return None,
    })
}

impl Part {
    /// The one value.
    pub fn get<'a>(&self, event: &'a Live<'_>, arg: &FieldArg) -> Option<Value<'a>> {
        let process = event.process()?;
        match self {
            Self::Own(get) => get(event, process),
            Self::Chosen(get) => Some(get(event.bump, process, arg)),
            Self::Parent(get) => get(event, event.ancestors().next()?),
            Self::Ancestors(get) => match arg {
                FieldArg::Index(n) => Some(get(event.bump, event.ancestor(*n as usize)?)),
                FieldArg::Key(_) | FieldArg::None => Some(joined(event, *get)),
            },
            Self::AncestorEnvironment => ancestor_environment(event, arg),
        }
    }

    /// The value of each ancestor, from the parent upwards; the other spellings of a path, which is the kernel's.
    pub fn any(&self, event: &Live<'_>, field: &FieldRef, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        let get = match self {
            Self::Ancestors(get) => *get,
            Self::AncestorEnvironment => whole_environment,
            Self::Own(_) | Self::Parent(_) if spellings::has(field) => {
                let Some(Value::Str(path)) = event.get(field) else { return false };
                return other_spellings(event.bump, path, Some(path), test);
            }
            Self::Own(_) | Self::Chosen(_) | Self::Parent(_) => return false,
        };
        event.ancestors().any(|process| test(get(event.bump, process)))
    }
}

/// The values of all ancestors, joined by blanks.
fn joined<'a>(event: &'a Live<'_>, get: for<'b> fn(&'b Bump, &'b Arc<Process>) -> Value<'b>) -> Value<'a> {
    let mut out = BumpVec::new_in(event.bump);
    for process in event.ancestors() {
        if !out.is_empty() {
            out.push(b' ');
        }
        match get(event.bump, process) {
            Value::Str(text) => out.extend_from_slice(text),
            // Memory takes everything.
            Value::Int(n) => _ = write!(out, "{n}"),
            _ => {}
        }
    }
    Value::Str(out.into_bump_slice())
}

fn number<'a>(n: u32) -> Value<'a> {
    Value::Int(n.into())
}

fn flag<'a>(process: &Process, bit: u32) -> Option<Value<'a>> {
    Some(Value::Bool(process.image.exe.flags & bit != 0))
}

fn whole_environment<'a>(bump: &'a Bump, process: &'a Arc<Process>) -> Value<'a> {
    Value::Str(args::spaced(bump, &process.image.env))
}

/// `proc.cmdline`: the name, not `argv[0]`, and the arguments behind it.
pub fn cmdline<'a>(bump: &'a Bump, process: &Process) -> &'a [u8] {
    let rest = process.image.rest();
    let mut out = BumpVec::with_capacity_in(process.comm().len() + 1 + rest.len(), bump);
    out.extend_from_slice(process.comm());
    if !rest.is_empty() {
        out.push(b' ');
        out.extend_from_slice(args::spaced(bump, rest));
    }
    out.into_bump_slice()
}

/// Strings ended by NUL each.
fn list(strings: &[u8]) -> impl Iterator<Item = &[u8]> {
    let whole = strings.strip_suffix(b"\0").unwrap_or(strings);
    let none = strings.is_empty();
    whole.split(|b| *b == 0).filter(move |_| !none)
}

/// All arguments, or one from 0; out of range it is the empty string, as in Falco.
fn arguments<'a>(bump: &'a Bump, process: &'a Process, arg: &FieldArg) -> Value<'a> {
    let rest = process.image.rest();
    Value::Str(match arg {
        FieldArg::Index(n) => list(rest).nth(*n as usize).unwrap_or_default(),
        FieldArg::Key(_) | FieldArg::None => args::spaced(bump, rest),
    })
}

/// All variables, or the value of one; an absent one is the empty string, as in Falco.
fn environment<'a>(bump: &'a Bump, process: &'a Process, arg: &FieldArg) -> Value<'a> {
    Value::Str(match arg {
        FieldArg::Key(name) => variable(process, name).unwrap_or_default(),
        FieldArg::Index(_) | FieldArg::None => args::spaced(bump, &process.image.env),
    })
}

fn variable<'a>(process: &'a Process, name: &[u8]) -> Option<&'a [u8]> {
    list(&process.image.env).find_map(|v| v.strip_prefix(name)?.strip_prefix(b"="))
}

/// `[N]` the environment of that ancestor, `[NAME]` the variable of the nearest ancestor that has it, else the own one.
fn ancestor_environment<'a>(event: &'a Live<'_>, arg: &FieldArg) -> Option<Value<'a>> {
    /// Ancestors that Falco looks at for a variable.
    const LOOKED_AT: usize = 20;
    let whole = |process| whole_environment(event.bump, process);
    match arg {
        FieldArg::Index(n) => event.ancestor(*n as usize).map(whole),
        FieldArg::Key(name) => {
            let mut found = event.ancestors().take(LOOKED_AT).filter_map(|p| variable(p, name));
            Some(Value::Str(found.find(|v| !v.is_empty()).unwrap_or_default()))
        }
        FieldArg::None => event.process().map(whole),
    }
}

fn with_slash<'a>(bump: &'a Bump, path: &'a [u8]) -> &'a [u8] {
    if path.is_empty() || path.ends_with(b"/") {
        return path;
    }
    let mut out = BumpVec::with_capacity_in(path.len() + 1, bump);
    out.extend_from_slice(path);
    out.push(b'/');
    out.into_bump_slice()
}

fn session<'a>(event: &Live<'a>, process: &'a Arc<Process>) -> &'a Arc<Process> {
    event.known.processes.session_leader(process, event.boot)
}

fn group<'a>(event: &'a Live<'a>, process: &'a Arc<Process>) -> &'a Arc<Process> {
    event.known.processes.group_leader(process, event.boot)
}

fn age<'a>(event: &'a Live<'_>, process: &'a Arc<Process>) -> Option<Value<'a>> {
    (process.cloned != 0).then(|| Value::Int(event.time - event.known.clock.wall(process.cloned)))
}

fn since_epoch<'a>(event: &Live<'_>, boot: u64) -> Option<Value<'a>> {
    (boot != 0).then(|| Value::Int(event.known.clock.wall(boot)))
}

fn known<'a>(time: u64) -> Option<Value<'a>> {
    i64::try_from(time).ok().filter(|t| *t != 0).map(Value::Int)
}

/// From `time` (ns since the epoch) to `boot`.
fn between<'a>(event: &Live<'_>, time: u64, boot: u64) -> Option<Value<'a>> {
    let time = i64::try_from(time).ok().filter(|t| *t != 0)?;
    (boot != 0).then(|| Value::Int(event.known.clock.wall(boot) - time))
}

fn capabilities(bump: &Bump, set: u64) -> Value<'_> {
    let mut out = BumpVec::new_in(bump);
    for name in names::capabilities(set) {
        if !out.is_empty() {
            out.push(b' ');
        }
        out.extend_from_slice(name.as_bytes());
    }
    Value::Str(out.into_bump_slice())
}

//! `proc.*` and `thread.*`: the process of the event, its ancestors, its session.

use std::sync::Arc;

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use sensor_ebpf::record::{EXE_FROM_MEMFD, EXE_LOWER_LAYER, EXE_UPPER_LAYER, EXE_WRITABLE};

use crate::engine::live::Live;
use crate::engine::{args, names};
use crate::rules::{Field, FieldArg, FieldRef, Value};
use crate::state::Process;

/// Programs that `proc.loginshellid` takes for a shell.
const SHELLS: [&[u8]; 11] =
    [b"ash", b"bash", b"csh", b"dash", b"fish", b"ksh", b"sh", b"tcsh", b"zsh", b"mksh", b"rbash"];

pub fn get<'a>(event: &'a Live<'_>, field: &FieldRef) -> Option<Value<'a>> {
    let process = event.process()?;
    let parent = || event.ancestors().next();
    let bump = event.bump;
    let task = &process.task;
    let image = &process.image;
    let number = |n: u32| Some(Value::Int(n.into()));
    let flag = |bit: u32| Some(Value::Bool(image.exe.flags & bit != 0));
    match field.field {
        Field::ProcName => Some(Value::Str(process.comm())),
        Field::ProcExe => Some(Value::Str(image.arg0())),
        Field::ProcExepath => Some(Value::Str(&image.exepath)),
        Field::ProcCmdline => Some(Value::Str(cmdline(bump, process))),
        Field::ProcExeline => Some(Value::Str(args::spaced(bump, &image.args))),
        Field::ProcArgs => arguments(bump, process, &field.arg),
        Field::ProcCmdnargs => Some(Value::Uint(list(image.rest()).count() as u64)),
        Field::ProcCmdlenargs => Some(Value::Uint(list(image.rest()).map(|a| a.len() as u64).sum())),
        Field::ProcEnv => environment(bump, process, &field.arg),
        Field::ProcCwd => Some(Value::Str(with_slash(bump, &image.cwd))),
        Field::ProcPname => parent().map(|p| Value::Str(p.comm())),
        Field::ProcPexe => parent().map(|p| Value::Str(p.image.arg0())),
        Field::ProcPexepath => parent().map(|p| Value::Str(&p.image.exepath)),
        Field::ProcPcmdline => parent().map(|p| Value::Str(cmdline(bump, p))),
        Field::ProcAname
        | Field::ProcAexe
        | Field::ProcAexepath
        | Field::ProcAcmdline
        | Field::ProcApid
        | Field::ProcAargs => ancestor(event, field),
        Field::ProcAenv => ancestor_environment(event, &field.arg),
        Field::ProcPid => number(process.tgid),
        Field::ProcPpid => number(parent().map_or(task.ppid, |p| p.tgid)),
        Field::ProcVpid => number(task.vpid),
        Field::ProcPvpid => number(parent()?.task.vpid),
        Field::ProcSid => number(task.vsid),
        Field::ProcPgid => number(task.pgid),
        Field::ProcVpgid => number(task.vpgid),
        Field::ProcTty => Some(Value::Uint(task.tty.into())),
        Field::ProcSname => Some(Value::Str(session(event, process).comm())),
        Field::ProcSidExe => Some(Value::Str(session(event, process).image.arg0())),
        Field::ProcSidExepath => Some(Value::Str(&session(event, process).image.exepath)),
        // The group is the same in every namespace; its number is not.
        Field::ProcPgidName | Field::ProcVpgidName => Some(Value::Str(group(event, process).comm())),
        Field::ProcPgidExe | Field::ProcVpgidExe => Some(Value::Str(group(event, process).image.arg0())),
        Field::ProcPgidExepath | Field::ProcVpgidExepath => {
            Some(Value::Str(&group(event, process).image.exepath))
        }
        Field::ProcLoginshellid => {
            let shell =
                std::iter::once(process).chain(event.ancestors()).filter(|p| SHELLS.contains(&p.comm()));
            number(shell.last()?.tgid)
        }
        Field::ProcDuration => age(event, process),
        Field::ProcPpidDuration => age(event, parent()?),
        Field::ProcPidTs => since_epoch(event, process.cloned),
        Field::ProcPpidTs => since_epoch(event, parent()?.cloned),
        Field::ProcIsExeWritable => flag(EXE_WRITABLE),
        Field::ProcIsExeUpperLayer => flag(EXE_UPPER_LAYER),
        Field::ProcIsExeLowerLayer => flag(EXE_LOWER_LAYER),
        Field::ProcIsExeFromMemfd => flag(EXE_FROM_MEMFD),
        Field::ProcIsSidLeader => Some(Value::Bool(task.vsid == task.vpid)),
        Field::ProcIsPgidLeader => Some(Value::Bool(task.pgid == process.tgid)),
        Field::ProcIsVpgidLeader => Some(Value::Bool(task.vpgid == task.vpid)),
        Field::ProcExeIno => i64::try_from(image.exe.ino).ok().filter(|n| *n != 0).map(Value::Int),
        Field::ProcExeInoCtime => known(image.exe.ctime),
        Field::ProcExeInoMtime => known(image.exe.mtime),
        Field::ProcExeInoCtimeDurationProcStart => between(event, image.exe.ctime, process.cloned),
        Field::ProcExeInoCtimeDurationPidnsStart => between(event, image.exe.ctime, task.pidns_start),
        Field::ProcPidnsInitStartTs => since_epoch(event, task.pidns_start),
        Field::ThreadTid => event.record().map(|r| Value::Int(r.header().tid.into())),
        Field::ThreadIsmain => event.record().map(|r| Value::Bool(r.header().tid == r.header().tgid)),
        Field::ThreadCapPermitted => Some(capabilities(bump, task.cap_permitted)),
        Field::ThreadCapInheritable => Some(capabilities(bump, task.cap_inheritable)),
        Field::ThreadCapEffective => Some(capabilities(bump, task.cap_effective)),
        _ => None,
    }
}

/// The value of each ancestor, from the parent upwards.
pub fn any(event: &Live<'_>, field: &FieldRef, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
    event.ancestors().any(|process| of_ancestor(event.bump, process, field.field).is_some_and(&mut *test))
}

/// With an index that ancestor's value, else those of all, joined by blanks.
fn ancestor<'a>(event: &'a Live<'_>, field: &FieldRef) -> Option<Value<'a>> {
    if let FieldArg::Index(n) = field.arg {
        return of_ancestor(event.bump, event.ancestor(usize::try_from(n).ok()?)?, field.field);
    }
    let mut out = BumpVec::new_in(event.bump);
    for process in event.ancestors() {
        if !out.is_empty() {
            out.push(b' ');
        }
        match of_ancestor(event.bump, process, field.field)? {
            Value::Str(text) => out.extend_from_slice(text),
            Value::Int(n) => {
                use std::io::Write as _;
                _ = write!(out, "{n}");
            }
            _ => {}
        }
    }
    Some(Value::Str(out.into_bump_slice()))
}

fn of_ancestor<'a>(bump: &'a Bump, process: &'a Arc<Process>, field: Field) -> Option<Value<'a>> {
    Some(match field {
        Field::ProcAname => Value::Str(process.comm()),
        Field::ProcAexe => Value::Str(process.image.arg0()),
        Field::ProcAexepath => Value::Str(&process.image.exepath),
        Field::ProcAcmdline => Value::Str(cmdline(bump, process)),
        Field::ProcAargs => Value::Str(args::spaced(bump, process.image.rest())),
        Field::ProcAenv => Value::Str(args::spaced(bump, &process.image.env)),
        Field::ProcApid => Value::Int(process.tgid.into()),
        _ => return None,
    })
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
fn arguments<'a>(bump: &'a Bump, process: &'a Process, arg: &FieldArg) -> Option<Value<'a>> {
    let rest = process.image.rest();
    Some(Value::Str(match arg {
        FieldArg::Index(n) => list(rest).nth(usize::try_from(*n).ok()?).unwrap_or_default(),
        _ => args::spaced(bump, rest),
    }))
}

/// All variables, or the value of one; an absent one is the empty string, as in Falco.
fn environment<'a>(bump: &'a Bump, process: &'a Process, arg: &FieldArg) -> Option<Value<'a>> {
    Some(Value::Str(match arg {
        FieldArg::Key(name) => variable(process, name).unwrap_or_default(),
        _ => args::spaced(bump, &process.image.env),
    }))
}

fn variable<'a>(process: &'a Process, name: &[u8]) -> Option<&'a [u8]> {
    list(&process.image.env).find_map(|v| v.strip_prefix(name)?.strip_prefix(b"="))
}

/// `[N]` the environment of that ancestor, `[NAME]` the variable of the nearest ancestor that has it, else the own one.
fn ancestor_environment<'a>(event: &'a Live<'_>, arg: &FieldArg) -> Option<Value<'a>> {
    /// Ancestors that Falco looks at for a variable.
    const LOOKED_AT: usize = 20;
    let whole = |process: &'a Arc<Process>| Value::Str(args::spaced(event.bump, &process.image.env));
    match arg {
        FieldArg::Index(n) => event.ancestor(usize::try_from(*n).ok()?).map(whole),
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

fn age<'a>(event: &Live<'_>, process: &Process) -> Option<Value<'a>> {
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

//! `evt.*`: the event itself.

use std::fmt::Write as _;

use bumpalo::collections::String as BumpString;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sensor_ebpf::events::Arg;
use sensor_ebpf::events::open::{self, Opened};

use sensor_ebpf::record::Record;

use crate::engine::live::{Live, What};
use crate::engine::{args, names, path};
use crate::rules::{Field, FieldArg, FieldRef, Value};

const NS: i64 = 1_000_000_000;

pub fn get<'a>(event: &'a Live<'_>, field: &FieldRef) -> Option<Value<'a>> {
    let is_meta = matches!(event.what, What::Meta);
    let text = |text: &'static str| Some(Value::Str(text.as_bytes()));
    match field.field {
        Field::EvtNum => Some(Value::Uint(event.number)),
        Field::EvtTime => time(event, "%H:%M:%S.%9f", &TimeZone::system()),
        Field::EvtTimeS => time(event, "%H:%M:%S", &TimeZone::system()),
        Field::EvtTimeIso8601 => time(event, "%Y-%m-%dT%H:%M:%S.%9f%z", &TimeZone::UTC),
        Field::EvtDatetime => time(event, "%Y-%m-%d %H:%M:%S.%9f", &TimeZone::system()),
        Field::EvtDatetimeS => time(event, "%Y-%m-%d %H:%M:%S", &TimeZone::system()),
        Field::EvtRawtime => Some(Value::Int(event.time)),
        Field::EvtRawtimeS => Some(Value::Int(event.time.div_euclid(NS))),
        Field::EvtRawtimeNs => Some(Value::Int(event.time.rem_euclid(NS))),
        Field::EvtDir => text(if is_meta { ">" } else { "<" }),
        Field::EvtTypeIs => match &field.arg {
            FieldArg::Key(name) => Some(Value::Uint((**name == *event.name.as_bytes()).into())),
            _ => None,
        },
        Field::SyscallType if is_meta || event.name == "procexit" => None,
        Field::EvtType | Field::SyscallType => text(event.name),
        Field::EvtAsynctype if is_meta => text(event.name),
        Field::EvtCategory => text(category(event)),
        Field::EvtArgs | Field::EvtInfo => Some(Value::Str(args::all(event.bump, event.args(), event))),
        Field::EvtArg => {
            let (param, arg) = event.arg(&field.arg)?;
            Some(Value::Str(args::text(event.bump, param, arg, event)))
        }
        Field::EvtRawarg => {
            let (param, arg) = event.arg(&field.arg)?;
            Some(args::raw(event.bump, param, arg))
        }
        Field::EvtRawres => event.result().map(Value::Int),
        Field::EvtRes => {
            let result = event.result()?;
            text(if result >= 0 { "SUCCESS" } else { names::errno(result).unwrap_or("UNKNOWN") })
        }
        Field::EvtFailed => event.result().map(|r| Value::Bool(r < 0)),
        Field::EvtCount => Some(Value::Uint(1)),
        Field::EvtLatency
        | Field::EvtLatencyS
        | Field::EvtLatencyNs
        | Field::EvtLatencyQuantized
        | Field::EvtWaitLatency => Some(Value::Uint(0)),
        Field::EvtLatencyHuman => text("0ns"),
        Field::EvtAbspath => abspath(event, &field.arg),
        Field::EvtIsOpenRead => Some(Value::Bool(opened(event).is_some_and(|o| flags(o) & 1 != 0))),
        Field::EvtIsOpenWrite => Some(Value::Bool(opened(event).is_some_and(|o| flags(o) & 2 != 0))),
        Field::EvtIsOpenExec => Some(Value::Bool(is_open_exec(event))),
        Field::EvtIsOpenCreate => Some(Value::Bool(is_open_create(event))),
        Field::EvtIsIo => Some(Value::Bool(direction(event.name).is_some())),
        Field::EvtIsIoRead => Some(Value::Bool(direction(event.name) == Some("read"))),
        Field::EvtIsIoWrite => Some(Value::Bool(direction(event.name) == Some("write"))),
        Field::EvtIoDir => direction(event.name).and_then(text),
        Field::EvtSource => text("syscall"),
        Field::EvtIsAsync => Some(Value::Bool(is_meta)),
        Field::EvtHostname => Some(Value::Str(event.known.hostname.as_bytes())),
        _ => None,
    }
}

fn time<'a>(event: &'a Live<'_>, format: &str, zone: &TimeZone) -> Option<Value<'a>> {
    let mut out = BumpString::new_in(event.bump);
    let zoned = Timestamp::from_nanosecond(event.time.into()).ok()?.to_zoned_datetime(zone.clone());
    write!(out, "{}", zoned.strftime(format)).ok()?;
    Some(Value::Str(out.into_bump_str().as_bytes()))
}

/// Falco's categories; calls on a descriptor have that of its kind.
fn category(event: &Live<'_>) -> &'static str {
    match event.name {
        "open" | "openat" | "openat2" | "creat" | "unlink" | "unlinkat" | "rename" | "renameat"
        | "renameat2" => "file",
        "connect" => "net",
        "execve" | "execveat" | "procexit" => "process",
        "ptrace" => "other",
        "setuid" => "user",
        "dup" | "dup2" | "dup3" => match event.fd().and_then(|view| view.fd).map(|fd| fd.kind) {
            Some(b'f' | b'd') => "file",
            Some(b'4' | b'6') => "net",
            Some(b'u' | b'p') => "IPC",
            _ => "unknown",
        },
        _ => "internal",
    }
}

/// Which way a call moves data through a descriptor; none for calls that do not.
fn direction(event: &str) -> Option<&'static str> {
    match event {
        "read" | "readv" | "pread" | "preadv" | "recv" | "recvfrom" | "recvmsg" | "recvmmsg" => Some("read"),
        "write" | "writev" | "pwrite" | "pwritev" | "send" | "sendto" | "sendmsg" | "sendmmsg"
        | "sendfile" => Some("write"),
        _ => None,
    }
}

/// The body of open, openat and openat2; creat has no flags argument, so Falco does not count it here.
fn opened<'a>(event: &Live<'a>) -> Option<&'a Opened> {
    if !matches!(event.name, "open" | "openat" | "openat2") {
        return None;
    }
    event.record()?.body()
}

fn flags(opened: &Opened) -> u32 {
    open::falco_flags(opened)
}

const CREAT: u32 = 4;
const TMPFILE: u32 = 8192;
const F_CREATED: u32 = 16_384;

fn is_open_exec(event: &Live<'_>) -> bool {
    let executable = |mode: u32| mode & 0o111 != 0;
    match event.name {
        "creat" => event.record().and_then(Record::body::<Opened>).is_some_and(|o| executable(o.mode)),
        _ => opened(event).is_some_and(|o| executable(o.mode) && flags(o) & (CREAT | TMPFILE) != 0),
    }
}

fn is_open_create(event: &Live<'_>) -> bool {
    let body = event.record().filter(|_| matches!(event.name, "open" | "openat" | "openat2" | "creat"));
    body.and_then(Record::body::<Opened>).is_some_and(|o| {
        let flags = flags(o);
        flags & F_CREATED != 0 || (flags & TMPFILE != 0 && o.ret >= 0)
    })
}

/// Absolute path of the `*at` calls.
fn abspath<'a>(event: &'a Live<'_>, arg: &FieldArg) -> Option<Value<'a>> {
    let name: &[u8] = match (event.name, arg) {
        ("openat" | "openat2" | "unlinkat", FieldArg::None) => b"name",
        ("renameat" | "renameat2", FieldArg::Key(end)) if **end == *b"src" => b"oldpath",
        ("renameat" | "renameat2", FieldArg::Key(end)) if **end == *b"dst" => b"newpath",
        _ => return None,
    };
    absolute(event, name)
}

/// The absolute form of a path argument.
pub fn absolute<'a>(event: &'a Live<'_>, param: &[u8]) -> Option<Value<'a>> {
    match event.param(param)?.1 {
        Arg::Path { raw, base } => Some(Value::Str(path::join(event.bump, base, raw))),
        _ => None,
    }
}

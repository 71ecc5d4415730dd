//! `evt.*`: the event itself.

use std::fmt::Write as _;

use bumpalo::collections::String as BumpString;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sensor_ebpf::events::{Arg, Codes, Direction, Opening, Param, ParamType};

use super::text::text;
use crate::engine::live::{Live, What};
use crate::engine::{args, names, path};
use crate::rules::registry::fields::EvtField;
use crate::rules::{FieldArg, Value};

/// From an event and the field's argument.
pub type Get = for<'a> fn(&'a Live<'_>, &FieldArg) -> Option<Value<'a>>;

const NS: i64 = 1_000_000_000;

pub const fn of(field: EvtField) -> Option<Get> {
    use EvtField as F;
    Some(match field {
        F::EvtNum => |event, _| Some(Value::Uint(event.number)),
        F::EvtTime => |event, _| time(event, "%H:%M:%S.%9f", &TimeZone::system()),
        F::EvtTimeS => |event, _| time(event, "%H:%M:%S", &TimeZone::system()),
        F::EvtTimeIso8601 => |event, _| time(event, "%Y-%m-%dT%H:%M:%S.%9f%z", &TimeZone::UTC),
        F::EvtDatetime => |event, _| time(event, "%Y-%m-%d %H:%M:%S.%9f", &TimeZone::system()),
        F::EvtDatetimeS => |event, _| time(event, "%Y-%m-%d %H:%M:%S", &TimeZone::system()),
        // What a rule asks of `evt.around` is asked of the time.
        F::EvtRawtime | F::EvtAround => |event, _| Some(Value::Int(event.time)),
        F::EvtRawtimeS => |event, _| Some(Value::Int(event.time.div_euclid(NS))),
        F::EvtRawtimeNs => |event, _| Some(Value::Int(event.time.rem_euclid(NS))),
        F::EvtDir => |event, _| text(if is_meta(event) { ">" } else { "<" }),
        F::EvtTypeIs => |event, arg| match arg {
            FieldArg::Key(name) => Some(Value::Uint((**name == *event.name.as_bytes()).into())),
            FieldArg::Index(_) | FieldArg::None => None,
        },
        F::EvtType => |event, _| text(event.name),
        F::SyscallType => |event, _| {
            text(event.name).filter(|_| event.view().is_some_and(|view| view.codes != Codes::Tracepoint))
        },
        F::EvtAsynctype => |event, _| text(event.name).filter(|_| is_meta(event)),
        F::EvtCategory => |event, _| text(category(event)),
        F::EvtArgs | F::EvtInfo => |event, _| Some(Value::Str(args::all(event.bump, event.args(), event))),
        F::EvtArg => |event, arg| {
            let (param, arg) = event.arg(arg)?;
            Some(Value::Str(args::text(event.bump, param, arg, event)))
        },
        F::EvtRawarg => |event, arg| {
            let (param, arg) = event.arg(arg)?;
            Some(args::raw(event.bump, param, arg))
        },
        F::EvtRawres => |event, _| event.result().map(Value::Int),
        F::EvtRes => |event, _| {
            let result = event.result()?;
            text(if result >= 0 { "SUCCESS" } else { names::errno(result).unwrap_or("UNKNOWN") })
        },
        F::EvtFailed => |event, _| event.result().map(|result| Value::Bool(result < 0)),
        F::EvtCount => |_, _| Some(Value::Uint(1)),
        // There is no entry any more from which to count.
        F::EvtLatency | F::EvtLatencyS | F::EvtLatencyNs | F::EvtLatencyQuantized | F::EvtWaitLatency => {
            |_, _| Some(Value::Uint(0))
        }
        F::EvtLatencyHuman => |_, _| text("0ns"),
        F::EvtAbspath => abspath,
        F::EvtIsOpenRead => |event, _| opening(event, |asked| asked.read),
        F::EvtIsOpenWrite => |event, _| opening(event, |asked| asked.write),
        F::EvtIsOpenExec => |event, _| opening(event, |asked| asked.exec),
        F::EvtIsOpenCreate => |event, _| opening(event, |asked| asked.create),
        F::EvtIsIo => |event, _| Some(Value::Bool(direction(event).is_some())),
        F::EvtIsIoRead => |event, _| Some(Value::Bool(direction(event).is_some_and(Direction::reads))),
        F::EvtIsIoWrite => |event, _| Some(Value::Bool(direction(event).is_some_and(Direction::writes))),
        F::EvtIoDir => |event, _| text(if direction(event)?.reads() { "read" } else { "write" }),
        F::EvtBuffer => |event, _| match event.param(b"data")? {
            (param, arg @ Arg::Bytes(bytes)) if !bytes.is_empty() => Some(args::raw(event.bump, param, arg)),
            _ => None,
        },
        F::EvtBuflen => |event, _| {
            direction(event)?;
            event.result().and_then(|moved| u64::try_from(moved).ok()).map(Value::Uint)
        },
        F::EvtSource => |_, _| text("syscall"),
        F::EvtIsAsync => |event, _| Some(Value::Bool(is_meta(event))),
        F::EvtHostname => |event, _| Some(Value::Str(event.known.hostname.as_bytes())),
        F::EvtReltime
        | F::EvtReltimeS
        | F::EvtReltimeNs
        | F::EvtDeltatime
        | F::EvtDeltatimeS
        | F::EvtDeltatimeNs
        | F::EvtOutputtime
        | F::EvtCpu
        | F::EvtBuflenIn
        | F::EvtBuflenOut
        | F::EvtBuflenFile
        | F::EvtBuflenFileIn
        | F::EvtBuflenFileOut
        | F::EvtBuflenNet
        | F::EvtBuflenNetIn
        | F::EvtBuflenNetOut
        | F::EvtIsWait
        | F::EvtIsSyslog
        | F::EvtCountProcinfo
        | F::EvtCountThreadinfo
        | F::EvtCountExit
        | F::EvtCountError
        | F::EvtCountErrorFile
        | F::EvtCountErrorNet
        | F::EvtCountErrorMemory
        | F::EvtCountErrorOther
        | F::EvtInfraDockerName
        | F::EvtInfraDockerContainerId
        | F::EvtInfraDockerContainerName
        | F::EvtInfraDockerContainerImage
        | F::EvtPluginname
        | F::EvtPlugininfo => return None,
    })
}

fn is_meta(event: &Live<'_>) -> bool {
    matches!(event.what, What::Meta)
}

fn time<'a>(event: &'a Live<'_>, format: &str, zone: &TimeZone) -> Option<Value<'a>> {
    let mut out = BumpString::new_in(event.bump);
    let zoned = Timestamp::from_nanosecond(event.time.into()).ok()?.to_zoned_datetime(zone.clone());
    write!(out, "{}", zoned.strftime(format)).ok()?;
    Some(Value::Str(out.into_bump_str().as_bytes()))
}

/// Falco's categories; calls on a descriptor have that of its kind.
fn category(event: &Live<'_>) -> &'static str {
    let Some(view) = event.view() else { return "internal" };
    view.category.name(event.fd().and_then(|fd| fd.fd))
}

/// Which way a call moves data through a descriptor; none for calls that do not.
fn direction(event: &Live<'_>) -> Option<Direction> {
    event.view()?.io
}

/// What a call asked for that opens a file.
fn opening(event: &Live<'_>, asked: impl FnOnce(Opening) -> bool) -> Option<Value<'static>> {
    let opening = event.view().and_then(|view| view.open?(event.record()?));
    Some(Value::Bool(opening.is_some_and(asked)))
}

/// Absolute path of the `*at` calls: of two paths the first, or with `.dst` the second; a single one whatever is asked for.
fn abspath<'a>(event: &'a Live<'_>, arg: &FieldArg) -> Option<Value<'a>> {
    let second = match arg {
        FieldArg::None => false,
        FieldArg::Key(end) => **end == *b"dst",
        FieldArg::Index(_) => return None,
    };
    let is_path = |param: &&Param| matches!(param.ty, ParamType::PathAt(_) | ParamType::Found(_));
    let mut paths = event.view()?.params.iter().filter(is_path);
    let first = paths.next()?;
    let param = if second { paths.next().unwrap_or(first) } else { first };
    let arg = (param.get)(event.record()?)?;
    let found = !matches!((param.ty, arg), (ParamType::Found(_), Arg::Path { raw: [], .. }));
    found.then(|| absolute(event, arg)).flatten()
}

/// The absolute form of a path argument.
pub fn absolute<'a>(event: &'a Live<'_>, arg: Arg<'a>) -> Option<Value<'a>> {
    match arg {
        Arg::Path { raw, base } => Some(Value::Str(path::join(event.bump, base, raw))),
        _ => None,
    }
}

//! `evt.*`: the event itself.

use std::fmt::Write as _;

use bumpalo::collections::String as BumpString;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use sensor_ebpf::events::{Arg, Codes, Direction, Opening, ParamType, PathRole};

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
        Field::SyscallType if event.view().is_none_or(|view| view.codes == Codes::Tracepoint) => None,
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
        Field::EvtIsOpenRead => opening(event, |asked| asked.read),
        Field::EvtIsOpenWrite => opening(event, |asked| asked.write),
        Field::EvtIsOpenExec => opening(event, |asked| asked.exec),
        Field::EvtIsOpenCreate => opening(event, |asked| asked.create),
        Field::EvtIsIo => Some(Value::Bool(direction(event).is_some())),
        Field::EvtIsIoRead => Some(Value::Bool(direction(event) == Some(Direction::Read))),
        Field::EvtIsIoWrite => Some(Value::Bool(direction(event) == Some(Direction::Write))),
        Field::EvtIoDir => text(match direction(event)? {
            Direction::Read => "read",
            Direction::Write => "write",
        }),
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

/// Absolute path of the `*at` calls.
fn abspath<'a>(event: &'a Live<'_>, arg: &FieldArg) -> Option<Value<'a>> {
    let role = match arg {
        FieldArg::None => PathRole::Name,
        FieldArg::Key(end) if **end == *b"src" => PathRole::Source,
        FieldArg::Key(end) if **end == *b"dst" => PathRole::Target,
        _ => return None,
    };
    let (param, arg) = event.path(role)?;
    matches!(param.ty, ParamType::PathAt(_)).then(|| absolute(event, arg)).flatten()
}

/// The absolute form of a path argument.
pub fn absolute<'a>(event: &'a Live<'_>, arg: Arg<'a>) -> Option<Value<'a>> {
    match arg {
        Arg::Path { raw, base } => Some(Value::Str(path::join(event.bump, base, raw))),
        _ => None,
    }
}

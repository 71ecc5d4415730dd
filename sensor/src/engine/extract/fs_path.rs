//! `fs.path.*`: the paths that a successful file operation touched.

use sensor_ebpf::events::{Arg, ParamType, PathRole};

use super::evt;
use super::text::other_spellings as of_path;
use crate::engine::live::Live;
use crate::rules::registry::fields::FsPathField;
use crate::rules::{Event as _, FieldRef, Kind, Value};

pub type Get = for<'a> fn(&'a Live<'_>) -> Option<Value<'a>>;

#[expect(clippy::unnecessary_wraps, reason = "the form of a class")]
pub const fn of(field: FsPathField) -> Option<Get> {
    use FsPathField as F;
    Some(match field {
        F::FsPathName => |event| {
            let touched = touched(event, PathRole::Name)?;
            resolved(event).map_or_else(|| absolute(event, touched), |path| Some(Value::Str(path)))
        },
        F::FsPathNameraw => |event| raw(touched(event, PathRole::Name)?),
        F::FsPathSource => |event| absolute(event, touched(event, PathRole::Source)?),
        F::FsPathSourceraw => |event| raw(touched(event, PathRole::Source)?),
        F::FsPathTarget => |event| absolute(event, touched(event, PathRole::Target)?),
        F::FsPathTargetraw => |event| raw(touched(event, PathRole::Target)?),
    })
}

/// The argument that names what a call touched; nothing when it failed.
fn touched<'a>(event: &Live<'a>, role: PathRole) -> Option<Arg<'a>> {
    event.result().filter(|result| *result >= 0)?;
    let (param, arg) = event.path(role)?;
    match (param.ty, arg) {
        // No device, say, of a mount that needs none.
        (ParamType::Text(_), Arg::Path { raw: [], .. }) => return None,
        (ParamType::FdPath(_), _) => {}
        _ => return Some(arg),
    }
    Some(event.fd()?.path).filter(|path| !path.is_empty()).map(Arg::Bytes)
}

fn absolute<'a>(event: &'a Live<'_>, arg: Arg<'a>) -> Option<Value<'a>> {
    match arg {
        // The kernel's name of what is open.
        Arg::Bytes(path) => Some(Value::Str(path)),
        arg => evt::absolute(event, arg),
    }
}

/// What the kernel made of the one path of the call, where it tells and this name is asked for.
fn resolved<'a>(event: &Live<'a>) -> Option<&'a [u8]> {
    let view = event.fd().filter(|view| !view.raw.is_empty() && !event.reading.has(Kind::Path))?;
    view.fd.map(|_| view.path)
}

/// Calls `test` with the other spellings of the path that a field is, until it returns true.
pub fn other_spellings(event: &Live<'_>, field: &FieldRef, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
    let Some(Value::Str(path)) = event.get(field) else { return false };
    of_path(event.bump, path, event.fd().filter(|view| view.fd.is_some()).map(|view| view.path), test)
}

fn raw(arg: Arg<'_>) -> Option<Value<'_>> {
    match arg {
        Arg::Path { raw, .. } | Arg::Bytes(raw) => Some(Value::Str(raw)),
        _ => None,
    }
}

//! `fs.path.*`: the paths that a successful file operation touched.

use sensor_ebpf::events::{Arg, ParamType, PathRole};

use super::evt;
use crate::engine::live::Live;
use crate::rules::Value;
use crate::rules::registry::fields::FsPathField;

pub type Get = for<'a> fn(&'a Live<'_>) -> Option<Value<'a>>;

#[expect(clippy::unnecessary_wraps, reason = "the form of a class")]
pub const fn of(field: FsPathField) -> Option<Get> {
    use FsPathField as F;
    Some(match field {
        F::FsPathName => |event| absolute(event, touched(event, PathRole::Name)?),
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

fn raw(arg: Arg<'_>) -> Option<Value<'_>> {
    match arg {
        Arg::Path { raw, .. } | Arg::Bytes(raw) => Some(Value::Str(raw)),
        _ => None,
    }
}

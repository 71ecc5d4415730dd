//! `user.*` and `group.*`: the effective ids of the thread at the event, named by the user database that its process sees.

use std::sync::Arc;

use super::text::text;
use crate::engine::live::Live;
use crate::rules::Value;
use crate::rules::registry::fields::{GroupField, UserField};
use crate::state::Process;

/// From the process of an event.
pub type Get = for<'a> fn(&'a Live<'_>, &'a Arc<Process>) -> Option<Value<'a>>;

/// What Falco shows of a name that it does not find.
const UNKNOWN: &str = "<NA>";

#[expect(clippy::unnecessary_wraps, reason = "the form of a class")]
pub const fn of_user(field: UserField) -> Option<Get> {
    use UserField as F;
    Some(match field {
        F::UserUid => |event, _| Some(Value::Uint(event.record()?.header().uid.into())),
        F::UserName => |event, process| {
            let uid = event.record()?.header().uid;
            text(name(event.known.users.user(process, uid).map(|user| &*user.name), uid))
        },
        F::UserHomedir => |event, process| {
            let uid = event.record()?.header().uid;
            let unknown = if uid == 0 { "/root" } else { UNKNOWN };
            text(event.known.users.user(process, uid).map_or(unknown, |user| &*user.home))
        },
        F::UserShell => |event, process| {
            let uid = event.record()?.header().uid;
            text(event.known.users.user(process, uid).map_or(UNKNOWN, |user| &*user.shell))
        },
        // The audit login uid is -1 without a login.
        F::UserLoginuid => |_, process| Some(Value::Int(process.task.loginuid.cast_signed().into())),
        F::UserLoginname => |event, process| {
            let uid = process.task.loginuid;
            text(name(event.known.users.host_user(uid).map(|user| &*user.name), uid))
        },
    })
}

#[expect(clippy::unnecessary_wraps, reason = "the form of a class")]
pub const fn of_group(field: GroupField) -> Option<Get> {
    use GroupField as F;
    Some(match field {
        F::GroupGid => |event, _| Some(Value::Uint(event.record()?.header().gid.into())),
        F::GroupName => |event, process| {
            let gid = event.record()?.header().gid;
            text(event.known.users.group(process, gid).unwrap_or(UNKNOWN))
        },
    })
}

fn name(found: Option<&str>, uid: u32) -> &str {
    found.unwrap_or(if uid == 0 { "root" } else { UNKNOWN })
}

//! `user.*` and `group.*`: the effective ids of the process, named by the user database that it sees.

use crate::engine::live::Live;
use crate::rules::{Field, Value};

/// What Falco shows of a name that it does not find.
const UNKNOWN: &str = "<NA>";

pub fn get<'a>(event: &'a Live<'_>, field: Field) -> Option<Value<'a>> {
    let process = event.process()?;
    let users = event.known.users;
    let task = &process.task;
    let user = |uid| users.user(process, uid);
    let text = |text: &'a str| Value::Str(text.as_bytes());
    Some(match field {
        Field::UserUid => Value::Uint(task.uid.into()),
        Field::UserName => text(name(user(task.uid).map(|u| &*u.name), task.uid)),
        Field::UserHomedir => {
            text(user(task.uid).map_or(if task.uid == 0 { "/root" } else { UNKNOWN }, |u| &*u.home))
        }
        Field::UserShell => text(user(task.uid).map_or(UNKNOWN, |u| &*u.shell)),
        // The audit login uid is -1 without a login.
        Field::UserLoginuid => Value::Int(task.loginuid.cast_signed().into()),
        Field::UserLoginname => text(name(users.host_user(task.loginuid).map(|u| &*u.name), task.loginuid)),
        Field::GroupGid => Value::Uint(task.gid.into()),
        Field::GroupName => text(users.group(process, task.gid).unwrap_or(UNKNOWN)),
        _ => return None,
    })
}

fn name(found: Option<&str>, uid: u32) -> &str {
    found.unwrap_or(if uid == 0 { "root" } else { UNKNOWN })
}

//! `fd.*` and `fs.path.*`: the descriptor of the event as the kernel resolved it, and the paths that a call touched.

use std::io::Write as _;

use bumpalo::collections::Vec as BumpVec;
use sensor_ebpf::events::{Arg, FdView, PathRole, Role};

use super::evt::absolute;
use crate::engine::fd::{self, Tuple};
use crate::engine::live::Live;
use crate::engine::path;
use crate::rules::registry::domains::DOMAINS;
use crate::rules::{Field, Value};

pub fn get<'a>(event: &'a Live<'_>, field: Field) -> Option<Value<'a>> {
    let view = event.fd()?;
    let text = |text: &'a str| Some(Value::Str(text.as_bytes()));
    match field {
        Field::FdNum => return Some(Value::Int(view.num)),
        Field::FdTypechar => return Some(Value::Str(typechar(event, &view))),
        Field::FdName => return name(event, &view).map(Value::Str),
        Field::FdNameraw => return nameraw(event, &view).map(Value::Str),
        Field::FdUid => {
            let tid = event.record()?.header().tid;
            return Some(joined(event, |out| write!(out, "{tid}{}", view.num)));
        }
        Field::FdContainername => return in_container(event, name(event, &view)?),
        Field::FdContainerdirectory => {
            return in_container(event, path::directory(file_path(event, &view)?));
        }
        Field::FdDirectory => {
            return file_path(event, &view).map(|path| Value::Str(path::directory(path)));
        }
        _ => {}
    }
    let fd = view.fd?;
    let tuple = fd::tuple(fd, event.role());
    let address = |end: fn(&Tuple) -> Option<std::net::SocketAddr>| tuple.as_ref().and_then(end);
    let ip = |end| address(end).map(|a| Value::Ip(a.ip()));
    let port = |end| address(end).map(|a| Value::Uint(a.port().into()));
    // Falco names services only when it is told to resolve names, which it is not.
    let service = |end| {
        let port = address(end)?.port();
        Some(joined(event, |out| write!(out, "{port}")))
    };
    let domain = |end: fn(&Tuple) -> Option<std::net::SocketAddr>| {
        let mut found = None;
        DOMAINS.any_of(address(end)?.ip(), &mut |name| {
            found = Some(Value::Str(event.bump.alloc_slice_copy(name.as_bytes())));
            true
        });
        found
    };
    match field {
        Field::FdCipName => domain(client),
        Field::FdSipName => domain(server),
        Field::FdLipName => domain(local),
        Field::FdRipName => domain(remote),
        Field::FdType => fd::type_name(fd::typechar(fd)).and_then(text),
        Field::FdFilename if matches!(fd.kind, b'f' | b'd') => Some(Value::Str(path::filename(view.path))),
        Field::FdCip | Field::FdCnet => ip(client),
        Field::FdSip | Field::FdSnet => ip(server),
        Field::FdLip | Field::FdLnet => ip(local),
        Field::FdRip | Field::FdRnet => ip(remote),
        Field::FdCport => port(client),
        Field::FdSport => port(server),
        Field::FdLport => port(local),
        Field::FdRport => port(remote),
        Field::FdCproto => service(client),
        Field::FdSproto => service(server),
        Field::FdLproto => service(local),
        Field::FdRproto => service(remote),
        Field::FdL4proto => text(fd::l4proto(fd)),
        Field::FdSockfamily => match fd.kind {
            b'4' | b'6' => text("ip"),
            b'u' => text("unix"),
            _ => None,
        },
        Field::FdIsServer => Some(Value::Bool(tuple.is_some_and(|t| t.is_server))),
        Field::FdConnected => Some(Value::Bool(fd::connected(fd))),
        // Only connect gives an existing descriptor another name.
        Field::FdNameChanged => Some(Value::Bool(event.role() == Role::Client)),
        Field::FdDev => Some(Value::Uint(fd.dev.into())),
        // The inverse of the kernel's `new_encode_dev`.
        Field::FdDevMajor => Some(Value::Uint(((fd.dev >> 8) & 0xfff).into())),
        Field::FdDevMinor => Some(Value::Uint(((fd.dev & 0xff) | ((fd.dev >> 12) & 0xf_ff00)).into())),
        Field::FdIno => i64::try_from(fd.ino).ok().map(Value::Int),
        Field::FdIsUpperLayer => Some(Value::Bool(fd.flags & sensor_ebpf::record::FD_UPPER_LAYER != 0)),
        Field::FdIsLowerLayer => Some(Value::Bool(fd.flags & sensor_ebpf::record::FD_LOWER_LAYER != 0)),
        _ => None,
    }
}

/// A text made for the event.
fn joined<'a>(
    event: &'a Live<'_>,
    write: impl FnOnce(&mut BumpVec<'a, u8>) -> std::io::Result<()>,
) -> Value<'a> {
    let mut out = BumpVec::new_in(event.bump);
    // Memory takes everything.
    _ = write(&mut out);
    Value::Str(out.into_bump_slice())
}

/// `ID:text`, with the id of the event's container.
fn in_container<'a>(event: &'a Live<'_>, text: &[u8]) -> Option<Value<'a>> {
    event.process()?;
    let id = event.container.map_or("host", |container| &container.id);
    Some(joined(event, |out| {
        out.extend_from_slice(id.as_bytes());
        out.push(b':');
        out.write_all(text)
    }))
}

fn client(tuple: &Tuple) -> Option<std::net::SocketAddr> {
    tuple.client
}

fn server(tuple: &Tuple) -> Option<std::net::SocketAddr> {
    tuple.server
}

fn local(tuple: &Tuple) -> Option<std::net::SocketAddr> {
    if tuple.is_server { tuple.server } else { tuple.client }
}

fn remote(tuple: &Tuple) -> Option<std::net::SocketAddr> {
    if tuple.is_server { tuple.client } else { tuple.server }
}

/// Either end of an internet socket, or the names that rules have for one.
pub fn any(event: &Live<'_>, field: Field, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
    let Some(fd) = event.fd().and_then(|view| view.fd) else { return false };
    let Some(tuple) = fd::tuple(fd, event.role()) else { return false };
    let end: Option<fn(&Tuple) -> Option<std::net::SocketAddr>> = match field {
        Field::FdCipName => Some(client),
        Field::FdSipName => Some(server),
        Field::FdLipName => Some(local),
        Field::FdRipName => Some(remote),
        _ => None,
    };
    if let Some(end) = end {
        let names = |name: &str| test(Value::Str(name.as_bytes()));
        return end(&tuple).is_some_and(|end| DOMAINS.any_of(end.ip(), &mut { names }));
    }
    [tuple.client, tuple.server].into_iter().flatten().any(|end| match field {
        Field::FdIp | Field::FdNet => test(Value::Ip(end.ip())),
        Field::FdPort | Field::FdProto => test(Value::Uint(end.port().into())),
        _ => false,
    })
}

/// One character; what the event says when there is no descriptor.
fn typechar(event: &Live<'_>, view: &FdView<'_>) -> &'static [u8] {
    /// Every one-byte string.
    static ALPHABET: [u8; 256] = {
        let mut bytes = [0; 256];
        let mut i = 0;
        while i < 256 {
            #[expect(clippy::cast_possible_truncation, reason = "i < 256")]
            {
                bytes[i] = i as u8;
            }
            i += 1;
        }
        bytes
    };
    let c = match view.fd {
        Some(fd) => fd::typechar(fd),
        None => event.view().and_then(|view| view.fd).map_or(b'o', |fd| fd.otherwise),
    };
    ALPHABET.get(usize::from(c)..=usize::from(c)).unwrap_or_default()
}

/// `fd.name`; for a failed open the path that was asked for.
fn name<'a>(event: &'a Live<'_>, view: &FdView<'a>) -> Option<&'a [u8]> {
    match view.fd {
        Some(fd) => Some(fd::name(event.bump, fd, view.path, event.role())),
        None => asked(event, view),
    }
}

/// The path of a failed open.
fn asked<'a>(event: &'a Live<'_>, view: &FdView<'a>) -> Option<&'a [u8]> {
    (!view.raw.is_empty()).then(|| path::join(event.bump, view.base, view.raw))
}

/// The path of what is a file or a directory, or of a failed open.
fn file_path<'a>(event: &'a Live<'_>, view: &FdView<'a>) -> Option<&'a [u8]> {
    match view.fd {
        Some(fd) => matches!(fd.kind, b'f' | b'd').then_some(view.path),
        None => asked(event, view),
    }
}

fn nameraw<'a>(event: &'a Live<'_>, view: &FdView<'a>) -> Option<&'a [u8]> {
    if !view.raw.is_empty() {
        return Some(path::collapse(event.bump, view.raw));
    }
    view.fd.filter(|fd| matches!(fd.kind, b'f' | b'd')).map(|_| view.path)
}

/// `fs.path.*`: missing when the call failed.
pub fn fs_path<'a>(event: &'a Live<'_>, field: Field) -> Option<Value<'a>> {
    event.result().filter(|result| *result >= 0)?;
    let path = |role| Some(event.path(role)?.1);
    let raw = |role| match path(role)? {
        Arg::Path { raw, .. } => Some(Value::Str(raw)),
        _ => None,
    };
    match field {
        Field::FsPathName => absolute(event, path(PathRole::Name)?),
        Field::FsPathNameraw => raw(PathRole::Name),
        Field::FsPathSource => absolute(event, path(PathRole::Source)?),
        Field::FsPathSourceraw => raw(PathRole::Source),
        Field::FsPathTarget => absolute(event, path(PathRole::Target)?),
        Field::FsPathTargetraw => raw(PathRole::Target),
        _ => None,
    }
}

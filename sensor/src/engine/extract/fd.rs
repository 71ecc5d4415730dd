//! `fd.*`: the descriptor of the event as the kernel resolved it.

use std::io::Write as _;
use std::net::SocketAddr;

use bumpalo::collections::Vec as BumpVec;
use sensor_ebpf::events::FdView;
use sensor_ebpf::record::{FD_LOWER_LAYER, FD_UPPER_LAYER, Fd};

use super::text::{other_spellings, text};
use crate::engine::fd::{self, Tuple};
use crate::engine::live::Live;
use crate::engine::{path, readings};
use crate::rules::registry::fields::FdField;
use crate::rules::{Field, Kind, Value};

/// What of the descriptor a field is. All are missing for events without one.
#[derive(Clone, Copy)]
pub enum Part {
    /// Of the event's view of it, which is there too when the call that makes it failed.
    View(for<'a> fn(&'a Live<'_>, &FdView<'a>) -> Option<Value<'a>>),
    /// Of an open descriptor.
    Open(for<'a> fn(&Live<'_>, &'a Fd) -> Option<Value<'a>>),
    /// Of one end of an internet socket.
    Ip(End),
    Port(End),
    Service(End),
    /// Those domain names of its address that rules use.
    Names(End),
    /// Of both ends.
    EitherIp,
    EitherPort,
}

/// Chooses an end.
pub type End = fn(&Tuple) -> Option<SocketAddr>;

pub const fn of(field: FdField) -> Option<Part> {
    use FdField as F;
    use Part::{EitherIp, EitherPort, Ip, Names, Open, Port, Service, View};
    Some(match field {
        F::FdNum => View(|_, view| Some(Value::Int(view.num))),
        F::FdTypechar => View(|event, view| Some(Value::Str(typechar(event, view)))),
        F::FdName => View(|event, view| name(event, view).map(Value::Str)),
        F::FdNameraw => View(|event, view| nameraw(event, view).map(Value::Str)),
        F::FdUid => View(|event, view| {
            let tid = event.record()?.header().tid;
            Some(joined(event, |out| write!(out, "{tid}{}", view.num)))
        }),
        F::FdContainername => View(|event, view| in_container(event, name(event, view)?)),
        F::FdContainerdirectory => {
            View(|event, view| in_container(event, path::directory(file_path(event, view)?)))
        }
        F::FdDirectory => {
            View(|event, view| file_path(event, view).map(|path| Value::Str(path::directory(path))))
        }
        F::FdFilename => View(|event, view| {
            view.fd?;
            file_path(event, view).map(|path| Value::Str(path::filename(path)))
        }),
        F::FdType => Open(|_, fd| fd::type_name(fd::typechar(fd)).and_then(text)),
        F::FdL4proto => Open(|_, fd| text(fd::l4proto(fd))),
        F::FdSockfamily => Open(|_, fd| match fd.kind {
            b'4' | b'6' => text("ip"),
            b'u' => text("unix"),
            _ => None,
        }),
        F::FdIsServer => Open(|event, fd| {
            Some(Value::Bool(fd::tuple(fd, event.role()).is_some_and(|tuple| tuple.is_server)))
        }),
        F::FdConnected => Open(|_, fd| Some(Value::Bool(fd::connected(fd)))),
        F::FdNameChanged => View(|_, view| view.fd.map(|_| Value::Bool(view.renamed))),
        F::FdDev => Open(|_, fd| Some(Value::Uint(fd.dev.into()))),
        // The inverse of the kernel's `new_encode_dev`.
        F::FdDevMajor => Open(|_, fd| Some(Value::Uint(((fd.dev >> 8) & 0xfff).into()))),
        F::FdDevMinor => {
            Open(|_, fd| Some(Value::Uint(((fd.dev & 0xff) | ((fd.dev >> 12) & 0xf_ff00)).into())))
        }
        F::FdIno => Open(|_, fd| i64::try_from(fd.ino).ok().map(Value::Int)),
        F::FdIsUpperLayer => Open(|_, fd| Some(Value::Bool(fd.flags & FD_UPPER_LAYER != 0))),
        F::FdIsLowerLayer => Open(|_, fd| Some(Value::Bool(fd.flags & FD_LOWER_LAYER != 0))),
        F::FdCip | F::FdCnet => Ip(client),
        F::FdSip | F::FdSnet => Ip(server),
        F::FdLip | F::FdLnet => Ip(local),
        F::FdRip | F::FdRnet => Ip(remote),
        F::FdCport => Port(client),
        F::FdSport => Port(server),
        F::FdLport => Port(local),
        F::FdRport => Port(remote),
        F::FdCproto => Service(client),
        F::FdSproto => Service(server),
        F::FdLproto => Service(local),
        F::FdRproto => Service(remote),
        F::FdCipName => Names(client),
        F::FdSipName => Names(server),
        F::FdLipName => Names(local),
        F::FdRipName => Names(remote),
        F::FdIp | F::FdNet => EitherIp,
        F::FdPort | F::FdProto => EitherPort,
        // `poll` and its kin, which have several, are not captured.
        F::FdTypes => return None,
    })
}

impl Part {
    /// The one value; of names the first.
    pub fn get<'a>(&self, event: &'a Live<'_>) -> Option<Value<'a>> {
        let view = event.fd()?;
        let address = |end: &End| end(&fd::tuple(view.fd?, event.role())?);
        match self {
            Self::View(get) => get(event, &view),
            Self::Open(get) => get(event, view.fd?),
            Self::Ip(end) => {
                let tuple = fd::tuple(view.fd?, event.role())?;
                tuple.ip(end(&tuple)?).map(Value::Ip)
            }
            Self::Port(end) => Some(Value::Uint(address(end)?.port().into())),
            // Falco names services only when it is told to resolve names, which it is not.
            Self::Service(end) => {
                let port = address(end)?.port();
                Some(joined(event, |out| write!(out, "{port}")))
            }
            Self::Names(end) => {
                let mut found = None;
                event.known.hosts.any_of(address(end)?.ip(), &mut |name| {
                    found = Some(Value::Str(event.bump.alloc_slice_copy(name.as_bytes())));
                    true
                });
                found
            }
            // A condition asks for any of them, an output for none.
            Self::EitherIp | Self::EitherPort => None,
        }
    }

    /// Either end of an internet socket, or the names that rules have for one; the other spellings of a path.
    pub fn any(&self, event: &Live<'_>, field: Field, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        let Some(view) = event.fd() else { return false };
        if let Self::View(_) = self {
            return spellings(event, &view, field, test);
        }
        let Some(fd) = view.fd else { return false };
        let Some(tuple) = fd::tuple(fd, event.role()) else { return false };
        let mut ends = [tuple.client, tuple.server].into_iter().flatten();
        match self {
            Self::EitherIp => ends.any(|end| tuple.ip(end).is_some_and(|ip| test(Value::Ip(ip)))),
            Self::EitherPort => ends.any(|end| test(Value::Uint(end.port().into()))),
            Self::Names(end) => end(&tuple).is_some_and(|end| {
                event.known.hosts.any_of(end.ip(), &mut |name| test(Value::Str(name.as_bytes())))
            }),
            Self::View(_) | Self::Open(_) | Self::Ip(_) | Self::Port(_) | Self::Service(_) => false,
        }
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

fn client(tuple: &Tuple) -> Option<SocketAddr> {
    tuple.client
}

fn server(tuple: &Tuple) -> Option<SocketAddr> {
    tuple.server
}

fn local(tuple: &Tuple) -> Option<SocketAddr> {
    if tuple.is_server { tuple.server } else { tuple.client }
}

fn remote(tuple: &Tuple) -> Option<SocketAddr> {
    if tuple.is_server { tuple.client } else { tuple.server }
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
        Some(fd) => {
            let alone = if event.reading.has(Kind::Socket) { readings::socket(event, view) } else { None };
            let second = alone.or_else(|| asked_instead(event, view));
            Some(second.unwrap_or_else(|| fd::name(event.bump, fd, view.path, event.role())))
        }
        None => failed(event, view),
    }
}

/// The path that was asked for, if that is the name that counts.
fn asked_instead<'a>(event: &'a Live<'_>, view: &FdView<'a>) -> Option<&'a [u8]> {
    if event.reading.has(Kind::Path) { readings::asked(event, view) } else { None }
}

/// The path of a failed open.
fn failed<'a>(event: &'a Live<'_>, view: &FdView<'a>) -> Option<&'a [u8]> {
    (!view.raw.is_empty()).then(|| path::join(event.bump, view.base, view.raw))
}

/// The path of what is a file or a directory, or of a failed open.
fn file_path<'a>(event: &'a Live<'_>, view: &FdView<'a>) -> Option<&'a [u8]> {
    match view.fd {
        Some(fd) => matches!(fd.kind, b'f' | b'd').then(|| asked_instead(event, view).unwrap_or(view.path)),
        None => failed(event, view),
    }
}

/// The other spellings of the event's path, or of the directory that it lies in.
fn spellings(
    event: &Live<'_>,
    view: &FdView<'_>,
    field: Field,
    test: &mut dyn FnMut(Value<'_>) -> bool,
) -> bool {
    let resolved = view.fd.map(|_| view.path);
    match field {
        Field::FdName => {
            name(event, view).is_some_and(|path| other_spellings(event.bump, path, resolved, test))
        }
        Field::FdDirectory => file_path(event, view).is_some_and(|path| {
            other_spellings(event.bump, path, resolved, &mut |value| match value {
                Value::Str(path) => test(Value::Str(path::directory(path))),
                _ => false,
            })
        }),
        _ => false,
    }
}

fn nameraw<'a>(event: &'a Live<'_>, view: &FdView<'a>) -> Option<&'a [u8]> {
    if !view.raw.is_empty() {
        return Some(path::collapse(event.bump, view.raw));
    }
    view.fd.filter(|fd| matches!(fd.kind, b'f' | b'd')).map(|_| view.path)
}

//! Arguments of an event as rules and outputs see them: raw, resolved, and `evt.args` with both.

use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use sensor_ebpf::events::flags::Flags;
use sensor_ebpf::events::{Arg, Param, ParamType, Role};
use sensor_ebpf::record::Fd;

use super::{fd, names, path};
use crate::rules::Value;

/// What the resolved form of an argument needs to know.
pub trait Names {
    /// Name of the process with this id.
    fn process(&self, pid: i64) -> Option<&[u8]>;
    /// Name of the user as the event's process knows it.
    fn user(&self, uid: u32) -> Option<&[u8]>;
    fn group(&self, gid: u32) -> Option<&[u8]>;
    /// The event's descriptor and its path, if `number` is the one it is about.
    fn descriptor(&self, number: i64) -> Option<(&Fd, &[u8], Role)>;
}

/// The bare value.
pub fn raw<'a>(bump: &'a Bump, param: &Param, arg: Arg<'a>) -> Value<'a> {
    match arg {
        Arg::Int(n) => Value::Int(n),
        Arg::Uint(n) => Value::Uint(n),
        Arg::Path { raw, .. } => Value::Str(raw),
        Arg::Bytes(bytes) if matches!(param.ty, ParamType::Strings) => Value::Str(spaced(bump, bytes)),
        Arg::Bytes(bytes) if matches!(param.ty, ParamType::Bytes | ParamType::DynamicDec) => {
            Value::Buf(bytes)
        }
        Arg::Bytes(bytes) => Value::Str(bytes),
        Arg::SockAddr(_) | Arg::SockTuple { .. } => Value::Str(raw_text(bump, param, arg)),
    }
}

/// The text of `evt.arg.NAME`: the resolved form if there is one, else the raw one.
pub fn text<'a>(bump: &'a Bump, param: &Param, arg: Arg<'a>, names: &'a dyn Names) -> &'a [u8] {
    resolved(bump, param, arg, names).unwrap_or_else(|| raw_text(bump, param, arg))
}

/// `name=raw` or `name=raw(resolved)` of each, separated by blanks; a present but empty argument is `<NA>`.
pub fn all<'a, 'p, 'r: 'a>(
    bump: &'a Bump,
    args: impl Iterator<Item = (&'p Param, Arg<'r>)>,
    names: &'a dyn Names,
) -> &'a [u8] {
    let mut out = BumpVec::new_in(bump);
    for (param, arg) in args {
        if !out.is_empty() {
            out.push(b' ');
        }
        out.extend_from_slice(param.name.as_bytes());
        out.push(b'=');
        let raw = raw_text(bump, param, arg);
        let null = matches!(param.ty, ParamType::SockTuple | ParamType::Bytes);
        let empty: &[u8] = if null { b"NULL" } else { b"<NA>" };
        out.extend_from_slice(if raw.is_empty() { empty } else { raw });
        if let Some(resolved) = resolved(bump, param, arg, names) {
            out.push(b'(');
            out.extend_from_slice(resolved);
            out.push(b')');
        }
    }
    out.into_bump_slice()
}

fn raw_text<'a>(bump: &'a Bump, param: &Param, arg: Arg<'a>) -> &'a [u8] {
    let mut out = BumpVec::new_in(bump);
    match (arg, param.ty) {
        (Arg::Int(n), _) => _ = write!(out, "{n}"),
        (Arg::Uint(n), ParamType::Hex(_) | ParamType::IntHex(_) | ParamType::Dynamic) => {
            _ = write!(out, "{n:X}");
        }
        (Arg::Uint(n), ParamType::Oct(_) | ParamType::Mode(_)) => {
            _ = write!(out, "{}{n:o}", if n == 0 { "" } else { "0" });
        }
        // Uids and the like are signed in Falco: -1 is "unset".
        (Arg::Uint(n), ParamType::Uid | ParamType::Gid) if n == u64::from(u32::MAX) => {
            out.extend_from_slice(b"-1");
        }
        (Arg::Uint(n), _) => _ = write!(out, "{n}"),
        (Arg::Path { raw, .. }, _) => return raw,
        (Arg::Bytes(bytes), ParamType::Strings) => return spaced(bump, bytes),
        (Arg::Bytes(bytes), ParamType::Bytes | ParamType::DynamicDec) => {
            out.extend(bytes.iter().map(|byte| if matches!(byte, 0x20..0x7f) { *byte } else { b'.' }));
        }
        (Arg::Bytes(bytes), _) => return bytes,
        (Arg::SockAddr(bytes), _) => sockaddr(&mut out, bytes),
        (Arg::SockTuple { fd, path, role }, _) => return fd::name(bump, fd, path, role),
    }
    out.into_bump_slice()
}

fn resolved<'a>(bump: &'a Bump, param: &Param, arg: Arg<'a>, names: &'a dyn Names) -> Option<&'a [u8]> {
    match (arg, param.ty) {
        (Arg::Path { .. }, ParamType::Text(_)) => None,
        (Arg::Path { raw, base }, _) if !raw.starts_with(b"/") && !raw.is_empty() => {
            Some(path::join(bump, base, raw))
        }
        (Arg::Int(-100), ParamType::Fd) => Some(b"AT_FDCWD"),
        (Arg::Int(n), ParamType::Fd | ParamType::FdPath(_) | ParamType::Errno | ParamType::DynamicDec)
            if n < 0 =>
        {
            names::errno(n).map(str::as_bytes)
        }
        (Arg::Int(n), ParamType::Fd | ParamType::FdPath(_)) => {
            let (fd, path, role) = names.descriptor(n)?;
            Some(fd::describe(bump, fd, path, role))
        }
        (Arg::Int(pid), ParamType::Pid) => names.process(pid).filter(|name| !name.is_empty()),
        (Arg::Int(n), ParamType::Signal) => names::signal(n).map(str::as_bytes),
        (Arg::Uint(n), ParamType::Uid | ParamType::Gid) => {
            let id = u32::try_from(n).unwrap_or(u32::MAX);
            let name = if matches!(param.ty, ParamType::Uid) { names.user(id) } else { names.group(id) };
            Some(if id == u32::MAX { b"<NONE>" } else { name.unwrap_or(b"<NA>") })
        }
        (Arg::Uint(n), ParamType::Flags(_, table) | ParamType::Mode(table)) => flags(bump, table, n),
        (Arg::Uint(n), ParamType::Enum(_, table)) => {
            table.iter().find(|(_, value)| u64::from(*value) == n).map(|(name, _)| name.as_bytes())
        }
        _ => None,
    }
}

/// Names of the set flags joined by `|`, in the table's order; each takes its bits away.
fn flags<'a>(bump: &'a Bump, table: &Flags, set: u64) -> Option<&'a [u8]> {
    if set == 0 {
        return table.iter().find(|(_, value)| *value == 0).map(|(name, _)| name.as_bytes());
    }
    let mut out = BumpVec::new_in(bump);
    let mut left = set;
    for &(name, value) in table {
        let value = u64::from(value);
        if value != 0 && left & value == value {
            if !out.is_empty() {
                out.push(b'|');
            }
            out.extend_from_slice(name.as_bytes());
            left &= !value;
        }
    }
    (!out.is_empty()).then(|| out.into_bump_slice())
}

/// Strings ended by NUL each, joined by blanks.
pub fn spaced<'a>(bump: &'a Bump, strings: &[u8]) -> &'a [u8] {
    let strings = strings.strip_suffix(b"\0").unwrap_or(strings);
    bump.alloc_slice_fill_iter(strings.iter().map(|b| if *b == 0 { b' ' } else { *b }))
}

/// The address in a `struct sockaddr`, bare as in Falco; the family alone of one without a known form.
fn sockaddr(out: &mut BumpVec<'_, u8>, bytes: &[u8]) {
    let Some((family, rest)) = bytes.split_first_chunk::<2>() else { return };
    match (u16::from_ne_bytes(*family), rest) {
        (1, [0, ..]) => fd::write_unix_name(out, rest),
        (1, path) => out.extend(path.iter().copied().take_while(|b| *b != 0)),
        (2, [p1, p2, a, b, c, d, ..]) => {
            _ = write!(out, "{}:{}", Ipv4Addr::new(*a, *b, *c, *d), u16::from_be_bytes([*p1, *p2]));
        }
        (10, [p1, p2, _, _, _, _, address @ ..]) if address.len() >= 16 => {
            if let Some(address) = address.first_chunk::<16>() {
                let port = u16::from_be_bytes([*p1, *p2]);
                _ = write!(out, "{}:{port}", Ipv6Addr::from(*address).to_canonical());
            }
        }
        (family, _) => _ = write!(out, "family {family}"),
    }
}

#[cfg(test)]
mod tests {
    use sensor_ebpf::events::PathRole;
    use sensor_ebpf::events::flags::{CHMOD_MODES, FILE_FLAGS, PTRACE_REQUESTS};

    use super::*;

    struct Known;

    impl Names for Known {
        fn process(&self, pid: i64) -> Option<&[u8]> {
            (pid == 7).then_some(b"sleep")
        }
        fn user(&self, uid: u32) -> Option<&[u8]> {
            (uid == 0).then_some(b"root")
        }
        fn group(&self, _: u32) -> Option<&[u8]> {
            None
        }
        fn descriptor(&self, _: i64) -> Option<(&Fd, &[u8], Role)> {
            None
        }
    }

    fn both(ty: ParamType, arg: Arg<'_>) -> String {
        let bump = Bump::new();
        let param = Param { name: "x", ty, get: |_| None };
        String::from_utf8_lossy(all(&bump, std::iter::once((&param, arg)), &Known)).into_owned()
    }

    #[test]
    fn arguments_print_as_in_falco() {
        for (ty, arg, printed) in [
            (ParamType::Errno, Arg::Int(-2), "x=-2(ENOENT)"),
            (ParamType::Errno, Arg::Int(0), "x=0"),
            (ParamType::Fd, Arg::Int(-100), "x=-100(AT_FDCWD)"),
            (ParamType::Fd, Arg::Int(5), "x=5"),
            (ParamType::Pid, Arg::Int(7), "x=7(sleep)"),
            (ParamType::Uid, Arg::Uint(0), "x=0(root)"),
            (ParamType::Uid, Arg::Uint(1234), "x=1234(<NA>)"),
            (ParamType::Uid, Arg::Uint(u64::from(u32::MAX)), "x=-1(<NONE>)"),
            (ParamType::Flags(32, FILE_FLAGS), Arg::Uint(4 | 256 | 2), "x=262(O_TRUNC|O_CREAT|O_WRONLY)"),
            (ParamType::Flags(32, FILE_FLAGS), Arg::Uint(3), "x=3(O_RDWR)"),
            (ParamType::Flags(32, FILE_FLAGS), Arg::Uint(0), "x=0(O_NONE)"),
            (ParamType::Enum(16, PTRACE_REQUESTS), Arg::Uint(11), "x=11(PTRACE_ATTACH)"),
            (ParamType::Oct(32), Arg::Uint(0o644), "x=0644"),
            (
                ParamType::Mode(CHMOD_MODES),
                Arg::Uint(0o4711),
                "x=04711(S_IXOTH|S_IXGRP|S_IXUSR|S_IWUSR|S_IRUSR|S_ISUID)",
            ),
            (ParamType::Mode(CHMOD_MODES), Arg::Uint(0), "x=0"),
            (ParamType::FdPath(PathRole::Name), Arg::Int(-9), "x=-9(EBADF)"),
            (ParamType::Text(PathRole::Target), Arg::Path { raw: b"a", base: b"/b" }, "x=a"),
            (ParamType::Hex(64), Arg::Uint(255), "x=FF"),
            (ParamType::Strings, Arg::Bytes(b"-c\0ls -l\0"), "x=-c ls -l"),
            (ParamType::Bytes, Arg::Bytes(b"GET /\r\n\xff"), "x=GET /..."),
            (ParamType::Bytes, Arg::Bytes(b""), "x=NULL"),
            (ParamType::CharBuf, Arg::Bytes(b""), "x=<NA>"),
            (ParamType::Path(PathRole::Name), Arg::Path { raw: b"a", base: b"/b" }, "x=a(/b/a)"),
            (ParamType::Path(PathRole::Name), Arg::Path { raw: b"/a", base: b"" }, "x=/a"),
            (ParamType::SockAddr, Arg::SockAddr(&[2, 0, 0, 80, 127, 0, 0, 1]), "x=127.0.0.1:80"),
            (ParamType::SockAddr, Arg::SockAddr(&[1, 0, b'/', b'r', 0, 9]), "x=/r"),
            (ParamType::SockAddr, Arg::SockAddr(&[1, 0, 0, b'r', b's']), "x=@rs"),
            (ParamType::SockAddr, Arg::SockAddr(&[2, 0, 0]), "x=family 2"),
        ] {
            assert_eq!(both(ty, arg), printed);
        }
    }
}

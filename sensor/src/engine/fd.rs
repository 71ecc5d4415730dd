//! What rules see of a descriptor: its type, its name, and who is client and who server of a socket.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use sensor_ebpf::events::Role;
use sensor_ebpf::record::{FD_CONNECTED, FD_LISTENING, Fd};

/// The two ends of an internet socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    pub client: Option<SocketAddr>,
    pub server: Option<SocketAddr>,
    /// The local end is the server.
    pub is_server: bool,
}

/// First port that Linux hands out to clients by default (`net.ipv4.ip_local_port_range`).
const FIRST_EPHEMERAL: u16 = 32_768;

/// `None` for anything but an IPv4 or IPv6 socket, and for one that has no address yet.
pub fn tuple(fd: &Fd, role: Role) -> Option<Tuple> {
    let local = address(fd.kind, &fd.local)?;
    let remote = address(fd.kind, &fd.remote)?;
    let local = SocketAddr::new(local, fd.local_port);
    let remote = SocketAddr::new(remote, fd.remote_port);
    if fd.flags & FD_LISTENING != 0 {
        return Some(Tuple { client: None, server: Some(local), is_server: true });
    }
    if fd.remote_port == 0 && remote.ip().is_unspecified() {
        let server = (fd.local_port != 0).then_some(local);
        return server.map(|server| Tuple { client: None, server: Some(server), is_server: true });
    }
    let is_server = role == Role::Unknown
        && fd.local_port != 0
        && fd.local_port < FIRST_EPHEMERAL
        && fd.remote_port >= FIRST_EPHEMERAL;
    Some(if is_server {
        Tuple { client: Some(remote), server: Some(local), is_server }
    } else {
        Tuple { client: Some(local), server: Some(remote), is_server }
    })
}

/// An address in network order; an IPv4 address mapped into IPv6 becomes IPv4, as in Falco.
fn address(kind: u8, bytes: &[u8; 16]) -> Option<IpAddr> {
    match kind {
        b'4' => Some(IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]))),
        b'6' => Some(Ipv6Addr::from(*bytes).to_canonical()),
        _ => None,
    }
}

/// Falco's type character: that of the kernel, but `4` for a mapped IPv4 address.
pub fn typechar(fd: &Fd) -> u8 {
    match tuple(fd, Role::Unknown) {
        Some(Tuple { server: Some(SocketAddr::V4(_)), .. }) => b'4',
        _ => fd.kind,
    }
}

/// `fd.type` of a type character.
pub fn type_name(typechar: u8) -> Option<&'static str> {
    Some(match typechar {
        b'f' => "file",
        b'd' => "directory",
        b'4' => "ipv4",
        b'6' => "ipv6",
        b'u' => "unix",
        b'p' => "pipe",
        b'e' => "event",
        b's' => "signalfd",
        b'l' => "eventpoll",
        b'i' => "inotify",
        b't' => "timerfd",
        b'n' => "netlink",
        b'b' => "bpf",
        b'r' => "io_uring",
        b'm' => "memfd",
        b'P' => "pidfd",
        _ => return None,
    })
}

/// Protocol character in a resolved `FD` argument (`<4t>…`): empty for what is no internet socket.
fn protocol_char(fd: &Fd) -> &'static str {
    match (fd.kind, fd.proto) {
        (b'4' | b'6', 6) => "t",
        (b'4' | b'6', 17) => "u",
        (b'4' | b'6', 1 | 58) => "i",
        (b'4' | b'6', _) if fd.sock_type == 3 => "r",
        _ => "",
    }
}

/// `fd.l4proto`; the text `<NA>` when it is not known, as Falco has it.
pub fn l4proto(fd: &Fd) -> &'static str {
    match protocol_char(fd) {
        "t" => "tcp",
        "u" => "udp",
        "i" => "icmp",
        "r" => "raw",
        _ => "<NA>",
    }
}

/// `fd.connected`.
pub fn connected(fd: &Fd) -> bool {
    matches!(fd.kind, b'4' | b'6') && fd.flags & FD_CONNECTED != 0
}

/// `fd.name`: the path, the address pair, or the kernel's name of an anonymous inode.
pub fn name<'b>(bump: &'b Bump, fd: &Fd, path: &'b [u8], role: Role) -> &'b [u8] {
    let mut out = BumpVec::new_in(bump);
    match fd.kind {
        b'4' | b'6' => {
            if let Some(tuple) = tuple(fd, role) {
                write_tuple(&mut out, &tuple);
            }
        }
        b'u' if path.first() == Some(&0) => {
            out.push(b'@');
            out.extend_from_slice(&path[1..]);
        }
        b'p' if path.is_empty() || path == b"/" => _ = write!(out, "pipe:[{}]", fd.ino),
        _ => return path,
    }
    out.into_bump_slice()
}

/// `1.2.3.4:5->6.7.8.9:10`, or `ip:port` when there is one end only.
pub fn write_tuple(out: &mut BumpVec<'_, u8>, tuple: &Tuple) {
    let end = |out: &mut BumpVec<'_, u8>, end: SocketAddr| _ = write!(out, "{}:{}", end.ip(), end.port());
    if let Some(client) = tuple.client {
        end(out, client);
        out.extend_from_slice(b"->");
    }
    if let Some(server) = tuple.server {
        end(out, server);
    }
}

/// The resolved form of an `FD` argument: `<4t>1.2.3.4:5->6.7.8.9:10`, `<f>/etc/passwd`.
pub fn describe<'b>(bump: &'b Bump, fd: &Fd, path: &'b [u8], role: Role) -> &'b [u8] {
    let mut out = BumpVec::new_in(bump);
    _ = write!(out, "<{}{}>", char::from(typechar(fd)), protocol_char(fd));
    out.extend_from_slice(name(bump, fd, path, role));
    out.into_bump_slice()
}

#[cfg(test)]
mod tests {
    use sensor_ebpf::record::Tail;

    use super::*;

    fn socket(kind: u8, local: &str, remote: &str, flags: u8) -> Fd {
        let bytes = |ip: IpAddr| match ip {
            IpAddr::V4(ip) if kind == b'4' => {
                let mut b = [0; 16];
                b[..4].copy_from_slice(&ip.octets());
                b
            }
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        };
        let (local, remote): (SocketAddr, SocketAddr) = (local.parse().unwrap(), remote.parse().unwrap());
        Fd {
            ino: 7,
            dev: 0,
            kind,
            proto: 6,
            sock_type: 1,
            flags,
            local: bytes(local.ip()),
            remote: bytes(remote.ip()),
            local_port: local.port(),
            remote_port: remote.port(),
            path: Tail::EMPTY,
        }
    }

    fn text(fd: &Fd, role: Role) -> String {
        let bump = Bump::new();
        String::from_utf8_lossy(describe(&bump, fd, b"", role)).into_owned()
    }

    #[test]
    fn the_client_stands_first() {
        let out = socket(b'4', "10.0.0.1:40000", "1.2.3.4:443", FD_CONNECTED);
        assert_eq!(text(&out, Role::Client), "<4t>10.0.0.1:40000->1.2.3.4:443");
        assert!(connected(&out));
        let accepted = socket(b'4', "10.0.0.1:443", "1.2.3.4:40000", FD_CONNECTED);
        assert_eq!(text(&accepted, Role::Unknown), "<4t>1.2.3.4:40000->10.0.0.1:443");
        assert!(tuple(&accepted, Role::Unknown).unwrap().is_server);
        assert!(!tuple(&accepted, Role::Client).unwrap().is_server);
    }

    #[test]
    fn listening_mapped_and_fresh_sockets() {
        let listening = socket(b'4', "0.0.0.0:80", "0.0.0.0:0", FD_LISTENING);
        assert_eq!(text(&listening, Role::Unknown), "<4t>0.0.0.0:80");
        let mapped = socket(b'6', "10.0.0.1:40000", "1.2.3.4:443", FD_CONNECTED);
        assert_eq!(text(&mapped, Role::Client), "<4t>10.0.0.1:40000->1.2.3.4:443");
        let v6 = socket(b'6', "[2001:db8::1]:40000", "[2001:db8::2]:443", FD_CONNECTED);
        assert_eq!(text(&v6, Role::Client), "<6t>2001:db8::1:40000->2001:db8::2:443");
        let fresh = socket(b'4', "0.0.0.0:0", "0.0.0.0:0", 0);
        assert_eq!(tuple(&fresh, Role::Unknown), None);
        assert_eq!(text(&fresh, Role::Unknown), "<4t>");
    }
}

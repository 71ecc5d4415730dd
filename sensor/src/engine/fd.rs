//! What rules see of a descriptor: its type, its name, and who is client and who server of a socket.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use sensor_ebpf::events::Role;
use sensor_ebpf::record::{FD_ADDRESSED, FD_CONNECTED, FD_LISTENING, Fd};

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

impl Tuple {
    /// The address of an end. The local one of a pair has none as long as the kernel has not chosen it.
    pub fn ip(&self, end: SocketAddr) -> Option<IpAddr> {
        let local = if self.is_server { self.server } else { self.client };
        let pair = self.client.is_some() && self.server.is_some();
        let open = pair && local == Some(end) && end.ip().is_unspecified();
        (!open).then_some(end.ip())
    }
}

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
    let well_known = |port: u16| port != 0 && port < FIRST_EPHEMERAL;
    let (own, other) = (well_known(fd.local_port), well_known(fd.remote_port));
    let is_server = match role {
        Role::Client => false,
        Role::Server => true,
        Role::Receives if own == other => !connected(fd),
        Role::Sends | Role::Receives | Role::Unknown => own && fd.remote_port >= FIRST_EPHEMERAL,
    };
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
    matches!(fd.kind, b'4' | b'6') && fd.flags & (FD_CONNECTED | FD_ADDRESSED) == FD_CONNECTED
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
        b'u' => {
            let [own, peer] = fd.unix_ends();
            if peer != 0 || fd.flags & FD_ADDRESSED != 0 {
                let (source, target) = if role == Role::Server { (peer, own) } else { (own, peer) };
                _ = write!(out, "{source:x}->{target:x}{}", if path.is_empty() { "" } else { " " });
            }
            write_unix_name(&mut out, path);
        }
        b'p' if path.is_empty() || path == b"/" => _ = write!(out, "pipe:[{}]", fd.ino),
        _ => return path,
    }
    out.into_bump_slice()
}

/// A path, or an abstract name, of which `@` stands for the NUL in front.
pub fn write_unix_name(out: &mut BumpVec<'_, u8>, name: &[u8]) {
    match name {
        [0, name @ ..] => {
            out.push(b'@');
            out.extend_from_slice(name);
        }
        _ => out.extend_from_slice(name),
    }
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
            ..Fd::NONE
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
    fn who_serves_is_guessed_from_ports_and_then_from_the_way_of_the_data() {
        let is_server = |local, remote, role| {
            let fd = socket(b'4', &format!("10.0.0.1:{local}"), &format!("10.0.0.2:{remote}"), 0);
            tuple(&fd, role).unwrap().is_server
        };
        assert!(!is_server(53, 40_000, Role::Client) && is_server(40_000, 53, Role::Server));
        for role in [Role::Sends, Role::Receives, Role::Unknown] {
            assert!(is_server(53, 40_000, role) && !is_server(40_000, 53, role));
        }
        for (local, remote) in [(53, 123), (40_000, 50_000)] {
            assert!(is_server(local, remote, Role::Receives) && !is_server(local, remote, Role::Sends));
        }
    }

    #[test]
    fn an_address_that_is_not_chosen_yet_is_none() {
        let fd = socket(b'4', "0.0.0.0:40000", "1.2.3.4:53", 0);
        let pair = tuple(&fd, Role::Sends).unwrap();
        assert_eq!(text(&fd, Role::Sends), "<4t>0.0.0.0:40000->1.2.3.4:53");
        assert_eq!(pair.ip(pair.client.unwrap()), None);
        assert_eq!(pair.ip(pair.server.unwrap()), Some("1.2.3.4".parse().unwrap()));
        let listening = tuple(&socket(b'4', "0.0.0.0:80", "0.0.0.0:0", FD_LISTENING), Role::Unknown).unwrap();
        assert!(listening.ip(listening.server.unwrap()).unwrap().is_unspecified());
    }

    #[test]
    fn unix_sockets_have_the_name_of_falco() {
        let mut fd = Fd { kind: b'u', ..Fd::NONE };
        let text = |fd: &Fd, path: &[u8], role| {
            String::from_utf8_lossy(name(&Bump::new(), fd, path, role)).into_owned()
        };
        assert_eq!(text(&fd, b"/run/x", Role::Unknown), "/run/x");
        assert_eq!(text(&fd, b"\0x", Role::Unknown), "@x");
        fd.local[0] = 0x10;
        assert_eq!(text(&fd, b"/run/x", Role::Client), "/run/x");
        fd.flags = FD_ADDRESSED;
        assert_eq!(text(&fd, b"/run/x", Role::Client), "10->0 /run/x");
        fd.remote[1] = 0x20;
        assert_eq!(text(&fd, b"\0x", Role::Client), "10->2000 @x");
        assert_eq!(text(&fd, b"", Role::Server), "2000->10");
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

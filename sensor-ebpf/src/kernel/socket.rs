//! Readers of `struct socket` and `struct sock`.

use super::call::Exit;
use super::path::{self, Path};
use super::read::{self, Ptr};
use super::task;
use super::writer::Writer;
use crate::off;
use crate::record::{CUT_ARGUMENT, FD_ADDRESSED, FD_CONNECTED, FD_LISTENING, Fd, Tail};

const AF_UNSPEC: u16 = 0;
const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const AF_NETLINK: u16 = 16;
const TCP_ESTABLISHED: u8 = 1;
const TCP_SYN_SENT: u8 = 2;
const TCP_LISTEN: u8 = 10;
/// `offsetof(struct sockaddr_un, sun_path)`.
const SUN_PATH: usize = 2;

/// Fills the socket part of `out` from a `struct socket` of `task`.
#[inline(always)]
pub fn describe(w: &mut Writer, task: Ptr, socket: Ptr, out: &mut Fd) {
    let sk = read::pointer(socket, off!(socket_sk));
    out.kind = b'o';
    if sk.is_null() {
        return;
    }
    let family: u16 = read::kernel(sk, off!(sk_family));
    let state: u8 = read::kernel(sk, off!(sk_state));
    out.sock_type = read::kernel::<u16>(sk, off!(sk_type)) as u8;
    out.proto = read::kernel::<u16>(sk, off!(sk_protocol)) as u8;
    out.flags = match state {
        TCP_ESTABLISHED | TCP_SYN_SENT => FD_CONNECTED,
        TCP_LISTEN => FD_LISTENING,
        _ => 0,
    };
    match family {
        AF_INET => {
            out.kind = b'4';
            put_v4(&mut out.local, read::kernel(sk, off!(sk_rcv_saddr)));
            put_v4(&mut out.remote, read::kernel(sk, off!(sk_daddr)));
            ports(sk, out);
        }
        AF_INET6 => {
            out.kind = b'6';
            out.local = read::kernel(sk, off!(sk_v6_rcv_saddr));
            out.remote = read::kernel(sk, off!(sk_v6_daddr));
            ports(sk, out);
        }
        AF_UNIX => {
            out.kind = b'u';
            let peer = read::pointer(sk, off!(unix_peer));
            out.local = word(sk);
            out.remote = word(peer);
            (out.path, out.own_file) = unix_names(w, task, sk);
            if !peer.is_null() {
                (out.peer, out.peer_file) = unix_names(w, task, peer);
            }
        }
        AF_NETLINK => out.kind = b'n',
        _ => {}
    }
}

#[inline(always)]
fn put_v4(out: &mut [u8; 16], address: u32) {
    let [a, b, c, d] = address.to_ne_bytes();
    out[0] = a;
    out[1] = b;
    out[2] = c;
    out[3] = d;
}

#[inline(always)]
fn ports(sk: Ptr, out: &mut Fd) {
    out.local_port = read::kernel(sk, off!(sk_num));
    out.remote_port = u16::from_be(read::kernel(sk, off!(sk_dport)));
}

/// What `Fd` has of a unix socket instead of an address.
#[inline(always)]
fn word(sk: Ptr) -> [u8; 16] {
    zerocopy::transmute!([sk as u64, 0])
}

/// The name that a unix socket is bound to, and the file that it is if it is one.
#[inline(always)]
fn unix_names(w: &mut Writer, task: Ptr, sk: Ptr) -> (Tail, Tail) {
    let name = unix_name(w, sk);
    let file = Path::at(sk.wrapping_add(off!(unix_path)));
    if file.dentry.is_null() {
        return (name, Tail::EMPTY);
    }
    (name, path::append(w, file, task::root(task)))
}

/// The name of a unix socket as it was bound: a path, or an abstract name with its leading NUL.
#[inline(always)]
fn unix_name(w: &mut Writer, sk: Ptr) -> Tail {
    let address = read::pointer(sk, off!(unix_addr));
    if address.is_null() {
        return Tail::EMPTY;
    }
    let len: u32 = read::kernel(address, off!(unix_address_len));
    if len as usize <= SUN_PATH || len > 110 {
        return Tail::EMPTY;
    }
    let sun_path = address.wrapping_add(off!(unix_address_name) + SUN_PATH);
    if read::kernel::<u8>(sun_path, 0) == 0 {
        return w.kernel_bytes(sun_path, len as usize - SUN_PATH);
    }
    w.kernel_str(sun_path)
}

/// The `struct sockaddr` of `len` bytes that an argument of a call points to; none when there is no such argument.
#[inline(always)]
pub fn passed(w: &mut Writer, exit: &Exit, address: u64, len: u64) -> Tail {
    /// `sizeof(struct sockaddr_storage)`.
    const SOCKADDR_MAX: u64 = 128;
    if address == 0 {
        return Tail::EMPTY;
    }
    // The kernel takes the length for an `int`.
    w.argument_bytes(exit, address, len & u64::from(u32::MAX), SOCKADDR_MAX, CUT_ARGUMENT)
}

/// Puts `address`, a `struct sockaddr` in the caller's memory, in the place of the remote end of `out`, which the kernel does not
/// keep. With `host` the kernel keeps the host alone, and it is right.
#[inline(always)]
pub fn address(w: &mut Writer, address: Tail, host: bool, out: &mut Fd) {
    let Some(family) = w.part::<u16>(address, 0) else { return };
    let host = host && out.remote != [0; 16];
    match (out.kind, family) {
        // A datagram without a family goes to an IPv4 address.
        (b'4', AF_INET | AF_UNSPEC) => {
            let Some(ip) = w.part::<u32>(address, 4) else { return };
            if !host {
                put_v4(&mut out.remote, ip);
            }
        }
        (b'6', AF_INET) => {
            let Some(ip) = w.part::<u32>(address, 4) else { return };
            if !host {
                // `::ffff:a.b.c.d`
                out.remote = zerocopy::transmute!([0, 0, 0xffff_u32.to_be(), ip]);
            }
        }
        (b'6', AF_INET6) => {
            let Some(ip) = w.part::<[u8; 16]>(address, 8) else { return };
            if !host {
                out.remote = ip;
            }
        }
        (b'u', AF_UNIX) if address.len > SUN_PATH as u16 => {
            out.peer = Tail { off: address.off + SUN_PATH as u16, len: address.len - SUN_PATH as u16 };
            out.peer_file = Tail::EMPTY;
            out.flags |= FD_ADDRESSED;
            return;
        }
        _ => return,
    }
    out.remote_port = u16::from_be(w.part(address, 2).unwrap_or(0));
    out.flags |= FD_ADDRESSED;
}

/// How many connections wait to be accepted from a `struct sock`, and how many may.
#[inline(always)]
pub fn queue(sk: Ptr) -> (u32, u32) {
    (read::kernel(sk, off!(sk_ack_backlog)), read::kernel(sk, off!(sk_max_ack_backlog)))
}

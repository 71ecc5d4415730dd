//! Readers of `struct socket` and `struct sock`.

use super::read::{self, Ptr};
use super::writer::Writer;
use crate::off;
use crate::record::{FD_CONNECTED, FD_LISTENING, Fd, Tail};

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const AF_NETLINK: u16 = 16;
const TCP_ESTABLISHED: u8 = 1;
const TCP_SYN_SENT: u8 = 2;
const TCP_LISTEN: u8 = 10;

/// Fills the socket part of `out` from a `struct socket`.
#[inline(always)]
pub fn describe(w: &mut Writer, socket: Ptr, out: &mut Fd) {
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
            let own = unix_path(w, sk);
            let peer = read::pointer(sk, off!(unix_peer));
            out.path = if own.len == 0 && !peer.is_null() { unix_path(w, peer) } else { own };
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

/// The bound name of a unix socket: a path, or an abstract name with its leading NUL.
#[inline(always)]
fn unix_path(w: &mut Writer, sk: Ptr) -> Tail {
    /// `offsetof(struct sockaddr_un, sun_path)`.
    const SUN_PATH: usize = 2;
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

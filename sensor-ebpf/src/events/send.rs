//! sendto(2), sendmsg(2), sendmmsg(2): an address that is passed names the socket for this one call.

use super::{
    Arg, Category, Codes, Descriptor, Direction, FdView, Info, Is, Lane, Looks, Param, ParamType as T, Role,
    View, Volume, goes_on, params,
};
use crate::record;
use crate::record::{FD_ADDRESSED, Fd, Pod as _, Record, Tail};

record! {
    /// A finished send: one message.
    pub struct Sent {
        /// Bytes that went, or a negative errno.
        pub ret: i64,
        pub sock: Fd,
        pub num: i32,
        /// Bytes of the message.
        pub size: u32,
        /// The first of them.
        pub data: Tail,
        /// `struct sockaddr` as passed.
        pub addr: Tail,
    }
}

/// sendto(2).
pub struct Sendto;
/// sendmsg(2).
pub struct Sendmsg;
/// sendmmsg(2): an event for each message.
pub struct Sendmmsg;

impl Sendto {
    pub const EVENT: Info = event("sendto", ONE);
}

impl Sendmsg {
    pub const EVENT: Info = event("sendmsg", ONE);
}

impl Sendmmsg {
    pub const EVENT: Info = event("sendmmsg", OF_MANY);
}

const fn event(name: &'static str, params: &'static [Param]) -> Info {
    Info {
        layout: Sent::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name,
            codes: Codes::Exit,
            category: Category::OfDescriptor,
            params,
            fd: Some(Descriptor { view, is: Is::Subject, otherwise: b'o', role: Role::Sends }),
            io: Some(Direction::Write),
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    }
}

fn view<'a>(r: &Record<'a>) -> Option<FdView<'a>> {
    let body: &Sent = r.body()?;
    let renamed = body.sock.flags & FD_ADDRESSED != 0 && goes_on(body.ret);
    Some(FdView { renamed, ..FdView::of(r, body.num.into(), &body.sock) })
}

const ONE: &[Param] = params! {
    "res": T::Errno, |r, b: &Sent| Arg::Int(b.ret);
    "data": T::Bytes, |r, b: &Sent| Arg::Bytes(r.tail(b.data));
    "fd": T::Fd, |r, b: &Sent| Arg::Int(b.num.into());
    "size": T::Dec(32), |r, b: &Sent| Arg::Uint(b.size.into());
    "tuple": T::SockTuple, |r, b: &Sent| view(r)?.tuple(Role::Sends);
};

const OF_MANY: &[Param] = params! {
    "res": T::Errno, |r, b: &Sent| Arg::Int(b.ret);
    "fd": T::Fd, |r, b: &Sent| Arg::Int(b.num.into());
    "size": T::Dec(32), |r, b: &Sent| Arg::Uint(b.size.into());
    "data": T::Bytes, |r, b: &Sent| Arg::Bytes(r.tail(b.data));
    "tuple": T::SockTuple, |r, b: &Sent| view(r)?.tuple(Role::Sends);
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Sent;
    use crate::events::Kind;
    use crate::kernel::data::{self, Message};
    use crate::kernel::{Exit, Writer, file, socket};
    use crate::record::{CUT_MESSAGES, Fd, Lane, Tag};

    /// Messages of one sendmmsg that records are made of.
    const MESSAGES: u64 = 8;
    const SOCK_STREAM: u8 = 1;
    const SOCK_SEQPACKET: u8 = 5;
    const MSG_FASTOPEN: u64 = 0x2000_0000;

    /// Whether the kernel looks at an address that is passed: a stream has its peer, or gets it by the call.
    #[inline(always)]
    fn is_asked(sock: &Fd, flags: u64, ret: i64) -> bool {
        match sock.sock_type {
            SOCK_STREAM => flags & MSG_FASTOPEN != 0 && ret < 0,
            SOCK_SEQPACKET => false,
            _ => true,
        }
    }

    /// How many bytes to look at: those that went, or that should have.
    #[inline(always)]
    fn moved(ret: i64, size: u64) -> u64 {
        if ret > 0 { ret as u64 } else { size }
    }

    /// Makes the record of one message of `exit`, at address `at`.
    #[inline(always)]
    fn message(exit: &Exit, kind: Kind, at: u64, ret: i64, flags: u64, cut: u16) {
        let more = u64::from(flags as u32) | u64::from(cut) << 32 | (kind as u64) << 48;
        sent_message(exit.arg(0), at, ret, more, exit.how());
    }

    /// As [`message`], checked by the verifier once and not for each of many messages. `more`: the flags of the call, above them what is
    /// cut and the kind of event.
    #[expect(unsafe_code, reason = "the verifier knows global functions by name")]
    #[unsafe(no_mangle)]
    #[inline(never)]
    extern "C" fn sent_message(fd: u64, at: u64, ret: i64, more: u64, how: u32) -> u32 {
        let exit = Exit::resume(fd, ret, how);
        let tag = Tag { kind: (more >> 48) as u16, lane: Lane::Bulk };
        let Some(mut w) = Writer::new::<Sent>(tag) else { return 0 };
        let message = Message::read(&mut w, &exit, at);
        let body = w.body::<Sent>();
        body.ret = ret;
        body.num = fd as i32;
        file::describe(&mut w, exit.task, body.num, &mut body.sock);
        let found = data::buffers(&exit, message.iov, message.count, moved(ret, u64::MAX));
        body.data = found.first;
        body.size = found.size;
        body.addr = socket::passed(&mut w, &exit, message.name, message.name_len);
        if is_asked(&body.sock, more, ret) {
            socket::address(&mut w, body.addr, false, &mut body.sock);
        }
        w.cut((more >> 32) as u16);
        w.submit(tag);
        0
    }

    #[inline(always)]
    pub fn sendto(exit: &Exit) {
        let Some(mut w) = Writer::new::<Sent>(Kind::Sendto) else { return };
        let body = w.body::<Sent>();
        body.ret = exit.ret;
        body.num = exit.arg(0) as i32;
        body.size = exit.arg(2) as u32;
        file::describe(&mut w, exit.task, body.num, &mut body.sock);
        body.data = data::buffer(&mut w, exit.arg(1), moved(exit.ret, exit.arg(2)));
        body.addr = socket::passed(&mut w, exit, exit.arg(4), exit.arg(5));
        if is_asked(&body.sock, exit.arg(3), exit.ret) {
            socket::address(&mut w, body.addr, false, &mut body.sock);
        }
        w.submit(Kind::Sendto);
    }

    #[inline(always)]
    pub fn sendmsg(exit: &Exit) {
        message(exit, Kind::Sendmsg, exit.arg(1), exit.ret, exit.arg(2), 0);
    }

    #[inline(always)]
    pub fn sendmmsg(exit: &Exit) {
        // One that failed has told of its first message.
        let count = if exit.ret > 0 { exit.ret as u64 } else { 1 };
        for n in 0..MESSAGES {
            if n >= count {
                break;
            }
            let at = exit.arg(1).wrapping_add(n * Message::stride(exit.compat));
            let ret = if exit.ret > 0 { Message::moved(exit, at).into() } else { exit.ret };
            let cut = if n == MESSAGES - 1 && count > MESSAGES { CUT_MESSAGES } else { 0 };
            message(exit, Kind::Sendmmsg, at, ret, exit.arg(3), cut);
        }
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{sendmmsg, sendmsg, sendto};

#[cfg(feature = "testing")]
mod scenarios {
    use std::format;
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::UnixDatagram;

    use super::{Sendmmsg, Sendmsg, Sendto};
    use crate::record::{CUT_DATA, CUT_MESSAGES};
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Stage, buffers, ipv4, ipv6, message, messages, sockaddr, touch};

    impl Sendto {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "a datagram's address is the socket's name", play: datagram },
            Scenario { shows: "IPv6, and IPv4 in it", play: v6 },
            Scenario { shows: "another address than that of the peer", play: other_peer },
            Scenario { shows: "a connection keeps its name", play: connection },
            Scenario { shows: "fast open: the connection that it makes, or tried to make", play: fast_open },
            Scenario { shows: "a path and an abstract name", play: unix },
            Scenario { shows: "data is cut behind 80 bytes", play: long },
            Scenario { shows: "a descriptor that is no socket", play: failed },
        ];
    }

    impl Sendmsg {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "data from several buffers, with an address", play: gathered },
            Scenario { shows: "more buffers than are looked at", play: many_buffers },
        ];
    }

    impl Sendmmsg {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "an event for each message", play: several },
            Scenario { shows: "more messages than records are made of", play: too_many },
            Scenario { shows: "one that failed", play: none_went },
        ];
    }

    fn datagram(stage: &mut dyn Stage) {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let address = ipv4([127, 0, 0, 1], port);
        let client = UdpSocket::bind("0.0.0.0:0").unwrap();
        let (fd, own) = (client.as_raw_fd(), client.local_addr().unwrap().port());
        let seen = stage.one(&|| {
            syscall!(SYS_sendto, fd, c"hello".as_ptr(), 5, 0, address.as_ptr(), address.len());
        });
        let (fd, tuple) = (format!("{fd}"), format!("4 [127, 0, 0, 1]:{port} false"));
        seen.is("sendto", &[("res", "5"), ("data", "hello"), ("fd", &fd), ("size", "5"), ("tuple", &tuple)])
            .has(&[("evt.type", "sendto"), ("evt.category", "net"), ("evt.res", "SUCCESS")])
            .has(&[("evt.is_io", "true"), ("evt.is_io_write", "true"), ("evt.is_io_read", "false")])
            .has(&[
                ("evt.io_dir", "write"),
                ("evt.buffer", "hello"),
                ("evt.buflen", "5"),
                ("evt.arg[1]", "hello"),
            ])
            .has(&[
                ("fd.num", &fd),
                ("fd.name", &format!("0.0.0.0:{own}->127.0.0.1:{port}")),
                ("fd.l4proto", "udp"),
                ("fd.sip", "127.0.0.1"),
                ("fd.sport", &format!("{port}")),
                ("fd.cport", &format!("{own}")),
                ("fd.connected", "false"),
                ("fd.name_changed", "true"),
                ("fd.is_server", "false"),
            ])
            // The kernel chooses it anew for each datagram.
            .lacks(&["fd.cip"]);
        // Without a family it is an IPv4 address all the same.
        let address = [&[0, 0], &address[2..]].concat();
        let seen = stage.one(&|| {
            syscall!(
                SYS_sendto,
                client.as_raw_fd(),
                c"hello".as_ptr(),
                5,
                0,
                address.as_ptr(),
                address.len()
            );
        });
        seen.has(&[("evt.res", "SUCCESS"), ("fd.sip", "127.0.0.1"), ("fd.sport", &format!("{port}"))]);
    }

    fn v6(stage: &mut dyn Stage) {
        let Ok(client) = UdpSocket::bind("[::]:0") else { return stage.skip("no IPv6") };
        let fd = client.as_raw_fd();
        let mut sip = |ip: [u8; 16]| {
            let address = ipv6(ip, 9);
            let seen = stage.one(&|| {
                syscall!(SYS_sendto, fd, c"x".as_ptr(), 1, 0, address.as_ptr(), address.len());
            });
            (seen.fields["fd.sip"].clone(), seen.fields["fd.type"].clone())
        };
        assert_eq!(sip(Ipv6Addr::LOCALHOST.octets()), ("::1".into(), "ipv6".into()));
        let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped().octets();
        assert_eq!(sip(mapped), ("127.0.0.1".into(), "ipv4".into()));
    }

    fn other_peer(stage: &mut dyn Stage) {
        let (peer, other) =
            (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(peer.local_addr().unwrap()).unwrap();
        let (fd, port) = (client.as_raw_fd(), other.local_addr().unwrap().port());
        let address = ipv4([127, 0, 0, 1], port);
        let seen = stage.observe(&|| {
            syscall!(SYS_sendto, fd, c"x".as_ptr(), 1, 0, address.as_ptr(), address.len());
            syscall!(SYS_sendto, fd, c"x".as_ptr(), 1, 0, 0, 0);
        });
        seen[0].has(&[
            ("fd.sport", &format!("{port}")),
            ("fd.connected", "false"),
            ("fd.name_changed", "true"),
            ("fd.cip", "127.0.0.1"),
        ]);
        let port = peer.local_addr().unwrap().port();
        seen[1].has(&[
            ("fd.sport", &format!("{port}")),
            ("fd.connected", "true"),
            ("fd.name_changed", "false"),
        ]);
    }

    fn connection(stage: &mut dyn Stage) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (fd, address) = (client.as_raw_fd(), ipv4([192, 0, 2, 1], 80));
        let seen = stage.one(&|| {
            syscall!(SYS_sendto, fd, c"hello".as_ptr(), 5, 0, address.as_ptr(), address.len());
        });
        seen.has(&[
            ("evt.res", "SUCCESS"),
            ("fd.sip", "127.0.0.1"),
            ("fd.sport", &format!("{}", listener.local_addr().unwrap().port())),
            ("fd.name_changed", "false"),
            ("fd.connected", "true"),
        ]);
    }

    fn fast_open(stage: &mut dyn Stage) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = UdpSocket::bind("127.0.0.1:0").unwrap();
        for (port, result) in [
            (listener.local_addr().unwrap().port(), "SUCCESS"),
            (closed.local_addr().unwrap().port(), "ECONNREFUSED"),
        ] {
            let address = ipv4([127, 0, 0, 1], port);
            let seen = stage.observe(&|| {
                let fd = syscall!(SYS_socket, libc::AF_INET, libc::SOCK_STREAM, 0);
                let (text, flags) = (c"hello".as_ptr(), libc::MSG_FASTOPEN | libc::MSG_NOSIGNAL);
                syscall!(SYS_sendto, fd, text, 5, flags, address.as_ptr(), address.len());
            });
            let seen = seen.last().expect("a sendto");
            if seen.fields["evt.res"] == "EOPNOTSUPP" {
                return stage.skip("no fast open here");
            }
            seen.has(&[("evt.res", result), ("fd.sip", "127.0.0.1"), ("fd.sport", &format!("{port}"))]);
        }
    }

    fn unix(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let path = dir.at("socket");
        let _server = UnixDatagram::bind(&path).unwrap();
        let client = UnixDatagram::unbound().unwrap();
        let fd = client.as_raw_fd();
        for (name, shown, result) in [
            (format!("{path}\0"), path.clone(), "SUCCESS"),
            ("\0falconet-nobody".into(), "@falconet-nobody".into(), "ECONNREFUSED"),
        ] {
            let address = sockaddr(libc::AF_UNIX, name.as_bytes());
            let seen = stage.one(&|| {
                syscall!(SYS_sendto, fd, c"x".as_ptr(), 1, 0, address.as_ptr(), address.len());
            });
            seen.has(&[("evt.res", result), ("fd.type", "unix"), ("evt.category", "IPC")]);
            let name = &seen.fields["fd.name"];
            assert!(name.ends_with(&format!("->0 {shown}")), "{name}");
        }
    }

    fn long(stage: &mut dyn Stage) {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(server.local_addr().unwrap()).unwrap();
        let (fd, text) = (client.as_raw_fd(), [b'a'; 200]);
        let seen = stage.one(&|| {
            syscall!(SYS_sendto, fd, text.as_ptr(), text.len(), 0, 0, 0);
        });
        seen.has(&[("evt.buflen", "200"), ("evt.buffer", &"a".repeat(80)), ("evt.arg[3]", "200")]);
        assert_eq!(seen.cut(), 0, "that is all that there is to be");
    }

    fn failed(stage: &mut dyn Stage) {
        let address = ipv4([127, 0, 0, 1], 9);
        let seen = stage.one(&|| {
            touch(&[c"hello"]);
            syscall!(SYS_sendto, 999, c"hello".as_ptr(), 5, 0, address.as_ptr(), address.len());
        });
        seen.is("sendto", &[("res", "-9"), ("data", "hello"), ("fd", "999"), ("size", "5"), ("tuple", "")])
            .has(&[
                ("evt.res", "EBADF"),
                ("fd.num", "999"),
                ("fd.typechar", "o"),
                ("evt.category", "unknown"),
            ])
            .lacks(&["fd.name", "fd.sip", "evt.buflen"]);
    }

    fn gathered(stage: &mut dyn Stage) {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let address = ipv4([127, 0, 0, 1], port);
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let fd = client.as_raw_fd();
        let parts = buffers(&[b"GET ", b"", b"/index"]);
        let message = message(&address, &parts, &[]);
        let seen = stage.one(&|| {
            syscall!(SYS_sendmsg, fd, message.as_ptr(), 0);
        });
        let (fd, tuple) = (format!("{fd}"), format!("4 [127, 0, 0, 1]:{port} false"));
        seen.is(
            "sendmsg",
            &[("res", "10"), ("data", "GET /index"), ("fd", &fd), ("size", "10"), ("tuple", &tuple)],
        )
        .has(&[
            ("evt.type", "sendmsg"),
            ("evt.category", "net"),
            ("fd.name_changed", "true"),
            ("fd.sip", "127.0.0.1"),
        ])
        .has(&[("evt.io_dir", "write"), ("evt.buffer", "GET /index")]);
    }

    fn many_buffers(stage: &mut dyn Stage) {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = ipv4([127, 0, 0, 1], server.local_addr().unwrap().port());
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let fd = client.as_raw_fd();
        let parts = buffers(&[b"x" as &[u8]; 20]);
        let message = message(&address, &parts, &[]);
        let seen = stage.one(&|| {
            syscall!(SYS_sendmsg, fd, message.as_ptr(), 0);
        });
        seen.has(&[("evt.buflen", "20"), ("evt.buffer", &"x".repeat(16)), ("evt.arg[3]", "16")]);
        assert_eq!(seen.cut(), CUT_DATA);
    }

    fn several(stage: &mut dyn Stage) {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let address = ipv4([127, 0, 0, 1], port);
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let fd = client.as_raw_fd();
        let (first, second) = (buffers(&[b"one"]), buffers(&[b"second"]));
        let mut messages = messages(&[message(&address, &first, &[]), message(&address, &second, &[])]);
        let at = messages.as_mut_ptr();
        let seen = stage.observe(&|| {
            syscall!(SYS_sendmmsg, fd, at.cast_const(), 2, 0);
        });
        let (fd, tuple) = (format!("{fd}"), format!("4 [127, 0, 0, 1]:{port} false"));
        assert_eq!(seen.len(), 2, "{seen:?}");
        for (seen, (text, len)) in seen.iter().zip([("one", "3"), ("second", "6")]) {
            seen.is(
                "sendmmsg",
                &[("res", len), ("fd", &fd), ("size", len), ("data", text), ("tuple", &tuple)],
            )
            .has(&[
                ("evt.type", "sendmmsg"),
                ("evt.category", "net"),
                ("fd.sport", &format!("{port}")),
            ]);
        }
    }

    fn too_many(stage: &mut dyn Stage) {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = ipv4([127, 0, 0, 1], server.local_addr().unwrap().port());
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let fd = client.as_raw_fd();
        let text = buffers(&[b"x"]);
        let mut messages = messages(&[message(&address, &text, &[]); 9]);
        let at = messages.as_mut_ptr();
        let seen = stage.observe(&|| {
            syscall!(SYS_sendmmsg, fd, at.cast_const(), 9, 0);
        });
        let cuts: std::vec::Vec<u16> = seen.iter().map(crate::testing::Seen::cut).collect();
        assert_eq!(cuts, [0, 0, 0, 0, 0, 0, 0, CUT_MESSAGES]);
    }

    fn none_went(stage: &mut dyn Stage) {
        let address = ipv4([127, 0, 0, 1], 9);
        let text = buffers(&[&c"x".to_bytes()[..1]]);
        let mut messages = messages(&[message(&address, &text, &[]); 2]);
        let at = messages.as_mut_ptr();
        let seen = stage.one(&|| {
            touch(&[c"x"]);
            syscall!(SYS_sendmmsg, 999, at.cast_const(), 2, 0);
        });
        seen.is("sendmmsg", &[("res", "-9"), ("fd", "999"), ("size", "1"), ("data", "x"), ("tuple", "")])
            .has(&[("evt.res", "EBADF")]);
    }
}

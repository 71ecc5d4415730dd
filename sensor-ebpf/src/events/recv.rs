//! recvfrom(2), recvmsg(2), recvmmsg(2): the sender of a datagram names the socket for this one call.

use super::{
    Arg, Category, Codes, Descriptor, Direction, FdView, Info, Is, Lane, Looks, Param, ParamType as T, Role,
    View, Volume, goes_on, params,
};
use crate::record;
use crate::record::{FD_ADDRESSED, Fd, Pod as _, Record, Tail};

record! {
    /// A finished receive: one message.
    pub struct Received {
        /// Bytes that came, or a negative errno.
        pub ret: i64,
        pub sock: Fd,
        pub num: i32,
        /// Bytes that there is room for.
        pub size: u32,
        /// The first that came.
        pub data: Tail,
        /// `struct sockaddr` of the sender, as the kernel gave it to the caller.
        pub addr: Tail,
        /// Control messages, as the kernel gave them.
        pub control: Tail,
        pub reserved: u32,
    }
}

/// recvfrom(2).
pub struct Recvfrom;
/// recvmsg(2).
pub struct Recvmsg;
/// recvmmsg(2): an event for each message.
pub struct Recvmmsg;

impl Recvfrom {
    pub const EVENT: Info = event("recvfrom", FROM);
}

impl Recvmsg {
    pub const EVENT: Info = event("recvmsg", ONE);
}

impl Recvmmsg {
    pub const EVENT: Info = event("recvmmsg", OF_MANY);
}

const fn event(name: &'static str, params: &'static [Param]) -> Info {
    Info {
        layout: Received::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name,
            codes: Codes::Exit,
            category: Category::OfDescriptor,
            params,
            fd: Some(Descriptor { view, is: Is::Subject, otherwise: b'o', role: Role::Receives }),
            io: Some(Direction::Read),
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    }
}

fn view<'a>(r: &Record<'a>) -> Option<FdView<'a>> {
    let body: &Received = r.body()?;
    let renamed = body.sock.flags & FD_ADDRESSED != 0 && goes_on(body.ret);
    Some(FdView { renamed, ..FdView::of(r, body.num.into(), &body.sock) })
}

const FROM: &[Param] = params! {
    "res": T::Errno, |r, b: &Received| Arg::Int(b.ret);
    "data": T::Bytes, |r, b: &Received| Arg::Bytes(r.tail(b.data));
    "tuple": T::SockTuple, |r, b: &Received| view(r)?.tuple(Role::Receives);
    "fd": T::Fd, |r, b: &Received| Arg::Int(b.num.into());
    "size": T::Dec(32), |r, b: &Received| Arg::Uint(b.size.into());
};

const ONE: &[Param] = params! {
    "res": T::Errno, |r, b: &Received| Arg::Int(b.ret);
    "size": T::Dec(32), |r, b: &Received| Arg::Uint(b.size.into());
    "data": T::Bytes, |r, b: &Received| Arg::Bytes(r.tail(b.data));
    "tuple": T::SockTuple, |r, b: &Received| view(r)?.tuple(Role::Receives);
    "msgcontrol": T::Bytes, |r, b: &Received| Arg::Bytes(r.tail(b.control));
    "fd": T::Fd, |r, b: &Received| Arg::Int(b.num.into());
};

const OF_MANY: &[Param] = params! {
    "res": T::Errno, |r, b: &Received| Arg::Int(b.ret);
    "fd": T::Fd, |r, b: &Received| Arg::Int(b.num.into());
    "size": T::Dec(32), |r, b: &Received| Arg::Uint(b.size.into());
    "data": T::Bytes, |r, b: &Received| Arg::Bytes(r.tail(b.data));
    "tuple": T::SockTuple, |r, b: &Received| view(r)?.tuple(Role::Receives);
    "msgcontrol": T::Bytes, |r, b: &Received| Arg::Bytes(r.tail(b.control));
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Received;
    use crate::events::Kind;
    use crate::kernel::data::{self, Message};
    use crate::kernel::{Exit, Writer, file, socket};
    use crate::record::{CUT_ARGUMENT, CUT_MESSAGES, Fd, Lane, Tag, Tail};

    /// Messages of one recvmmsg that records are made of.
    const MESSAGES: u64 = 8;
    /// Most bytes of control messages in a record.
    const CONTROL_MAX: u64 = 256;
    const SOCK_STREAM: u8 = 1;
    const SOCK_SEQPACKET: u8 = 5;

    /// Whether the kernel tells where a message came from: a connection has its peer.
    #[inline(always)]
    fn has_sender(sock: &Fd, ret: i64) -> bool {
        ret >= 0 && !matches!(sock.sock_type, SOCK_STREAM | SOCK_SEQPACKET)
    }

    /// Makes the record of one message of `exit`, at address `at`.
    #[inline(always)]
    fn message(exit: &Exit, kind: Kind, at: u64, ret: i64, cut: u16) {
        received_message(exit.arg(0), at, ret, u32::from(cut) | (kind as u32) << 16, exit.how());
    }

    /// As [`message`], checked by the verifier once and not for each of many messages. `more`: what is cut, and above it the kind of
    /// event.
    #[expect(unsafe_code, reason = "the verifier knows global functions by name")]
    #[unsafe(no_mangle)]
    #[inline(never)]
    extern "C" fn received_message(fd: u64, at: u64, ret: i64, more: u32, how: u32) -> u32 {
        let exit = Exit::resume(fd, ret, how);
        let tag = Tag { kind: (more >> 16) as u16, lane: Lane::Bulk };
        let Some(mut w) = Writer::new::<Received>(tag) else { return 0 };
        let message = Message::read(&mut w, &exit, at);
        let body = w.body::<Received>();
        body.ret = ret;
        body.num = fd as i32;
        file::describe(&mut w, exit.task, body.num, &mut body.sock);
        let found = data::buffers(&exit, message.iov, message.count, if ret > 0 { ret as u64 } else { 0 });
        body.data = found.first;
        body.size = found.size;
        body.addr = Tail::EMPTY;
        body.control = Tail::EMPTY;
        if ret >= 0 {
            body.control = w.user_bytes(message.control, message.control_len, CONTROL_MAX, CUT_ARGUMENT);
        }
        if has_sender(&body.sock, ret) {
            body.addr = socket::passed(&mut w, &exit, message.name, message.name_len);
            socket::address(&mut w, body.addr, false, &mut body.sock);
        }
        body.reserved = 0;
        w.cut(more as u16);
        w.submit(tag);
        0
    }

    #[inline(always)]
    pub fn recvfrom(exit: &Exit) {
        let Some(mut w) = Writer::new::<Received>(Kind::Recvfrom) else { return };
        let body = w.body::<Received>();
        body.ret = exit.ret;
        body.num = exit.arg(0) as i32;
        body.size = exit.arg(2) as u32;
        file::describe(&mut w, exit.task, body.num, &mut body.sock);
        body.data = data::buffer(&mut w, exit.arg(1), if exit.ret > 0 { exit.ret as u64 } else { 0 });
        body.addr = Tail::EMPTY;
        if has_sender(&body.sock, exit.ret) {
            let len = exit.number(exit.arg(5));
            body.addr = socket::passed(&mut w, exit, exit.arg(4), len.into());
            socket::address(&mut w, body.addr, false, &mut body.sock);
        }
        body.control = Tail::EMPTY;
        body.reserved = 0;
        w.submit(Kind::Recvfrom);
    }

    #[inline(always)]
    pub fn recvmsg(exit: &Exit) {
        message(exit, Kind::Recvmsg, exit.arg(1), exit.ret, 0);
    }

    #[inline(always)]
    pub fn recvmmsg(exit: &Exit) {
        let count = if exit.ret > 0 { exit.ret as u64 } else { 1 };
        for n in 0..MESSAGES {
            if n >= count {
                break;
            }
            let at = exit.arg(1).wrapping_add(n * Message::stride(exit.compat));
            let ret = if exit.ret > 0 { Message::moved(exit, at).into() } else { exit.ret };
            let cut = if n == MESSAGES - 1 && count > MESSAGES { CUT_MESSAGES } else { 0 };
            message(exit, Kind::Recvmmsg, at, ret, cut);
        }
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{recvfrom, recvmmsg, recvmsg};

#[cfg(feature = "testing")]
mod scenarios {
    use std::format;
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::UnixDatagram;

    use super::{Recvfrom, Recvmmsg, Recvmsg};
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Shared, Stage, buffers, message, messages};

    impl Recvfrom {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "a datagram's sender is the client", play: datagram },
            Scenario { shows: "IPv6, and IPv4 in it", play: v6 },
            Scenario { shows: "a connection has its name", play: connection },
            Scenario { shows: "a bound sender's path", play: unix },
            Scenario { shows: "nothing is there", play: nothing },
        ];
    }

    impl Recvmsg {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "data in several buffers, and a descriptor", play: scattered },
            Scenario { shows: "a descriptor that is no socket", play: failed },
        ];
    }

    impl Recvmmsg {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "an event for each message", play: several }];
    }

    /// A server, and a client that has sent it these.
    fn sent(from: &str, to: &str, texts: &[&[u8]]) -> Option<(UdpSocket, UdpSocket)> {
        let (server, client) = (UdpSocket::bind(to).ok()?, UdpSocket::bind(from).ok()?);
        let port = server.local_addr().unwrap().port();
        let host = if from.starts_with('[') { "[::1]" } else { "127.0.0.1" };
        for text in texts {
            client.send_to(text, format!("{host}:{port}")).ok()?;
        }
        Some((server, client))
    }

    fn datagram(stage: &mut dyn Stage) {
        let (server, client) = sent("127.0.0.1:0", "0.0.0.0:0", &[b"hello"]).unwrap();
        let (port, own) = (client.local_addr().unwrap().port(), server.local_addr().unwrap().port());
        let (fd, memory) = (server.as_raw_fd(), Shared::new());
        let len = memory.put(0, &16_u32.to_ne_bytes());
        let (address, data) = (memory.put(64, &[0; 16]), memory.put(128, &[0; 100]));
        let seen = stage.one(&|| {
            syscall!(SYS_recvfrom, fd, data, 100, 0, address, len);
        });
        let (fd, tuple) = (format!("{fd}"), format!("4 [127, 0, 0, 1]:{port} false"));
        seen.is(
            "recvfrom",
            &[("res", "5"), ("data", "hello"), ("tuple", &tuple), ("fd", &fd), ("size", "100")],
        )
        .has(&[("evt.type", "recvfrom"), ("evt.category", "net"), ("evt.res", "SUCCESS")])
        .has(&[("evt.is_io", "true"), ("evt.is_io_write", "false"), ("evt.is_io_read", "true")])
        .has(&[("evt.io_dir", "read"), ("evt.buffer", "hello"), ("evt.buflen", "5")])
        .has(&[
            ("fd.name", &format!("127.0.0.1:{port}->0.0.0.0:{own}")),
            ("fd.cip", "127.0.0.1"),
            ("fd.cport", &format!("{port}")),
            ("fd.rport", &format!("{port}")),
            ("fd.sport", &format!("{own}")),
            ("fd.is_server", "true"),
            ("fd.connected", "false"),
            ("fd.name_changed", "true"),
        ])
        .lacks(&["fd.sip"]);
    }

    fn v6(stage: &mut dyn Stage) {
        for (from, told) in [("[::1]:0", "::1"), ("127.0.0.1:0", "127.0.0.1")] {
            let Some((server, _client)) = sent(from, "[::]:0", &[b"x"]) else { return stage.skip("no IPv6") };
            let (fd, memory) = (server.as_raw_fd(), Shared::new());
            let len = memory.put(0, &28_u32.to_ne_bytes());
            let (address, data) = (memory.put(64, &[0; 28]), memory.put(128, &[0; 100]));
            let seen = stage.one(&|| {
                syscall!(SYS_recvfrom, fd, data, 100, 0, address, len);
            });
            seen.has(&[("evt.res", "SUCCESS"), ("fd.cip", told), ("fd.name_changed", "true")]);
        }
    }

    fn connection(stage: &mut dyn Stage) {
        use std::io::Write as _;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let server = listener.accept().unwrap().0;
        client.write_all(b"GET /").unwrap();
        let (fd, memory) = (server.as_raw_fd(), Shared::new());
        let len = memory.put(0, &16_u32.to_ne_bytes());
        let (address, data) = (memory.put(64, &[0; 16]), memory.put(128, &[0; 100]));
        let seen = stage.one(&|| {
            syscall!(SYS_recvfrom, fd, data, 100, 0, address, len);
        });
        seen.has(&[
            ("evt.buffer", "GET /"),
            ("fd.connected", "true"),
            ("fd.name_changed", "false"),
            ("fd.rport", &format!("{}", client.local_addr().unwrap().port())),
        ]);
    }

    fn unix(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let (own, other) = (dir.at("server"), dir.at("client"));
        let (server, client) = (UnixDatagram::bind(&own).unwrap(), UnixDatagram::bind(&other).unwrap());
        client.send_to(b"hello", &own).unwrap();
        let (fd, memory) = (server.as_raw_fd(), Shared::new());
        let len = memory.put(0, &110_u32.to_ne_bytes());
        let (address, data) = (memory.put(64, &[0; 110]), memory.put(256, &[0; 100]));
        let seen = stage.one(&|| {
            syscall!(SYS_recvfrom, fd, data, 100, 0, address, len);
        });
        seen.has(&[("evt.buffer", "hello"), ("fd.type", "unix"), ("evt.category", "IPC")]);
        assert_eq!(seen.unix(), [(own.clone(), own), (other, std::string::String::new())]);
    }

    fn nothing(stage: &mut dyn Stage) {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (fd, data) = (server.as_raw_fd(), [0_u8; 100]);
        let seen = stage.one(&|| {
            syscall!(SYS_recvfrom, fd, data.as_ptr(), 100, libc::MSG_DONTWAIT, 0, 0);
        });
        let port = server.local_addr().unwrap().port();
        seen.has(&[("evt.res", "EAGAIN"), ("evt.arg[1]", ""), ("fd.name", &format!("127.0.0.1:{port}"))])
            .has(&[("fd.name_changed", "false")])
            .lacks(&["evt.buflen", "fd.cip"]);
    }

    fn scattered(stage: &mut dyn Stage) {
        let (server, client) = UnixDatagram::pair().unwrap();
        let passed = client.as_raw_fd();
        let control = [
            &20_u64.to_ne_bytes()[..],
            &1_u32.to_ne_bytes(),
            &1_u32.to_ne_bytes(),
            &passed.to_ne_bytes(),
            &[0; 4],
        ]
        .concat();
        let text = buffers(&[b"hello world"]);
        let sent = message(&[], &text, &control);
        assert_eq!(syscall!(SYS_sendmsg, passed, sent.as_ptr(), 0), 11);
        let (fd, memory) = (server.as_raw_fd(), Shared::new());
        let at = |offset| memory.put(offset, &[]).addr() as u64;
        memory.put(0, &[0; 256]);
        let parts = [[at(0), 5], [at(64), 10]];
        let mut received = [0, 0, parts.as_ptr().addr() as u64, 2, at(128), 24, 0];
        let at = received.as_mut_ptr();
        let seen = stage.one(&|| {
            syscall!(SYS_recvmsg, fd, at.cast_const(), 0);
        });
        assert_eq!(
            seen.args[..3],
            [("res", "11".into()), ("size", "15".into()), ("data", "hello world".into())]
        );
        seen.has(&[
            ("evt.type", "recvmsg"),
            ("evt.category", "IPC"),
            ("evt.io_dir", "read"),
            ("fd.num", &format!("{fd}")),
        ]);
        // Its length, SOL_SOCKET, SCM_RIGHTS and the new descriptor.
        assert!(seen.arg("msgcontrol").starts_with("\u{14}\0\0\0\0\0\0\0\u{1}\0\0\0\u{1}\0\0\0"), "{seen:?}");
    }

    fn failed(stage: &mut dyn Stage) {
        let parts = buffers(&[b"....."]);
        let received = message(&[], &parts, &[]);
        let seen = stage.one(&|| {
            syscall!(SYS_recvmsg, 999, received.as_ptr(), 0);
        });
        let args =
            [("res", "-9"), ("size", "5"), ("data", ""), ("tuple", ""), ("msgcontrol", ""), ("fd", "999")];
        seen.is("recvmsg", &args).has(&[("evt.res", "EBADF"), ("fd.typechar", "o")]);
    }

    fn several(stage: &mut dyn Stage) {
        let (server, client) = sent("127.0.0.1:0", "127.0.0.1:0", &[b"one", b"second"]).unwrap();
        let (fd, port) = (server.as_raw_fd(), client.local_addr().unwrap().port());
        let memory = Shared::new();
        memory.put(0, &[0; 256]);
        let at = |offset| memory.put(offset, &[]).addr() as u64;
        let parts = [[[at(0), 10]], [[at(64), 10]]];
        let room = |parts: &[[u64; 2]; 1], offset| [at(offset), 16, parts.as_ptr().addr() as u64, 1, 0, 0, 0];
        let mut messages = messages(&[room(&parts[0], 128), room(&parts[1], 192)]);
        let at = messages.as_mut_ptr();
        let seen = stage.observe(&|| {
            syscall!(SYS_recvmmsg, fd, at.cast_const(), 2, libc::MSG_DONTWAIT, 0);
        });
        let (fd, tuple) = (format!("{fd}"), format!("4 [127, 0, 0, 1]:{port} false"));
        assert_eq!(seen.len(), 2, "{seen:?}");
        for (seen, (text, len)) in seen.iter().zip([("one", "3"), ("second", "6")]) {
            let args = [
                ("res", len),
                ("fd", &fd),
                ("size", "10"),
                ("data", text),
                ("tuple", &tuple),
                ("msgcontrol", ""),
            ];
            seen.is("recvmmsg", &args).has(&[
                ("evt.type", "recvmmsg"),
                ("evt.category", "net"),
                ("fd.name_changed", "true"),
            ]);
        }
    }
}

//! accept(2) and accept4(2): `fd.*` is the new descriptor, whose local end is the server.

use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, Role, View,
    Volume, params,
};
use crate::record;
use crate::record::{Fd, Pod as _, Record};

record! {
    /// A finished accept.
    pub struct Accepted {
        /// The new descriptor, or a negative errno.
        pub ret: i64,
        pub sock: Fd,
        /// Connections that still wait at the listening socket, and how many may.
        pub waiting: u32,
        pub room: u32,
        /// `SOCK_NONBLOCK` and `SOCK_CLOEXEC` as passed (accept4).
        pub flags: u32,
        pub reserved: u32,
    }
}

/// accept(2).
pub struct Accept;
/// accept4(2).
pub struct Accept4;

impl Accept {
    pub const EVENT: Info = event("accept", ACCEPT);
}

impl Accept4 {
    pub const EVENT: Info = event("accept4", ACCEPT4);
}

const fn event(name: &'static str, params: &'static [Param]) -> Info {
    Info {
        layout: Accepted::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name,
            codes: Codes::Exit,
            category: Category::Net,
            params,
            fd: Some(Descriptor { view, is: Is::Subject, otherwise: b'4', role: Role::Server }),
            io: None,
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    }
}

fn view<'a>(r: &Record<'a>) -> Option<FdView<'a>> {
    let body: &Accepted = r.body()?;
    Some(FdView::of(r, body.ret.max(-1), &body.sock).incoming())
}

const ACCEPT: &[Param] = params! {
    "fd": T::Fd, |r, b: &Accepted| Arg::Int(b.ret);
    "tuple": T::SockTuple, |r, b: &Accepted| view(r)?.tuple(Role::Server);
    "queuepct": T::Dec(8), |r, b: &Accepted| percent(b);
    "queuelen": T::Dec(32), |r, b: &Accepted| Arg::Uint(b.waiting.into());
    "queuemax": T::Dec(32), |r, b: &Accepted| Arg::Uint(b.room.into());
};

const ACCEPT4: &[Param] = params! {
    "fd": T::Fd, |r, b: &Accepted| Arg::Int(b.ret);
    "tuple": T::SockTuple, |r, b: &Accepted| view(r)?.tuple(Role::Server);
    "queuepct": T::Dec(8), |r, b: &Accepted| percent(b);
    "queuelen": T::Dec(32), |r, b: &Accepted| Arg::Uint(b.waiting.into());
    "queuemax": T::Dec(32), |r, b: &Accepted| Arg::Uint(b.room.into());
    "flags": T::IntHex(32), |r, b: &Accepted| Arg::Uint(b.flags.into());
};

/// How full the queue is; 255 when it is fuller than that says.
fn percent(b: &Accepted) -> Arg<'static> {
    let percent = (u64::from(b.waiting) * 100).checked_div(b.room.into()).unwrap_or(0);
    Arg::Uint(percent.min(u8::MAX.into()))
}

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Accepted;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, file, socket};

    #[inline(always)]
    fn record(exit: &Exit, kind: Kind, flags: u32) {
        let Some(mut w) = Writer::new::<Accepted>(kind) else { return };
        let body = w.body::<Accepted>();
        body.ret = exit.ret;
        file::describe(&mut w, exit.task, exit.fd, &mut body.sock);
        (body.waiting, body.room) = socket::queue(file::sock(exit.task, exit.arg(0) as i32));
        body.flags = flags;
        body.reserved = 0;
        w.submit(kind);
    }

    #[inline(always)]
    pub fn accept(exit: &Exit) {
        record(exit, Kind::Accept, 0);
    }

    #[inline(always)]
    pub fn accept4(exit: &Exit) {
        record(exit, Kind::Accept4, exit.arg(3) as u32);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{accept, accept4};

#[cfg(feature = "testing")]
mod scenarios {
    use std::format;
    use std::io::Read as _;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::{Accept, Accept4};
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Stage};

    impl Accept {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "IPv4: the client stands first", play: v4 },
            Scenario { shows: "a unix socket has the name that was connected to", play: unix },
            Scenario { shows: "nobody waits", play: nobody },
        ];
    }

    impl Accept4 {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "IPv6, and a client that comes by IPv4", play: v6 },
            Scenario { shows: "a descriptor that is no socket", play: no_socket },
        ];
    }

    fn v4(stage: &mut dyn Stage) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let clients = [TcpStream::connect(server).unwrap(), TcpStream::connect(server).unwrap()];
        let client = clients[0].local_addr().unwrap();
        let fd = listener.as_raw_fd();
        let seen = stage.one(&|| {
            syscall!(SYS_accept, fd, 0, 0);
        });
        let (fd, port) = (seen.arg("fd"), client.port());
        let tuple = format!("4 [127, 0, 0, 1]:{port} true");
        let args = [
            ("fd", fd),
            ("tuple", &tuple),
            ("queuepct", "0"),
            ("queuelen", "1"),
            ("queuemax", seen.arg("queuemax")),
        ];
        seen.is("accept", &args)
            .has(&[
                ("evt.type", "accept"),
                ("evt.category", "net"),
                ("evt.res", "SUCCESS"),
                ("evt.rawres", fd),
            ])
            .has(&[
                ("fd.num", fd),
                ("fd.type", "ipv4"),
                ("fd.l4proto", "tcp"),
                ("fd.name", &format!("{client}->{server}")),
                ("evt.arg[1]", &format!("{client}->{server}")),
            ])
            .has(&[
                ("fd.is_server", "true"),
                ("fd.connected", "true"),
                ("fd.name_changed", "false"),
                ("fd.cport", &format!("{port}")),
                ("fd.rport", &format!("{port}")),
                ("fd.sport", &format!("{}", server.port())),
            ]);
        assert!(seen.arg("queuemax").parse::<u32>().unwrap() >= 128, "what listen asked for");
    }

    fn unix(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let path = dir.at("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let mut client = UnixStream::connect(&path).unwrap();
        let fd = listener.as_raw_fd();
        let seen = stage.one(&|| {
            syscall!(SYS_accept, fd, 0, 0);
        });
        let name = &seen.fields["fd.name"];
        assert!(name.contains("->") && name.ends_with(&format!(" {path}")), "{name}");
        assert_eq!(seen.unix(), [(path.clone(), path.clone()), Default::default()]);
        seen.has(&[("fd.type", "unix"), ("fd.sockfamily", "unix")]).lacks(&["fd.sip"]);
        assert_eq!(client.read(&mut [0]).unwrap(), 0, "it was accepted, and is over");
    }

    fn nobody(stage: &mut dyn Stage) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let fd = listener.as_raw_fd();
        let seen = stage.one(&|| {
            syscall!(SYS_accept, fd, 0, 0);
        });
        let args = [("fd", "-11"), ("tuple", ""), ("queuepct", "0"), ("queuelen", "0")];
        assert_eq!(seen.args[..4], args.map(|(name, value)| (name, value.into())));
        seen.has(&[("evt.res", "EAGAIN"), ("fd.num", "-1"), ("fd.typechar", "4")])
            .lacks(&["fd.type", "fd.name"]);
    }

    fn v6(stage: &mut dyn Stage) {
        let Ok(listener) = TcpListener::bind("[::]:0") else { return stage.skip("no IPv6") };
        let port = listener.local_addr().unwrap().port();
        let fd = listener.as_raw_fd();
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        let Ok(_client) = TcpStream::connect(("::1", port)) else { return stage.skip("no IPv6 loopback") };
        let seen = stage.one(&|| {
            syscall!(SYS_accept4, fd, 0, 0, flags);
        });
        seen.has(&[
            ("evt.type", "accept4"),
            ("evt.arg[5]", "80800"),
            ("fd.type", "ipv6"),
            ("fd.cip", "::1"),
            ("fd.sip", "::1"),
        ]);
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let seen = stage.one(&|| {
            syscall!(SYS_accept4, fd, 0, 0, 0);
        });
        seen.has(&[
            ("fd.type", "ipv4"),
            ("fd.typechar", "4"),
            ("fd.name", &format!("{}->127.0.0.1:{port}", client.local_addr().unwrap())),
        ]);
    }

    fn no_socket(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_accept4, 999, 0, 0, 0);
        });
        let args = [
            ("fd", "-9"),
            ("tuple", ""),
            ("queuepct", "0"),
            ("queuelen", "0"),
            ("queuemax", "0"),
            ("flags", "0"),
        ];
        seen.is("accept4", &args).has(&[("evt.res", "EBADF"), ("fd.num", "-1"), ("fd.typechar", "4")]);
    }
}

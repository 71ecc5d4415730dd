//! connect(2): the address pair is the socket's own, after the call.

use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, Role, View,
    params,
};
use crate::record;
use crate::record::{Fd, Pod as _, Tail};

record! {
    /// A finished connect.
    pub struct Connected {
        pub ret: i64,
        pub sock: Fd,
        pub num: i32,
        /// `struct sockaddr` as passed.
        pub addr: Tail,
    }
}

/// connect(2).
pub struct Connect;

impl Connect {
    pub const EVENT: Info = Info {
        layout: Connected::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name: "connect",
            codes: Codes::EnterAndExit,
            category: Category::Net,
            params: PARAMS,
            fd: Some(Descriptor {
                view: |r| r.body().map(|b: &Connected| FdView::of(r, b.num.into(), &b.sock)),
                is: Is::Subject,
                otherwise: b'o',
                role: Role::Client,
            }),
            io: None,
            open: None,
            filter: Looks::Nothing,
        }),
    };
}

const PARAMS: &[Param] = params! {
    "res": T::Errno, |r, b: &Connected| Arg::Int(b.ret);
    "tuple": T::SockTuple, |r, b: &Connected| { let b: &Connected = r.body()?; Arg::SockTuple(&b.sock, r.tail(b.sock.path)) };
    "fd": T::Fd, |r, b: &Connected| Arg::Int(b.num.into());
    "addr": T::SockAddr, |r, b: &Connected| Arg::SockAddr(r.tail(b.addr));
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Connected;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, file};
    use crate::record::CUT_ARGUMENT;

    /// `sizeof(struct sockaddr_storage)`.
    const SOCKADDR_MAX: u64 = 128;

    #[inline(always)]
    pub fn connect(exit: &Exit) {
        let Some(mut w) = Writer::new::<Connected>(Kind::Connect) else { return };
        let body = w.body::<Connected>();
        body.ret = exit.ret;
        body.num = exit.arg(0) as i32;
        file::describe(&mut w, exit.task, body.num, &mut body.sock);
        body.addr = w.user_bytes(exit.arg(1), exit.arg(2), SOCKADDR_MAX, CUT_ARGUMENT);
        w.submit(Kind::Connect);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::connect;

#[cfg(feature = "testing")]
mod scenarios {
    use std::format;
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
    use std::vec::Vec;

    use super::Connect;
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Seen, Stage};

    impl Connect {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "IPv4: the addresses are the socket's", play: v4 },
            Scenario { shows: "IPv6: both ends", play: v6 },
            Scenario { shows: "a unix socket has its peer's path", play: unix },
        ];
    }

    fn connect(stage: &mut dyn Stage, family: i32, address: &[u8]) -> Seen {
        let seen = stage.observe(&|| {
            let fd = syscall!(SYS_socket, family, libc::SOCK_STREAM, 0);
            syscall!(SYS_connect, fd, address.as_ptr(), address.len());
        });
        seen.into_iter().find(|seen| seen.event == "connect").expect("a connect")
    }

    /// A `struct sockaddr` of that family.
    fn address(family: i32, rest: &[u8]) -> Vec<u8> {
        [&u16::try_from(family).unwrap().to_ne_bytes(), rest].concat()
    }

    fn v4(stage: &mut dyn Stage) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ip = Ipv4Addr::LOCALHOST.octets();
        let address = address(libc::AF_INET, &[&port.to_be_bytes()[..], &ip, &[0; 8]].concat());
        let seen = connect(stage, libc::AF_INET, &address);
        let (fd, tuple, text) =
            (seen.arg("fd"), format!("4 [127, 0, 0, 1]:{port} true "), format!("{address:?}"));
        seen.is("connect", &[("res", "0"), ("tuple", &tuple), ("fd", fd), ("addr", &text)])
            .has(&[("evt.type", "connect"), ("evt.category", "net"), ("evt.res", "SUCCESS"), ("fd.num", fd)])
            .has(&[
                ("fd.type", "ipv4"),
                ("fd.l4proto", "tcp"),
                ("fd.sip", "127.0.0.1"),
                ("fd.cip", "127.0.0.1"),
            ])
            .has(&[
                ("fd.sport", &format!("{port}")),
                ("fd.rport", &format!("{port}")),
                ("fd.is_server", "false"),
            ])
            .has(&[("fd.connected", "true"), ("fd.name_changed", "true"), ("fd.sockfamily", "ip")])
            .lacks(&["fs.path.name", "fd.directory"]);
        let name = seen.fields.get("fd.name").expect("a name");
        assert!(name.starts_with("127.0.0.1:") && name.ends_with(&format!("->127.0.0.1:{port}")), "{name}");
    }

    fn v6(stage: &mut dyn Stage) {
        let Ok(listener) = TcpListener::bind("[::1]:0") else { return stage.skip("no IPv6 loopback") };
        let port = listener.local_addr().unwrap().port();
        let ip = Ipv6Addr::LOCALHOST.octets();
        let address = address(libc::AF_INET6, &[&port.to_be_bytes()[..], &[0; 4], &ip, &[0; 4]].concat());
        let seen = connect(stage, libc::AF_INET6, &address);
        assert_eq!(seen.arg("tuple"), format!("6 [0, 0, 0, 0]:{port} true "));
        seen.has(&[
            ("fd.type", "ipv6"),
            ("fd.sip", "::1"),
            ("fd.cip", "::1"),
            ("fd.sport", &format!("{port}")),
        ]);
    }

    fn unix(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let path = dir.at("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let address = address(libc::AF_UNIX, &[path.as_bytes(), &[0]].concat());
        let seen = connect(stage, libc::AF_UNIX, &address);
        let (fd, tuple) = (seen.arg("fd"), format!("u [0, 0, 0, 0]:0 true {path}"));
        seen.is("connect", &[("res", "0"), ("tuple", &tuple), ("fd", fd), ("addr", &format!("{address:?}"))])
            .has(&[("fd.type", "unix"), ("fd.name", &path), ("fd.sockfamily", "unix"), ("fd.num", fd)])
            .lacks(&["fd.sip", "fd.cport"]);
    }
}

//! bind(2) and listen(2): the name is the socket's own, after the call.

use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, Role, View,
    Volume, params,
};
use crate::record;
use crate::record::{Fd, Pod as _, Tail};

record! {
    /// A finished bind.
    pub struct Bound {
        pub ret: i64,
        pub sock: Fd,
        pub num: i32,
        /// `struct sockaddr` as passed.
        pub addr: Tail,
    }
}

record! {
    /// A finished listen.
    pub struct Listening {
        pub ret: i64,
        pub sock: Fd,
        pub num: i32,
        pub backlog: i32,
    }
}

/// bind(2).
pub struct Bind;
/// listen(2).
pub struct Listen;

impl Bind {
    pub const EVENT: Info = event("bind", Bound::LAYOUT, BIND, |r| {
        r.body().map(|b: &Bound| FdView::of(r, b.num.into(), &b.sock).incoming())
    });
}

impl Listen {
    pub const EVENT: Info = event("listen", Listening::LAYOUT, LISTEN, |r| {
        r.body().map(|b: &Listening| FdView::of(r, b.num.into(), &b.sock).incoming())
    });
}

const fn event(
    name: &'static str,
    layout: u64,
    params: &'static [Param],
    view: for<'a> fn(&crate::record::Record<'a>) -> Option<FdView<'a>>,
) -> Info {
    Info {
        layout,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name,
            codes: Codes::Exit,
            category: Category::Net,
            params,
            fd: Some(Descriptor { view, is: Is::Subject, otherwise: b'o', role: Role::Unknown }),
            io: None,
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    }
}

const BIND: &[Param] = params! {
    "res": T::Errno, |r, b: &Bound| Arg::Int(b.ret);
    "addr": T::SockAddr, |r, b: &Bound| Arg::SockAddr(r.tail(b.addr));
    "fd": T::Fd, |r, b: &Bound| Arg::Int(b.num.into());
};

const LISTEN: &[Param] = params! {
    "res": T::Errno, |r, b: &Listening| Arg::Int(b.ret);
    "fd": T::Fd, |r, b: &Listening| Arg::Int(b.num.into());
    "backlog": T::Int(32), |r, b: &Listening| Arg::Int(b.backlog.into());
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::{Bound, Listening};
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, file, socket};

    #[inline(always)]
    pub fn bind(exit: &Exit) {
        let Some(mut w) = Writer::new::<Bound>(Kind::Bind) else { return };
        let body = w.body::<Bound>();
        body.ret = exit.ret;
        body.num = exit.arg(0) as i32;
        file::describe(&mut w, exit.task, body.num, &mut body.sock);
        body.addr = socket::passed(&mut w, exit, exit.arg(1), exit.arg(2));
        w.submit(Kind::Bind);
    }

    #[inline(always)]
    pub fn listen(exit: &Exit) {
        let Some(mut w) = Writer::new::<Listening>(Kind::Listen) else { return };
        let body = w.body::<Listening>();
        body.ret = exit.ret;
        body.num = exit.arg(0) as i32;
        file::describe(&mut w, exit.task, body.num, &mut body.sock);
        body.backlog = exit.arg(1) as i32;
        w.submit(Kind::Listen);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{bind, listen};

#[cfg(feature = "testing")]
mod scenarios {
    use std::format;
    use std::string::String;

    use super::{Bind, Listen};
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Seen, Stage, ipv4, ipv6, sockaddr};

    impl Bind {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "IPv4: the port that the kernel chose", play: v4 },
            Scenario { shows: "IPv6, and IPv4 in it", play: v6 },
            Scenario { shows: "a path, a relative one and an abstract name", play: unix },
            Scenario { shows: "an address that is not here", play: not_here },
        ];
    }

    impl Listen {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "the name is where it listens", play: listening },
            Scenario { shows: "a descriptor that is no socket", play: no_socket },
        ];
    }

    fn bind(stage: &mut dyn Stage, family: i32, address: &[u8]) -> Seen {
        let seen = stage.observe(&|| {
            let fd = syscall!(SYS_socket, family, libc::SOCK_STREAM, 0);
            syscall!(SYS_bind, fd, address.as_ptr(), address.len());
        });
        seen.into_iter().find(|seen| seen.event == "bind").expect("a bind")
    }

    fn v4(stage: &mut dyn Stage) {
        let address = ipv4([127, 0, 0, 1], 0);
        let seen = bind(stage, libc::AF_INET, &address);
        let fd = seen.arg("fd");
        seen.is("bind", &[("res", "0"), ("addr", &format!("{address:?}")), ("fd", fd)])
            .has(&[("evt.type", "bind"), ("evt.category", "net"), ("evt.arg[1]", "127.0.0.1:0")])
            .has(&[("fd.num", fd), ("fd.typechar", "4"), ("fd.l4proto", "tcp"), ("fd.sip", "127.0.0.1")])
            .has(&[("fd.is_server", "true"), ("fd.connected", "false"), ("fd.name_changed", "false")])
            .lacks(&["fd.cip", "fd.cport"]);
        let port: u16 = seen.fields["fd.sport"].parse().expect("a port");
        assert!(port > 0);
        seen.has(&[("fd.name", &format!("127.0.0.1:{port}"))]);
    }

    fn v6(stage: &mut dyn Stage) {
        let loopback = std::net::Ipv6Addr::LOCALHOST;
        let seen = bind(stage, libc::AF_INET6, &ipv6(loopback.octets(), 0));
        if seen.arg("res") == "-99" {
            return stage.skip("no IPv6 loopback");
        }
        seen.has(&[("fd.type", "ipv6"), ("fd.sip", "::1"), ("evt.arg[1]", "::1:0")]);
        let mapped = std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped();
        bind(stage, libc::AF_INET6, &ipv6(mapped.octets(), 0)).has(&[
            ("fd.type", "ipv4"),
            ("fd.sip", "127.0.0.1"),
            ("evt.arg[1]", "127.0.0.1:0"),
        ]);
    }

    fn unix(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let path = dir.at("socket");
        bind(stage, libc::AF_UNIX, &sockaddr(libc::AF_UNIX, path.as_bytes())).has(&[
            ("evt.arg[1]", &path),
            ("fd.type", "unix"),
            ("fd.name", &path),
        ]);
        let to = crate::testing::c(dir.path());
        let address = sockaddr(libc::AF_UNIX, b"other\0");
        let seen = stage.observe(&|| {
            syscall!(SYS_chdir, to.as_ptr());
            let fd = syscall!(SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0);
            syscall!(SYS_bind, fd, address.as_ptr(), address.len());
        });
        let seen = seen.into_iter().find(|seen| seen.event == "bind").expect("a bind");
        seen.has(&[("fd.name", "other"), ("evt.arg[1]", "other")]);
        assert_eq!(seen.unix(), [("other".into(), dir.at("other")), (String::new(), String::new())]);

        let name = format!("\0falconet-{}", std::process::id());
        bind(stage, libc::AF_UNIX, &sockaddr(libc::AF_UNIX, name.as_bytes()))
            .has(&[("evt.arg[1]", &name.replace('\0', "@")), ("fd.name", &name.replace('\0', "@"))]);
    }

    fn not_here(stage: &mut dyn Stage) {
        let seen = bind(stage, libc::AF_INET, &ipv4([192, 0, 2, 1], 80));
        seen.has(&[("evt.res", "EADDRNOTAVAIL"), ("evt.arg[1]", "192.0.2.1:80"), ("fd.typechar", "4")])
            .lacks(&["fd.sip"]);
        seen.has(&[("fd.name", "")]);
    }

    fn listening(stage: &mut dyn Stage) {
        let address = ipv4([127, 0, 0, 1], 0);
        let seen = stage.observe(&|| {
            let fd = syscall!(SYS_socket, libc::AF_INET, libc::SOCK_STREAM, 0);
            syscall!(SYS_bind, fd, address.as_ptr(), address.len());
            syscall!(SYS_listen, fd, -3);
        });
        let seen = seen.into_iter().find(|seen| seen.event == "listen").expect("a listen");
        let fd = seen.arg("fd");
        let port = seen.fields["fd.sport"].clone();
        seen.is("listen", &[("res", "0"), ("fd", fd), ("backlog", "-3")])
            .has(&[("evt.type", "listen"), ("evt.category", "net"), ("evt.res", "SUCCESS"), ("fd.num", fd)])
            .has(&[
                ("fd.name", &format!("127.0.0.1:{port}")),
                ("fd.sip", "127.0.0.1"),
                ("fd.is_server", "true"),
            ])
            .lacks(&["fd.cip"]);
    }

    fn no_socket(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_listen, 999, 1);
        });
        seen.is("listen", &[("res", "-9"), ("fd", "999"), ("backlog", "1")])
            .has(&[("evt.res", "EBADF"), ("fd.num", "999"), ("fd.typechar", "o")])
            .lacks(&["fd.type", "fd.name"]);
    }
}

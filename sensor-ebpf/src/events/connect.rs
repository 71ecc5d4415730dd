//! connect(2): the address pair is the socket's own, after the call. A socket that failed to connect has forgotten its peer; then
//! it is the address that was passed, as far as the kernel does not know it.

use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, Role, View,
    Volume, goes_on, params,
};
use crate::record;
use crate::record::{Fd, Pod as _, Record, Tail};

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
            fd: Some(Descriptor { view, is: Is::Subject, otherwise: b'o', role: Role::Client }),
            io: None,
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    };
}

fn view<'a>(r: &Record<'a>) -> Option<FdView<'a>> {
    let body: &Connected = r.body()?;
    Some(FdView { renamed: goes_on(body.ret), ..FdView::of(r, body.num.into(), &body.sock) })
}

const PARAMS: &[Param] = params! {
    "res": T::Errno, |r, b: &Connected| Arg::Int(b.ret);
    "tuple": T::SockTuple, |r, b: &Connected| view(r)?.tuple(Role::Client);
    "fd": T::Fd, |r, b: &Connected| Arg::Int(b.num.into());
    "addr": T::SockAddr, |r, b: &Connected| Arg::SockAddr(r.tail(b.addr));
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Connected;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, file, socket};

    const EINTR: i64 = -4;
    const EISCONN: i64 = -106;
    const ETIMEDOUT: i64 = -110;
    const ECONNREFUSED: i64 = -111;
    const EALREADY: i64 = -114;
    const EINPROGRESS: i64 = -115;
    /// What the kernel keeps for itself and makes EINTR of, or a second try.
    const ERESTARTSYS: i64 = -512;
    const SOCK_STREAM: u8 = 1;

    #[inline(always)]
    pub fn connect(exit: &Exit) {
        let Some(mut w) = Writer::new::<Connected>(Kind::Connect) else { return };
        let body = w.body::<Connected>();
        body.ret = exit.ret;
        body.num = exit.arg(0) as i32;
        file::describe(&mut w, exit.task, body.num, &mut body.sock);
        body.addr = socket::passed(&mut w, exit, exit.arg(1), exit.arg(2));
        match exit.ret {
            // The socket has its peer.
            0 | EINTR | EISCONN | EALREADY | EINPROGRESS | ERESTARTSYS => {}
            ret => {
                // TCP forgets the port of a peer that did not answer, and keeps its host.
                let host = matches!(ret, ECONNREFUSED | ETIMEDOUT) && body.sock.sock_type == SOCK_STREAM;
                socket::address(&mut w, body.addr, host, &mut body.sock);
            }
        }
        w.submit(Kind::Connect);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::connect;

#[cfg(feature = "testing")]
mod scenarios {
    use std::format;
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
    use std::os::unix::net::UnixListener;
    use std::string::String;
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use super::Connect;
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Seen, Shared, Stage, c, ipv4, ipv6, sockaddr};

    impl Connect {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "IPv4: the addresses are the socket's", play: v4 },
            Scenario { shows: "IPv6: both ends", play: v6 },
            Scenario { shows: "refused: the address that was asked for", play: refused },
            Scenario { shows: "not yet connected", play: unfinished },
            Scenario { shows: "a socket with a peer keeps it", play: again },
            Scenario { shows: "a unix socket has its peer's path", play: unix },
            Scenario { shows: "a client's own name does not hide its peer's", play: named_client },
            Scenario { shows: "a relative path and a link: what was passed, and the file", play: other_ways },
            Scenario { shows: "a unix socket that is not there", play: nobody },
            Scenario { shows: "an address that changes meanwhile", play: race },
        ];
    }

    fn connect_with(stage: &mut dyn Stage, family: i32, ty: i32, address: &[u8]) -> Seen {
        let seen = stage.observe(&|| {
            let fd = syscall!(SYS_socket, family, ty, 0);
            syscall!(SYS_connect, fd, address.as_ptr(), address.len());
        });
        seen.into_iter().find(|seen| seen.event == "connect").expect("a connect")
    }

    fn connect(stage: &mut dyn Stage, family: i32, address: &[u8]) -> Seen {
        connect_with(stage, family, libc::SOCK_STREAM, address)
    }

    fn v4(stage: &mut dyn Stage) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = ipv4([127, 0, 0, 1], port);
        let seen = connect(stage, libc::AF_INET, &address);
        let (fd, tuple, text) =
            (seen.arg("fd"), format!("4 [127, 0, 0, 1]:{port} true"), format!("{address:?}"));
        seen.is("connect", &[("res", "0"), ("tuple", &tuple), ("fd", fd), ("addr", &text)])
            .has(&[("evt.type", "connect"), ("evt.category", "net"), ("evt.res", "SUCCESS"), ("fd.num", fd)])
            .has(&[
                ("fd.type", "ipv4"),
                ("fd.l4proto", "tcp"),
                ("fd.sip", "127.0.0.1"),
                ("fd.cip", "127.0.0.1"),
                ("evt.arg[3]", &format!("127.0.0.1:{port}")),
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
        let seen = connect(stage, libc::AF_INET6, &ipv6(ip, port));
        assert_eq!(seen.arg("tuple"), format!("6 {ip:?}:{port} true"));
        seen.has(&[
            ("fd.type", "ipv6"),
            ("fd.sip", "::1"),
            ("fd.cip", "::1"),
            ("fd.sport", &format!("{port}")),
        ]);
    }

    /// A port where nobody listens, bound so that nobody else takes it.
    fn closed() -> (UdpSocket, u16) {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        (taken, port)
    }

    fn refused(stage: &mut dyn Stage) {
        let (_taken, port) = closed();
        let loopback = Ipv4Addr::LOCALHOST;
        let expected = |seen: Seen| {
            seen.has(&[
                ("evt.res", "ECONNREFUSED"),
                ("fd.typechar", "4"),
                ("fd.sip", "127.0.0.1"),
                ("fd.rip", "127.0.0.1"),
                ("fd.sport", &format!("{port}")),
                ("fd.connected", "false"),
                ("fd.name_changed", "false"),
                ("fd.is_server", "false"),
                ("evt.arg[3]", &format!("127.0.0.1:{port}")),
            ]);
            let name = seen.fields["fd.name"].clone();
            assert!(name.ends_with(&format!("->127.0.0.1:{port}")), "{name}");
        };
        expected(connect(stage, libc::AF_INET, &ipv4(loopback.octets(), port)));
        expected(connect(stage, libc::AF_INET6, &ipv6(loopback.to_ipv6_mapped().octets(), port)));
        // Refused before the network has seen anything of it.
        let seen = connect(stage, libc::AF_INET, &ipv4([255, 255, 255, 255], 80));
        seen.has(&[
            ("fd.sip", "255.255.255.255"),
            ("fd.sport", "80"),
            ("fd.name", "0.0.0.0:0->255.255.255.255:80"),
        ])
        .lacks(&["fd.cip"]);
        let seen = connect(stage, libc::AF_INET6, &ipv6(Ipv6Addr::LOCALHOST.octets(), port));
        seen.has(&[("fd.sip", "::1"), ("fd.sport", &format!("{port}"))]);
        // Not a socket at all.
        let address = ipv4(loopback.octets(), port);
        let seen = stage.one(&|| {
            syscall!(SYS_connect, 999, address.as_ptr(), address.len());
        });
        seen.has(&[("evt.res", "EBADF"), ("evt.arg[3]", &format!("127.0.0.1:{port}"))]).lacks(&["fd.sip"]);
    }

    fn unfinished(stage: &mut dyn Stage) {
        // A listener whose queue is full answers nothing.
        let full = stage_full();
        let port = full.0.local_addr().unwrap().port();
        let address = ipv4([127, 0, 0, 1], port);
        let seen = connect_with(stage, libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, &address);
        seen.has(&[
            ("evt.res", "EINPROGRESS"),
            ("fd.sip", "127.0.0.1"),
            ("fd.cip", "127.0.0.1"),
            ("fd.sport", &format!("{port}")),
            ("fd.name_changed", "true"),
        ]);
    }

    /// A listener that takes no more, and those that wait for it.
    fn stage_full() -> (TcpListener, [std::net::TcpStream; 2]) {
        use std::os::fd::AsRawFd as _;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(syscall!(SYS_listen, listener.as_raw_fd(), 1), 0);
        let to = listener.local_addr().unwrap();
        let client = || std::net::TcpStream::connect(to).unwrap();
        let clients = [client(), client()];
        (listener, clients)
    }

    fn again(stage: &mut dyn Stage) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (first, second) = (ipv4([127, 0, 0, 1], port), ipv4([192, 0, 2, 1], 80));
        let seen = stage.observe(&|| {
            let fd = syscall!(SYS_socket, libc::AF_INET, libc::SOCK_STREAM, 0);
            syscall!(SYS_connect, fd, first.as_ptr(), first.len());
            syscall!(SYS_connect, fd, second.as_ptr(), second.len());
        });
        let seen = seen.last().expect("the second connect");
        seen.has(&[
            ("evt.res", "EISCONN"),
            ("fd.sport", &format!("{port}")),
            ("fd.name_changed", "false"),
            ("evt.arg[3]", "192.0.2.1:80"),
        ]);
    }

    fn unix(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let path = dir.at("socket");
        let _listener = UnixListener::bind(&path).unwrap();
        let address = sockaddr(libc::AF_UNIX, format!("{path}\0").as_bytes());
        let seen = connect(stage, libc::AF_UNIX, &address);
        let (fd, tuple) = (seen.arg("fd"), format!("u true {path}"));
        seen.is("connect", &[("res", "0"), ("tuple", &tuple), ("fd", fd), ("addr", &format!("{address:?}"))])
            .has(&[("fd.type", "unix"), ("fd.sockfamily", "unix"), ("fd.num", fd), ("evt.arg[3]", &path)])
            .lacks(&["fd.sip", "fd.cport"]);
        seen.has(&[("evt.arg[1]", &seen.fields["fd.name"])]);
        assert_name(&seen, &path);
        assert_eq!(seen.unix(), [Default::default(), (path.clone(), path.clone())]);

        let name = format!("\0falconet-{}", std::process::id());
        let listener = sockaddr(libc::AF_UNIX, name.as_bytes());
        let seen = stage.observe(&|| {
            let fd = syscall!(SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0);
            syscall!(SYS_bind, fd, listener.as_ptr(), listener.len());
            syscall!(SYS_listen, fd, 1);
            let fd = syscall!(SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0);
            syscall!(SYS_connect, fd, listener.as_ptr(), listener.len());
        });
        let seen = seen.last().expect("a connect");
        assert_name(seen, &name.replace('\0', "@"));
        assert_eq!(seen.unix(), [Default::default(), (name, String::new())]);
    }

    /// `fd.name` is Falco's: two addresses, and the name.
    fn assert_name(seen: &Seen, path: &str) {
        let name = &seen.fields["fd.name"];
        let (ends, told) = name.split_once(' ').expect("a blank");
        let (own, peer) = ends.split_once("->").expect("an arrow");
        let is_address = |text: &str| u64::from_str_radix(text, 16).is_ok_and(|word| word != 0);
        assert!(is_address(own) && is_address(peer) && own != peer && told == path, "{name}");
    }

    fn named_client(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let path = dir.at("docker.sock");
        let _listener = UnixListener::bind(&path).unwrap();
        let own = format!("\0falconet-x{}", std::process::id());
        let (client, server) =
            (sockaddr(libc::AF_UNIX, own.as_bytes()), sockaddr(libc::AF_UNIX, path.as_bytes()));
        let seen = stage.observe(&|| {
            let fd = syscall!(SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0);
            syscall!(SYS_bind, fd, client.as_ptr(), client.len());
            syscall!(SYS_connect, fd, server.as_ptr(), server.len());
        });
        let seen = seen.last().expect("a connect");
        assert_name(seen, &path);
        assert_eq!(seen.unix(), [(own, String::new()), (path.clone(), path)]);
    }

    fn other_ways(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let path = dir.at("socket");
        let _listener = UnixListener::bind(&path).unwrap();
        std::os::unix::fs::symlink("socket", dir.at("link")).unwrap();
        let to = c(dir.path());
        for name in ["socket", "./link"] {
            let address = sockaddr(libc::AF_UNIX, name.as_bytes());
            let seen = stage.observe(&|| {
                syscall!(SYS_chdir, to.as_ptr());
                let fd = syscall!(SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0);
                syscall!(SYS_connect, fd, address.as_ptr(), address.len());
            });
            let seen = seen.into_iter().find(|seen| seen.event == "connect").expect("a connect");
            seen.has(&[("evt.res", "SUCCESS"), ("evt.arg[3]", name)]);
            assert_name(&seen, &path);
            assert_eq!(seen.unix()[1], (path.clone(), path.clone()));
        }
    }

    fn nobody(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let path = dir.at("nobody");
        let seen =
            connect(stage, libc::AF_UNIX, &sockaddr(libc::AF_UNIX, format!("{path}\0rest").as_bytes()));
        seen.has(&[("evt.res", "ENOENT"), ("fd.type", "unix"), ("evt.arg[3]", &path)]);
        let name = &seen.fields["fd.name"];
        assert!(name.ends_with(&format!("->0 {path}")), "{name}");
        assert_eq!(seen.unix()[1], (path, String::new()));
    }

    fn race(stage: &mut dyn Stage) {
        use std::os::fd::AsRawFd as _;
        // The call waits for room in the listener's queue, and meanwhile its address becomes another.
        let dir = Dir::new();
        let (real, other) = (dir.at("real"), dir.at("liar"));
        let listener = UnixListener::bind(&real).unwrap();
        assert_eq!(syscall!(SYS_listen, listener.as_raw_fd(), 0), 0);
        let _first = std::os::unix::net::UnixStream::connect(&real).unwrap();
        let shared = Shared::new();
        let pid = shared.number(0);
        let address = sockaddr(libc::AF_UNIX, format!("{real}\0").as_bytes());
        let passed = shared.put(64, &address);
        let seen = std::thread::scope(|scope| {
            scope.spawn(|| {
                let asleep = || {
                    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.load(Ordering::SeqCst)));
                    stat.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" S")))
                };
                while !asleep() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                shared.put(64, &sockaddr(libc::AF_UNIX, format!("{other}\0").as_bytes()));
                drop((listener.accept().unwrap(), listener.accept().unwrap()));
            });
            stage.observe(&|| {
                let fd = syscall!(SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0);
                pid.store(u32::try_from(syscall!(SYS_getpid)).unwrap_or(0), Ordering::SeqCst);
                syscall!(SYS_connect, fd, passed, address.len());
            })
        });
        let seen = seen.last().expect("a connect");
        seen.has(&[("evt.res", "SUCCESS"), ("evt.arg[3]", &other)]);
        assert_name(seen, &real);
    }
}

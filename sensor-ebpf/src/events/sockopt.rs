//! setsockopt(2) and getsockopt(2).

use super::flags::Flags;
use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, Role, View,
    Volume, params,
};
use crate::record;
use crate::record::{Fd, Pod as _, Record, Tail};

record! {
    /// A finished setsockopt or getsockopt.
    pub struct SocketOption {
        pub ret: i64,
        pub sock: Fd,
        pub num: i32,
        /// `SOL_*` or `IPPROTO_*`, and a number of that level.
        pub level: u32,
        pub name: u32,
        /// Bytes of the value.
        pub len: u32,
        /// The first of them.
        pub value: Tail,
        pub reserved: u32,
    }
}

/// setsockopt(2).
pub struct Setsockopt;
/// getsockopt(2).
pub struct Getsockopt;

impl Setsockopt {
    pub const EVENT: Info = event("setsockopt");
}

impl Getsockopt {
    pub const EVENT: Info = event("getsockopt");
}

const fn event(name: &'static str) -> Info {
    Info {
        layout: SocketOption::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name,
            codes: Codes::Exit,
            category: Category::Net,
            params: PARAMS,
            fd: Some(Descriptor {
                view: |r| r.body().map(|b: &SocketOption| FdView::of(r, b.num.into(), &b.sock)),
                is: Is::Subject,
                otherwise: b'o',
                role: Role::Unknown,
            }),
            io: None,
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    }
}

const PARAMS: &[Param] = params! {
    "res": T::Errno, |r, b: &SocketOption| Arg::Int(b.ret);
    "fd": T::Fd, |r, b: &SocketOption| Arg::Int(b.num.into());
    "level": T::Enum(8, LEVELS), |r, b: &SocketOption| Arg::Uint(falco_level(b.level));
    "optname": T::Enum(8, OPTIONS), |r, b: &SocketOption| Arg::Uint(falco_name(b.level, b.name));
    "val": T::DynamicDec, |r, b: &SocketOption| value(r, b);
    "optlen": T::Dec(32), |r, b: &SocketOption| Arg::Uint(b.len.into());
};

const SOL_SOCKET: u32 = 1;
const SOL_TCP: u32 = 6;
const SO_ERROR: u32 = 4;
const SO_RCVTIMEO: u32 = 20;
const SO_SNDTIMEO: u32 = 21;

/// Falco's number of a level.
fn falco_level(level: u32) -> u64 {
    match level {
        SOL_SOCKET => 1,
        SOL_TCP => 2,
        _ => 0,
    }
}

/// Falco's number of an option; it knows those of sockets alone, and up to this one.
fn falco_name(level: u32, name: u32) -> u64 {
    const SO_COOKIE: u32 = 53;
    if level == SOL_SOCKET && name <= SO_COOKIE { name.into() } else { 0 }
}

/// The value as its option has it: an errno, ns, a number, or else bytes.
fn value<'a>(r: &Record<'a>, b: &SocketOption) -> Arg<'a> {
    /// Options of a socket that are an `int`.
    const NUMBERS: [u32; 32] = [
        1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 15, 16, 18, 19, 29, 30, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41,
        42, 43, 44, 45, 46,
    ];
    let bytes = r.tail(b.value);
    let int = bytes.first_chunk().map(|word| u32::from_ne_bytes(*word));
    match (b.name, int) {
        _ if b.level != SOL_SOCKET => Arg::Bytes(bytes),
        (SO_ERROR, Some(errno)) => Arg::Int(-i64::from(errno)),
        (SO_RCVTIMEO | SO_SNDTIMEO, _) => duration(bytes).map_or(Arg::Bytes(bytes), Arg::Uint),
        (name, Some(int)) if NUMBERS.contains(&name) => Arg::Uint(int.into()),
        _ => Arg::Bytes(bytes),
    }
}

/// A `struct timeval`, of words of either size, in ns.
fn duration(bytes: &[u8]) -> Option<u64> {
    let word = |bytes: &[u8]| match bytes.len() {
        4 => bytes.first_chunk().map(|word| u64::from(u32::from_ne_bytes(*word))),
        8 => bytes.first_chunk().map(|word| u64::from_ne_bytes(*word)),
        _ => None,
    };
    let (seconds, micros) = bytes.split_at_checked(bytes.len() / 2)?;
    Some(word(seconds)?.wrapping_mul(1_000_000_000).wrapping_add(word(micros)?.wrapping_mul(1000)))
}

static LEVELS: &Flags = &[("SOL_SOCKET", 1), ("SOL_TCP", 2), ("UNKNOWN", 0)];

/// Falco's names of the options of sockets, whose numbers are those of Linux.
static OPTIONS: &Flags = &[
    ("SO_COOKIE", 53),
    ("SO_MEMINFO", 52),
    ("SO_PEERGROUPS", 51),
    ("SO_ATTACH_BPF", 50),
    ("SO_INCOMING_CPU", 49),
    ("SO_BPF_EXTENSIONS", 48),
    ("SO_MAX_PACING_RATE", 47),
    ("SO_BUSY_POLL", 46),
    ("SO_SELECT_ERR_QUEUE", 45),
    ("SO_LOCK_FILTER", 44),
    ("SO_NOFCS", 43),
    ("SO_PEEK_OFF", 42),
    ("SO_WIFI_STATUS", 41),
    ("SO_RXQ_OVFL", 40),
    ("SO_DOMAIN", 39),
    ("SO_PROTOCOL", 38),
    ("SO_TIMESTAMPING", 37),
    ("SO_MARK", 36),
    ("SO_TIMESTAMPNS", 35),
    ("SO_PASSSEC", 34),
    ("SO_PEERSEC", 31),
    ("SO_ACCEPTCONN", 30),
    ("SO_TIMESTAMP", 29),
    ("SO_PEERNAME", 28),
    ("SO_DETACH_FILTER", 27),
    ("SO_ATTACH_FILTER", 26),
    ("SO_BINDTODEVICE", 25),
    ("SO_SECURITY_ENCRYPTION_NETWORK", 24),
    ("SO_SECURITY_ENCRYPTION_TRANSPORT", 23),
    ("SO_SECURITY_AUTHENTICATION", 22),
    ("SO_SNDTIMEO", 21),
    ("SO_RCVTIMEO", 20),
    ("SO_SNDLOWAT", 19),
    ("SO_RCVLOWAT", 18),
    ("SO_PEERCRED", 17),
    ("SO_PASSCRED", 16),
    ("SO_REUSEPORT", 15),
    ("SO_BSDCOMPAT", 14),
    ("SO_LINGER", 13),
    ("SO_PRIORITY", 12),
    ("SO_NO_CHECK", 11),
    ("SO_OOBINLINE", 10),
    ("SO_KEEPALIVE", 9),
    ("SO_RCVBUFFORCE", 33),
    ("SO_SNDBUFFORCE", 32),
    ("SO_RCVBUF", 8),
    ("SO_SNDBUF", 7),
    ("SO_BROADCAST", 6),
    ("SO_DONTROUTE", 5),
    ("SO_ERROR", 4),
    ("SO_TYPE", 3),
    ("SO_REUSEADDR", 2),
    ("SO_DEBUG", 1),
    ("UNKNOWN", 0),
];

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::SocketOption;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, file};
    use crate::record::{CUT_ARGUMENT, Tail};

    /// Most bytes of a value in a record.
    const VALUE_MAX: u64 = 128;

    #[inline(always)]
    fn record(exit: &Exit, kind: Kind, len: u32) {
        let Some(mut w) = Writer::new::<SocketOption>(kind) else { return };
        let body = w.body::<SocketOption>();
        body.ret = exit.ret;
        body.num = exit.arg(0) as i32;
        body.level = exit.arg(1) as u32;
        body.name = exit.arg(2) as u32;
        body.len = len;
        body.reserved = 0;
        file::describe(&mut w, exit.task, body.num, &mut body.sock);
        body.value = if len == 0 || exit.arg(3) == 0 {
            Tail::EMPTY
        } else {
            w.user_bytes(exit.arg(3), len.into(), VALUE_MAX, CUT_ARGUMENT)
        };
        w.submit(kind);
    }

    #[inline(always)]
    pub fn setsockopt(exit: &Exit) {
        record(exit, Kind::Setsockopt, exit.arg(4) as u32);
    }

    #[inline(always)]
    pub fn getsockopt(exit: &Exit) {
        // One that failed has written nothing.
        let len = if exit.ret < 0 { 0 } else { exit.number(exit.arg(4)) };
        record(exit, Kind::Getsockopt, len);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{getsockopt, setsockopt};

#[cfg(feature = "testing")]
mod scenarios {
    use std::format;
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd as _;

    use super::{Getsockopt, Setsockopt};
    use crate::syscall;
    use crate::testing::{Scenario, Shared, Stage};

    impl Setsockopt {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "a number", play: number },
            Scenario { shows: "a time", play: time },
            Scenario { shows: "an option of TCP, and one of another level", play: other_levels },
            Scenario { shows: "a descriptor that is no socket", play: failed },
        ];
    }

    impl Getsockopt {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "what the kernel gave", play: given },
            Scenario { shows: "the error of a socket", play: error },
        ];
    }

    fn socket() -> UdpSocket {
        UdpSocket::bind("127.0.0.1:0").unwrap()
    }

    fn number(stage: &mut dyn Stage) {
        let socket = socket();
        let (fd, on) = (socket.as_raw_fd(), 1_u32);
        let seen = stage.one(&|| {
            syscall!(SYS_setsockopt, fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, &raw const on, 4);
        });
        let fd = format!("{fd}");
        let args =
            [("res", "0"), ("fd", &fd), ("level", "1"), ("optname", "2"), ("val", "1"), ("optlen", "4")];
        seen.is("setsockopt", &args.map(|(name, value): (&str, &str)| (name, value)))
            .has(&[
                ("evt.type", "setsockopt"),
                ("evt.category", "net"),
                ("fd.num", &fd),
                ("fd.l4proto", "udp"),
            ])
            .has(&[("evt.arg[2]", "SOL_SOCKET"), ("evt.arg[3]", "SO_REUSEADDR"), ("evt.arg[4]", "1")]);
    }

    fn time(stage: &mut dyn Stage) {
        let socket = socket();
        let (fd, time) = (socket.as_raw_fd(), [2_u64, 500_000]);
        let seen = stage.one(&|| {
            syscall!(SYS_setsockopt, fd, libc::SOL_SOCKET, libc::SO_RCVTIMEO, time.as_ptr(), 16);
        });
        seen.has(&[("evt.res", "SUCCESS"), ("evt.arg[3]", "SO_RCVTIMEO"), ("evt.arg[4]", "2500000000")]);
    }

    fn other_levels(stage: &mut dyn Stage) {
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (fd, on) = (tcp.as_raw_fd(), u32::from_ne_bytes(*b"\x01\0\0\0"));
        let seen = stage.observe(&|| {
            syscall!(SYS_setsockopt, fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, &raw const on, 4);
            syscall!(SYS_setsockopt, fd, libc::IPPROTO_IP, libc::IP_TTL, &raw const on, 4);
        });
        seen[0].has(&[("evt.arg[2]", "SOL_TCP"), ("evt.arg[3]", "UNKNOWN"), ("evt.arg[4]", "....")]);
        seen[1].has(&[("evt.arg[2]", "UNKNOWN"), ("evt.arg[3]", "UNKNOWN"), ("evt.arg[5]", "4")]);
    }

    fn failed(stage: &mut dyn Stage) {
        let on = 1_u32;
        let seen = stage.one(&|| {
            syscall!(SYS_setsockopt, 999, libc::SOL_SOCKET, libc::SO_BROADCAST, &raw const on, 4);
        });
        let args =
            [("res", "-9"), ("fd", "999"), ("level", "1"), ("optname", "6"), ("val", "1"), ("optlen", "4")];
        seen.is("setsockopt", &args).has(&[("evt.res", "EBADF"), ("fd.typechar", "o")]);
    }

    fn given(stage: &mut dyn Stage) {
        let socket = socket();
        let (fd, memory) = (socket.as_raw_fd(), Shared::new());
        let (value, len) = (memory.put(0, &[0; 8]), memory.put(64, &8_u32.to_ne_bytes()));
        let seen = stage.one(&|| {
            syscall!(SYS_getsockopt, fd, libc::SOL_SOCKET, libc::SO_TYPE, value, len);
        });
        let fd = format!("{fd}");
        let args =
            [("res", "0"), ("fd", &fd), ("level", "1"), ("optname", "3"), ("val", "2"), ("optlen", "4")];
        seen.is("getsockopt", &args.map(|(name, value): (&str, &str)| (name, value))).has(&[
            ("evt.type", "getsockopt"),
            ("evt.category", "net"),
            ("evt.arg[3]", "SO_TYPE"),
        ]);
    }

    fn error(stage: &mut dyn Stage) {
        // Nobody listens there: the second datagram hears of the first.
        let socket = socket();
        let port = self::socket().local_addr().unwrap().port();
        socket.connect(("127.0.0.1", port)).unwrap();
        socket.send(b"x").unwrap();
        let (fd, memory) = (socket.as_raw_fd(), Shared::new());
        let (value, len) = (memory.put(0, &[0; 8]), memory.put(64, &4_u32.to_ne_bytes()));
        let seen = stage.observe(&|| {
            syscall!(SYS_getsockopt, fd, libc::SOL_SOCKET, libc::SO_ERROR, value, len);
            syscall!(SYS_getsockopt, fd, libc::SOL_SOCKET, libc::SO_ERROR, value, 0);
        });
        seen[0].has(&[("evt.res", "SUCCESS"), ("evt.arg[3]", "SO_ERROR"), ("evt.arg[4]", "ECONNREFUSED")]);
        seen[1].has(&[("evt.res", "EFAULT"), ("evt.arg[4]", ""), ("evt.arg[5]", "0")]);
    }
}

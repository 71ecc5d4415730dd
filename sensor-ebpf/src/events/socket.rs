//! socket(2): what the kernel made, before it has an address.

use super::flags::{FILE_FLAGS, Flags};
use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, Role, View,
    Volume, params,
};
use crate::record;
use crate::record::{Fd, Pod as _};

record! {
    /// A finished socket.
    pub struct Socket {
        /// The descriptor, or a negative errno.
        pub ret: i64,
        pub sock: Fd,
        /// `AF_*`.
        pub domain: u32,
        /// `SOCK_*`, with [`NONBLOCK`] and [`CLOEXEC`] if they were passed.
        pub type_: u32,
        pub proto: u32,
        pub reserved: u32,
    }
}

impl Socket {
    pub const EVENT: Info = Info {
        layout: Self::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name: "socket",
            codes: Codes::Exit,
            category: Category::Net,
            params: PARAMS,
            fd: Some(Descriptor {
                view: |r| r.body().map(|b: &Self| FdView::of(r, b.ret.max(-1), &b.sock)),
                is: Is::Subject,
                otherwise: b'4',
                role: Role::Unknown,
            }),
            io: None,
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    };
}

const PARAMS: &[Param] = params! {
    "fd": T::Fd, |r, b: &Socket| Arg::Int(b.ret);
    "domain": T::Enum(32, SOCKET_FAMILIES), |r, b: &Socket| Arg::Uint(b.domain.into());
    "type": T::Dec(32), |r, b: &Socket| Arg::Uint(b.type_.into());
    "proto": T::Dec(32), |r, b: &Socket| Arg::Uint(b.proto.into());
    "flags": T::Flags(32, FILE_FLAGS), |r, b: &Socket| Arg::Uint(falco_flags(b.type_).into());
};

/// `SOCK_NONBLOCK` and `SOCK_CLOEXEC` of x86-64 (and every architecture with the generic numbers).
const NONBLOCK: u32 = 0o4000;
const CLOEXEC: u32 = 0o2_000_000;

/// Falco's bits of the flags in a type.
fn falco_flags(type_: u32) -> u32 {
    let bit = |linux, falco| if type_ & linux != 0 { falco } else { 0 };
    bit(NONBLOCK, 64) | bit(CLOEXEC, 4096)
}

/// Falco's names of address families. Of two for one number the first is printed, as there.
pub(super) static SOCKET_FAMILIES: &Flags = &[
    ("AF_NFC", 39),
    ("AF_ALG", 38),
    ("AF_CAIF", 37),
    ("AF_IEEE802154", 36),
    ("AF_PHONET", 35),
    ("AF_ISDN", 34),
    ("AF_RXRPC", 33),
    ("AF_IUCV", 32),
    ("AF_BLUETOOTH", 31),
    ("AF_TIPC", 30),
    ("AF_CAN", 29),
    ("AF_LLC", 26),
    ("AF_WANPIPE", 25),
    ("AF_PPPOX", 24),
    ("AF_IRDA", 23),
    ("AF_SNA", 22),
    ("AF_RDS", 21),
    ("AF_ATMSVC", 20),
    ("AF_ECONET", 19),
    ("AF_ASH", 18),
    ("AF_PACKET", 17),
    ("AF_ROUTE", 16),
    ("AF_NETLINK", 16),
    ("AF_KEY", 15),
    ("AF_SECURITY", 14),
    ("AF_NETBEUI", 13),
    ("AF_DECnet", 12),
    ("AF_ROSE", 11),
    ("AF_INET6", 10),
    ("AF_X25", 9),
    ("AF_ATMPVC", 8),
    ("AF_BRIDGE", 7),
    ("AF_NETROM", 6),
    ("AF_APPLETALK", 5),
    ("AF_IPX", 4),
    ("AF_AX25", 3),
    ("AF_INET", 2),
    ("AF_LOCAL", 1),
    ("AF_UNIX", 1),
    ("AF_UNSPEC", 0),
];

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Socket;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, file};

    #[inline(always)]
    pub fn socket(exit: &Exit) {
        let Some(mut w) = Writer::new::<Socket>(Kind::Socket) else { return };
        let body = w.body::<Socket>();
        body.ret = exit.ret;
        file::describe(&mut w, exit.task, exit.fd, &mut body.sock);
        body.domain = exit.arg(0) as u32;
        body.type_ = exit.arg(1) as u32;
        body.proto = exit.arg(2) as u32;
        body.reserved = 0;
        w.submit(Kind::Socket);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::socket;

#[cfg(feature = "testing")]
mod scenarios {
    use super::Socket;
    use crate::syscall;
    use crate::testing::{Scenario, Stage};

    impl Socket {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "a new TCP socket has no name yet", play: tcp },
            Scenario { shows: "a packet socket", play: packet },
            Scenario { shows: "a failed one keeps what was asked", play: failed },
        ];
    }

    fn tcp(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            syscall!(SYS_socket, libc::AF_INET, libc::SOCK_STREAM | flags, 0);
        });
        let fd = seen.arg("fd");
        // 1 with the two flags, which Falco has as 64 and 4096.
        let args = [("fd", fd), ("domain", "2"), ("type", "526337"), ("proto", "0"), ("flags", "4160")];
        seen.is("socket", &args)
            .has(&[
                ("evt.type", "socket"),
                ("syscall.type", "socket"),
                ("evt.category", "net"),
                ("evt.res", "SUCCESS"),
            ])
            .has(&[("evt.arg[1]", "AF_INET"), ("evt.arg[4]", "O_NONBLOCK|O_CLOEXEC"), ("evt.is_io", "false")])
            .has(&[
                ("fd.num", fd),
                ("fd.typechar", "4"),
                ("fd.type", "ipv4"),
                ("fd.l4proto", "tcp"),
                ("fd.name", ""),
            ])
            .has(&[("fd.sockfamily", "ip"), ("fd.connected", "false"), ("fd.name_changed", "false")])
            .lacks(&["fd.cip", "fd.sport", "fd.directory", "fs.path.name", "evt.abspath"]);
    }

    fn packet(stage: &mut dyn Stage) {
        let protocol = 3_u16.to_be();
        let seen = stage.one(&|| {
            syscall!(SYS_socket, libc::AF_PACKET, libc::SOCK_RAW, i32::from(protocol));
        });
        let fd = seen.arg("fd");
        if fd.starts_with('-') {
            return stage.skip("this process may not make packet sockets");
        }
        let args = [("fd", fd), ("domain", "17"), ("type", "3"), ("proto", "768"), ("flags", "0")];
        seen.is("socket", &args)
            .has(&[
                ("evt.arg[1]", "AF_PACKET"),
                ("evt.category", "net"),
                ("fd.num", fd),
                ("fd.typechar", "o"),
            ])
            .lacks(&["fd.type", "fd.sockfamily", "fd.cip"]);
    }

    fn failed(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_socket, libc::AF_INET6, 77, 6);
        });
        let args = [("fd", "-22"), ("domain", "10"), ("type", "77"), ("proto", "6"), ("flags", "0")];
        seen.is("socket", &args)
            .has(&[("evt.res", "EINVAL"), ("evt.arg[1]", "AF_INET6"), ("fd.num", "-1"), ("fd.typechar", "4")])
            .lacks(&["fd.type", "fd.name"]);
    }
}

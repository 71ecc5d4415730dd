//! shutdown(2).

use super::flags::Flags;
use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, Role, View,
    Volume, params,
};
use crate::record;
use crate::record::{Fd, Pod as _};

record! {
    /// A finished shutdown.
    pub struct ShutDown {
        pub ret: i64,
        pub sock: Fd,
        pub num: i32,
        /// `SHUT_*`.
        pub how: u32,
    }
}

/// shutdown(2).
pub struct Shutdown;

impl Shutdown {
    pub const EVENT: Info = Info {
        layout: ShutDown::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name: "shutdown",
            codes: Codes::Exit,
            category: Category::Net,
            params: PARAMS,
            fd: Some(Descriptor {
                view: |r| r.body().map(|b: &ShutDown| FdView::of(r, b.num.into(), &b.sock)),
                is: Is::Subject,
                otherwise: b'o',
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
    "res": T::Errno, |r, b: &ShutDown| Arg::Int(b.ret);
    "fd": T::Fd, |r, b: &ShutDown| Arg::Int(b.num.into());
    "how": T::Enum(8, HOW), |r, b: &ShutDown| Arg::Uint(b.how.min(u8::MAX.into()).into());
};

/// Falco's names; what is none of them it calls unknown, by a number that the argument cannot have.
static HOW: &Flags = &[("SHUT_UNKNOWN", 65535), ("SHUT_RDWR", 2), ("SHUT_WR", 1), ("SHUT_RD", 0)];

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::ShutDown;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, file};

    #[inline(always)]
    pub fn shutdown(exit: &Exit) {
        let Some(mut w) = Writer::new::<ShutDown>(Kind::Shutdown) else { return };
        let body = w.body::<ShutDown>();
        body.ret = exit.ret;
        body.num = exit.arg(0) as i32;
        body.how = exit.arg(1) as u32;
        file::describe(&mut w, exit.task, body.num, &mut body.sock);
        w.submit(Kind::Shutdown);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::shutdown;

#[cfg(feature = "testing")]
mod scenarios {
    use std::format;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd as _;

    use super::Shutdown;
    use crate::syscall;
    use crate::testing::{Scenario, Stage};

    impl Shutdown {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "a connection, one way", play: one_way },
            Scenario { shows: "a way that there is not", play: no_way },
        ];
    }

    fn one_way(stage: &mut dyn Stage) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let fd = client.as_raw_fd();
        let seen = stage.one(&|| {
            syscall!(SYS_shutdown, fd, libc::SHUT_RD);
        });
        let fd = format!("{fd}");
        seen.is("shutdown", &[("res", "0"), ("fd", &fd), ("how", "0")])
            .has(&[
                ("evt.type", "shutdown"),
                ("evt.category", "net"),
                ("evt.arg[2]", "SHUT_RD"),
                ("fd.num", &fd),
            ])
            .has(&[
                ("fd.type", "ipv4"),
                ("fd.sport", &format!("{}", listener.local_addr().unwrap().port())),
                ("fd.connected", "true"),
            ]);
    }

    fn no_way(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_shutdown, 999, 1000);
        });
        seen.is("shutdown", &[("res", "-9"), ("fd", "999"), ("how", "255")]).has(&[
            ("evt.res", "EBADF"),
            ("evt.arg[2]", "255"),
            ("fd.typechar", "o"),
        ]);
    }
}

//! getsockname(2) and getpeername(2): Falco has no argument of them.

use super::{Category, Codes, Info, Lane, Looks, View, Volume};
use crate::record;
use crate::record::Pod as _;

record! {
    /// A finished look at a socket's name. Rules see that it happened, and no more.
    pub struct Named {
        pub ret: i64,
    }
}

/// getsockname(2).
pub struct Getsockname;
/// getpeername(2).
pub struct Getpeername;

impl Getsockname {
    pub const EVENT: Info = event("getsockname");
}

impl Getpeername {
    pub const EVENT: Info = event("getpeername");
}

const fn event(name: &'static str) -> Info {
    Info {
        layout: Named::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name,
            codes: Codes::Exit,
            category: Category::Net,
            params: &[],
            fd: None,
            io: None,
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    }
}

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Named;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer};

    #[inline(always)]
    fn record(exit: &Exit, kind: Kind) {
        let Some(mut w) = Writer::new::<Named>(kind) else { return };
        w.body::<Named>().ret = exit.ret;
        w.submit(kind);
    }

    #[inline(always)]
    pub fn getsockname(exit: &Exit) {
        record(exit, Kind::Getsockname);
    }

    #[inline(always)]
    pub fn getpeername(exit: &Exit) {
        record(exit, Kind::Getpeername);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{getpeername, getsockname};

#[cfg(feature = "testing")]
mod scenarios {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd as _;

    use super::{Getpeername, Getsockname};
    use crate::syscall;
    use crate::testing::{Scenario, Stage};

    impl Getsockname {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "that it happened", play: own }];
    }

    impl Getpeername {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "that it happened", play: peer }];
    }

    fn own(stage: &mut dyn Stage) {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (fd, address, len) = (socket.as_raw_fd(), [0_u8; 16], 16_u32);
        let seen = stage.one(&|| {
            syscall!(SYS_getsockname, fd, address.as_ptr(), &raw const len);
        });
        seen.is("getsockname", &[])
            .has(&[("evt.type", "getsockname"), ("evt.category", "net"), ("evt.args", "")])
            .lacks(&["evt.res", "evt.rawres", "fd.num", "fd.name"]);
    }

    fn peer(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_getpeername, 999, 0, 0);
        });
        seen.is("getpeername", &[])
            .has(&[("evt.type", "getpeername"), ("evt.category", "net")])
            .lacks(&["evt.res", "fd.num"]);
    }
}

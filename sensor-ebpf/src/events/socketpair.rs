//! socketpair(2): `fd.*` is the first of the two.

use super::socket::SOCKET_FAMILIES;
use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, Role, View,
    Volume, params,
};
use crate::record;
use crate::record::{Fd, Pod as _, Record};

record! {
    /// A finished socketpair.
    pub struct Paired {
        pub ret: i64,
        /// The first.
        pub sock: Fd,
        /// Both descriptors; -1 when it failed.
        pub first: i32,
        pub second: i32,
        /// `AF_*`, `SOCK_*` with flags, and protocol, as passed.
        pub domain: u32,
        pub type_: u32,
        pub proto: u32,
        pub reserved: u32,
    }
}

/// socketpair(2).
pub struct Socketpair;

impl Socketpair {
    pub const EVENT: Info = Info {
        layout: Paired::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name: "socketpair",
            codes: Codes::Exit,
            category: Category::Ipc,
            params: PARAMS,
            fd: Some(Descriptor { view, is: Is::Subject, otherwise: b'o', role: Role::Unknown }),
            io: None,
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    };
}

fn view<'a>(r: &Record<'a>) -> Option<FdView<'a>> {
    r.body().map(|b: &Paired| FdView::of(r, b.first.into(), &b.sock))
}

const PARAMS: &[Param] = params! {
    "res": T::Errno, |r, b: &Paired| Arg::Int(b.ret);
    "fd1": T::Fd, |r, b: &Paired| Arg::Int(b.first.into());
    "fd2": T::Fd, |r, b: &Paired| Arg::Int(b.second.into());
    "source": T::Hex(64), |r, b: &Paired| Arg::Uint(b.sock.unix_ends()[0]);
    "peer": T::Hex(64), |r, b: &Paired| Arg::Uint(b.sock.unix_ends()[1]);
    "domain": T::Enum(32, SOCKET_FAMILIES), |r, b: &Paired| Arg::Uint(b.domain.into());
    "type": T::Dec(32), |r, b: &Paired| Arg::Uint(b.type_.into());
    "proto": T::Dec(32), |r, b: &Paired| Arg::Uint(b.proto.into());
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Paired;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, file};

    #[inline(always)]
    pub fn socketpair(exit: &Exit) {
        let Some(mut w) = Writer::new::<Paired>(Kind::Socketpair) else { return };
        let body = w.body::<Paired>();
        body.ret = exit.ret;
        // Two `int`s, whatever the caller's words are.
        let made = if exit.ret < 0 { None } else { exit.read::<[u32; 2]>(exit.arg(3)) };
        let [first, second] = made.unwrap_or([u32::MAX; 2]);
        body.first = first as i32;
        body.second = second as i32;
        file::describe(&mut w, exit.task, body.first, &mut body.sock);
        body.domain = exit.arg(0) as u32;
        body.type_ = exit.arg(1) as u32;
        body.proto = exit.arg(2) as u32;
        body.reserved = 0;
        w.submit(Kind::Socketpair);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::socketpair;

#[cfg(feature = "testing")]
mod scenarios {
    use super::Socketpair;
    use crate::syscall;
    use crate::testing::{Scenario, Shared, Stage};

    impl Socketpair {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "both ends", play: pair },
            Scenario { shows: "a family that has no pairs", play: failed },
        ];
    }

    fn pair(stage: &mut dyn Stage) {
        let memory = Shared::new();
        let at = memory.put(0, &[0; 8]);
        let seen = stage.one(&|| {
            syscall!(SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0, at);
        });
        let number = |name| seen.arg(name).parse::<u64>().expect("a number");
        assert_eq!(number("fd1") + 1, number("fd2"));
        assert!(number("source") != 0 && number("peer") != 0 && number("source") != number("peer"));
        assert_eq!(
            [seen.arg("res"), seen.arg("domain"), seen.arg("type"), seen.arg("proto")],
            ["0", "1", "524289", "0"]
        );
        let (source, peer) = (number("source"), number("peer"));
        seen.has(&[("evt.type", "socketpair"), ("evt.category", "IPC"), ("evt.arg[5]", "AF_LOCAL")])
            .has(&[("fd.num", seen.arg("fd1")), ("fd.type", "unix"), ("fd.sockfamily", "unix")])
            .has(&[("fd.name", &std::format!("{source:x}->{peer:x}"))]);
    }

    fn failed(stage: &mut dyn Stage) {
        let memory = Shared::new();
        let at = memory.put(0, &[0; 8]);
        let seen = stage.one(&|| {
            syscall!(SYS_socketpair, libc::AF_INET, libc::SOCK_STREAM, 0, at);
        });
        let args = [
            ("res", "-95"),
            ("fd1", "-1"),
            ("fd2", "-1"),
            ("source", "0"),
            ("peer", "0"),
            ("domain", "2"),
            ("type", "1"),
            ("proto", "0"),
        ];
        seen.is("socketpair", &args).has(&[("evt.res", "EOPNOTSUPP"), ("fd.num", "-1")]).lacks(&["fd.type"]);
    }
}

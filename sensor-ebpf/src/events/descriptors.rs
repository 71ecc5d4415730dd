//! Calls that make a descriptor of no file: eventfd(2), signalfd(2), `timerfd_create(2)`, `inotify_init(2)`, `memfd_create(2)` and their kin.
//! `fd.*` is the new descriptor.

use super::flags::{EPOLL_CREATE1_FLAGS, FILE_FLAGS, MEMFD_FLAGS};
use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, Role, View,
    Volume, params,
};
use crate::record;
use crate::record::{Fd, Pod as _, Record, Tail};

record! {
    /// A finished call.
    pub struct Created {
        /// The descriptor, or a negative errno.
        pub ret: i64,
        pub file: Fd,
        /// What the kind of descriptor asks for: a first value, a clock, a set of signals.
        pub value: u64,
        pub flags: u32,
        /// The descriptor that signalfd changes.
        pub fd: i32,
        /// The name of a memfd, as passed.
        pub name: Tail,
        pub reserved: u32,
    }
}

/// eventfd(2).
pub struct Eventfd;
/// eventfd2(2).
pub struct Eventfd2;
/// signalfd(2).
pub struct Signalfd;
/// signalfd4(2).
pub struct Signalfd4;
/// `timerfd_create(2)`.
pub struct TimerfdCreate;
/// `inotify_init(2)`.
pub struct InotifyInit;
/// `inotify_init1(2)`.
pub struct InotifyInit1;
/// `epoll_create1(2)`.
pub struct EpollCreate1;
/// `memfd_create(2)`.
pub struct MemfdCreate;

impl Eventfd {
    pub const EVENT: Info = event("eventfd", Category::Ipc, EVENTFD, b'e');
}

impl Eventfd2 {
    pub const EVENT: Info = event("eventfd2", Category::Ipc, EVENTFD2, b'e');
}

impl Signalfd {
    pub const EVENT: Info = event("signalfd", Category::Signal, SIGNALFD, b's');
}

impl Signalfd4 {
    pub const EVENT: Info = event("signalfd4", Category::Signal, SIGNALFD4, b's');
}

impl TimerfdCreate {
    pub const EVENT: Info = event("timerfd_create", Category::Time, TIMERFD_CREATE, b't');
}

impl InotifyInit {
    pub const EVENT: Info = event("inotify_init", Category::Ipc, INOTIFY_INIT, b'i');
}

impl InotifyInit1 {
    pub const EVENT: Info = event("inotify_init1", Category::Ipc, INOTIFY_INIT1, b'i');
}

impl EpollCreate1 {
    pub const EVENT: Info = event("epoll_create1", Category::Wait, EPOLL_CREATE1, b'o');
}

impl MemfdCreate {
    pub const EVENT: Info = event("memfd_create", Category::Memory, MEMFD_CREATE, b'o');
}

/// They differ in this; `otherwise` is the type character of a failed one.
const fn event(name: &'static str, category: Category, params: &'static [Param], otherwise: u8) -> Info {
    Info {
        layout: Created::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name,
            codes: Codes::Exit,
            category,
            params,
            fd: Some(Descriptor { view: fd, is: Is::Subject, otherwise, role: Role::Unknown }),
            io: None,
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    }
}

/// A memfd has the name that it was given, as in Falco.
fn fd<'a>(r: &Record<'a>) -> Option<FdView<'a>> {
    let body: &Created = r.body()?;
    let view = FdView::of(r, body.ret.max(-1), &body.file);
    Some(if body.name.len == 0 { view } else { FdView { path: r.tail(body.name), ..view } })
}

/// Falco's bits of `O_NONBLOCK` and `O_CLOEXEC`, which these calls have under names of their own.
fn falco_flags(linux: u32) -> u64 {
    let bit = |linux_bit, falco| if linux & linux_bit != 0 { falco } else { 0 };
    bit(0o4000, 64) | bit(0o2_000_000, 4096)
}

const EVENTFD: &[Param] = params! {
    "res": T::Fd, |r, b: &Created| Arg::Int(b.ret);
    "initval": T::Dec(64), |r, b: &Created| Arg::Uint(b.value);
    "flags": T::Hex(32), |r, b: &Created| Arg::Uint(b.flags.into());
};

const EVENTFD2: &[Param] = params! {
    "res": T::Fd, |r, b: &Created| Arg::Int(b.ret);
    "flags": T::Flags(16, FILE_FLAGS), |r, b: &Created| Arg::Uint(falco_flags(b.flags));
    "initval": T::Dec(64), |r, b: &Created| Arg::Uint(b.value);
};

const SIGNALFD: &[Param] = params! {
    "res": T::Fd, |r, b: &Created| Arg::Int(b.ret);
    "fd": T::Fd, |r, b: &Created| Arg::Int(b.fd.into());
    "mask": T::Hex(32), |r, b: &Created| Arg::Uint(b.value & 0xffff_ffff);
    "flags": T::Hex(8), |r, b: &Created| Arg::Uint(b.flags.into());
};

const SIGNALFD4: &[Param] = params! {
    "res": T::Fd, |r, b: &Created| Arg::Int(b.ret);
    "flags": T::Flags(16, FILE_FLAGS), |r, b: &Created| Arg::Uint(falco_flags(b.flags));
    "fd": T::Fd, |r, b: &Created| Arg::Int(b.fd.into());
    "mask": T::Hex(32), |r, b: &Created| Arg::Uint(b.value & 0xffff_ffff);
};

const TIMERFD_CREATE: &[Param] = params! {
    "res": T::Fd, |r, b: &Created| Arg::Int(b.ret);
    "clockid": T::Dec(8), |r, b: &Created| Arg::Uint(b.value);
    "flags": T::Hex(8), |r, b: &Created| Arg::Uint(b.flags.into());
};

const INOTIFY_INIT: &[Param] = params! {
    "res": T::Fd, |r, b: &Created| Arg::Int(b.ret);
    "flags": T::Hex(8), |r, b: &Created| Arg::Uint(b.flags.into());
};

const INOTIFY_INIT1: &[Param] = params! {
    "res": T::Fd, |r, b: &Created| Arg::Int(b.ret);
    "flags": T::Flags(16, FILE_FLAGS), |r, b: &Created| Arg::Uint(falco_flags(b.flags));
};

const EPOLL_CREATE1: &[Param] = params! {
    "res": T::Errno, |r, b: &Created| Arg::Int(b.ret);
    "flags": T::Flags(32, EPOLL_CREATE1_FLAGS), |r, b: &Created| Arg::Uint(
        u64::from(b.flags & 0o2_000_000 != 0)
    );
};

const MEMFD_CREATE: &[Param] = params! {
    "fd": T::Fd, |r, b: &Created| Arg::Int(b.ret);
    "name": T::CharBuf, |r, b: &Created| Arg::Bytes(r.tail(b.name));
    "flags": T::Flags(32, MEMFD_FLAGS), |r, b: &Created| Arg::Uint(b.flags.into());
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Created;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, file};
    use crate::record::Tail;

    /// What a call asks for.
    #[derive(Clone, Copy)]
    struct Asked {
        value: u64,
        flags: u32,
        fd: i32,
        name: u64,
    }

    /// `made` is the type of what the call makes, which the kernel keeps as a file without one.
    #[inline(always)]
    fn record(exit: &Exit, kind: Kind, made: u8, asked: Asked) {
        let Some(mut w) = Writer::new::<Created>(kind) else { return };
        let body = w.body::<Created>();
        body.ret = exit.ret;
        file::describe(&mut w, exit.task, exit.ret as i32, &mut body.file);
        if body.file.kind != 0 {
            body.file.kind = made;
        }
        body.value = asked.value;
        body.flags = asked.flags;
        body.fd = asked.fd;
        body.name = if asked.name == 0 { Tail::EMPTY } else { w.argument_str(exit, asked.name) };
        body.reserved = 0;
        w.submit(kind);
    }

    const NOTHING: Asked = Asked { value: 0, flags: 0, fd: -1, name: 0 };

    #[inline(always)]
    pub fn eventfd(exit: &Exit) {
        record(exit, Kind::Eventfd, b'e', Asked { value: exit.arg(0) as u32 as u64, ..NOTHING });
    }

    #[inline(always)]
    pub fn eventfd2(exit: &Exit) {
        let asked = Asked { value: exit.arg(0) as u32 as u64, flags: exit.arg(1) as u32, ..NOTHING };
        record(exit, Kind::Eventfd2, b'e', asked);
    }

    /// `signalfd(fd, sigset_t *, size)`: the first 32 signals of the set are told.
    #[inline(always)]
    fn signals(exit: &Exit, flags: u32) -> Asked {
        let value = exit.read::<u32>(exit.arg(1)).unwrap_or(0).into();
        Asked { value, flags, fd: exit.arg(0) as i32, name: 0 }
    }

    #[inline(always)]
    pub fn signalfd(exit: &Exit) {
        record(exit, Kind::Signalfd, b's', signals(exit, 0));
    }

    #[inline(always)]
    pub fn signalfd4(exit: &Exit) {
        record(exit, Kind::Signalfd4, b's', signals(exit, exit.arg(3) as u32));
    }

    #[inline(always)]
    pub fn timerfd_create(exit: &Exit) {
        let asked = Asked { value: exit.arg(0) as u32 as u64, flags: exit.arg(1) as u32, ..NOTHING };
        record(exit, Kind::TimerfdCreate, b't', asked);
    }

    #[inline(always)]
    pub fn inotify_init(exit: &Exit) {
        record(exit, Kind::InotifyInit, b'i', NOTHING);
    }

    #[inline(always)]
    pub fn inotify_init1(exit: &Exit) {
        record(exit, Kind::InotifyInit1, b'i', Asked { flags: exit.arg(0) as u32, ..NOTHING });
    }

    #[inline(always)]
    pub fn epoll_create1(exit: &Exit) {
        record(exit, Kind::EpollCreate1, b'l', Asked { flags: exit.arg(0) as u32, ..NOTHING });
    }

    #[inline(always)]
    pub fn memfd_create(exit: &Exit) {
        let asked = Asked { flags: exit.arg(1) as u32, name: exit.arg(0), ..NOTHING };
        record(exit, Kind::MemfdCreate, b'm', asked);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{
    epoll_create1, eventfd, eventfd2, inotify_init, inotify_init1, memfd_create, signalfd, signalfd4,
    timerfd_create,
};

#[cfg(feature = "testing")]
mod scenarios {
    use super::{
        EpollCreate1, Eventfd, Eventfd2, InotifyInit, InotifyInit1, MemfdCreate, Signalfd, Signalfd4,
        TimerfdCreate,
    };
    use crate::syscall;
    use crate::testing::{Scenario, Seen, Stage, touch};

    macro_rules! scenarios {
        ($($event:ident: $shows:literal, $play:ident;)+) => {
            $(impl $event {
                pub const SCENARIOS: &[Scenario] = &[Scenario { shows: $shows, play: $play }];
            })+
        };
    }
    scenarios! {
        Eventfd: "a counter", eventfd;
        Eventfd2: "a counter with flags, and one that fails", eventfd2;
        Signalfd: "a set of signals", signalfd;
        Signalfd4: "a set of signals with flags", signalfd4;
        TimerfdCreate: "a clock, and one that there is not", timerfd;
        InotifyInit: "a new descriptor", inotify;
        InotifyInit1: "a new descriptor with flags, and a failed one", inotify1;
        EpollCreate1: "a new descriptor with flags", epoll;
        MemfdCreate: "its name, and flags that there are not", memfd;
    }

    /// It made a descriptor of this type.
    fn made<'s>(seen: &'s Seen, name: &str, category: &str, kind: &str) -> &'s Seen {
        let fd = &seen.args[0].1;
        seen.has(&[("evt.type", name), ("evt.category", category), ("evt.res", "SUCCESS")])
            .has(&[("fd.num", fd), ("fd.type", kind)])
            .lacks(&["fs.path.name", "evt.abspath"])
    }

    fn eventfd(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_eventfd, 5);
        });
        made(&seen, "eventfd", "IPC", "event")
            .is("eventfd", &[("res", &seen.args[0].1), ("initval", "5"), ("flags", "0")]);
    }

    fn eventfd2(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            syscall!(SYS_eventfd2, 7, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK);
            syscall!(SYS_eventfd2, 7, 1 << 30);
        });
        let [good, failed] = seen.as_slice() else { panic!("{seen:?}") };
        made(good, "eventfd2", "IPC", "event")
            .is("eventfd2", &[("res", &good.args[0].1), ("flags", "4160"), ("initval", "7")])
            .has(&[("evt.arg[1]", "O_NONBLOCK|O_CLOEXEC")]);
        failed.is("eventfd2", &[("res", "-22"), ("flags", "0"), ("initval", "7")]).has(&[
            ("evt.res", "EINVAL"),
            ("fd.num", "-1"),
            ("fd.typechar", "e"),
        ]);
    }

    fn signalfd(stage: &mut dyn Stage) {
        let set = 1_u64 << (libc::SIGUSR1 - 1);
        let seen = stage.one(&|| {
            syscall!(SYS_signalfd, -1, &raw const set, 8);
        });
        made(&seen, "signalfd", "signal", "signalfd")
            .is("signalfd", &[("res", &seen.args[0].1), ("fd", "-1"), ("mask", "512"), ("flags", "0")]);
    }

    fn signalfd4(stage: &mut dyn Stage) {
        let set = 1_u64 << (libc::SIGUSR1 - 1);
        let seen = stage.one(&|| {
            syscall!(SYS_signalfd4, -1, &raw const set, 8, libc::SFD_CLOEXEC);
        });
        made(&seen, "signalfd4", "signal", "signalfd")
            .is("signalfd4", &[("res", &seen.args[0].1), ("flags", "4096"), ("fd", "-1"), ("mask", "512")]);
    }

    fn timerfd(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            syscall!(SYS_timerfd_create, libc::CLOCK_MONOTONIC, 0);
            syscall!(SYS_timerfd_create, 99, 0);
        });
        let [good, failed] = seen.as_slice() else { panic!("{seen:?}") };
        made(good, "timerfd_create", "time", "timerfd")
            .is("timerfd_create", &[("res", &good.args[0].1), ("clockid", "1"), ("flags", "0")]);
        failed.is("timerfd_create", &[("res", "-22"), ("clockid", "99"), ("flags", "0")]).has(&[
            ("evt.res", "EINVAL"),
            ("fd.num", "-1"),
            ("fd.typechar", "t"),
        ]);
    }

    fn inotify(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_inotify_init);
        });
        made(&seen, "inotify_init", "IPC", "inotify")
            .is("inotify_init", &[("res", &seen.args[0].1), ("flags", "0")]);
    }

    fn inotify1(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            syscall!(SYS_inotify_init1, libc::IN_NONBLOCK);
            syscall!(SYS_inotify_init1, 1);
        });
        let [good, failed] = seen.as_slice() else { panic!("{seen:?}") };
        made(good, "inotify_init1", "IPC", "inotify")
            .is("inotify_init1", &[("res", &good.args[0].1), ("flags", "64")]);
        failed.is("inotify_init1", &[("res", "-22"), ("flags", "0")]).has(&[
            ("evt.res", "EINVAL"),
            ("fd.num", "-1"),
            ("fd.typechar", "i"),
        ]);
    }

    fn epoll(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_epoll_create1, libc::EPOLL_CLOEXEC);
        });
        made(&seen, "epoll_create1", "wait", "eventpoll")
            .is("epoll_create1", &[("res", &seen.args[0].1), ("flags", "1")])
            .has(&[("evt.arg[1]", "EPOLL_CLOEXEC")]);
    }

    fn memfd(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            syscall!(SYS_memfd_create, c"a name".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING);
            touch(&[c"other"]);
            syscall!(SYS_memfd_create, c"other".as_ptr(), 1 << 30);
        });
        let [good, failed] = seen.as_slice() else { panic!("{seen:?}") };
        made(good, "memfd_create", "memory", "memfd")
            .is("memfd_create", &[("fd", &good.args[0].1), ("name", "a name"), ("flags", "3")])
            .has(&[("evt.arg[2]", "MFD_CLOEXEC|MFD_ALLOW_SEALING"), ("fd.name", "a name")]);
        assert_eq!((failed.arg("fd"), failed.arg("name")), ("-22", "other"));
        failed.has(&[("evt.res", "EINVAL"), ("fd.num", "-1"), ("fd.typechar", "o")]);
    }
}

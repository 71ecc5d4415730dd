//! unshare(2), setns(2): other namespaces.

use super::clone::{CLONE_FLAGS, falco_flags};
use super::{
    Arg, Category, Change, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Param, ParamType as T, Role,
    View, Volume, params,
};
use crate::record;
use crate::record::{Fd, Pod as _, Record};

record! {
    /// A finished unshare.
    pub struct Unshared {
        pub ret: i64,
        /// `CLONE_*`.
        pub flags: u32,
        /// Inode of the mount namespace that the thread is in now.
        pub mntns: u32,
    }
}

record! {
    /// A finished setns.
    pub struct Entered {
        pub ret: i64,
        /// What `fd` is: a namespace's file, or a process.
        pub file: Fd,
        pub fd: i32,
        /// `CLONE_*`; 0: whatever the file is.
        pub nstype: u32,
        /// Inode of the mount namespace that the thread is in now.
        pub mntns: u32,
        pub reserved: u32,
    }
}

/// unshare(2).
pub struct Unshare;
/// setns(2).
pub struct Setns;

impl Unshare {
    pub const EVENT: Info = Info {
        layout: Unshared::LAYOUT,
        lane: Lane::Bulk,
        changes: Some(unshare_changes),
        rules: Some(view("unshare", UNSHARE, None)),
    };
}

impl Setns {
    pub const EVENT: Info = Info {
        layout: Entered::LAYOUT,
        lane: Lane::Bulk,
        changes: Some(setns_changes),
        rules: Some(view(
            "setns",
            SETNS,
            Some(Descriptor {
                view: |r| r.body().map(|b: &Entered| FdView::of(r, b.fd.into(), &b.file)),
                is: Is::Subject,
                otherwise: b'o',
                role: Role::Unknown,
            }),
        )),
    };
}

const fn view(name: &'static str, params: &'static [Param], fd: Option<Descriptor>) -> View {
    View {
        name,
        codes: Codes::Exit,
        category: Category::Process,
        params,
        fd,
        io: None,
        open: None,
        filter: Looks::Nothing,
        volume: Volume::Normal,
    }
}

fn unshare_changes<'a>(r: &Record<'a>) -> Option<Change<'a>> {
    let body: &Unshared = r.body().filter(|body: &&Unshared| body.ret == 0)?;
    Some(Change::Namespace { mntns: body.mntns })
}

fn setns_changes<'a>(r: &Record<'a>) -> Option<Change<'a>> {
    let body: &Entered = r.body().filter(|body: &&Entered| body.ret == 0)?;
    Some(Change::Namespace { mntns: body.mntns })
}

const UNSHARE: &[Param] = params! {
    "res": T::Errno, |r, b: &Unshared| Arg::Int(b.ret);
    "flags": T::Flags(32, CLONE_FLAGS), |r, b: &Unshared| Arg::Uint(falco_flags(b.flags.into()).into());
};

const SETNS: &[Param] = params! {
    "res": T::Errno, |r, b: &Entered| Arg::Int(b.ret);
    "fd": T::Fd, |r, b: &Entered| Arg::Int(b.fd.into());
    "nstype": T::Flags(32, CLONE_FLAGS), |r, b: &Entered| Arg::Uint(falco_flags(b.nstype.into()).into());
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::{Entered, Unshared};
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, file, task};

    #[inline(always)]
    pub fn unshare(exit: &Exit) {
        let Some(mut w) = Writer::new::<Unshared>(Kind::Unshare) else { return };
        let body = w.body::<Unshared>();
        body.ret = exit.ret;
        body.flags = exit.arg(0) as u32;
        body.mntns = task::mntns(exit.task);
        w.submit(Kind::Unshare);
    }

    #[inline(always)]
    pub fn setns(exit: &Exit) {
        let Some(mut w) = Writer::new::<Entered>(Kind::Setns) else { return };
        let body = w.body::<Entered>();
        body.ret = exit.ret;
        body.fd = exit.arg(0) as i32;
        file::describe(&mut w, exit.task, body.fd, &mut body.file);
        body.nstype = exit.arg(1) as u32;
        body.mntns = task::mntns(exit.task);
        body.reserved = 0;
        w.submit(Kind::Setns);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{setns, unshare};

#[cfg(feature = "testing")]
mod scenarios {
    use std::os::fd::AsRawFd as _;
    use std::string::ToString as _;

    use super::{Setns, Unshare};
    use crate::events::Change;
    use crate::syscall;
    use crate::testing::{Scenario, Seen, Stage};

    impl Unshare {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "mounts and users of one's own, and nonsense", play: unshare }];
    }

    impl Setns {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "into a namespace, and into no such one", play: setns }];
    }

    fn mntns(seen: &Seen) -> u32 {
        seen.changes(|change, _| {
            let Change::Namespace { mntns } = change else { panic!("{change:?}") };
            mntns
        })
    }

    fn own_mntns() -> u32 {
        let link = std::fs::read_link("/proc/self/ns/mnt").unwrap();
        let text = link.to_str().unwrap();
        text.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
    }

    fn unshare(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            syscall!(SYS_unshare, libc::CLONE_NEWNS | libc::CLONE_NEWUTS);
            syscall!(SYS_unshare, libc::CLONE_VM | libc::CLONE_PTRACE);
        });
        let [there, failed] = seen.as_slice() else { panic!("{seen:?}") };
        there
            .is("unshare", &[("res", "0"), ("flags", "160")])
            .has(&[("evt.type", "unshare"), ("evt.category", "process")])
            .has(&[("evt.arg[1]", "CLONE_NEWNS|CLONE_NEWUTS")])
            .lacks(&["fd.num"]);
        assert_ne!(mntns(there), own_mntns());
        failed.is("unshare", &[("res", "-22"), ("flags", "33792")]).has(&[("evt.res", "EINVAL")]);
        assert!(failed.changes_nothing());
    }

    fn setns(stage: &mut dyn Stage) {
        let file = std::fs::File::open("/proc/self/ns/uts").unwrap();
        let fd = file.as_raw_fd();
        let seen = stage.observe(&|| {
            syscall!(SYS_setns, fd, libc::CLONE_NEWUTS);
            syscall!(SYS_setns, fd, libc::CLONE_NEWNET);
            syscall!(SYS_setns, 9999, 0);
        });
        let [there, other, failed] = seen.as_slice() else { panic!("{seen:?}") };
        let number = fd.to_string();
        there
            .is("setns", &[("res", "0"), ("fd", &number), ("nstype", "128")])
            .has(&[("evt.type", "setns"), ("evt.category", "process"), ("evt.arg[2]", "CLONE_NEWUTS")])
            .has(&[("fd.num", &number)]);
        assert_eq!(mntns(there), own_mntns());
        other.is("setns", &[("res", "-22"), ("fd", &number), ("nstype", "16")]);
        failed.is("setns", &[("res", "-9"), ("fd", "9999"), ("nstype", "0")]).has(&[("evt.res", "EBADF")]);
        assert!(failed.changes_nothing());
    }
}

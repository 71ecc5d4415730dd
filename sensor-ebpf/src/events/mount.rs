//! mount(2), umount2(2).

use super::flags::{MOUNT_FLAGS, UMOUNT_FLAGS};
use super::{Arg, Category, Codes, Info, Lane, Looks, Param, ParamType as T, PathRole, View, Volume, params};
use crate::record;
use crate::record::{Pod as _, Tail};

record! {
    /// A finished mount.
    pub struct Mounted {
        pub ret: i64,
        /// `MS_*`, without the magic number that old callers put above them.
        pub flags: u32,
        /// Empty when the caller passed none.
        pub dev: Tail,
        pub dev_base: Tail,
        pub dir: Tail,
        pub dir_base: Tail,
        /// Empty when the caller passed none.
        pub fstype: Tail,
    }
}

record! {
    /// A finished umount.
    pub struct Unmounted {
        pub ret: i64,
        pub flags: u32,
        pub raw: Tail,
        pub base: Tail,
        pub reserved: u32,
    }
}

/// mount(2).
pub struct Mount;
/// umount2(2).
pub struct Umount2;

impl Mount {
    pub const EVENT: Info = event("mount", Mounted::LAYOUT, MOUNT);
}

impl Umount2 {
    pub const EVENT: Info = event("umount2", Unmounted::LAYOUT, UMOUNT2);
}

/// The two differ in this.
const fn event(name: &'static str, layout: u64, params: &'static [Param]) -> Info {
    Info {
        layout,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name,
            codes: Codes::Exit,
            category: Category::File,
            params,
            fd: None,
            io: None,
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    }
}

const MOUNT: &[Param] = params! {
    "res": T::Errno, |r, b: &Mounted| Arg::Int(b.ret);
    "dev": T::Text(PathRole::Source), |r, b: &Mounted| Arg::Path { raw: r.tail(b.dev), base: r.tail(b.dev_base) };
    "dir": T::Path(PathRole::Target), |r, b: &Mounted| Arg::Path { raw: r.tail(b.dir), base: r.tail(b.dir_base) };
    "type": T::CharBuf, |r, b: &Mounted| Arg::Bytes(r.tail(b.fstype));
    "flags": T::Flags(32, MOUNT_FLAGS), |r, b: &Mounted| Arg::Uint(b.flags.into());
};

const UMOUNT2: &[Param] = params! {
    "res": T::Errno, |r, b: &Unmounted| Arg::Int(b.ret);
    "name": T::Path(PathRole::Name), |r, b: &Unmounted| Arg::Path { raw: r.tail(b.raw), base: r.tail(b.base) };
    "flags": T::Flags(32, UMOUNT_FLAGS), |r, b: &Unmounted| Arg::Uint(b.flags.into());
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::{Mounted, Unmounted};
    use crate::events::Kind;
    use crate::kernel::file::{self, AT_FDCWD};
    use crate::kernel::{Exit, Writer};
    use crate::record::Tail;

    /// `mount(dev, dir, type, flags, data)`: device and type may be null.
    #[inline(always)]
    pub fn mount(exit: &Exit) {
        /// `MS_MGC_VAL` and `MS_MGC_MSK`.
        const MAGIC: u32 = 0xc0ed_0000;
        const MAGIC_MASK: u32 = 0xffff_0000;
        let Some(mut w) = Writer::new::<Mounted>(Kind::Mount) else { return };
        let body = w.body::<Mounted>();
        body.ret = exit.ret;
        let flags = exit.arg(3) as u32;
        body.flags = if flags & MAGIC_MASK == MAGIC { flags & !MAGIC_MASK } else { flags };
        (body.dev, body.dev_base) = match exit.arg(0) {
            0 => (Tail::EMPTY, Tail::EMPTY),
            dev => file::argument(&mut w, exit, AT_FDCWD, dev),
        };
        (body.dir, body.dir_base) = file::argument(&mut w, exit, AT_FDCWD, exit.arg(1));
        body.fstype = match exit.arg(2) {
            0 => Tail::EMPTY,
            fstype => w.argument_str(exit, fstype),
        };
        w.submit(Kind::Mount);
    }

    #[inline(always)]
    pub fn umount2(exit: &Exit) {
        let Some(mut w) = Writer::new::<Unmounted>(Kind::Umount2) else { return };
        let body = w.body::<Unmounted>();
        body.ret = exit.ret;
        body.flags = exit.arg(1) as u32;
        (body.raw, body.base) = file::argument(&mut w, exit, AT_FDCWD, exit.arg(0));
        body.reserved = 0;
        w.submit(Kind::Umount2);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{mount, umount2};

#[cfg(feature = "testing")]
mod scenarios {
    use std::ptr::null;

    use super::{Mount, Umount2};
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Stage, c};

    impl Mount {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "a bind mount, made and taken away", play: bind },
            Scenario { shows: "a failed one, without device and type", play: failed },
        ];
    }

    impl Umount2 {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "a mount that is none", play: none }];
    }

    fn bind(stage: &mut dyn Stage) {
        let (dir, other) = (Dir::new(), Dir::new());
        let (from, to) = (c(dir.path()), c(other.path()));
        let (private, bind) = (libc::MS_REC | libc::MS_PRIVATE, libc::MS_BIND);
        let seen = stage.observe(&|| {
            // In mounts of its own, so that nothing is left of it.
            syscall!(SYS_unshare, libc::CLONE_NEWNS);
            syscall!(SYS_mount, null::<u8>(), c"/".as_ptr(), null::<u8>(), private, 0);
            syscall!(SYS_chdir, from.as_ptr());
            syscall!(SYS_mount, c".".as_ptr(), to.as_ptr(), c"none".as_ptr(), 0xc0ed_0000 | bind, 0);
            syscall!(SYS_umount2, to.as_ptr(), libc::MNT_DETACH);
        });
        let seen: std::vec::Vec<_> =
            seen.iter().filter(|seen| matches!(seen.event, "mount" | "umount2")).collect();
        let [private, bound, gone] = seen.as_slice() else { panic!("{seen:?}") };
        if private.arg("res") == "-1" {
            return stage.skip("this process may not mount");
        }
        private
            .is("mount", &[("res", "0"), ("dev", ""), ("dir", "/"), ("type", ""), ("flags", "278528")])
            .has(&[("evt.arg[4]", "REC|PRIVATE"), ("fs.path.target", "/")])
            .lacks(&["fs.path.source"]);
        let dev = std::format!(". in {}", dir.path());
        let args = [("res", "0"), ("dev", &*dev), ("dir", other.path()), ("type", "none"), ("flags", "4096")];
        bound
            .is("mount", &args)
            .has(&[("evt.type", "mount"), ("evt.category", "file"), ("evt.arg[4]", "BIND")])
            .has(&[("evt.arg[1]", "."), ("fs.path.source", dir.path()), ("fs.path.sourceraw", ".")])
            .has(&[("fs.path.target", other.path())])
            .lacks(&["fd.num", "fs.path.name", "evt.abspath"]);
        gone.is("umount2", &[("res", "0"), ("name", other.path()), ("flags", "2")])
            .has(&[("evt.arg[2]", "DETACH"), ("fs.path.name", other.path())]);
    }

    fn failed(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_mount, null::<u8>(), c"/nonexistent".as_ptr(), null::<u8>(), 0, 0);
        });
        seen.is(
            "mount",
            &[("res", "-2"), ("dev", ""), ("dir", "/nonexistent"), ("type", ""), ("flags", "0")],
        )
        .has(&[("evt.res", "ENOENT")])
        .lacks(&["fs.path.source", "fs.path.target"]);
        assert_eq!(seen.cut(), 0, "what is not passed is not cut");
    }

    fn none(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_umount2, c"/nonexistent".as_ptr(), libc::MNT_FORCE | libc::UMOUNT_NOFOLLOW);
        });
        seen.is("umount2", &[("res", "-2"), ("name", "/nonexistent"), ("flags", "9")])
            .has(&[("evt.type", "umount2"), ("evt.category", "file"), ("evt.res", "ENOENT")])
            .has(&[("evt.arg[2]", "FORCE|NOFOLLOW")])
            .lacks(&["fs.path.name", "fd.num"]);
    }
}

//! `init_module`(2), `finit_module`(2), `delete_module`(2), `kexec_load`(2), `kexec_file_load`(2): code for the kernel itself.

use super::flags::Flags;
use super::plain::Plain;
use super::{
    Arg, Category, Codes, Descriptor, Direction, FdView, Info, Is, Lane, Looks, Param, ParamType as T, Role,
    View, Volume, params,
};
use crate::record::{Fd, Pod as _, Tail};
use crate::{calls, record};

calls! {
    KexecLoad, kexec_load, "kexec_load", System, None, KEXEC_LOAD;
    KexecFileLoad, kexec_file_load, "kexec_file_load", System, None, KEXEC_FILE_LOAD;
}

record! {
    /// A finished `init_module`.
    pub struct Loaded {
        pub ret: i64,
        /// Bytes of the module.
        pub length: u64,
        /// The first of them.
        pub image: Tail,
        /// The module's parameters, as passed.
        pub options: Tail,
    }
}

record! {
    /// A finished `finit_module`.
    pub struct LoadedFd {
        pub ret: i64,
        /// The module's file.
        pub file: Fd,
        pub fd: i32,
        /// `MODULE_INIT_*`.
        pub flags: u32,
        /// The module's parameters, as passed.
        pub options: Tail,
        pub reserved: u32,
    }
}

record! {
    /// A finished `delete_module`.
    pub struct Unloaded {
        pub ret: i64,
        /// `O_*`.
        pub flags: u32,
        pub name: Tail,
    }
}

/// `init_module`(2).
pub struct InitModule;
/// `finit_module`(2).
pub struct FinitModule;
/// `delete_module`(2).
pub struct DeleteModule;

impl InitModule {
    pub const EVENT: Info = event("init_module", Loaded::LAYOUT, INIT, None);
}

impl FinitModule {
    pub const EVENT: Info = event(
        "finit_module",
        LoadedFd::LAYOUT,
        FINIT,
        Some(Descriptor {
            view: |r| r.body().map(|b: &LoadedFd| FdView::of(r, b.fd.into(), &b.file)),
            is: Is::Subject,
            otherwise: b'o',
            role: Role::Unknown,
        }),
    );
}

impl DeleteModule {
    pub const EVENT: Info = event("delete_module", Unloaded::LAYOUT, DELETE, None);
}

const fn event(name: &'static str, layout: u64, params: &'static [Param], fd: Option<Descriptor>) -> Info {
    Info {
        layout,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name,
            codes: Codes::Exit,
            category: Category::Other,
            params,
            fd,
            // The kernel reads the module through it.
            io: if fd.is_some() { Some(Direction::Read) } else { None },
            open: None,
            filter: Looks::Nothing,
            volume: Volume::Normal,
        }),
    }
}

const INIT: &[Param] = params! {
    "res": T::Errno, |r, b: &Loaded| Arg::Int(b.ret);
    "img": T::Strings, |r, b: &Loaded| Arg::Bytes(r.tail(b.image));
    "length": T::Dec(64), |r, b: &Loaded| Arg::Uint(b.length);
    "uargs": T::CharBuf, |r, b: &Loaded| Arg::Bytes(r.tail(b.options));
};

const FINIT: &[Param] = params! {
    "res": T::Errno, |r, b: &LoadedFd| Arg::Int(b.ret);
    "fd": T::Fd, |r, b: &LoadedFd| Arg::Int(b.fd.into());
    "uargs": T::CharBuf, |r, b: &LoadedFd| Arg::Bytes(r.tail(b.options));
    "flags": T::Flags(32, FINIT_FLAGS), |r, b: &LoadedFd| Arg::Uint(b.flags.into());
};

const DELETE: &[Param] = params! {
    "res": T::Errno, |r, b: &Unloaded| Arg::Int(b.ret);
    "name": T::CharBuf, |r, b: &Unloaded| Arg::Bytes(r.tail(b.name));
    "flags": T::Flags(32, DELETE_FLAGS), |r, b: &Unloaded| Arg::Uint(delete_flags(b.flags).into());
};

// Of these Falco has the names alone.
const KEXEC_LOAD: &[Param] = params! {
    "res": T::Errno, |r, b: &Plain| Arg::Int(b.ret);
    "entry": T::Hex(64), |r, b: &Plain| b.word(0);
    "segments": T::Dec(64), |r, b: &Plain| b.word(1);
    "flags": T::Hex(64), |r, b: &Plain| b.word(3);
};

const KEXEC_FILE_LOAD: &[Param] = params! {
    "res": T::Errno, |r, b: &Plain| Arg::Int(b.ret);
    "kernel_fd": T::Fd, |r, b: &Plain| b.int(0);
    "initrd_fd": T::Fd, |r, b: &Plain| b.int(1);
    "flags": T::Hex(64), |r, b: &Plain| b.word(4);
};

/// The same bits as Linux's.
static FINIT_FLAGS: &Flags = &[
    ("MODULE_INIT_IGNORE_MODVERSIONS", 1),
    ("MODULE_INIT_IGNORE_VERMAGIC", 2),
    ("MODULE_INIT_COMPRESSED_FILE", 4),
];

static DELETE_FLAGS: &Flags = &[("O_NONBLOCK", 2), ("O_TRUNC", 1)];

/// Falco's bits of `O_NONBLOCK` and `O_TRUNC`.
fn delete_flags(linux: u32) -> u32 {
    let bit = |linux_bit, falco| if linux & linux_bit != 0 { falco } else { 0 };
    bit(0o4000, 2) | bit(0o1000, 1)
}

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::{Loaded, LoadedFd, Unloaded};
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, file};
    use crate::record::CUT_ARGUMENT;

    /// Bytes of a module that are read, as many as Falco reads of data.
    const IMAGE: u64 = 80;

    #[inline(always)]
    pub fn init_module(exit: &Exit) {
        let Some(mut w) = Writer::new::<Loaded>(Kind::InitModule) else { return };
        let body = w.body::<Loaded>();
        body.ret = exit.ret;
        body.length = exit.arg(1);
        let length = exit.arg(1);
        body.image =
            w.user_bytes(exit.arg(0), if length < IMAGE { length } else { IMAGE }, IMAGE, CUT_ARGUMENT);
        body.options = w.argument_str(exit, exit.arg(2));
        w.submit(Kind::InitModule);
    }

    #[inline(always)]
    pub fn finit_module(exit: &Exit) {
        let Some(mut w) = Writer::new::<LoadedFd>(Kind::FinitModule) else { return };
        let body = w.body::<LoadedFd>();
        body.ret = exit.ret;
        body.fd = exit.arg(0) as i32;
        file::describe(&mut w, exit.task, body.fd, &mut body.file);
        body.flags = exit.arg(2) as u32;
        body.options = w.argument_str(exit, exit.arg(1));
        body.reserved = 0;
        w.submit(Kind::FinitModule);
    }

    #[inline(always)]
    pub fn delete_module(exit: &Exit) {
        let Some(mut w) = Writer::new::<Unloaded>(Kind::DeleteModule) else { return };
        let body = w.body::<Unloaded>();
        body.ret = exit.ret;
        body.flags = exit.arg(1) as u32;
        body.name = w.argument_str(exit, exit.arg(0));
        w.submit(Kind::DeleteModule);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{delete_module, finit_module, init_module};

#[cfg(feature = "testing")]
mod scenarios {
    use std::os::fd::AsRawFd as _;
    use std::string::ToString as _;

    use super::{DeleteModule, FinitModule, InitModule, KexecFileLoad, KexecLoad};
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Stage, touch};

    // None of these loads or unloads anything: a module would stay behind.
    impl InitModule {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "what was to be loaded", play: init }];
    }

    impl FinitModule {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "the file that was to be loaded", play: finit }];
    }

    impl DeleteModule {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "the module that was to go", play: delete }];
    }

    impl KexecLoad {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "a kernel that was to be booted", play: kexec }];
    }

    impl KexecFileLoad {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "a kernel that was to be booted", play: kexec }];
    }

    fn kexec(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            // An architecture and flags that are none.
            syscall!(SYS_kexec_load, 16, 1, 0, 0xff00_0000_u64);
            syscall!(SYS_kexec_file_load, 9999, 9998, 0, 0, 0x80);
        });
        let [load, file] = seen.as_slice() else { panic!("{seen:?}") };
        let args = [("entry", "16"), ("segments", "1"), ("flags", "4278190080")];
        load.is("kexec_load", &[&[("res", load.arg("res"))], args.as_slice()].concat()).has(&[
            ("evt.type", "kexec_load"),
            ("evt.category", "system"),
            ("evt.failed", "true"),
        ]);
        let args = [("kernel_fd", "9999"), ("initrd_fd", "9998"), ("flags", "128")];
        file.is("kexec_file_load", &[&[("res", file.arg("res"))], args.as_slice()].concat()).has(&[
            ("evt.type", "kexec_file_load"),
            ("evt.category", "system"),
            ("evt.failed", "true"),
        ]);
    }

    fn init(stage: &mut dyn Stage) {
        let image = c"no module at all";
        let seen = stage.one(&|| {
            touch(&[image, c"debug=1"]);
            syscall!(SYS_init_module, image.as_ptr(), 16, c"debug=1".as_ptr());
        });
        let res = seen.arg("res");
        let args = [("res", res), ("img", "no module at all"), ("length", "16"), ("uargs", "debug=1")];
        seen.is("init_module", &args)
            .has(&[("evt.type", "init_module"), ("evt.category", "other"), ("evt.failed", "true")])
            .lacks(&["fd.num"]);
    }

    fn finit(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let path = dir.file("evil.ko");
        let file = std::fs::File::open(&path).unwrap();
        let fd = file.as_raw_fd();
        let seen = stage.one(&|| {
            touch(&[c"debug=1"]);
            syscall!(SYS_finit_module, fd, c"debug=1".as_ptr(), 2);
        });
        let (res, number) = (seen.arg("res"), fd.to_string());
        seen.is("finit_module", &[("res", res), ("fd", &number), ("uargs", "debug=1"), ("flags", "2")])
            .has(&[("evt.type", "finit_module"), ("evt.category", "other"), ("evt.failed", "true")])
            .has(&[("fd.num", &number), ("fd.name", &path), ("evt.is_io_read", "true")])
            .has(&[("evt.arg[3]", "MODULE_INIT_IGNORE_VERMAGIC")]);
    }

    fn delete(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            touch(&[c"no_such_module"]);
            syscall!(SYS_delete_module, c"no_such_module".as_ptr(), libc::O_NONBLOCK);
        });
        let res = seen.arg("res");
        seen.is("delete_module", &[("res", res), ("name", "no_such_module"), ("flags", "2")])
            .has(&[("evt.type", "delete_module"), ("evt.category", "other"), ("evt.failed", "true")])
            .has(&[("evt.arg[2]", "O_NONBLOCK")]);
    }
}

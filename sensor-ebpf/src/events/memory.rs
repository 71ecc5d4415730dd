//! mmap(2), mprotect(2) and their kin: how a process lays out its memory.

use super::flags::Flags;
use super::plain::{self, Plain, PlainFd};
use super::{Arg, Category, Info, Param, ParamType as T, Volume, params};
use crate::calls;

/// mmap(2).
pub struct Mmap;

impl Mmap {
    pub const EVENT: Info =
        plain::event_of_fd("mmap", Category::Memory, plain::used::<4>, b'o', MMAP, Volume::High);
}

calls! {
    Mprotect, mprotect, "mprotect", Memory, None, MPROTECT, High;
    Munmap, munmap, "munmap", Memory, None, MUNMAP, High;
    Mremap, mremap, "mremap", Memory, None, MREMAP, High;
    Brk, brk, "brk", Memory, None, BRK, High;
    Mlock, mlock, "mlock", Memory, None, MLOCK, High;
    Munlock, munlock, "munlock", Memory, None, MLOCK, High;
    Mlock2, mlock2, "mlock2", Memory, None, MLOCK2, High;
    Mlockall, mlockall, "mlockall", Memory, None, MLOCKALL, High;
    Munlockall, munlockall, "munlockall", Memory, None, MUNLOCKALL, High;
}

const MMAP: &[Param] = params! {
    "res": T::Errno, |r, b: &PlainFd| Arg::Int(b.call.ret);
    "vm_size": T::Dec(32), absent;
    "vm_rss": T::Dec(32), absent;
    "vm_swap": T::Dec(32), absent;
    "addr": T::Hex(64), |r, b: &PlainFd| b.call.word(0);
    "length": T::Dec(64), |r, b: &PlainFd| b.call.word(1);
    "prot": T::Flags(32, PROT_FLAGS), |r, b: &PlainFd| Arg::Uint(falco_prot(b.call.low(2)).into());
    "flags": T::Flags(32, MMAP_FLAGS), |r, b: &PlainFd| Arg::Uint(falco_flags(b.call.low(3)).into());
    "fd": T::Fd, |r, b: &PlainFd| b.call.int(4);
    "offset": T::Dec(64), |r, b: &PlainFd| b.call.word(5);
};

const MPROTECT: &[Param] = params! {
    "res": T::Errno, |r, b: &Plain| Arg::Int(b.ret);
    "addr": T::Hex(64), |r, b: &Plain| b.word(0);
    "length": T::Dec(64), |r, b: &Plain| b.word(1);
    "prot": T::Flags(32, PROT_FLAGS), |r, b: &Plain| Arg::Uint(falco_prot(b.low(2)).into());
};

const MUNMAP: &[Param] = params! {
    "res": T::Errno, |r, b: &Plain| Arg::Int(b.ret);
    "vm_size": T::Dec(32), absent;
    "vm_rss": T::Dec(32), absent;
    "vm_swap": T::Dec(32), absent;
    "addr": T::Hex(64), |r, b: &Plain| b.word(0);
    "length": T::Dec(64), |r, b: &Plain| b.word(1);
};

const MREMAP: &[Param] = params! {
    "res": T::Errno, |r, b: &Plain| Arg::Int(b.ret);
    "addr": T::Hex(64), |r, b: &Plain| b.word(0);
    "length": T::Dec(64), |r, b: &Plain| b.word(1);
    "new_length": T::Dec(64), |r, b: &Plain| b.word(2);
    "flags": T::Flags(32, MREMAP_FLAGS), |r, b: &Plain| b.uint(3);
    "new_addr": T::Hex(64), |r, b: &Plain| b.word(4);
};

// An address, which fails by being another than the one that was asked for.
const BRK: &[Param] = params! {
    "res": T::Hex(64), |r, b: &Plain| Arg::Uint(b.ret.cast_unsigned());
    "vm_size": T::Dec(32), absent;
    "vm_rss": T::Dec(32), absent;
    "vm_swap": T::Dec(32), absent;
    "addr": T::Hex(64), |r, b: &Plain| b.word(0);
};

const MLOCK: &[Param] = params! {
    "res": T::Errno, |r, b: &Plain| Arg::Int(b.ret);
    "addr": T::Hex(64), |r, b: &Plain| b.word(0);
    "len": T::Dec(64), |r, b: &Plain| b.word(1);
};

const MLOCK2: &[Param] = params! {
    "res": T::Errno, |r, b: &Plain| Arg::Int(b.ret);
    "addr": T::Hex(64), |r, b: &Plain| b.word(0);
    "len": T::Dec(64), |r, b: &Plain| b.word(1);
    "flags": T::Flags(32, MLOCK2_FLAGS), |r, b: &Plain| b.uint(2);
};

const MLOCKALL: &[Param] = params! {
    "res": T::Errno, |r, b: &Plain| Arg::Int(b.ret);
    "flags": T::Flags(32, MLOCKALL_FLAGS), |r, b: &Plain| b.uint(0);
};

const MUNLOCKALL: &[Param] = params! {
    "res": T::Errno, |r, b: &Plain| Arg::Int(b.ret);
};

/// Falco's bits of `PROT_*`.
fn falco_prot(linux: u32) -> u32 {
    let bit = |linux_bit, falco| if linux & linux_bit != 0 { falco } else { 0 };
    (linux & 7) | bit(8, 8) | bit(0x0100_0000, 16) | bit(0x0200_0000, 32)
}

static PROT_FLAGS: &Flags = &[
    ("PROT_READ", 1),
    ("PROT_WRITE", 2),
    ("PROT_EXEC", 4),
    ("PROT_SEM", 8),
    ("PROT_GROWSDOWN", 16),
    ("PROT_GROWSUP", 32),
    ("PROT_SAO", 64),
    ("PROT_NONE", 0),
];

/// Falco's bits of `MAP_*` (the generic numbers, and those of x86).
fn falco_flags(linux: u32) -> u32 {
    let bit = |linux_bit, falco| if linux & linux_bit != 0 { falco } else { 0 };
    (linux & 3)
        | bit(0x10, 4)
        | bit(0x20, 8)
        | bit(0x40, 16)
        | bit(0x4000, 64)
        | bit(0x8000, 128)
        | bit(0x1_0000, 256)
        | bit(0x100, 512)
        | bit(0x800, 1024)
        | bit(0x1000, 2048)
        | bit(0x2000, 16384)
}

static MMAP_FLAGS: &Flags = &[
    ("MAP_SHARED", 1),
    ("MAP_PRIVATE", 2),
    ("MAP_FIXED", 4),
    ("MAP_ANONYMOUS", 8),
    ("MAP_32BIT", 16),
    ("MAP_RENAME", 32),
    ("MAP_NORESERVE", 64),
    ("MAP_POPULATE", 128),
    ("MAP_NONBLOCK", 256),
    ("MAP_GROWSDOWN", 512),
    ("MAP_DENYWRITE", 1024),
    ("MAP_EXECUTABLE", 2048),
    ("MAP_INHERIT", 4096),
    ("MAP_FILE", 8192),
    ("MAP_LOCKED", 16384),
];

static MREMAP_FLAGS: &Flags = &[("MREMAP_MAYMOVE", 1), ("MREMAP_FIXED", 2), ("MREMAP_DONTUNMAP", 4)];

static MLOCK2_FLAGS: &Flags = &[("MLOCK_ONFAULT", 1)];

static MLOCKALL_FLAGS: &Flags = &[("MCL_CURRENT", 1), ("MCL_FUTURE", 2), ("MCL_ONFAULT", 4)];

#[cfg(target_arch = "bpf")]
mod handlers {
    use crate::events::{Kind, plain};
    use crate::kernel::{Exit, read};

    /// i386 has two: one whose arguments lie in memory, and one that counts the offset in pages.
    #[inline(always)]
    pub fn mmap(exit: &Exit) {
        const OLD_MMAP: u64 = 90;
        const PAGE: u64 = 4096;
        let mut args = [0; 6];
        for (n, arg) in args.iter_mut().enumerate() {
            *arg = if exit.compat && exit.nr == OLD_MMAP {
                read::user_word(exit.arg(0), n as u64, true).unwrap_or(0)
            } else {
                exit.arg(n)
            };
        }
        if exit.compat && exit.nr != OLD_MMAP {
            args[5] *= PAGE;
        }
        let exit = exit.with_args(args);
        plain::record_of_fd(&exit, Kind::Mmap, exit.arg(4) as i32, b'o');
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::mmap;

#[cfg(feature = "testing")]
mod scenarios {
    use std::os::fd::AsRawFd as _;
    use std::string::ToString as _;

    use super::{Brk, Mlock, Mlock2, Mlockall, Mmap, Mprotect, Mremap, Munlock, Munlockall, Munmap};
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Seen, Stage};

    const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
    const ANONYMOUS: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

    impl Mmap {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "memory without a file that can be run", play: anonymous },
            Scenario { shows: "a file, and no such one", play: of_file },
        ];
    }

    impl Mprotect {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "memory that can be run from now on", play: mprotect }];
    }

    impl Munmap {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "memory that goes, and nonsense", play: munmap }];
    }

    impl Mremap {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "memory that is not there", play: mremap }];
    }

    impl Brk {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "where the heap ends", play: brk }];
    }

    impl Mlock {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "memory that is there, and that is not", play: locks }];
    }

    impl Munlock {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "memory that is there, and that is not", play: locks }];
    }

    impl Mlock2 {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "memory that is there, and that is not", play: locks }];
    }

    impl Mlockall {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "all of it, and nonsense", play: all }];
    }

    impl Munlockall {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "all of it", play: all }];
    }

    fn of<'a>(seen: &'a [Seen], event: &str) -> std::vec::Vec<&'a Seen> {
        seen.iter().filter(|seen| seen.event == event).collect()
    }

    fn anonymous(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_mmap, 0, 8192, RW | libc::PROT_EXEC, ANONYMOUS, -1, 0);
        });
        let res = seen.arg("res");
        let args = [
            ("addr", "0"),
            ("length", "8192"),
            ("prot", "7"),
            ("flags", "10"),
            ("fd", "-1"),
            ("offset", "0"),
        ];
        seen.is("mmap", &[&[("res", res)], args.as_slice()].concat())
            .has(&[
                ("evt.type", "mmap"),
                ("evt.category", "memory"),
                ("evt.res", "SUCCESS"),
                ("fd.num", "-1"),
            ])
            .has(&[
                ("evt.arg[6]", "PROT_READ|PROT_WRITE|PROT_EXEC"),
                ("evt.arg[7]", "MAP_PRIVATE|MAP_ANONYMOUS"),
            ])
            .lacks(&["fd.name", "evt.arg[1]"]);
    }

    fn of_file(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let path = dir.file("a");
        let file = std::fs::File::open(&path).unwrap();
        let fd = file.as_raw_fd();
        let seen = stage.observe(&|| {
            syscall!(SYS_mmap, 0, 4096, libc::PROT_READ, libc::MAP_PRIVATE, fd, 0);
            syscall!(SYS_mmap, 0, 4096, libc::PROT_READ, libc::MAP_PRIVATE, 9999, 0);
        });
        let [mapped, failed] = seen.as_slice() else { panic!("{seen:?}") };
        let number = fd.to_string();
        mapped.has(&[
            ("evt.res", "SUCCESS"),
            ("fd.num", &number),
            ("fd.name", &path),
            ("evt.arg[6]", "PROT_READ"),
        ]);
        assert_eq!((failed.arg("res"), failed.arg("fd")), ("-9", "9999"));
        failed.has(&[("evt.res", "EBADF"), ("fd.num", "9999")]).lacks(&["fd.name"]);
    }

    fn mprotect(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            let page = syscall!(SYS_mmap, 0, 4096, RW, ANONYMOUS, -1, 0);
            syscall!(SYS_mprotect, page, 4096, libc::PROT_READ | libc::PROT_EXEC);
            syscall!(SYS_mprotect, page + 1, 4096, 0);
        });
        let [page, changed, failed] = seen.as_slice() else { panic!("{seen:?}") };
        let at = page.arg("res");
        changed
            .is("mprotect", &[("res", "0"), ("addr", at), ("length", "4096"), ("prot", "5")])
            .has(&[
                ("evt.type", "mprotect"),
                ("evt.category", "memory"),
                ("evt.arg[3]", "PROT_READ|PROT_EXEC"),
            ])
            .lacks(&["fd.num"]);
        assert_eq!((failed.arg("res"), failed.arg("prot")), ("-22", "0"));
        failed.has(&[("evt.res", "EINVAL"), ("evt.arg[3]", "PROT_NONE")]);
    }

    fn munmap(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            let page = syscall!(SYS_mmap, 0, 4096, RW, ANONYMOUS, -1, 0);
            syscall!(SYS_munmap, page, 4096);
            syscall!(SYS_munmap, 1, 4096);
        });
        let [page, gone, failed] = seen.as_slice() else { panic!("{seen:?}") };
        gone.is("munmap", &[("res", "0"), ("addr", page.arg("res")), ("length", "4096")])
            .has(&[("evt.type", "munmap"), ("evt.category", "memory")]);
        failed
            .is("munmap", &[("res", "-22"), ("addr", "1"), ("length", "4096")])
            .has(&[("evt.res", "EINVAL")]);
    }

    fn mremap(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_mremap, 4096, 4096, 8192, libc::MREMAP_MAYMOVE, 0);
        });
        let args =
            [("addr", "4096"), ("length", "4096"), ("new_length", "8192"), ("flags", "1"), ("new_addr", "0")];
        seen.is("mremap", &[&[("res", "-14")], args.as_slice()].concat())
            .has(&[("evt.type", "mremap"), ("evt.category", "memory"), ("evt.res", "EFAULT")])
            .has(&[("evt.arg[4]", "MREMAP_MAYMOVE")]);
    }

    fn brk(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            let end = syscall!(SYS_brk, 0);
            syscall!(SYS_brk, end);
        });
        let [asked, set] = seen.as_slice() else { panic!("{seen:?}") };
        let end = asked.arg("res");
        asked
            .is("brk", &[("res", end), ("addr", "0")])
            .has(&[("evt.type", "brk"), ("evt.category", "memory")]);
        set.is("brk", &[("res", end), ("addr", end)]);
    }

    fn locks(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            let page = syscall!(SYS_mmap, 0, 4096, RW, ANONYMOUS, -1, 0);
            syscall!(SYS_mlock, page, 4096);
            syscall!(SYS_munlock, page, 4096);
            syscall!(SYS_mlock2, page, 4096, 1);
            syscall!(SYS_mlock, 4096, 4096);
            syscall!(SYS_munlock, 4096, 4096);
            syscall!(SYS_mlock2, 4096, 4096, 2);
        });
        let page = of(&seen, "mmap")[0].arg("res");
        for (event, wrong, flags) in
            [("mlock", "-12", None), ("munlock", "-12", None), ("mlock2", "-22", Some(["1", "2"]))]
        {
            let calls = of(&seen, event);
            let [done, failed] = calls.as_slice() else { panic!("{seen:?}") };
            let args = |at, res, n: usize| {
                let flags = flags.map(|flags| ("flags", flags[n]));
                [("res", res), ("addr", at), ("len", "4096")]
                    .into_iter()
                    .chain(flags)
                    .collect::<std::vec::Vec<_>>()
            };
            done.is(event, &args(page, "0", 0)).has(&[("evt.type", event), ("evt.category", "memory")]);
            failed.is(event, &args("4096", wrong, 1)).has(&[("evt.failed", "true")]);
        }
        of(&seen, "mlock2")[0].has(&[("evt.arg[3]", "MLOCK_ONFAULT")]);
    }

    fn all(stage: &mut dyn Stage) {
        let seen = stage.observe(&|| {
            syscall!(SYS_mlockall, libc::MCL_FUTURE | 4);
            syscall!(SYS_mlockall, 64);
            syscall!(SYS_munlockall);
        });
        let [locked, failed, unlocked] = seen.as_slice() else { panic!("{seen:?}") };
        locked.is("mlockall", &[("res", locked.arg("res")), ("flags", "6")]).has(&[
            ("evt.type", "mlockall"),
            ("evt.category", "memory"),
            ("evt.arg[1]", "MCL_FUTURE|MCL_ONFAULT"),
        ]);
        failed.is("mlockall", &[("res", "-22"), ("flags", "64")]).has(&[("evt.res", "EINVAL")]);
        unlocked
            .is("munlockall", &[("res", "0")])
            .has(&[("evt.type", "munlockall"), ("evt.category", "memory")]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_flags_have_falcos_names() {
        let name =
            |linux: u32| MMAP_FLAGS.iter().find(|(_, bit)| *bit == falco_flags(linux)).map(|(name, _)| *name);
        for (linux, falco) in [
            (1, "MAP_SHARED"),
            (0x10, "MAP_FIXED"),
            (0x20, "MAP_ANONYMOUS"),
            (0x100, "MAP_GROWSDOWN"),
            (0x2000, "MAP_LOCKED"),
            (0x8000, "MAP_POPULATE"),
        ] {
            assert_eq!(name(linux), Some(falco));
        }
        assert_eq!(falco_prot(0x0100_0000), 16);
    }
}

//! read(2), write(2) and their kin. There are too many of them to look at for a rule that does not ask.

use super::{
    Arg, Category, Codes, Descriptor, Direction, FdView, Info, Is, Lane, Looks, Param, ParamType as T, Role,
    View, Volume, params,
};
use crate::record;
use crate::record::{Fd, Pod as _, Tail};

record! {
    /// A finished read or write.
    pub struct Moved {
        /// Bytes that were moved, or a negative errno.
        pub ret: i64,
        pub file: Fd,
        /// Where in the file (those that say it).
        pub pos: u64,
        pub num: i32,
        /// Bytes that the caller has, or has room for.
        pub size: u32,
        /// The first that were moved; of a failed write the first that should have been.
        pub data: Tail,
        pub reserved: u32,
    }
}

macro_rules! events {
    ($($call:literal $kind:ident $name:literal $direction:ident $params:ident;)+) => {
        $(
            #[doc = $call]
            pub struct $kind;

            impl $kind {
                pub const EVENT: Info = event($name, $params, Direction::$direction);
            }
        )+
    };
}
events! {
    "read(2)." Read "read" Read PLAIN;
    "write(2)." Write "write" Write PLAIN;
    "pread(2)." Pread "pread" Read PLAIN_AT;
    "pwrite(2)." Pwrite "pwrite" Write PLAIN_AT;
    "readv(2)." Readv "readv" Read SCATTERED;
    "writev(2)." Writev "writev" Write PLAIN;
    "preadv(2)." Preadv "preadv" Read SCATTERED_AT;
    "pwritev(2)." Pwritev "pwritev" Write PLAIN_AT;
}

const fn event(name: &'static str, params: &'static [Param], direction: Direction) -> Info {
    Info {
        layout: Moved::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name,
            codes: Codes::Exit,
            category: Category::OfDescriptor,
            params,
            fd: Some(Descriptor {
                view: |r| r.body().map(|b: &Moved| FdView::of(r, b.num.into(), &b.file)),
                is: Is::Subject,
                otherwise: b'o',
                role: Role::Unknown,
            }),
            io: Some(direction),
            open: None,
            filter: Looks::Nothing,
            volume: Volume::High,
        }),
    }
}

const PLAIN: &[Param] = params! {
    "res": T::Errno, |r, b: &Moved| Arg::Int(b.ret);
    "data": T::Bytes, |r, b: &Moved| Arg::Bytes(r.tail(b.data));
    "fd": T::Fd, |r, b: &Moved| Arg::Int(b.num.into());
    "size": T::Dec(32), |r, b: &Moved| Arg::Uint(b.size.into());
};

const PLAIN_AT: &[Param] = params! {
    "res": T::Errno, |r, b: &Moved| Arg::Int(b.ret);
    "data": T::Bytes, |r, b: &Moved| Arg::Bytes(r.tail(b.data));
    "fd": T::Fd, |r, b: &Moved| Arg::Int(b.num.into());
    "size": T::Dec(32), |r, b: &Moved| Arg::Uint(b.size.into());
    "pos": T::Dec(64), |r, b: &Moved| Arg::Uint(b.pos);
};

const SCATTERED: &[Param] = params! {
    "res": T::Errno, |r, b: &Moved| Arg::Int(b.ret);
    "size": T::Dec(32), |r, b: &Moved| Arg::Uint(b.size.into());
    "data": T::Bytes, |r, b: &Moved| Arg::Bytes(r.tail(b.data));
    "fd": T::Fd, |r, b: &Moved| Arg::Int(b.num.into());
};

const SCATTERED_AT: &[Param] = params! {
    "res": T::Errno, |r, b: &Moved| Arg::Int(b.ret);
    "size": T::Dec(32), |r, b: &Moved| Arg::Uint(b.size.into());
    "data": T::Bytes, |r, b: &Moved| Arg::Bytes(r.tail(b.data));
    "fd": T::Fd, |r, b: &Moved| Arg::Int(b.num.into());
    "pos": T::Dec(64), |r, b: &Moved| Arg::Uint(b.pos);
};

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Moved;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, data, file};

    /// Whose bytes were moved: a read has only those that came, a write also those that did not go.
    #[inline(always)]
    fn moved(exit: &Exit, writes: bool, size: u64) -> u64 {
        if exit.ret > 0 {
            exit.ret as u64
        } else if writes {
            size
        } else {
            0
        }
    }

    /// The position behind the buffer: a word, or two of a 32-bit call.
    #[inline(always)]
    fn position(exit: &Exit) -> u64 {
        if exit.compat { exit.arg(3) | exit.arg(4) << 32 } else { exit.arg(3) }
    }

    #[inline(always)]
    fn plain(exit: &Exit, kind: Kind, writes: bool, pos: u64) {
        let Some(mut w) = Writer::new::<Moved>(kind) else { return };
        let body = w.body::<Moved>();
        body.ret = exit.ret;
        body.num = exit.arg(0) as i32;
        body.size = exit.arg(2) as u32;
        body.pos = pos;
        body.reserved = 0;
        file::describe(&mut w, exit.task, body.num, &mut body.file);
        body.data = data::buffer(&mut w, exit.arg(1), moved(exit, writes, exit.arg(2)));
        w.submit(kind);
    }

    #[inline(always)]
    fn vector(exit: &Exit, kind: Kind, writes: bool, pos: u64) {
        let Some(mut w) = Writer::new::<Moved>(kind) else { return };
        let body = w.body::<Moved>();
        body.ret = exit.ret;
        body.num = exit.arg(0) as i32;
        body.pos = pos;
        body.reserved = 0;
        file::describe(&mut w, exit.task, body.num, &mut body.file);
        let found = data::buffers(exit, exit.arg(1), exit.arg(2), moved(exit, writes, u64::MAX));
        body.data = found.first;
        body.size = found.size;
        w.submit(kind);
    }

    #[inline(always)]
    pub fn read(exit: &Exit) {
        plain(exit, Kind::Read, false, 0);
    }

    #[inline(always)]
    pub fn write(exit: &Exit) {
        plain(exit, Kind::Write, true, 0);
    }

    #[inline(always)]
    pub fn pread(exit: &Exit) {
        plain(exit, Kind::Pread, false, position(exit));
    }

    #[inline(always)]
    pub fn pwrite(exit: &Exit) {
        plain(exit, Kind::Pwrite, true, position(exit));
    }

    #[inline(always)]
    pub fn readv(exit: &Exit) {
        vector(exit, Kind::Readv, false, 0);
    }

    #[inline(always)]
    pub fn writev(exit: &Exit) {
        vector(exit, Kind::Writev, true, 0);
    }

    #[inline(always)]
    pub fn preadv(exit: &Exit) {
        vector(exit, Kind::Preadv, false, position(exit));
    }

    #[inline(always)]
    pub fn pwritev(exit: &Exit) {
        vector(exit, Kind::Pwritev, true, position(exit));
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{pread, preadv, pwrite, pwritev, read, readv, write, writev};

#[cfg(feature = "testing")]
mod scenarios {
    use std::format;
    use std::fs::File;
    use std::os::fd::AsRawFd as _;

    use super::{Pread, Preadv, Pwrite, Pwritev, Read, Readv, Write, Writev};
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Shared, Stage, buffers, touch};

    impl Read {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "what came, and from where", play: read },
            Scenario { shows: "a descriptor that is not open", play: failed_read },
        ];
    }

    impl Write {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "what went, and to where", play: write },
            Scenario { shows: "what should have gone", play: failed_write },
        ];
    }

    impl Pread {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "from where in the file", play: pread }];
    }

    impl Pwrite {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "to where in the file", play: pwrite }];
    }

    impl Readv {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "into several buffers", play: readv }];
    }

    impl Writev {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "out of several buffers", play: writev }];
    }

    impl Preadv {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "both", play: preadv }];
    }

    impl Pwritev {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "both", play: pwritev }];
    }

    /// A file with ten letters, for reading and writing.
    fn file() -> (Dir, std::string::String, File) {
        let dir = Dir::new();
        let path = dir.at("file");
        std::fs::write(&path, "abcdefghij").unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        (dir, path, file)
    }

    fn read(stage: &mut dyn Stage) {
        let ((_dir, path, file), memory) = (file(), Shared::new());
        let (fd, at) = (file.as_raw_fd(), memory.put(0, &[0; 100]));
        let seen = stage.one(&|| {
            syscall!(SYS_read, fd, at, 100);
        });
        let fd = format!("{fd}");
        seen.is("read", &[("res", "10"), ("data", "abcdefghij"), ("fd", &fd), ("size", "100")])
            .has(&[
                ("evt.type", "read"),
                ("evt.category", "file"),
                ("evt.res", "SUCCESS"),
                ("evt.io_dir", "read"),
            ])
            .has(&[("evt.is_io", "true"), ("evt.is_io_read", "true"), ("evt.is_io_write", "false")])
            .has(&[("evt.buffer", "abcdefghij"), ("evt.buflen", "10"), ("fd.name", &path), ("fd.num", &fd)]);
    }

    fn failed_read(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_read, 999, c"".as_ptr(), 100);
        });
        seen.is("read", &[("res", "-9"), ("data", ""), ("fd", "999"), ("size", "100")])
            .has(&[
                ("evt.res", "EBADF"),
                ("evt.category", "unknown"),
                ("fd.typechar", "o"),
                ("evt.is_io", "true"),
            ])
            .lacks(&["fd.name", "evt.buffer", "evt.buflen"]);
    }

    fn write(stage: &mut dyn Stage) {
        let (_dir, path, file) = file();
        let fd = file.as_raw_fd();
        let seen = stage.one(&|| {
            syscall!(SYS_write, fd, c"\x01two".as_ptr(), 4);
        });
        let fd = format!("{fd}");
        seen.is("write", &[("res", "4"), ("data", "\x01two"), ("fd", &fd), ("size", "4")])
            .has(&[("evt.type", "write"), ("evt.category", "file"), ("evt.io_dir", "write")])
            .has(&[("evt.is_io", "true"), ("evt.is_io_read", "false"), ("evt.is_io_write", "true")])
            .has(&[("evt.buffer", ".two"), ("evt.arg[1]", ".two"), ("evt.buflen", "4"), ("fd.name", &path)]);
    }

    fn failed_write(stage: &mut dyn Stage) {
        let file = File::open("/etc/hostname").unwrap();
        let fd = file.as_raw_fd();
        let seen = stage.one(&|| {
            touch(&[c"two"]);
            syscall!(SYS_write, fd, c"two".as_ptr(), 3);
        });
        let fd = format!("{fd}");
        seen.is("write", &[("res", "-9"), ("data", "two"), ("fd", &fd), ("size", "3")])
            .has(&[("evt.res", "EBADF"), ("evt.buffer", "two"), ("fd.name", "/etc/hostname")])
            .lacks(&["evt.buflen"]);
    }

    fn pread(stage: &mut dyn Stage) {
        let ((_dir, path, file), memory) = (file(), Shared::new());
        let (fd, at) = (file.as_raw_fd(), memory.put(0, &[0; 100]));
        let seen = stage.one(&|| {
            syscall!(SYS_pread64, fd, at, 3, 5);
        });
        let fd = format!("{fd}");
        seen.is("pread", &[("res", "3"), ("data", "fgh"), ("fd", &fd), ("size", "3"), ("pos", "5")]).has(&[
            ("evt.type", "pread"),
            ("evt.category", "file"),
            ("evt.io_dir", "read"),
            ("fd.name", &path),
        ]);
    }

    fn pwrite(stage: &mut dyn Stage) {
        let (_dir, path, file) = file();
        let fd = file.as_raw_fd();
        let pos = 5_i64 << 32;
        let seen = stage.one(&|| {
            syscall!(SYS_pwrite64, fd, c"two".as_ptr(), 3, pos);
        });
        let fd = format!("{fd}");
        seen.is(
            "pwrite",
            &[("res", "3"), ("data", "two"), ("fd", &fd), ("size", "3"), ("pos", "21474836480")],
        )
        .has(&[("evt.type", "pwrite"), ("evt.io_dir", "write"), ("fd.name", &path)]);
    }

    fn readv(stage: &mut dyn Stage) {
        let ((_dir, path, file), memory) = (file(), Shared::new());
        memory.put(0, &[0; 100]);
        let fd = file.as_raw_fd();
        let at = |offset| memory.put(offset, &[]).addr() as u64;
        let parts = [[at(0), 4], [at(50), 30]];
        let seen = stage.one(&|| {
            syscall!(SYS_readv, fd, parts.as_ptr(), 2);
        });
        let fd = format!("{fd}");
        seen.is("readv", &[("res", "10"), ("size", "34"), ("data", "abcdefghij"), ("fd", &fd)]).has(&[
            ("evt.type", "readv"),
            ("evt.io_dir", "read"),
            ("evt.buflen", "10"),
            ("fd.name", &path),
        ]);
    }

    fn writev(stage: &mut dyn Stage) {
        let (_dir, path, file) = file();
        let (fd, parts) = (file.as_raw_fd(), buffers(&[b"one ", b"two"]));
        let seen = stage.one(&|| {
            syscall!(SYS_writev, fd, parts.as_ptr(), 2);
        });
        let fd = format!("{fd}");
        seen.is("writev", &[("res", "7"), ("data", "one two"), ("fd", &fd), ("size", "7")]).has(&[
            ("evt.type", "writev"),
            ("evt.io_dir", "write"),
            ("fd.name", &path),
        ]);
    }

    fn preadv(stage: &mut dyn Stage) {
        let ((_dir, path, file), memory) = (file(), Shared::new());
        memory.put(0, &[0; 100]);
        let fd = file.as_raw_fd();
        let parts = [[memory.put(0, &[]).addr() as u64, 2], [memory.put(50, &[]).addr() as u64, 3]];
        let seen = stage.one(&|| {
            syscall!(SYS_preadv, fd, parts.as_ptr(), 2, 1, 0);
        });
        let fd = format!("{fd}");
        seen.is("preadv", &[("res", "5"), ("size", "5"), ("data", "bcdef"), ("fd", &fd), ("pos", "1")])
            .has(&[("evt.type", "preadv"), ("evt.io_dir", "read"), ("fd.name", &path)]);
    }

    fn pwritev(stage: &mut dyn Stage) {
        let (_dir, path, file) = file();
        let (fd, parts) = (file.as_raw_fd(), buffers(&[b"one ", b"two"]));
        let seen = stage.one(&|| {
            syscall!(SYS_pwritev, fd, parts.as_ptr(), 2, 3, 0);
        });
        let fd = format!("{fd}");
        seen.is("pwritev", &[("res", "7"), ("data", "one two"), ("fd", &fd), ("size", "7"), ("pos", "3")])
            .has(&[("evt.type", "pwritev"), ("evt.io_dir", "write"), ("fd.name", &path)]);
    }
}

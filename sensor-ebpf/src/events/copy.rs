//! sendfile(2), splice(2), `copy_file_range(2)`: from one descriptor to another. `fd.*` is the one that Falco takes.

use super::flags::Flags;
use super::{
    Arg, Category, Codes, Descriptor, Direction, FdView, Info, Is, Lane, Looks, Param, ParamType as T, Role,
    View, Volume, params,
};
use crate::record;
use crate::record::{Fd, Pod as _};

record! {
    /// A finished copy from one descriptor to another.
    pub struct Copied {
        /// Bytes that were copied, or a negative errno.
        pub ret: i64,
        pub file: Fd,
        /// Where in the two files, afterwards; 0 where the caller does not say it.
        pub in_offset: u64,
        pub out_offset: u64,
        /// Bytes to copy.
        pub size: u64,
        pub input: i32,
        pub output: i32,
        pub flags: u32,
        pub reserved: u32,
    }
}

/// sendfile(2).
pub struct Sendfile;
/// splice(2).
pub struct Splice;
/// `copy_file_range(2)`.
pub struct CopyFileRange;

impl Sendfile {
    pub const EVENT: Info = event("sendfile", SENDFILE, Category::OfDescriptor, None, |r| {
        r.body().map(|b: &Copied| FdView::of(r, b.output.into(), &b.file))
    });
}

impl Splice {
    pub const EVENT: Info = event("splice", SPLICE, Category::OfDescriptor, None, |r| {
        r.body().map(|b: &Copied| FdView::of(r, b.input.into(), &b.file))
    });
}

impl CopyFileRange {
    pub const EVENT: Info = event("copy_file_range", RANGE, Category::File, Some(Direction::Both), |r| {
        r.body().map(|b: &Copied| FdView::of(r, b.output.into(), &b.file))
    });
}

const fn event(
    name: &'static str,
    params: &'static [Param],
    category: Category,
    io: Option<Direction>,
    view: for<'a> fn(&crate::record::Record<'a>) -> Option<FdView<'a>>,
) -> Info {
    Info {
        layout: Copied::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name,
            codes: Codes::Exit,
            category,
            params,
            fd: Some(Descriptor { view, is: Is::Subject, otherwise: b'o', role: Role::Unknown }),
            io,
            open: None,
            filter: Looks::Nothing,
            volume: Volume::High,
        }),
    }
}

const SENDFILE: &[Param] = params! {
    "res": T::Errno, |r, b: &Copied| Arg::Int(b.ret);
    "offset": T::Dec(64), |r, b: &Copied| Arg::Uint(b.in_offset);
    "out_fd": T::Fd, |r, b: &Copied| Arg::Int(b.output.into());
    "in_fd": T::Fd, |r, b: &Copied| Arg::Int(b.input.into());
    "size": T::Dec(64), |r, b: &Copied| Arg::Uint(b.size);
};

const SPLICE: &[Param] = params! {
    "res": T::Errno, |r, b: &Copied| Arg::Int(b.ret);
    "fd_in": T::Fd, |r, b: &Copied| Arg::Int(b.input.into());
    "fd_out": T::Fd, |r, b: &Copied| Arg::Int(b.output.into());
    "size": T::Dec(64), |r, b: &Copied| Arg::Uint(b.size);
    "flags": T::Flags(32, SPLICE_FLAGS), |r, b: &Copied| Arg::Uint(b.flags.into());
};

const RANGE: &[Param] = params! {
    "res": T::Errno, |r, b: &Copied| Arg::Int(b.ret);
    "fdout": T::Fd, |r, b: &Copied| Arg::Int(b.output.into());
    "offout": T::Dec(64), |r, b: &Copied| Arg::Uint(b.out_offset);
    "fdin": T::Fd, |r, b: &Copied| Arg::Int(b.input.into());
    "offin": T::Dec(64), |r, b: &Copied| Arg::Uint(b.in_offset);
    "len": T::Dec(64), |r, b: &Copied| Arg::Uint(b.size);
};

static SPLICE_FLAGS: &Flags =
    &[("SPLICE_F_MOVE", 1), ("SPLICE_F_NONBLOCK", 2), ("SPLICE_F_MORE", 4), ("SPLICE_F_GIFT", 8)];

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::Copied;
    use crate::events::Kind;
    use crate::kernel::{Exit, Writer, file};

    struct Ends {
        input: i32,
        output: i32,
        in_offset: u64,
        out_offset: u64,
    }

    #[inline(always)]
    fn record(exit: &Exit, kind: Kind, ends: &Ends, fd: i32, size: u64, flags: u32) {
        let Some(mut w) = Writer::new::<Copied>(kind) else { return };
        let body = w.body::<Copied>();
        body.ret = exit.ret;
        body.input = ends.input;
        body.output = ends.output;
        body.in_offset = ends.in_offset;
        body.out_offset = ends.out_offset;
        body.size = size;
        body.flags = flags;
        body.reserved = 0;
        file::describe(&mut w, exit.task, fd, &mut body.file);
        w.submit(kind);
    }

    #[inline(always)]
    fn offset(exit: &Exit, n: usize) -> u64 {
        if exit.arg(n) == 0 { 0 } else { exit.read(exit.arg(n)).unwrap_or(0) }
    }

    #[inline(always)]
    pub fn sendfile(exit: &Exit) {
        /// i386's sendfile whose offset has 32 bits.
        const SENDFILE32: u64 = 187;
        let in_offset = if exit.compat && exit.nr == SENDFILE32 {
            offset(exit, 2) & u64::from(u32::MAX)
        } else {
            offset(exit, 2)
        };
        let ends = Ends { input: exit.arg(1) as i32, output: exit.arg(0) as i32, in_offset, out_offset: 0 };
        record(exit, Kind::Sendfile, &ends, ends.output, exit.arg(3), 0);
    }

    #[inline(always)]
    pub fn splice(exit: &Exit) {
        let ends =
            Ends { input: exit.arg(0) as i32, output: exit.arg(2) as i32, in_offset: 0, out_offset: 0 };
        record(exit, Kind::Splice, &ends, ends.input, exit.arg(4), exit.arg(5) as u32);
    }

    #[inline(always)]
    pub fn copy_file_range(exit: &Exit) {
        let ends = Ends {
            input: exit.arg(0) as i32,
            output: exit.arg(2) as i32,
            in_offset: offset(exit, 1),
            out_offset: offset(exit, 3),
        };
        record(exit, Kind::CopyFileRange, &ends, ends.output, exit.arg(4), 0);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{copy_file_range, sendfile, splice};

#[cfg(feature = "testing")]
mod scenarios {
    use std::format;
    use std::fs::File;
    use std::os::fd::AsRawFd as _;

    use super::{CopyFileRange, Sendfile, Splice};
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Shared, Stage};

    impl Sendfile {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "the descriptor that is written to", play: sendfile },
            Scenario { shows: "descriptors that are not open", play: failed_sendfile },
        ];
    }

    impl Splice {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "the descriptor that is read from", play: splice },
            Scenario { shows: "no pipe among them", play: failed_splice },
        ];
    }

    impl CopyFileRange {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "the file that is written to, and both places", play: range },
            Scenario { shows: "descriptors that are not open", play: failed_range },
        ];
    }

    /// A file with ten letters, and an empty one.
    fn files() -> (Dir, File, File) {
        let dir = Dir::new();
        std::fs::write(dir.at("from"), "abcdefghij").unwrap();
        let (from, to) = (File::open(dir.at("from")).unwrap(), File::create(dir.at("to")).unwrap());
        (dir, from, to)
    }

    fn sendfile(stage: &mut dyn Stage) {
        let ((dir, from, to), memory) = (files(), Shared::new());
        let (input, output, at) = (from.as_raw_fd(), to.as_raw_fd(), memory.put(0, &2_u64.to_ne_bytes()));
        let seen = stage.one(&|| {
            syscall!(SYS_sendfile, output, input, at, 5);
        });
        let (input, output) = (format!("{input}"), format!("{output}"));
        let args = [
            ("res", "5"),
            ("offset", "7"),
            ("out_fd", output.as_str()),
            ("in_fd", input.as_str()),
            ("size", "5"),
        ];
        seen.is("sendfile", &args)
            .has(&[("evt.type", "sendfile"), ("evt.category", "file"), ("evt.is_io", "false")])
            .has(&[("fd.num", &output), ("fd.name", &dir.at("to"))]);
    }

    fn failed_sendfile(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_sendfile, 999, 998, 0, 5);
        });
        seen.is(
            "sendfile",
            &[("res", "-9"), ("offset", "0"), ("out_fd", "999"), ("in_fd", "998"), ("size", "5")],
        )
        .has(&[("evt.res", "EBADF"), ("fd.num", "999"), ("fd.typechar", "o")]);
    }

    fn splice(stage: &mut dyn Stage) {
        let (dir, from, _to) = files();
        let (_end, pipe) = std::io::pipe().unwrap();
        let (input, output) = (from.as_raw_fd(), pipe.as_raw_fd());
        let seen = stage.one(&|| {
            syscall!(SYS_splice, input, 0, output, 0, 5, libc::SPLICE_F_MOVE | libc::SPLICE_F_MORE);
        });
        let (input, output) = (format!("{input}"), format!("{output}"));
        let args = [
            ("res", "5"),
            ("fd_in", input.as_str()),
            ("fd_out", output.as_str()),
            ("size", "5"),
            ("flags", "5"),
        ];
        seen.is("splice", &args)
            .has(&[("evt.type", "splice"), ("evt.category", "file"), ("evt.is_io", "false")])
            .has(&[
                ("evt.arg[4]", "SPLICE_F_MOVE|SPLICE_F_MORE"),
                ("fd.num", &input),
                ("fd.name", &dir.at("from")),
            ]);
    }

    fn failed_splice(stage: &mut dyn Stage) {
        let (_dir, from, to) = files();
        let (input, output) = (from.as_raw_fd(), to.as_raw_fd());
        let seen = stage.one(&|| {
            syscall!(SYS_splice, input, 0, output, 0, 5, 0);
        });
        seen.has(&[("evt.res", "EINVAL"), ("fd.num", &format!("{input}")), ("evt.arg[3]", "5")]);
    }

    fn range(stage: &mut dyn Stage) {
        let ((dir, from, to), memory) = (files(), Shared::new());
        let (input, output) = (from.as_raw_fd(), to.as_raw_fd());
        let (in_at, out_at) = (memory.put(0, &2_u64.to_ne_bytes()), memory.put(8, &0_u64.to_ne_bytes()));
        let seen = stage.one(&|| {
            syscall!(SYS_copy_file_range, input, in_at, output, out_at, 5, 0);
        });
        let (input, output) = (format!("{input}"), format!("{output}"));
        let args = [
            ("res", "5"),
            ("fdout", output.as_str()),
            ("offout", "5"),
            ("fdin", input.as_str()),
            ("offin", "7"),
            ("len", "5"),
        ];
        seen.is("copy_file_range", &args)
            .has(&[("evt.type", "copy_file_range"), ("evt.category", "file"), ("evt.io_dir", "read")])
            .has(&[("evt.is_io_read", "true"), ("evt.is_io_write", "true"), ("evt.buflen", "5")])
            .has(&[("fd.num", &output), ("fd.name", &dir.at("to"))]);
    }

    fn failed_range(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_copy_file_range, 998, 0, 999, 0, 5, 0);
        });
        let args =
            [("res", "-9"), ("fdout", "999"), ("offout", "0"), ("fdin", "998"), ("offin", "0"), ("len", "5")];
        seen.is("copy_file_range", &args).has(&[("evt.res", "EBADF"), ("fd.num", "999")]);
    }
}

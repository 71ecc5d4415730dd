//! open(2), openat(2), openat2(2), creat(2), `open_by_handle_at(2)`.
//!
//! At exit, because the kernel has resolved the file by then: the caller can no longer change the name.

use super::flags::{CREAT_FLAGS, FILE_FLAGS, OPENAT2_FLAGS};
use super::{
    Arg, Category, Codes, Descriptor, FdView, Info, Is, Lane, Looks, Opening, Param, ParamType as T,
    PathRole, Role, View, Volume, params,
};
use crate::record;
use crate::record::{FD_LOWER_LAYER, FD_UPPER_LAYER, Fd, Pod as _, Record, Tail};

record! {
    /// A finished open.
    pub struct Opened {
        /// The descriptor, or a negative errno.
        pub ret: i64,
        /// What was opened; `kind` 0 when the call failed.
        pub file: Fd,
        /// `open_how.resolve` of openat2.
        pub resolve: u64,
        /// The caller's `O_*`.
        pub flags: u32,
        pub mode: u32,
        pub dirfd: i32,
        /// 1 when the call made the file (`FMODE_CREATED`).
        pub created: u32,
        /// The path as passed.
        pub raw: Tail,
        /// Directory that a relative path starts from.
        pub base: Tail,
    }
}

/// open(2).
pub struct Open;
/// openat(2).
pub struct Openat;
/// openat2(2).
pub struct Openat2;
/// creat(2).
pub struct Creat;
/// `open_by_handle_at(2)`: no path is passed, and the one that is told is the kernel's.
pub struct OpenByHandleAt;

impl Open {
    // A failed plain open has no type character, as in Falco.
    pub const EVENT: Info = event("open", Codes::EnterAndExit, OPEN, b'o', opening);
}

impl Openat {
    pub const EVENT: Info = event("openat", Codes::EnterAndExit, OPENAT, b'f', opening);
}

impl Openat2 {
    pub const EVENT: Info = event("openat2", Codes::EnterAndExit, OPENAT2, b'f', opening);
}

impl Creat {
    pub const EVENT: Info = event("creat", Codes::EnterAndExit, CREAT, b'f', creating);
}

impl OpenByHandleAt {
    pub const EVENT: Info = event("open_by_handle_at", Codes::Exit, OPEN_BY_HANDLE_AT, b'o', opening);
}

/// The five differ in this.
const fn event(
    name: &'static str,
    codes: Codes,
    params: &'static [Param],
    otherwise: u8,
    open: fn(&Record<'_>) -> Option<Opening>,
) -> Info {
    Info {
        layout: Opened::LAYOUT,
        lane: Lane::Bulk,
        changes: None,
        rules: Some(View {
            name,
            codes,
            category: Category::File,
            params,
            fd: Some(Descriptor { view: fd, is: Is::Subject, otherwise, role: Role::Unknown }),
            io: None,
            open: Some(open),
            filter: Looks::Open,
            volume: Volume::Normal,
        }),
    }
}

fn fd<'a>(r: &Record<'a>) -> Option<FdView<'a>> {
    let body: &Opened = r.body()?;
    let view = FdView::of(r, body.ret.max(-1), &body.file);
    Some(FdView { raw: r.tail(body.raw), base: r.tail(body.base), ..view })
}

fn opening(r: &Record<'_>) -> Option<Opening> {
    let opened: &Opened = r.body()?;
    let flags = falco_flags(opened);
    let any = |bits| flags & bits != 0;
    Some(Opening {
        read: any(1),
        write: any(2),
        exec: any(FALCO_CREAT | FALCO_TMPFILE) && opened.mode & 0o111 != 0,
        create: is_created(opened),
    })
}

/// creat has no argument with flags, so Falco says neither "read" nor "write" of it.
fn creating(r: &Record<'_>) -> Option<Opening> {
    let opened: &Opened = r.body()?;
    Some(Opening { read: false, write: false, exec: opened.mode & 0o111 != 0, create: is_created(opened) })
}

fn is_created(opened: &Opened) -> bool {
    let flags = falco_flags(opened);
    flags & FALCO_CREATED != 0 || (flags & FALCO_TMPFILE != 0 && opened.ret >= 0)
}

fn name<'a>(r: &Record<'a>, b: &Opened) -> Arg<'a> {
    Arg::Path { raw: r.tail(b.raw), base: r.tail(b.base) }
}

const OPEN: &[Param] = params! {
    "fd": T::Fd, |r, b: &Opened| Arg::Int(b.ret);
    "name": T::Path(PathRole::Name), |r, b: &Opened| name(r, b);
    "flags": T::Flags(32, FILE_FLAGS), |r, b: &Opened| Arg::Uint(falco_flags(b).into());
    "mode": T::Oct(32), |r, b: &Opened| Arg::Uint(b.mode.into());
    "dev": T::Hex(32), |r, b: &Opened| Arg::Uint(b.file.dev.into());
    "ino": T::Dec(64), |r, b: &Opened| Arg::Uint(b.file.ino);
};

const OPENAT: &[Param] = params! {
    "fd": T::Fd, |r, b: &Opened| Arg::Int(b.ret);
    "dirfd": T::Fd, |r, b: &Opened| Arg::Int(b.dirfd.into());
    "name": T::PathAt(PathRole::Name), |r, b: &Opened| name(r, b);
    "flags": T::Flags(32, FILE_FLAGS), |r, b: &Opened| Arg::Uint(falco_flags(b).into());
    "mode": T::Oct(32), |r, b: &Opened| Arg::Uint(b.mode.into());
    "dev": T::Hex(32), |r, b: &Opened| Arg::Uint(b.file.dev.into());
    "ino": T::Dec(64), |r, b: &Opened| Arg::Uint(b.file.ino);
};

const OPENAT2: &[Param] = params! {
    "fd": T::Fd, |r, b: &Opened| Arg::Int(b.ret);
    "dirfd": T::Fd, |r, b: &Opened| Arg::Int(b.dirfd.into());
    "name": T::PathAt(PathRole::Name), |r, b: &Opened| name(r, b);
    "flags": T::Flags(32, FILE_FLAGS), |r, b: &Opened| Arg::Uint(falco_flags(b).into());
    "mode": T::Oct(32), |r, b: &Opened| Arg::Uint(b.mode.into());
    "resolve": T::Flags(32, OPENAT2_FLAGS), |r, b: &Opened| Arg::Uint(b.resolve);
    "dev": T::Hex(32), |r, b: &Opened| Arg::Uint(b.file.dev.into());
    "ino": T::Dec(64), |r, b: &Opened| Arg::Uint(b.file.ino);
};

const CREAT: &[Param] = params! {
    "fd": T::Fd, |r, b: &Opened| Arg::Int(b.ret);
    "name": T::Path(PathRole::Name), |r, b: &Opened| name(r, b);
    "mode": T::Oct(32), |r, b: &Opened| Arg::Uint(b.mode.into());
    "dev": T::Hex(32), |r, b: &Opened| Arg::Uint(b.file.dev.into());
    "ino": T::Dec(64), |r, b: &Opened| Arg::Uint(b.file.ino);
    "creat_flags": T::Flags(16, CREAT_FLAGS), |r, b: &Opened| Arg::Uint(
        (b.file.flags & (FD_UPPER_LAYER | FD_LOWER_LAYER)).into()
    );
};

const OPEN_BY_HANDLE_AT: &[Param] = params! {
    "fd": T::Fd, |r, b: &Opened| Arg::Int(b.ret);
    "mountfd": T::Fd, |r, b: &Opened| Arg::Int(b.dirfd.into());
    "flags": T::Flags(32, FILE_FLAGS), |r, b: &Opened| Arg::Uint(falco_flags(b).into());
    "path": T::Found(PathRole::Name), |r, b: &Opened| Arg::Path { raw: r.tail(b.file.path), base: &[] };
    "dev": T::Hex(32), |r, b: &Opened| Arg::Uint(b.file.dev.into());
    "ino": T::Dec(64), |r, b: &Opened| Arg::Uint(b.file.ino);
};

/// Linux `O_*` of x86-64 (and every architecture with the generic numbers).
mod o {
    pub const ACCMODE: u32 = 3;
    pub const CREAT: u32 = 0o100;
    pub const EXCL: u32 = 0o200;
    pub const TRUNC: u32 = 0o1000;
    pub const APPEND: u32 = 0o2000;
    pub const NONBLOCK: u32 = 0o4000;
    pub const DSYNC: u32 = 0o10000;
    pub const DIRECT: u32 = 0o40000;
    pub const LARGEFILE: u32 = 0o100_000;
    pub const DIRECTORY: u32 = 0o200_000;
    pub const CLOEXEC: u32 = 0o2_000_000;
    pub const SYNC: u32 = 0o4_010_000;
    pub const TMPFILE: u32 = 0o20_200_000;
}

/// Bits of [`falco_flags`] that are asked for by name.
const FALCO_CREAT: u32 = 4;
const FALCO_TMPFILE: u32 = 8192;
const FALCO_CREATED: u32 = 16_384;

/// Falco's bit set for the open family. `O_TMPFILE` and `O_SYNC` contain other flags, and Falco tests "any bit of":
/// so `O_DIRECTORY` alone also sets `TMPFILE`, and `O_DSYNC` alone also sets `SYNC`.
pub fn falco_flags(opened: &Opened) -> u32 {
    const MAP: [(u32, u32); 12] = [
        (o::CREAT, FALCO_CREAT),
        (o::APPEND, 8),
        (o::DSYNC, 16),
        (o::EXCL, 32),
        (o::NONBLOCK, 64),
        (o::SYNC, 128),
        (o::TRUNC, 256),
        (o::DIRECT, 512),
        (o::DIRECTORY, 1024),
        (o::LARGEFILE, 2048),
        (o::CLOEXEC, 4096),
        (o::TMPFILE, FALCO_TMPFILE),
    ];
    let access = match opened.flags & o::ACCMODE {
        0 => 1,
        1 => 2,
        2 => 3,
        _ => 0,
    };
    let bits =
        MAP.iter().filter(|(linux, _)| opened.flags & linux != 0).fold(access, |all, (_, bit)| all | bit);
    bits | if opened.created != 0 { FALCO_CREATED } else { 0 }
        | if opened.file.flags & FD_UPPER_LAYER != 0 { 32768 } else { 0 }
        | if opened.file.flags & FD_LOWER_LAYER != 0 { 65536 } else { 0 }
}

#[cfg(target_arch = "bpf")]
mod handlers {
    use super::{Opened, o};
    use crate::events::Kind;
    use crate::filter::{Look, READ, WRITE};
    use crate::kernel::call::Memory;
    use crate::kernel::lane::{self, Outcome};
    use crate::kernel::{Exit, Writer, asked, file};

    const AT_FDCWD: i32 = -100;

    /// What Falco's `evt.is_open_read` and `evt.is_open_write` tell.
    #[inline(always)]
    fn access(flags: u32) -> u32 {
        match flags & o::ACCMODE {
            0 => READ,
            1 => WRITE,
            2 => READ | WRITE,
            _ => 0,
        }
    }

    #[inline(always)]
    fn record(exit: &Exit, kind: Kind, dirfd: i32, raw: Option<u64>, flags: u32, mode: u32, resolve: u64) {
        let Some(mut w) = Writer::new::<Opened>(kind) else { return };
        let body = w.body::<Opened>();
        body.ret = exit.ret;
        let file_mode = file::describe(&mut w, exit.task, exit.fd, &mut body.file);
        if let (Memory::Kernel, Some(raw)) = (exit.memory, raw) {
            // Every request passes: a function more calls this handler, and on Linux 6.1 the stack does not last for the filter.
            (body.raw, body.base) = file::argument(&mut w, exit, dirfd, raw);
        } else {
            let resolved = w.head(body.file.path);
            let asked = match raw {
                Some(raw) => asked::append(&mut w, exit, dirfd, raw),
                None => asked::Argument::NONE,
            };
            (body.raw, body.base) = (asked.raw, asked.base);
            let look = Look { access: access(flags), success: exit.ret >= 0, resolved, asked: asked.head };
            // Where a path that was cut lies is for the rules and the analyst to say.
            if !w.path_is_cut() && !lane::wanted(kind as u16, &look) {
                lane::count(kind as u16, Outcome::Filtered);
                return;
            }
        }
        body.created = (file_mode & file::FMODE_CREATED != 0) as u32;
        body.resolve = resolve;
        body.flags = flags;
        // Without O_CREAT or O_TMPFILE the register holds garbage.
        body.mode = if flags & o::CREAT != 0 || flags & o::TMPFILE == o::TMPFILE { mode } else { 0 };
        body.dirfd = dirfd;
        w.submit(kind);
    }

    #[inline(always)]
    pub fn open(exit: &Exit) {
        record(exit, Kind::Open, AT_FDCWD, Some(exit.arg(0)), exit.arg(1) as u32, exit.arg(2) as u32, 0);
    }

    #[inline(always)]
    pub fn openat(exit: &Exit) {
        let dirfd = exit.arg(0) as i32;
        record(exit, Kind::Openat, dirfd, Some(exit.arg(1)), exit.arg(2) as u32, exit.arg(3) as u32, 0);
    }

    /// `openat2(dirfd, path, struct open_how { u64 flags, mode, resolve } *, size)`.
    #[inline(always)]
    pub fn openat2(exit: &Exit) {
        let how = exit.arg(2);
        let flags = exit.read::<u64>(how).unwrap_or(0);
        let mode = exit.read::<u64>(how.wrapping_add(8)).unwrap_or(0);
        let resolve = exit.read::<u64>(how.wrapping_add(16)).unwrap_or(0);
        record(
            exit,
            Kind::Openat2,
            exit.arg(0) as i32,
            Some(exit.arg(1)),
            flags as u32,
            mode as u32,
            resolve,
        );
    }

    #[inline(always)]
    pub fn creat(exit: &Exit) {
        // creat(2) is open with O_CREAT | O_WRONLY | O_TRUNC.
        let flags = o::CREAT | 1 | o::TRUNC;
        record(exit, Kind::Creat, AT_FDCWD, Some(exit.arg(0)), flags, exit.arg(1) as u32, 0);
    }

    /// `open_by_handle_at(mountfd, struct file_handle *, flags)`.
    #[inline(always)]
    pub fn open_by_handle_at(exit: &Exit) {
        record(exit, Kind::OpenByHandleAt, exit.arg(0) as i32, None, exit.arg(2) as u32, 0, 0);
    }
}
#[cfg(target_arch = "bpf")]
pub use handlers::{creat, open, open_by_handle_at, openat, openat2};

#[cfg(feature = "testing")]
mod scenarios {
    use std::string::ToString as _;

    use super::{Creat, Open, OpenByHandleAt, Openat, Openat2};
    use crate::syscall;
    use crate::testing::{Dir, Scenario, Stage, c, identity};

    impl Open {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "a directory", play: directory },
            Scenario { shows: "a failed open keeps what was asked", play: failed },
        ];
    }

    impl Openat {
        pub const SCENARIOS: &[Scenario] = &[
            Scenario { shows: "through a link to the file itself", play: linked },
            Scenario { shows: "relative to a directory", play: relative },
            Scenario { shows: "a file that the call makes", play: made },
        ];
    }

    impl Openat2 {
        pub const SCENARIOS: &[Scenario] = &[Scenario { shows: "its struct is read", play: how }];
    }

    impl Creat {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "a failed creat keeps what was asked", play: creat }];
    }

    impl OpenByHandleAt {
        pub const SCENARIOS: &[Scenario] =
            &[Scenario { shows: "the path of what was opened, and a handle that is none", play: by_handle }];
    }

    fn by_handle(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let path = dir.file("a");
        let (name, top) = (c(&path), std::fs::File::open(dir.path()).unwrap());
        let mountfd = std::os::fd::AsRawFd::as_raw_fd(&top);
        // `struct file_handle`: how many bytes, what kind, the bytes.
        let mut handle = [0_u32; 34];
        handle[0] = 128;
        let (mut mount, at) = (0_i32, libc::AT_FDCWD);
        let (handle, mount) = (handle.as_mut_ptr().cast_const(), &raw mut mount);
        let none = [0_u32; 2];
        if syscall!(SYS_name_to_handle_at, at, name.as_ptr(), handle, mount.cast_const(), 0) != 0 {
            return stage.skip("this file system has no handles");
        }
        let seen = stage.observe(&|| {
            syscall!(SYS_open_by_handle_at, mountfd, handle, libc::O_RDONLY);
            syscall!(SYS_open_by_handle_at, mountfd, none.as_ptr(), libc::O_WRONLY);
        });
        let [done, failed] = seen.as_slice() else { panic!("{seen:?}") };
        let from = mountfd.to_string();
        assert_eq!(
            failed.args[1..4],
            [("mountfd", from.clone()), ("flags", "2".to_string()), ("path", std::string::String::new()),]
        );
        failed
            .has(&[("evt.type", "open_by_handle_at"), ("evt.failed", "true"), ("fd.num", "-1")])
            .lacks(&["fs.path.name", "evt.abspath"]);
        if done.arg("fd").starts_with('-') {
            return stage.skip("this process may not open by handle, or the file system cannot");
        }
        let (dev, ino) = identity(&path);
        let args = [
            ("fd", done.arg("fd")),
            ("mountfd", &from),
            ("flags", "1"),
            ("path", &path),
            ("dev", &dev),
            ("ino", &ino),
        ];
        done.is("open_by_handle_at", &args)
            .has(&[("evt.category", "file"), ("fd.name", &path), ("fd.type", "file")])
            .has(&[("evt.is_open_read", "true"), ("fs.path.name", &path), ("evt.abspath", &path)]);
    }

    fn directory(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let path = c(dir.path());
        let seen = stage.one(&|| {
            syscall!(SYS_open, path.as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY);
        });
        let (dev, ino) = identity(dir.path());
        let (fd, path) = (seen.arg("fd"), dir.path());
        // Falco's "any bit of" test: O_DIRECTORY (1024) also sets TMPFILE (8192).
        let args =
            [("fd", fd), ("name", path), ("flags", "9217"), ("mode", "0"), ("dev", &dev), ("ino", &ino)];
        seen.is("open", &args)
            .has(&[
                ("evt.type", "open"),
                ("evt.category", "file"),
                ("evt.res", "SUCCESS"),
                ("evt.is_io", "false"),
            ])
            .has(&[
                ("evt.is_open_read", "true"),
                ("evt.is_open_write", "false"),
                ("evt.is_open_exec", "false"),
            ])
            .has(&[("fd.num", fd), ("fd.type", "directory"), ("fd.name", path), ("fd.nameraw", path)])
            .has(&[("fs.path.name", path), ("fs.path.nameraw", path)])
            .lacks(&["evt.abspath", "fs.path.source", "fs.path.target"]);
    }

    fn failed(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_open, c"/nonexistent/file".as_ptr(), libc::O_RDONLY);
        });
        let path = "/nonexistent/file";
        let args = [("fd", "-2"), ("name", path), ("flags", "1"), ("mode", "0"), ("dev", "0"), ("ino", "0")];
        // A failed plain open has no type character of its own, as in Falco.
        seen.is("open", &args)
            .has(&[("evt.res", "ENOENT"), ("fd.num", "-1"), ("fd.typechar", "o"), ("fd.name", path)])
            .lacks(&["fd.type", "fs.path.name"]);
    }

    fn linked(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let (real, link) = (dir.file("real"), dir.at("link"));
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let path = c(&link);
        let seen = stage.one(&|| {
            syscall!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC, 0o777);
        });
        let (dev, ino) = identity(&real);
        let fd = seen.arg("fd");
        // O_RDWR is 3 in Falco's bits, O_CLOEXEC 4096.
        seen.is(
            "openat",
            &[
                ("fd", fd),
                ("dirfd", "-100"),
                ("name", &link),
                ("flags", "4099"),
                ("mode", "0"),
                ("dev", &dev),
                ("ino", &ino),
            ],
        )
        .has(&[("evt.type", "openat"), ("evt.category", "file"), ("fd.num", fd), ("fd.type", "file")])
        .has(&[
            ("fd.name", &real),
            ("fd.nameraw", &link),
            ("fd.directory", dir.path()),
            ("fd.filename", "real"),
        ])
        .has(&[("evt.is_open_read", "true"), ("evt.is_open_write", "true"), ("evt.is_open_create", "false")])
        .has(&[("fs.path.name", &real), ("evt.abspath", &link), ("fd.ino", &ino)]);
    }

    fn relative(stage: &mut dyn Stage) {
        let dir = Dir::new();
        std::fs::create_dir(dir.at("made")).unwrap();
        let base = c(dir.path());
        let seen = stage.observe(&|| {
            let fd = syscall!(SYS_open, base.as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY);
            syscall!(SYS_openat, fd, c"made/../made".as_ptr(), libc::O_RDONLY);
        });
        let [_, seen] = seen.as_slice() else { panic!("{seen:?}") };
        assert_eq!(seen.arg("name"), std::format!("made/../made in {}", dir.path()));
        seen.has(&[("fd.name", &dir.at("made")), ("fs.path.name", &dir.at("made"))])
            .has(&[("evt.abspath", &dir.at("made")), ("fs.path.nameraw", "made/../made")]);
    }

    fn made(stage: &mut dyn Stage) {
        let dir = Dir::new();
        let path = c(&dir.at("new"));
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL;
        let seen = stage.one(&|| {
            syscall!(SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0o700);
        });
        // With 16384 the kernel says that the call made the file.
        assert_eq!((seen.arg("flags"), seen.arg("mode")), ("16422", "448"));
        seen.has(&[
            ("evt.is_open_create", "true"),
            ("evt.is_open_exec", "true"),
            ("evt.is_open_read", "false"),
        ])
        .has(&[("fd.name", &dir.at("new")), ("evt.is_open_write", "true")]);
    }

    fn how(stage: &mut dyn Stage) {
        /// `RESOLVE_NO_MAGICLINKS`.
        const RESOLVE: u64 = 4;
        let how = [u64::from(libc::O_RDONLY.cast_unsigned()), 0, RESOLVE];
        let seen = stage.one(&|| {
            syscall!(SYS_openat2, libc::AT_FDCWD, c"/etc/passwd".as_ptr(), how.as_ptr(), size_of_val(&how));
        });
        let (dev, ino) = identity("/etc/passwd");
        let fd = seen.arg("fd");
        seen.is(
            "openat2",
            &[
                ("fd", fd),
                ("dirfd", "-100"),
                ("name", "/etc/passwd"),
                ("flags", "1"),
                ("mode", "0"),
                ("resolve", "4"),
                ("dev", &dev),
                ("ino", &ino),
            ],
        )
        .has(&[("evt.type", "openat2"), ("evt.is_open_read", "true"), ("evt.abspath", "/etc/passwd")])
        .has(&[("fd.name", "/etc/passwd"), ("fs.path.name", "/etc/passwd")]);
    }

    fn creat(stage: &mut dyn Stage) {
        let seen = stage.one(&|| {
            syscall!(SYS_creat, c"/nonexistent/new".as_ptr(), 0o750);
        });
        let path = "/nonexistent/new";
        let args =
            [("fd", "-2"), ("name", path), ("mode", "488"), ("dev", "0"), ("ino", "0"), ("creat_flags", "0")];
        seen.is("creat", &args)
            .has(&[("evt.type", "creat"), ("evt.is_open_write", "false"), ("evt.is_open_exec", "true")])
            .has(&[("evt.is_open_create", "false"), ("fd.typechar", "f"), ("fd.name", path)])
            .lacks(&["fs.path.name", "evt.abspath"]);
    }
}

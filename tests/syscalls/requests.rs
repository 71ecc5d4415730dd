//! Requests of io_uring make the events of the system calls that do the same, whoever carries them out.

use std::ffi::CStr;

use io_uring::squeue::{Entry, Flags};
use io_uring::types::{DestinationSlot, Fd, OpenHow};
use io_uring::{IoUring, opcode};
use sensor_ebpf::record::CUT_RESULT;
use sensor_ebpf::testing::{Dir, Seen, Stage, c, identity};

use super::Play;

/// Requests that a kernel without io_uring, or one that forbids it, would not take.
pub fn are_taken() -> Result<(), String> {
    IoUring::new(2).map(drop).map_err(|error| format!("no io_uring here: {error}"))
}

/// Does the requests one after the other, each with its result.
fn one_by_one(ring: &mut IoUring, entries: &[Entry]) {
    for entry in entries {
        // SAFETY: what entries point to outlives the ring's work, which is waited for.
        unsafe { ring.submission().push(entry).unwrap() };
        ring.submit_and_wait(1).unwrap();
        assert!(ring.completion().next().is_some());
    }
}

/// What is seen of `event` while a child works on a ring.
fn seen(stage: &mut Play, event: &str, work: &dyn Fn(&mut IoUring)) -> Vec<Seen> {
    let mut seen = stage.observe(&|| work(&mut IoUring::new(8).unwrap()));
    seen.retain(|seen| seen.event == event);
    seen
}

fn one(stage: &mut Play, event: &str, work: &dyn Fn(&mut IoUring)) -> Seen {
    let mut seen = seen(stage, event, work);
    assert_eq!(seen.len(), 1, "{seen:?}");
    seen.remove(0)
}

const CWD: Fd = Fd(libc::AT_FDCWD);

fn open(path: &CStr) -> Entry {
    opcode::OpenAt::new(CWD, path.as_ptr()).flags(libc::O_RDWR).build()
}

pub fn paths_are_told_as_asked_and_as_resolved() -> Result<(), String> {
    are_taken()?;
    let mut stage = Play::new();
    let dir = Dir::new();
    let (real, link) = (dir.file("real"), dir.at("link"));
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let path = c(&link);
    let seen = one(&mut stage, "openat", &|ring| one_by_one(ring, &[open(&path)]));
    let ((dev, ino), fd) = (identity(&real), seen.arg("fd"));
    let args = [
        ("fd", fd),
        ("dirfd", "-100"),
        ("name", &link),
        ("flags", "3"),
        ("mode", "0"),
        ("dev", &dev),
        ("ino", &ino),
    ];
    seen.is("openat", &args).has(&[
        ("evt.type", "openat"),
        ("fd.name", &real),
        ("fd.nameraw", &link),
        ("fd.num", fd),
        ("evt.is_open_write", "true"),
    ]);
    assert_eq!(seen.cut(), 0);

    let how = OpenHow::new().flags(libc::O_RDONLY.try_into().unwrap()).resolve(libc::RESOLVE_NO_SYMLINKS);
    let path = c(&real);
    let seen = one(&mut stage, "openat2", &|ring| {
        one_by_one(ring, &[opcode::OpenAt2::new(CWD, path.as_ptr(), &raw const how).build()]);
    });
    assert_eq!((seen.arg("flags"), seen.arg("resolve")), ("1", "4"));
    seen.has(&[("evt.type", "openat2"), ("fd.name", &real), ("evt.res", "SUCCESS")]);

    let nothing = c"/nonexistent/file";
    let seen = one(&mut stage, "openat", &|ring| one_by_one(ring, &[open(nothing)]));
    assert_eq!(seen.arg("fd"), "-2");
    seen.has(&[("evt.res", "ENOENT"), ("fd.num", "-1"), ("fd.name", "/nonexistent/file")]);
    Ok(())
}

pub fn names_are_made() -> Result<(), String> {
    are_taken()?;
    let mut stage = Play::new();
    let dir = Dir::new();
    let (file, hard, soft, below) = (dir.file("file"), dir.at("hard"), dir.at("soft"), dir.at("below"));
    let (from, to) = (c(&file), c(&hard));
    let link = opcode::LinkAt::new(CWD, from.as_ptr(), CWD, to.as_ptr()).build();
    let seen = one(&mut stage, "linkat", &|ring| one_by_one(ring, std::slice::from_ref(&link)));
    assert_eq!((seen.arg("oldpath"), seen.arg("newpath")), (file.as_str(), hard.as_str()));
    seen.has(&[("evt.type", "linkat"), ("evt.res", "SUCCESS")]);
    let to = c(&soft);
    let link = opcode::SymlinkAt::new(CWD, from.as_ptr(), to.as_ptr()).build();
    let seen = one(&mut stage, "symlinkat", &|ring| one_by_one(ring, std::slice::from_ref(&link)));
    assert_eq!((seen.arg("target"), seen.arg("linkpath")), (file.as_str(), soft.as_str()));
    let to = c(&below);
    let make = opcode::MkDirAt::new(CWD, to.as_ptr()).mode(0o750).build();
    let seen = one(&mut stage, "mkdirat", &|ring| one_by_one(ring, std::slice::from_ref(&make)));
    assert_eq!((seen.arg("path"), seen.arg("mode")), (below.as_str(), "488"));
    seen.has(&[("fs.path.name", &below), ("evt.res", "SUCCESS")]);
    Ok(())
}

pub fn names_are_changed() -> Result<(), String> {
    are_taken()?;
    let mut stage = Play::new();
    let dir = Dir::new();
    let (old, new) = (dir.file("old"), dir.at("new"));
    let (from, to) = (c(&old), c(&new));
    let rename = opcode::RenameAt::new(CWD, from.as_ptr(), CWD, to.as_ptr()).build();
    let seen = one(&mut stage, "renameat", &|ring| one_by_one(ring, std::slice::from_ref(&rename)));
    seen.has(&[("evt.res", "SUCCESS"), ("fs.path.source", &old), ("fs.path.target", &new)]);
    let unlink = opcode::UnlinkAt::new(CWD, to.as_ptr()).build();
    let seen = one(&mut stage, "unlinkat", &|ring| one_by_one(ring, std::slice::from_ref(&unlink)));
    seen.is("unlinkat", &[("res", "0"), ("dirfd", "-100"), ("name", &new), ("flags", "0")])
        .has(&[("fs.path.name", &new)]);
    Ok(())
}

pub fn sockets_are_made_and_connected() -> Result<(), String> {
    are_taken()?;
    let mut stage = Play::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let [high, low] = port.to_be_bytes();
    let address = [2, 0, high, low, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0_u8];
    let socket = opcode::Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0).build();
    let seen = stage.observe(&|| {
        let mut ring = IoUring::new(8).unwrap();
        // SAFETY: what entries point to outlives the ring's work, which is waited for.
        unsafe { ring.submission().push(&socket).unwrap() };
        ring.submit_and_wait(1).unwrap();
        let fd = Fd(ring.completion().next().unwrap().result());
        one_by_one(&mut ring, &[opcode::Connect::new(fd, address.as_ptr().cast(), 16).build()]);
    });
    let of = |event: &str| seen.iter().find(|seen| seen.event == event).unwrap_or_else(|| panic!("{seen:?}"));
    of("socket").has(&[("evt.arg[1]", "AF_INET"), ("fd.l4proto", "tcp"), ("fd.num", of("socket").arg("fd"))]);
    of("connect").has(&[
        ("evt.res", "SUCCESS"),
        ("fd.num", of("socket").arg("fd")),
        ("fd.sip", "127.0.0.1"),
        ("fd.sport", &port.to_string()),
    ]);
    Ok(())
}

pub fn a_polling_thread_works_for_its_process() -> Result<(), String> {
    are_taken()?;
    let mut stage = Play::new();
    let dir = Dir::new();
    let file = dir.file("polled");
    let path = c(&file);
    let mut seen = stage.observe(&|| {
        let mut ring = IoUring::builder().setup_sqpoll(20).build(8).unwrap();
        one_by_one(&mut ring, &[open(&path)]);
    });
    seen.retain(|seen| seen.event == "openat");
    let [seen] = seen.as_slice() else { panic!("{seen:?}") };
    seen.has(&[("fd.name", &file), ("evt.res", "SUCCESS")]);
    Ok(())
}

pub fn no_request_hides() -> Result<(), String> {
    are_taken()?;
    let mut stage = Play::new();
    let dir = Dir::new();
    let file = dir.file("hidden");
    let path = c(&file);

    // The result goes into the ring's own table: no descriptor tells the file.
    let slot = DestinationSlot::try_from_slot_target(0).unwrap();
    let own = opcode::OpenAt::new(CWD, path.as_ptr()).file_index(Some(slot)).build();
    let hidden = one(&mut stage, "openat", &|ring| {
        ring.submitter().register_files_sparse(1).unwrap();
        one_by_one(ring, std::slice::from_ref(&own));
    });
    hidden.has(&[("fd.name", &file), ("evt.is_open_read", "true"), ("evt.res", "SUCCESS")]);

    // Nobody wants the result.
    let silent = seen(&mut stage, "openat", &|ring| {
        let quiet = open(&path).flags(Flags::SKIP_SUCCESS);
        // SAFETY: as above.
        unsafe { ring.submission().push(&quiet).unwrap() };
        ring.submit().unwrap();
        one_by_one(ring, &[opcode::Nop::new().build()]);
    });
    let [silent] = silent.as_slice() else { panic!("{silent:?}") };
    silent.has(&[("fd.name", &file), ("evt.res", "SUCCESS")]);
    assert_eq!(silent.cut(), CUT_RESULT);

    // There is no room for it: two results fit, five are made.
    let many = stage.observe(&|| {
        let mut ring: IoUring = IoUring::builder().setup_cqsize(2).build(1).unwrap();
        for _ in 0..5 {
            // SAFETY: as above.
            unsafe { ring.submission().push(&open(&path)).unwrap() };
            ring.submit().unwrap();
        }
    });
    let many: Vec<_> = many.iter().filter(|seen| seen.event == "openat").collect();
    assert_eq!(many.len(), 5, "{many:?}");
    assert!(many.iter().all(|seen| seen.cut() == 0 && seen.arg("fd") != "0"), "{many:?}");

    // Several with one and the same name are under way at once, waiting for one that takes its time.
    let same = seen(&mut stage, "openat", &|ring| {
        for _ in 0..3 {
            // SAFETY: as above.
            unsafe { ring.submission().push(&open(&path).flags(Flags::ASYNC)).unwrap() };
        }
        ring.submit_and_wait(3).unwrap();
    });
    assert_eq!(same.len(), 3, "{same:?}");
    assert!(same.iter().all(|seen| seen.fields["fd.name"] == file), "{same:?}");
    Ok(())
}

//! One syscall in, every field out, nothing else: each event of the registry against the running kernel.
//!
//! Needs root, BTF and the BPF object; skipped with a line that says so where one is missing.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs;
use std::os::fd::AsRawFd as _;
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use falconet::probe::{Lanes, Options, Probe, Wanted};
use sensor_ebpf::config::ForeignCalls;
use sensor_ebpf::events::{Arg, EVENTS, Event};
use sensor_ebpf::record::{CUT_ARGS, CUT_ENV, CUT_HEAD, CUT_MIDDLE, FD_CONNECTED, Fd, Record};
use support::deep;

/// What one record said.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    event: &'static str,
    args: Vec<(&'static str, String)>,
    fd: Option<(i64, char, String)>,
    /// `CUT_*`.
    cut: u16,
}

struct Kernel {
    probe: Probe,
    lanes: Lanes,
}

/// The probe, loaded once for all tests of this file; `None` (and a line) where it cannot be.
fn kernel(test: &str) -> Option<MutexGuard<'static, Kernel>> {
    static KERNEL: OnceLock<Result<Mutex<Kernel>, String>> = OnceLock::new();
    let kernel = KERNEL.get_or_init(|| {
        let event_types = EVENTS.iter().filter_map(|e| e.info.name()).map(str::to_owned).collect();
        let wanted = Wanted { event_types, ..Wanted::default() };
        Probe::load(&Options { wanted, ..Options::default() })
            .map(|(probe, lanes)| Mutex::new(Kernel { probe, lanes }))
            .map_err(|e| e.to_string())
    });
    match kernel {
        Ok(kernel) => Some(kernel.lock().unwrap_or_else(std::sync::PoisonError::into_inner)),
        Err(error) => {
            println!("skipped: {test}: {error}");
            None
        }
    }
}

/// Runs `work` in a child process and returns what the probe saw of it between its start and its end.
fn observe(kernel: &mut Kernel, work: impl FnOnce()) -> Vec<Seen> {
    let life = observe_life(kernel, work);
    life[1..life.len() - 1].to_vec()
}

/// Runs `work` in a child process and returns what the probe saw of it, its start and its end included.
fn observe_life(kernel: &mut Kernel, work: impl FnOnce()) -> Vec<Seen> {
    // SAFETY: the child calls only `work` (raw syscalls on memory prepared before) and `_exit`.
    let child = unsafe { libc::fork() };
    assert!(child >= 0, "fork failed");
    if child == 0 {
        work();
        // SAFETY: ends the child without running the parent's destructors.
        unsafe { libc::_exit(7) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    let mut seen = Vec::new();
    let mut ended = false;
    let deadline = Instant::now() + Duration::from_secs(5);
    while !ended && Instant::now() < deadline {
        kernel.lanes.drain(usize::MAX, |record| {
            if record.header().tgid == u32::try_from(child).unwrap() {
                let one = read(&record);
                ended |= one.event == "exit";
                seen.push(one);
            }
        });
        kernel.lanes.wait(Duration::from_millis(10), &[]).unwrap();
    }
    assert!(ended, "the child's end was not seen: {seen:?}");
    assert_eq!(seen.first().map(|s| s.event), Some("fork"), "{seen:?}");
    let exit = seen.last().unwrap().clone();
    assert_eq!(exit.args[1], ("ret", "7".to_owned()), "exit status");
    seen
}

fn read(record: &Record<'_>) -> Seen {
    let event = Event::of_kind(record.header().kind).expect("a kind of the registry");
    let params = event.info.rules.map_or(&[][..], |view| view.params);
    let args = params.iter().filter_map(|p| Some((p.name, text((p.get)(record)?)))).collect();
    let fd = event.info.rules.and_then(|view| view.descriptor(record)).map(|view| {
        let kind = view.fd.map_or('-', |f| char::from(f.kind));
        (view.num, kind, String::from_utf8_lossy(view.path).into_owned())
    });
    Seen { event: event.program, args, fd, cut: record.header().flags }
}

fn text(arg: Arg<'_>) -> String {
    let utf8 = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    match arg {
        Arg::Int(n) => n.to_string(),
        Arg::Uint(n) => n.to_string(),
        Arg::Bytes(b) => utf8(b),
        Arg::Path { raw, base: [] } => utf8(raw),
        Arg::Path { raw, base } => format!("{} in {}", utf8(raw), utf8(base)),
        Arg::SockAddr(b) => format!("{b:?}"),
        Arg::SockTuple(Fd { kind, remote, remote_port, flags, .. }, path) => {
            let connected = flags & FD_CONNECTED != 0;
            format!("{} {:?}:{remote_port} {connected} {}", char::from(*kind), &remote[..4], utf8(path))
        }
    }
}

fn args<const N: usize>(pairs: [(&'static str, &str); N]) -> Vec<(&'static str, String)> {
    pairs.into_iter().map(|(k, v)| (k, v.to_owned())).collect()
}

fn c(text: &str) -> CString {
    CString::new(text).unwrap()
}

/// A directory of this test's own, and its path as the kernel resolves it.
fn scratch(test: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::Builder::new().prefix(&format!("falconet-{test}-")).tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap().to_str().unwrap().to_owned();
    (dir, path)
}

/// Device in the kernel's `new_encode_dev` form, and inode.
fn identity(path: &str) -> (String, String) {
    use std::os::unix::fs::MetadataExt;
    let meta = fs::metadata(path).unwrap();
    let (major, minor) = (libc::major(meta.dev()), libc::minor(meta.dev()));
    let dev = (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12);
    (dev.to_string(), meta.ino().to_string())
}

#[test]
fn openat_gives_path_flags_and_identity() {
    let Some(mut kernel) = kernel("openat_gives_path_flags_and_identity") else { return };
    let (_dir, dir) = scratch("openat");
    fs::write(format!("{dir}/real"), "x").unwrap();
    std::os::unix::fs::symlink(format!("{dir}/real"), format!("{dir}/link")).unwrap();
    let link = c(&format!("{dir}/link"));
    let seen = observe(&mut kernel, || {
        // SAFETY: a valid C string; the descriptor ends with the child.
        unsafe {
            libc::syscall(
                libc::SYS_openat,
                libc::AT_FDCWD,
                link.as_ptr(),
                libc::O_RDWR | libc::O_CLOEXEC,
                0o777,
            )
        };
    });
    let (dev, ino) = identity(&format!("{dir}/real"));
    assert_eq!(seen.len(), 1, "{seen:?}");
    let fd = seen[0].args[0].1.clone();
    assert_eq!(
        seen[0].args,
        args([
            ("fd", &fd),
            ("dirfd", "-100"),
            ("name", &format!("{dir}/link")),
            ("flags", &(3 + 4096).to_string()),
            ("mode", "0"),
            ("dev", &dev),
            ("ino", &ino),
        ])
    );
    // The kernel's name of the file, not the link that was asked for.
    assert_eq!(seen[0].fd, Some((fd.parse().unwrap(), 'f', format!("{dir}/real"))));
}

#[test]
fn openat_relative_to_a_directory_carries_the_directory() {
    let Some(mut kernel) = kernel("openat_relative_to_a_directory_carries_the_directory") else { return };
    let (_dir, dir) = scratch("dirfd");
    let (base, name) = (c(&dir), c("made/../made"));
    fs::create_dir(format!("{dir}/made")).unwrap();
    let seen = observe(&mut kernel, || {
        // SAFETY: valid C strings.
        unsafe {
            let fd = libc::syscall(libc::SYS_open, base.as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY);
            libc::syscall(libc::SYS_openat, fd, name.as_ptr(), libc::O_RDONLY);
            libc::syscall(
                libc::SYS_openat,
                fd,
                c"absent".as_ptr(),
                libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL,
                0o600,
            );
        };
    });
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert_eq!((seen[0].event, &seen[0].fd.as_ref().unwrap().1), ("open", &'d'));
    // Falco's "any bit of" test: O_DIRECTORY also sets TMPFILE.
    assert_eq!(seen[0].args[2], ("flags", (1 + 1024 + 8192).to_string()));
    assert_eq!(seen[1].args[2], ("name", format!("made/../made in {dir}")));
    assert_eq!(seen[1].fd.as_ref().unwrap().2, format!("{dir}/made"));
    assert_eq!(seen[2].args[3], ("flags", (2 + 4 + 32 + 16384).to_string()), "the kernel made the file");
    assert_eq!(seen[2].args[4], ("mode", 0o600.to_string()));
    assert_eq!(seen[2].fd.as_ref().unwrap().2, format!("{dir}/absent"));
}

#[test]
fn failed_open_keeps_what_was_asked() {
    let Some(mut kernel) = kernel("failed_open_keeps_what_was_asked") else { return };
    let seen = observe(&mut kernel, || {
        // SAFETY: valid C strings.
        unsafe {
            libc::syscall(libc::SYS_open, c"/nonexistent/file".as_ptr(), libc::O_RDONLY);
            libc::syscall(libc::SYS_creat, c"/nonexistent/new".as_ptr(), 0o640);
        };
    });
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!(
        seen[0].args,
        args([
            ("fd", "-2"),
            ("name", "/nonexistent/file"),
            ("flags", "1"),
            ("mode", "0"),
            ("dev", "0"),
            ("ino", "0")
        ])
    );
    assert_eq!(seen[0].fd, Some((-1, '-', String::new())));
    assert_eq!(
        seen[1].args,
        args([
            ("fd", "-2"),
            ("name", "/nonexistent/new"),
            ("mode", "416"),
            ("dev", "0"),
            ("ino", "0"),
            ("creat_flags", "0")
        ])
    );
}

#[test]
fn openat2_reads_its_struct() {
    let Some(mut kernel) = kernel("openat2_reads_its_struct") else { return };
    let how = [u64::from(libc::O_RDONLY as u32), 0, 4 /* RESOLVE_NO_MAGICLINKS */];
    let seen = observe(&mut kernel, || {
        // SAFETY: a valid C string and `struct open_how`.
        unsafe {
            libc::syscall(libc::SYS_openat2, libc::AT_FDCWD, c"/etc/passwd".as_ptr(), how.as_ptr(), 24)
        };
    });
    let (dev, ino) = identity("/etc/passwd");
    assert_eq!(seen.len(), 1, "{seen:?}");
    let fd = seen[0].args[0].1.clone();
    assert_eq!(
        seen[0].args,
        args([
            ("fd", &fd),
            ("dirfd", "-100"),
            ("name", "/etc/passwd"),
            ("flags", "1"),
            ("mode", "0"),
            ("resolve", "4"),
            ("dev", &dev),
            ("ino", &ino),
        ])
    );
}

#[test]
fn connect_takes_the_addresses_from_the_socket() {
    let Some(mut kernel) = kernel("connect_takes_the_addresses_from_the_socket") else { return };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (_dir, dir) = scratch("connect");
    let path = format!("{dir}/socket");
    let _unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let mut v4 = vec![2, 0];
    v4.extend(port.to_be_bytes());
    v4.extend([127, 0, 0, 1]);
    v4.extend([0; 8]);
    let mut un = vec![1, 0];
    un.extend(path.as_bytes());
    un.push(0);
    let connect = |family: i32, address: &[u8]| {
        // SAFETY: plain socket calls on a valid buffer.
        unsafe {
            let fd = libc::socket(family, libc::SOCK_STREAM, 0);
            libc::syscall(libc::SYS_connect, fd, address.as_ptr(), address.len());
        }
    };
    let seen = observe(&mut kernel, || {
        connect(libc::AF_INET, &v4);
        connect(libc::AF_UNIX, &un);
    });
    assert_eq!(seen.len(), 2, "{seen:?}");
    let (fd4, fdu) = (seen[0].args[2].1.clone(), seen[1].args[2].1.clone());
    assert_eq!(
        seen[0].args,
        args([
            ("res", "0"),
            ("tuple", &format!("4 [127, 0, 0, 1]:{port} true ")),
            ("fd", &fd4),
            ("addr", &format!("{v4:?}")),
        ])
    );
    assert_eq!(
        seen[1].args,
        args([
            ("res", "0"),
            ("tuple", &format!("u [0, 0, 0, 0]:0 true {path}")),
            ("fd", &fdu),
            ("addr", &format!("{un:?}")),
        ])
    );
}

#[test]
fn connect_over_ipv6_has_both_ends() {
    let Some(mut kernel) = kernel("connect_over_ipv6_has_both_ends") else { return };
    let Ok(listener) = std::net::TcpListener::bind("[::1]:0") else {
        println!("skipped: connect_over_ipv6_has_both_ends: no IPv6 loopback");
        return;
    };
    let port = listener.local_addr().unwrap().port();
    let mut v6 = vec![10, 0];
    v6.extend(port.to_be_bytes());
    v6.extend([0; 4]);
    v6.extend(std::net::Ipv6Addr::LOCALHOST.octets());
    v6.extend([0; 4]);
    let seen = observe(&mut kernel, || {
        // SAFETY: plain socket calls on a valid buffer.
        unsafe {
            let fd = libc::socket(libc::AF_INET6, libc::SOCK_STREAM, 0);
            libc::syscall(libc::SYS_connect, fd, v6.as_ptr(), v6.len());
        }
    });
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].args[1], ("tuple", format!("6 [0, 0, 0, 0]:{port} true ")));
}

#[test]
fn dup_family_describes_the_new_descriptor() {
    let Some(mut kernel) = kernel("dup_family_describes_the_new_descriptor") else { return };
    let file = fs::File::open("/etc/passwd").unwrap();
    let old = file.as_raw_fd();
    let seen = observe(&mut kernel, || {
        // SAFETY: plain descriptor calls.
        unsafe {
            libc::syscall(libc::SYS_dup2, old, 200);
            libc::syscall(libc::SYS_dup3, old, 201, libc::O_CLOEXEC);
            libc::syscall(libc::SYS_dup, -1);
        }
    });
    assert_eq!(seen.len(), 3, "{seen:?}");
    let old = old.to_string();
    assert_eq!(seen[0].args, args([("res", "200"), ("oldfd", &old), ("newfd", "200")]));
    assert_eq!(seen[0].fd, Some((200, 'f', "/etc/passwd".to_owned())));
    assert_eq!(seen[1].args, args([("res", "201"), ("oldfd", &old), ("newfd", "201"), ("flags", "4096")]));
    assert_eq!(seen[2].args, args([("res", "-9"), ("oldfd", "-1")]));
    assert_eq!(seen[2].fd, Some((-1, '-', String::new())));
}

#[test]
fn unlink_and_rename_carry_both_paths() {
    let Some(mut kernel) = kernel("unlink_and_rename_carry_both_paths") else { return };
    let (_dir, dir) = scratch("names");
    fs::write(format!("{dir}/a"), "x").unwrap();
    let (a, b, d) = (c(&format!("{dir}/a")), c(&format!("{dir}/b")), c(&dir));
    let seen = observe(&mut kernel, || {
        // SAFETY: valid C strings.
        unsafe {
            libc::syscall(libc::SYS_rename, a.as_ptr(), b.as_ptr());
            libc::syscall(libc::SYS_chdir, d.as_ptr());
            libc::syscall(libc::SYS_renameat2, libc::AT_FDCWD, c"b".as_ptr(), -100, c"c".as_ptr(), 1);
            libc::syscall(libc::SYS_renameat, -100, c"none".as_ptr(), -100, c"c".as_ptr());
            libc::syscall(libc::SYS_unlink, c"c".as_ptr());
            libc::syscall(libc::SYS_unlinkat, libc::AT_FDCWD, d.as_ptr(), libc::AT_REMOVEDIR);
        }
    });
    assert_eq!(
        seen.iter().map(|s| s.event).collect::<Vec<_>>(),
        ["rename", "renameat2", "renameat", "unlink", "unlinkat"]
    );
    let inside = |name: &str| format!("{name} in {dir}");
    assert_eq!(
        seen[0].args,
        args([("res", "0"), ("oldpath", a.to_str().unwrap()), ("newpath", b.to_str().unwrap())])
    );
    assert_eq!(
        seen[1].args,
        args([
            ("res", "0"),
            ("olddirfd", "-100"),
            ("oldpath", &inside("b")),
            ("newdirfd", "-100"),
            ("newpath", &inside("c")),
            ("flags", "1"),
        ])
    );
    assert_eq!(seen[2].args[0], ("res", "-2".to_owned()));
    assert_eq!(seen[3].args, args([("res", "0"), ("path", &inside("c"))]));
    assert_eq!(seen[4].args, args([("res", "0"), ("dirfd", "-100"), ("name", &dir), ("flags", "512")]));
}

#[test]
fn setuid_and_ptrace_carry_arguments_and_result() {
    let Some(mut kernel) = kernel("setuid_and_ptrace_carry_arguments_and_result") else { return };
    let seen = observe(&mut kernel, || {
        // SAFETY: plain syscalls; the child changes only itself.
        unsafe {
            libc::syscall(libc::SYS_ptrace, libc::PTRACE_ATTACH, i64::from(i32::MAX), 0x10, 0x20);
            libc::syscall(libc::SYS_setuid, 65534);
            libc::syscall(libc::SYS_setuid, 0);
        }
    });
    let by_event = |name: &str| seen.iter().filter(|s| s.event == name).cloned().collect::<Vec<_>>();
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert_eq!(
        by_event("ptrace")[0].args,
        args([
            ("res", "-3"),
            ("addr", "16"),
            ("data", "32"),
            ("request", "11"),
            ("pid", &i32::MAX.to_string())
        ])
    );
    let setuid = by_event("setuid");
    assert_eq!(setuid[0].args, args([("res", "0"), ("uid", "65534")]));
    assert_eq!(setuid[1].args, args([("res", "-1"), ("uid", "0")]));
}

/// Reads a C string, so that its page is present.
fn fault_in(text: *const libc::c_char) -> usize {
    // SAFETY: callers pass valid C strings.
    unsafe { libc::strlen(std::hint::black_box(text)) }
}

#[test]
fn exec_carries_the_new_image_and_a_failed_one_its_attempt() {
    let Some(mut kernel) = kernel("exec_carries_the_new_image_and_a_failed_one_its_attempt") else { return };
    let (_dir, dir) = scratch("exec");
    let exe = format!("{dir}/image");
    fs::copy("/bin/sh", &exe).unwrap();
    let exe_c = c(&exe);
    let argv = [c"argv zero".as_ptr(), c"-c".as_ptr(), c"exit 7".as_ptr(), std::ptr::null()];
    let envp = [c"A=1".as_ptr(), c"B=two words".as_ptr(), std::ptr::null()];
    let seen = observe(&mut kernel, || {
        // The kernel does not touch the arguments of an exec that fails early, and a probe cannot fault them in.
        std::hint::black_box(argv[..3].iter().map(|p| fault_in(*p)).sum::<usize>());
        // SAFETY: valid C strings and NULL-terminated arrays.
        unsafe {
            libc::syscall(libc::SYS_execve, c"/nonexistent/image".as_ptr(), argv.as_ptr(), envp.as_ptr());
            libc::syscall(
                libc::SYS_execveat,
                -100,
                c"/nonexistent".as_ptr(),
                argv.as_ptr(),
                envp.as_ptr(),
                0x100,
            );
            libc::syscall(libc::SYS_execve, exe_c.as_ptr(), argv.as_ptr(), envp.as_ptr());
        }
    });
    let own: Vec<&Seen> = seen.iter().filter(|s| s.event.starts_with("exec")).collect();
    assert_eq!(own.iter().map(|s| s.event).collect::<Vec<_>>(), ["execve", "execveat", "exec"], "{seen:?}");
    let failed: BTreeMap<_, _> = own[0].args.iter().cloned().collect();
    assert_eq!((failed["res"].as_str(), failed["filename"].as_str()), ("-2", "/nonexistent/image"));
    assert_eq!((failed["exe"].as_str(), failed["args"].as_str()), ("argv zero", "-c\0exit 7\0"));
    let made: BTreeMap<_, _> = own[2].args.iter().cloned().collect();
    let (_, ino) = identity(&exe);
    // SAFETY: no preconditions.
    let (uid, sid) = unsafe { (libc::geteuid(), libc::getpgrp()) };
    for (name, value) in [
        ("res", "0".to_owned()),
        ("exe", "argv zero".to_owned()),
        ("args", "-c\0exit 7\0".to_owned()),
        ("env", "A=1\0B=two words\0".to_owned()),
        ("comm", "image".to_owned()),
        ("trusted_exepath", exe.clone()),
        ("exe_ino", ino),
        ("uid", uid.to_string()),
        ("pgid", sid.to_string()),
        ("ptid", std::process::id().to_string()),
        ("cwd", std::env::current_dir().unwrap().canonicalize().unwrap().to_str().unwrap().to_owned()),
    ] {
        assert_eq!(made[name], value, "{name}");
    }
    assert_eq!(made["tid"], made["pid"]);
    assert_eq!(made["filename"], exe);
}

#[test]
fn orphans_go_to_the_nearest_subreaper() {
    let Some(mut kernel) = kernel("orphans_go_to_the_nearest_subreaper") else { return };
    let subreaper = |on: libc::c_ulong| {
        // SAFETY: changes a flag of this process.
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, on, 0, 0, 0) }, 0);
    };
    subreaper(1);
    let life = observe_life(&mut kernel, || ());
    subreaper(0);
    let exit = life.last().unwrap();
    let me = std::process::id().to_string();
    assert!(exit.args.contains(&("reaper_tid", me)), "{exit:?}");
}

/// The one open of `end` in a directory of [`deep::dig`], from below `top`.
fn open_deep(kernel: &mut Kernel, top: &str, name: &str, depth: usize) -> Seen {
    let dir = deep::dig(top, name, depth);
    let seen = observe(kernel, || {
        // SAFETY: a valid C string; the child changes only its own working directory.
        unsafe {
            libc::fchdir(dir.as_raw_fd());
            libc::syscall(libc::SYS_openat, libc::AT_FDCWD, c"end".as_ptr(), libc::O_RDONLY);
        }
    });
    deep::fill_in(dir, name, depth);
    assert_eq!(seen.len(), 1, "{seen:?}");
    seen.into_iter().next().unwrap()
}

#[test]
fn a_path_of_the_longest_kind_is_whole() {
    let Some(mut kernel) = kernel("a_path_of_the_longest_kind_is_whole") else { return };
    let (_dir, top) = deep::shared_memory();
    // Names of one byte, as many as a path that a call takes can have; and a few long ones.
    for (name, depth) in [("d", 200), ("d", 2000), (&"n".repeat(255) as &str, 15)] {
        let seen = open_deep(&mut kernel, &top, name, depth);
        let whole = format!("{top}{}/end", format!("/{name}").repeat(depth));
        assert_eq!(seen.fd.unwrap().2, whole, "{depth} deep");
        assert_eq!(seen.cut, 0, "{depth} deep");
        assert_eq!(seen.args[2].1, format!("end in {}", whole.strip_suffix("/end").unwrap()));
    }
}

#[test]
fn a_path_that_is_too_long_keeps_both_ends() {
    let Some(mut kernel) = kernel("a_path_that_is_too_long_keeps_both_ends") else { return };
    let (_dir, top) = deep::shared_memory();
    // The ring's seam falls elsewhere each time.
    for (name, depth) in [("d", 3000), ("name", 7000), (&"n".repeat(254) as &str, 40), (&"n".repeat(255), 77)]
    {
        let seen = open_deep(&mut kernel, &top, name, depth);
        let whole = format!("{top}{}/end", format!("/{name}").repeat(depth));
        let path = seen.fd.unwrap().2;
        let (head, tail) = path.split_once("...").expect("the mark of a gap");
        assert_eq!(head, &whole[..2048], "{name} {depth}");
        assert!(tail.len() > 1700 && whole.ends_with(tail), "{name} {depth}: {tail}");
        assert_eq!(seen.cut, CUT_MIDDLE, "{depth} deep");
    }
}

#[test]
fn a_path_that_is_too_deep_has_an_end_and_says_so() {
    let Some(mut kernel) = kernel("a_path_that_is_too_deep_has_an_end_and_says_so") else { return };
    let (_dir, top) = deep::shared_memory();
    let seen = open_deep(&mut kernel, &top, "d", 9000);
    let path = seen.fd.unwrap().2;
    assert!(path.starts_with("...") && path.ends_with("/d/d/end"), "{path}");
    assert_eq!(seen.cut, CUT_HEAD);
}

#[test]
fn arguments_that_are_not_all_there_are_marked() {
    let Some(mut kernel) = kernel("arguments_that_are_not_all_there_are_marked") else { return };
    let long = c(&"x".repeat(5000));
    let argv = [c"true".as_ptr(), long.as_ptr(), std::ptr::null()];
    let few = [c"true".as_ptr(), std::ptr::null()];
    let cut = |kernel: &mut Kernel, argv: &[*const libc::c_char], envp: &[*const libc::c_char]| {
        let seen = observe(kernel, || {
            // SAFETY: valid C strings and NULL-terminated arrays.
            unsafe {
                libc::syscall(libc::SYS_execve, c"/bin/sh".as_ptr(), argv.as_ptr(), envp.as_ptr());
            }
        });
        seen.iter().find(|s| s.event == "exec").expect("an exec").cut
    };
    let script = [c"sh".as_ptr(), c"-c".as_ptr(), c"exit 7".as_ptr(), std::ptr::null()];
    let padded = [c"sh".as_ptr(), c"-c".as_ptr(), c"exit 7".as_ptr(), long.as_ptr(), std::ptr::null()];
    assert_eq!(cut(&mut kernel, &script, &few[1..]), 0);
    assert_eq!(cut(&mut kernel, &padded, &few[1..]), CUT_ARGS);
    assert_eq!(cut(&mut kernel, &script, &argv), CUT_ENV);
}

/// `getpid` the 32-bit way.
fn getpid_by_interrupt() -> i64 {
    let result: i64;
    // SAFETY: a call without arguments and effects; the entry code may clear the registers that are named.
    unsafe {
        std::arch::asm!(
            "int 0x80", inlateout("rax") 20_i64 => result,
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
        );
    }
    result
}

/// True when a child that does it ends by itself.
fn survives(work: impl FnOnce()) -> bool {
    // SAFETY: the child calls only `work` and `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        work();
        // SAFETY: ends the child without running the parent's destructors.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    libc::WIFEXITED(status)
}

#[test]
fn calls_that_no_handler_understands_are_counted() {
    const TEST: &str = "calls_that_no_handler_understands_are_counted";
    let Some(mut kernel) = kernel(TEST) else { return };
    let made = |kernel: &Kernel, of: fn(&ForeignCalls) -> (u64, u32)| {
        let by_cpu = kernel.probe.counters().foreign().unwrap();
        (by_cpu.iter().map(|c| of(c).0).sum::<u64>(), by_cpu.iter().map(|c| of(c).1).collect::<Vec<_>>())
    };
    let x32 = |c: &ForeignCalls| (c.x32, c.x32_tgid);
    let before = made(&kernel, x32).0;
    observe(&mut kernel, || {
        // SAFETY: a call without arguments and effects, known to the kernel or not; one more that is no call at all.
        unsafe {
            libc::syscall(0x4000_0000 + libc::SYS_getpid);
            libc::syscall(-1);
        }
    });
    let (after, tgids) = made(&kernel, x32);
    assert_eq!(after - before, 1);
    assert!(tgids.iter().any(|tgid| *tgid != 0), "{tgids:?}");

    if !survives(|| assert!(getpid_by_interrupt() > 0)) {
        println!("skipped: {TEST}: this kernel takes no 32-bit calls");
        return;
    }
    let compat = |c: &ForeignCalls| (c.compat, c.compat_tgid);
    let before = made(&kernel, compat).0;
    let seen = observe(&mut kernel, || {
        // 20 is writev to a handler that does not look: it must not be taken for one.
        assert!((0..5).all(|_| getpid_by_interrupt() > 0));
    });
    assert_eq!(seen, []);
    assert_eq!(made(&kernel, compat).0 - before, 5);
}

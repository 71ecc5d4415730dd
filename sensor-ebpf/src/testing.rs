//! What the scenarios of events are made of: one raw system call in, every field out, nothing else.
//!
//! A family's file has the scenarios of its events; `tests/syscalls.rs` plays those of every event of the registry against the
//! running kernel, so that an event without one does not compile there.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::format;
use std::string::{String, ToString as _};
use std::sync::atomic::AtomicU32;
use std::vec::Vec;

use zerocopy::IntoBytes as _;

use crate::events::{self, Arg, Change, Event};
use crate::record::{FD_CONNECTED, Fd, Record};

/// Something to try, and what it shows.
pub struct Scenario {
    pub shows: &'static str,
    pub play: fn(&mut dyn Stage),
}

/// The running kernel with a probe in it.
pub trait Stage {
    /// Runs `work` in a child process and returns what the probe saw of the child, its start and its end included. The child
    /// must make system calls alone, with memory that was prepared before.
    fn life(&mut self, work: &dyn Fn()) -> Vec<Seen>;

    /// Says that this machine cannot play the scenario.
    fn skip(&mut self, reason: &str);

    /// As [`Stage::life`], without start and end: the child's return from the call that made it is part of its start. And without
    /// what leads the work to where it is done (chdir, fchdir).
    fn observe(&mut self, work: &dyn Fn()) -> Vec<Seen> {
        let mut seen = self.life(work);
        seen.pop();
        seen.remove(0);
        seen.retain(|seen| !matches!(seen.event, "chdir" | "fchdir") && !seen.is_birth());
        seen
    }

    /// As [`Stage::observe`], for work that makes one record.
    fn one(&mut self, work: &dyn Fn()) -> Seen {
        let mut seen = self.observe(work);
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }
}

/// The exit code of a child whose work is done.
pub const DONE: i32 = 7;

/// A system call by its number, with what each register holds: `syscall!(SYS_dup2, 3, 200)`.
#[macro_export]
macro_rules! syscall {
    ($name:ident $(, $argument:expr)* $(,)?) => {
        $crate::testing::call(libc::$name, &[$($crate::testing::Word::word($argument)),*])
    };
}

/// What a register can hold.
pub trait Word {
    fn word(self) -> i64;
}

macro_rules! words {
    ($($number:ty),*) => {
        $(impl Word for $number {
            #[allow(
                clippy::cast_lossless,
                clippy::cast_possible_wrap,
                reason = "a register takes all of them, extended as their type says"
            )]
            fn word(self) -> i64 {
                self as i64
            }
        })*
    };
}
words!(i32, i64, u32, u64, usize);

impl<T> Word for *const T {
    fn word(self) -> i64 {
        self.addr().word()
    }
}

/// Makes the call and returns what the kernel did, or -1.
pub fn call(number: libc::c_long, arguments: &[i64]) -> i64 {
    let word = |at: usize| arguments.get(at).copied().unwrap_or(0);
    #[expect(unsafe_code, reason = "there is no other way to make a system call by its number")]
    // SAFETY: scenarios pass numbers, and pointers to memory that they own and that ends as the kernel expects it; what a call
    // does to its process ends with the child.
    unsafe {
        libc::syscall(number, word(0), word(1), word(2), word(3), word(4), word(5))
    }
}

/// Makes a child that ends at once, by vfork(2): it runs on the caller's stack, so that it may do nothing else.
pub fn vfork() {
    #[expect(unsafe_code, reason = "the C library's is the only one that keeps the way back")]
    #[expect(deprecated, reason = "it is to be seen")]
    // SAFETY: the child calls `_exit` and touches nothing.
    unsafe {
        if libc::vfork() == 0 {
            libc::_exit(0);
        }
    }
}

/// Pointers to C strings, with the null that ends them: `argv`.
pub fn pointers(texts: &[&CStr]) -> Vec<*const libc::c_char> {
    texts.iter().map(|text| text.as_ptr()).chain([core::ptr::null()]).collect()
}

/// Reads C strings, so that their pages are present: the kernel does not touch the arguments of an exec that fails early, and a
/// probe cannot fault them in.
pub fn touch(texts: &[&CStr]) {
    for byte in texts.iter().flat_map(|text| text.to_bytes()) {
        core::hint::black_box(*byte);
    }
}

/// What one record said.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Name of the program that made it.
    pub event: &'static str,
    /// Arguments that the record carries, bare: a relative path with the directory that it starts from.
    pub args: Vec<(&'static str, String)>,
    /// Number, type character and path of the descriptor.
    pub fd: Option<(i64, char, String)>,
    /// Fields of the rule language that have a value.
    pub fields: BTreeMap<String, String>,
    /// The record, aligned as records are.
    words: Vec<u64>,
}

impl Seen {
    /// A record, and what rules see of it.
    pub fn new(record: &Record<'_>, fields: BTreeMap<String, String>) -> Self {
        let event = Event::of_kind(record.header().kind).expect("a kind of the registry");
        let params = event.info.rules.map_or(&[][..], |view| view.params);
        let args = params.iter().filter_map(|p| Some((p.name, text((p.get)(record)?)))).collect();
        let fd = event.info.rules.and_then(|view| view.descriptor(record)).map(|view| {
            let kind = view.fd.map_or('-', |f| char::from(f.kind));
            (view.num, kind, String::from_utf8_lossy(view.path).into_owned())
        });
        let words = record.bytes().chunks(8).map(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_ne_bytes(word)
        });
        Self { event: event.program, args, fd, fields, words: words.collect() }
    }

    /// Name and file of the two ends of a unix socket, its own and its peer's.
    pub fn unix(&self) -> [(String, String); 2] {
        let utf8 = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        self.with(|record| {
            let view = Event::of_kind(record.header().kind).and_then(|event| event.info.rules);
            let fd = view.and_then(|view| view.descriptor(record)).expect("a descriptor");
            [fd.own, fd.peer].map(|end| (utf8(end.name), utf8(end.file)))
        })
    }

    /// What of it is not all there, `CUT_*`.
    pub fn cut(&self) -> u16 {
        self.with(|record| record.header().flags)
    }

    /// Looks at what it changes in the state.
    pub fn changes<T>(&self, look: impl FnOnce(Change<'_>, &Record<'_>) -> T) -> T {
        self.with(|record| look(events::change(record).expect("a change of the state"), record))
    }

    /// It leaves the state as it is.
    pub fn changes_nothing(&self) -> bool {
        self.with(|record| events::change(record).is_none())
    }

    /// It is the child's return from a clone.
    pub fn is_birth(&self) -> bool {
        matches!(self.event, "clone" | "clone3") && self.arg("res") == "0"
    }

    /// It is an openat of that file.
    pub fn opens(&self, path: &str) -> bool {
        self.event == "openat" && self.fields.get("fd.name").is_some_and(|name| name == path)
    }

    /// Looks at the record.
    pub fn with<T>(&self, look: impl FnOnce(&Record<'_>) -> T) -> T {
        look(&Record::parse(self.words.as_bytes()).expect("a record"))
    }

    /// It is an event of that program, with these arguments and no others.
    pub fn is(&self, event: &str, args: &[(&str, &str)]) -> &Self {
        let own: Vec<(&str, &str)> = self.args.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!((self.event, own.as_slice()), (event, args));
        self
    }

    /// Rules see these fields so.
    pub fn has(&self, fields: &[(&str, &str)]) -> &Self {
        for (name, value) in fields {
            let seen = self.fields.get(*name).map(String::as_str);
            assert_eq!(seen, Some(*value), "{name} of {}", self.event);
        }
        self
    }

    /// Rules see no value in these fields.
    pub fn lacks(&self, fields: &[&str]) -> &Self {
        for name in fields {
            assert_eq!(self.fields.get(*name), None, "{name} of {}", self.event);
        }
        self
    }

    /// An argument that cannot be known before.
    pub fn arg(&self, name: &str) -> &str {
        let found = self.args.iter().find(|(known, _)| *known == name);
        &found.unwrap_or_else(|| panic!("no {name} in {self:?}")).1
    }
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
        Arg::SockTuple { fd: Fd { kind: 0, .. }, .. } => String::new(),
        Arg::SockTuple { fd: Fd { kind: b'u', flags, .. }, path, .. } => {
            format!("u {} {}", flags & FD_CONNECTED != 0, utf8(path))
        }
        Arg::SockTuple { fd: Fd { kind, remote, remote_port, flags, .. }, .. } => {
            let (kind, connected) = (char::from(*kind), flags & FD_CONNECTED != 0);
            let remote = if kind == '4' { &remote[..4] } else { &remote[..] };
            format!("{kind} {remote:?}:{remote_port} {connected}")
        }
    }
}

/// A `struct sockaddr` of that family.
pub fn sockaddr(family: i32, rest: &[u8]) -> Vec<u8> {
    [&u16::try_from(family).unwrap().to_ne_bytes(), rest].concat()
}

/// A `struct sockaddr_in`.
pub fn ipv4(ip: [u8; 4], port: u16) -> Vec<u8> {
    sockaddr(libc::AF_INET, &[&port.to_be_bytes()[..], &ip, &[0; 8]].concat())
}

/// A `struct sockaddr_in6`.
pub fn ipv6(ip: [u8; 16], port: u16) -> Vec<u8> {
    sockaddr(libc::AF_INET6, &[&port.to_be_bytes()[..], &[0; 4], &ip, &[0; 4]].concat())
}

/// A `struct iovec` for each; the kernel writes into what it is told to receive.
pub fn buffers(parts: &[&[u8]]) -> Vec<[u64; 2]> {
    parts.iter().map(|part| [part.as_ptr().addr() as u64, part.len() as u64]).collect()
}

/// A `struct msghdr` with an address, buffers and control messages.
pub fn message(address: &[u8], parts: &[[u64; 2]], control: &[u8]) -> [u64; 7] {
    let at = |bytes: &[u8]| if bytes.is_empty() { 0 } else { bytes.as_ptr().addr() as u64 };
    let len = |bytes: &[u8]| bytes.len() as u64;
    [
        at(address),
        len(address),
        parts.as_ptr().addr() as u64,
        parts.len() as u64,
        at(control),
        len(control),
        0,
    ]
}

/// A `struct mmsghdr` for each.
pub fn messages(messages: &[[u64; 7]]) -> Vec<[u64; 8]> {
    let more = |[a, b, c, d, e, f, g]: &[u64; 7]| [*a, *b, *c, *d, *e, *f, *g, 0];
    messages.iter().map(more).collect()
}

/// A page that a child and those that watch it share.
pub struct Shared(*mut u8);

// SAFETY: the page is there as long as this is; it is written by raw copies and through atomics.
#[expect(unsafe_code, reason = "memory that two processes see")]
unsafe impl Sync for Shared {}

impl Shared {
    const LEN: usize = 4096;

    #[expect(clippy::new_without_default, reason = "a mapping is no default")]
    pub fn new() -> Self {
        let (rights, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        #[expect(unsafe_code, reason = "memory that two processes see")]
        // SAFETY: a new mapping, at no address that is in use.
        let page = unsafe { libc::mmap(core::ptr::null_mut(), Self::LEN, rights, flags, -1, 0) };
        assert_ne!(page, libc::MAP_FAILED);
        Self(page.cast())
    }

    /// Puts bytes at `offset`; their address.
    pub fn put(&self, offset: usize, bytes: &[u8]) -> *const u8 {
        assert!(offset + bytes.len() <= Self::LEN);
        #[expect(unsafe_code, reason = "memory that two processes see")]
        // SAFETY: inside the page.
        unsafe {
            let at = self.0.add(offset);
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), at, bytes.len());
            at
        }
    }

    /// The number at `offset`.
    pub fn number(&self, offset: usize) -> &AtomicU32 {
        assert!(offset + 4 <= Self::LEN && offset.is_multiple_of(4));
        #[expect(unsafe_code, reason = "memory that two processes see")]
        // SAFETY: inside the page, aligned, and nothing else is put there.
        unsafe {
            AtomicU32::from_ptr(self.0.add(offset).cast())
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "memory that two processes see")]
        // SAFETY: the mapping that `new` made.
        let _ = unsafe { libc::munmap(self.0.cast(), Self::LEN) };
    }
}

/// A C string.
pub fn c(text: &str) -> CString {
    CString::new(text).unwrap()
}

/// A directory of a scenario's own, gone with it.
pub struct Dir {
    _dir: tempfile::TempDir,
    path: String,
}

impl Dir {
    #[expect(clippy::new_without_default, reason = "a folder on the disk is no default")]
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("falconet-").tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().to_str().unwrap().into();
        Self { _dir: dir, path }
    }

    /// Its path, as the kernel resolves it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path of `name` in it.
    pub fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    /// Makes a file in it; its path.
    pub fn file(&self, name: &str) -> String {
        let path = self.at(name);
        std::fs::write(&path, "x").unwrap();
        path
    }
}

/// Device of a file in the kernel's `new_encode_dev` form, and its inode.
pub fn identity(path: &str) -> (String, String) {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata(path).unwrap();
    let (major, minor) = (libc::major(meta.dev()), libc::minor(meta.dev()));
    let dev = (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12);
    (dev.to_string(), meta.ino().to_string())
}

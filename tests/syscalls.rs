//! One syscall in, every field out, nothing else: each event of the registry against the running kernel, by the scenarios in its
//! family's file; and the readers that all handlers share.
//!
//! Needs root, BTF and the BPF object.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "syscalls/requests.rs"]
mod requests;
mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use falconet::capture::Player;
use falconet::capture::format::{self, Frame, Header};
use falconet::capture::player::Only;
use falconet::engine::raise::TextOptions;
use falconet::probe::trial::Trial;
use falconet::probe::{Lanes, Options, Probe, Wanted};
use falconet::rules::registry::fields::{Class, FIELDS, Flags};
use falconet::rules::{self, Source};
use falconet::state::Layout;
use requests::{
    a_polling_thread_works_for_its_process, names_are_changed, names_are_made, no_request_hides,
    paths_are_told_as_asked_and_as_resolved, sockets_are_made_and_connected,
};
use sensor_ebpf::events::{EVENTS, Event, Hook, Volume};
use sensor_ebpf::for_each_event;
use sensor_ebpf::record::{CUT_HEAD, CUT_MIDDLE, Record};
use sensor_ebpf::testing::{DONE, Scenario, Seen, Stage, touch};
use support::need::Need;
use support::{deep, harness};
use zerocopy::IntoBytes as _;

/// The probe, and an engine that shows every field of what it sees.
struct Kernel {
    probe: Probe,
    lanes: Lanes,
    player: Player,
    volume: Volume,
}

impl Kernel {
    /// Takes the records of one process out of the lanes, aligned as records are.
    fn records_of(&mut self, tgid: u32) -> Vec<Vec<u64>> {
        let mut records = Vec::new();
        self.lanes.drain(usize::MAX, |record| {
            if record.header().tgid == tgid {
                let mut words = vec![0u64; record.bytes().len().div_ceil(8)];
                for (word, chunk) in words.iter_mut().zip(record.bytes().chunks(8)) {
                    let mut bytes = [0; 8];
                    bytes[..chunk.len()].copy_from_slice(chunk);
                    *word = u64::from_ne_bytes(bytes);
                }
                records.push(words);
            }
        });
        records
    }

    /// What the record says, and what rules see of it.
    fn read(&mut self, words: &[u64]) -> Seen {
        let record = Record::parse(words.as_bytes()).expect("a record");
        self.player.frame(&Frame::Record(record));
        let mut fields = BTreeMap::new();
        for (name, value) in self.player.take().into_iter().flat_map(|alert| alert.output_fields) {
            match value {
                serde_json::Value::Null => {}
                serde_json::Value::String(text) => _ = fields.insert(name, text),
                other => _ = fields.insert(name, other.to_string()),
            }
        }
        Seen::new(&record, fields)
    }
}

/// The probe, loaded once for all tests of this file. Events of high volume, of which a busy machine has more than the lanes take
/// while a test prepares, are there only for who asks for them.
fn kernel(volume: Volume) -> MutexGuard<'static, Kernel> {
    fn wanted(volume: Volume) -> Wanted {
        let views = EVENTS.iter().filter_map(|event| event.info.rules);
        let asked = views.filter(|view| volume == Volume::High || view.volume == Volume::Normal);
        Wanted { event_types: asked.map(|view| view.name.to_owned()).collect(), ..Wanted::default() }
    }
    static KERNEL: LazyLock<Mutex<Kernel>> = LazyLock::new(|| {
        let options = Options { wanted: wanted(Volume::Normal), ..Options::default() };
        let (probe, lanes) = Probe::load(&options).expect("the probe loads");
        Mutex::new(Kernel { probe, lanes, player: player(), volume: Volume::Normal })
    });
    let mut kernel = KERNEL.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if kernel.volume != volume {
        kernel.probe.change(&wanted(volume)).expect("the probe changes");
        kernel.volume = volume;
    }
    kernel
}

/// An engine with one rule that every event matches, and that prints every field of an event.
fn player() -> Player {
    let mut output = String::new();
    let classes = [Class::Evt, Class::Fd, Class::FsPath, Class::Process, Class::User, Class::Group];
    for info in FIELDS.iter().filter(|info| classes.contains(&info.class)) {
        if !info.flags.has(Flags::FILTER) && !info.flags.has(Flags::REQUIRED) {
            write!(output, "%{} ", info.name).unwrap();
        }
    }
    output.push_str("%evt.abspath.src %evt.abspath.dst ");
    for at in 0..32 {
        write!(output, "%evt.arg[{at}] ").unwrap();
    }
    // Some events are captured only for rules that name them.
    let names: Vec<&str> = EVENTS.iter().filter_map(|event| event.info.name()).collect();
    let condition = format!("evt.type in ({})", names.join(", "));
    let rule =
        format!("- rule: all\n  desc: d\n  condition: {condition}\n  output: '{output}'\n  priority: INFO\n");
    let loaded = rules::load(&[Source::new("all", rule)], &rules::Options::default());
    let report: String = loaded.files.iter().map(ToString::to_string).collect();
    let header = Header {
        falconet: String::new(),
        hostname: "here".to_owned(),
        kernel: String::new(),
        machine: String::new(),
        started: 1_700_000_000_000_000_000,
        boot: 1,
        host_mntns: 1,
        filtered: false,
        environment: true,
        containers: Vec::new(),
        header_layout: format::HEADER_LAYOUT,
        process_layout: format::PROCESS_LAYOUT,
        events: Vec::new(),
    };
    Player::new(&header, Arc::new(loaded.rules.expect(&report)), TextOptions::default(), Only::default())
}

/// The kernel, for one test.
struct Play {
    kernel: MutexGuard<'static, Kernel>,
    /// Programs whose records were seen.
    met: Vec<&'static str>,
    /// Why this machine cannot play a scenario.
    skipped: Option<String>,
}

impl Play {
    fn new() -> Self {
        Self::with(Volume::Normal)
    }

    fn with(volume: Volume) -> Self {
        Self { kernel: kernel(volume), met: Vec::new(), skipped: None }
    }
}

impl Stage for Play {
    fn life(&mut self, work: &dyn Fn()) -> Vec<Seen> {
        // What others did since the last time takes the room that the child's records need.
        self.kernel.lanes.drain(usize::MAX, |_| ());
        // SAFETY: the child calls only `work` (raw syscalls on memory prepared before) and `_exit`.
        let child = unsafe { libc::fork() };
        assert!(child >= 0, "fork failed");
        if child == 0 {
            work();
            // SAFETY: ends the child without running the parent's destructors.
            unsafe { libc::_exit(DONE) };
        }
        let mut status = 0;
        // SAFETY: waits for the child made above.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(libc::WEXITSTATUS(status), DONE, "the child did its work");
        let mut seen: Vec<Seen> = Vec::new();
        let ended = |seen: &[Seen]| seen.last().is_some_and(|last| last.event == "exit");
        let deadline = Instant::now() + Duration::from_secs(5);
        while !ended(&seen) && Instant::now() < deadline {
            for record in self.kernel.records_of(child.cast_unsigned()) {
                seen.push(self.kernel.read(&record));
            }
            self.kernel.lanes.wait(Duration::from_millis(10), &[]).unwrap();
        }
        assert!(ended(&seen), "the child's end was not seen: {seen:?}");
        assert_eq!(seen.first().map(|seen| seen.event), Some("fork"), "{seen:?}");
        self.met.extend(seen.iter().map(|seen| seen.event));
        seen
    }

    fn skip(&mut self, reason: &str) {
        self.skipped = Some(reason.to_owned());
    }
}

/// Plays the scenarios of an event; each must meet it. An error says which could not be played.
fn play(program: &'static str, scenarios: &[Scenario]) -> Result<(), String> {
    assert!(!scenarios.is_empty(), "{program} has no scenario");
    let event = EVENTS.iter().find(|event| event.program == program).expect("an event");
    let mut stage = Play::with(event.info.rules.map_or(Volume::Normal, |view| view.volume));
    let mut skipped = Vec::new();
    for scenario in scenarios {
        println!("{program}: {}", scenario.shows);
        stage.met.clear();
        (scenario.play)(&mut stage);
        match stage.skipped.take() {
            Some(reason) => skipped.push(format!("{}: {reason}", scenario.shows)),
            None => assert!(stage.met.contains(&program), "{}: no {program}", scenario.shows),
        }
    }
    if skipped.is_empty() { Ok(()) } else { Err(skipped.join("; ")) }
}

/// A test for each event of the registry. An event without scenarios does not compile here.
macro_rules! of_events {
    ($($module:ident { $($kind:ident, $program:ident, $hook:ident $at:tt;)+ })+) => {
        vec![$($(harness::trial(
            concat!(stringify!($module), "::", stringify!($program)),
            &[Need::Sensor],
            || play(stringify!($program), sensor_ebpf::events::$module::$kind::SCENARIOS),
        ),)+)+]
    };
}

fn main() -> ExitCode {
    let mut tests = for_each_event!(of_events);
    tests.extend(harness::list! {
        a_path_of_the_longest_kind_is_whole needs Need::Sensor;
        a_path_that_is_too_long_keeps_both_ends needs Need::Sensor;
        a_path_that_is_too_deep_has_an_end_and_says_so needs Need::Sensor;
        calls_of_32_bits_are_seen_as_native_ones needs Need::Sensor;
        calls_of_x32_are_seen_or_counted needs Need::Sensor;
        no_program_costs_the_verifier_much needs Need::Sensor;
        a_hook_comes_back_or_is_found_dead needs Need::Sensor;
    });
    tests.extend(harness::list! {
        paths_are_told_as_asked_and_as_resolved needs Need::Sensor;
        names_are_changed needs Need::Sensor;
        names_are_made needs Need::Sensor;
        sockets_are_made_and_connected needs Need::Sensor;
        a_polling_thread_works_for_its_process needs Need::Sensor;
        no_request_hides needs Need::Sensor;
    });
    harness::run(tests)
}

/// The one open of `end` in a directory of [`deep::dig`], from below `top`.
fn open_deep(stage: &mut dyn Stage, top: &str, name: &str, depth: usize) -> Seen {
    let dir = deep::dig(top, name, depth);
    let at = dir.as_raw_fd();
    let seen = stage.one(&|| {
        // SAFETY: a valid C string; the child changes only its own working directory.
        unsafe {
            libc::fchdir(at);
            libc::syscall(libc::SYS_openat, libc::AT_FDCWD, c"end".as_ptr(), libc::O_RDONLY);
        }
    });
    deep::fill_in(dir, name, depth);
    seen
}

fn a_path_of_the_longest_kind_is_whole() {
    let mut stage = Play::new();
    let (_dir, top) = deep::shared_memory();
    // Names of one byte, as many as a path that a call takes can have; and a few long ones.
    for (name, depth) in [("d", 200), ("d", 2000), (&"n".repeat(255) as &str, 15)] {
        let seen = open_deep(&mut stage, &top, name, depth);
        let whole = format!("{top}{}/end", format!("/{name}").repeat(depth));
        assert_eq!(seen.fd.clone().unwrap().2, whole, "{depth} deep");
        assert_eq!(seen.cut(), 0, "{depth} deep");
        assert_eq!(seen.arg("name"), format!("end in {}", whole.strip_suffix("/end").unwrap()));
    }
}

fn a_path_that_is_too_long_keeps_both_ends() {
    let mut stage = Play::new();
    let (_dir, top) = deep::shared_memory();
    // The ring's seam falls elsewhere each time.
    for (name, depth) in [("d", 3000), ("name", 7000), (&"n".repeat(254) as &str, 40), (&"n".repeat(255), 77)]
    {
        let seen = open_deep(&mut stage, &top, name, depth);
        let whole = format!("{top}{}/end", format!("/{name}").repeat(depth));
        let path = seen.fd.clone().unwrap().2;
        let (head, tail) = path.split_once("...").expect("the mark of a gap");
        assert_eq!(head, &whole[..2048], "{name} {depth}");
        assert!(tail.len() > 1700 && whole.ends_with(tail), "{name} {depth}: {tail}");
        assert_eq!(seen.cut(), CUT_MIDDLE, "{depth} deep");
    }
}

fn a_path_that_is_too_deep_has_an_end_and_says_so() {
    let mut stage = Play::new();
    let (_dir, top) = deep::shared_memory();
    let seen = open_deep(&mut stage, &top, "d", 9000);
    let path = seen.fd.clone().unwrap().2;
    assert!(path.starts_with("...") && path.ends_with("/d/d/end"), "{path}");
    assert_eq!(seen.cut(), CUT_HEAD);
}

/// A system call the 32-bit way, by its number on i386: words and pointers are cut to 32 bits.
fn interrupt(number: i64, arguments: [usize; 5]) -> i64 {
    let result: i64;
    let [first, rest @ ..] = arguments;
    // SAFETY: the callers pass memory that is theirs, below 4 GiB; `rbx` is the compiler's and is put back; the entry code may
    // clear the registers that are named.
    unsafe {
        std::arch::asm!(
            "xchg {first}, rbx", "int 0x80", "xchg {first}, rbx",
            first = inout(reg) first => _, inlateout("rax") number => result,
            in("rcx") rest[0], in("rdx") rest[1], in("rsi") rest[2], in("rdi") rest[3],
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
        );
    }
    // The kernel answers in 32 bits.
    #[expect(clippy::cast_possible_truncation, reason = "that is how many bits there are")]
    i64::from(result as i32)
}

/// A page that 32 bits can name.
struct Low(*mut u8);

impl Low {
    fn new() -> Self {
        let (rights, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, at no address that is in use.
        let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, rights, flags | libc::MAP_32BIT, -1, 0) };
        assert_ne!(page, libc::MAP_FAILED);
        Self(page.cast())
    }

    /// Puts bytes at `offset` of the page; their address.
    fn put(&self, offset: usize, bytes: &[u8]) -> usize {
        assert!(offset + bytes.len() <= 4096);
        // SAFETY: inside the page, which nobody else writes.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.0.add(offset), bytes.len()) };
        self.0.addr() + offset
    }

    /// As [`Low::put`], for words of 32 bits.
    fn words(&self, offset: usize, words: &[usize]) -> usize {
        let bytes: Vec<u8> =
            words.iter().flat_map(|word| u32::try_from(*word).unwrap().to_ne_bytes()).collect();
        self.put(offset, &bytes)
    }
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

/// Numbers of i386.
mod i386 {
    pub const OPEN: i64 = 5;
    pub const EXECVE: i64 = 11;
    pub const GETPID: i64 = 20;
    pub const SETUID16: i64 = 23;
    pub const SOCKETCALL: i64 = 102;
    pub const CONNECT: i64 = 362;
    pub const WRITEV: i64 = 146;
    pub const PREAD64: i64 = 180;
    pub const SENDMMSG: i64 = 345;
    pub const SENDMSG: i64 = 370;
    pub const RECVMSG: i64 = 372;
}

fn calls_of_32_bits_are_seen_as_native_ones() -> Result<(), String> {
    if !survives(|| assert!(interrupt(i386::GETPID, [0; 5]) > 0)) {
        return Err("this kernel takes no 32-bit calls".into());
    }
    let mut stage = Play::with(Volume::High);
    let low = Low::new();
    // 20 is writev to a handler that takes it for a native number.
    assert!(stage.observe(&|| assert!(interrupt(i386::GETPID, [0; 5]) > 0)).is_empty());

    let path = low.put(0, b"/etc/../etc/hostname\0");
    let seen = stage.one(&|| assert!(interrupt(i386::OPEN, [path, 0, 0, 0, 0]) > 0));
    seen.has(&[
        ("evt.type", "open"),
        ("fd.name", "/etc/hostname"),
        ("fs.path.nameraw", "/etc/../etc/hostname"),
    ]);

    // The pointers of `argv` have 32 bits.
    let (nothing, word) = (low.put(100, b"/nonexistent\0"), low.put(200, b"two words\0"));
    let argv = low.words(300, &[nothing, word, 0]);
    let seen = stage.one(&|| assert_eq!(interrupt(i386::EXECVE, [nothing, argv, 0, 0, 0]), -2));
    seen.has(&[("evt.type", "execve"), ("evt.res", "ENOENT")]);
    assert_eq!(seen.arg("args"), "two words\0");

    // One number of several that mean setuid, with half a word for an id.
    let seen = stage.one(&|| assert_eq!(interrupt(i386::SETUID16, [65534, 0, 0, 0, 0]), 0));
    seen.is("setuid", &[("res", "0"), ("uid", "65534")]);

    // By its own number, and by the number for all calls of sockets.
    let socket = low.words(400, &[2, 1, 0]);
    let address = low.put(500, &[2, 0, 0, 9, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    let seen = stage.observe(&|| {
        let fd = usize::try_from(interrupt(i386::SOCKETCALL, [1, socket, 0, 0, 0])).unwrap();
        let _ = interrupt(i386::CONNECT, [fd, address, 16, 0, 0]);
        let connect = low.words(600, &[fd, address, 16]);
        let _ = interrupt(i386::SOCKETCALL, [3, connect, 0, 0, 0]);
    });
    let [made, first, second] = seen.as_slice() else { panic!("{seen:?}") };
    made.has(&[
        ("evt.type", "socket"),
        ("evt.arg[1]", "AF_INET"),
        ("evt.arg[2]", "1"),
        ("fd.l4proto", "tcp"),
    ]);
    for connect in [first, second] {
        connect.has(&[
            ("evt.type", "connect"),
            ("evt.res", "ECONNREFUSED"),
            ("fd.num", made.arg("fd")),
            ("fd.sip", "127.0.0.1"),
            ("fd.sport", "9"),
        ]);
    }
    messages_of_32_bits(&mut stage, &low);
    Ok(())
}

/// Structures of buffers and messages, whose words have 32 bits.
fn messages_of_32_bits(stage: &mut Play, low: &Low) {
    let (server, client) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
    let port = server.local_addr().unwrap().port();
    let number = |fd: &dyn AsRawFd| usize::try_from(fd.as_raw_fd()).unwrap();
    let (fd, peer) = (number(&client), number(&server));
    let [high, least] = port.to_be_bytes();
    let address = low.put(1000, &[2, 0, high, least, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    let (one, two) = (low.put(1100, b"one "), low.put(1110, b"two"));
    let buffers = low.words(1200, &[one, 4, two, 3]);
    let message = low.words(1300, &[address, 16, buffers, 2, 0, 0, 0]);
    let seen = stage.one(&|| assert_eq!(interrupt(i386::SENDMSG, [fd, message, 0, 0, 0]), 7));
    seen.has(&[
        ("evt.type", "sendmsg"),
        ("evt.buffer", "one two"),
        ("evt.arg[3]", "7"),
        ("fd.sip", "127.0.0.1"),
        ("fd.sport", &port.to_string()),
    ]);

    let messages =
        low.words(1400, &[address, 16, buffers, 1, 0, 0, 0, 0, address, 16, buffers, 2, 0, 0, 0, 0]);
    let seen = stage.observe(&|| assert_eq!(interrupt(i386::SENDMMSG, [fd, messages, 2, 0, 0]), 2));
    let [first, second] = seen.as_slice() else { panic!("{seen:?}") };
    first.has(&[("evt.type", "sendmmsg"), ("evt.buffer", "one "), ("evt.rawres", "4")]);
    second.has(&[("evt.buffer", "one two"), ("evt.rawres", "7"), ("fd.sport", &port.to_string())]);

    let (room, name) = (low.put(1500, &[0; 16]), low.put(1600, &[0; 16]));
    let buffers = low.words(1700, &[room, 2, room + 2, 14]);
    let message = low.words(1800, &[name, 16, buffers, 2, 0, 0, 0]);
    let seen = stage.one(&|| assert_eq!(interrupt(i386::RECVMSG, [peer, message, 0, 0, 0]), 7));
    let from = client.local_addr().unwrap().port().to_string();
    seen.has(&[
        ("evt.type", "recvmsg"),
        ("evt.buffer", "one two"),
        ("evt.arg[1]", "16"),
        ("fd.cport", &from),
    ]);

    let file = tempfile::tempfile().unwrap();
    let fd = number(&file);
    let buffers = low.words(1900, &[one, 4, two, 3]);
    let seen = stage.observe(&|| {
        assert_eq!(interrupt(i386::WRITEV, [fd, buffers, 2, 0, 0]), 7);
        // The offset is two words.
        assert_eq!(interrupt(i386::PREAD64, [fd, room, 16, 4, 0]), 3);
        assert_eq!(interrupt(i386::PREAD64, [fd, room, 16, 4, 1]), 0);
    });
    let [written, read, behind] = seen.as_slice() else { panic!("{seen:?}") };
    written.has(&[("evt.type", "writev"), ("evt.buffer", "one two"), ("evt.arg[3]", "7")]);
    read.has(&[("evt.type", "pread"), ("evt.buffer", "two"), ("evt.arg[4]", "4")]);
    behind.has(&[("evt.rawres", "0"), ("evt.arg[4]", "4294967300")]);
}

fn calls_of_x32_are_seen_or_counted() {
    let mut stage = Play::new();
    let made = |kernel: &Kernel| {
        let by_cpu = kernel.probe.counters().foreign().unwrap();
        (by_cpu.iter().map(|c| c.x32).sum::<u64>(), by_cpu.iter().any(|c| c.x32_tgid != 0))
    };
    let before = made(&stage.kernel).0;
    let seen = stage.one(&|| {
        // A kernel that refuses the call does not read it, and a probe cannot fault it in.
        touch(&[c"/nonexistent"]);
        // SAFETY: a valid C string; calls without effects, known to the kernel or not; one more that is no call at all.
        unsafe {
            libc::syscall(0x4000_0000 + libc::SYS_open, c"/nonexistent".as_ptr(), libc::O_RDONLY);
            libc::syscall(0x4000_0000 + 522, 0, 0);
            libc::syscall(-1);
        }
    });
    seen.has(&[("evt.type", "open"), ("fd.name", "/nonexistent"), ("fd.num", "-1")]);
    assert_eq!(made(&stage.kernel), (before + 1, true));
}

/// Prints what `cargo xtask vm` puts in its table.
fn no_program_costs_the_verifier_much() -> Result<(), String> {
    /// A tenth of what the kernel allows.
    const MOST: u32 = 100_000;
    let loaded = kernel(Volume::High).probe.loaded();
    assert!(loaded.len() > EVENTS.len(), "{loaded:?}");
    println!("attach mode tracepoint");
    let mut dear = Vec::new();
    for program in &loaded {
        let Some(verified) = program.verified else {
            return Err("before Linux 5.16 the kernel does not tell".to_owned());
        };
        println!("verified {} {verified}", program.name);
        if verified > MOST {
            dear.push(program.name);
        }
    }
    assert!(dear.is_empty(), "more than {MOST} instructions: {dear:?}");
    Ok(())
}

fn a_hook_comes_back_or_is_found_dead() {
    let shell = || {
        let mut child = Command::new("/bin/sh");
        child.args(["-c", "exit 0"]);
        child
    };
    let names = |events: &[&'static Event]| events.iter().map(|event| event.program).collect::<Vec<_>>();
    let layout = Layout::detect(Path::new("/proc")).unwrap();
    let options = Options {
        wanted: Wanted { event_types: ["socket".to_owned()].into(), ..Wanted::default() },
        cgroup_controller: layout.controller().map(str::to_owned),
        cgroup_hierarchy: layout.hierarchy(),
        ..Options::default()
    };
    let (probe, _lanes) = Probe::load(&options).unwrap();
    let all: Vec<&'static Event> = EVENTS.iter().collect();
    // To the trial every hook is attached; those that are not do not come back.
    let trial = Trial::run(&all, probe.counters(), &mut shell(), layout.mount());
    let (alive, attached) = (names(&trial.alive), names(probe.attached()));
    assert!(["fork", "exec", "exit", "socket"].iter().all(|name| alive.contains(name)), "{alive:?}");
    assert!(alive.iter().all(|name| attached.contains(name)), "{alive:?}");
    let dead = names(&trial.dead);
    assert!(dead.contains(&"connect") && !dead.iter().any(|name| attached.contains(name)), "{dead:?}");

    // The shared probe watches all calls that are not of high volume; its cgroups may be those of another hierarchy.
    let kernel = kernel(Volume::Normal);
    let is_watched = |event: &&Event| {
        matches!(event.hook, Hook::Syscall(_))
            && event.info.rules.is_none_or(|view| matches!(view.volume, Volume::Normal))
    };
    let calls: Vec<&'static Event> = all.into_iter().filter(is_watched).collect();
    let trial = Trial::run(&calls, kernel.probe.counters(), &mut shell(), layout.mount());
    println!("not tried: {:?}", names(&trial.untried));
    assert_eq!(names(&trial.dead), Vec::<&str>::new());
    assert!(trial.alive.len() > calls.len() / 2);
}

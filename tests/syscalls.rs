//! One syscall in, every field out, nothing else: each event of the registry against the running kernel, by the scenarios in its
//! family's file; and the readers that all handlers share.
//!
//! Needs root, BTF and the BPF object.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::fd::AsRawFd as _;
use std::process::ExitCode;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use falconet::capture::Player;
use falconet::capture::format::{self, Frame, Header};
use falconet::capture::player::Only;
use falconet::engine::raise::TextOptions;
use falconet::probe::{Lanes, Options, Probe, Wanted};
use falconet::rules::registry::fields::{Class, FIELDS, Flags};
use falconet::rules::{self, Source};
use sensor_ebpf::config::ForeignCalls;
use sensor_ebpf::events::EVENTS;
use sensor_ebpf::for_each_event;
use sensor_ebpf::record::{CUT_HEAD, CUT_MIDDLE, Record};
use sensor_ebpf::testing::{DONE, Scenario, Seen, Stage};
use support::need::Need;
use support::{deep, harness};
use zerocopy::IntoBytes as _;

/// The probe, and an engine that shows every field of what it sees.
struct Kernel {
    probe: Probe,
    lanes: Lanes,
    player: Player,
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

/// The probe, loaded once for all tests of this file.
fn kernel() -> MutexGuard<'static, Kernel> {
    static KERNEL: LazyLock<Mutex<Kernel>> = LazyLock::new(|| {
        let event_types = EVENTS.iter().filter_map(|e| e.info.name()).map(str::to_owned).collect();
        let wanted = Wanted { event_types, ..Wanted::default() };
        let (probe, lanes) = Probe::load(&Options { wanted, ..Options::default() }).expect("the probe loads");
        Mutex::new(Kernel { probe, lanes, player: player() })
    });
    KERNEL.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// An engine with one rule that every event matches, and that prints every field of an event.
fn player() -> Player {
    let mut output = String::new();
    let classes = [Class::Evt, Class::Fd, Class::FsPath, Class::Process, Class::User];
    for info in FIELDS.iter().filter(|info| classes.contains(&info.class)) {
        if !info.flags.has(Flags::FILTER) && !info.flags.has(Flags::REQUIRED) {
            write!(output, "%{} ", info.name).unwrap();
        }
    }
    output.push_str("%evt.abspath.src %evt.abspath.dst ");
    for at in 0..32 {
        write!(output, "%evt.arg[{at}] ").unwrap();
    }
    let rule = format!(
        "- rule: all\n  desc: d\n  condition: evt.type exists\n  output: '{output}'\n  priority: INFO\n"
    );
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
        Self { kernel: kernel(), met: Vec::new(), skipped: None }
    }
}

impl Stage for Play {
    fn life(&mut self, work: &dyn Fn()) -> Vec<Seen> {
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
    let mut stage = Play::new();
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
        calls_that_no_handler_understands_are_counted needs Need::Sensor;
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

fn calls_that_no_handler_understands_are_counted() -> Result<(), String> {
    let mut stage = Play::new();
    let made = |kernel: &Kernel, of: fn(&ForeignCalls) -> (u64, u32)| {
        let by_cpu = kernel.probe.counters().foreign().unwrap();
        (by_cpu.iter().map(|c| of(c).0).sum::<u64>(), by_cpu.iter().map(|c| of(c).1).collect::<Vec<_>>())
    };
    let x32 = |c: &ForeignCalls| (c.x32, c.x32_tgid);
    let before = made(&stage.kernel, x32).0;
    stage.observe(&|| {
        // SAFETY: a call without arguments and effects, known to the kernel or not; one more that is no call at all.
        unsafe {
            libc::syscall(0x4000_0000 + libc::SYS_getpid);
            libc::syscall(-1);
        }
    });
    let (after, tgids) = made(&stage.kernel, x32);
    assert_eq!(after - before, 1);
    assert!(tgids.iter().any(|tgid| *tgid != 0), "{tgids:?}");

    if !survives(|| assert!(getpid_by_interrupt() > 0)) {
        return Err("this kernel takes no 32-bit calls".into());
    }
    let compat = |c: &ForeignCalls| (c.compat, c.compat_tgid);
    let before = made(&stage.kernel, compat).0;
    let seen = stage.observe(&|| {
        // 20 is writev to a handler that does not look: it must not be taken for one.
        assert!((0..5).all(|_| getpid_by_interrupt() > 0));
    });
    assert!(seen.is_empty(), "{seen:?}");
    assert_eq!(made(&stage.kernel, compat).0 - before, 5);
    Ok(())
}

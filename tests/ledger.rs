//! The ledger: what happened = what was delivered + what the kernel's filter dropped + what is counted as lost, to the last one.
//!
//! Needs root, BTF and the BPF object.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::ffi::CString;

use falconet::probe::{EventCounters, Options, Probe, Wanted};
use sensor_ebpf::events::{Event, Kind};
use sensor_ebpf::filter::{Alternative, Filter};
use support::need::Need;

support::harness::tests! {
    a_full_lane_loses_nothing_uncounted needs Need::Sensor;
}

/// Processes at the same time, so that CPUs and lanes are several, and the calls of each.
const PROCESSES: u64 = 8;
const WANTED: u64 = 500;
const UNWANTED: u64 = 300;

/// Runs `work` in a child process each, all at the same time, and waits for their ends.
fn in_children(work: impl Fn()) {
    let children: Vec<libc::pid_t> = (0..PROCESSES)
        .map(|_| {
            // SAFETY: the child calls only `work` (raw syscalls on memory prepared before) and `_exit`.
            let child = unsafe { libc::fork() };
            assert!(child >= 0, "fork failed");
            if child == 0 {
                work();
                // SAFETY: ends the child without running the parent's destructors.
                unsafe { libc::_exit(0) };
            }
            child
        })
        .collect();
    for child in children {
        let mut status = 0;
        // SAFETY: waits for a child made above.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{status:#x}");
    }
}

/// `creat`, which nothing else on a machine calls: the C library's open is `openat`.
fn creat(file: &CString) {
    // SAFETY: a valid C string, and the descriptor that the call made.
    unsafe {
        let fd = libc::syscall(libc::SYS_creat, file.as_ptr(), 0o600);
        assert!(fd >= 0);
        libc::syscall(libc::SYS_close, fd);
    }
}

fn counted(probe: &Probe) -> EventCounters {
    let counters = probe.counters().read();
    counters.into_iter().find(|(event, _)| event.kind == Kind::Creat).unwrap().1
}

fn a_full_lane_loses_nothing_uncounted() {
    let dir = tempfile::Builder::new().prefix("fnl").tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap();
    let file = |name: &str| CString::new(path.join(name).to_str().unwrap()).unwrap();
    let (wanted, unwanted) = (file("w"), CString::new("/dev/null").unwrap());
    let head = Alternative { success: 1, ..Alternative::of_path(path.to_str().unwrap().as_bytes(), false) };
    let options = Options {
        wanted: Wanted {
            event_types: ["creat".to_owned()].into(),
            filters: [("creat".to_owned(), Filter::of(&[head]).unwrap())].into(),
        },
        // The smallest that there is: some dozens of records.
        bulk_bytes: 1,
        ..Options::default()
    };
    let (probe, mut lanes) = Probe::load(&options).unwrap();
    let mut delivered = 0;
    let mut drain = |lanes: &mut falconet::probe::Lanes| {
        lanes.drain(usize::MAX, |record| {
            delivered += u64::from(
                Event::of_kind(record.header().kind).is_some_and(|event| event.kind == Kind::Creat),
            );
        });
        delivered
    };

    // Nobody reads meanwhile.
    in_children(|| {
        (0..WANTED).for_each(|_| creat(&wanted));
        (0..UNWANTED).for_each(|_| creat(&unwanted));
    });
    let first = counted(&probe);
    assert_eq!(drain(&mut lanes), first.seen);
    assert_eq!(first.filtered, PROCESSES * UNWANTED);
    assert_eq!(first.seen + first.lost(), PROCESSES * WANTED);
    assert!(first.lost_full > 0 && first.seen > 0, "{first:?}");
    assert_eq!(first.lost_build, 0);

    // And once there is room again, it goes on.
    creat(&wanted);
    let own = counted(&probe).since(&first);
    assert_eq!(
        (own.filtered, own.seen, own.lost()),
        (1, 0, 0),
        "the sensor's own calls are none of its business"
    );
    in_children(|| creat(&wanted));
    let second = counted(&probe).since(&first);
    assert_eq!((second.seen, second.lost()), (PROCESSES, 0));
    assert_eq!(drain(&mut lanes), first.seen + PROCESSES);
    assert_eq!(lanes.malformed(), 0);
}

//! Each hook is fired once by this process and must have counted it: a program that is attached but never called looks like a
//! quiet night.
//!
//! Other processes may fire it meanwhile, which shows the same. This process's own calls make no records.
#![expect(unsafe_code, reason = "system calls by their numbers")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use sensor_ebpf::abi::{Interface, Numbers, numbers};
use sensor_ebpf::events::{Event, Hook};

use super::counters::Counted;

/// Calls that do something even if every argument is nonsense: they end, block or change their process, or make something.
const SPARED: [Numbers; 18] = [
    numbers("alarm"),
    numbers("eventfd"),
    numbers("exit"),
    numbers("exit_group"),
    numbers("fork"),
    numbers("inotify_init"),
    numbers("msgget"),
    numbers("munlockall"),
    numbers("pause"),
    numbers("restart_syscall"),
    numbers("rt_sigreturn"),
    numbers("sched_yield"),
    numbers("set_tid_address"),
    numbers("setsid"),
    numbers("sync"),
    numbers("umask"),
    numbers("vfork"),
    numbers("vhangup"),
];

/// What came back.
#[derive(Default)]
pub struct Trial {
    pub alive: Vec<&'static Event>,
    /// Fired, and not seen.
    pub dead: Vec<&'static Event>,
    /// Not fired, because this process cannot, or not without harm.
    pub untried: Vec<&'static Event>,
}

impl Trial {
    /// Fires the hooks of `attached`. `child` is a harmless command for those of processes; `cgroups` is where the hierarchy is
    /// mounted in which a directory is made and removed.
    pub fn run(attached: &[&'static Event], counters: &Counted, child: &mut Command, cgroups: &Path) -> Self {
        let before = totals(counters);
        let (stdin, stdout, stderr) = (Stdio::null(), Stdio::null(), Stdio::null());
        let lived = child.stdin(stdin).stdout(stdout).stderr(stderr).status().is_ok();
        let directory = cgroups.join(format!("falconet-{}", std::process::id()));
        let made = fs::create_dir(&directory).is_ok() && fs::remove_dir(&directory).is_ok();
        let fired: Vec<bool> = attached
            .iter()
            .map(|event| match event.hook {
                Hook::Tracepoint(name) if name.starts_with("cgroup_") => made,
                Hook::Tracepoint(_) => lived,
                Hook::Syscall(numbers) => call(numbers),
            })
            .collect();
        let after = totals(counters);
        let mut trial = Self::default();
        for (event, fired) in attached.iter().copied().zip(fired) {
            let of = |totals: &[(&'static Event, u64)]| {
                totals.iter().find(|(known, _)| known.kind == event.kind).map_or(0, |(_, total)| *total)
            };
            let list = match (of(&after) > of(&before), fired) {
                (true, _) => &mut trial.alive,
                (false, true) => &mut trial.dead,
                (false, false) => &mut trial.untried,
            };
            list.push(event);
        }
        trial
    }
}

/// All that the programs counted of each event.
fn totals(counters: &Counted) -> Vec<(&'static Event, u64)> {
    let sum = |(event, c): (&'static Event, super::EventCounters)| {
        (event, c.seen.saturating_add(c.filtered).saturating_add(c.lost()))
    };
    counters.read().into_iter().map(sum).collect()
}

/// Makes the call with arguments that are no descriptor, no address, no id, and set every flag; false when it is not made.
fn call(numbers: Numbers) -> bool {
    let Some(number) = numbers.of(Interface::Native).next().filter(|_| !SPARED.contains(&numbers)) else {
        return false;
    };
    // SAFETY: no argument is an address that could be written to, and the calls that do not care are spared.
    unsafe { libc::syscall(number.into(), -1_i64, -1_i64, -1_i64, -1_i64, -1_i64, -1_i64) };
    true
}

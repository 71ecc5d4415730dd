//! Events that wait and go on, against this machine's `/proc` and records made by hand.

use std::sync::{Arc, Mutex};

use sensor_ebpf::events::Kind;
use sensor_ebpf::events::open::Opened;
use sensor_ebpf::record::{Fd, Header, Tail};

use super::judge::Judge;
use super::raise::TextOptions;
use super::stats::{Stats, read};
use super::storm;
use crate::alert::Alert;
use crate::rules::{self, RuleSet, Source};
use crate::state::testing::{Made, Who, record};
use crate::state::{Containers, ProcFs, Process, Processes, Users, processes};

/// A judge whose state is this machine's, and its alerts.
struct Bench {
    judge: Judge,
    alerts: Arc<Mutex<Vec<Alert>>>,
    stats: Arc<Stats>,
}

impl Bench {
    fn new(output: &str) -> Self {
        let (alerts, stats): (Arc<Mutex<Vec<Alert>>>, Arc<Stats>) = Default::default();
        let sink = alerts.clone();
        let judge = Judge::new(
            Processes::new(processes::Options::default(), ProcFs::new("/proc", None)).unwrap(),
            Users::new(std::path::Path::new("/proc")).unwrap(),
            Containers::sealed(),
            rules(output),
            "h".into(),
            TextOptions::default(),
            Box::new(move |alert| {
                sink.lock().unwrap().push(alert);
                true
            }),
            stats.clone(),
        );
        Self { judge, alerts, stats }
    }

    fn take(&self) -> Vec<Alert> {
        std::mem::take(&mut self.alerts.lock().unwrap())
    }

    /// Polls, as the event thread does, until there are so many alerts.
    fn wait(&mut self, count: usize) -> Vec<Alert> {
        let mut alerts = Vec::new();
        while alerts.len() < count {
            self.judge.poll();
            alerts.extend(self.take());
            std::thread::yield_now();
        }
        alerts
    }
}

fn rules(output: &str) -> Arc<RuleSet> {
    let text = format!(
        "- rule: opened\n  desc: d\n  condition: evt.type = openat\n  output: {output}\n  priority: INFO\n"
    );
    let options = rules::Options { append_output: Vec::new(), ..rules::Options::default() };
    let loaded = rules::load(&[Source::new("r.yaml", text)], &options);
    Arc::new(loaded.rules.unwrap_or_else(|| panic!("{:?}", loaded.files)))
}

fn me() -> Process {
    ProcFs::new("/proc", None).read(std::process::id()).unwrap()
}

/// An open by a process with that identity.
fn open(exec_id: u64, tgid: u32) -> Made {
    let header = Header { exec_id, ..Who { pid: tgid, start: 0 }.header(50) };
    record(Kind::Openat, header, &[b"/x"], |tails| Opened {
        ret: 3,
        file: Fd { ino: 1, dev: 1, kind: b'f', path: tails[0], ..Fd::NONE },
        resolve: 0,
        flags: 0,
        mode: 0,
        dirfd: -100,
        created: 0,
        raw: tails[0],
        base: Tail::EMPTY,
    })
}

#[test]
fn an_event_waits_for_its_process_and_goes_on_complete() {
    let mut bench = Bench::new("'%evt.num %proc.exepath'");
    let me = me();
    for _ in 0..3 {
        bench.judge.record(&open(me.exec_id, me.tgid).record());
    }
    assert!(bench.take().is_empty(), "nothing is judged before it is known who it was");
    assert_eq!(read(&bench.stats.held_for_process), 3);
    let alerts = bench.wait(3);
    let exe = String::from_utf8_lossy(&me.image.exepath).into_owned();
    for (n, alert) in alerts.iter().enumerate() {
        assert!(alert.output.ends_with(&format!(" {} {exe}", n + 1)), "{}", alert.output);
        assert!(alert.context.as_ref().unwrap().get("incomplete").is_none());
    }
    bench.judge.record(&open(me.exec_id, me.tgid).record());
    assert_eq!(bench.take().len(), 1, "the next one waits for nothing");
}

#[test]
fn what_proc_does_not_know_goes_out_and_says_so() {
    let mut bench = Bench::new("'%proc.name'");
    bench.judge.record(&open(12345, u32::MAX >> 10).record());
    let alerts = bench.wait(1);
    assert_eq!(alerts[0].context.as_ref().unwrap()["incomplete"], serde_json::json!(["process"]));
    bench.judge.record(&open(12345, u32::MAX >> 10).record());
    assert_eq!(bench.take().len(), 1, "nobody asks twice");
}

#[test]
fn names_are_read_when_a_rule_shows_them_and_only_then() {
    let me = me();
    let mut without = Bench::new("'%user.uid %proc.name'");
    without.judge.record(&open(me.exec_id, me.tgid).record());
    without.wait(1);
    assert_eq!(read(&without.stats.held_for_names), 0);
    assert_eq!(without.judge.users.stats().scopes, 0);

    let mut with = Bench::new("'%user.name'");
    with.judge.record(&open(me.exec_id, me.tgid).record());
    let alerts = with.wait(1);
    assert_eq!(read(&with.stats.held_for_names), 1);
    assert!(alerts[0].output.ends_with(" root") || me.task.uid != 0, "{}", alerts[0].output);
    // Whether this process may look into init's root or not: the question was answered, or the alert says so.
    let missing = alerts[0].context.as_ref().unwrap().get("incomplete");
    assert_eq!(missing.is_none(), with.judge.users.knows(&me), "{missing:?}");
}

#[test]
fn seeded_names_keep_nobody_waiting() {
    let me = me();
    let mut bench = Bench::new("'%user.name'");
    bench.judge.seed_names();
    assert_eq!(bench.judge.users.stats().scopes, 1);
    bench.judge.record(&open(me.exec_id, me.tgid).record());
    bench.wait(1);
    if me.task.mntns == bench.judge.users.host_mntns() {
        assert_eq!(read(&bench.stats.held_for_names), 0);
    }
}

#[test]
fn at_the_end_nothing_is_left() {
    let mut bench = Bench::new("'%user.name'");
    bench.judge.limit(storm::Options { rate: 1, burst: 2 });
    let me = me();
    for _ in 0..5 {
        bench.judge.record(&open(me.exec_id, me.tgid).record());
    }
    bench.judge.finish();
    let alerts = bench.take();
    assert_eq!(alerts.len(), 3, "two, and what became of the rest");
    assert_eq!(alerts[2].rule, storm::RULE);
    assert_eq!(alerts[2].output_fields["n_left_out"], "3");
    assert_eq!((read(&bench.stats.alerts), read(&bench.stats.alerts_left_out)), (3, 3));
}

#[test]
fn a_storm_is_cut_short_and_adds_up() {
    let mut bench = Bench::new("'%proc.name'");
    bench.judge.limit(storm::Options { rate: 10, burst: 100 });
    let made = open(77, u32::MAX >> 10);
    bench.judge.record(&made.record());
    let mut raised = bench.wait(1).len();
    for _ in 1..50_000 {
        bench.judge.record(&made.record());
        raised += bench.take().len();
    }
    bench.judge.finish();
    let last = bench.take();
    let left_out: u64 = last[0].output_fields["n_left_out"].as_str().unwrap().parse().unwrap();
    assert_eq!((raised, left_out), (100, 49_900));
}

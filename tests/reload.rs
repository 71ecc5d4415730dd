//! Other rules without a restart, by the real binary on the running kernel: no event is lost or judged by half a set, what does not
//! load changes nothing and is reported, and the kernel is asked for what the new rules need.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::need::Need;
use support::sensor::Falconet;

support::harness::tests! {
    no_event_is_lost_or_judged_by_half_a_set needs Need::Sensor;
    what_does_not_load_changes_nothing_and_is_told needs Need::Sensor;
    new_rules_see_events_that_nobody_asked_for_before needs Need::Sensor;
    sighup_and_the_configuration needs Need::Sensor;
}

const RULE: &str = "Falco internal: hot restart failure";

/// A directory for files that rules are about, and one of rules.
struct Place {
    dir: tempfile::TempDir,
    path: PathBuf,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("fnr").tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap();
        fs::create_dir(path.join("rules")).unwrap();
        fs::create_dir(path.join("f")).unwrap();
        Self { dir, path }
    }

    fn file(&self, name: &str) -> String {
        self.path.join("f").join(name).to_str().unwrap().to_owned()
    }

    /// Replaces a rule file at once, as editors do. Returns when the sensor has taken it, if `loaded` before is given.
    fn rules(&self, name: &str, text: &str) {
        let file = self.path.join("rules").join(name);
        fs::write(self.path.join("new"), text).unwrap();
        fs::rename(self.path.join("new"), file).unwrap();
    }

    /// A sensor with these rules and its state in `state`; JSON alerts on standard output.
    fn sensor(&self, state: &Path, options: &[&str], arguments: &[&str]) -> Falconet {
        let options: Vec<&str> = ["json_output=true"].iter().chain(options).copied().collect();
        let rules = self.path.join("rules");
        let own = ["-r", rules.to_str().unwrap()];
        let arguments: Vec<&str> = own.iter().chain(arguments).copied().collect();
        let sensor = Falconet::with_arguments("run", state, &options, &arguments);
        sensor.wait_for_log("ready", |line| line.starts_with("ready"));
        sensor
    }
}

fn rule(name: &str, condition: &str) -> String {
    format!(
        "- rule: {name}\n  desc: d\n  condition: {condition}\n  output: x %fd.name %evt.type\n  priority: INFO\n"
    )
}

fn loads(sensor: &Falconet) -> usize {
    sensor.log().iter().filter(|line| line.contains("loaded again")).count()
}

/// Waits until rules have been loaded `count` times since the start.
fn loaded(sensor: &Falconet, count: usize) {
    let done = support::eventually(|| (loads(sensor) >= count).then_some(()));
    assert!(done.is_some(), "load {count} in {:?}", sensor.log());
}

fn alerts(sensor: &Falconet) -> Vec<Value> {
    sensor.lines().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Waits for an alert of `rule` about `what`.
fn alert(sensor: &Falconet, rule: &str, what: &str) {
    sensor.wait_for(rule, |line| {
        serde_json::from_str::<Value>(line)
            .is_ok_and(|a| a["rule"] == rule && a["output"].as_str().is_some_and(|o| o.contains(what)))
    });
}

/// Opens a file and waits for the alert of `rule` about it: all that happened before has been judged.
fn mark(sensor: &Falconet, rule: &str, file: &str) {
    File::create(file).unwrap();
    alert(sensor, rule, file);
}

fn no_event_is_lost_or_judged_by_half_a_set() {
    /// Files that are opened once each; of [`SHARE`] opens one is of such a file, the others are of one and the same.
    const MARKS: usize = 8000;
    const SHARE: usize = 100;
    const THREADS: usize = 2;
    /// Opens of one thread in 10 ms.
    const PACE: usize = 250;
    const EDITS: usize = 16;
    let place = Place::new();
    let marks = place.file("m-");
    for n in 0..MARKS {
        File::create(format!("{marks}{n}")).unwrap();
    }
    File::create(place.file("plain")).unwrap();
    // Every mark is an alert of `one` under the first set and of `two` under the second; under half of each, of both or of none.
    // The sets need different events and different kernel filters.
    let of_marks = format!("evt.type = openat and fd.name startswith {marks}");
    let wide =
        format!("evt.type in (open, openat, openat2) and fd.name contains {marks} and proc.name exists");
    let never = "evt.type = openat and fd.name = /never/at/all";
    let sets = [
        [rule("one", &of_marks), rule("two", never)].concat(),
        [
            rule("one", never),
            rule("two", &wide),
            rule("names", "evt.type in (rename, renameat2) and proc.name = never"),
        ]
        .concat(),
    ];
    place.rules("r.yaml", &sets[0]);
    let state = tempfile::tempdir().unwrap();
    // Room for all of the load: what is lost is lost by the reload. And every match is an alert.
    let mut sensor = place.sensor(state.path(), &["buffer_mib=512", "storms.rate=0"], &[]);

    let (next, stop, opened) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicUsize::new(0));
    let mut edits = 0;
    let started = Instant::now();
    let plain = place.file("plain");
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let begin = Instant::now();
                for n in 1.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    if n % SHARE == 0 {
                        let mark = next.fetch_add(1, Ordering::Relaxed);
                        if mark >= MARKS {
                            break;
                        }
                        File::open(format!("{marks}{mark}")).unwrap();
                    } else {
                        File::open(&plain).unwrap();
                    }
                    opened.fetch_add(1, Ordering::Relaxed);
                    if n % PACE == 0 {
                        let due = Duration::from_millis(10) * u32::try_from(n / PACE).unwrap();
                        std::thread::sleep(due.saturating_sub(begin.elapsed()));
                    }
                }
            });
        }
        // On a slow machine the load ends before the edits do.
        while edits < EDITS && next.load(Ordering::Relaxed) < MARKS {
            edits += 1;
            if edits == 2 {
                place.rules("r.yaml", "- rule: broken\n  condition: (");
                alert(&sensor, RULE, "r.yaml");
            }
            place.rules("r.yaml", &sets[edits % 2]);
            loaded(&sensor, edits);
        }
        stop.store(true, Ordering::Relaxed);
    });
    #[expect(clippy::cast_precision_loss, reason = "shown without digits behind the point")]
    let rate = opened.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
    println!(
        "{} opens, {rate:.0}/s, {edits} edits in {:?}",
        opened.load(Ordering::Relaxed),
        started.elapsed()
    );
    mark(&sensor, if edits % 2 == 0 { "one" } else { "two" }, &format!("{marks}end"));
    assert!(sensor.interrupt().success());
    let summary = sensor.log().pop().unwrap();
    assert!(summary.contains(" 0 lost; ") && summary.ends_with(" 0 lost"), "{summary}");

    let mut told: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for alert in alerts(&sensor) {
        if let Some(file) =
            alert["output_fields"]["fd.name"].as_str().and_then(|name| name.strip_prefix(&marks))
        {
            told.entry(file.to_owned()).or_default().push(alert["rule"].as_str().unwrap().to_owned());
        }
    }
    let count = next.load(Ordering::Relaxed).min(MARKS);
    let wrong: Vec<_> = (0..count)
        .map(|n| (n, told.get(&n.to_string()).map_or(&[][..], Vec::as_slice)))
        .filter(|(_, rules)| rules.len() != 1)
        .take(10)
        .collect();
    assert!(wrong.is_empty(), "{count} marks, of these not judged once: {wrong:?}");
    for rule in ["one", "two"] {
        assert!(told.values().filter(|rules| *rules == &[rule]).count() > 10, "{rule} hardly judged");
    }
}

fn what_does_not_load_changes_nothing_and_is_told() {
    let place = Place::new();
    let opened =
        |name: &str| rule(name, &format!("evt.type = openat and fd.name startswith {}", place.file("a")));
    place.rules("r.yaml", &opened("old"));
    let state = tempfile::tempdir().unwrap();
    let sensor = place.sensor(state.path(), &[], &[]);
    mark(&sensor, "old", &place.file("a1"));

    // In place, as `echo >>` does.
    let file = place.path.join("rules/r.yaml");
    fs::write(&file, opened("new").replace("fd.name startswith", "fd.nam startswith")).unwrap();
    alert(&sensor, RULE, "r.yaml:3:");
    // The alert and the log take different ways.
    for part in ["the old ones stay", "LOAD_ERR_COMPILE_CONDITION"] {
        sensor.wait_for_log(part, |line| line.contains(part));
    }
    let failure = alerts(&sensor).into_iter().find(|a| a["rule"] == RULE).unwrap();
    assert_eq!(
        (failure["priority"].as_str(), failure["source"].as_str()),
        (Some("Critical"), Some("internal"))
    );
    assert!(failure["output_fields"]["reason"].as_str().unwrap().contains("fd.nam"), "{failure}");
    mark(&sensor, "old", &place.file("a2"));

    place.rules("r.yaml", &opened("new"));
    loaded(&sensor, 1);
    mark(&sensor, "new", &place.file("a3"));
    // Nothing to read is as good as nothing that loads.
    fs::remove_file(&file).unwrap();
    alert(&sensor, RULE, "there is no .yaml or .yml file");
    mark(&sensor, "new", &place.file("a4"));
    // A second file beside the first.
    place.rules("r.yaml", &opened("new"));
    place.rules("s.yaml", &opened("second"));
    mark_both(&sensor, &place);
    assert_eq!(alerts(&sensor).iter().filter(|a| a["rule"] == RULE).count(), 2);
}

/// Opens files until both rules tell of one.
fn mark_both(sensor: &Falconet, place: &Place) {
    let tries = AtomicUsize::new(0);
    let both = support::eventually(|| {
        let file = place.file(&format!("a-{}", tries.fetch_add(1, Ordering::Relaxed)));
        mark(sensor, "new", &file);
        alerts(sensor)
            .iter()
            .any(|a| a["rule"] == "second" && a["output_fields"]["fd.name"] == file.as_str())
            .then_some(())
    });
    assert!(both.is_some(), "{:?}", sensor.log());
}

fn new_rules_see_events_that_nobody_asked_for_before() {
    let place = Place::new();
    let opened = rule("opened", &format!("evt.type = openat and fd.name startswith {}", place.file("a")));
    let removed =
        rule("removed", &format!("evt.type = unlink and evt.arg.path startswith {}", place.file("b")));
    // The tail of the name tells apart what the kernel does not.
    let other = rule("other", &format!("evt.type = openat and fd.name endswith {}", "/f/zzz"));
    place.rules("r.yaml", &opened);
    let state = tempfile::tempdir().unwrap();
    let sensor = place.sensor(state.path(), &[], &[]);
    let remove = |name: &str| {
        File::create(place.file(name)).unwrap();
        let path = std::ffi::CString::new(place.file(name)).unwrap();
        // SAFETY: a valid C string. (The library's `unlink` may be `unlinkat`.)
        assert_eq!(unsafe { libc::syscall(libc::SYS_unlink, path.as_ptr()) }, 0);
    };
    remove("b1");
    File::create(place.file("zzz")).unwrap();
    mark(&sensor, "opened", &place.file("a1"));

    place.rules("r.yaml", &[opened.clone(), removed, other].concat());
    loaded(&sensor, 1);
    remove("b2");
    alert(&sensor, "removed", "unlink");
    File::open(place.file("zzz")).unwrap();
    alert(&sensor, "other", "zzz");

    place.rules("r.yaml", &opened);
    loaded(&sensor, 2);
    remove("b3");
    File::open(place.file("zzz")).unwrap();
    mark(&sensor, "opened", &place.file("a2"));
    let count = |rule: &str| alerts(&sensor).iter().filter(|a| a["rule"] == rule).count();
    assert_eq!((count("removed"), count("other"), count("opened")), (1, 1, 2));
}

fn sighup_and_the_configuration() {
    let place = Place::new();
    let opened =
        |name: &str| rule(name, &format!("evt.type = openat and fd.name startswith {}", place.file("a")));
    place.rules("r.yaml", &opened("one"));
    let config = place.path.join("falconet.yaml");
    let text = "watch_config_files: false\n";
    fs::write(&config, text).unwrap();
    let state = tempfile::tempdir().unwrap();
    let sensor = place.sensor(state.path(), &[], &["-c", config.to_str().unwrap()]);
    mark(&sensor, "one", &place.file("a1"));
    // Nobody looks until told to.
    place.rules("r.yaml", &[opened("one"), opened("two")].concat());
    mark(&sensor, "one", &place.file("a2"));
    assert_eq!(loads(&sensor), 0);
    sensor.signal(libc::SIGHUP);
    loaded(&sensor, 1);
    mark(&sensor, "two", &place.file("a3"));

    fs::write(
        &config,
        format!("{text}rules: [{{disable: {{rule: one}}}}]\nbuffer_mib: 16\nkernel_filter: false\n"),
    )
    .unwrap();
    sensor.signal(libc::SIGHUP);
    loaded(&sensor, 2);
    sensor.wait_for_log("what needs a restart", |line| {
        line.contains("buffer_mib, kernel_filter") && line.contains("restart")
    });
    mark(&sensor, "two", &place.file("a4"));
    fs::write(&config, "rules: 7\n").unwrap();
    sensor.signal(libc::SIGHUP);
    alert(&sensor, RULE, "falconet.yaml:1:1: rules");
    mark(&sensor, "two", &place.file("a5"));
    let of_one: Vec<_> = alerts(&sensor).into_iter().filter(|a| a["rule"] == "one").collect();
    assert_eq!(of_one.len(), 3, "{of_one:?}");
    drop(place.dir);
}

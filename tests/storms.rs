//! A process in a loop trips a rule fifty thousand times: some alerts, the rest counted, and nothing in between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::fs::{self, File};

use serde_json::Value;
use support::need::Need;
use support::sensor::Falconet;

support::harness::tests! {
    what_is_raised_and_what_is_left_out_is_what_happened needs Need::Sensor;
}

/// How often the file is opened.
const OPENS: u64 = 50_000;
const RATE: u64 = 50;
const BURST: u64 = 200;
/// Resident memory that a storm may cost, KiB: the part of the rings that was filled, and what the alerts take that are raised. All
/// fifty thousand would be several times that.
const MEMORY: u64 = 96 << 10;

const RULES: &str = "
- rule: opened
  desc: d
  condition: evt.type in (open, openat, openat2) and fd.name = DIR/trap
  output: opened %fd.name by %proc.name
  priority: CRITICAL
- rule: the end
  desc: d
  condition: evt.type in (open, openat, openat2) and fd.name = DIR/end
  output: end
  priority: INFO
";

/// A line of a process's status, KiB: `VmRSS`, or `VmHWM`, the most since [`forget_peak`].
fn memory(pid: u32, line: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let found = status.lines().find_map(|l| l.strip_prefix(line)).unwrap();
    found.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

/// The most so far is what there is now: starting takes more than running.
fn forget_peak(pid: u32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
}

fn what_is_raised_and_what_is_left_out_is_what_happened() {
    let dir = tempfile::Builder::new().prefix("fns").tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap();
    for name in ["trap", "end"] {
        fs::write(path.join(name), "").unwrap();
    }
    let rules = path.join("rules.yaml");
    fs::write(&rules, RULES.replace("DIR", path.to_str().unwrap())).unwrap();
    let rate = format!("storms.rate={RATE}");
    let burst = format!("storms.burst={BURST}");
    // The rings take all of it, so that nothing is lost before it is counted.
    let options = ["json_output=true", "buffer_mib=64", &rate, &burst];
    let mut sensor = Falconet::with_arguments("run", dir.path(), &options, &["-r", rules.to_str().unwrap()]);
    sensor.wait_for_log("ready", |line| line.trim_start().starts_with("ready"));

    forget_peak(sensor.pid());
    let before = memory(sensor.pid(), "VmRSS");
    let started = std::time::Instant::now();
    for _ in 0..OPENS {
        File::open(path.join("trap")).unwrap();
    }
    let seconds = started.elapsed().as_secs() + 1;
    File::open(path.join("end")).unwrap();
    sensor.wait_for("end", |line| line.contains("\"the end\""));
    let cost = memory(sensor.pid(), "VmHWM").saturating_sub(before);
    assert!(sensor.interrupt().success());

    let alerts: Vec<Value> =
        sensor.lines().iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let raised = alerts.iter().filter(|alert| alert["rule"] == "opened").count() as u64;
    let storms: Vec<&Value> =
        alerts.iter().filter(|alert| alert["rule"] == "Falconet internal: alert storm").collect();
    let number = |alert: &Value| alert["output_fields"]["n_left_out"].as_str()?.parse::<u64>().ok();
    let left_out: u64 = storms.iter().map(|alert| number(alert).unwrap()).sum();
    let said = sensor.log().join("\n");
    assert!(said.contains(" 0 lost; alerts:"), "the rings were too small for this test: {said}");
    assert_eq!(raised + left_out, OPENS, "{storms:?}");
    assert!((BURST..=BURST + RATE * seconds).contains(&raised), "{raised} in {seconds} s");
    // One at once and one for the rest, and one for each ten seconds between.
    assert!((1..=2 + seconds / 10).contains(&(storms.len() as u64)), "{storms:?}");
    let first = storms[0];
    assert_eq!(first["priority"], "Critical", "as severe as its rule");
    let sample = first["output_fields"]["sample"].as_str().unwrap();
    assert!(sample.starts_with("opened ") && sample.contains("/trap by "), "{sample}");
    assert!(cost < MEMORY, "{cost} KiB more than the {before} KiB before");
}

//! The kernel's filter drops nothing that a rule would match: with and without it the alerts are the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::deep;
use support::need::Need;
use support::sensor::Falconet;

support::harness::tests! {
    alerts_are_the_same_with_and_without_it needs Need::Sensor;
    depth_hides_no_file_from_a_rule_about_where_it_lies needs Need::Sensor;
    the_programs_log_what_a_record_lacks_when_they_are_asked_to needs Need::Sensor;
}

/// Rules of every kind that the filter understands, and of some that it does not. `DIR` is the test's directory.
const RULES: &str = "
- macro: opened
  condition: (evt.type in (open, openat, openat2, creat))
- rule: whole
  desc: d
  condition: opened and fd.num >= 0 and fd.name in (DIR/a, DIR/a-long-name-with-a-tail)
  output: x %fd.name %proc.name %evt.type
  priority: INFO
- rule: written
  desc: d
  condition: opened and evt.is_open_write = true and fd.name startswith DIR/w
  output: x %fd.name %proc.name %evt.type
  priority: INFO
- rule: read below
  desc: d
  condition: opened and evt.is_open_read = true and fd.directory = DIR/sub
  output: x %fd.name %proc.name %evt.type
  priority: INFO
- rule: pattern
  desc: d
  condition: opened and fd.name glob DIR/*.key
  output: x %fd.name %proc.name %evt.type
  priority: INFO
- rule: failed
  desc: d
  condition: opened and evt.failed = true and fd.name endswith /missing and fd.name startswith DIR
  output: x %fd.name %proc.name %evt.type
  priority: INFO
";

/// Rules on the name that was asked for. `LINKS` is a directory with the link `way` to elsewhere, `MARK` a name below `/run`.
const ASKED: &str = "
- rule: asked
  desc: d
  condition: opened and fd.name startswith LINKS/way/
  output: x %fd.name %proc.name %evt.type
  priority: INFO
- rule: asked in a directory
  desc: d
  condition: opened and fd.num >= 0 and fd.directory = LINKS/way and fd.name endswith /x
  output: x %fd.name %proc.name %evt.type
  priority: INFO
- rule: spelled
  desc: d
  condition: opened and fd.name = /var/run/MARK
  output: x %fd.name %proc.name %evt.type
  priority: INFO
";

/// Opens of all kinds, the last one a mark that ends the run.
const SCRIPT: &str = "
cat a b a-long-name-with-a-tail a-long-name-with-another sub/x sub/deep/y missing sub/missing w1 2>/dev/null
echo 1 > w1; echo 2 >> w2; echo 3 > v1; echo 4 > sub/z
cat one.key sub/two.key sub/deep/three.keys 2>/dev/null
cd sub; cat ../a x ./deep/../x; cat ../missing 2>/dev/null
ln -s ../a link; cat link; mkdir -p wdir; ls wdir
cat $LINKS/way/x $LINKS/way/missing $LINKS/./way//x 2>/dev/null
(cd $LINKS; cat way/x ./way/x way/../way/x; cd way; cat x; cd -P .; cat x; cd /; cat ${LINKS#/}/way/x)
echo > /run/$MARK; cat /run/$MARK /var/run/$MARK; rm /run/$MARK
cat ../w-end 2>/dev/null; echo end > ../w-end
";

/// Rule, file, program and event of each alert, counted.
fn alerts(falconet: &Falconet, marks: &[&str]) -> BTreeMap<String, usize> {
    falconet.wait_for("the end", |line| line.contains("written") && line.contains("/w-end"));
    let mut found = BTreeMap::new();
    for line in falconet.lines() {
        let Ok(alert) = serde_json::from_str::<Value>(&line) else { continue };
        let fields = &alert["output_fields"];
        let text =
            format!("{} {} {} {}", alert["rule"], fields["fd.name"], fields["proc.name"], fields["evt.type"]);
        if marks.iter().any(|mark| text.contains(mark)) {
            *found.entry(text).or_default() += 1;
        }
    }
    found
}

fn alerts_are_the_same_with_and_without_it() {
    let dir = tempfile::Builder::new().prefix("fnf").tempdir().unwrap();
    let path = dir.path().canonicalize().unwrap();
    fs::create_dir_all(path.join("sub/deep")).unwrap();
    for name in ["a", "b", "a-long-name-with-a-tail", "a-long-name-with-another", "one.key", "sub/x"] {
        fs::write(path.join(name), "").unwrap();
    }
    for name in ["sub/deep/y", "sub/two.key", "sub/deep/three.keys"] {
        fs::write(path.join(name), "").unwrap();
    }
    let name = path.to_str().unwrap();
    let rules = path.join("rules.yaml");
    let [links, elsewhere] =
        ["fnl", "else"].map(|prefix| tempfile::Builder::new().prefix(prefix).tempdir().unwrap());
    fs::write(elsewhere.path().join("x"), "").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), links.path().join("way")).unwrap();
    let (links, mark) = (links.path().to_str().unwrap(), format!("fnm{}", std::process::id()));
    let text = format!("{RULES}{ASKED}").replace("DIR", name).replace("LINKS", links).replace("MARK", &mark);
    fs::write(&rules, text).unwrap();
    let start = |state: &Path, filter: &str| {
        let options = ["json_output=true", filter];
        let sensor = Falconet::with_arguments("run", state, &options, &["-r", rules.to_str().unwrap()]);
        sensor.wait_for_log("ready", |line| line.starts_with("ready"));
        sensor
    };
    let states = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let with = start(states[0].path(), "kernel_filter=true");
    let without = start(states[1].path(), "kernel_filter=false");
    let variables = [("LINKS", links), ("MARK", &mark)];
    let status =
        Command::new("sh").arg("-c").arg(SCRIPT).envs(variables).current_dir(&path).status().unwrap();
    assert!(status.success());
    let marks = [name, links, &mark];
    let (with, without) = (alerts(&with, &marks), alerts(&without, &marks));
    assert_eq!(with, without);
    // Every rule had something to say, or the comparison would prove little.
    for rule in
        ["whole", "written", "read below", "pattern", "failed", "asked", "asked in a directory", "spelled"]
    {
        assert!(with.keys().any(|alert| alert.starts_with(&format!("\"{rule}\""))), "{rule} in {with:?}");
    }
    // By the link it was opened five times, and asked for once more in vain.
    let asked = format!("\"asked\" \"{links}/way/x\" \"cat\" \"openat\"");
    assert_eq!(with.get(&asked), Some(&6), "{with:?}");
}

/// One rule, which the kernel filters by the beginning of the path.
const DEEP: &str = "
- rule: deep
  desc: d
  condition: evt.type = openat and fd.name startswith DIR/ and fd.filename = end
  output: x %fd.name %proc.name
  priority: INFO
";

fn depth_hides_no_file_from_a_rule_about_where_it_lies() {
    let (_dir, top) = deep::shared_memory();
    let state = tempfile::tempdir().unwrap();
    let rules = state.path().join("rules.yaml");
    fs::write(&rules, DEEP.replace("DIR", &top)).unwrap();
    let options = ["json_output=true", "kernel_filter=true"];
    let sensor = Falconet::with_arguments("run", state.path(), &options, &["-r", rules.to_str().unwrap()]);
    sensor.wait_for_log("ready", |line| line.starts_with("ready"));
    let alert = |what: &str, wanted: &dyn Fn(&Value) -> bool| -> Value {
        let parse = |line: &str| serde_json::from_str::<Value>(line).ok();
        parse(&sensor.wait_for(what, |line| parse(line).is_some_and(|alert| wanted(&alert)))).unwrap()
    };
    let name_starts = |alert: &Value, start: &str| {
        alert["output_fields"]["fd.name"].as_str().is_some_and(|name| name.starts_with(start))
    };

    // Nothing that the rule or the kernel's filter can know: it says so by itself.
    let dir = deep::dig(&top, "d", 9000);
    let cut = alert("the alert of a cut path", &|alert| alert["rule"] == "Falconet internal: path cut");
    let fields = &cut["output_fields"];
    assert_eq!((&fields["proc.pid"], &fields["evt.type"]), (&std::process::id().into(), &"openat".into()));
    deep::fill_in(dir, "d", 9000);

    for (name, depth, mark) in [("e", 200, Value::Null), ("f", 3000, "path_middle".into())] {
        let dir = deep::dig(&top, name, depth);
        let start = format!("{top}/{name}/{name}/{name}/");
        let found = alert("the rule's alert", &|alert| alert["rule"] == "deep" && name_starts(alert, &start));
        assert_eq!(found["output_fields"]["falconet.cut"], mark, "{depth} deep");
        deep::fill_in(dir, name, depth);
    }

    // SAFETY: x32's `rt_sigpending` of no bytes, whether the kernel knows it or not.
    unsafe { libc::syscall(0x4000_0000 + 522, 0, 0) };
    let unseen = alert("the alert of an unseen call", &|alert| {
        alert["rule"] == "Falconet internal: unseen system calls"
    });
    assert!(unseen["output_fields"]["n_x32"].as_str().is_some_and(|n| n != "0"), "{unseen}");
    assert!(!sensor.log().iter().any(|line| line.contains("helper returned")), "the debug log is off");
}

fn the_programs_log_what_a_record_lacks_when_they_are_asked_to() {
    let state = tempfile::tempdir().unwrap();
    let environment = [("RUST_LOG", "sensor_ebpf=debug")];
    let sensor = Falconet::with_environment("run", state.path(), &[], &[], &environment);
    sensor.wait_for_log("ready", |line| line.starts_with("ready"));
    let child = Command::new("/bin/true").arg("x".repeat(20_000)).spawn().unwrap();
    let of_child = format!("of process {}: cut {:x}", child.id(), sensor_ebpf::record::CUT_ARGS);
    assert!(child.wait_with_output().unwrap().status.success());
    let line = sensor.wait_for_log("line of the programs' log", |line| line.contains(&of_child));
    assert!(line.contains("DEBUG") && line.contains("sensor_ebpf"), "{line}");
}

//! Events with two names, from the record to the alert.

use std::sync::{Arc, Mutex};

use sensor_ebpf::events::Kind as EventKind;
use sensor_ebpf::events::connect::Connected;
use sensor_ebpf::events::open::Opened;
use sensor_ebpf::record::{Fd, Tail};

use super::judge::Judge;
use super::raise::TextOptions;
use super::stats::Stats;
use crate::alert::Alert;
use crate::rules::{self, Lineage, PathNames, Readings, Source};
use crate::state::testing::{Made, Who, record};
use crate::state::{Containers, Processes, Users, processes};

const INIT: Who = Who { pid: 1, start: 0 };
const CAT: Who = Who { pid: 7, start: 1 };

/// An openat of `raw` from `base`, which gave `path`; without one it failed.
fn open(raw: &str, base: &str, path: &str) -> Made {
    record(EventKind::Openat, CAT.header(5), &[path.as_bytes(), raw.as_bytes(), base.as_bytes()], |tails| {
        Opened {
            ret: if path.is_empty() { -2 } else { 3 },
            file: Fd {
                ino: 1,
                dev: 1,
                kind: if path.is_empty() { 0 } else { b'f' },
                proto: 0,
                sock_type: 0,
                flags: 0,
                local: [0; 16],
                remote: [0; 16],
                local_port: 0,
                remote_port: 0,
                path: if path.is_empty() { Tail::EMPTY } else { tails[0] },
                ..Fd::NONE
            },
            resolve: 0,
            flags: 0,
            mode: 0,
            dirfd: -100,
            created: 0,
            raw: tails[1],
            base: tails[2],
        }
    })
}

/// A connect of a socket that is bound to `@x` to one that was bound to `name`, which is `file`.
fn connect(name: &str, file: &str) -> Made {
    let tails = [b"\0x", name.as_bytes(), file.as_bytes()];
    record(EventKind::Connect, CAT.header(5), &tails, |tails| {
        let [mut local, mut remote] = [[0; 16]; 2];
        (local[0], remote[0]) = (0x10, 0x20);
        let (path, peer, peer_file) = (tails[0], tails[1], tails[2]);
        Connected {
            ret: 0,
            sock: Fd { kind: b'u', local, remote, path, peer, peer_file, ..Fd::NONE },
            num: 3,
            addr: Tail::EMPTY,
        }
    })
}

/// The alerts of one rule with that condition about one record.
fn alerts(condition: &str, paths: PathNames, event: &Made) -> Vec<Alert> {
    let text = format!(
        "- rule: r\n  desc: d\n  condition: evt.type in (openat, connect) and ({condition})\n  output: '%fd.name %fd.directory %fd.filename %fs.path.name'\n  priority: INFO\n"
    );
    judged(&text, Readings { paths, ..Readings::default() }, |judge| {
        judge.record(&CAT.fork(1, CAT.task(INIT, "cat")).record());
        judge.record(&CAT.exec(2, CAT.task(INIT, "cat"), "/usr/bin/cat", b"cat\0").record());
        judge.record(&event.record());
    })
}

/// The alerts of these rules about what is told to the judge.
fn judged(text: &str, readings: Readings, tell: impl FnOnce(&mut Judge)) -> Vec<Alert> {
    let options = rules::Options { append_output: Vec::new(), readings, ..rules::Options::default() };
    let rules = rules::load(&[Source::new("r.yaml", text)], &options).rules.unwrap();
    let alerts: Arc<Mutex<Vec<Alert>>> = Arc::default();
    let sink = alerts.clone();
    let mut judge = Judge::new(
        Processes::sealed(processes::Options::default()),
        Users::sealed(1),
        Containers::sealed(),
        Arc::new(rules),
        "h".into(),
        TextOptions::default(),
        Box::new(move |alert| {
            sink.lock().unwrap().push(alert);
            true
        }),
        Arc::new(Stats::default()),
    );
    tell(&mut judge);
    drop(judge);
    std::mem::take(&mut alerts.lock().unwrap())
}

/// The names in the one alert, and the name that it has besides.
fn told(condition: &str, paths: PathNames, event: &Made) -> Option<(String, String)> {
    let alerts = alerts(condition, paths, event);
    let [alert] = alerts.as_slice() else {
        assert!(alerts.is_empty(), "more than one alert: {alerts:?}");
        return None;
    };
    let (_, names) = alert.output.split_once("Informational ").unwrap();
    let other = alert.output_fields.get("falconet.other.fd.name");
    Some((names.to_owned(), other.map_or("", |other| other.as_str().unwrap()).to_owned()))
}

#[test]
fn the_alert_shows_the_name_that_fired_and_the_other_one() {
    use PathNames::{Asked, Both, Resolved};
    let link = open("link", "/tmp", "/etc/shadow");
    let (real, asked) = ("/etc/shadow /etc shadow /etc/shadow", "/tmp/link /tmp link /tmp/link");
    for (condition, paths, names) in [
        ("fd.name = /etc/shadow", Both, Some((real, "/tmp/link"))),
        ("fd.name = /tmp/link", Both, Some((asked, "/etc/shadow"))),
        ("fd.filename = link and fd.directory = /tmp", Both, Some((asked, "/etc/shadow"))),
        ("fs.path.name = /tmp/link", Both, Some((asked, "/etc/shadow"))),
        ("fd.directory = /etc and fd.filename = link", Both, None),
        ("fd.nameraw = link", Both, Some((real, "/tmp/link"))),
        ("fd.name = /etc/shadow", Resolved, Some((real, "/tmp/link"))),
        ("fd.name = /tmp/link", Resolved, None),
        ("fd.name = /etc/shadow", Asked, None),
        ("fd.name = /tmp/link", Asked, Some((asked, "/etc/shadow"))),
    ] {
        let names = names.map(|(names, other)| (names.to_owned(), other.to_owned()));
        assert_eq!(told(condition, paths, &link), names, "{condition} {paths:?}");
    }
}

#[test]
fn one_name_is_not_told_twice() {
    for (raw, base, path, name) in [
        ("/etc/shadow", "", "/etc/shadow", "/etc/shadow"),
        ("shadow", "/etc", "/etc/shadow", "/etc/shadow"),
        ("etc/shadow", "/", "/etc/shadow", "/etc/shadow"),
        ("../etc/./shadow", "/tmp", "/etc/shadow", "/etc/shadow"),
        ("/var/run/x", "", "/run/x", "/run/x"),
        ("run/x", "/var", "/run/x", "/run/x"),
        ("/bin/sh", "", "/usr/bin/sh", "/usr/bin/sh"),
        ("/nope", "", "", "/nope"),
        // Where it starts is not known.
        ("shadow", "", "/etc/shadow", "/etc/shadow"),
    ] {
        let told = told("fd.name exists", PathNames::Both, &open(raw, base, path)).unwrap();
        assert!(told.0.starts_with(&format!("{name} ")) && told.1.is_empty(), "{raw}: {told:?}");
    }
}

#[test]
fn a_link_at_the_root_counts_unless_the_kernel_shows_that_there_is_none() {
    let fires = |condition: &str, event: &Made| told(condition, PathNames::Both, event).is_some();
    let run = open("/var/run/x", "", "/run/x");
    assert!(fires("fd.name startswith /var/run/", &run) && fires("fd.directory = /var/run", &run));
    assert!(!fires("not fd.name startswith /var/run", &run) && !fires("not fd.directory = /var/run", &run));
    let usr = open("/usr/bin/sh", "", "/usr/bin/sh");
    assert!(!fires("not fd.name = /bin/sh", &usr) && !fires("fd.name != /bin/sh", &usr));
    // There `/bin` is a directory of its own.
    let bin = open("/bin/sh", "", "/bin/sh");
    assert!(fires("not fd.name = /usr/bin/sh", &bin) && !fires("fd.name = /usr/bin/sh", &bin));
    // The links are looked at within each name.
    let link = open("/tmp/sh", "", "/usr/bin/sh");
    assert!(fires("fd.name = /bin/sh", &link) && fires("fd.name exists and not fd.name = /bin/sh", &link));
    assert!(fires("proc.exepath = /bin/cat", &run) && !fires("not proc.exepath = /bin/cat", &run));
}

/// Of a double fork: init, a shell, its child that ends, and that one's child, which reads a file.
fn orphan(judge: &mut Judge) {
    let [shell, between] = [Who { pid: 5, start: 1 }, Who { pid: 6, start: 1 }];
    for (who, parent, name) in
        [(INIT, Who { pid: 0, start: 0 }, "init"), (shell, INIT, "sh"), (between, shell, "between")]
    {
        judge.record(&who.fork(1, who.task(parent, name)).record());
        judge.record(&who.exec(1, who.task(parent, name), "/x", b"x\0").record());
    }
    judge.record(&CAT.fork(2, CAT.task(between, "between")).record());
    judge.record(&between.exit(3, INIT).record());
    judge.record(&CAT.exec(4, CAT.task(INIT, "cat"), "/usr/bin/cat", b"cat\0").record());
    judge.record(&open("/f", "", "/f").record());
}

#[test]
fn a_rule_on_a_parent_holds_for_the_one_or_for_the_other() {
    use Lineage::{Both, Current, Original};
    let [current, original] = ["init 1 init <NA>", "between 6 between sh init sh"];
    for (condition, lineage, told) in [
        ("proc.pname = init", Both, Some(current)),
        ("proc.pname = between", Both, Some(original)),
        ("proc.aname = sh", Both, Some(original)),
        ("proc.aname[2] = sh and proc.ppid = 6", Both, Some(original)),
        // One lineage throughout.
        ("proc.pname = init and proc.aname = sh", Both, None),
        ("proc.name = cat and not proc.pname = init", Both, Some(original)),
        ("proc.name = cat and not proc.pname in (init, between)", Both, None),
        ("proc.name = cat", Both, Some(current)),
        ("proc.pname = init", Current, Some(current)),
        ("proc.pname = between", Current, None),
        ("proc.pname = init", Original, None),
        ("proc.pname = between", Original, Some(original)),
    ] {
        let text = format!(
            "- rule: r\n  desc: d\n  condition: evt.type = openat and {condition}\n  output: '%proc.pname %proc.ppid %proc.aname %proc.aname[2]'\n  priority: INFO\n"
        );
        let alerts = judged(&text, Readings { lineage, ..Readings::default() }, orphan);
        let shown: Vec<&str> =
            alerts.iter().map(|alert| alert.output.split_once("Informational ").unwrap().1).collect();
        assert_eq!(shown, Vec::from_iter(told), "{condition} {lineage:?}");
        for alert in alerts {
            let other = &alert.output_fields["falconet.other.proc.aname"];
            assert!(*other == "init" || *other == "between sh init", "{other}");
        }
    }
}

#[test]
fn a_sockets_path_counts_alone() {
    use PathNames::{Asked, Both, Resolved};
    let [pair, file, bound] = ["10->20 /tmp/way/docker.sock", "/run/docker.sock", "/tmp/way/docker.sock"];
    let event = connect(bound, file);
    for (condition, paths, name) in [
        ("fd.name endswith /docker.sock", Both, Some((pair, file))),
        ("fd.name = /run/docker.sock", Both, Some((file, pair))),
        ("fd.name = /var/run/docker.sock", Both, Some((file, pair))),
        ("fd.name = /tmp/way/docker.sock", Both, Some((bound, pair))),
        ("fd.name in (/x, /run/docker.sock)", Both, Some((file, pair))),
        ("fd.name contains x", Both, None),
        ("fd.name startswith /run and fd.name startswith /tmp", Both, None),
        // What excepts the path excepts it in all its names only if all are meant.
        ("fd.num = 3 and not fd.name contains docker.sock", Both, None),
        ("fd.num = 3 and not fd.name contains /tmp/way", Both, Some((file, pair))),
        ("fd.name = /run/docker.sock", Resolved, Some((file, pair))),
        ("fd.name = /tmp/way/docker.sock", Resolved, None),
        ("fd.name = /run/docker.sock", Asked, None),
        ("fd.name = /tmp/way/docker.sock", Asked, None),
        ("fd.name endswith /way/docker.sock", Asked, Some((pair, bound))),
    ] {
        let told = told(condition, paths, &event).map(|(names, other)| {
            let name = names.strip_suffix(" <NA> <NA> <NA>").unwrap().to_owned();
            (name, other)
        });
        let name = name.map(|(name, other)| (name.to_owned(), other.to_owned()));
        assert_eq!(told, name, "{condition} {paths:?}");
    }
    for (name, condition, expected) in [
        ("\0bus", "fd.name = @bus", Some("@bus")),
        ("relative", "fd.name = relative", Some("relative")),
        ("", "fd.name exists", Some("10->20 @x")),
        ("", "fd.name = @x", Some("@x")),
    ] {
        let told = told(condition, Both, &connect(name, ""));
        assert_eq!(
            told.map(|(names, _)| names),
            expected.map(|name| format!("{name} <NA> <NA> <NA>")),
            "{name}"
        );
    }
}

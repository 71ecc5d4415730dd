//! What a rule says of an event with two names, and of a name with two spellings: the table to [`readings`] and [`spellings`].
//!
//! [`readings`]: crate::rules::registry::readings
//! [`spellings`]: crate::rules::registry::spellings

use crate::rules::program::evaluate::Scratch;
use crate::rules::registry::readings::{PathNames, Readings};
use crate::rules::report::source::Source;
use crate::rules::source::options::Options;
use crate::rules::{RuleSet, cases, load};

fn set(condition: &str, paths: PathNames) -> RuleSet {
    let rule = format!("- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: {condition}\n");
    let options = Options { readings: Readings { paths, ..Readings::default() }, ..Options::default() };
    load(&[Source::new("r.yaml", rule)], &options).rules.unwrap()
}

/// The name that the rule fires by, given its names.
fn fires_by<'n>(set: &RuleSet, names: &[&'n str]) -> Vec<&'n str> {
    let others: Vec<String> = names[1..].iter().map(|name| format!("{{fd.name: '{name}'}}")).collect();
    let event = format!(
        "{{evt.type: openat, fd.num: 3, fd.name: '{}', other_names: [{}]}}",
        names[0],
        others.join(", ")
    );
    let event = cases::event(&Source::new("e.yaml", event)).unwrap();
    let (readings, mut by) = (event.readings(), Vec::new());
    set.evaluate_readings(&mut Scratch::default(), &readings, |_, reading| {
        by.push(names[readings.iter().position(|other| std::ptr::eq(*other, *reading)).unwrap()]);
    });
    let nearest = set.nearest(&set.rules()[0], &readings).unwrap();
    assert_eq!(nearest.1 == 0, !by.is_empty(), "the distance tells the same");
    assert_eq!(set.trace(&set.rules()[0], nearest.0).fires, !by.is_empty(), "and so does the trace");
    by
}

#[test]
fn a_rule_fires_for_the_one_name_or_for_the_other() {
    for (condition, names, by) in [
        // Either name is enough, and there is one alert.
        ("fd.name = /real", &["/real", "/link"][..], Some("/real")),
        ("fd.name = /link", &["/real", "/link"], Some("/link")),
        ("fd.name in (/real, /link)", &["/real", "/link"], Some("/real")),
        ("fd.name = /else", &["/real", "/link"], None),
        // A condition sees one name throughout.
        ("fd.name = /real and fd.name = /link", &["/real", "/link"], None),
        ("fd.name startswith /re and fd.name endswith nk", &["/real", "/link"], None),
        // An exception for the one name is none for the other.
        ("fd.num > 0 and not fd.name = /link", &["/real", "/link"], Some("/real")),
        ("fd.num > 0 and not fd.name = /real", &["/real", "/link"], Some("/link")),
        ("fd.num > 0 and fd.name != /real", &["/real", "/link"], Some("/link")),
        ("fd.num > 0 and not fd.name in (/real, /link)", &["/real", "/link"], None),
        ("fd.name startswith /etc and not fd.name = /tmp/a", &["/etc/shadow", "/tmp/a"], Some("/etc/shadow")),
        ("fd.name startswith /etc and not fd.name = /tmp/a", &["/tmp/a", "/etc/shadow"], Some("/etc/shadow")),
        // Other names are no matter.
        ("fd.num > 0", &["/real", "/link"], Some("/real")),
        ("fd.num > 5", &["/real", "/link"], None),
    ] {
        assert_eq!(
            fires_by(&set(&format!("evt.type = openat and {condition}"), PathNames::Both), names),
            Vec::from_iter(by),
            "{condition}"
        );
    }
}

#[test]
fn spellings_of_a_name_are_one_name() {
    for (condition, name, fires, fires_in_falco) in [
        // A rule sees both.
        ("fd.name startswith /var/run/secrets", "/run/secrets/x", true, false),
        ("fd.name startswith /run/secrets", "/var/run/secrets/x", true, false),
        ("fd.name in (/bin/sh, /x)", "/usr/bin/sh", true, false),
        ("fd.name = /usr/lib/x.so", "/lib/x.so", true, false),
        ("fd.name glob '/bin/s?'", "/usr/bin/sh", true, false),
        ("fd.name pmatch (/var/run)", "/run/docker.sock", true, false),
        ("fd.name contains usr/bin", "/bin/sh", true, false),
        ("fd.name endswith /var/run/x", "/run/x", true, false),
        ("fd.name regex '^/usr/bin/.*'", "/bin/sh", true, false),
        ("fd.name startswith /var/", "/run/x", true, false),
        ("fd.name = /var/lock/x", "/var/run/lock/x", true, false),
        ("fd.directory = /bin", "/x", false, false),
        // An exception that names the one excepts the other.
        ("not fd.name startswith /var/run", "/run/x", false, true),
        ("not fd.name startswith /run", "/var/run/x", false, true),
        ("fd.name != /bin/sh", "/usr/bin/sh", false, true),
        ("not fd.name in (/usr/bin/sh)", "/bin/sh", false, true),
        ("not fd.name glob '/bin/*'", "/usr/bin/sh", false, true),
        // Everything else is as it was.
        ("fd.name startswith /bin", "/binary", true, true),
        ("fd.name startswith /usr/bin", "/binary", false, false),
        ("not fd.name startswith /var/run", "/running", true, true),
        ("fd.name = /etc/shadow", "/etc/shadow", true, true),
        ("tolower(fd.name) = /bin/sh", "/usr/bin/sh", false, false),
    ] {
        let condition = format!("evt.type = openat and fd.num > 0 and {condition}");
        for (paths, fires) in
            [(PathNames::Both, fires), (PathNames::Resolved, fires), (PathNames::Asked, fires_in_falco)]
        {
            assert_eq!(
                !fires_by(&set(&condition, paths), &[name]).is_empty(),
                fires,
                "{paths:?}: {condition}"
            );
        }
    }
}

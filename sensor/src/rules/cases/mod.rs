//! Test cases for rules: events written down in YAML, and which rules must fire on them or stay silent. No kernel and no
//! root are needed.
//!
//! ```yaml
//! rules: [shell.yaml]
//! cases:
//!   - name: a shell with a terminal
//!     event: {evt.type: execve, proc.name: bash, proc.tty: 34816, proc.aname: [sshd, systemd]}
//!     fires: [Terminal shell in container]
//!     silent: [Read sensitive file]
//! ```
//!
//! The whole form is in `docs/rules.md`; `read` reads it, `event` is the event that comes of it.

mod event;
mod read;

use crate::rules::program::evaluate::Scratch;
use crate::rules::report::suggest;
use crate::rules::rule_set::{Rule, RuleSet};
use crate::rules::source::options::Matching;
use crate::rules::status::Status;

pub use event::CaseEvent;
pub use read::{event, parse};

/// A file of test cases.
#[derive(Debug)]
pub struct CaseFile {
    /// Rule files and folders, relative to the folder of this file.
    pub rules: Vec<Named>,
    /// `key=value`, as `run -o` takes them.
    pub options: Vec<Named>,
    pub cases: Vec<Case>,
}

/// A text and its line in the file, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub text: String,
    pub line: usize,
}

/// One event and what is expected of it.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    /// Line in the file, counted from 1.
    pub line: usize,
    pub event: CaseEvent,
    pub fires: Vec<String>,
    pub silent: Vec<String>,
    /// What is odd about the event.
    pub remarks: Vec<Remark>,
}

/// Something that the event says and no real event does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    pub line: usize,
    pub message: String,
}

/// The file is not a file of test cases.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct CaseError {
    pub file: String,
    pub line: usize,
    pub message: String,
}

/// An expectation that was not met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub case: String,
    pub line: usize,
    pub message: String,
    /// The rule whose verdict was another, when there is such a rule.
    pub rule: Option<String>,
}

/// Judges every case; returns what did not come as expected.
pub fn run(rules: &RuleSet, file: &CaseFile) -> Vec<Failure> {
    let mut scratch = Scratch::default();
    file.cases.iter().flat_map(|case| judge(rules, &mut scratch, case)).collect()
}

/// Judges one case.
pub fn judge(rules: &RuleSet, scratch: &mut Scratch, case: &Case) -> Vec<Failure> {
    let fired = fired(rules, scratch, &case.event);
    let mut failures = Vec::new();
    let expected = case.fires.iter().map(|name| (name, true));
    for (name, fires) in expected.chain(case.silent.iter().map(|name| (name, false))) {
        let mut rule = None;
        let message = match rules.get(name) {
            None => {
                let meant = suggest::nearest(name, rules.rules().iter().map(|rule| rule.name.as_str()));
                let meant = meant.map(|meant| format!(" (did you mean {meant:?}?)")).unwrap_or_default();
                format!("there is no rule {name:?}{meant}")
            }
            // It is silent whatever the event.
            Some(known) if !fires && known.status.told().0 == "disabled" => continue,
            Some(known) if !known.status.fires() => format!("rule {name:?} {}", idle(known)),
            Some(known) if fires == fired.iter().any(|rule| rule.name == *name) => {
                debug_assert_eq!(known.name, *name);
                continue;
            }
            Some(_) => {
                rule = Some(name.clone());
                match fired.first() {
                    Some(first) if fires && rules.matching() == Matching::First => {
                        format!("rule {name:?} did not fire: {:?} fired before it", first.name)
                    }
                    _ if fires => format!("rule {name:?} did not fire"),
                    _ => format!("rule {name:?} fired"),
                }
            }
        };
        failures.push(Failure { case: case.name.clone(), line: case.line, message, rule });
    }
    failures
}

/// The rules that fire on the event.
fn fired<'r>(rules: &'r RuleSet, scratch: &mut Scratch, event: &CaseEvent) -> Vec<&'r Rule> {
    let mut fired = Vec::new();
    if event.is_untyped() {
        // Rules are found by the type of the event; one without a type is judged by each condition itself.
        let judged = rules.rules().iter().filter(|rule| rule.status.fires());
        fired.extend(judged.filter(|rule| {
            rules.nearest(rule, &event.readings()).is_some_and(|(_, distance)| distance == 0)
        }));
        fired.truncate(if rules.matching() == Matching::First { 1 } else { usize::MAX });
    } else {
        rules.evaluate_readings(scratch, &event.readings(), |rule, _| fired.push(rule));
    }
    fired
}

/// Why a rule is not judged, and what to do about it.
fn idle(rule: &Rule) -> String {
    match &rule.status {
        Status::Disabled => {
            let name = &rule.name;
            format!("is disabled; enable it with `options: [\"rules[].enable.rule={name}\"]`")
        }
        Status::BelowPriority => "is less severe than the option `priority`".to_owned(),
        Status::Inactive(reason) | Status::Limited(reason) => format!("is inactive: {reason}"),
        Status::Active => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::language::output::print;
    use crate::rules::load;
    use crate::rules::registry::event::Event;
    use crate::rules::registry::fields::{Field, FieldRef};
    use crate::rules::report::source::Source;
    use crate::rules::source::options::Options;

    fn cases(text: &str) -> Result<CaseFile, String> {
        parse(&Source::new("t.cases.yaml", text)).map_err(|error| error.to_string())
    }

    /// The event of a flow mapping.
    fn event_of(fields: &str) -> CaseEvent {
        event(&Source::new("e", fields)).unwrap_or_else(|error| panic!("{error}: {fields}"))
    }

    fn shown(event: &CaseEvent, field: &str) -> Option<String> {
        let mut shown = String::new();
        print(event.get(&FieldRef::parse(field).unwrap())?, &mut shown);
        Some(shown)
    }

    fn fires(condition: &str, event: &CaseEvent) -> bool {
        let rule =
            format!("- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: >\n    {condition}\n");
        let loaded = load(&[Source::new("r", rule)], &Options::default());
        let rules = loaded.rules.unwrap_or_else(|| panic!("{}", loaded.files[0]));
        !fired(&rules, &mut Scratch::default(), event).is_empty()
    }

    #[test]
    fn cases_say_what_fires_and_what_does_not() {
        let rules = "- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=open and proc.aname=sshd\n";
        let set = load(&[Source::new("r", rules)], &Options::default()).rules.unwrap();
        let file = cases(
            "cases:\n\
             - {name: yes, event: {evt.type: open, proc.aname: [bash, sshd]}, fires: [r]}\n\
             - {name: no, event: {evt.type: open, proc.aname: [bash], proc.name: sshd}, silent: r}\n\
             - {event: {evt.type: open}, fires: [r, rr]}\n",
        )
        .unwrap();
        let failures: Vec<String> = run(&set, &file)
            .into_iter()
            .map(|failure| format!("{}: {}", failure.case, failure.message))
            .collect();
        assert_eq!(
            failures,
            ["case 3: rule \"r\" did not fire", "case 3: there is no rule \"rr\" (did you mean \"r\"?)"]
        );
    }

    #[test]
    fn a_rule_that_is_not_judged_says_how_to_have_it_judged() {
        let rule = |name: &str, more: &str| {
            format!(
                "- rule: {name}\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=open\n{more}"
            )
        };
        let text = [rule("a", ""), rule("b", ""), rule("c", "  enabled: false\n")].concat();
        let options = Options { matching: Matching::First, ..Options::default() };
        let set = load(&[Source::new("r", text)], &options).rules.unwrap();
        let file = cases("cases:\n- {event: {evt.type: open}, fires: [a, b, c]}\n").unwrap();
        let failures: Vec<String> = run(&set, &file).into_iter().map(|failure| failure.message).collect();
        assert_eq!(
            failures,
            [
                "rule \"b\" did not fire: \"a\" fired before it",
                "rule \"c\" is disabled; enable it with `options: [\"rules[].enable.rule=c\"]`"
            ]
        );
    }

    #[test]
    fn fields_follow_from_each_other() {
        let event = event_of(
            "{evt.type: connect, proc.name: a, proc.aname: [b, c], fd.cip: 1.2.3.4, fd.sip: 10.0.0.1, fd.sport: 443,
             evt.arg: {fd: '<4t>x'}, container.label: {app: web}, evt.buffer: {hex: '00ff'}}",
        );
        for (field, value) in [
            ("proc.aname[0]", Some("a")),
            ("proc.aname[1]", Some("b")),
            ("proc.aname[2]", Some("c")),
            ("proc.aname[3]", None),
            ("proc.aname", Some("b c")),
            ("proc.pname", Some("b")),
            ("fd.snet", Some("10.0.0.1")),
            ("evt.arg[2]", Some("<4t>x")),
            ("container.label[app]", Some("web")),
            ("container.label[x]", None),
            ("fd.lip", None),
            ("evt.buffer", Some("..")),
            ("syscall.type", Some("connect")),
        ] {
            assert_eq!(shown(&event, field).as_deref(), value, "{field}");
        }
        let mut ips = 0;
        event.any(&FieldRef::from(Field::FdIp), &mut |_| {
            ips += 1;
            false
        });
        assert_eq!(ips, 2);
    }

    #[test]
    fn one_thing_may_be_written_in_many_ways() {
        for (fields, condition) in [
            ("{evt.type: open, evt.arg.flags: O_RDONLY}", "evt.arg.flags = O_RDONLY"),
            ("{evt.type: open, 'evt.arg[2]': O_RDONLY}", "evt.arg.flags = O_RDONLY"),
            ("{evt.type: open, evt.arg: {flags: O_RDONLY}}", "evt.arg[2] = O_RDONLY"),
            ("{evt: {type: open, arg: {flags: O_RDONLY}}}", "evt.type = open and evt.arg.flags = O_RDONLY"),
            ("{evt.type: open, evt.rawarg: {flags: 5}}", "evt.rawarg.flags > 4"),
            ("{evt.type: open, evt.rawarg.flags: 5}", "evt.rawarg.flags = 5"),
            ("{syscall.type: open}", "evt.type = open"),
            ("{evt.type: open, proc.aname: bash}", "proc.aname = bash and proc.pname = bash"),
            ("{evt.type: open, proc.pname: bash}", "proc.aname = bash and proc.aname[1] = bash"),
            (
                "{evt.type: open, proc.aname: [x, null, z], 'proc.aname[2]': y}",
                "proc.aname[2] = y and proc.aname[3] = z",
            ),
            ("{evt.type: open, 'proc.aname[3]': z}", "proc.aname = z and not proc.pname exists"),
            ("{evt.type: open, 'proc.aname[0]': me}", "proc.name = me and not proc.aname exists"),
            ("{evt.type: open, proc.aname: {1: p, 2: g}}", "proc.pname = p and proc.aname[2] = g"),
            ("{evt.type: open, proc.apid: [7, 1]}", "proc.ppid = 7 and proc.apid = 1"),
            (
                "{evt.type: open, proc.args: [-c, id]}",
                "proc.args = '-c id' and proc.args[1] = id and proc.args[2] = ''",
            ),
            (
                "{evt.type: open, proc.env: {A: 1, B: x}}",
                "proc.env = 'A=1 B=x' and proc.env[B] = x and proc.env[C] = ''",
            ),
            ("{evt.type: open, proc.env: [A=1]}", "proc.env[A] = 1"),
            ("{evt.type: open, 'proc.env[A]': 1}", "proc.env[A] = 1 and proc.env contains 'A=1'"),
            ("{evt.type: open, thread.cap_effective: [CAP_X, CAP_Y]}", "thread.cap_effective contains CAP_Y"),
            (
                "{evt.type: open, fd.num: '3', proc.name: 7, proc.tty: 0x10}",
                "fd.num = 3 and proc.name = 7 and proc.tty = 16",
            ),
            (
                "{evt.type: open, evt.failed: 'yes', container.privileged: \"true\"}",
                "evt.failed = true and container.privileged = true",
            ),
            ("{evt.type: open, container.label: {a.b/c: d}}", "container.label[a.b/c] = d"),
            ("{evt.type: open, container.mount.dest: {/proc*: /p}}", "container.mount.dest[/proc*] = /p"),
            ("{evt.type: open, fd.name: {hex: '2f FF'}}", "fd.name startswith / and fd.name != /"),
            ("{evt.type: read, evt.buffer: {hex: 00Ff}}", "evt.buffer bcontains 00ff"),
            ("{evt.type: read, evt.arg: {data: {hex: '4142'}}}", "evt.arg.data = AB"),
            ("{evt.type: connect, fd.sport: https, fd.cport: 5000}", "fd.port = 443 and fd.port = 5000"),
            (
                "{evt.type: connect, fd.rip: 10.1.1.1, fd.lip: 192.168.0.1}",
                "fd.net in (10.0.0.0/8) and fd.ip = 192.168.0.1",
            ),
            ("{evt.type: connect, fd.net: 10.1.1.1}", "fd.net in (10.0.0.0/8) and not fd.snet exists"),
            (
                "{evt.type: poll, fd.types: [file, ipv4]}",
                "fd.types intersects (ipv4) and not fd.types in (file)",
            ),
            (
                "{evt.type: open, proc.name: null, proc.pname: ~, proc.exe: }",
                "not proc.name exists and not proc.pname exists and not proc.exe exists",
            ),
            ("{evt.type: open, proc.args: ''}", "proc.args exists and proc.args = ''"),
            ("{evt.type: container, evt.dir: '>'}", "evt.type = container"),
            ("{evt.type: open, evt.is_wait: true}", "evt.is_wait = true"),
            ("{proc.name: x}", "proc.name = x and not evt.type = open"),
        ] {
            assert!(fires(condition, &event_of(fields)), "{fields}: {condition}");
        }
    }

    #[test]
    fn nothing_is_guessed() {
        for (fields, condition) in [
            ("{evt.type: open, evt.rawres: 3}", "evt.res exists"),
            ("{evt.type: open, evt.res: ENOENT}", "evt.rawres exists or evt.failed exists"),
            (
                "{evt.type: open, fd.name: /etc/shadow}",
                "fd.directory exists or fd.filename exists or fd.type exists",
            ),
            ("{evt.type: open, evt.arg: {flags: x}}", "evt.rawarg.flags exists or evt.args exists"),
            ("{evt.type: open, proc.args: '-c id'}", "proc.args[0] exists"),
            ("{evt.type: open, proc.cmdline: a b}", "proc.name exists or proc.args exists"),
            ("{proc.name: x}", "evt.type = open or evt.type != open or evt.type exists"),
            ("{evt.type: open}", "container.id exists or proc.name != x or fd.port != 1"),
            ("{evt.type: connect, fd.sip: 1.2.3.4}", "fd.cip exists or fd.rip exists or fd.port exists"),
        ] {
            assert!(!fires(condition, &event_of(fields)), "{fields}: {condition}");
        }
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let case = |event: &str| format!("cases:\n- name: n\n  silent: [r]\n  event: {event}\n");
        for (text, message) in [
            (String::new(), "1: the file is empty"),
            ("cases: 3\n".to_owned(), "1: 'cases' must be a list of {name, event, fires, silent}"),
            ("rules: [a]\n".to_owned(), "1: there is no list 'cases' of {name, event, fires, silent}"),
            (
                "rule: [a]\ncases: []\n".to_owned(),
                "1: unknown key 'rule' (did you mean 'rules'?); known are rules, options, cases",
            ),
            (
                "cases: []\n---\ncases: []\n".to_owned(),
                "3: a second YAML document: put its cases into a file of their own",
            ),
            (
                "cases:\n- name: n\n  event: {evt.type: open}\n".to_owned(),
                "2: a case needs 'fires' or 'silent' with the name of a rule",
            ),
            (
                "cases:\n- name: n\n  event: {}\n  fires: a\n  silent: a\n".to_owned(),
                "2: rule \"a\" cannot both fire and be silent",
            ),
            (
                "cases:\n- name: n\n  silent: [r]\n".to_owned(),
                "2: a case needs an 'event', a mapping of fields to values",
            ),
            (
                case("\n    evt.type: open\n    fd.nmae: x"),
                "6: nonexistent field fd.nmae (did you mean 'fd.name'?)",
            ),
            (case("{evt.type: opne}"), "4: unknown event type 'opne' (did you mean 'open'?)"),
            (
                case("{evt.type: open, evt.dir: '>'}"),
                "4: evt.dir of 'open' is '<': system calls reach rules as that only",
            ),
            (case("{evt.type: open, fd.num: x}"), "4: the value of fd.num must be a whole number, not \"x\""),
            (
                case("{evt.type: open, fd.sip: 1.2.3}"),
                "4: the value of fd.sip must be an IP address, not \"1.2.3\"",
            ),
            (
                case("{evt.type: open, fd.sport: sssh}"),
                "4: the value of fd.sport must be a port number or a known service, not \"sssh\"",
            ),
            (
                case("{evt.type: open, evt.failed: maybe}"),
                "4: the value of evt.failed must be true or false, not \"maybe\"",
            ),
            (case("{evt.type: open, fd.name: [a, b]}"), "4: fd.name has one value, not a list"),
            (
                case("{evt.type: open, evt.buffer: {hex: 0f0}}"),
                "4: the value of evt.buffer must be pairs of hexadecimal digits: {hex: \"00ff\"}",
            ),
            (case("{evt.type: open, proc.aname: [[a]]}"), "4: the value of proc.aname must be a scalar"),
            (
                case("{evt.type: open, 'proc.aname[99999999]': a}"),
                "4: position 99999999 is farther than 1024",
            ),
            (case("[evt.type]"), "4: an event is a mapping of fields to values"),
        ] {
            assert_eq!(cases(&text).unwrap_err(), format!("t.cases.yaml:{message}"));
        }
    }

    #[test]
    fn a_parameter_that_the_event_lacks_is_remarked_on() {
        let file =
            cases("cases:\n- silent: r\n  event:\n    evt.type: open\n    evt.arg: {newpath: x}\n").unwrap();
        assert_eq!(
            file.cases[0].remarks,
            [Remark {
                line: 5,
                message:
                    "this event has no parameter 'newpath' in reality; it has fd, name, flags, mode, dev, ino"
                        .to_owned()
            }]
        );
    }
}

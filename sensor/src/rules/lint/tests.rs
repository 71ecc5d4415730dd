//! Each lint on what it is for, and beside it.

use std::collections::BTreeSet;

use super::*;
use crate::rules::load;
use crate::rules::registry::field_set::FieldSet;
use crate::rules::registry::fields::Field;
use crate::rules::source::options::{Matching, Options, Sight};
use crate::rules::source::stock::stock;
use crate::rules::upstream_tests::upstream;

/// A rule with the condition, or the text itself when it is YAML.
fn file(text: &str) -> String {
    if text.starts_with("- ") {
        return text.to_owned();
    }
    format!("- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: >\n    {text}\n")
}

fn findings(text: &str) -> Vec<Finding> {
    let sources = [Source::new("t.yaml", file(text))];
    let unfilled = FieldSet::NONE.with(Field::EvtIsWait).with(Field::ProcVmsize);
    let sight = Sight { unfilled, ..Sight::default() };
    let loaded = load(&sources, &Options { sight, matching: Matching::First, ..Options::default() });
    let rules = loaded.rules.unwrap_or_else(|| panic!("{}", loaded.files[0]));
    run(&sources, &rules)
}

/// `lint: message` of everything that is found.
fn told(text: &str) -> Vec<String> {
    findings(text).iter().map(|found| format!("{}: {}", found.lint.id, found.diagnostic.message)).collect()
}

/// A rule file of macros and rules: `name: condition`.
fn rules(lines: &[&str]) -> String {
    let rule = |line: &&str| {
        let (name, condition) = line.split_once(": ").unwrap();
        match name.strip_prefix("macro ") {
            Some(name) => format!("- macro: {name}\n  condition: {condition}\n"),
            None => format!(
                "- rule: {name}\n  desc: d\n  output: o\n  priority: INFO\n  condition: {condition}\n"
            ),
        }
    };
    lines.iter().map(rule).collect()
}

/// `old` with `new` appended.
fn appended(old: &str, new: &str) -> String {
    let change = format!("- rule: r\n  condition: {new}\n  override: {{condition: append}}\n");
    rules(&[&format!("r: {old}")]) + &change
}

/// Texts in which the lint finds something, and texts in which it does not.
type Samples = (&'static Lint, Vec<String>, Vec<String>);

fn samples() -> Vec<Samples> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>();
    vec![
        (
            &conditions::NEVER_TRUE,
            texts(&[
                "evt.type=open and evt.type=unlink",
                "evt.type in (open, openat) and evt.type in (execve, execveat)",
                "evt.type=open and not evt.type in (open, openat)",
                "evt.type=container and evt.dir=<",
                "evt.type=open and proc.name=a and proc.name=b",
                "evt.type=open and proc.name in (a, b) and proc.name in (c, d)",
                "evt.type=open and proc.name in (a, b) and not proc.name in (b, a)",
                "evt.type=open and proc.name=a and proc.name!=a",
                "evt.type=open and proc.name=abc and proc.name startswith b",
                "evt.type=open and fd.name startswith /etc and fd.name startswith /usr",
                "evt.type=open and fd.name startswith /etc/x and not fd.name startswith /etc",
                "evt.type=open and fd.name endswith .so and not fd.name contains so",
                "evt.type=open and proc.name exists and not proc.name exists",
                "evt.type=open and proc.name=x and not proc.name exists",
                "evt.type=open and fd.num > 5 and fd.num < 5",
                "evt.type=open and fd.num >= 6 and fd.num <= 5",
                "evt.type=open and proc.tty < 0",
                "evt.type=connect and fd.sport > 65535",
                "evt.type=open and evt.failed=true and evt.failed=false",
                "evt.type=connect and fd.sip=1.2.3.4 and fd.sip=1.2.3.5",
                "evt.type=open and proc.aname=a and not proc.aname exists",
                "evt.type=open and proc.aname=a and not proc.aname in (a, b)",
                "evt.type=open and proc.name=a and not (proc.name=a or proc.name=b)",
                "evt.type=open and (proc.name=a or proc.name=b) and proc.name=c",
                "evt.type=open and (proc.name=a or evt.type=unlink)",
                "evt.type=open and not (proc.name=a and proc.name=b)",
                "evt.type=open and toupper(proc.name)=A and not toupper(proc.name)=A",
                "- macro: m\n  condition: (proc.name=a and proc.name=b)\n- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=open and not m\n",
                // A parameter of another event takes the last event type.
                "(evt.type=creat or evt.type=open) and evt.arg.flags contains O_CREAT",
            ]),
            texts(&[
                "evt.type=open and evt.num=0",
                "evt.type=open and not evt.num>=0",
                "evt.type in (open, openat) and not evt.type=open",
                "evt.type=container and evt.dir=>",
                "evt.type=open and not proc.name=a and not proc.name!=a",
                "evt.type=open and proc.aname=a and proc.aname=b",
                "evt.type=connect and fd.ip=1.2.3.4 and fd.ip=1.2.3.5",
                "evt.type=connect and fd.ip!=1.2.3.4 and not fd.sip=1.2.3.4",
                "evt.type=connect and fd.net in (10.0.0.0/8) and not fd.net in (10.0.0.0/16)",
                "evt.type=open and fd.name startswith /etc and fd.name startswith /etc/x",
                "evt.type=open and fd.name startswith a and fd.name contains b",
                "evt.type=open and proc.args intersects (a, b) and proc.args!=a",
                "evt.type=open and fd.num > 5 and fd.num < 7",
                "evt.type=open and proc.name=a and not (proc.name=a and proc.pname=b)",
                "evt.type=open and not proc.name=a and not (proc.name=a or proc.name=b)",
                "evt.type=poll and fd.types in (file) and not fd.types intersects (ipv4)",
                "- list: l\n  items: []\n- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=open and proc.name in (l)\n",
                "- macro: m\n  condition: (evt.type=open or evt.type=unlink)\n- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: m and evt.type=open\n",
            ]),
        ),
        (
            &conditions::ALWAYS_TRUE,
            texts(&[
                "evt.type=open and (proc.name=a or not proc.name=a)",
                "evt.type=open and (not proc.name=a or not proc.name=b)",
                "evt.type=open and (proc.pname=x or not fd.name startswith /a or not fd.name startswith /b)",
                "evt.type=open and (proc.name exists or not proc.name=a)",
                "evt.type=open and (proc.name!=a or proc.name!=b)",
                "evt.type=open and (fd.num < 5 or fd.num > 3)",
                "evt.type != open or evt.type != unlink",
            ]),
            texts(&[
                "evt.type=open and (proc.name!=a or proc.pname!=b)",
                "evt.type=open and (proc.name=a or proc.name=b)",
                "evt.type=open and (fd.num < 3 or fd.num > 5)",
                "evt.type=open and (proc.aname!=a or proc.aname!=b)",
                "evt.type=connect and (fd.ip!=1.2.3.4 or fd.ip!=1.2.3.5)",
                "evt.type=open and evt.num>=0",
                "evt.type=open and (evt.num>=0 or proc.name=a)",
            ]),
        ),
        (
            &conditions::IMPOSSIBLE_VALUE,
            texts(&[
                "evt.type=open and proc.name=systemd-journald",
                "evt.type=open and proc.name in (sh, systemd-journald)",
                "evt.type=open and not proc.pname startswith systemd-journald",
                "evt.type=open and evt.res != -1",
                "evt.type=open and fd.typechar=file",
                "evt.type=connect and fd.l4proto=TCP",
            ]),
            texts(&[
                "evt.type=open and proc.name=systemd-logind",
                "evt.type=open and proc.exe=/usr/lib/systemd/systemd-journald",
                "evt.type=open and evt.res in (SUCCESS, ENOENT)",
                "evt.type=connect and fd.l4proto=tcp",
            ]),
        ),
        (
            &conditions::EMPTY_LIST,
            texts(&["evt.type=open and proc.name in ()", "evt.type=open and not proc.name in ( )"]),
            texts(&[
                "evt.type=open and proc.name in (a)",
                "- list: l\n  items: []\n- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=open and not proc.name in (l)\n",
            ]),
        ),
        (
            &conditions::EMPTY_TEXT,
            texts(&[
                "evt.type=open and fd.name endswith ''",
                "evt.type=open and fd.name contains ''",
                "evt.type=open and not fd.name startswith ''",
            ]),
            texts(&["evt.type=open and proc.args=''", "evt.type=open and fd.name contains ' '"]),
        ),
        (
            &conditions::NA_COMPARISON,
            texts(&["evt.type=open and container.name != '<NA>'", "evt.type=open and fd.name in ('<NA>', x)"]),
            texts(&["evt.type=open and user.name='<NA>'", "evt.type=open and container.name != x"]),
        ),
        (
            &events::MISSING_PARAMETER,
            texts(&[
                "evt.type=open and evt.arg.newpath=/x",
                "evt.type=open and not evt.arg.newpath contains x",
                "evt.type in (open, openat) and (proc.name=x or evt.arg.oldpath=/y)",
                "- macro: m\n  condition: (evt.arg.newpath=/x)\n- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=open and m\n",
            ]),
            texts(&[
                "evt.type=rename and evt.arg.newpath=/x",
                "evt.type in (open, rename) and evt.arg.newpath=/x",
                "(evt.type=open or (evt.type=rename and evt.arg.newpath=/x))",
                "- macro: m\n  condition: (evt.arg.newpath=/x or evt.arg.name=/x)\n- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=open and m\n",
            ]),
        ),
        (
            &events::NO_DESCRIPTOR,
            texts(&[
                "evt.type=unlink and fd.name=/x",
                "evt.type in (unlink, rename) and not fd.type=file",
                "- macro: etc\n  condition: fd.name startswith /etc/\n- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=mkdir and etc\n",
            ]),
            texts(&["evt.type in (unlink, open) and fd.name=/x", "evt.type=bpf and fd.num>=0", "fd.name=/x"]),
        ),
        (
            &events::DIRECTORY_DESCRIPTOR,
            texts(&["evt.type=unlinkat and fd.name=/etc/shadow", "evt.type in (mkdirat, fchmodat) and fd.directory=/etc"]),
            texts(&[
                "evt.type=openat and fd.name=/etc/shadow",
                "evt.type in (unlinkat, openat) and fd.name=/etc/shadow",
                "evt.type=unlinkat and fd.num>=0",
                "evt.type=unlinkat and evt.arg.name=/etc/shadow",
            ]),
        ),
        (
            &shadow::SHADOWED_RULE,
            vec![
                rules(&["a: evt.type=open and proc.name=x", "b: evt.type=open and proc.name=x and fd.name=/y"]),
                rules(&["a: evt.type in (open, openat)", "b: evt.type=open"]),
                rules(&["a: evt.type=open and proc.name in (x, y)", "b: evt.type=open and proc.name=y"]),
                rules(&["a: evt.type=open and fd.name startswith /etc", "b: evt.type=open and fd.name=/etc/shadow"]),
                rules(&["a: evt.type=open and (proc.name=x or proc.pname=y)", "b: evt.type=open and (proc.name=x or (proc.pname=y and fd.num>3))"]),
                rules(&["a: evt.type=open and not proc.name=x", "b: evt.type=open and not proc.name in (x, y)"]),
                rules(&["a: evt.type=open and not proc.name in (x, y)", "b: evt.type=open and proc.name=z"]),
                rules(&["macro off: (evt.num=0)", "a: evt.type=open and not off", "b: evt.type=open and fd.num=3"]),
                rules(&["a: evt.type=open and proc.aname in (x, y)", "b: evt.type=open and proc.aname=x"]),
                rules(&["a: evt.type=open and fd.num>3", "b: evt.type=open and fd.num>5"]),
                rules(&["a: evt.type=open and proc.name exists", "b: evt.type=open and proc.name!=x"]),
            ],
            vec![
                rules(&["a: evt.type=open and proc.name=x and fd.name=/y", "b: evt.type=open and proc.name=x"]),
                rules(&["a: evt.type=open", "b: evt.type in (open, openat)"]),
                rules(&["a: evt.type=open and not proc.name in (x, y)", "b: evt.type=open and not proc.name=x"]),
                // A missing name is not x, and is not unequal x either.
                rules(&["a: evt.type=open and proc.name!=x", "b: evt.type=open and not proc.name=x"]),
                rules(&["a: evt.type=open and fd.num>5", "b: evt.type=open and fd.num>3"]),
                rules(&["a: evt.type=open and (proc.name=x or proc.pname=y)", "b: evt.type=open and (proc.name=x or proc.pname=z)"]),
                rules(&["a: evt.type=open and proc.aname!=x", "b: evt.type=open and not proc.aname=x"]),
                rules(&["a: evt.type=connect and fd.ip!=1.2.3.4", "b: evt.type=connect and fd.ip=1.2.3.5"]),
                rules(&["a: evt.type=open and evt.num=0", "b: evt.type=open"]),
                rules(&["a: evt.type=open", "b: evt.type=open"]).replacen("condition", "enabled: false\n  condition", 1),
            ],
        ),
        (
            &appends::AND_AFTER_OR,
            vec![
                appended("evt.type=open or evt.type=creat", "and proc.name=x"),
                appended("evt.type=open", "and proc.name=x or proc.name=y"),
                "- macro: m\n  condition: proc.name=a or proc.name=b\n- macro: m\n  append: true\n  condition: and not proc.pname=c\n- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=open and m\n".to_owned(),
            ],
            vec![
                appended("(evt.type=open or evt.type=creat)", "and proc.name=x"),
                appended("evt.type=open", "and (proc.name=x or proc.name=y)"),
                appended("evt.type=open and proc.name=x", "and not proc.name=y and fd.num=1"),
            ],
        ),
        (
            &appends::OR_AFTER_AND,
            vec![appended("evt.type=open and proc.name=x", "or proc.name=y")],
            vec![
                appended("(evt.type=open and proc.name=x)", "or (evt.type=creat and proc.name=y)"),
                appended("evt.type=open or evt.type=creat", "or evt.type=openat"),
                appended("evt.type=open and proc.name=x", "and fd.num=1"),
            ],
        ),
        (
            &lists::DUPLICATE_ITEM,
            texts(&["- list: l\n  items: [a, b, a]\n- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=open and proc.name in (l)\n"]),
            texts(&["- list: l\n  items: [a, b]\n- list: m\n  items: [a, l]\n- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=open and proc.name in (m)\n"]),
        ),
        (
            &lists::NESTED_LIST,
            texts(&["- list: a\n  items: [x]\n- list: b\n  items: [a]\n- list: c\n  items: [b]\n- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=open and proc.name in (c)\n"]),
            texts(&[
                "- list: a\n  items: [x]\n- list: b\n  items: [a]\n- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=open and proc.name in (b)\n",
                "- list: a\n  items: [x]\n- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=open and proc.name in (\"a\")\n- rule: s\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=creat and proc.name in (a)\n",
            ]),
        ),
        (
            &kernel::INACTIVE_RULE,
            texts(&["evt.type=connect and evt.is_wait=true", "evt.type=open and (proc.name=x or proc.vmsize > 5)"]),
            texts(&["evt.type=open and proc.name=x"]),
        ),
        (
            &kernel::WIDE_OPEN,
            texts(&["evt.type=open", "evt.type=openat and fd.name contains ssh", "evt.type in (open, unlink) and not fd.name=/x"]),
            texts(&[
                "evt.type=open and fd.name startswith /etc/",
                "evt.type in (open, openat) and evt.is_open_write=true",
                "evt.type=execve",
            ]),
        ),
    ]
}

#[test]
fn each_lint_finds_what_it_is_for_and_nothing_beside_it() {
    let mut tested = BTreeSet::new();
    for (lint, found, clean) in samples() {
        assert!(!found.is_empty() && !clean.is_empty());
        tested.insert(lint.id);
        for text in found {
            let told = told(&text);
            assert!(told.iter().any(|line| line.starts_with(lint.id)), "{} in {text}: {told:?}", lint.id);
        }
        for text in clean {
            let told = told(&text);
            assert!(!told.iter().any(|line| line.starts_with(lint.id)), "{} in {text}: {told:?}", lint.id);
        }
    }
    let all: BTreeSet<&str> = LINTS.iter().map(|lint| lint.id).collect();
    assert_eq!(tested, all);
    assert_eq!(all.len(), LINTS.len());
    assert!(LINTS.is_sorted_by_key(|lint| lint.id));
}

#[test]
fn a_mistake_is_told_once() {
    for (text, expected) in [
        (
            "evt.type=execve and evt.arg.newpath=/x",
            "missing-parameter: evt.arg.newpath is missing: execve has",
        ),
        (
            "evt.type=execve and proc.name=systemd-journald",
            "impossible-value: proc.name never is \"systemd-journald\": the kernel keeps 15 bytes of a process's name, so this one reads \"systemd-journal\"; this is never true",
        ),
        (
            "evt.type=execve and evt.type=unlink",
            "never-true: the condition can never be true: `evt.type = execve` excludes `evt.type = unlink`",
        ),
        ("evt.type=execve and (proc.name=a or not proc.name=a)", "always-true: this is always true: "),
        ("evt.type=unlink and fd.name=/x", "no-descriptor: fd.name is missing: unlink has no descriptor"),
        ("evt.type=execve and fd.name=/x", "no-descriptor: fd.name is missing: execve has no descriptor"),
        (
            "(evt.type=unlink or proc.name=x) and evt.type=execve",
            "never-true: this alternative can never be true: `evt.type = execve` excludes `evt.type = unlink`",
        ),
        (
            "evt.type=unlink and evt.arg.newpath=/x",
            "missing-parameter: evt.arg.newpath is missing: unlink has res, path",
        ),
    ] {
        let told = told(text);
        assert_eq!(told.len(), 1, "{text}: {told:?}");
        assert!(told[0].starts_with(expected), "{text}: {told:?}");
    }
}

#[test]
fn a_finding_points_at_the_part_that_it_is_about() {
    for (text, at) in [
        ("evt.type=unlink and fd.name=/x", "fd.name=/x"),
        ("evt.type=execve and (proc.name=x or evt.type=open)", "evt.type=open"),
        ("evt.type=openat and proc.name=x and fd.name contains ssh", "fd.name contains ssh"),
        (
            "- list: a\n  items: [x]\n- list: b\n  items: [a]\n- list: c\n  items: [b, y]\n- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=execve and proc.name in (c)\n",
            "a]\n- list: c",
        ),
        (
            &appended("evt.type=execve", "and proc.name=x or proc.name=y"),
            "and proc.name=x or proc.name=y\n  override",
        ),
    ] {
        let found = findings(text);
        assert!(file(text)[found[0].diagnostic.offset..].starts_with(at), "{text}: {found:?}");
    }
}

#[test]
fn appended_conditions_are_told_as_they_read() {
    let told = told(&appended("evt.type=execve or evt.type=unlink", "and proc.name=x"));
    assert_eq!(
        told,
        [
            "append-and-after-or: `and proc.name=x` restricts only the last alternative: it reads `evt.type = execve or (evt.type = unlink and proc.name = x)`"
        ]
    );
}

#[test]
fn under_first_a_shadowed_rule_never_fires() {
    let sources =
        [Source::new("t.yaml", rules(&["a: evt.type=unlink", "b: evt.type=unlink and proc.name=x"]))];
    let options = Options { matching: Matching::First, ..Options::default() };
    let found = run(&sources, load(&sources, &options).rules.as_ref().unwrap());
    assert_eq!(
        found[0].diagnostic.message,
        "rule \"a\" before it is true whenever this one is: this one never fires"
    );
    let found = run(&sources, load(&sources, &Options::default()).rules.as_ref().unwrap());
    assert!(found.is_empty(), "where all rules fire, none is shadowed: {found:?}");
}

#[test]
fn what_a_macro_brings_into_rules_is_told_once() {
    let found = findings(&rules(&[
        "macro etc: fd.name startswith /etc/",
        "a: evt.type=mkdir and etc",
        "b: evt.type=mkdir and proc.name=x and etc",
        "c: evt.type=mkdir and proc.name=y and etc",
        "d: evt.type=mkdir and fd.name=/x",
    ]));
    let found = found.iter().filter(|finding| finding.lint.id == "no-descriptor");
    let told: Vec<_> = found.map(|finding| (finding.lint.id, finding.rules.join(" "))).collect();
    assert_eq!(told, [("no-descriptor", "a b c".to_owned()), ("no-descriptor", String::new())]);
}

#[test]
fn a_macro_that_holds_a_place_is_no_mistake() {
    let text = |condition: &str| {
        let allowed = format!("macro allowed: {condition}");
        rules(&[&allowed, "r: evt.type=execve and container.id != host and not allowed"])
    };
    let found =
        |condition: &str| findings(&text(condition)).iter().any(|found| found.lint.id == "never-true");
    assert!(!found("(container.id exists)") && !found("(evt.num>=0)"));
    assert!(found("(container.id != host)"));
}

#[test]
fn never_true_points_at_the_part_that_excludes() {
    let text = "evt.type=open and proc.name=a and fd.num=1 and proc.name=b";
    let found = findings(text);
    let place = &found.iter().find(|finding| finding.lint.id == "never-true").unwrap().diagnostic;
    let (at, len) = place.caret;
    assert_eq!(place.snippet.chars().skip(at).take(len).collect::<String>(), "proc.name=b");
    let found = findings("evt.type=open and (fd.num=1 or proc.name=a and fd.num=2 and proc.name=b)");
    let place = &found.iter().find(|finding| finding.lint.id == "never-true").unwrap().diagnostic;
    let (at, len) = place.caret;
    assert_eq!(place.snippet.chars().skip(at).take(len).collect::<String>(), "proc.name=b");
}

#[test]
fn the_stock_rules_are_clean() {
    let sources = stock();
    let rules = load(&sources, &Options::default()).rules.unwrap();
    let found = run(&sources, &rules);
    assert!(found.is_empty(), "{found:?}");
}

#[test]
#[cfg_attr(not(has_shared), ignore = "needs ../shared")]
fn findings_in_the_upstream_rules_are_those_that_were_looked_at() {
    let sources = upstream();
    let options = Options { matching: Matching::First, ..Options::default() };
    let rules = load(&sources, &options).rules.unwrap();
    let found = run(&sources, &rules);
    let mut counts = std::collections::BTreeMap::new();
    // What this sensor can fill and filter changes with it.
    for finding in found.iter().filter(|finding| !["inactive-rule", "wide-open"].contains(&finding.lint.id)) {
        *counts.entry(finding.lint.id).or_insert(0) += 1;
    }
    let expected = [
        ("duplicate-item", 1),
        ("impossible-value", 4),
        ("missing-parameter", 1),
        ("na-comparison", 12),
        ("never-true", 1),
        ("shadowed-rule", 2),
    ];
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn the_documentation_lists_the_lints() {
    let page = include_str!("../../../../docs/rules.md");
    let listed: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| `") && line.matches(" | ").count() == 2).collect();
    let expected: Vec<String> = LINTS
        .iter()
        .map(|lint| format!("| `{}` | {} | {} |", lint.id, lint.level.as_str(), lint.why))
        .collect();
    assert_eq!(listed, expected, "docs/rules.md is stale");
}

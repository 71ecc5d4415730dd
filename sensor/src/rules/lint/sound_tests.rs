//! Random conditions against many events: what a lint claims, no event disproves.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::rules::cases::{self, CaseEvent};
use crate::rules::load;
use crate::rules::program::evaluate::Scratch;
use crate::rules::source::options::{Matching, Options};

const LEAVES: &[&str] = &[
    "evt.type = open",
    "evt.type in (open, unlink)",
    "evt.type != unlink",
    "evt.type = container",
    "evt.arg.name = x",
    "evt.arg.path startswith x",
    "evt.dir = <",
    "proc.name = a",
    "proc.name != a",
    "proc.name in (a, ab)",
    "proc.name in (b, '')",
    "proc.name startswith a",
    "proc.name startswith ab",
    "proc.name endswith b",
    "proc.name contains b",
    "proc.name icontains B",
    "proc.name glob 'a*'",
    "proc.name pmatch (a)",
    "proc.name exists",
    "proc.name startswith oneof (a, ab)",
    "proc.name = systemd-journald",
    "proc.aname = a",
    "proc.aname in (a, b)",
    "proc.aname != a",
    "proc.aname exists",
    "proc.aname[1] = a",
    "fd.num = 1",
    "fd.num != 1",
    "fd.num < 1",
    "fd.num <= 1",
    "fd.num > 0",
    "fd.num >= 2",
    "fd.num in (0, 2)",
    "fd.num exists",
    "evt.failed = true",
    "evt.failed = false",
    "evt.failed != true",
    "fd.ip = 1.1.1.1",
    "fd.ip != 1.1.1.1",
    "fd.ip in (1.1.1.1, 2.2.2.2)",
    "fd.sip = 1.1.1.1",
    "fd.net in (1.0.0.0/8)",
    "fd.types in (file)",
    "fd.types intersects (file, ipv4)",
    "toupper(proc.name) = A",
    "evt.num = 0",
    "evt.num >= 0",
];

/// Events over a few values of each field, missing ones among them.
static EVENTS: LazyLock<Vec<CaseEvent>> = LazyLock::new(|| {
    let types = [
        "evt.type: open, evt.arg: {name: x}",
        "evt.type: open",
        "evt.type: unlink, evt.arg: {path: xy}",
        "evt.type: container",
    ];
    let names =
        ["", "proc.name: a", "proc.name: ab", "proc.name: b", "proc.name: ''", "proc.name: systemd-journal"];
    let ancestors = ["", "proc.aname: [a]", "proc.aname: [b, a]", "proc.aname: [c]"];
    let numbers = ["", "fd.num: 0", "fd.num: 1", "fd.num: 2", "fd.num: -1"];
    let others = [
        "",
        "evt.failed: true, fd.sip: 1.1.1.1",
        "evt.failed: false, fd.cip: 2.2.2.2, fd.sip: 1.1.1.1, fd.types: [file]",
        "fd.cip: 2.2.2.2, fd.sip: 3.3.3.3, fd.types: [file, ipv4]",
        "fd.sip: 2.2.2.2, fd.types: [ipv4]",
    ];
    let mut events = Vec::new();
    for kind in types {
        for name in names {
            for ancestor in ancestors {
                for number in numbers {
                    for other in others {
                        let fields: Vec<&str> = [kind, name, ancestor, number, other]
                            .into_iter()
                            .filter(|field| !field.is_empty())
                            .collect();
                        let text = format!("{{{}}}", fields.join(", "));
                        events.push(cases::event(&Source::new("e", text)).unwrap());
                    }
                }
            }
        }
    }
    events
});

fn condition() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(LEAVES).prop_map(str::to_owned);
    leaf.prop_recursive(3, 12, 4, |inner| {
        let some = prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            3 => some.clone().prop_map(|items| format!("({})", items.join(" and "))),
            2 => some.prop_map(|items| format!("({})", items.join(" or "))),
            1 => inner.prop_map(|item| format!("not ({item})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_event_disproves_a_lint(first in condition(), second in condition(), both in any::<bool>()) {
        let second = if both { format!("({first}) and ({second})") } else { second };
        let rule = |name: &str, condition: &str| {
            format!("- rule: {name}\n  desc: d\n  output: o\n  priority: INFO\n  condition: >\n    {condition}\n")
        };
        let text = [rule("first", &first), rule("second", &second)].concat();
        let sources = [Source::new("t.yaml", text.clone())];
        let rules = load(&sources, &Options::default()).rules.unwrap();
        // Under `first` the second rule is silent after the first, and all lints look at it.
        let first_only = Options { matching: Matching::First, ..Options::default() };
        let found = run(&sources, load(&sources, &first_only).rules.as_ref().unwrap());
        let claims = |lint: &Lint, name: &str, message: &str| {
            found.iter().any(|finding| {
                finding.lint == lint
                    && finding.diagnostic.message.starts_with(message)
                    && finding.diagnostic.context.iter().any(|item| item.name == name)
            })
        };
        let never = ["first", "second"].map(|name| claims(&conditions::NEVER_TRUE, name, "the condition"));
        let shadowed = claims(&shadow::SHADOWED_RULE, "second", "rule \"first\"");
        // What the second rule adds to the first can only narrow it: that must be seen, or why it never fires.
        let told = found.iter().any(|finding| finding.diagnostic.context.iter().any(|item| item.name == "second"));
        prop_assert!(!both || told || text.contains("evt.num"), "not shadowed: {text}");
        let mut scratch = Scratch::default();
        for event in &*EVENTS {
            let mut fired = [false; 2];
            rules.evaluate(&mut scratch, event, |rule| fired[usize::from(rule.name == "second")] = true);
            let disproved = never.iter().zip(fired).any(|(never, fired)| *never && fired);
            prop_assert!(!disproved, "never true, but {event:?}: {text}");
            prop_assert!(!shadowed || !fired[1] || fired[0], "shadowed, but {event:?}: {text}");
        }
    }
}

/// The index of candidates leaves out no pair in which one rule is always true beside the other.
#[test]
fn no_rule_that_another_implies_is_left_out() {
    let leaf = |at: usize| LEAVES[at % LEAVES.len()];
    let conditions = (0..LEAVES.len()).flat_map(|n| {
        [
            leaf(n).to_owned(),
            format!("{} and {}", leaf(n), leaf(n * 7 + 3)),
            format!("({} or {}) and {}", leaf(n + 1), leaf(n * 5 + 2), leaf(n * 3 + 1)),
        ]
    });
    let rule = |(n, condition): (usize, String)| {
        format!("- rule: r{n}\n  desc: d\n  output: o\n  priority: INFO\n  condition: >\n    {condition}\n")
    };
    let text: String = conditions.enumerate().map(rule).collect();
    let rules = load(&[Source::new("t.yaml", text)], &Options::default()).rules.unwrap();
    let mut maker = Maker::new(rules.names());
    let formulas: Vec<_> =
        rules.rules().iter().map(|rule| maker.formula(&rule.kept.written, &|_| None)).collect();
    let formulas: Vec<_> = formulas.iter().collect();
    let index = candidates::Candidates::new(&formulas);
    let (mut implied, mut looked_at) = (0, 0);
    for (place, later) in formulas.iter().enumerate() {
        let mut facts = facts::Facts::new(true);
        facts.add(later, true);
        if facts.conflict().is_some() {
            continue;
        }
        let found = index.before(place, later);
        looked_at += found.len();
        for (at, earlier) in formulas[..place].iter().enumerate() {
            if facts.conflict_with(earlier, false).is_some() {
                implied += 1;
                assert!(
                    found.contains(&at),
                    "{} and {}",
                    rules.rules()[at].condition,
                    rules.rules()[place].condition
                );
            }
        }
    }
    let pairs = formulas.len() * (formulas.len() - 1) / 2;
    assert!(implied > 100 && looked_at < pairs / 2, "{implied} of {looked_at} of {pairs}");
}

/// Rules that differ in what they exclude are no candidates for each other.
#[test]
fn rules_that_exclude_other_literals_are_not_thought_about() {
    let rule = |n: usize| {
        format!(
            "- rule: r{n}\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=open and not proc.name in (a{n}, b{n})\n"
        )
    };
    let text: String = (0..50).map(rule).collect();
    let rules = load(&[Source::new("t.yaml", text)], &Options::default()).rules.unwrap();
    let mut maker = Maker::new(rules.names());
    let formulas: Vec<_> =
        rules.rules().iter().map(|rule| maker.formula(&rule.kept.written, &|_| None)).collect();
    let formulas: Vec<_> = formulas.iter().collect();
    let index = candidates::Candidates::new(&formulas);
    let found: usize = formulas.iter().enumerate().map(|(place, rule)| index.before(place, rule).len()).sum();
    assert_eq!(found, 0);
}

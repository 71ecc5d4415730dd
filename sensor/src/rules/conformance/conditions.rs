//! The table of conditions: the files in `conditions/`, each a list of items of one of these forms.
//!
//! ```yaml
//! - event: {…}                  # as in test files for rules
//!   true: [CONDITION…]
//!   false: [CONDITION…]
//! - condition: CONDITION
//!   true: [EVENT…]
//!   false: [EVENT…]
//! - errors: [[CONDITION, PART OF THE MESSAGE, COLUMN or "LINE:COLUMN" or "", SUGGESTION]…]
//!   code: LOAD_ERR_VALIDATE     # LOAD_ERR_COMPILE_CONDITION when it is not there
//! - warnings: [[CONDITION, CODE, PART OF THE MESSAGE, CODE…]…]
//! ```
//!
//! Beside them: `section` (of the specification), `note`, `macros: {NAME: CONDITION}`, `lists: {NAME: [ITEM…]}`, `skip:
//! true` (`skip-if-unknown-filter`).
//!
//! Every case is judged in several ways that must agree: the condition alone, its trace, under `not`, printed and parsed
//! again, and among all other conditions of the table, where parts are shared and rules are indexed.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use crate::rules::cases::{self, CaseEvent};
use crate::rules::load;
use crate::rules::program::evaluate::Scratch;
use crate::rules::registry::readings::{Lineage, PathNames, Readings};
use crate::rules::report::diagnostic::{Diagnostic, FileReport};
use crate::rules::report::source::Source;
use crate::rules::rule_set::RuleSet;
use crate::rules::source::options::Options;
use crate::rules::status::{Lack, Status};
use crate::yaml::{self, Node, Yaml};

/// One item of a file.
struct Item<'f> {
    file: &'f str,
    line: usize,
    node: &'f Node,
    /// Macros and lists that its conditions use.
    head: String,
    options: Options,
}

/// What came of a case that is not as it should be.
#[derive(Default)]
struct Failures(String);

impl Failures {
    fn add(&mut self, item: &Item<'_>, line: usize, message: impl std::fmt::Display) {
        let section = item.node.get("section").and_then(Node::text).unwrap_or("?");
        let _ = writeln!(self.0, "conditions/{}:{line} (section {section}): {message}", item.file);
    }
}

#[test]
fn conditions_mean_what_the_specification_says() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rules/conformance/conditions");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    let mut failures = Failures::default();
    let mut together = Together::default();
    let mut count = 0;
    for path in &files {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        let documents =
            yaml::documents(&text, yaml::Twice::Refused).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let Yaml::Seq(nodes) = &documents[0].yaml else { panic!("{name}: not a list") };
        let line = |node: &Node| 1 + text[..node.at].bytes().filter(|byte| *byte == b'\n').count();
        let before = count;
        for node in nodes {
            let item = item(name, line(node), node);
            count += errors(&item, &line, &mut failures);
            count += warnings(&item, &line, &mut failures);
            count += truths(&item, &line, &mut failures, &mut together);
        }
        assert!(count > before, "{name}: no cases");
    }
    assert!(count > 1000, "{count} cases only");
    together.judge(&mut failures);
    assert!(failures.0.is_empty(), "of {count} cases these failed:\n{}", failures.0);
}

fn item<'f>(file: &'f str, line: usize, node: &'f Node) -> Item<'f> {
    const KEYS: [&str; 11] = [
        "section",
        "note",
        "macros",
        "lists",
        "skip",
        "event",
        "condition",
        "true",
        "false",
        "errors",
        "warnings",
    ];
    let mut head = String::new();
    let Yaml::Map(pairs) = &node.yaml else { panic!("{file}:{line}: not a mapping") };
    for (key, value) in pairs {
        let name = key.text().unwrap();
        assert!(KEYS.contains(&name) || name == "code", "{file}:{line}: unknown key {name:?}");
        let Yaml::Map(pairs) = &value.yaml else { continue };
        for (key, value) in pairs {
            match name {
                "macros" => {
                    let _ = writeln!(head, "- macro: {}\n  condition: {}", flow(key), flow(value));
                }
                "lists" => {
                    let _ = writeln!(head, "- list: {}\n  items: {}", flow(key), flow(value));
                }
                _ => {}
            }
        }
    }
    let options = Options { append_output: Vec::new(), readings: FALCOS, ..Options::default() };
    Item { file, line, node, head, options }
}

/// The node written in one line.
fn flow(node: &Node) -> String {
    match &node.yaml {
        Yaml::Null => "null".to_owned(),
        // The style tells numbers from texts where a field has no type of its own.
        Yaml::Scalar(scalar)
            if scalar.plain
                && scalar.text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b)) =>
        {
            scalar.text.clone()
        }
        Yaml::Scalar(scalar) => serde_json::to_string(&scalar.text).unwrap(),
        Yaml::Seq(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Yaml::Map(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| format!("{}: {}", flow(key), flow(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
    }
}

/// The tables are Falco's, which knows no spellings of a path.
const FALCOS: Readings = Readings { paths: PathNames::Asked, lineage: Lineage::Current };

fn list<'n>(node: &'n Node, key: &str) -> &'n [Node] {
    match node.get(key).map(|value| &value.yaml) {
        Some(Yaml::Seq(items)) => items,
        _ => &[],
    }
}

/// Columns that the conditions stand to the right in the file that [`rule`] makes.
const INDENT: usize = 4;

/// A rule with the condition. It stands in the file as it is, so that columns can be compared, unless YAML has no way to
/// write it so.
fn rule(name: &str, condition: &str, more: &str) -> String {
    let mut text = format!("- rule: {name}\n  desc: d\n  output: o\n  priority: INFO\n{more}");
    let verbatim = !condition.is_empty()
        && !condition.contains(|c: char| c.is_control() && c != '\n')
        && !condition.ends_with([' ', '\n']);
    if verbatim {
        let _ = writeln!(text, "  condition: |2-\n    {}", condition.replace('\n', "\n    "));
    } else {
        let _ = writeln!(text, "  condition: {}", serde_json::to_string(condition).unwrap());
    }
    text
}

fn loaded(item: &Item<'_>, rules: &str) -> (Option<RuleSet>, FileReport) {
    let text = format!("{}{rules}", item.head);
    let mut loaded = load(&[Source::new("rules.yaml", text)], &item.options);
    (loaded.rules.take(), loaded.files.remove(0))
}

fn texts<'n>(item: &Item<'_>, node: &'n Node) -> Vec<&'n str> {
    let Yaml::Seq(items) = &node.yaml else { panic!("{}:{}: not a list", item.file, item.line) };
    items.iter().map(|item| item.text().unwrap_or_default()).collect()
}

fn errors(item: &Item<'_>, line: &dyn Fn(&Node) -> usize, failures: &mut Failures) -> usize {
    let code = item.node.get("code").and_then(Node::text).unwrap_or("LOAD_ERR_COMPILE_CONDITION");
    let cases = list(item.node, "errors");
    for case in cases {
        let words = texts(item, case);
        let (condition, message, place) = match words.as_slice() {
            [condition, message] => (*condition, *message, ""),
            [condition, message, place] | [condition, message, place, _] => (*condition, *message, *place),
            _ => {
                failures.add(item, line(case), "a case of an error has two to four parts");
                continue;
            }
        };
        let (rules, report) = loaded(item, &rule("r", condition, ""));
        let Some(error) = report.errors.first().filter(|_| rules.is_none()) else {
            failures.add(item, line(case), format_args!("{condition:?} is accepted"));
            continue;
        };
        let header = item.head.lines().count() + 5;
        let at = format!("{}:{}", error.line.saturating_sub(header), error.column.saturating_sub(INDENT));
        let expected = if place.contains(':') { place.to_owned() } else { format!("1:{place}") };
        if error.code.as_str() != code || !error.message.contains(message) {
            let found = format_args!("{condition:?}: expected {code} {message:?}, got {error}").to_string();
            failures.add(item, line(case), found);
        } else if !place.is_empty() && at != expected {
            failures.add(
                item,
                line(case),
                format_args!("{condition:?}: expected at {expected}, got {at}: {error}"),
            );
        }
        if let Some(suggestion) = words.get(3)
            && error.suggestion.as_deref() != Some(suggestion)
        {
            let found = &error.suggestion;
            failures.add(
                item,
                line(case),
                format_args!("{condition:?}: suggests {found:?}, not {suggestion:?}"),
            );
        }
    }
    cases.len()
}

fn warnings(item: &Item<'_>, line: &dyn Fn(&Node) -> usize, failures: &mut Failures) -> usize {
    let cases = list(item.node, "warnings");
    let more = if item.node.get("skip").is_some() { "  skip-if-unknown-filter: true\n" } else { "" };
    for case in cases {
        let words = texts(item, case);
        let (rules, report) = loaded(item, &rule("r", words[0], more));
        let codes: Vec<&str> = report.warnings.iter().map(|warning| warning.code.as_str()).collect();
        let expected: Vec<&str> =
            words.iter().enumerate().filter(|(n, _)| *n == 1 || *n > 2).map(|(_, code)| *code).collect();
        let part = words.get(2).copied().unwrap_or_default();
        let says = |warning: &Diagnostic| warning.message.contains(part);
        if rules.is_none() {
            failures.add(item, line(case), format_args!("{:?} is refused: {report}", words[0]));
        } else if codes != expected || !(expected.is_empty() || report.warnings.iter().any(says)) {
            failures.add(
                item,
                line(case),
                format_args!("{:?}: expected {expected:?} {part:?}, got {report}", words[0]),
            );
        }
    }
    cases.len()
}

fn event(item: &Item<'_>, node: &Node) -> CaseEvent {
    let text = format!("cases:\n- {{name: n, silent: [r], event: {}}}\n", flow(node));
    let mut file = cases::parse(&Source::new("event", text.as_str()))
        .unwrap_or_else(|error| panic!("conditions/{}:{}: {error} in {text}", item.file, item.line));
    file.cases.remove(0).event
}

/// A condition, an event, and whether it is true of it.
struct Case<'n> {
    line: usize,
    condition: &'n str,
    event: CaseEvent,
    expected: bool,
}

fn truths(
    item: &Item<'_>,
    line: &dyn Fn(&Node) -> usize,
    failures: &mut Failures,
    together: &mut Together,
) -> usize {
    let mut cases = Vec::new();
    for (key, expected) in [("true", true), ("false", false)] {
        for node in list(item.node, key) {
            let (condition, event) = match (item.node.get("event"), item.node.get("condition")) {
                (Some(written), None) => (node.text().unwrap_or_default(), event(item, written)),
                (None, Some(condition)) => (condition.text().unwrap_or_default(), event(item, node)),
                _ => panic!("conditions/{}:{}: an event or a condition", item.file, item.line),
            };
            cases.push(Case { line: line(node), condition, event, expected });
        }
    }
    let count = cases.len();
    let printed: Vec<Option<String>> = cases.iter().map(|case| alone(item, case, failures)).collect();
    let right: Vec<(Case<'_>, String)> =
        cases.into_iter().zip(printed).filter_map(|(case, printed)| Some((case, printed?))).collect();
    in_other_words(item, &right, failures);
    for (case, printed) in right {
        together.add(item, case, printed);
    }
    count
}

fn fired(rules: &RuleSet, event: &CaseEvent) -> Vec<String> {
    let mut names = Vec::new();
    rules.evaluate(&mut Scratch::default(), event, |rule| names.push(rule.name.clone()));
    names
}

/// Judges the case by itself; the canonical form of the condition when it is right.
fn alone(item: &Item<'_>, case: &Case<'_>, failures: &mut Failures) -> Option<String> {
    let Case { line, condition, event, expected } = case;
    let (rules, report) = loaded(item, &rule("r", condition, ""));
    let Some(rules) = rules else {
        failures.add(item, *line, format_args!("{condition:?} is refused: {report}"));
        return None;
    };
    let single = &rules.rules()[0];
    let never = matches!(&single.status, Status::Inactive(reason) if reason.lack == Lack::Match);
    if !single.status.fires() && (*expected || !never) {
        failures.add(item, *line, format_args!("{condition:?} cannot fire: {:?}", single.status));
    }
    if fired(&rules, event).is_empty() == *expected {
        failures.add(item, *line, format_args!("{condition:?} should be {expected}"));
        return None;
    }
    let trace = rules.trace(single, event);
    if trace.fires != *expected || (rules.distance(single, event) == 0) != *expected {
        failures.add(item, *line, format_args!("{condition:?} should be {expected} in its trace"));
    }
    Some(single.compiled.clone())
}

/// What is right must be so in other words: under `not`, and as it is printed.
fn in_other_words(item: &Item<'_>, cases: &[(Case<'_>, String)], failures: &mut Failures) {
    let mut negated = String::new();
    let mut printed = String::new();
    for (n, (case, canonical)) in cases.iter().enumerate() {
        negated += &rule(&format!("not {n}"), &format!("not ({}\n)", case.condition), "");
        printed += &rule(&n.to_string(), canonical, "");
        printed += &rule(&format!("twice {n}"), &format!("({canonical}) and not not ({canonical})"), "");
    }
    let bare = Item { head: String::new(), options: item.options.clone(), ..*item };
    for (item, rules) in [(item, negated), (&bare, printed)] {
        let (rules, report) = loaded(item, &rules);
        let Some(rules) = rules else {
            failures.add(item, item.line, format_args!("in other words it is refused: {report}"));
            continue;
        };
        for (n, (case, canonical)) in cases.iter().enumerate() {
            let fired = fired(&rules, &case.event);
            let has = |name: &str| fired.iter().any(|fired| fired == name);
            let right = if rules.rules()[0].name == "0" {
                has(&n.to_string()) == case.expected && has(&format!("twice {n}")) == case.expected
            } else {
                has(&format!("not {n}")) != case.expected
            };
            if !right {
                let condition = case.condition;
                failures.add(
                    item,
                    case.line,
                    format_args!("{condition:?} is right, in other words it is not: {canonical:?}"),
                );
            }
        }
    }
}

/// All conditions of the table as rules of one set.
#[derive(Default)]
struct Together {
    conditions: BTreeMap<String, usize>,
    cases: Vec<(String, String, CaseEvent, bool)>,
}

impl Together {
    fn add(&mut self, item: &Item<'_>, case: Case<'_>, condition: String) {
        let next = self.conditions.len();
        self.conditions.entry(condition.clone()).or_insert(next);
        let place = format!("conditions/{}:{}", item.file, case.line);
        self.cases.push((place, condition, case.event, case.expected));
    }

    fn judge(&self, failures: &mut Failures) {
        let text: String =
            self.conditions.iter().map(|(condition, n)| rule(&n.to_string(), condition, "")).collect();
        let options = Options { append_output: Vec::new(), readings: FALCOS, ..Options::default() };
        let loaded = load(&[Source::new("rules.yaml", text)], &options);
        let Some(rules) = loaded.rules else { panic!("{}", loaded.files[0]) };
        let mut scratch = Scratch::default();
        for (place, condition, event, expected) in &self.cases {
            let mut fired = HashSet::new();
            rules.evaluate(&mut scratch, event, |rule| {
                fired.insert(rule.name.as_str());
            });
            let name = self.conditions[condition].to_string();
            if fired.contains(name.as_str()) != *expected {
                let _ = writeln!(failures.0, "{place}: among the others, {condition:?} should be {expected}");
            }
        }
    }
}

//! `falconet rules test`: which events must make which rules fire. No root, no kernel.
//!
//! Ends with 0 when all came as expected, with 1 when a case did not, with 2 when rules or cases do not load; in every case
//! all files are judged first, so that one run shows everything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use clap::ValueEnum;

use super::report::{Outcome, Report, Suite, Test};
use super::{junit, why};
use crate::app::exit::{Class, Failure};
use crate::app::sight;
use crate::cli::print::say;
use crate::config::Config;
use crate::rules::source::files::{self, FilesError};
use crate::rules::{Options, RuleSet, Scratch, Source, Status, cases, load};

#[derive(clap::Args)]
pub struct Args {
    /// Files of test cases; of a directory, every `*.cases.yaml` in it and below. Each names its rule files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// How to report.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    /// Fail every rule for which there is not both a case that fires it and one in which it must be silent.
    #[arg(long)]
    require_both: bool,
    /// Set one option before those of the file, e.g. `rule_matching=first`; repeatable.
    #[arg(short = 'o', long = "option", value_name = "KEY=VALUE")]
    options: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// `JUnit` XML, for CI.
    Junit,
}

/// The cases of each rule that can fire, over all files.
#[derive(Default)]
struct Coverage {
    /// By name: where it is, whether a case fires it, whether one is silent.
    rules: BTreeMap<String, (String, bool, bool)>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let mut out = String::new();
    let verdict = judge(args, &mut out);
    let told = say(&out);
    verdict.and(told)
}

fn judge(args: &Args, out: &mut String) -> Result<(), Failure> {
    let mut coverage = Coverage::default();
    let mut report = Report { suites: Vec::new() };
    for path in find(&args.files)? {
        report.suites.push(suite(&path, &args.options, &mut coverage));
    }
    if args.require_both {
        report.suites.push(coverage.suite());
    }
    match args.output {
        Format::Text => out.push_str(&text(&report)),
        Format::Junit => out.push_str(&junit::document(&report)),
    }
    let count = report.count();
    if count.unjudged > 0 {
        let error = anyhow!("{} file(s) could not be tested: rules or cases do not load", count.unjudged);
        return Err(Failure::new(Class::Unjudged, error));
    }
    if count.failed > 0 {
        return Err(Failure::new(Class::Failed, anyhow!("{} test case(s) failed", count.failed)));
    }
    Ok(())
}

/// The files that are meant; a directory stands for those in it.
fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for path in paths {
        if !path.is_dir() {
            found.push(path.clone());
            continue;
        }
        let before = found.len();
        walk(path, 0, &mut found)
            .map_err(|error| Failure::new(Class::Unjudged, anyhow!("{}: {error}", path.display())))?;
        if found.len() == before {
            let error = anyhow!("no *.cases.yaml in {}", path.display());
            return Err(Failure::new(Class::Unjudged, error));
        }
        found[before..].sort();
    }
    Ok(found)
}

/// Deepest folder that is looked into.
const DEEPEST: usize = 32;

fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        // Symbolic links to folders are not followed: they may form a circle.
        if entry.file_type()?.is_dir() {
            if depth < DEEPEST {
                walk(&path, depth + 1, found)?;
            }
        } else if files::is_cases(&path) && path.is_file() {
            found.push(path);
        }
    }
    Ok(())
}

/// A file of cases with everything that its rules are.
struct Ready {
    file: cases::CaseFile,
    rules: RuleSet,
    notes: Vec<String>,
}

fn suite(path: &Path, options: &[String], coverage: &mut Coverage) -> Suite {
    let started = Instant::now();
    let name = path.display().to_string();
    let (tests, notes) = match prepare(path, options) {
        Ok(ready) => {
            coverage.add(&ready);
            let mut scratch = Scratch::default();
            let tests = ready.file.cases.iter().map(|case| test(&ready.rules, &mut scratch, case)).collect();
            (tests, ready.notes)
        }
        Err(error) => {
            let outcome = Outcome::Unjudged(error.to_string());
            let test = Test { name: "load".to_owned(), line: None, outcome, took: started.elapsed() };
            (vec![test], Vec::new())
        }
    };
    Suite { name, tests, notes, took: started.elapsed() }
}

fn prepare(path: &Path, options: &[String]) -> anyhow::Result<Ready> {
    let source = files::source(path).map_err(|error| match error {
        FilesError::Read { cause, .. } => anyhow!("cannot read {}: {cause}", path.display()),
        other => other.into(),
    })?;
    let file = cases::parse(&source)?;
    if file.rules.is_empty() {
        return Err(anyhow!("{}: it names no rule files: add `rules: [FILE]`", path.display()));
    }
    let mut all = options.to_vec();
    for option in &file.options {
        // A wrong option is told with its line; those before it are right.
        all.push(option.text.clone());
        Config::of(None, &all).map_err(|error| anyhow!("{}:{}: {error}", path.display(), option.line))?;
    }
    let options = Config::of(None, &all)?.rules.options();
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut sources: Vec<Source> = Vec::new();
    for rules in &file.rules {
        let read = files::read(&[folder.join(&rules.text)]);
        sources.extend(read.map_err(|error| anyhow!("{}:{}: {error}", path.display(), rules.line))?);
    }
    let loaded = load(&sources, &options);
    let Some(rules) = loaded.rules else {
        let reports = loaded.files.iter().filter(|file| !file.is_ok());
        let reports: Vec<String> = reports.map(ToString::to_string).collect();
        return Err(anyhow!("the rules of {} do not load\n{}", path.display(), reports.join("").trim_end()));
    };
    let mut notes = Vec::new();
    for case in &file.cases {
        for remark in &case.remarks {
            notes.push(format!("{}:{}: {}", path.display(), remark.line, remark.message));
        }
    }
    let silent: BTreeSet<&String> = file.cases.iter().flat_map(|case| &case.silent).collect();
    for rule in rules.rules().iter().filter(|rule| silent.contains(&rule.name)) {
        if let ("disabled", why) = rule.status.told() {
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            notes.push(format!("rule {:?} is disabled{why}, so it is silent whatever the event", rule.name));
        }
    }
    let tested: BTreeSet<&String> = file.cases.iter().flat_map(|case| &case.fires).collect();
    let here = load(&sources, &Options { sight: sight::anywhere(), ..options });
    for rule in here.rules.iter().flat_map(RuleSet::rules).filter(|rule| tested.contains(&rule.name)) {
        if let Status::Inactive(reason) = &rule.status {
            notes.push(format!("on a sensor, rule {:?} is inactive: {reason}", rule.name));
        }
    }
    Ok(Ready { file, rules, notes })
}

fn test(rules: &RuleSet, scratch: &mut Scratch, case: &cases::Case) -> Test {
    let started = Instant::now();
    let failures = cases::judge(rules, scratch, case);
    let took = started.elapsed();
    let outcome = if failures.is_empty() {
        Outcome::Passed
    } else {
        Outcome::Failed(failures.iter().map(|failure| told(rules, case, failure)).collect())
    };
    Test { name: case.name.clone(), line: Some(case.line), outcome, took }
}

/// The failure and why it came so.
fn told(rules: &RuleSet, case: &cases::Case, failure: &cases::Failure) -> String {
    let rule = failure.rule.as_ref().and_then(|name| rules.get(name));
    let mut lines = vec![failure.message.clone()];
    let readings = case.event.readings();
    lines.extend(rule.iter().flat_map(|rule| {
        let (event, _) = rules.nearest(rule, &readings).unwrap_or((&readings[0], 0));
        why::lines(&rules.trace(rule, event))
    }));
    lines.join("\n")
}

impl Coverage {
    fn add(&mut self, ready: &Ready) {
        for rule in ready.rules.rules().iter().filter(|rule| rule.status.fires()) {
            let place = ready.rules.place(rule);
            let place = place.map(|place| format!(" ({}:{})", place.file, place.line)).unwrap_or_default();
            self.rules.entry(rule.name.clone()).or_insert((place, false, false));
        }
        for case in &ready.file.cases {
            for name in &case.fires {
                if let Some((_, fires, _)) = self.rules.get_mut(name) {
                    *fires = true;
                }
            }
            for name in &case.silent {
                if let Some((_, _, silent)) = self.rules.get_mut(name) {
                    *silent = true;
                }
            }
        }
    }

    fn suite(&self) -> Suite {
        let test = |(name, (place, fires, silent)): (&String, &(String, bool, bool))| {
            let missing = match (fires, silent) {
                (true, true) => None,
                (true, false) => Some("no case in which it is silent"),
                (false, true) => Some("no case that fires it"),
                (false, false) => Some("no case at all"),
            };
            let outcome = missing.map_or(Outcome::Passed, |missing| {
                Outcome::Failed(vec![format!("rule {name:?}{place} has {missing}")])
            });
            Test { name: name.clone(), line: None, outcome, took: Duration::ZERO }
        };
        Suite {
            name: "rules with a firing and a silent case".to_owned(),
            tests: self.rules.iter().map(test).collect(),
            notes: Vec::new(),
            took: Duration::ZERO,
        }
    }
}

fn text(report: &Report) -> String {
    let mut lines = Vec::new();
    for suite in &report.suites {
        let count = suite.count();
        let verdict = match (count.unjudged, count.failed) {
            (0, 0) => "ok",
            (0, _) => "FAILED",
            _ => "NOT TESTED",
        };
        lines.push(format!("{}: {verdict}, {} of {} passed", suite.name, count.passed, suite.tests.len()));
        for test in &suite.tests {
            let messages = match &test.outcome {
                Outcome::Passed => continue,
                Outcome::Failed(failures) => failures.as_slice(),
                Outcome::Unjudged(error) => {
                    lines.extend(error.lines().map(|line| format!("  {line}")));
                    continue;
                }
            };
            match test.line {
                Some(line) => lines.push(format!("  {}:{line}: {}", suite.name, test.name)),
                None => lines.push(format!("  {}", test.name)),
            }
            for message in messages {
                lines.extend(message.lines().map(|line| format!("    {line}")));
            }
        }
        lines.extend(suite.notes.iter().map(|note| format!("  note: {note}")));
    }
    let count = report.count();
    let not = if count.unjudged > 0 { format!(", {} not tested", count.unjudged) } else { String::new() };
    lines.push(format!("{} passed, {} failed{not}", count.passed, count.failed));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=open\n";

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new(files: &[(&str, &str)]) -> Self {
            let folder = Self(tempfile::tempdir().unwrap());
            for (name, text) in files {
                let path = folder.0.path().join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            folder
        }

        fn run(&self, files: &[&str], require_both: bool) -> Option<Class> {
            let files = files.iter().map(|name| self.0.path().join(name)).collect();
            let args = Args { files, output: Format::Text, require_both, options: Vec::new() };
            judge(&args, &mut String::new()).err().map(|failure| failure.class)
        }

        fn suite(&self, name: &str) -> String {
            let suite = suite(&self.0.path().join(name), &[], &mut Coverage::default());
            let text = text(&Report { suites: vec![suite] });
            text.replace(&format!("{}/", self.0.path().display()), "")
        }
    }

    #[test]
    fn ends_with_its_verdict() {
        let folder = Folder::new(&[
            ("good.yaml", RULE),
            ("bad.yaml", "- rule: r\n"),
            ("a.cases.yaml", "rules: good.yaml\ncases:\n- {event: {evt.type: open}, fires: r}\n"),
            ("b.cases.yaml", "rules: good.yaml\ncases:\n- {event: {evt.type: open}, silent: r}\n"),
            ("c.cases.yaml", "rules: bad.yaml\ncases: []\n"),
            ("d.cases.yaml", "rules: good.yaml\ncases:\n- {event: {evt.type: read}, silent: r}\n"),
            ("sub/deep/e.cases.yml", "rules: [../..]\ncases: []\n"),
            ("empty/x.yaml", ""),
        ]);
        assert_eq!(folder.run(&["a.cases.yaml"], false), None);
        assert_eq!(folder.run(&["a.cases.yaml"], true), Some(Class::Failed));
        assert_eq!(folder.run(&["a.cases.yaml", "d.cases.yaml"], true), None);
        assert_eq!(folder.run(&["a.cases.yaml", "b.cases.yaml"], false), Some(Class::Failed));
        assert_eq!(folder.run(&["b.cases.yaml", "c.cases.yaml"], false), Some(Class::Unjudged));
        assert_eq!(folder.run(&["none.cases.yaml"], false), Some(Class::Unjudged));
        assert_eq!(folder.run(&["empty"], false), Some(Class::Unjudged));
        // The folder's rules are read without its cases, and `bad.yaml` does not load.
        assert_eq!(folder.run(&["sub"], false), Some(Class::Unjudged));
    }

    #[test]
    fn a_person_sees_which_case_which_rule_and_why() {
        let folder = Folder::new(&[
            ("r.yaml", RULE),
            (
                "a.cases.yaml",
                "rules: [r.yaml]\ncases:\n- {name: n, event: {evt.type: open, evt.arg: {newpath: a}}, silent: [r]}\n",
            ),
            ("b.cases.yaml", "rules:\n- none.yaml\ncases: []\n"),
            ("c.cases.yaml", "cases: []\n"),
            ("d.cases.yaml", "rules: r.yaml\noptions:\n- rule_matching=last\ncases: []\n"),
        ]);
        let text = folder.suite("a.cases.yaml");
        assert!(
            text.starts_with(
                "a.cases.yaml: FAILED, 0 of 1 passed\n  a.cases.yaml:3: n\n    rule \"r\" fired\n      true: evt.type = open; evt.type is \"open\""
            ),
            "{text}"
        );
        assert!(text.contains(
            "  note: a.cases.yaml:3: this event has no parameter 'newpath' in reality; it has fd, name"
        ));
        assert!(text.ends_with("\n0 passed, 1 failed\n"));
        let text = folder.suite("b.cases.yaml");
        assert!(text.starts_with("b.cases.yaml: NOT TESTED, 0 of 1 passed\n  b.cases.yaml:2: cannot read the rules file none.yaml"), "{text}");
        assert!(
            folder
                .suite("c.cases.yaml")
                .contains("c.cases.yaml: it names no rule files: add `rules: [FILE]`")
        );
        assert!(folder.suite("d.cases.yaml").contains("d.cases.yaml:3: "));
    }

    #[test]
    fn the_documentation_shows_what_is_printed() {
        let page = include_str!("../../../../docs/rules.md");
        let blocks = |kind: &str| {
            let start = format!("```{kind}\n");
            page.split(&start).skip(1).filter_map(|rest| rest.split("```").next()).collect::<Vec<_>>()
        };
        let (yaml, console) = (blocks("yaml"), blocks("console"));
        let folder = Folder::new(&[("web.yaml", yaml[0]), ("web.cases.yaml", yaml[1])]);
        let shown = console[0].split_once("$ falconet rules test web.cases.yaml\n").unwrap().1;
        assert_eq!(shown, folder.suite("web.cases.yaml") + "falconet: error: 1 test case(s) failed\n");
    }

    #[test]
    fn a_disabled_rule_is_silent_and_cannot_be_expected_to_fire() {
        let folder = Folder::new(&[
            ("r.yaml", &format!("{RULE}  enabled: false\n")),
            ("a.cases.yaml", "rules: r.yaml\ncases:\n- {event: {evt.type: open}, silent: r}\n"),
            ("b.cases.yaml", "rules: r.yaml\ncases:\n- {event: {evt.type: open}, fires: r}\n"),
        ]);
        assert_eq!(
            folder.suite("a.cases.yaml"),
            "a.cases.yaml: ok, 1 of 1 passed\n  note: rule \"r\" is disabled, so it is silent whatever the event\n\
             1 passed, 0 failed\n"
        );
        assert!(folder.suite("b.cases.yaml").contains("rule \"r\" is disabled"));
        assert_eq!(folder.run(&["b.cases.yaml"], false), Some(Class::Failed));
    }

    #[test]
    fn options_choose_rules_and_fields_of_other_sensors_may_be_tested() {
        let text = RULE.replace("open", "open and evt.is_wait=true") + "  enabled: false\n";
        let folder = Folder::new(&[
            ("r.yaml", &text),
            (
                "a.cases.yaml",
                "rules: r.yaml\noptions: ['rules[].enable.rule=r']\ncases:\n\
                 - {event: {evt.type: open, evt.is_wait: true}, fires: r}\n",
            ),
        ]);
        let text = folder.suite("a.cases.yaml");
        assert!(
            text.starts_with("a.cases.yaml: ok, 1 of 1 passed\n  note: on a sensor, rule \"r\" is inactive:"),
            "{text}"
        );
    }
}

//! `falconet rules explain`: why a rule fires or does not fire on an event that is written down, or on the event of an alert.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::ValueEnum;
use serde_json::{Value as Json, json};

use super::alert_event;
use super::paint::{Ink, Paint, names};
use super::which::Which;
use crate::app::exit::{Class, Failure};
use crate::cli::print::say;
use crate::rules::cases::{self, CaseEvent};
use crate::rules::explain::trace::{Actual, Leaf, Part, Truth};
use crate::rules::source::files;
use crate::rules::{FieldRef, Rule, Source, Trace};

#[derive(clap::Args)]
pub struct Args {
    /// The rule.
    name: String,
    /// One event as test cases write it, a file of test cases, or an alert in JSON; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    event: PathBuf,
    /// Which case of a file of test cases; the first without it.
    #[arg(long, value_name = "NAME")]
    case: Option<String>,
    /// Rule files and directories, in order. Without any, those of the file of test cases, those of the configuration, or
    /// else the stock rules.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    rules: Vec<PathBuf>,
    /// How to report.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    #[command(flatten)]
    which: Which,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    Json,
}

/// An event with what is known of it.
struct Given {
    event: CaseEvent,
    /// Of an alert: the fields that it tells. Whatever else has no value is not missing, but unknown.
    told: Option<BTreeSet<String>>,
    /// Rule files that the file names.
    rules: Vec<PathBuf>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let failed = |error: anyhow::Error| Failure::new(Class::Failed, error);
    let source = read(&args.event).map_err(failed)?;
    let given = given(&source, args).map_err(failed)?;
    let paths = if args.rules.is_empty() { &given.rules } else { &args.rules };
    let set = args.which.load_for_written(paths)?;
    let rule = set.find(&args.name).map_err(|error| Failure::new(Class::Failed, error))?;
    // What a sensor would make of it may differ: it cannot see everything that can be written down.
    let here = args.which.load(paths)?;
    let here = here.find(&args.name).unwrap_or(rule);
    let readings = given.event.readings();
    let (event, distance) = set.nearest(rule, &readings).unwrap_or((&readings[0], u32::MAX));
    let trace = set.trace(rule, event);
    let report = Report { trace: &trace, here, told: given.told.as_ref(), distance };
    let told = match args.output {
        Format::Json => format!("{}\n", report.json()),
        Format::Text => report.text(Paint::of_stdout()),
    };
    say(&told)
}

fn read(path: &Path) -> anyhow::Result<Source> {
    if path != Path::new("-") {
        return Ok(files::source(path)?);
    }
    let mut text = String::new();
    std::io::stdin().take(16 << 20).read_to_string(&mut text)?;
    Ok(Source::new("standard input", text))
}

fn given(source: &Source, args: &Args) -> anyhow::Result<Given> {
    if let Some(alert) = alert_event::find(&source.text, &args.name) {
        let (event, told) = alert_event::event(&source.name, &alert)?;
        return Ok(Given { event, told: Some(told), rules: Vec::new() });
    }
    // Only a file of test cases has names and rules.
    let Ok(mut file) = cases::parse(source) else {
        if let Some(case) = &args.case {
            return Err(anyhow!("{} is no file of test cases, so it has no case {case:?}", source.name));
        }
        return Ok(Given { event: cases::event(source)?, told: None, rules: Vec::new() });
    };
    let folder = args.event.parent().unwrap_or(Path::new("."));
    let rules = file.rules.iter().map(|rules| folder.join(&rules.text)).collect();
    let at = match &args.case {
        None => 0,
        Some(name) => file.cases.iter().position(|case| case.name == *name).ok_or_else(|| {
            let names: Vec<String> = file.cases.iter().map(|case| format!("{:?}", case.name)).collect();
            anyhow!("{} has no case {name:?}; it has {}", source.name, names.join(", "))
        })?,
    };
    if at >= file.cases.len() {
        return Err(anyhow!("{} has no cases", source.name));
    }
    Ok(Given { event: file.cases.swap_remove(at).event, told: None, rules })
}

struct Report<'r> {
    trace: &'r Trace,
    /// The rule as this sensor has it.
    here: &'r Rule,
    told: Option<&'r BTreeSet<String>>,
    distance: u32,
}

impl Report<'_> {
    /// The value is not missing but not told.
    fn is_untold(&self, actual: &Actual) -> bool {
        self.told.is_some_and(|told| {
            let field = FieldRef::parse(&actual.field).map(|field| field.to_string());
            actual.value.is_null() && !actual.hidden && field.is_ok_and(|field| !told.contains(&field))
        })
    }

    fn untold(&self) -> BTreeSet<String> {
        let mut all = Vec::new();
        leaves(&self.trace.root, &mut all);
        let actual = all.iter().flat_map(|leaf| &leaf.actual).filter(|actual| self.is_untold(actual));
        actual.map(|actual| actual.field.clone()).collect()
    }

    fn json(&self) -> Json {
        let (word, why) = self.here.status.told();
        json!({
            "rule": self.trace.rule,
            "fires": self.trace.fires,
            "status": word,
            "reason": why,
            // Null: no value of any field could make it fire on an event of this type.
            "distance": (self.distance != u32::MAX).then_some(self.distance),
            "near_miss": self.trace.near_miss().map(|leaf| &leaf.text),
            "not_in_the_alert": self.told.map(|_| self.untold()),
            "condition": self.trace.root,
        })
    }

    fn text(&self, paint: Paint) -> String {
        let mut out = String::new();
        let verdict = if self.trace.fires {
            paint.ink(Ink::Green, "fires")
        } else {
            paint.ink(Ink::Red, "does not fire")
        };
        let on = if self.told.is_some() { "what the alert tells of its event" } else { "this event" };
        let _ = writeln!(out, "{} {verdict} on {on}", paint.ink(Ink::Bold, &self.trace.rule));
        match (self.trace.near_miss(), self.distance) {
            _ if self.trace.fires => {}
            (Some(leaf), _) => {
                let at = leaf.place.as_ref().map(|at| format!(" ({at})")).unwrap_or_default();
                let _ = writeln!(out, "only `{}`{at} keeps it from firing", leaf.text);
            }
            (None, u32::MAX) => {
                let _ = writeln!(out, "it cannot fire on events of this type");
            }
            (None, distance) => {
                let _ = writeln!(out, "{distance} comparisons would have to turn out differently");
            }
        }
        let untold = self.untold();
        if !untold.is_empty() {
            let fields = untold.into_iter().collect::<Vec<_>>().join(", ");
            let _ = writeln!(out, "not in the alert, so these count as missing: {fields}");
        }
        if let (word, Some(why)) = self.here.status.told() {
            let _ = writeln!(out, "on this sensor the rule is {word}: {why}");
        }
        out.push('\n');
        self.part(&self.trace.root, 0, paint, &mut out);
        out
    }

    fn part(&self, part: &Part, depth: usize, paint: Paint, out: &mut String) {
        let from = paint.ink(Ink::Dim, &names(part.from()));
        let (word, parts) = match part {
            Part::And { parts, .. } => ("and", parts.as_slice()),
            Part::Or { parts, .. } => ("or", parts.as_slice()),
            Part::Not { part, .. } => ("not", std::slice::from_ref(&**part)),
            Part::Leaf(leaf) => return self.leaf(leaf, depth, &from, paint, out),
        };
        let truth = if part.holds() { Truth::True } else { Truth::False };
        let (truth, indent) = (mark(truth, paint), "  ".repeat(depth));
        let _ = writeln!(out, "{truth} {indent}{}{from}", paint.ink(Ink::Bold, word));
        for part in parts {
            self.part(part, depth + 1, paint, out);
        }
    }

    fn leaf(&self, leaf: &Leaf, depth: usize, from: &str, paint: Paint, out: &mut String) {
        let indent = "  ".repeat(depth);
        let at = leaf.place.as_ref().map(ToString::to_string).unwrap_or_default();
        let text = format!("{indent}{}", leaf.text);
        let _ = writeln!(out, "{} {text:<60}  {}{from}", mark(leaf.truth, paint), paint.ink(Ink::Dim, &at));
        for actual in &leaf.actual {
            let value = match &actual.value {
                _ if actual.hidden => "has a value, which is not shown".to_owned(),
                _ if self.is_untold(actual) => "is not in the alert".to_owned(),
                Json::Null => "has no value".to_owned(),
                value if leaf.sibling => format!("is {value}, which does the same"),
                value => format!("is {value}"),
            };
            let _ = writeln!(
                out,
                "{:10}{indent}  {}",
                "",
                paint.ink(Ink::Dim, &format!("{} {value}", actual.field))
            );
        }
    }
}

fn mark(truth: Truth, paint: Paint) -> String {
    let ink = match truth {
        Truth::True => Ink::Green,
        Truth::False => Ink::Red,
        Truth::Missing | Truth::Unfilled => Ink::Yellow,
    };
    paint.ink(ink, &format!("{:<9}", truth.as_str()))
}

fn leaves<'p>(part: &'p Part, into: &mut Vec<&'p Leaf>) {
    match part {
        Part::And { parts, .. } | Part::Or { parts, .. } => {
            for part in parts {
                leaves(part, into);
            }
        }
        Part::Not { part, .. } => leaves(part, into),
        Part::Leaf(leaf) => into.push(leaf),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Options, RuleSet, load};

    const RULES: &str = "- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  \
                         condition: evt.type = openat and fd.name = /etc/shadow and not proc.name in (a, b) and proc.tty != 0\n";

    fn report(event: &str, told: impl FnOnce(&Report<'_>)) {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let (rules, event) = (write("r.yaml", RULES), write("event", event));
        let args = |case: Option<&str>| Args {
            name: "r".to_owned(),
            event: event.clone(),
            case: case.map(str::to_owned),
            rules: vec![rules.clone()],
            output: Format::Text,
            which: Which::default(),
        };
        assert!(run(&args(None)).is_ok());
        let given = given(&read(&event).unwrap(), &args(None)).unwrap();
        let set: RuleSet = load(&[Source::new("r.yaml", RULES)], &Options::default()).rules.unwrap();
        let (rule, trace) = (&set.rules()[0], set.trace(&set.rules()[0], &given.event));
        told(&Report {
            trace: &trace,
            here: rule,
            told: given.told.as_ref(),
            distance: set.distance(rule, &given.event),
        });
    }

    #[test]
    fn a_written_event_is_explained() {
        let event = "{evt.type: openat, fd.name: /etc/shadow, proc.name: cat, proc.tty: 0}";
        report(event, |report| {
            let text = report.text(Paint::never());
            assert!(
                text.starts_with("r does not fire on this event\nonly `proc.tty != 0` (r.yaml:5:"),
                "{text}"
            );
            assert!(text.contains("\ntrue        not\nfalse         proc.name in (a, b)  "), "{text}");
            assert!(text.contains("proc.tty is 0\n"), "{text}");
            assert_eq!(report.json()["near_miss"], "proc.tty != 0");
        });
        // The same in a file of test cases.
        report(&format!("cases:\n- {{name: n, silent: [r], event: {event}}}\n"), |report| {
            assert_eq!(report.distance, 1);
        });
    }

    #[test]
    fn an_alert_is_explained_as_far_as_it_tells() {
        let alert = "{\"rule\": \"r\", \"output_fields\": {\"evt.type\": \"openat\", \"fd.name\": \"/etc/shadow\", \
                     \"evt.time\": 1, \"proc.name\": null}, \"priority\": \"Notice\"}";
        report(alert, |report| {
            let text = report.text(Paint::never());
            assert!(text.contains("does not fire on what the alert tells of its event\n"), "{text}");
            assert!(text.contains("not in the alert, so these count as missing: proc.tty\n"), "{text}");
            assert!(text.contains("proc.tty is not in the alert\n"), "{text}");
            assert!(text.contains("proc.name has no value\n"), "{text}");
            assert_eq!(report.json()["not_in_the_alert"], json!(["proc.tty"]));
        });
    }
}

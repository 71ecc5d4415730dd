//! Runs the tables in the folder `files`: rule files, and what loading them must say and make.
//!
//! A table is a list of cases. Keys of a case:
//!
//! * `name`; `files`: one text, or several, called `1.yaml`, `2.yaml` and so on;
//! * `options`: `priority`, `rules` (the selections), `append_output`, as in the configuration; by default nothing is
//!   appended to outputs;
//! * `error`: what loading ends with; without it, it must succeed;
//! * `warnings`: exactly these, in any order; without the key there must be none, `any` leaves them open;
//! * `rules`: all rules in order, each its name or a mapping of `name` and what else is to be looked at;
//! * `schema`: the outcome of the informative check of the last file;
//! * `events`: events as in test files, with `fires` (exactly these, in order) and `output` of the first that fires.
//!
//! A diagnostic is described by `code`, `message` (all of it) or `says` (part of it), `at` (`line:column`), `file`, `suggests`,
//! `shows` (the text from the marker on), `context` (kinds and names, outermost first, the file itself left out).

use std::path::Path;

use serde::Deserialize;

use crate::rules::cases;
use crate::rules::load::{Loaded, load};
use crate::rules::program::evaluate::Scratch;
use crate::rules::registry::priority::Priority;
use crate::rules::report::diagnostic::Diagnostic;
use crate::rules::report::source::Source;
use crate::rules::rule_set::Rule;
use crate::rules::source::options::{AppendOutput, Options, Selection};
use crate::rules::status::Status;
use crate::yaml::{self, Node, Yaml};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    files: OneOrMany,
    #[serde(default)]
    options: Settings,
    error: Option<Told>,
    warnings: Option<Warnings>,
    rules: Option<Vec<Expected>>,
    schema: Option<String>,
    #[serde(default)]
    events: Vec<Occurrence>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Warnings {
    /// `any`.
    Word(String),
    These(Vec<Told>),
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Settings {
    priority: Option<String>,
    rules: Vec<Selection>,
    append_output: Vec<AppendOutput>,
}

/// An expected diagnostic.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Told {
    code: String,
    message: Option<String>,
    says: Option<String>,
    at: Option<String>,
    file: Option<String>,
    suggests: Option<String>,
    shows: Option<String>,
    context: Option<Vec<String>>,
    deprecated_field: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Expected {
    Name(String),
    Rule(Box<ExpectedRule>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedRule {
    name: String,
    compiled: Option<String>,
    status: Option<String>,
    priority: Option<String>,
    tags: Option<Vec<String>>,
    desc: Option<String>,
    source: Option<String>,
    extra: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Occurrence {
    /// A flow mapping without its braces.
    event: String,
    fires: Vec<String>,
    output: Option<String>,
}

#[test]
fn rule_files_load_as_the_tables_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/rules/conformance/files");
    let mut tables: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    tables.sort();
    assert!(!tables.is_empty());
    let (mut count, mut failures) = (0, Vec::new());
    for table in tables {
        let name = table.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&table).unwrap();
        let documents = yaml::documents(&text, yaml::Twice::Refused).unwrap_or_else(|error| {
            panic!("{name}:{}: {}", line(&text, error.at), error.message);
        });
        let Some(Node { yaml: Yaml::Seq(items), .. }) = documents.first() else {
            panic!("{name}: not a list of cases");
        };
        assert!(!items.is_empty(), "{name} has no cases");
        for item in items {
            let place = format!("{name}:{}", line(&text, item.at));
            let case: Case = match serde_json::from_value(json(item)) {
                Ok(case) => case,
                Err(error) => panic!("{place}: {error}"),
            };
            count += 1;
            if let Err(why) = run(&case) {
                failures.push(format!("{place}: {}: {why}", case.name));
            }
        }
    }
    println!("{count} cases");
    assert!(failures.is_empty(), "{} of {count} fail\n{}", failures.len(), failures.join("\n"));
}

fn line(text: &str, at: usize) -> usize {
    1 + text[..at].matches('\n').count()
}

/// YAML as JSON: plain scalars that look so become truth values and numbers.
fn json(node: &Node) -> serde_json::Value {
    match &node.yaml {
        Yaml::Null => serde_json::Value::Null,
        Yaml::Scalar(scalar) if scalar.plain => match scalar.text.as_str() {
            "true" => true.into(),
            "false" => false.into(),
            text => text.into(),
        },
        Yaml::Scalar(scalar) => scalar.text.as_str().into(),
        Yaml::Seq(items) => items.iter().map(json).collect(),
        Yaml::Map(pairs) => {
            pairs.iter().map(|(key, value)| (key.text().unwrap().to_owned(), json(value))).collect()
        }
    }
}

fn run(case: &Case) -> Result<(), String> {
    let texts = match &case.files {
        OneOrMany::One(text) => std::slice::from_ref(text),
        OneOrMany::Many(texts) => texts,
    };
    let named = texts.iter().enumerate().map(|(n, text)| Source::new(format!("{}.yaml", n + 1), text));
    let sources: Vec<Source> = named.collect();
    let options = Options {
        priority: case.options.priority.as_deref().map_or(Priority::Debug, |word| word.parse().unwrap()),
        selections: case.options.rules.clone(),
        append_output: case.options.append_output.clone(),
        ..Options::default()
    };
    let loaded = load(&sources, &options);
    ending(case, &loaded)?;
    warnings(case, &loaded)?;
    if let Some(schema) = &case.schema {
        let found = &loaded.files.last().unwrap().schema;
        same("schema", found.as_str(), schema)?;
    }
    let Some(set) = &loaded.rules else {
        let asked = case.rules.is_some() || !case.events.is_empty();
        return if asked { Err("no rules to look at".into()) } else { Ok(()) };
    };
    if let Some(expected) = &case.rules {
        let name = |expected: &Expected| match expected {
            Expected::Name(name) => name.clone(),
            Expected::Rule(rule) => rule.name.clone(),
        };
        let names: Vec<String> = set.rules().iter().map(|rule| rule.name.clone()).collect();
        same("rules", &names, &expected.iter().map(name).collect())?;
        for (rule, expected) in set.rules().iter().zip(expected) {
            if let Expected::Rule(expected) = expected {
                matches(rule, expected)?;
            }
        }
    }
    for occurrence in &case.events {
        let text = format!("cases:\n- name: n\n  silent: [r]\n  event: {{{}}}\n", occurrence.event);
        let file = cases::parse(&Source::new("event", text)).map_err(|error| error.to_string())?;
        let event = &file.cases[0].event;
        let (mut fired, mut output) = (Vec::new(), None);
        set.evaluate(&mut Scratch::default(), event, |rule| {
            fired.push(rule.name.clone());
            let mut text = String::new();
            rule.output.render(event, &mut text);
            output = output.take().or(Some(text));
        });
        same(&format!("fires on {}", occurrence.event), &fired, &occurrence.fires)?;
        if occurrence.output.is_some() {
            same("output", &output, &occurrence.output)?;
        }
    }
    Ok(())
}

fn same<T: PartialEq + std::fmt::Debug + ?Sized>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: found {found:?}, expected {expected:?}")) }
}

fn ending(case: &Case, loaded: &Loaded) -> Result<(), String> {
    let errors: Vec<&Diagnostic> = loaded.files.iter().flat_map(|file| &file.errors).collect();
    match (&case.error, errors.as_slice()) {
        (None, []) if loaded.rules.is_some() => Ok(()),
        (None, []) => Err("no error and no rules".into()),
        (None, [error, ..]) => Err(format!("unexpected error\n{error}")),
        (Some(_), []) => Err("no error".into()),
        (Some(_), _) if loaded.rules.is_some() => Err("rules in spite of an error".into()),
        (Some(told), [error, ..]) => tells(told, error).map_err(|why| format!("{why}\n{error}")),
    }
}

fn warnings(case: &Case, loaded: &Loaded) -> Result<(), String> {
    let found: Vec<&Diagnostic> = loaded.files.iter().flat_map(|file| &file.warnings).collect();
    let expected = match &case.warnings {
        Some(Warnings::Word(word)) => {
            assert_eq!(word, "any");
            return Ok(());
        }
        Some(Warnings::These(told)) => told.as_slice(),
        None => &[],
    };
    let mut left = found.clone();
    for told in expected {
        if let Some(at) = left.iter().position(|diagnostic| tells(told, diagnostic).is_ok()) {
            left.remove(at);
        } else {
            let list: Vec<String> = found
                .iter()
                .map(|d| format!("{d}\n  ({})", tells(told, d).err().unwrap_or_default()))
                .collect();
            return Err(format!("no warning is {told:?}, but\n{}", list.join("\n")));
        }
    }
    let left: Vec<String> = left.iter().map(ToString::to_string).collect();
    if left.is_empty() { Ok(()) } else { Err(format!("unexpected warnings\n{}", left.join("\n"))) }
}

fn tells(told: &Told, found: &Diagnostic) -> Result<(), String> {
    same("code", found.code.as_str(), &told.code)?;
    if let Some(message) = &told.message {
        same("message", &found.message, message)?;
    }
    if let Some(part) = &told.says
        && !found.message.contains(part)
    {
        return Err(format!("message {:?} does not say {part:?}", found.message));
    }
    if let Some(at) = &told.at {
        same("at", &format!("{}:{}", found.line, found.column), at)?;
    }
    if let Some(file) = &told.file {
        same("file", &found.file, file)?;
    }
    if let Some(suggestion) = &told.suggests {
        same("suggests", found.suggestion.as_deref().unwrap_or(""), suggestion)?;
    }
    if let Some(shown) = &told.shows {
        let (at, len) = found.caret;
        let marked: String = found.snippet.chars().skip(at).take(len).collect();
        same("shows", &marked, shown)?;
    }
    if let Some(context) = &told.context {
        let name =
            |kind: &str, name: &str| if name.is_empty() { kind.to_owned() } else { format!("{kind} {name}") };
        let chain = found.context.iter().skip(1).map(|location| name(location.kind, &location.name));
        same("context", &chain.collect(), context)?;
    }
    if told.deprecated_field.is_some() {
        same("deprecated_field", &found.deprecated_field, &told.deprecated_field)?;
    }
    Ok(())
}

fn matches(rule: &Rule, expected: &ExpectedRule) -> Result<(), String> {
    if let Some(compiled) = &expected.compiled {
        same("compiled", &rule.compiled, compiled)?;
    }
    if let Some(status) = &expected.status {
        let found = match &rule.status {
            Status::Active => "active",
            Status::Disabled => "disabled",
            Status::BelowPriority => "below priority",
            Status::Inactive(_) => "inactive",
            Status::Limited(_) => "limited",
        };
        same("status", found, status)?;
    }
    if let Some(priority) = &expected.priority {
        same("priority", rule.priority.as_str(), priority)?;
    }
    if let Some(tags) = &expected.tags {
        same("tags", &rule.tags, tags)?;
    }
    if let Some(desc) = &expected.desc {
        same("desc", &rule.desc, desc)?;
    }
    if let Some(source) = &expected.source {
        same("source", &rule.source, source)?;
    }
    if let Some(extra) = &expected.extra {
        same("extra", &rule.extra.iter().map(|(key, _)| key.clone()).collect(), extra)?;
    }
    Ok(())
}

//! `falconet fields`: what rules can ask of an event, in the three forms of `falco --list`. `docs/fields.md` is the Markdown
//! form; a test fails when it is not.

use std::fmt::Write as _;

use clap::ValueEnum;

use super::print::say;
use crate::app::exit::Failure;
use crate::engine::extract::UNFILLED;
use crate::rules::registry::fields::{Class, FIELDS, FieldInfo, Flags};

#[derive(clap::Args)]
pub struct Args {
    /// How to print.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// The same as `--format markdown`.
    #[arg(long, conflicts_with_all = ["format", "json"])]
    markdown: bool,
    /// The same as `--format json`.
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Print the names only.
    #[arg(short = 'N', long)]
    names_only: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// Tables; the whole of `docs/fields.md`.
    Markdown,
    /// As Falco's, with `available` added.
    Json,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let format = match (args.markdown, args.json) {
        (true, _) => Format::Markdown,
        (_, true) => Format::Json,
        _ => args.format,
    };
    say(&match (format, args.names_only) {
        (Format::Json, false) => format!("{}\n", json()),
        (Format::Json, true) => format!("{}\n", serde_json::json!({"fieldnames": names()})),
        (_, true) => names().join("\n") + "\n",
        (Format::Markdown, false) => markdown(),
        (Format::Text, false) => text(),
    })
}

fn names() -> Vec<&'static str> {
    Class::ALL.into_iter().flat_map(of).map(|info| info.name).collect::<Vec<_>>()
}

fn of(class: Class) -> impl Iterator<Item = &'static FieldInfo> {
    FIELDS.iter().filter(move |info| info.class == class && !info.flags.has(Flags::DEPRECATED))
}

/// The name with a sketch of its argument: `proc.aname[N]`, `evt.arg.NAME`.
fn shown(info: &FieldInfo) -> String {
    let argument = match (info.flags.has(Flags::INDEX), info.flags.has(Flags::KEY)) {
        _ if !info.flags.takes_argument() => return info.name.to_owned(),
        (true, true) => "N or KEY",
        (true, false) => "N",
        _ => "KEY",
    };
    if info.flags.has(Flags::REQUIRED) {
        format!("{}[{argument}]", info.name)
    } else {
        format!("{}[{argument}?]", info.name)
    }
}

/// Whether events have a value for it.
fn is_filled(info: &FieldInfo) -> bool {
    !UNFILLED.contains(info.field)
}

fn notes(info: &FieldInfo) -> String {
    let mut notes = Vec::new();
    if info.flags.has(Flags::LIST) {
        notes.push("list");
    }
    if info.flags.has(Flags::FILTER) {
        notes.push("conditions only");
    }
    if info.flags.has(Flags::PRINT) {
        notes.push("outputs only");
    }
    if !is_filled(info) {
        notes.push("not filled yet");
    }
    notes.join(", ")
}

/// Where the right block of the text form begins, and how wide the whole is.
const RIGHT: usize = 30;
const WIDTH: usize = 120;

fn text() -> String {
    let mut text = String::new();
    for class in Class::ALL {
        text.push_str("-------------------------------\n");
        let sources = "syscall";
        for (title, value) in
            [("Field Class:", class.name()), ("Description:", class.doc()), ("Event Sources:", sources)]
        {
            row(title, value, &mut text);
        }
        text.push('\n');
        for info in of(class) {
            let notes = notes(info);
            let notes = if notes.is_empty() { notes } else { format!("; {notes}") };
            row(&shown(info), &format!("(Type: {}{notes}) {}", info.kind.as_str(), info.doc), &mut text);
        }
        text.push('\n');
    }
    text
}

/// A name and what stands to the right of it, broken into lines.
fn row(left: &str, right: &str, into: &mut String) {
    // Writing to a string cannot fail.
    let _ = write!(into, "{left:<RIGHT$}");
    let mut column = RIGHT;
    if left.len() >= RIGHT {
        let _ = write!(into, "\n{:RIGHT$}", "");
    }
    for (at, word) in right.split(' ').enumerate() {
        let blank = usize::from(at > 0);
        let width = word.chars().count();
        if at > 0 && column + blank + width > WIDTH {
            let _ = write!(into, "\n{:RIGHT$}", "");
            column = RIGHT;
        } else if at > 0 {
            into.push(' ');
            column += 1;
        }
        into.push_str(word);
        column += width;
    }
    into.push('\n');
}

fn markdown() -> String {
    let filled = FIELDS.iter().filter(|info| is_filled(info) && !info.flags.has(Flags::DEPRECATED)).count();
    let all = FIELDS.iter().filter(|info| !info.flags.has(Flags::DEPRECATED)).count();
    let mut text = format!(
        "# Fields\n\n\
         What rules and outputs can ask of an event: Falco's fields. Of {all}, {filled} are filled. A rule that needs one which \
         is not filled yet loads,\nand is reported as inactive or limited (`falconet rules check`). `[N]` is a position, `[KEY]` \
         a name, `?` an argument that may be left out;\na dot does as well where Falco takes one (`evt.arg.flags`).\n\n\
         `falconet fields --markdown > docs/fields.md` writes this page.\n\n"
    );
    for class in Class::ALL {
        let _ = writeln!(
            text,
            "## Field Class: {}\n\n{}\n\nEvent Sources: syscall\n\nName | Type | Description\n:----|:-----|:-----------",
            class.name(),
            class.doc()
        );
        for info in of(class) {
            let notes = notes(info);
            let notes = if notes.is_empty() { notes } else { format!(" *({notes})*") };
            let doc = info.doc.replace('|', "\\|");
            let _ = writeln!(text, "`{}` | {} | {doc}{notes}", shown(info), info.kind.as_str());
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn json() -> serde_json::Value {
    let field = |info: &FieldInfo| {
        let mut kinds = Vec::new();
        if info.flags.has(Flags::INDEX) {
            kinds.push("INDEX");
        }
        if info.flags.has(Flags::KEY) {
            kinds.push("KEY");
        }
        let argument = info
            .flags
            .takes_argument()
            .then(|| serde_json::json!({"required": info.flags.has(Flags::REQUIRED), "type": kinds}));
        serde_json::json!({
            "name": info.name,
            "type": info.kind.as_str(),
            "desc": info.doc,
            "is_list": info.flags.has(Flags::LIST),
            "argument": argument,
            "available": is_filled(info),
        })
    };
    let classes: Vec<serde_json::Value> = Class::ALL
        .into_iter()
        .map(|class| {
            serde_json::json!({
                "name": class.name(),
                "desc": class.doc(),
                "event_sources": ["syscall"],
                "fields": of(class).map(field).collect::<Vec<_>>(),
            })
        })
        .collect();
    serde_json::json!({"fieldclasses": classes})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_that_is_not_deprecated_is_listed_once() {
        let expected = FIELDS.iter().filter(|info| !info.flags.has(Flags::DEPRECATED)).count();
        let json = json();
        let classes = json["fieldclasses"].as_array().unwrap();
        let listed: usize = classes.iter().map(|class| class["fields"].as_array().unwrap().len()).sum();
        assert_eq!(listed, expected);
        let table = |line: &&str| line.starts_with('`') && line.contains(" | ");
        assert_eq!(markdown().lines().filter(table).count(), expected);
        assert_eq!(names().len(), expected);
        let text = text();
        assert!(
            text.contains("\nproc.aname[N?]                (Type: CHARBUF) Name of an ancestor;"),
            "{text}"
        );
        assert!(text.contains("\nevt.arg[N or KEY]             (Type: "));
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH));
    }

    #[test]
    fn the_documentation_is_what_the_registry_says() {
        let page = include_str!("../../../docs/fields.md");
        assert!(
            page == markdown(),
            "docs/fields.md is stale: run `falconet fields --markdown > docs/fields.md`"
        );
    }
}

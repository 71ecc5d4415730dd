//! `falconet fields`: what rules can ask of an event.

use super::exit::Failure;
use crate::rules::fields::{Class, FIELDS, FieldInfo, Flags};

#[derive(clap::Args)]
pub struct Args {
    /// Print Markdown tables.
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
    /// Print JSON in the shape of `falco --list --format json`, with `available` added.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    if args.json {
        println!("{}", json());
    } else if args.markdown {
        print!("{}", markdown());
    } else {
        print!("{}", text());
    }
    Ok(())
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
    if !info.filled {
        notes.push("not available yet");
    }
    notes.join(", ")
}

fn text() -> String {
    let mut lines = Vec::new();
    for class in Class::ALL {
        lines.push(format!("{}: {}", class.name(), class.doc()));
        for info in of(class) {
            let notes = notes(info);
            let notes = if notes.is_empty() { notes } else { format!(" ({notes})") };
            lines.push(format!("  {:<44} {:<8} {}{notes}", shown(info), info.kind.as_str(), info.doc));
        }
        lines.push(String::new());
    }
    lines.join("\n")
}

fn markdown() -> String {
    let mut lines = Vec::new();
    for class in Class::ALL {
        lines.push(format!("## Field Class: {}\n\n{}\n", class.name(), class.doc()));
        lines.push("Name | Type | Available | Description\n:----|:-----|:-----|:-----------".to_owned());
        for info in of(class) {
            let available = if info.filled { "yes" } else { "not yet" };
            lines.push(format!("`{}` | {} | {available} | {}", shown(info), info.kind.as_str(), info.doc));
        }
        lines.push(String::new());
    }
    lines.join("\n")
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
            "available": info.filled,
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
        assert_eq!(markdown().lines().filter(|line| line.starts_with('`')).count(), expected);
        assert!(text().contains("proc.aname[N?]") && text().contains("evt.arg[N or KEY]"));
    }
}

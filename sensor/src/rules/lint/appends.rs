//! Conditions that are appended to another without parentheses. Falco joins the texts with a blank, and `and` binds tighter than
//! `or`: `a or b` with `and c` appended is `a or (b and c)`.

use std::collections::HashMap;

use super::context::Context;
use super::finding::{Level, Lint, Report};
use crate::rules::language::ast::Expr;
use crate::rules::language::parse;
use crate::rules::report::text::Text;
use crate::rules::source::reader::File;
use crate::yaml::{self, Node, Twice, Yaml};

pub static AND_AFTER_OR: Lint = Lint {
    id: "append-and-after-or",
    level: Level::Warning,
    why: "`and` binds tighter than `or`, and appending adds no parentheses, so the appended part restricts only a part.",
    remedy: "Put parentheses around the `or`; where the first condition is not yours, replace it as a whole.",
};

pub static OR_AFTER_AND: Lint = Lint {
    id: "append-or-after-and",
    level: Level::Note,
    why: "An `or` appended to parts joined by `and` stands beside all of them: it is not restricted by the event type either.",
    remedy: "Repeat what restricts the rule, `or (evt.type=… and …)`, or append to a macro or list inside it.",
};

/// What is defined so far, by kind and name.
type Known = HashMap<(&'static str, String), Text>;

pub fn run(context: &Context<'_>, report: &mut Report) {
    let mut known = Known::new();
    for (number, source) in (0u32..).zip(context.sources) {
        let file = File { number, text: &source.text };
        for document in yaml::documents(&source.text, Twice::First).unwrap_or_default() {
            let Yaml::Seq(items) = &document.yaml else { continue };
            for item in items {
                for kind in ["macro", "rule"] {
                    if let Some(name) = item.get(kind).and_then(Node::text) {
                        read(file, item, kind, name, &mut known, report);
                        break;
                    }
                }
            }
        }
    }
}

fn read(file: File<'_>, item: &Node, kind: &'static str, name: &str, known: &mut Known, report: &mut Report) {
    let Ok(condition) = file.required_text(item, "condition") else { return };
    let overriding = item.get("override").and_then(|node| node.get("condition")).and_then(Node::text);
    let appends = overriding == Some("append") || file.boolean(item, "append").ok().flatten() == Some(true);
    let key = (kind, name.to_owned());
    if !appends {
        known.insert(key, condition);
        return;
    }
    let Some(before) = known.get_mut(&key) else { return };
    compare(before, &condition, kind, name, report);
    before.push_str(" ", condition.origin(0));
    before.push(&condition);
}

/// Compares what the texts say together with what they say with parentheses around each.
fn compare(before: &Text, more: &Text, kind: &'static str, name: &str, report: &mut Report) {
    let text = more.as_str().trim_start();
    let skipped = more.as_str().len() - text.len();
    let follows = |word: &str| {
        text.strip_prefix(word).filter(|rest| rest.starts_with(|c: char| c.is_whitespace() || c == '('))
    };
    let (word, rest) = match (follows("and"), follows("or")) {
        (Some(rest), _) => ("and", rest),
        (_, Some(rest)) => ("or", rest),
        _ => return,
    };
    let at = more.origin(skipped);
    let parsed = |text: String| parse::condition(&Text::placed(&text, at)).ok();
    let joined = |old: &str, new: &str| parsed(format!("{old} {word} {new}"));
    let (old, new) = (before.as_str().trim(), rest.trim());
    let (Some(actual), Some(meant), Some(whole), Some(added)) = (
        joined(old, new),
        joined(&format!("({old})"), &format!("({new})")),
        parsed(old.into()),
        parsed(new.into()),
    ) else {
        return;
    };
    let flat = |expr: &Expr| flattened(expr).to_string();
    if flat(&actual) != flat(&meant) {
        let message = match (&whole, &added) {
            (_, Expr::Or(_)) if word == "and" && loose(new) => {
                format!(
                    "the `or` in `{}` stands beside the whole condition: it reads {}",
                    short(text, 40),
                    shape(&actual)
                )
            }
            _ => format!(
                "`{}` restricts only the last alternative: it reads {}",
                short(text, 40),
                shape(&actual)
            ),
        };
        report.at(&AND_AFTER_OR, kind, name, at, text.trim_end().len(), message);
    } else if word == "or" && matches!(whole, Expr::And(_)) && loose(old) {
        let message =
            format!("`{}` stands beside the whole condition: it reads {}", short(text, 40), shape(&actual));
        report.at(&OR_AFTER_AND, kind, name, at, text.trim_end().len(), message);
    }
}

/// The text is not in parentheses as a whole.
fn loose(text: &str) -> bool {
    let mut depth = 0usize;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + c.len_utf8() < text.len();
        }
    }
    true
}

/// Nested `and` in `and`, and `or` in `or`, made one.
fn flattened(expr: &Expr) -> Expr {
    let join = |items: &[Expr], and: bool| {
        let mut all = Vec::new();
        for item in items.iter().map(flattened) {
            match item {
                Expr::And(inner) if and => all.extend(inner),
                Expr::Or(inner) if !and => all.extend(inner),
                other => all.push(other),
            }
        }
        all
    };
    match expr {
        Expr::And(items) => Expr::And(join(items, true)),
        Expr::Or(items) => Expr::Or(join(items, false)),
        Expr::Not(inner) => Expr::Not(Box::new(flattened(inner))),
        other => other.clone(),
    }
}

/// The two uppermost levels of a condition, what stands below cut short.
fn shape(expr: &Expr) -> String {
    let text = shape_of(expr, 2);
    let text = text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(&text);
    format!("`{text}`")
}

fn shape_of(expr: &Expr, depth: usize) -> String {
    let (items, word) = match expr {
        Expr::And(items) => (items, " and "),
        Expr::Or(items) => (items, " or "),
        _ => return short(&expr.to_string(), 28),
    };
    if depth == 0 {
        return "(…)".to_owned();
    }
    let parts: Vec<String> = items.iter().map(|item| shape_of(item, depth - 1)).collect();
    format!("({})", parts.join(word))
}

/// The beginning of a text.
fn short(text: &str, shown: usize) -> String {
    let text = text.trim_end();
    match text.char_indices().nth(shown) {
        Some((at, _)) => format!("{}…", text[..at].trim_end()),
        None => text.to_owned(),
    }
}

//! Why a rule fired or did not, in a few lines: the comparisons that decide it, each with the value that it saw.

use crate::rules::explain::trace::{Leaf, Part, Trace, Truth};
use crate::rules::source::tree::{NameKind, Named};

/// Most lines; `rules explain` shows everything.
const MOST: usize = 16;

/// The lines, indented below what they explain.
pub fn lines(trace: &Trace) -> Vec<String> {
    let mut lines = Vec::new();
    part(&trace.root, 1, &mut Vec::new(), &mut lines);
    let rest = lines.len().saturating_sub(MOST);
    if rest > 0 {
        lines.truncate(MOST);
        lines.push(format!("  and {rest} more lines; `falconet rules explain` shows all"));
    }
    lines
}

/// What makes the part as it is. `via` are the macros and exceptions around it that are not told yet.
fn part<'t>(part: &'t Part, depth: usize, via: &mut Vec<&'t Named>, lines: &mut Vec<String>) {
    let outside = via.len();
    via.extend(part.from());
    let indent = "  ".repeat(depth);
    match part {
        // One that does not hold is enough; all of them are in the way.
        Part::And { holds, parts, .. } => {
            for inner in parts.iter().filter(|inner| inner.holds() == *holds) {
                self::part(inner, depth, via, lines);
            }
        }
        Part::Or { holds: true, parts, .. } => {
            if let Some(inner) = parts.iter().find(|inner| inner.holds()) {
                self::part(inner, depth, via, lines);
            }
        }
        Part::Or { holds: false, parts, .. } => {
            lines.push(format!("{indent}none of these holds{}:", names(via)));
            for inner in parts {
                self::part(inner, depth + 1, &mut Vec::new(), lines);
            }
        }
        Part::Not { part: inner, holds, .. } => match &**inner {
            Part::Leaf(leaf) => lines.push(line(leaf, "not ", *holds, depth, via)),
            inner => {
                via.extend(inner.from());
                let word = if *holds { "excluded, and does not hold" } else { "excluded, but holds" };
                lines.push(format!("{indent}{word}{}:", names(via)));
                match inner {
                    // The heading says it.
                    Part::Or { holds: false, parts, .. } => {
                        for inner in parts {
                            self::part(inner, depth + 1, &mut Vec::new(), lines);
                        }
                    }
                    inner => bare(inner, depth + 1, lines),
                }
            }
        },
        Part::Leaf(leaf) => lines.push(line(leaf, "", leaf.truth.holds(), depth, via)),
    }
    via.truncate(outside);
}

/// A part whose names are printed already.
fn bare(part: &Part, depth: usize, lines: &mut Vec<String>) {
    match part {
        Part::And { holds, parts, .. } | Part::Or { holds, parts, .. } => {
            let shown = if matches!(part, Part::And { .. }) { usize::MAX } else { 1 };
            for inner in parts.iter().filter(|inner| inner.holds() == *holds).take(shown) {
                self::part(inner, depth, &mut Vec::new(), lines);
            }
        }
        other => self::part(other, depth, &mut Vec::new(), lines),
    }
}

/// ` (macro a, exception b)`.
fn names(via: &[&Named]) -> String {
    if via.is_empty() { String::new() } else { format!(" ({})", listed(via).join(", ")) }
}

fn listed(via: &[&Named]) -> Vec<String> {
    let kind = |named: &Named| match named.kind {
        NameKind::Macro => "macro",
        NameKind::Exception => "exception",
    };
    via.iter().map(|named| format!("{} {}", kind(named), named.name)).collect()
}

fn line(leaf: &Leaf, not: &str, holds: bool, depth: usize, via: &[&Named]) -> String {
    let truth = match leaf.truth {
        Truth::Unfilled => "cannot be filled",
        _ if holds => "true",
        _ => "false",
    };
    let mut seen: Vec<String> = leaf
        .actual
        .iter()
        .map(|actual| match (&actual.value, actual.hidden) {
            (_, true) => format!("{} is not shown", actual.field),
            (value, _) if value.is_null() => format!("{} has no value", actual.field),
            (value, _) => format!("{} is {value}", actual.field),
        })
        .collect();
    if leaf.sibling {
        seen.push("which does the same".to_owned());
    }
    let mut place: Vec<String> =
        leaf.place.iter().map(|place| format!("{}:{}:{}", place.file, place.line, place.column)).collect();
    let own = leaf.from.iter().filter(|named| !via.contains(named));
    let all: Vec<&Named> = via.iter().copied().chain(own).collect();
    place.extend(listed(&all));
    let place = if place.is_empty() { String::new() } else { format!(" ({})", place.join(", ")) };
    format!("{}{truth}: {not}{}; {}{place}", "  ".repeat(depth), short(&leaf.text), seen.join(", "))
}

/// A comparison without the tail of a long list.
fn short(text: &str) -> String {
    const SHOWN: usize = 100;
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Options, Source, cases, load};

    fn told(condition: &str, event: &str) -> Vec<String> {
        let rules = format!(
            "- macro: shell\n  condition: proc.name in (bash, sh)\n\
             - macro: wrapped\n  condition: (shell and fd.num = 1)\n\
             - rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: {condition}\n"
        );
        let rules = load(&[Source::new("r.yaml", rules)], &Options::default()).rules.unwrap();
        let event = cases::event(&Source::new("e", event)).unwrap();
        lines(&rules.trace(&rules.rules()[0], &event))
    }

    #[test]
    fn what_decides_is_told_with_its_value() {
        assert_eq!(
            told(
                "evt.type = open and shell and (fd.num > 3 or fd.name = /x) and not user.name = root",
                "{evt.type: open, proc.name: cat, fd.num: 2, user.name: root}"
            ),
            [
                "  false: proc.name in (bash, sh); proc.name is \"cat\" (r.yaml:2:14, macro shell)",
                "  none of these holds:",
                "    false: fd.num > 3; fd.num is 2 (r.yaml:9:45)",
                "    false: fd.name = /x; fd.name has no value (r.yaml:9:59)",
                "  false: not user.name = root; user.name is \"root\" (r.yaml:9:81)",
            ]
        );
        assert_eq!(
            told(
                "evt.type = open and not (shell and fd.num = 1) and (fd.num = 3 or fd.num = 2)",
                "{evt.type: open, proc.name: sh, fd.num: 2}"
            ),
            [
                "  true: evt.type = open; evt.type is \"open\" (r.yaml:9:14)",
                "  excluded, and does not hold:",
                "    false: fd.num = 1; fd.num is 2 (r.yaml:9:49)",
                "  true: fd.num = 2; fd.num is 2 (r.yaml:9:80)",
            ]
        );
    }

    #[test]
    fn macros_around_are_named() {
        assert_eq!(
            told("evt.type = open and not wrapped", "{evt.type: open, proc.name: sh, fd.num: 1}"),
            [
                "  excluded, but holds (macro wrapped):",
                "    true: proc.name in (bash, sh); proc.name is \"sh\" (r.yaml:2:14, macro shell)",
                "    true: fd.num = 1; fd.num is 1 (r.yaml:4:25)",
            ]
        );
    }

    #[test]
    fn long_conditions_are_cut() {
        let many: Vec<String> = (0..40).map(|n| format!("fd.num = {n}")).collect();
        let lines = told(&format!("evt.type = open and ({})", many.join(" or ")), "{evt.type: open}");
        assert_eq!(lines.len(), MOST + 1);
        assert_eq!(lines.last().unwrap(), "  and 25 more lines; `falconet rules explain` shows all");
    }
}

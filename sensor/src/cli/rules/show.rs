//! `falconet rules show`: what a rule comes to after macros, lists, overrides and exceptions, each part with its place.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::paint::{Ink, Paint, list, names, wrap};
use super::which::Which;
use crate::app::exit::{Class, Failure};
use crate::cli::print::say;
use crate::rules::explain::describe::Filtered;
use crate::rules::prefilter::Need;
use crate::rules::source::tree::{Node, Tree};
use crate::rules::{Rule, RuleSet};

#[derive(clap::Args)]
pub struct Args {
    /// The rule.
    name: String,
    /// Rule files and directories, in order. Without any, those of the configuration, or else the stock rules.
    files: Vec<PathBuf>,
    #[command(flatten)]
    which: Which,
}

/// Columns of text.
const WIDTH: usize = 110;
/// More event types than this are counted, not listed.
const MAX_TYPES: usize = 30;

pub fn run(args: &Args) -> Result<(), Failure> {
    let set = args.which.load(&args.files)?;
    let rule = set.find(&args.name).map_err(|error| Failure::new(Class::Failed, error))?;
    say(&text(&set, rule, Paint::of_stdout()))
}

fn text(set: &RuleSet, rule: &Rule, paint: Paint) -> String {
    let mut out = String::new();
    let at = set.place(rule).map(|at| format!("{}:{}", at.file, at.line)).unwrap_or_default();
    let _ = writeln!(out, "{}  {}", paint.ink(Ink::Bold, &rule.name), paint.ink(Ink::Dim, &at));
    for line in wrap(&rule.desc, WIDTH) {
        let _ = writeln!(out, "{line}");
    }
    out.push('\n');
    let mut row = |key: &str, value: &str| {
        let mut lines = wrap(value, WIDTH - 12).into_iter();
        let _ = writeln!(out, "{key:<11} {}", lines.next().unwrap_or_default());
        for line in lines {
            let _ = writeln!(out, "{:<11} {line}", "");
        }
    };
    let (word, why) = rule.status.told();
    let ink = if rule.status.fires() { Ink::Green } else { Ink::Yellow };
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    row("status", &format!("{}{why}", paint.ink(ink, word)));
    row("priority", rule.priority.as_str());
    row("tags", if rule.tags.is_empty() { "none".to_owned() } else { rule.tags.join(", ") }.as_str());
    row("output", rule.output_text());
    let types = set.types_of(rule);
    row(
        "event types",
        &match types.len() {
            0 => "none: it can never fire".to_owned(),
            n if n > MAX_TYPES => format!("{n} of them: its condition does not restrict evt.type"),
            _ => types.join(", "),
        },
    );
    let filtered = set.filtered(rule);
    if filtered.is_empty() {
        row("kernel", "the kernel reports all events of these types: only opens are filtered there");
    }
    for (names, filtered) in grouped(&filtered) {
        let names = names.join(", ");
        let told = match filtered {
            Filtered::OneOf(needs) if needs.is_empty() => "never, for it cannot match".to_owned(),
            Filtered::OneOf(needs) => needs.iter().map(need).collect::<Vec<_>>().join(", or "),
            Filtered::Open(path) => {
                let part = path.iter().fold(set.tree(rule), |part, at| part.child(*at).unwrap_or(part));
                format!("all: nothing that the kernel can test is asked for by {}", brief(part))
            }
        };
        row("kernel", &format!("reports of {names}: {told}"));
    }
    let _ = writeln!(out, "\ncondition");
    tree(set.tree(rule), 1, paint, &mut out);
    out
}

/// Event types for which the same is true stand together.
fn grouped<'f>(filtered: &'f [(&'static str, Filtered)]) -> Vec<(Vec<&'static str>, &'f Filtered)> {
    let mut groups: Vec<(Vec<&'static str>, &Filtered)> = Vec::new();
    for (name, what) in filtered {
        match groups.iter_mut().find(|(_, known)| *known == what) {
            Some((names, _)) => names.push(name),
            None => groups.push((vec![name], what)),
        }
    }
    groups
}

fn need(need: &Need) -> String {
    let mut parts = Vec::new();
    if let Some((path, whole)) = &need.path {
        let path = String::from_utf8_lossy(path);
        parts.push(if *whole { format!("the file {path}") } else { format!("paths that begin with {path}") });
    }
    match (need.read, need.write) {
        (true, true) => parts.push("for reading and writing".to_owned()),
        (true, false) => parts.push("for reading".to_owned()),
        (false, true) => parts.push("for writing".to_owned()),
        (false, false) => {}
    }
    if need.success {
        parts.push("that succeed".to_owned());
    }
    if parts.is_empty() { "any".to_owned() } else { parts.join(" ") }
}

/// A part in a few words, with the place of its first comparison.
fn brief(tree: &Tree) -> String {
    fn first(tree: &Tree) -> Option<String> {
        match &tree.node {
            Node::And(parts) | Node::Or(parts) => parts.iter().find_map(first),
            Node::Not(inner) => first(inner),
            Node::Leaf(leaf) => leaf.place.as_ref().map(ToString::to_string),
        }
    }
    let at = first(tree).map(|at| format!(" ({at})")).unwrap_or_default();
    match (tree.from.first(), &tree.node) {
        (Some(name), _) => format!("{:?}{at}", name.name),
        (None, Node::Leaf(leaf)) => format!("`{}`{at}", leaf.text),
        (None, Node::And(_)) => format!("the `and`{at}"),
        (None, Node::Or(_)) => format!("the `or`{at}"),
        (None, Node::Not(_)) => format!("the `not`{at}"),
    }
}

fn tree(part: &Tree, depth: usize, paint: Paint, out: &mut String) {
    let indent = "  ".repeat(depth);
    let from = paint.ink(Ink::Dim, &names(&part.from));
    let mut group = |word: &str, parts: &[&Tree]| {
        let _ = writeln!(out, "{indent}{}{from}", paint.ink(Ink::Bold, word));
        for part in parts {
            tree(part, depth + 1, paint, out);
        }
    };
    match &part.node {
        Node::And(parts) => group("and", &parts.iter().collect::<Vec<_>>()),
        Node::Or(parts) => group("or", &parts.iter().collect::<Vec<_>>()),
        Node::Not(inner) => group("not", &[inner]),
        Node::Leaf(leaf) => {
            let at = leaf.place.as_ref().map(ToString::to_string).unwrap_or_default();
            let text = format!("{indent}{}", leaf.text);
            let _ = writeln!(out, "{text:<60}  {}{from}", paint.ink(Ink::Dim, &at));
            for used in &leaf.lists {
                for line in list(used, WIDTH - 2 * depth - 4) {
                    let _ = writeln!(out, "{indent}    {}", paint.ink(Ink::Dim, &line));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Options, Source, load};

    #[test]
    fn a_rule_is_shown_with_its_parts_and_their_places() {
        let file = "- list: shells\n  items: [ash, bash]\n\
            - macro: opened\n  condition: evt.type in (open, openat) and fd.num >= 0\n\
            - rule: r\n  desc: Shells that open.\n  output: opened %fd.name\n  priority: NOTICE\n  tags: [x]\n  \
              condition: opened and (fd.name startswith /etc/ or proc.name in (shells))\n  \
              exceptions:\n  - {name: cron, fields: [proc.pname], values: [[cron]]}\n";
        let set = load(&[Source::new("f.yaml", file)], &Options::default()).rules.unwrap();
        let shown = text(&set, &set.rules()[0], Paint::never());
        for part in [
            "r  f.yaml:5\nShells that open.\n",
            "status      active\npriority    Notice\ntags        x\noutput      opened %fd.name",
            "event types open, openat\n",
            "kernel      reports of open, openat: that succeed",
            "\n  and\n    and\n      and  macro opened (f.yaml:3)\n        evt.type in (open, openat) ",
            "\n      or\n        fd.name startswith /etc/ ",
            "f.yaml:10:26\n",
            "        proc.name in (shells) ",
            "\n            list shells (f.yaml:1): ash, bash\n",
            "\n    not  exception cron (f.yaml:12)\n      proc.pname = cron ",
        ] {
            assert!(shown.contains(part), "{part:?} in\n{shown}");
        }
    }
}

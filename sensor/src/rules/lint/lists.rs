//! Lists: items that stand twice, and items that are meant as lists and are not.

use std::collections::{BTreeMap, BTreeSet};

use super::context::{Context, Subject};
use super::finding::{Level, Lint, Report};
use super::formula::{Node as FormulaNode, Part};
use crate::rules::language::ast::Op;
use crate::rules::report::source::Origin;
use crate::yaml::{self, Node, Twice, Yaml};

pub static DUPLICATE_ITEM: Lint = Lint {
    id: "duplicate-item",
    level: Level::Note,
    why: "An item that stands twice says no more than once; often another one was meant.",
    remedy: "Take one out, or write the one that was meant.",
};

pub static NESTED_LIST: Lint = Lint {
    id: "nested-list",
    level: Level::Warning,
    why: "A list's name among the items of a list is replaced one level deep only; deeper, it stays a word.",
    remedy: "Name the inner list where the outer one is used, `in (outer, inner)`, or write its items out.",
};

/// A list as a file defines it.
struct List<'y> {
    name: &'y str,
    file: u32,
    items: Vec<&'y Node>,
}

pub fn run(context: &Context<'_>, report: &mut Report) {
    let mut documents = Vec::new();
    for source in context.sources {
        documents.push(yaml::documents(&source.text, Twice::First).unwrap_or_default());
    }
    let mut lists = Vec::new();
    for (file, documents) in (0u32..).zip(&documents) {
        for document in documents {
            let Yaml::Seq(items) = &document.yaml else { continue };
            lists.extend(items.iter().filter_map(|item| list(file, item)));
        }
    }
    for list in &lists {
        duplicates(list, report);
    }
    let names: BTreeSet<&str> = lists.iter().map(|list| list.name).collect();
    let mut left = BTreeMap::new();
    for subject in &context.subjects {
        words(context, &subject.formula, subject, &names, &mut left);
    }
    for (name, (subject, part)) in left {
        let holders = lists.iter().flat_map(|list| list.items.iter().map(move |item| (list, item)));
        let mut found = false;
        for (list, item) in holders.filter(|(_, item)| item.text() == Some(name)) {
            found = true;
            let message = format!("{name:?} is a list, but stays a word where {:?} is used", subject.name);
            report.at(&NESTED_LIST, "list", list.name, origin(list.file, item), name.len(), message);
        }
        if !found {
            let message = format!("{name:?} is a list, but stays a word here");
            report.part(&NESTED_LIST, subject, part, message);
        }
    }
}

fn list(file: u32, item: &Node) -> Option<List<'_>> {
    let name = item.get("list")?.text()?;
    let Yaml::Seq(items) = &item.get("items")?.yaml else { return None };
    Some(List { name, file, items: items.iter().collect() })
}

fn origin(file: u32, node: &Node) -> Origin {
    Origin { file, at: u32::try_from(node.at).unwrap_or(u32::MAX) }
}

fn duplicates(list: &List<'_>, report: &mut Report) {
    let mut seen = BTreeSet::new();
    for item in &list.items {
        let Some(text) = item.text() else { continue };
        if !seen.insert(text) {
            let message = format!("{text:?} stands in the list twice");
            report.at(&DUPLICATE_ITEM, "list", list.name, origin(list.file, item), text.len(), message);
        }
    }
}

/// Names of lists that stayed words in a condition, each with the first place.
fn words<'c>(
    context: &Context<'_>,
    part: &'c Part,
    subject: &'c Subject<'c>,
    names: &BTreeSet<&'c str>,
    into: &mut BTreeMap<&'c str, (&'c Subject<'c>, &'c Part)>,
) {
    match &part.node {
        FormulaNode::And(items) | FormulaNode::Or(items) => {
            for item in items {
                words(context, item, subject, names, into);
            }
        }
        FormulaNode::Not(inner) => words(context, inner, subject, names, into),
        FormulaNode::Leaf(leaf)
            if part.own && matches!(leaf.check.op, Op::In | Op::Intersects | Op::Pmatch) =>
        {
            for value in leaf.values() {
                // In quotes it is meant as a word.
                let quoted = context.text(value.span.at).is_some_and(|text| text.starts_with(['"', '\'']));
                if let Ok(text) = std::str::from_utf8(&value.bytes)
                    && let Some(name) = names.get(text).filter(|_| !quoted)
                {
                    into.entry(name).or_insert((subject, part));
                }
            }
        }
        FormulaNode::Leaf(_) => {}
    }
}

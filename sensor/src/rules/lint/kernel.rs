//! What this sensor makes of a rule: events that it has to take out of the kernel for one rule only, and rules that wait for
//! what it cannot see.

use super::context::Context;
use super::finding::{Level, Lint, Report};
use super::formula::{Node, Part};
use crate::rules::program::prefilter;
use crate::rules::registry::field_set::FieldSet;
use crate::rules::status::{Lack, Status};

pub static WIDE_OPEN: Lint = Lint {
    id: "wide-open",
    level: Level::Note,
    why: "The kernel drops opens that no rule can match; a rule that any open may match makes it send all of them.",
    remedy: "Ask how the path begins (`fd.name startswith`, `in`, `=`; `fd.directory`) or for the access (`evt.is_open_write=true`).",
};

pub static INACTIVE_RULE: Lint = Lint {
    id: "inactive-rule",
    level: Level::Warning,
    why: "The rule needs a field or an event that this sensor cannot see yet, so it cannot fire as it is meant to.",
    remedy: "`falconet fields` tells which fields are filled; use one of those where it says the same.",
};

pub fn run(context: &Context<'_>, report: &mut Report) {
    for subject in &context.subjects {
        let Some(rule) = subject.rule else { continue };
        // What is never true has a lint of its own, which says which part; of a rule about all events a warning of Falco tells.
        if let Status::Inactive(reason) | Status::Limited(reason) = &rule.status
            && !matches!(reason.lack, Lack::Match | Lack::Name)
        {
            let (word, _) = rule.status.told();
            let part = unfilled(&subject.formula, &context.rules.unfilled).unwrap_or(&subject.formula);
            report.part(&INACTIVE_RULE, subject, part, format!("the rule is {word}: {reason}"));
        }
        if !rule.status.fires() {
            continue;
        }
        let cond = &rule.kept.cond;
        let open = prefilter::open_events(cond);
        let Some((first, _)) = open.first() else { continue };
        let part = at(&subject.formula, &prefilter::culprit(cond, *first));
        let why = match &part.node {
            Node::Leaf(leaf) => format!("`{}` says nothing that the kernel can look at", leaf.key),
            Node::Not(_) => "a negation says nothing that the kernel can look at".to_owned(),
            _ => "this asks neither how the path begins nor for the access".to_owned(),
        };
        let names: Vec<&str> = open.iter().map(|(_, name)| *name).collect();
        report.part(&WIDE_OPEN, subject, part, format!("any {} may match: {why}", names.join(", ")));
    }
}

/// The first comparison with a field that has no value.
fn unfilled<'p>(part: &'p Part, fields: &FieldSet) -> Option<&'p Part> {
    match &part.node {
        Node::And(items) | Node::Or(items) => items.iter().find_map(|item| unfilled(item, fields)),
        Node::Not(inner) => unfilled(inner, fields),
        Node::Leaf(leaf) => leaf.fields().any(|field| fields.contains(field.field)).then_some(part),
    }
}

/// The part at the end of a path through the condition, or the last that stands in the formula.
fn at<'p>(part: &'p Part, path: &[usize]) -> &'p Part {
    path.iter().fold(part, |part, at| match &part.node {
        Node::And(items) | Node::Or(items) => items.get(*at).unwrap_or(part),
        Node::Not(_) | Node::Leaf(_) => part,
    })
}

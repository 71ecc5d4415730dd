//! What this sensor makes of a rule: events that it has to take out of the kernel for one rule only, and rules that wait for
//! what it cannot see.

use super::formula::{Node, Part};
use super::{Context, Level, Lint, Report};
use crate::rules::language::check::Cond;
use crate::rules::program::prefilter;
use crate::rules::registry::event::EventType;
use crate::rules::registry::field_set::FieldSet;
use crate::rules::registry::fields::Field;
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

/// Fields by which the kernel filters.
const FILTERS: [Field; 5] =
    [Field::FdName, Field::FdDirectory, Field::FdNum, Field::EvtIsOpenRead, Field::EvtIsOpenWrite];

pub fn run(context: &Context<'_>, report: &mut Report) {
    for subject in &context.subjects {
        let Some(rule) = subject.rule else { continue };
        // What is never true has a lint of its own, which says which part.
        if let Status::Inactive(reason) | Status::Limited(reason) = &rule.status
            && reason.lack != Lack::Match
        {
            let (word, _) = rule.status.told();
            let part = unfilled(&subject.formula, &context.rules.unfilled).unwrap_or(&subject.formula);
            report.part(&INACTIVE_RULE, subject, part, format!("the rule is {word}: {reason}"));
        }
        if !rule.status.fires() {
            continue;
        }
        let open: Vec<(EventType, &str)> =
            prefilter::events().filter(|(event, _)| prefilter::is_open(&rule.kept.cond, *event)).collect();
        let Some((first, _)) = open.first() else { continue };
        let part = culprit(&subject.formula, *first);
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

/// The part that keeps the kernel from filtering events of the type.
fn culprit(part: &Part, event: EventType) -> &Part {
    let is_open = |part: &Part| prefilter::is_open(&condition(part), event);
    match &part.node {
        Node::Or(items) => items.iter().find(|item| is_open(item)).map_or(part, |item| culprit(item, event)),
        // All parts let any event through; the one that looks at what the kernel knows was meant to do better.
        Node::And(items) => {
            items.iter().find(|item| looks_at_filters(item)).map_or(part, |item| culprit(item, event))
        }
        Node::Not(_) | Node::Leaf(_) => part,
    }
}

fn looks_at_filters(part: &Part) -> bool {
    match &part.node {
        Node::And(items) | Node::Or(items) => items.iter().any(looks_at_filters),
        Node::Not(inner) => looks_at_filters(inner),
        Node::Leaf(leaf) => leaf.fields().any(|field| FILTERS.contains(&field.field)),
    }
}

fn condition(part: &Part) -> Cond {
    let all = |items: &[Part]| items.iter().map(condition).collect();
    match &part.node {
        Node::And(items) => Cond::And(all(items)),
        Node::Or(items) => Cond::Or(all(items)),
        Node::Not(inner) => Cond::Not(Box::new(condition(inner))),
        Node::Leaf(leaf) => leaf.cond.clone(),
    }
}

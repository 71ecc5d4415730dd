//! Rules that never fire because an earlier one takes all their events. Under `rule_matching: first`, which is what Falco does
//! unless told otherwise, the first rule that is true of an event is the only one that fires.

use std::collections::BTreeSet;

use super::facts::Facts;
use super::formula::{Node, Part};
use super::{Context, Level, Lint, Report};
use crate::rules::registry::fields::FieldRef;
use crate::rules::source::options::Matching;

pub static SHADOWED_RULE: Lint = Lint {
    id: "shadowed-rule",
    level: Level::Warning,
    why: "Under `rule_matching: first`, Falco's default, a rule is silent where an earlier one is true of the same event.",
    remedy: "Put the narrower rule first, take its events out of the wider one, or use `rule_matching: all`.",
};

/// Pairs of rules that are compared; a set of more than a thousand rules is compared in part.
const MOST_PAIRS: usize = 1_000_000;

struct Candidate<'c> {
    at: usize,
    formula: &'c Part,
    /// Fields, by name, that its comparisons look at.
    fields: BTreeSet<String>,
    /// Fields that must have a value for it to be true.
    needs: BTreeSet<String>,
}

pub fn run(context: &Context<'_>, report: &mut Report) {
    let mut candidates = Vec::new();
    for (at, subject) in context.subjects.iter().enumerate() {
        if subject.rule.is_none_or(|rule| !rule.status.fires()) {
            continue;
        }
        let (mut fields, mut needs) = (BTreeSet::new(), BTreeSet::new());
        mentioned(&subject.formula, &mut fields);
        needed(&subject.formula, &mut needs);
        candidates.push(Candidate { at, formula: &subject.formula, fields, needs });
    }
    let mut pairs = 0;
    for (place, later) in candidates.iter().enumerate() {
        let mut facts = Facts::new(true);
        facts.add(later.formula, true);
        // A rule that never fires is told elsewhere.
        if facts.clone().conflict().is_some() {
            continue;
        }
        for earlier in &candidates[..place] {
            pairs += 1;
            if pairs > MOST_PAIRS {
                return;
            }
            // A comparison of a field that the later rule does not look at cannot follow from it.
            if !earlier.needs.is_subset(&later.fields) {
                continue;
            }
            if facts.with(earlier.formula, false).conflict().is_some() {
                let (subject, first) = (&context.subjects[later.at], &context.subjects[earlier.at]);
                let effect = match context.rules.matching() {
                    Matching::First => "this one never fires",
                    Matching::All => "under `rule_matching: first`, as in Falco, this one never fires",
                };
                let message =
                    format!("rule {:?} before it is true whenever this one is: {effect}", first.name);
                report.part(&SHADOWED_RULE, subject, later.formula, message);
                break;
            }
        }
    }
}

fn name(field: &FieldRef) -> String {
    field.to_string()
}

fn mentioned(part: &Part, into: &mut BTreeSet<String>) {
    match &part.node {
        Node::And(items) | Node::Or(items) => items.iter().for_each(|item| mentioned(item, into)),
        Node::Not(inner) => mentioned(inner, into),
        Node::Leaf(leaf) => {
            into.extend(leaf.field.as_ref().map(name));
        }
    }
}

/// Fields of the comparisons that all must hold.
fn needed(part: &Part, into: &mut BTreeSet<String>) {
    match &part.node {
        Node::And(items) => items.iter().for_each(|item| needed(item, into)),
        Node::Leaf(leaf) if leaf.types.is_none() && leaf.constant.is_none() => {
            into.extend(leaf.field.as_ref().map(name));
        }
        _ => {}
    }
}

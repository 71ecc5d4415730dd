//! Rules that never fire because an earlier one takes all their events. Under `rule_matching: first`, which is what Falco does
//! unless told otherwise, the first rule that is true of an event is the only one that fires.

use std::collections::BTreeSet;

use super::candidates::{Candidates, mentioned};
use super::context::Context;
use super::facts::Facts;
use super::finding::{Level, Lint, Report};
use super::formula::{Node, Part};
use crate::rules::source::options::Matching;

pub static SHADOWED_RULE: Lint = Lint {
    id: "shadowed-rule",
    level: Level::Warning,
    why: "Under `rule_matching: first`, Falco's default, a rule is silent where an earlier one is true of the same event.",
    remedy: "Put the narrower rule first, take its events out of the wider one, or use `rule_matching: all`.",
};

/// Pairs of rules that are thought about. Rules of people do not come near it.
const MOST_PAIRS: usize = 1_000_000;

struct Candidate<'c> {
    at: usize,
    formula: &'c Part,
    /// Numbers of the fields that its comparisons look at.
    fields: BTreeSet<u32>,
    /// Those that must have a value for it to be true.
    needs: BTreeSet<u32>,
}

/// Elsewhere every rule fires, whatever stands before it.
pub fn run(context: &Context<'_>, report: &mut Report) {
    if context.rules.matching() != Matching::First {
        return;
    }
    let mut rules = Vec::new();
    for (at, subject) in context.subjects.iter().enumerate() {
        if subject.rule.is_none_or(|rule| !rule.status.fires()) {
            continue;
        }
        let formula = &subject.formula;
        let (mut leaves, mut needs) = (Vec::new(), BTreeSet::new());
        mentioned(formula, &mut leaves);
        needed(formula, &mut needs);
        let fields = leaves.iter().filter(|leaf| leaf.field.is_some()).map(|leaf| leaf.field_number);
        rules.push(Candidate { at, formula, fields: fields.collect(), needs });
    }
    let formulas: Vec<&Part> = rules.iter().map(|rule| rule.formula).collect();
    let candidates = Candidates::new(&formulas);
    let mut pairs = 0;
    for (place, later) in rules.iter().enumerate() {
        let mut facts = Facts::new(true);
        facts.add(later.formula, true);
        // A rule that never fires is told elsewhere.
        if facts.conflict().is_some() {
            continue;
        }
        for earlier in candidates.before(place, later.formula).into_iter().map(|at| &rules[at]) {
            // A comparison of a field that the later rule does not look at cannot follow from it.
            if !earlier.needs.is_subset(&later.fields) {
                continue;
            }
            pairs += 1;
            if pairs > MOST_PAIRS {
                return;
            }
            if facts.conflict_with(earlier.formula, false).is_some() {
                let (subject, first) = (&context.subjects[later.at], &context.subjects[earlier.at]);
                let message = format!(
                    "rule {:?} before it is true whenever this one is: this one never fires",
                    first.name
                );
                report.part(&SHADOWED_RULE, subject, later.formula, message);
                break;
            }
        }
    }
}

/// Fields of the comparisons that all must hold.
fn needed(part: &Part, into: &mut BTreeSet<u32>) {
    match &part.node {
        Node::And(items) => items.iter().for_each(|item| needed(item, into)),
        Node::Leaf(leaf) if leaf.types.is_none() && leaf.constant.is_none() => {
            into.extend(leaf.field.as_ref().map(|_| leaf.field_number));
        }
        _ => {}
    }
}

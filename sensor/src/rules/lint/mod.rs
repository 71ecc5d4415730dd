//! Lints: what Falco loads without a word and what is a mistake all the same, or dear.
//!
//! A lint does not change what a rule means, and it is silent where it cannot be sure. [`LINTS`] is the one list of them; each
//! has its own file or shares one with its kin. They look at [`formula::Part`]s, the conditions with their macros, and ask
//! [`facts::Facts`] what excludes what.

mod appends;
mod candidates;
mod conditions;
mod context;
mod events;
mod facts;
mod finding;
mod formula;
mod kernel;
mod lists;
mod shadow;
mod values;

pub use finding::{Finding, Level, Lint};

use std::collections::HashMap;

use context::{Context, Subject};
use finding::{Found, Report};
use formula::Maker;

use crate::rules::report::diagnostic::Diagnostic;
use crate::rules::report::source::Source;
use crate::rules::rule_set::RuleSet;

/// Every lint, by name.
pub static LINTS: &[&Lint] = &[
    &conditions::ALWAYS_TRUE,
    &appends::AND_AFTER_OR,
    &appends::OR_AFTER_AND,
    &events::DIRECTORY_DESCRIPTOR,
    &lists::DUPLICATE_ITEM,
    &conditions::EMPTY_LIST,
    &conditions::EMPTY_TEXT,
    &conditions::IMPOSSIBLE_VALUE,
    &kernel::INACTIVE_RULE,
    &events::MISSING_PARAMETER,
    &conditions::NA_COMPARISON,
    &lists::NESTED_LIST,
    &conditions::NEVER_TRUE,
    &events::NO_DESCRIPTOR,
    &shadow::SHADOWED_RULE,
    &kernel::WIDE_OPEN,
];

/// The lint called `id`.
pub fn by_id(id: &str) -> Option<&'static Lint> {
    LINTS.iter().copied().find(|lint| lint.id == id)
}

/// The lint whose name is nearest to a misspelt one.
pub fn suggest(id: &str) -> Option<&'static str> {
    crate::rules::report::suggest::nearest(id, LINTS.iter().map(|lint| lint.id))
}

/// Looks at the rules that were loaded from `sources`; findings in the order of the files.
pub fn run(sources: &[Source], rules: &RuleSet) -> Vec<Finding> {
    let mut maker = Maker::new(rules.names());
    let macros = |name: &str| rules.sources.macro_condition(name);
    let mut subjects = Vec::new();
    for rule in rules.rules() {
        let formula = maker.formula(&rule.kept.written, &macros);
        subjects.push(Subject { kind: "rule", name: &rule.name, formula, rule: Some(rule) });
    }
    for (name, condition) in rules.sources.macro_conditions() {
        let formula = maker.formula(condition, &macros);
        subjects.push(Subject { kind: "macro", name, formula, rule: None });
    }
    let context = Context { sources, rules, subjects };
    let mut report = Report::default();
    conditions::run(&context, &mut report);
    shadow::run(&context, &mut report);
    kernel::run(&context, &mut report);
    lists::run(&context, &mut report);
    appends::run(&context, &mut report);
    let mut found = report.found;
    found.sort_by_key(|found| (found.complaint.at.file, found.complaint.at.at, found.lint.id));
    found.dedup_by(|b, a| {
        a.lint == b.lint && a.complaint.at == b.complaint.at && a.complaint.message == b.complaint.message
    });
    once_per_macro(found, sources)
}

/// What a macro brings into several rules is told once, at the first of them.
fn once_per_macro(found: Vec<Found>, sources: &[Source]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let mut told: HashMap<(&str, String), usize> = HashMap::new();
    for Found { lint, complaint, through_macro } in found {
        let mut rules = Vec::new();
        if let Some(rule) = through_macro {
            let next = findings.len();
            let at = *told.entry((lint.id, complaint.message.clone())).or_insert(next);
            if let Some(earlier) = findings.get_mut(at) {
                if earlier.rules.last() != Some(&rule) {
                    earlier.rules.push(rule);
                }
                continue;
            }
            rules.push(rule);
        }
        findings.push(Finding { lint, diagnostic: Diagnostic::new(complaint, sources), rules });
    }
    findings
}

#[cfg(test)]
mod sound_tests;
#[cfg(test)]
mod tests;

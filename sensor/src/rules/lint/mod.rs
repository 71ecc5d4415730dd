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

use context::{Context, Subject};
use finding::Report;
use formula::Maker;

use crate::rules::report::complaint::Complaint;
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
    found.sort_by_key(|(lint, complaint)| (complaint.at.file, complaint.at.at, lint.id));
    found.dedup_by(|(a, x), (b, y)| a == b && x.at == y.at && x.message == y.message);
    let place = |complaint: Complaint| Diagnostic::new(complaint, sources);
    found.into_iter().map(|(lint, complaint)| Finding { lint, diagnostic: place(complaint) }).collect()
}

#[cfg(test)]
mod sound_tests;
#[cfg(test)]
mod tests;

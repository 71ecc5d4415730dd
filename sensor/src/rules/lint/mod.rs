//! Lints: what Falco loads without a word and what is a mistake all the same, or dear.
//!
//! A lint does not change what a rule means, and it is silent where it cannot be sure. [`LINTS`] is the one list of them; each
//! has its own file or shares one with its kin. They look at [`formula::Part`]s, the conditions with their macros, and ask
//! [`facts::Facts`] what excludes what.

mod appends;
mod conditions;
mod events;
mod facts;
mod formula;
mod kernel;
mod lists;
mod shadow;
mod values;

use formula::{Maker, Part};

use crate::rules::report::complaint::{Code, Complaint};
use crate::rules::report::diagnostic::Diagnostic;
use crate::rules::report::source::{Origin, Source};
use crate::rules::rule_set::{Rule, RuleSet};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Worth knowing: it works, but costs or says less than it seems.
    Note,
    /// Most likely not what was meant.
    Warning,
}

impl Level {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is looked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Lint {
    /// The name in messages and options.
    pub id: &'static str,
    pub level: Level,
    /// Why it is worth looking at, in one sentence.
    pub why: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

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

/// Something that a lint found.
#[derive(Debug)]
pub struct Finding {
    pub lint: &'static Lint,
    /// Place and message; its code says nothing.
    pub diagnostic: Diagnostic,
}

/// A rule or a macro with its condition.
struct Subject<'r> {
    /// `rule` or `macro`.
    kind: &'static str,
    name: &'r str,
    formula: Part,
    rule: Option<&'r Rule>,
}

/// What lints look at.
struct Context<'r> {
    sources: &'r [Source],
    rules: &'r RuleSet,
    /// Rules in order of definition, then macros.
    subjects: Vec<Subject<'r>>,
}

impl Context<'_> {
    /// The text of the files from a place on.
    fn text(&self, at: Origin) -> Option<&str> {
        self.sources.get(at.file as usize)?.text.get(at.at as usize..)
    }
}

/// Takes findings.
#[derive(Default)]
struct Report {
    found: Vec<(&'static Lint, Complaint)>,
}

impl Report {
    /// Reports about a part of a rule or macro.
    fn part(&mut self, lint: &'static Lint, subject: &Subject<'_>, part: &Part, message: String) {
        let Some(span) = part.span else { return };
        let complaint = Complaint::new(Code::WarnCondition, span.at, message);
        self.found.push((lint, complaint.spanning(span.len).within(subject.kind, subject.name, span.at)));
    }

    /// Reports about a place of a file.
    fn at(
        &mut self,
        lint: &'static Lint,
        kind: &'static str,
        name: &str,
        at: Origin,
        len: usize,
        message: String,
    ) {
        let complaint = Complaint::new(Code::WarnCondition, at, message);
        self.found.push((lint, complaint.spanning(len).within(kind, name, at)));
    }
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

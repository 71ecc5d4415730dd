//! What lints look at.

use super::formula::Part;
use crate::rules::report::source::{Origin, Source};
use crate::rules::rule_set::{Rule, RuleSet};

/// A rule or a macro with its condition.
pub struct Subject<'r> {
    /// `rule` or `macro`.
    pub kind: &'static str,
    pub name: &'r str,
    pub formula: Part,
    pub rule: Option<&'r Rule>,
}

/// What lints look at.
pub struct Context<'r> {
    pub sources: &'r [Source],
    pub rules: &'r RuleSet,
    /// Rules in order of definition, then macros.
    pub subjects: Vec<Subject<'r>>,
}

impl Context<'_> {
    /// The text of the files from a place on.
    pub fn text(&self, at: Origin) -> Option<&str> {
        self.sources.get(at.file as usize)?.text.get(at.at as usize..)
    }
}

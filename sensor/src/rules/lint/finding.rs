//! What a lint is, and what it finds.

use super::context::Subject;
use super::formula::Part;
use crate::rules::report::complaint::{Code, Complaint};
use crate::rules::report::diagnostic::Diagnostic;
use crate::rules::report::source::Origin;

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

/// Something that a lint found.
#[derive(Debug)]
pub struct Finding {
    pub lint: &'static Lint,
    /// Place and message; its code says nothing.
    pub diagnostic: Diagnostic,
    /// The rules, where it is about a macro that several use.
    pub rules: Vec<String>,
}

/// A finding before its place is looked up.
pub struct Found {
    pub lint: &'static Lint,
    pub complaint: Complaint,
    /// The rule, where the finding is about a comparison that a macro brings into it.
    pub through_macro: Option<String>,
}

/// Takes findings.
#[derive(Default)]
pub struct Report {
    pub found: Vec<Found>,
}

impl Report {
    /// Reports about a part of a rule or macro.
    pub fn part(&mut self, lint: &'static Lint, subject: &Subject<'_>, part: &Part, message: String) {
        let Some(span) = part.span else { return };
        let complaint = Complaint::new(Code::WarnCondition, span.at, message);
        let complaint = complaint.spanning(span.len).within(subject.kind, subject.name, span.at);
        let through_macro =
            ((!part.own || part.is_macro) && subject.rule.is_some()).then(|| subject.name.to_owned());
        self.found.push(Found { lint, complaint, through_macro });
    }

    /// Reports about a place of a file.
    pub fn at(
        &mut self,
        lint: &'static Lint,
        kind: &'static str,
        name: &str,
        at: Origin,
        len: usize,
        message: String,
    ) {
        let complaint = Complaint::new(Code::WarnCondition, at, message);
        let complaint = complaint.spanning(len).within(kind, name, at);
        self.found.push(Found { lint, complaint, through_macro: None });
    }
}

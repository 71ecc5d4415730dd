//! What checking a condition finds beside its meaning, and the errors that checks share.

use std::sync::Arc;

use super::ast::{Op, Span};
use super::pattern::Budget;
use crate::rules::registry::field_set::FieldSet;
use crate::rules::registry::names::{Held, Names};
use crate::rules::report::complaint::{Code, Complaint};

/// What checking a condition asks for, and what it found beside the meaning.
#[derive(Debug)]
pub struct Findings {
    /// What names of services and hosts stand for.
    pub names: Arc<dyn Names>,
    pub warnings: Vec<Complaint>,
    /// What is left for automata.
    pub budget: Budget,
    /// The host names in it.
    pub hosts: Vec<Held>,
    /// Fields that have no value: comparisons with them are marked.
    pub unfilled: FieldSet,
    /// A call that the condition asks for means every call that does the same.
    pub families: bool,
    /// A path is the same name in all its spellings.
    pub spellings: bool,
}

impl Findings {
    /// Nothing found so far, no field without values, and each call means itself.
    pub fn new(names: &Arc<dyn Names>) -> Self {
        Self {
            names: Arc::clone(names),
            warnings: Vec::new(),
            budget: Budget::default(),
            hosts: Vec::new(),
            unfilled: FieldSet::default(),
            families: false,
            spellings: false,
        }
    }
}

/// An error about a piece of a condition.
pub fn refuse(span: Span, message: impl Into<String>) -> Complaint {
    Complaint::new(Code::CompileCondition, span.at, message).spanning(span.len)
}

/// The operator does not go with that kind of value.
pub fn unsupported(op: Op, kind: &str, span: Span) -> Complaint {
    refuse(span, format!("'{}' operator not supported for type {kind}", op.as_str()))
}

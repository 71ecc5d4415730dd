//! What checking a condition finds beside its meaning, and the errors that checks share.

use std::sync::Arc;

use super::ast::{Op, Span};
use super::pattern::Budget;
use crate::rules::registry::domains::Domain;
use crate::rules::registry::field_set::FieldSet;
use crate::rules::report::complaint::{Code, Complaint};

/// What checking a condition found beside its meaning.
#[derive(Debug, Default)]
pub struct Findings {
    pub warnings: Vec<Complaint>,
    /// What is left for automata.
    pub budget: Budget,
    /// The domain names in it.
    pub domains: Vec<Arc<Domain>>,
    /// Fields that have no value: comparisons with them are marked.
    pub unfilled: FieldSet,
}

/// An error about a piece of a condition.
pub fn refuse(span: Span, message: impl Into<String>) -> Complaint {
    Complaint::new(Code::CompileCondition, span.at, message).spanning(span.len)
}

/// The operator does not go with that kind of value.
pub fn unsupported(op: Op, kind: &str, span: Span) -> Complaint {
    refuse(span, format!("'{}' operator not supported for type {kind}", op.as_str()))
}

//! Tables of what the rule language means, written from its specification and not from this implementation: data in
//! YAML, one folder per subject. A case that fails is named by file and line.

mod conditions;
mod fields;
mod files;
mod names;
mod verdicts;

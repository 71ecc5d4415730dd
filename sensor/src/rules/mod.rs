//! Falco's rule language. The stages in the order in which a rule passes through them:
//!
//! `load` (files, reports) -> [`crate::yaml`] -> `collector` (definition, append, override; `exceptions`) -> `resolve` (lists,
//! macros) -> `parse` -> `check` (types, operators, literals) -> `compile` (one program for all rules) -> `evaluate`;
//! `output` compiles what an alert says. `tree` and `trace` show a condition to people, by itself and for one event.

mod ast;
pub mod cases;
mod check;
mod codes;
mod collector;
mod compile;
mod compute;
mod counters;
pub mod describe;
pub mod diagnostic;
pub mod domains;
mod evaluate;
pub mod event;
pub mod event_types;
mod exceptions;
mod families;
pub mod fields;
pub mod files;
mod fnmatch;
mod graph;
pub mod lint;
mod literals;
mod load;
mod lookup;
mod matcher;
pub mod options;
pub mod output;
mod overrides;
mod params;
mod parse;
mod pattern;
mod plan;
pub mod prefilter;
mod priority;
mod reader;
pub mod requirements;
mod resolve;
mod schema;
mod services;
mod stack;
pub mod stock;
mod suggest;
mod syscall_names;
mod text;
pub mod trace;
mod transform;
pub mod tree;
mod values;
pub mod watch;

pub use counters::{Counters, SAMPLED};
pub use evaluate::Scratch;
pub use event::{Event, EventType, Value};
pub use fields::{Field, FieldArg, FieldRef};
pub use load::{LoadError, Loaded, Rule, RuleSet, Source, Status, load};
pub use options::{Matching, Options};
pub use output::Template;
pub use priority::{ParsePriorityError, Priority};
pub use stock::stock;
pub use suggest::nearest;
pub use trace::Trace;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod language_tests;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod upstream_tests;

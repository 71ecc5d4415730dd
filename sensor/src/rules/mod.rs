//! Falco's rule language, as a street in the order in which a rule file walks:
//!
//! `report` (texts with places) -> `registry` (what can be named) -> `language` (what can be said) -> `source` (what a user
//! wrote) -> `status` (who can fire) -> `program` (what runs) -> `rule_set` -> `load`, which walks it -> `explain`, `lint` and `cases`. Each may use
//! those before it and none after it.

mod stack;

pub mod report;

pub mod registry;

mod language;

pub mod source;

pub mod status;

mod program;

mod rule_set;

mod load;

pub mod explain;

pub mod lint;

pub mod cases;

pub use explain::trace::Trace;
pub use language::output::{self, Template};
pub use load::{LoadError, Loaded, load};
pub use program::counters::{Counters, SAMPLED};
pub use program::evaluate::Scratch;
pub use program::prefilter;
pub use registry::event::{Event, EventType, Value};
pub use registry::field_set::FieldSet;
pub use registry::fields::{Field, FieldArg, FieldRef};
pub use registry::names::{Held, Names};
pub use registry::priority::{ParsePriorityError, Priority};
pub use registry::readings::{Kind, Lineage, PathNames, Reading, Readings};
pub use registry::services::WellKnown;
pub use report::source::Source;
pub use report::suggest::nearest;
pub use rule_set::{Rule, RuleSet};
pub use source::options::{Matching, Options, Sight};
pub use source::stock::stock;
pub use status::Status;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod language_tests;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod upstream_tests;

//! Falco's rule language: load, parse, resolve, check, compile, evaluate.

pub mod event;
pub mod fields;
mod priority;
mod suggest;

pub use event::{Event, EventType, Value};
pub use fields::{Field, FieldArg, FieldRef};
pub use priority::{ParsePriorityError, Priority};

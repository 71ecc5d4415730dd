//! Falco's rule language: load, parse, resolve, check, compile, evaluate.

mod ast;
pub mod diagnostic;
pub mod event;
pub mod event_types;
pub mod fields;
mod parse;
mod priority;
mod suggest;
mod text;
mod yaml;

pub use event::{Event, EventType, Value};
pub use fields::{Field, FieldArg, FieldRef};
pub use priority::{ParsePriorityError, Priority};

//! What a user wrote: files read, definitions collected, overridden and resolved.

pub mod collector;
pub mod definitions;
pub mod exceptions;
pub mod files;
pub mod items;
mod meant;
pub mod options;
pub mod overrides;
pub mod reader;
pub mod requirements;
pub mod resolve;
pub mod schema;
pub mod stock;
pub mod tree;

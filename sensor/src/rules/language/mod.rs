//! What rules can say: the grammar, what a condition means, what an output prints.

pub mod ast;
pub mod check;
mod classes;
pub mod codes;
pub mod compute;
pub mod findings;
pub mod fnmatch;
pub mod literals;
pub mod matcher;
pub mod output;
pub mod parse;
pub mod pattern;
mod siblings;
pub mod transform;

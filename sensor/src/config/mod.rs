//! The YAML configuration: Falco's key names where Falco has them.

pub mod error;
mod keys;
pub mod overrides;
pub mod yaml;

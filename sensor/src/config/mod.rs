//! The YAML configuration: Falco's key names where Falco has them.

pub mod error;
pub mod overrides;
pub mod yaml;

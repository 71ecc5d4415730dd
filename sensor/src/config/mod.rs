//! The YAML configuration: Falco's key names where Falco has them.

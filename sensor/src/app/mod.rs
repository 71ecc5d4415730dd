//! The running program: sensor and hub put together, reloaded and taken down in order.

pub mod doctor;
mod door;
pub mod exit;
pub mod hub;
mod in_use;
pub mod names;
pub mod phases;
mod reload;
pub mod ruleset;
pub mod run;
pub mod service;
pub mod sight;
mod status;
mod watch;

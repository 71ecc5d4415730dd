//! The running program: sensor and hub put together, reloaded and taken down in order.

pub mod bench;
pub mod doctor;
mod door;
pub mod exit;
mod hooks;
pub mod hub;
mod in_use;
mod memory;
pub mod names;
pub mod phases;
pub mod record;
mod reload;
pub mod replay;
pub mod ruleset;
pub mod run;
pub mod service;
pub mod settings;
pub mod sight;
mod start;
mod status;
mod watch;

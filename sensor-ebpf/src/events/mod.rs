//! The registry of events: one module per family, one line per event.

pub mod cgroup;
pub mod process;

//! What rules can name: fields, event types and their parameters, priorities, names that the host knows.

pub mod event;
pub mod event_types;
pub mod field_set;
pub mod fields;
pub mod names;
pub mod params;
pub mod priority;
pub mod readings;
pub mod services;
pub mod spellings;
pub mod syscall_names;
pub mod types;

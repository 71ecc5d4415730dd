//! Destinations of alerts. Every enabled output is one task with its own cursor in the alert log: it reads what comes
//! after the cursor, sends it, and moves the cursor when an alert was delivered, filtered or given up. So one slow
//! destination holds up no other, a restart goes on where it stopped, and each alert arrives at least once.
//!
//! What a failure does (see [`dispatch`]):
//! - destination down, slow, throttling or answering 5xx: tried again for as long as the log keeps the alert, with growing pauses;
//! - destination refuses the alert (most 4xx): the alert goes to the dead-letter list with the reason;
//! - one alert that alone makes the destination fail goes there too, once a later alert has been accepted.
//!
//! Adding an output: one file (or folder) whose configuration implements [`destination::Destination`], and its line in
//! [`registry`]. Top to bottom, each file uses only those above it.

pub mod backoff;
pub mod escape;
pub mod journal;
pub mod status;

pub mod output;

pub mod values;

pub mod http;
pub mod line;
pub mod shared;

pub mod lines;
pub mod post;

pub mod destination;

pub mod file;
pub mod http_output;
pub mod stdout;
pub mod teams;
pub mod webhook;

pub mod dispatch;
pub mod registry;
pub mod running;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use registry::OutputsConfig;
pub use running::{Running, start};
pub use status::{OutputStatus, State};

//! What the process says of itself: its status for the web app, the control socket and the command line ([`status`]), numbers for
//! Prometheus ([`exposition`] is the format, [`metrics`] names them all), and log lines ([`logging`]).
//!
//! The parts of the program keep plain counters and know nothing of metrics. Each struct of counters is taken apart in one file of
//! [`metrics`], by name and without `..`: a counter that is added and not shown does not compile.

pub mod exposition;
pub mod logging;
pub mod metrics;
pub mod status;

pub use exposition::{Collect, Exposition, Kind};
pub use status::{Status, StatusSource};

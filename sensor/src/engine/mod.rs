//! From records to alerts, on one thread: state, container, rules, alert.
//!
//! * [`judge`]: what happens to each record, in order.
//! * [`live`]: an event with its state; [`extract`]: the fields of it that rules see, class by class.
//! * [`readings`]: an event whose names differ is judged by each of them.
//! * [`hold`]: events wait for what is asked about their process, container and users.
//! * [`storm`]: a rule that fires too often is cut short; [`raise`]: the alert of a rule that matched.
//! * [`internal`]: alerts about the sensor itself; [`drops`]: the one about losses.
//! * [`sights`]: somebody watches a rule.
//! * [`run`]: the thread that drains the lanes; [`orders`]: what others ask of it.
//!
//! Nothing here blocks on anything outside, and an event that no rule is interested in costs a look at a table.

pub mod args;
pub mod clock;
pub mod cuts;
pub mod drops;
pub mod extract;
pub mod fd;
pub mod foreign;
pub mod hold;
pub mod internal;
pub mod judge;
#[cfg(test)]
mod judge_tests;
pub mod live;
pub mod names;
pub mod orders;
pub mod pace;
pub mod path;
pub mod raise;
pub mod readings;
#[cfg(test)]
mod readings_tests;
pub mod run;
pub mod sights;
pub mod stats;
pub mod storm;

pub use judge::Judge;
pub use orders::Orders;
pub use run::{Engine, Running};
pub use stats::Stats;

//! Why a rule did or did not fire, and what it is.

pub mod describe;
pub mod trace;

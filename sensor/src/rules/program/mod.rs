//! What runs: all conditions as one program, and what the kernel needs to know of it.

pub mod compile;
pub mod counters;
pub mod evaluate;
pub mod families;
pub mod graph;
pub mod lookup;
pub mod plan;
pub mod prefilter;
pub mod reads;
pub mod values;

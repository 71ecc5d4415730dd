//! The kernel half's keeper: BTF offsets, load, attach, ring readers, counters.

pub mod btf;
pub mod counters;
mod error;
pub mod handlers;
pub mod kernfs;
pub mod lanes;
pub mod load;
mod log;
mod mapping;
mod merge;
pub mod object;
pub mod requests;
mod ring;
#[cfg(test)]
mod simulated;
pub mod trial;

pub use counters::{Counted, EventCounters};
pub use error::ProbeError;
pub use handlers::Wanted;
pub use lanes::Lanes;
pub use load::{Options, Probe};

/// The BPF object, embedded at build time; empty when it was not built.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/falconet.bpf.o"));

//! Readers shared by the handlers. All but the walk of a path is inlined into its program: BPF passes no structs.
//!
//! They stand in the order in which they may use one another, each those before it.
//!
//! The current task is read by BTF-typed loads (the verifier checks them, a load costs what a load costs);
//! what hangs off it behind an array or a cast is read with `bpf_probe_read_kernel`.

pub mod config;

pub mod read;

pub mod lane;

pub mod call;

pub mod log;

pub mod writer;

pub mod data;

pub mod path;

pub mod task;

pub mod socket;

pub mod file;

pub mod asked;

pub mod dispatch;

pub mod uring;

pub use call::Exit;
pub use writer::Writer;

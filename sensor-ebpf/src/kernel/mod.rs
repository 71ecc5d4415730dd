//! Readers shared by the handlers. All but the walk of a path is inlined into its program: BPF passes no structs.
//!
//! Each needs only those before it: `config`, `read` and `lane`; `writer`; `path`; `task` and `socket`; `file`.
//!
//! The current task is read by BTF-typed loads (the verifier checks them, a load costs what a load costs);
//! what hangs off it behind an array or a cast is read with `bpf_probe_read_kernel`.

pub mod config;
pub mod dispatch;
pub mod file;
pub mod lane;
pub mod path;
pub mod read;
pub mod socket;
pub mod task;
pub mod writer;

pub use dispatch::Exit;
pub use writer::Writer;

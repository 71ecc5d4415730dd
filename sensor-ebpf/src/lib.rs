//! Both sides of the kernel boundary.
//!
//! * [`record`]: what every record shares (header, task snapshot, tails) and the checked way to read it.
//! * [`events`]: one file per syscall family, with its record, kernel handler and all that anything knows of it.
//! * [`siblings`]: calls that do the same.
//! * [`requests`]: which requests of io_uring do what a system call does.
//! * [`filter`]: what an event must have to be worth a record.
//! * [`abi`]: numbers of system calls, and where their arguments lie.
//! * [`config`]: globals and maps that user space fills before load.
//! * `testing`: what the scenarios are made of that play each event against the running kernel.
//! * `kernel`: readers shared by the handlers; compiled for the BPF target only.
#![no_std]
#![cfg_attr(
    feature = "testing",
    expect(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        reason = "with this feature the families bring their tests, which may fail; without it the same lints look at the rest"
    )
)]
#![deny(unsafe_code)]
#![expect(clippy::inline_always, reason = "BPF programs cannot pass structs to functions: all must be one")]

#[cfg(any(test, feature = "testing"))]
extern crate std;

pub mod abi;
pub mod config;
pub mod events;
pub mod filter;
pub mod record;
pub mod requests;
pub mod siblings;

#[cfg(target_arch = "bpf")]
#[expect(unsafe_code, reason = "helpers, maps and kernel memory; the verifier checks it once more")]
pub mod kernel;

#[cfg(feature = "testing")]
pub mod testing;

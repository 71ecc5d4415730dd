//! What is known of the machine: processes, users, containers, in bounded tables.
//!
//! One thread, the one that judges events, owns all of it: no locks, and reading allocates nothing. What could block
//! (metadata of containers, files inside containers, `/proc` of a process that does not answer) is done by helper
//! threads beside it and waited for at most for a stated time.

pub mod aside;
pub mod cgroups;
pub mod containers;
pub mod process;
pub mod procfs;
#[cfg(test)]
pub(crate) mod testing;
pub mod users;

pub use cgroups::Layout;
pub use containers::{Container, ContainerEvent, ContainerKey, Containers, EnginesConfig, Where};
pub use process::{Image, Process, Processes};
pub use procfs::ProcFs;
pub use users::{Listing, Users};

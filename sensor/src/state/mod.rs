//! What is known of the machine: processes, users, containers, in bounded tables.
//!
//! One thread, the one that judges events, owns all of it: no locks, and reading allocates nothing. What could block
//! (metadata of containers, files inside containers, `/proc` of a process that does not answer) it only asks for: threads
//! beside it look, within a budget, and the events that need the answer wait for it, so long and no longer. Each of the tables
//! says which ([`Found::Pending`], [`Where::Pending`], [`Users::prepare`]).

mod asking;
pub mod bucket;
pub mod cgroups;
pub mod containers;
pub mod process;
pub mod processes;
pub mod procfs;
#[cfg(test)]
pub(crate) mod testing;
pub mod users;
mod wake;

pub use bucket::{Bucket, Rate};
pub use cgroups::Layout;
pub use containers::{Container, ContainerEvent, ContainerKey, Containers, EnginesConfig, Where};
pub use process::{Image, Process};
pub use processes::{Found, MAX_ANCESTORS, Processes};
pub use procfs::ProcFs;
pub use users::{Listing, Users};

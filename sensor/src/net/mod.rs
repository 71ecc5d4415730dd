//! The one HTTP server, used by the intake and the web app: whoever can reach a port can neither exhaust memory or descriptors nor
//! keep others out.
//!
//! - [`listen`]: an address to listen on, or what to do when that fails.
//! - [`places`]: so many connections and no more. A new one takes the place of the one that has been idle longest.
//! - [`stream`]: tells the table of places what the client does: sends a head, or does not take its answer.
//! - [`body`]: request bodies within bytes and time. What is refused is read to its end, within bounds, so that the client sees the answer.
//! - [`server`]: accepts, serves, shuts down.
//!
//! All limits are [`Limits`], and everything that they end is counted in [`Counters`].

pub mod body;
mod limits;
pub mod listen;
mod places;
pub mod server;
mod stream;

pub use limits::{Counters, Limits, Refusal};
pub use listen::{ListenError, listen};
pub use server::serve;

#[cfg(test)]
mod tests;

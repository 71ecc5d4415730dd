//! Captures: what the event thread saw, kept in a file, and fed to the very same engine later, with no kernel and no root.
//!
//! * [`format`](mod@format): the header, the frames, their limits. `docs/capture-format.md` describes the file for others.
//! * [`write`](mod@write): frames into compressed blocks and onto disk, by a thread of its own.
//! * [`read`]: the way back, for any bytes: what is cut or wrong is an error with its place, never a panic.
//! * [`recorder`]: beside the state that the sensor keeps anyway, it notes everything that came from outside; [`line`](mod@line): what
//!   is asked meanwhile stands in the file where it was asked.
//! * [`player`]: gives it all to a judge.
//! * [`compare`]: two rule sets on one capture, side by side.
//! * [`cases`]: a captured event as a test case for rules.
//!
//! A capture holds the records as they came from the kernel, and in their order everything else that a verdict depends on:
//! processes that were found in `/proc`, cgroups, metadata of containers, names of users, the clock. So the alerts of a replay
//! are those that a sensor with these rules would have raised.

pub mod cases;
pub mod compare;
pub mod format;
mod line;
pub mod player;
pub mod read;
pub mod recorder;
pub mod write;

pub use format::{CaptureError, Header};
pub use player::Player;
pub use read::Reader;
pub use recorder::Recorder;
pub use write::Writer;

#[cfg(test)]
mod tests;

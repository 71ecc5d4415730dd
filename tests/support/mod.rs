//! What whole-binary tests share: a private containerd, the sensor as a child process, an HTTP server that remembers.
//!
//! Everything made here lives in a temporary directory, listens on loopback with a port of the kernel's choice, and ends with
//! the test, by process id. Every wait has a deadline and says, when it passes, what was seen instead.
#![allow(dead_code, reason = "each test file uses a part of this")]
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

pub mod containerd;
pub mod deep;
pub mod harness;
pub mod http;
pub mod image;
pub mod need;
pub mod sensor;

use std::time::{Duration, Instant};

/// How long anything may take that normally takes a moment. Long, because test machines are slow and busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Calls `look` until it finds something, at most for [`PATIENCE`].
pub fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

//! What a start tells on standard error: one line per phase, with the time it took.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// The phases of one start.
pub struct Phases {
    start: Instant,
    last: Instant,
}

impl Phases {
    pub fn begin() -> Self {
        let now = Instant::now();
        eprintln!("falconet {}", env!("CARGO_PKG_VERSION"));
        Self { start: now, last: now }
    }

    /// A phase ended: what it brought, and the time since the one before.
    pub fn done(&mut self, name: &str, what: impl Display) {
        let now = Instant::now();
        eprintln!("  {name:<10} {what} ({:.0?})", now.duration_since(self.last));
        self.last = now;
    }

    /// The same long after the start, with the time it took.
    pub fn later(name: &str, what: impl Display, took: Duration) {
        eprintln!("  {name:<10} {what} ({took:.0?})");
    }

    /// A further line about the phase.
    pub fn note(text: impl Display) {
        eprintln!("             {text}");
    }

    /// Everything is up.
    pub fn ready(&self, what: impl Display) {
        eprintln!("ready in {:.2?}: {what}", self.start.elapsed());
    }
}

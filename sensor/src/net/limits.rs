//! What clients may use, and how often they were held to it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The limits of one server.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// From the first byte of a head to its last.
    pub head_time: Duration,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// From a request's head to the end of its body.
    pub body_time: Duration,
    /// Without a request.
    pub idle_time: Duration,
    /// Without taking a byte of the answer.
    pub write_time: Duration,
    /// For requests that are open when the server shuts down.
    pub grace: Duration,
    /// Whether HTTP/2 is spoken too (without TLS, as proxies do).
    pub http2: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Below the usual limit of 1024 open files, with room for a second server that takes less.
            connections: 512,
            head_bytes: 64 << 10,
            head_time: Duration::from_secs(30),
            body_bytes: 1 << 20,
            body_time: Duration::from_secs(30),
            // falcosidekick's time.
            idle_time: Duration::from_mins(1),
            write_time: Duration::from_secs(30),
            grace: Duration::from_secs(5),
            http2: false,
        }
    }
}

/// Why a connection was ended or a request refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Refusal {
    /// The longest idle connection made room for a new one.
    Crowded,
    /// Idle for too long.
    Idle,
    HeadTime,
    HeadBytes,
    /// Not HTTP.
    Malformed,
    /// HTTP/1.1 without `Host`, or with several.
    Host,
    BodyBytes,
    BodyTime,
    /// The client did not take its answer.
    WriteTime,
    /// The system had no connection to give: too many open files, most likely.
    Accept,
}

impl Refusal {
    /// All of them with their word in metrics, in the order of their numbers.
    pub const ALL: [(Self, &str); 10] = [
        (Self::Crowded, "crowded"),
        (Self::Idle, "idle"),
        (Self::HeadTime, "head_time"),
        (Self::HeadBytes, "head_bytes"),
        (Self::Malformed, "malformed"),
        (Self::Host, "host"),
        (Self::BodyBytes, "body_bytes"),
        (Self::BodyTime, "body_time"),
        (Self::WriteTime, "write_time"),
        (Self::Accept, "accept"),
    ];
}

/// What one server counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Connections open now.
    pub open: AtomicU64,
    /// Requests whose head was read.
    pub requests: AtomicU64,
    /// By [`Refusal`].
    pub refused: [AtomicU64; Refusal::ALL.len()],
}

impl Counters {
    /// How often it was refused for this reason.
    pub fn refused(&self, refusal: Refusal) -> u64 {
        self.refused.get(refusal as usize).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    pub(super) fn refuse(&self, refusal: Refusal) {
        if let Some(counter) = self.refused.get(refusal as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_a_counter_of_its_own() {
        let counters = Counters::default();
        for (n, (refusal, _)) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, n);
            counters.refuse(refusal);
            assert_eq!(counters.refused(refusal), 1, "{refusal:?}");
        }
    }
}

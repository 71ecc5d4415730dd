//! What each rule costs and yields, counted while events are judged.
//!
//! One thread judges with a set of rules at a time, so the writer adds without locking the bus; readers on other threads see
//! the numbers soon. Were two threads to judge with one set, counts could be lost, nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::rules::registry::event::EventType;

/// Of so many events one is timed.
pub const SAMPLED: u64 = 1024;

/// Adds for the one writer.
#[inline]
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
}

/// Events judged, by type; shared by the rules of a set.
#[derive(Debug)]
pub struct Judged(Box<[AtomicU64]>);

impl Judged {
    pub fn new(types: usize) -> Self {
        Self((0..types).map(|_| AtomicU64::new(0)).collect())
    }

    #[inline]
    pub fn count(&self, event: EventType) {
        if let Some(counter) = self.0.get(usize::from(event.0)) {
            add(counter, 1);
        }
    }
}

/// The counters of one rule since it was loaded.
#[derive(Debug)]
pub struct Counters {
    /// The event types on which the rule can fire.
    types: Box<[EventType]>,
    judged: Arc<Judged>,
    matched: AtomicU64,
    left_out: AtomicU64,
    samples: AtomicU64,
    sampled_ns: AtomicU64,
}

impl Counters {
    pub fn new(types: Box<[EventType]>, judged: Arc<Judged>) -> Self {
        let zero = || AtomicU64::new(0);
        Self { types, judged, matched: zero(), left_out: zero(), samples: zero(), sampled_ns: zero() }
    }

    /// Events that were judged by the rule: those of the types on which it can fire, however soon it was ruled out.
    pub fn evaluated(&self) -> u64 {
        let of =
            |event: &EventType| self.judged.0.get(usize::from(event.0)).map(|n| n.load(Ordering::Relaxed));
        self.types.iter().filter_map(of).sum()
    }

    /// Events on which the rule fired.
    pub fn matched(&self) -> u64 {
        self.matched.load(Ordering::Relaxed)
    }

    /// Of the events on which the rule fired, those that raised no alert because there were too many.
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    /// The event types on which the rule can fire.
    pub(in crate::rules) fn types(&self) -> &[EventType] {
        &self.types
    }

    /// One event of [`SAMPLED`] is timed: how many of these came to the rule's own part of the work. An event on which a
    /// shared test had ruled it out is no sample, for the rule cost nothing there.
    pub fn samples(&self) -> u64 {
        self.samples.load(Ordering::Relaxed)
    }

    /// Nanoseconds spent on the samples. `sampled_ns * SAMPLED` estimates what the rule has cost since it was loaded.
    pub fn sampled_ns(&self) -> u64 {
        self.sampled_ns.load(Ordering::Relaxed)
    }

    pub(in crate::rules) fn fired(&self) {
        add(&self.matched, 1);
    }

    /// The rule fired, but no alert is raised. For the thread that judges alone.
    pub fn leave_out(&self) {
        add(&self.left_out, 1);
    }

    pub(in crate::rules) fn sample(&self, ns: u64) {
        add(&self.samples, 1);
        add(&self.sampled_ns, ns);
    }
}

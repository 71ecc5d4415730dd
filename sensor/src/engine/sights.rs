//! Somebody watches a rule: events on which it fires, and near misses, where one comparison kept it from firing.
//!
//! It costs only while somebody watches, and then at most so many reports each second of either kind: what is beyond is counted. A
//! flood of near misses takes no match's place.
//! Reports that nobody takes in time are counted, too; the event thread waits for nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use tokio::sync::mpsc::Sender;

use super::extract::process::cmdline;
use super::live::Live;
use crate::alert::json::utc;
use crate::rules::explain::trace::Leaf;
use crate::rules::{EventType, Rule, RuleSet};

/// Matches that one watch reports in a second, and near misses.
const PER_SECOND: u32 = 50;
const SECOND: i64 = 1_000_000_000;

/// A report about a watched rule.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "sight", rename_all = "snake_case")]
pub enum Sight {
    /// The rule fired.
    Match(Seen),
    /// One comparison kept it from firing.
    NearMiss { seen: Seen, leaf: Box<Leaf> },
    /// The rule is no longer among those in use; should it come back, the watch goes on.
    Gone,
}

/// The event.
#[derive(Debug, Clone, Serialize)]
pub struct Seen {
    /// RFC 3339.
    pub time: String,
    pub number: u64,
    /// `evt.type`.
    pub event: &'static str,
    pub pid: Option<u32>,
    pub process: Option<String>,
    pub cmdline: Option<String>,
    pub container: Option<String>,
}

/// A wish to watch a rule; it ends when the receiver does.
#[derive(Debug, Clone)]
pub struct Watch {
    pub rule: String,
    pub reports: Sender<Sight>,
    /// Counts what is not reported.
    pub more: Arc<AtomicU64>,
}

/// The watch at work.
pub(super) struct Watching {
    watch: Watch,
    /// Number of the rule in the set, and the event types on which it can fire.
    rule: Option<(usize, Vec<EventType>)>,
    /// The second in which reports were sent, and how many of matches and of near misses.
    sent: (i64, [u32; 2]),
}

impl Watching {
    pub fn new(watch: Watch, rules: &RuleSet) -> Self {
        let mut watching = Self { watch, rule: None, sent: (0, [0; 2]) };
        watching.find(rules);
        watching
    }

    /// Looks the rule up in other rules.
    pub fn find(&mut self, rules: &RuleSet) {
        let found = rules.rules().iter().enumerate().find(|(_, rule)| rule.name == self.watch.rule);
        self.rule = found.map(|(at, rule)| (at, rule.event_types()));
        if self.rule.is_none() {
            self.report(Sight::Gone);
        }
    }

    pub fn types(&self) -> &[EventType] {
        self.rule.as_ref().map_or(&[], |(_, types)| types)
    }

    /// True when nobody watches any more.
    pub fn is_over(&self) -> bool {
        self.watch.reports.is_closed()
    }

    /// Reports the event, if it is a match or a near miss, by the reading that comes nearest to a match.
    pub fn look(&mut self, rules: &RuleSet, readings: &[Live<'_>]) {
        let Some((at, types)) = &self.rule else { return };
        if !readings.first().is_some_and(|event| types.contains(&event.ty)) {
            return;
        }
        let Some(rule) = rules.rules().get(*at) else { return };
        let Some((event, distance)) = rules.nearest(rule, readings).filter(|(_, distance)| *distance <= 1)
        else {
            return;
        };
        let second = event.time / SECOND;
        if second != self.sent.0 {
            self.sent = (second, [0; 2]);
        }
        let sent = &mut self.sent.1[usize::from(distance == 1)];
        *sent += 1;
        if *sent > PER_SECOND {
            self.watch.more.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if let Some(sight) = sight(rules, rule, event) {
            self.report(sight);
        }
    }

    fn report(&self, sight: Sight) {
        if self.watch.reports.try_send(sight).is_err() {
            self.watch.more.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn sight(rules: &RuleSet, rule: &Rule, event: &Live<'_>) -> Option<Sight> {
    let trace = rules.trace(rule, event);
    if trace.fires {
        return Some(Sight::Match(seen(event)));
    }
    let leaf = Box::new(trace.near_miss()?.clone());
    Some(Sight::NearMiss { seen: seen(event), leaf })
}

fn seen(event: &Live<'_>) -> Seen {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let process = event.process();
    Seen {
        time: utc(event.time),
        number: event.number,
        event: event.name,
        pid: process.map(|process| process.tgid),
        process: process.map(|process| text(process.comm())),
        cmdline: process.map(|process| text(cmdline(event.bump, process))),
        container: event.container.map(|container| {
            if container.name.is_empty() { container.id.clone() } else { container.name.clone() }
        }),
    }
}

//! One card's content, before it is rendered, and how it is made to fit.

use std::collections::BinaryHeap;

use serde_json::Value;

use super::config::OutputFormat;
use super::markdown::{self, Clipped, json_cost};
use crate::alert::{Alert, json};
use crate::rules::Priority;

/// Bytes of a whole request. Teams documents about 28 KB, but counts after expanding the message, and has refused less than 21 KB.
pub const SIZE: usize = 18_000;
/// Bytes after Teams has called a request too large.
pub const SIZE_AFTER_413: usize = 9_000;

/// Room for the parts that are always there, in bytes of JSON.
const TITLE: usize = 600;
const SUBTITLE: usize = 600;
const FACT_NAME: usize = 200;
/// A value longer than this is shortened to it before anything is dropped.
const FACT_VALUE: usize = 400;
/// Length below which text is not cut any further.
const LEAST_TEXT: usize = 200;

/// The content of one card. What is shown is escaped for Markdown already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub priority: Priority,
    /// Symbol, priority and rule.
    pub title: String,
    /// Where and when.
    pub subtitle: String,
    /// What happened.
    pub text: Option<Passage>,
    pub facts: Vec<Fact>,
    /// What was left out, if anything.
    pub note: Option<String>,
    /// Unescaped text for previews.
    pub summary: String,
}

/// Text that can be shortened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    raw: String,
    shown: Clipped,
}

impl Passage {
    pub fn new(raw: &str) -> Self {
        // No card can hold more than its size.
        Self { raw: raw.to_owned(), shown: markdown::escape(raw, SIZE) }
    }

    /// The escaped text.
    pub fn shown(&self) -> &str {
        &self.shown.text
    }

    fn shorten(&mut self, room: usize) {
        self.shown = markdown::escape(&self.raw, room);
    }

    fn cost(&self) -> usize {
        json_cost(&self.shown.text)
    }
}

/// A name with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub name: String,
    pub value: Passage,
}

impl Fact {
    pub fn new(name: &str, value: &str) -> Self {
        Self { name: markdown::escape(name, FACT_NAME).text, value: Passage::new(value) }
    }

    /// Bytes it takes in the body, keys and punctuation included.
    fn cost(&self) -> usize {
        json_cost(&self.name) + self.value.cost() + r#"{"title":"","value":""},"#.len()
    }
}

/// A word alone does not stand out, and a colour alone is not seen by everybody.
pub fn symbol(priority: Priority) -> &'static str {
    match priority {
        Priority::Emergency => "🚨",
        Priority::Alert | Priority::Critical => "🔴",
        Priority::Error => "🟠",
        Priority::Warning => "🟡",
        Priority::Notice => "🔵",
        Priority::Informational => "🟢",
        Priority::Debug => "⚪",
    }
}

/// Whole seconds in UTC, for people.
pub fn clock(nanoseconds: i64) -> String {
    let text = json::utc(nanoseconds);
    let seconds = text.get(..19).unwrap_or(&text);
    format!("{} UTC", seconds.replace('T', " "))
}

impl Message {
    /// The message of one alert.
    pub fn of(alert: &Alert, format: OutputFormat) -> Self {
        let priority = alert.priority;
        let title =
            format!("{} {priority}: {}", symbol(priority), markdown::escape(&alert.rule, TITLE - 50).text);
        let place = if alert.hostname.is_empty() { &alert.source } else { &alert.hostname };
        let subtitle = format!("{} · {}", markdown::escape(place, SUBTITLE - 50).text, clock(alert.time));
        let text = (format != OutputFormat::Facts && !alert.output.is_empty())
            .then(|| Passage::new(alert.message()));
        let facts = if format == OutputFormat::Text { Vec::new() } else { facts(alert) };
        Self {
            priority,
            title,
            subtitle,
            text,
            facts,
            note: None,
            summary: markdown::plain(&format!("{priority}: {}", alert.rule), TITLE).text,
        }
    }

    /// Makes the rendered message at most `size` bytes: the largest values are shortened, then dropped, then the
    /// text is cut, and the note says how much is missing. Returns the body.
    pub fn fit(mut self, size: usize, render: impl Fn(&Self) -> Value) -> Vec<u8> {
        // The note may come to be there, or to have longer numbers.
        let reserve = note(usize::MAX, usize::MAX).map_or(0, |n| n.len() + 100);
        let mut dropped = Dropped::default();
        loop {
            let hidden: usize = self.passages().map(|p| p.shown.left_out).sum();
            self.note = note(dropped.facts, dropped.bytes + hidden);
            let body = render(&self).to_string().into_bytes();
            if body.len() <= size {
                return body;
            }
            let before = self.cost();
            let excess = self.shrink_facts(body.len() - size + reserve, &mut dropped);
            if let Some(text) = self.text.as_mut().filter(|_| excess > 0) {
                let cost = text.cost();
                text.shorten(cost.saturating_sub(excess).max(LEAST_TEXT.min(cost)));
            }
            if self.cost() >= before {
                // Nothing is left to shorten; title, subtitle and envelope are far below any size used here.
                return body;
            }
        }
    }

    /// Shortens and drops facts, largest first, until `excess` bytes are saved; returns what is still missing.
    fn shrink_facts(&mut self, mut excess: usize, dropped: &mut Dropped) -> usize {
        let mut by_size: BinaryHeap<(usize, usize)> =
            self.facts.iter().enumerate().map(|(index, fact)| (fact.cost(), index)).collect();
        let mut keep = vec![true; self.facts.len()];
        while excess > 0 {
            let Some((cost, index)) = by_size.pop() else { break };
            let (Some(fact), Some(kept)) = (self.facts.get_mut(index), keep.get_mut(index)) else { break };
            if fact.value.cost() > FACT_VALUE {
                fact.value.shorten(FACT_VALUE);
                excess = excess.saturating_sub(cost - fact.cost());
                by_size.push((fact.cost(), index));
            } else {
                *kept = false;
                dropped.facts += 1;
                dropped.bytes += fact.value.raw.len();
                excess = excess.saturating_sub(cost);
            }
        }
        let mut keep = keep.into_iter();
        self.facts.retain(|_| keep.next().unwrap_or(true));
        excess
    }

    fn passages(&self) -> impl Iterator<Item = &Passage> {
        self.facts.iter().map(|f| &f.value).chain(&self.text)
    }

    fn cost(&self) -> usize {
        self.facts.iter().map(Fact::cost).sum::<usize>() + self.text.as_ref().map_or(0, Passage::cost)
    }
}

#[derive(Default)]
struct Dropped {
    facts: usize,
    bytes: usize,
}

fn note(dropped: usize, bytes: usize) -> Option<String> {
    (dropped > 0 || bytes > 0)
        .then(|| format!("Shortened to fit into Teams: {dropped} fields and {bytes} bytes of text left out."))
}

/// What there is to know, as falcosidekick orders it; numbers and booleans too, missing values not.
fn facts(alert: &Alert) -> Vec<Fact> {
    let mut facts = vec![
        Fact::new("rule", &alert.rule),
        Fact::new("priority", alert.priority.as_str()),
        Fact::new("source", &alert.source),
    ];
    if !alert.hostname.is_empty() {
        facts.push(Fact::new("hostname", &alert.hostname));
    }
    for (name, value) in &alert.output_fields {
        match value {
            Value::Null => {}
            Value::String(text) => facts.push(Fact::new(name, text)),
            other => facts.push(Fact::new(name, &other.to_string())),
        }
    }
    if !alert.tags.is_empty() {
        facts.push(Fact::new("tags", &alert.tags.join(", ")));
    }
    facts.retain(|fact| !fact.value.shown().is_empty());
    facts
}

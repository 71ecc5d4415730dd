//! One card for many alerts: how many of which rule, where, and when. Sent when alerts come faster than Teams takes cards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::markdown;
use super::message::{Fact, Message, Passage, clock, symbol};
use crate::alert::Alert;
use crate::rules::Priority;

/// Rules that get a line of their own; most severe first, then most frequent.
const RULES: usize = 25;
/// Hosts named per rule.
const HOSTS: usize = 3;

#[derive(Default)]
struct Group<'a> {
    count: usize,
    first: i64,
    last: i64,
    hosts: BTreeSet<&'a str>,
}

/// The digest of `alerts`, which must not be empty to make sense.
pub fn of(alerts: &[Arc<Alert>]) -> Message {
    let mut groups: BTreeMap<(Priority, &str), Group<'_>> = BTreeMap::new();
    for alert in alerts {
        let new = Group { first: alert.time, last: alert.time, ..Group::default() };
        let group = groups.entry((alert.priority, &alert.rule)).or_insert(new);
        group.count += 1;
        group.first = group.first.min(alert.time);
        group.last = group.last.max(alert.time);
        group.hosts.insert(if alert.hostname.is_empty() { &alert.source } else { &alert.hostname });
    }
    let priority = groups.keys().next().map_or(Priority::Debug, |(priority, _)| *priority);
    let first = groups.values().map(|g| g.first).min().unwrap_or_default();
    let last = groups.values().map(|g| g.last).max().unwrap_or_default();
    let mut rows: Vec<_> = groups.iter().collect();
    rows.sort_by_key(|((priority, _), group)| (*priority, std::cmp::Reverse(group.count)));
    let mut facts: Vec<Fact> = rows.iter().take(RULES).map(|((p, rule), g)| row(*p, rule, g)).collect();
    let rest: usize = rows.iter().skip(RULES).map(|(_, g)| g.count).sum();
    if rest > 0 {
        let value = format!("{rest} alerts of {} other rules", rows.len() - RULES);
        facts.push(Fact::new("and", &value));
    }
    let title = format!("{} {} alerts of {} rules", symbol(priority), alerts.len(), rows.len());
    Message {
        priority,
        summary: markdown::plain(&title, 600).text,
        title,
        subtitle: format!("{} – {}", clock(first), clock(last)),
        text: Some(Passage::new(
            "More alerts than Teams takes as single cards. Each of them is in the alert log.",
        )),
        facts,
        note: None,
    }
}

fn row(priority: Priority, rule: &str, group: &Group<'_>) -> Fact {
    let mut hosts: Vec<&str> = group.hosts.iter().take(HOSTS).copied().collect();
    let more = format!("{} more", group.hosts.len().saturating_sub(HOSTS));
    if group.hosts.len() > HOSTS {
        hosts.push(&more);
    }
    let name = format!("{} {} × {}", symbol(priority), priority, group.count);
    let value = format!("{rule} · {} · {} – {}", hosts.join(", "), clock(group.first), clock(group.last));
    Fact::new(&name, &value)
}

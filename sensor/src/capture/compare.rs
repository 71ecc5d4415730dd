//! Two rule sets on one capture: which alerts does only one of them raise, and which are not the same?

use std::collections::{BTreeMap, HashMap};

use super::format::Frame;
use super::player::{Player, number};
use crate::alert::Alert;

/// A difference between the first and the second rule set.
#[derive(Debug)]
pub enum Difference {
    /// Only the first one raises it.
    Gone(Alert),
    /// Only the second one raises it.
    New(Alert),
    /// Both do, but priority, text, fields or tags differ.
    Changed(Box<(Alert, Alert)>),
}

impl Difference {
    pub fn rule(&self) -> &str {
        match self {
            Self::Gone(alert) | Self::New(alert) => &alert.rule,
            Self::Changed(both) => &both.1.rule,
        }
    }
}

/// Counts of one rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub same: u64,
    pub gone: u64,
    pub new: u64,
    pub changed: u64,
}

/// Both players, fed with the same frames.
pub struct Compare {
    first: Player,
    second: Player,
    counts: BTreeMap<String, Counts>,
}

impl Compare {
    pub fn new(first: Player, second: Player) -> Self {
        Self { first, second, counts: BTreeMap::new() }
    }

    /// Takes in one frame. Returns the differences that it makes, in the order of the events.
    pub fn frame(&mut self, frame: &Frame<'_>) -> Vec<Difference> {
        self.first.frame(frame);
        self.second.frame(frame);
        let (first, second) = (self.first.take(), self.second.take());
        if first.is_empty() && second.is_empty() {
            return Vec::new();
        }
        let differences = differences(first, second, &mut self.counts);
        for difference in &differences {
            let counts = self.counts.entry(difference.rule().to_owned()).or_default();
            match difference {
                Difference::Gone(_) => counts.gone += 1,
                Difference::New(_) => counts.new += 1,
                Difference::Changed(_) => counts.changed += 1,
            }
        }
        differences
    }

    /// Counts by rule.
    pub fn counts(&self) -> &BTreeMap<String, Counts> {
        &self.counts
    }

    pub fn first(&self) -> &Player {
        &self.first
    }

    pub fn second(&self) -> &Player {
        &self.second
    }
}

/// Pairs what both raised about the same event by the same rule.
fn differences(
    first: Vec<Alert>,
    second: Vec<Alert>,
    counts: &mut BTreeMap<String, Counts>,
) -> Vec<Difference> {
    let key = |alert: &Alert| (number(alert), alert.rule.clone());
    let mut left: HashMap<_, Alert> = second.iter().map(|a| (key(a), a.clone())).collect();
    let mut found = Vec::new();
    for alert in first {
        let number = number(&alert);
        match left.remove(&key(&alert)) {
            None => found.push((number, Difference::Gone(alert))),
            Some(other) if is_same(&alert, &other) => counts.entry(alert.rule).or_default().same += 1,
            Some(other) => found.push((number, Difference::Changed(Box::new((alert, other))))),
        }
    }
    for alert in second {
        if left.remove(&key(&alert)).is_some() {
            found.push((number(&alert), Difference::New(alert)));
        }
    }
    found.sort_by_key(|(number, _)| *number);
    found.into_iter().map(|(_, difference)| difference).collect()
}

/// Whether a reader of the alerts sees no difference.
fn is_same(a: &Alert, b: &Alert) -> bool {
    (a.priority, &a.output, &a.output_fields, &a.tags) == (b.priority, &b.output, &b.output_fields, &b.tags)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::alert::tests::alert;
    use crate::rules::Priority;

    fn about(number: u64, rule: &str, output: &str) -> Alert {
        let context = Some(json!({"event": {"number": number}}));
        Alert { output: output.into(), context, ..alert(rule, Priority::Notice) }
    }

    #[test]
    fn alerts_are_paired_by_event_and_rule() {
        let first = vec![about(1, "a", "x"), about(2, "a", "x"), about(2, "b", "x")];
        let second = vec![about(1, "a", "x"), about(2, "b", "other"), about(1, "c", "x")];
        let mut counts = BTreeMap::new();
        let found = differences(first, second, &mut counts);
        let text: Vec<String> = found
            .iter()
            .map(|d| match d {
                Difference::Gone(a) => format!("-{}", a.rule),
                Difference::New(a) => format!("+{}", a.rule),
                Difference::Changed(both) => format!("~{}", both.0.rule),
            })
            .collect();
        assert_eq!(text, ["+c", "-a", "~b"]);
        assert_eq!(counts["a"].same, 1);
        assert_eq!(counts.len(), 1);
    }
}

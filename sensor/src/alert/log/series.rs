//! Alerts counted by their labels, for metrics: as many series as fit, the rest under one name.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::alert::{Alert, query};
use crate::rules::Priority;

/// Most series; more would cost every scraper memory for good.
const MAX_SERIES: usize = 2000;
/// Most bytes of a label value.
const MAX_LABEL: usize = 200;
/// Host and namespace, then rule, of alerts that found no series of their own.
pub const OTHER: &str = "(other)";

/// Labels of a series of alerts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels {
    pub hostname: String,
    pub rule: String,
    pub priority: Priority,
    pub source: String,
    /// `k8s.ns.name`; empty when unknown.
    pub namespace: String,
}

/// Durable alerts by labels since the log was opened.
#[derive(Debug, Default)]
pub(super) struct Series {
    counts: Mutex<HashMap<Labels, u64>>,
}

impl Series {
    /// Counts `alert`. When the table is full: under its rule alone, and when that has no series either, under its priority.
    pub fn count(&self, alert: &Alert) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let full = counts.len() >= MAX_SERIES;
        let mut labels = Labels {
            hostname: cut(&alert.hostname),
            rule: cut(&alert.rule),
            priority: alert.priority,
            source: cut(&alert.source),
            namespace: query::text_of(&alert.output_fields, "k8s.ns.name")
                .map_or_else(String::new, |t| cut(&t)),
        };
        if full && !counts.contains_key(&labels) {
            OTHER.clone_into(&mut labels.hostname);
            OTHER.clone_into(&mut labels.namespace);
            if counts.len() >= 2 * MAX_SERIES && !counts.contains_key(&labels) {
                OTHER.clone_into(&mut labels.rule);
                OTHER.clone_into(&mut labels.source);
            }
        }
        *counts.entry(labels).or_default() += 1;
    }

    /// All series, sorted.
    pub fn snapshot(&self) -> Vec<(Labels, u64)> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = counts.iter().map(|(labels, n)| (labels.clone(), *n)).collect();
        drop(counts);
        all.sort_unstable();
        all
    }
}

fn cut(text: &str) -> String {
    text.get(..text.floor_char_boundary(MAX_LABEL)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::tests::alert;

    #[test]
    fn series_are_bounded_and_nothing_is_uncounted() {
        let series = Series::default();
        let mut hostile = alert("r", Priority::Error);
        for n in 0..3000 {
            hostile.hostname = format!("h{n}");
            series.count(&hostile);
        }
        assert_eq!(series.snapshot().len(), MAX_SERIES + 1);
        for n in 0..3000 {
            hostile.rule = format!("r{n}");
            series.count(&hostile);
        }
        let all = series.snapshot();
        assert!(all.len() <= 2 * MAX_SERIES + Priority::ALL.len(), "{}", all.len());
        assert_eq!(all.iter().map(|(_, n)| n).sum::<u64>(), 6000);
    }
}

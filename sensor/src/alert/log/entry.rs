//! What the log gives out: entries with their positions, pages of them, counts over time.

use std::sync::Arc;

use crate::alert::Alert;

/// A position in the log: strictly rising, never used twice. The first is 1.
pub type Seq = i64;

/// An alert at its position.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub seq: Seq,
    pub alert: Arc<Alert>,
}

/// Alerts of a span of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Begin of the span, ns since the epoch.
    pub start: i64,
    /// Alerts by priority number (0 = Emergency).
    pub counts: [u64; 8],
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What was made of its entries.
    pub shown: Vec<T>,
    /// Position of the last entry that was looked at, where the next page begins.
    pub last: Option<Seq>,
    /// There is a next page.
    pub more: bool,
}

/// A limit for SQL.
pub fn sql_limit(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

//! The one query language over alerts: list, live stream, export, silences and `falconet alerts` all use it.
//!
//! A query is a list of terms that must all hold:
//!
//! ```text
//! priority>=warning rule:"Terminal shell*" container:nginx -host:node3 tag:(T1059 T1611) since:2h curl
//! ```
//!
//! - `key:value` (or `key=value`) compares a whole value, `*` stands for any text, ASCII case is ignored;
//!   `key:*` holds when there is a value at all.
//! - `key:a,b` and `key:(a b)` hold when any of the values fits.
//! - `-term` and `key!=value` turn a term round. An alert that has no such field passes `-key:value`.
//! - `priority>=warning`: this severe or more. `time>=2026-11-24T10:00:00Z`, `since:2h`, `until:30m`.
//! - `fd.name:/etc/*`: any output field; `field.cluster:prod` for one whose name has no dot.
//! - Other words are text to be found in rule, host, output, tags or field values.
//! - Quotes keep spaces and commas; a backslash makes the next character literal, `*` included.
//!
//! [`Query::matches`] decides for one alert in memory, [`sql`] translates for SQLite; a test holds them equal.
//! A text that cannot be understood is refused with the place and a remedy, never half understood.

mod facet;
mod parse;
mod pattern;
pub(crate) mod sql;
mod term;
mod text;
pub mod time;

use std::fmt;

use super::Alert;

pub(crate) use facet::Column;
pub use facet::Facet;
pub use parse::{KeyHelp, QueryError, keys};
pub use pattern::Pattern;
pub use term::{Key, Order, Term, Test};
pub(crate) use text::{text_of, value_text};

/// Terms that must all hold; none at all holds for every alert. `Display` prints the canonical text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    terms: Vec<Term>,
}

impl Query {
    /// The query that every alert meets.
    pub fn all() -> Self {
        Self::default()
    }

    /// Reads a query; `now` (ns since the epoch) is what `since:2h` counts from.
    pub fn parse(text: &str, now: i64) -> Result<Self, QueryError> {
        parse::query(text, now).map(|terms| Self { terms })
    }

    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// True when every alert meets it.
    pub fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    /// True when `alert` meets every term.
    pub fn matches(&self, alert: &Alert) -> bool {
        self.terms.iter().all(|term| term.test.holds(alert) != term.negated)
    }
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, term) in self.terms.iter().enumerate() {
            if n > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{term}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

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
pub mod time;

use std::borrow::Cow;
use std::fmt;

use serde_json::{Map, Value};

use super::Alert;
use crate::rules::Priority;

pub(crate) use facet::Column;
pub use facet::Facet;
pub use parse::QueryError;
pub use pattern::Pattern;

/// What a `key:value` term looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    Facet(Facet),
    Uuid,
    /// Any output field.
    Field(String),
}

/// A key of the language, for completion and messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHelp {
    pub word: &'static str,
    /// Other spellings.
    pub others: &'static [&'static str],
    /// What it looks at, in a few words.
    pub means: &'static str,
}

/// All keys: the facets, and those that alerts are not counted by.
pub fn keys() -> impl Iterator<Item = KeyHelp> {
    let facet = |facet: &Facet| KeyHelp { word: facet.word(), others: facet.others(), means: facet.means() };
    Facet::ALL.iter().map(facet).chain(parse::Special::ALL.map(parse::Special::help))
}

/// A comparison of priority or time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    fn holds<T: Ord>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Test {
    /// One of these priorities.
    PriorityIs(Vec<Priority>),
    /// Severity compared: `>=` means as severe or more.
    Severity(Order, Priority),
    /// Event time compared with a point in time (ns since the epoch) that was written as `text`.
    Time { order: Order, at: i64, text: String },
    /// A value fits one of the patterns.
    Is(Key, Vec<Pattern>),
    /// The text occurs somewhere in the alert.
    Text(Pattern),
}

/// A condition, possibly turned round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    pub negated: bool,
    pub test: Test,
}

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

impl Test {
    fn holds(&self, alert: &Alert) -> bool {
        match self {
            Self::PriorityIs(any) => any.contains(&alert.priority),
            // Falco numbers the most severe priority 0, so severity and number run against each other.
            Self::Severity(order, than) => order.holds(than, &alert.priority),
            Self::Time { order, at, .. } => order.holds(&alert.time, at),
            Self::Is(key, patterns) => {
                let fits = |text: &str| patterns.iter().any(|p| p.matches(text));
                match key {
                    Key::Facet(Facet::Tag) => alert.tags.iter().any(|tag| fits(tag)),
                    Key::Facet(facet) => facet
                        .columns()
                        .iter()
                        .any(|column| (column.of)(alert).is_some_and(|text| fits(&text))),
                    Key::Uuid => fits(&alert.uuid.to_string()),
                    Key::Field(name) => text_of(&alert.output_fields, name).is_some_and(|text| fits(&text)),
                }
            }
            Self::Text(pattern) => contains(
                pattern,
                [&alert.rule, &alert.hostname, &alert.output],
                &alert.tags,
                &alert.output_fields,
            ),
        }
    }
}

/// True when `pattern` occurs in one of the texts, the tags or a field's value.
pub(crate) fn contains(
    pattern: &Pattern,
    texts: [&str; 3],
    tags: &[String],
    fields: &Map<String, Value>,
) -> bool {
    texts.iter().any(|text| pattern.is_in(text))
        || tags.iter().any(|tag| pattern.is_in(tag))
        || fields.values().filter_map(value_text).any(|text| pattern.is_in(&text))
}

/// A field's value as text; `None` when it is missing or null.
pub(crate) fn text_of<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<Cow<'a, str>> {
    fields.get(name).and_then(value_text)
}

/// Strings as they are, numbers and booleans as JSON writes them, lists and objects as compact JSON; null is no value.
pub(crate) fn value_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(Cow::Borrowed(text)),
        other => Some(Cow::Owned(other.to_string())),
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Facet(facet) => facet.word(),
            Self::Uuid => "uuid",
            Self::Field(name) if name.contains('.') && !name.starts_with(parse::FIELD) => name,
            Self::Field(name) => return write!(f, "{}{name}", parse::FIELD),
        })
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.negated {
            f.write_str("-")?;
        }
        match &self.test {
            Test::PriorityIs(any) => {
                let words: Vec<_> = any.iter().map(|p| p.lower()).collect();
                write!(f, "priority:{}", words.join(","))
            }
            Test::Severity(order, than) => {
                write!(f, "priority{}{}", order.as_str(), than.lower())
            }
            Test::Time { order, text, .. } => {
                let text = Pattern::literal(text.as_str());
                match order {
                    Order::GreaterOrEqual => write!(f, "since:{text}"),
                    Order::Less => write!(f, "until:{text}"),
                    _ => write!(f, "time{}{text}", order.as_str()),
                }
            }
            Test::Is(key, patterns) => {
                write!(f, "{key}:")?;
                for (n, pattern) in patterns.iter().enumerate() {
                    if n > 0 {
                        f.write_str(",")?;
                    }
                    write!(f, "{pattern}")?;
                }
                Ok(())
            }
            // Bare words that the grammar would take for something else are quoted.
            Test::Text(pattern) => {
                let text = pattern.to_string();
                if !text.starts_with('"')
                    && (text.contains([':', '=']) || matches!(&*text, "AND" | "OR" | "NOT"))
                {
                    write!(f, "\"{text}\"")
                } else {
                    f.write_str(&text)
                }
            }
        }
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

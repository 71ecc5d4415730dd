//! The conditions that a query is made of: what they mean, and their canonical text.

use std::fmt;

use serde_json::{Map, Value};

use super::facet::Facet;
use super::pattern::Pattern;
use super::text::{text_of, value_text};
use crate::alert::Alert;
use crate::rules::Priority;

/// Leads the name of an output field that has no dot.
pub const FIELD: &str = "field.";

/// What a `key:value` term looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    Facet(Facet),
    Uuid,
    /// Any output field.
    Field(String),
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
    /// As the language writes it.
    pub const fn as_str(self) -> &'static str {
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

impl Test {
    /// True when the alert meets it.
    pub fn holds(&self, alert: &Alert) -> bool {
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
pub fn contains(pattern: &Pattern, texts: [&str; 3], tags: &[String], fields: &Map<String, Value>) -> bool {
    texts.iter().any(|text| pattern.is_in(text))
        || tags.iter().any(|tag| pattern.is_in(tag))
        || fields.values().filter_map(value_text).any(|text| pattern.is_in(&text))
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Facet(facet) => facet.word(),
            Self::Uuid => "uuid",
            Self::Field(name) if name.contains('.') && !name.starts_with(FIELD) => name,
            Self::Field(name) => return write!(f, "{FIELD}{name}"),
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

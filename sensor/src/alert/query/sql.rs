//! A query as an SQL condition over the tables of the alert log.
//!
//! Nothing of the query's text gets into the statement: values are bound, and column names come from the table
//! below. Comparing is done by the functions of [`register`], which call the same code as [`Query::matches`].

use std::sync::Arc;

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::Value;
use rusqlite::{Connection, Error};
use serde_json::Map;
use uuid::Uuid;

use super::term::{Key, Order, Term, Test, contains};
use super::text::text_of;
use super::{Facet, Pattern, Query};

/// A condition with its bound values, for tables `alert AS a` and, when `body` says so, `body AS b`.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    /// An SQL expression; `?` for each of `values`, in order.
    pub sql: String,
    pub values: Vec<Value>,
    /// True when the expression looks at `b`.
    pub body: bool,
}

/// What alerts are counted by: an expression, and what must be joined to `alert AS a` for it.
pub(crate) fn counted(by: Facet) -> (&'static str, &'static str) {
    let list = if by == Facet::Tag { ", json_each(a.tags) AS t" } else { "" };
    (by.counted(), list)
}

/// Translates `query`.
pub(crate) fn condition(query: &Query) -> Condition {
    let mut out = Condition::default();
    for term in query.terms() {
        if !out.sql.is_empty() {
            out.sql.push_str(" AND ");
        }
        out.term(term);
    }
    if out.sql.is_empty() {
        out.sql.push_str("TRUE");
    }
    out
}

impl Condition {
    fn term(&mut self, term: &Term) {
        // Each comparison gives true or false, never NULL, so NOT turns it round. Those of time and priority stand plain,
        // so that an index can serve them.
        self.sql.push_str(if term.negated { "NOT (" } else { "(" });
        match &term.test {
            Test::PriorityIs(any) => {
                self.sql.push_str("a.priority IN (");
                for (n, priority) in any.iter().enumerate() {
                    self.sql.push_str(if n > 0 { ",?" } else { "?" });
                    self.values.push(Value::Integer((*priority as u8).into()));
                }
                self.sql.push(')');
            }
            Test::Severity(order, than) => {
                // Severity runs against the number.
                self.compare("a.priority", order.reversed(), (*than as u8).into());
            }
            Test::Time { order, at, .. } => self.compare("a.time", *order, *at),
            Test::Is(key, patterns) => {
                for (n, pattern) in patterns.iter().enumerate() {
                    if n > 0 {
                        self.sql.push_str(" OR ");
                    }
                    self.is(key, pattern);
                }
            }
            Test::Text(pattern) => {
                self.body = true;
                self.sql.push_str("text_in(?,a.rule,a.hostname,b.output,a.tags,b.fields)");
                self.values.push(Value::Text(pattern.encoded()));
            }
        }
        self.sql.push(')');
    }

    fn compare(&mut self, column: &str, order: Order, value: i64) {
        self.sql.push_str(column);
        self.sql.push_str(order.as_str());
        self.sql.push('?');
        self.values.push(Value::Integer(value));
    }

    fn is(&mut self, key: &Key, pattern: &Pattern) {
        let columns = match key {
            Key::Facet(Facet::Tag) => return self.call("tag_fits(a.tags,?)", &[], pattern),
            Key::Facet(facet) => facet.columns(),
            Key::Uuid => return self.call("uuid_fits(a.uuid,?)", &[], pattern),
            Key::Field(name) => {
                self.body = true;
                return self.call("field_fits(b.fields,?,?)", &[name], pattern);
            }
        };
        if columns.is_empty() {
            self.sql.push_str("FALSE");
        }
        for (n, column) in columns.iter().enumerate() {
            if n > 0 {
                self.sql.push_str(" OR ");
            }
            // A column without a value is NULL, which fits nothing.
            self.sql.push_str("ifnull(fits(a.");
            self.sql.push_str(column.name);
            self.sql.push_str(",?),FALSE)");
            self.values.push(Value::Text(pattern.encoded()));
        }
    }

    fn call(&mut self, call: &str, before: &[&String], pattern: &Pattern) {
        self.sql.push_str(call);
        self.values.extend(before.iter().map(|text| Value::Text((*text).clone())));
        self.values.push(Value::Text(pattern.encoded()));
    }
}

impl Order {
    const fn reversed(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
}

/// Makes the functions that conditions call known to `connection`.
pub(crate) fn register(connection: &Connection) -> rusqlite::Result<()> {
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function(c"fits", 2, flags, |ctx| {
        let Some(text) = text(ctx, 0)? else { return Ok(None) };
        Ok(Some(pattern(ctx, 1)?.matches(text)))
    })?;
    connection.create_scalar_function(c"uuid_fits", 2, flags, |ctx| {
        let uuid = Uuid::from_slice(ctx.get_raw(0).as_blob().unwrap_or_default()).unwrap_or_default();
        Ok(pattern(ctx, 1)?.matches(&uuid.to_string()))
    })?;
    connection.create_scalar_function(c"tag_fits", 2, flags, |ctx| {
        let pattern = pattern(ctx, 1)?;
        let json = text(ctx, 0)?.unwrap_or_default();
        Ok(may_hold(&pattern, json) && decode::<Vec<String>>(json)?.iter().any(|tag| pattern.matches(tag)))
    })?;
    connection.create_scalar_function(c"field_fits", 3, flags, |ctx| {
        let pattern = pattern(ctx, 2)?;
        let name = text(ctx, 1)?.unwrap_or_default();
        let json = text(ctx, 0)?.unwrap_or_default();
        Ok(may_hold(&pattern, json)
            && text_of(&decode(json)?, name).is_some_and(|text| pattern.matches(&text)))
    })?;
    connection.create_scalar_function(c"text_in", 6, flags, |ctx| {
        let pattern = pattern(ctx, 0)?;
        let mut texts = [""; 3];
        for (n, slot) in texts.iter_mut().enumerate() {
            *slot = text(ctx, n + 1)?.unwrap_or_default();
        }
        if contains(&pattern, texts, &[], &Map::new()) {
            return Ok(true);
        }
        let [tags, fields] = [text(ctx, 4)?.unwrap_or_default(), text(ctx, 5)?.unwrap_or_default()];
        Ok(may_hold(&pattern, tags) && contains(&pattern, [""; 3], &decode::<Vec<_>>(tags)?, &Map::new())
            || may_hold(&pattern, fields) && contains(&pattern, [""; 3], &[], &decode(fields)?))
    })
}

/// False when no string or number in `json` can hold `pattern`. Most rows end here: decoding one costs ten times as much.
fn may_hold(pattern: &Pattern, json: &str) -> bool {
    let escaped = |c: char| c == '"' || c == '\\' || c.is_control();
    pattern.pieces().iter().any(|piece| piece.contains(escaped)) || pattern.is_in(json)
}

fn text<'a>(ctx: &'a Context<'_>, n: usize) -> rusqlite::Result<Option<&'a str>> {
    ctx.get_raw(n).as_str_or_null().map_err(|e| Error::UserFunctionError(Box::new(e)))
}

/// The bound pattern, decoded once per statement.
fn pattern(ctx: &Context<'_>, n: usize) -> rusqlite::Result<Arc<Pattern>> {
    let number = i32::try_from(n).unwrap_or_default();
    ctx.get_or_create_aux(number, |value| value.as_str().map(Pattern::decode))
}

fn decode<T: serde::de::DeserializeOwned>(json: &str) -> rusqlite::Result<T> {
    serde_json::from_str(json).map_err(|e| Error::UserFunctionError(Box::new(e)))
}

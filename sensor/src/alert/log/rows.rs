//! Alerts as rows of the database.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use rusqlite::{
    Connection, Error, OptionalExtension as _, Row, ToSql, params, params_from_iter, types::Type,
};
use serde_json::{Map, Value};

use super::entry::{Entry, Seq};
use crate::alert::Alert;
use crate::alert::query::{Column, Facet};
use crate::rules::Priority;

/// Columns that [`entry`] reads, from `alert AS a` and `body AS b`.
pub(super) const COLUMNS: &str = "a.seq,a.uuid,a.time,a.received,a.priority,a.rule,a.source,a.hostname,a.tags,\
    b.output,b.fields,b.context";

/// The same for lists: without the context's trace of the condition, the largest part of an alert, which only its detail
/// shows.
pub(super) const LISTED: &str = "a.seq,a.uuid,a.time,a.received,a.priority,a.rule,a.source,a.hostname,a.tags,\
    b.output,b.fields,json_remove(b.context,'$.condition')";

/// The columns of the facets; what they hold is said there.
fn columns() -> impl Iterator<Item = &'static Column> {
    Facet::ALL.iter().flat_map(|facet| facet.columns())
}

static INSERT: LazyLock<String> = LazyLock::new(|| {
    let mut names = String::from("uuid,time,received,priority,tags");
    let mut values = String::from("?,?,?,?,?");
    for column in columns() {
        names.push(',');
        names.push_str(column.name);
        values.push_str(",?");
    }
    format!("INSERT INTO alert ({names}) VALUES ({values})")
});

/// What became of an alert.
pub(super) enum Stored {
    New(Seq),
    /// Its uuid was there already.
    Duplicate(Seq),
}

/// Stores `alert` unless its uuid is stored.
pub(super) fn insert(connection: &Connection, alert: &Alert) -> rusqlite::Result<Stored> {
    // Looked for first: an insertion that only then turns out to be a duplicate would use up a position, and each output
    // would take the gap for alerts that it has lost.
    let stored = connection
        .prepare_cached("SELECT seq FROM alert WHERE uuid = ?")?
        .query_row([alert.uuid.as_bytes()], |row| row.get(0))
        .optional()?;
    if let Some(seq) = stored {
        return Ok(Stored::Duplicate(seq));
    }
    let tags = json(&alert.tags)?;
    let priority = alert.priority as u8;
    let uuid = alert.uuid.as_bytes();
    let texts: Vec<_> = columns().map(|column| (column.of)(alert)).collect();
    let own: [&dyn ToSql; 5] = [uuid, &alert.time, &alert.received, &priority, &tags];
    let values = own.into_iter().chain(texts.iter().map(|text| text as &dyn ToSql));
    connection.prepare_cached(&INSERT)?.execute(params_from_iter(values))?;
    let seq = connection.last_insert_rowid();
    let context = alert.context.as_ref().map(json).transpose()?;
    connection
        .prepare_cached("INSERT INTO body (seq,output,fields,context) VALUES (?,?,?,?)")?
        .execute(params![seq, alert.output, json(&alert.output_fields)?, context])?;
    Ok(Stored::New(seq))
}

/// Reads a row of [`COLUMNS`].
pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let priority: u8 = row.get(4)?;
    let priority =
        Priority::from_number(priority).ok_or_else(|| Error::IntegralValueOutOfRange(4, priority.into()))?;
    let uuid: [u8; 16] = row.get(1)?;
    let alert = Alert {
        uuid: uuid::Uuid::from_bytes(uuid),
        time: row.get(2)?,
        received: row.get(3)?,
        priority,
        rule: row.get(5)?,
        source: row.get(6)?,
        hostname: row.get(7)?,
        tags: parsed(row, 8)?,
        output: row.get(9)?,
        output_fields: parsed::<Map<String, Value>>(row, 10)?,
        context: match row.get_ref(11)?.as_str_or_null() {
            Ok(Some(_)) => Some(parsed(row, 11)?),
            _ => None,
        },
    };
    Ok(Entry { seq: row.get(0)?, alert: Arc::new(alert) })
}

/// Removes the alert at `seq` with all that hangs on it.
pub(super) fn remove(connection: &Connection, seq: Seq) -> rusqlite::Result<()> {
    for statement in [
        "DELETE FROM alert WHERE seq = ?",
        "DELETE FROM body WHERE seq = ?",
        "DELETE FROM delivery WHERE seq = ?",
        "DELETE FROM dead_letter WHERE seq = ?",
    ] {
        connection.prepare_cached(statement)?.execute([seq])?;
    }
    Ok(())
}

/// Newest position ever given.
pub(super) fn head(connection: &Connection) -> rusqlite::Result<Seq> {
    let seq = connection
        .prepare_cached("SELECT seq FROM sqlite_sequence WHERE name = 'alert'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(seq.unwrap_or(0))
}

fn json(value: &impl serde::Serialize) -> rusqlite::Result<Cow<'static, str>> {
    serde_json::to_string(value).map(Cow::Owned).map_err(|e| Error::ToSqlConversionFailure(Box::new(e)))
}

fn parsed<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text).map_err(|e| Error::FromSqlConversionFailure(column, Type::Text, Box::new(e)))
}

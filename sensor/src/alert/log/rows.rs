//! Alerts as rows of the database.

use std::borrow::Cow;
use std::sync::Arc;

use rusqlite::{Connection, Error, OptionalExtension as _, Row, params, types::Type};
use serde_json::{Map, Value};

use super::{Entry, Seq};
use crate::alert::{Alert, query};
use crate::rules::Priority;

/// Columns that [`entry`] reads, from `alert AS a` and `body AS b`.
pub(super) const COLUMNS: &str = "a.seq,a.uuid,a.time,a.received,a.priority,a.rule,a.source,a.hostname,a.tags,\
    b.output,b.fields,b.context";

/// What became of an alert.
pub(super) enum Stored {
    New(Seq),
    /// Its uuid was there already.
    Duplicate(Seq),
}

/// Stores `alert` unless its uuid is stored.
pub(super) fn insert(connection: &Connection, alert: &Alert) -> rusqlite::Result<Stored> {
    let fields = &alert.output_fields;
    let field = |name| query::text_of(fields, name);
    let tags = json(&alert.tags)?;
    let new = connection
        .prepare_cached(
            "INSERT INTO alert (uuid,time,received,priority,rule,source,hostname,container,container_name,image,\
             repository,namespace,pod,process,user,tags) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) \
             ON CONFLICT (uuid) DO NOTHING",
        )?
        .execute(params![
            alert.uuid.as_bytes(),
            alert.time,
            alert.received,
            alert.priority as u8,
            alert.rule,
            alert.source,
            alert.hostname,
            field("container.id"),
            field("container.name"),
            query::image(fields),
            field("container.image.repository"),
            field("k8s.ns.name"),
            field("k8s.pod.name"),
            field("proc.name"),
            field("user.name"),
            tags,
        ])?;
    if new == 0 {
        let seq = connection
            .prepare_cached("SELECT seq FROM alert WHERE uuid = ?")?
            .query_row([alert.uuid.as_bytes()], |row| row.get(0))?;
        return Ok(Stored::Duplicate(seq));
    }
    let seq = connection.last_insert_rowid();
    let context = alert.context.as_ref().map(json).transpose()?;
    connection
        .prepare_cached("INSERT INTO body (seq,output,fields,context) VALUES (?,?,?,?)")?
        .execute(params![seq, alert.output, json(fields)?, context])?;
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

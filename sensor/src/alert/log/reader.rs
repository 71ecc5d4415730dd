//! Reading: a few connections, lent to blocking tasks; what is written meanwhile does not disturb them (WAL).

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params, params_from_iter};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{Bucket, Entry, GroupBy, LogError, Seq, rows, schema};
use crate::alert::query::{Query, sql};

/// A search that takes longer is ended: it holds one of few connections.
const DEADLINE: Duration = Duration::from_secs(20);
/// A page of [`read`] ends here, whatever the limit says, so that its memory is bounded.
const PAGE_BYTES: usize = 16 << 20;

/// Connections for reading.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

impl Readers {
    pub fn new(path: PathBuf, connections: usize) -> Self {
        Self { path, idle: Mutex::new(Vec::new()), permits: Semaphore::new(connections) }
    }

    /// Runs `read` on a connection of its own, off the async threads.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LogError> {
        let _permit = self.permits.acquire().await.map_err(|_| LogError::Closed)?;
        let readers = Arc::clone(self);
        tokio::task::spawn_blocking(move || readers.with(read)).await.map_err(|_| LogError::Closed)?
    }

    fn with<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, LogError> {
        let failed = |e| LogError::from_sqlite(&self.path, e);
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => schema::reader(&self.path).map_err(failed)?,
        };
        let end = Instant::now() + DEADLINE;
        connection.progress_handler(10_000, Some(move || Instant::now() > end)).map_err(failed)?;
        let result = read(&connection).map_err(failed);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        result
    }

    /// No more reading; connections are closed.
    pub fn close(&self) {
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Entries after `after`, oldest first.
pub(super) fn read(connection: &Connection, after: Seq, limit: usize) -> rusqlite::Result<Vec<Entry>> {
    let columns = rows::COLUMNS;
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {columns} FROM alert AS a JOIN body AS b USING (seq) WHERE a.seq > ? ORDER BY a.seq LIMIT ?"
    ))?;
    let mut found = statement.query(params![after, super::limit(limit)])?;
    let mut entries = Vec::new();
    let mut bytes = 0;
    while bytes < PAGE_BYTES
        && let Some(row) = found.next()?
    {
        bytes += row.get_ref(9)?.as_bytes()?.len() + row.get_ref(10)?.as_bytes()?.len();
        entries.push(rows::entry(row)?);
    }
    Ok(entries)
}

pub(super) fn get(connection: &Connection, uuid: Uuid) -> rusqlite::Result<Option<Entry>> {
    let columns = rows::COLUMNS;
    connection
        .prepare_cached(&format!(
            "SELECT {columns} FROM alert AS a JOIN body AS b USING (seq) WHERE a.uuid = ?"
        ))?
        .query_row([uuid.as_bytes()], rows::entry)
        .optional()
}

/// Matches before `before`, newest first.
pub(super) fn search(
    connection: &Connection,
    query: &Query,
    before: Option<Seq>,
    limit: usize,
) -> rusqlite::Result<Vec<Entry>> {
    let condition = sql::condition(query);
    let columns = rows::COLUMNS;
    let mut values = condition.values;
    values.push(Value::Integer(before.unwrap_or(Seq::MAX)));
    values.push(Value::Integer(super::limit(limit)));
    connection
        .prepare_cached(&format!(
            "SELECT {columns} FROM alert AS a JOIN body AS b USING (seq) WHERE {} AND a.seq < ? \
             ORDER BY a.seq DESC LIMIT ?",
            condition.sql
        ))?
        .query_map(params_from_iter(values), rows::entry)?
        .collect()
}

/// Tables that a condition needs.
fn tables(condition: &sql::Condition) -> &'static str {
    if condition.body { "alert AS a JOIN body AS b USING (seq)" } else { "alert AS a" }
}

pub(super) fn count(connection: &Connection, query: &Query) -> rusqlite::Result<u64> {
    let condition = sql::condition(query);
    connection
        .prepare_cached(&format!("SELECT count(*) FROM {} WHERE {}", tables(&condition), condition.sql))?
        .query_row(params_from_iter(condition.values), |row| row.get::<_, i64>(0))
        .map(|n| u64::try_from(n).unwrap_or(0))
}

/// Most frequent values first.
pub(super) fn count_by(
    connection: &Connection,
    query: &Query,
    by: GroupBy,
    limit: usize,
) -> rusqlite::Result<Vec<(String, u64)>> {
    let condition = sql::condition(query);
    let from = tables(&condition);
    let (value, from) = match by {
        GroupBy::Tag => ("t.value", format!("{from}, json_each(a.tags) AS t")),
        by => (by.column(), from.to_owned()),
    };
    let mut values = condition.values;
    values.push(Value::Integer(super::limit(limit)));
    connection
        .prepare_cached(&format!(
            "SELECT {value} AS v, count(*) AS n FROM {from} WHERE {} AND v <> '' GROUP BY v ORDER BY n DESC, v LIMIT ?",
            condition.sql
        ))?
        .query_map(params_from_iter(values), |row| {
            let text = match by {
                GroupBy::Priority => crate::rules::Priority::from_number(row.get(0)?)
                    .map(|priority| priority.as_str().to_owned())
                    .unwrap_or_default(),
                _ => row.get(0)?,
            };
            Ok((text, u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0)))
        })?
        .collect()
}

/// Counts by time and priority, every bucket of the range present.
pub(super) fn timeline(
    connection: &Connection,
    query: &Query,
    (from, to, step): (i64, i64, i64),
) -> rusqlite::Result<Vec<Bucket>> {
    let condition = sql::condition(query);
    let mut buckets = Vec::new();
    let mut start = from;
    while start < to {
        buckets.push(Bucket { start, counts: [0; 8] });
        start = start.saturating_add(step);
    }
    let mut values = vec![Value::Integer(from), Value::Integer(step)];
    values.extend(condition.values.iter().cloned());
    values.extend([Value::Integer(from), Value::Integer(to)]);
    let mut statement = connection.prepare_cached(&format!(
        "SELECT (a.time - ?) / ? AS bucket, a.priority, count(*) FROM {} WHERE {} AND a.time >= ? AND a.time < ? \
         GROUP BY bucket, a.priority",
        tables(&condition),
        condition.sql
    ))?;
    let mut found = statement.query(params_from_iter(values))?;
    while let Some(row) = found.next()? {
        let number = |column| row.get::<_, i64>(column).map(|n| u64::try_from(n).unwrap_or(0));
        let slot = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        let bucket = buckets.get_mut(slot(number(0)?));
        if let Some(count) = bucket.and_then(|b| b.counts.get_mut(slot(number(1).ok()?))) {
            *count = number(2)?;
        }
    }
    Ok(buckets)
}

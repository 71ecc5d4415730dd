//! Reading: a few connections, lent to blocking tasks; what is written meanwhile does not disturb them (WAL).
//!
//! Memory is bounded by what is shown, not by what is read: entries are made one at a time and handed to the caller's
//! function, and a page ends early when its alerts are very large. A query is interrupted when nobody waits for it any
//! more, when it takes too long, and when the log is closed.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};
use uuid::Uuid;

use super::entry::{Bucket, Entry, Page, Seq, sql_limit};
use super::error::LogError;
use super::{rows, schema};
use crate::alert::query::{Facet, Query, sql};
use crate::blocking::{Abandoned, Workers};

/// A search that takes longer is ended: it holds one of few connections.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);
/// Steps of SQLite's machine between two looks at the clock: a millisecond or so.
const STEPS: std::ffi::c_int = 10_000;
/// A page ends here, whatever the limit says. Text; in memory it is several times as much.
const PAGE_BYTES: usize = 4 << 20;

/// Connections for reading.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    workers: Workers,
    deadline: Duration,
    closed: Arc<AtomicBool>,
}

impl Readers {
    pub fn new(path: PathBuf, connections: usize, deadline: Duration) -> Self {
        let workers = Workers::new(connections);
        Self { path, idle: Mutex::default(), workers, deadline, closed: Arc::default() }
    }

    /// Runs `read` on a connection of its own, off the async threads.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LogError> {
        let readers = Arc::clone(self);
        self.workers.run(move |abandoned| readers.with(abandoned, read)).await.ok_or(LogError::Closed)?
    }

    fn with<T>(
        &self,
        abandoned: &Abandoned,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, LogError> {
        let failed = |e| LogError::from_sqlite(&self.path, e);
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => schema::reader(&self.path).map_err(failed)?,
        };
        let end = Instant::now() + self.deadline;
        let (abandoned, closed) = (abandoned.clone(), Arc::clone(&self.closed));
        let over = move || abandoned.is_set() || closed.load(Ordering::Relaxed) || Instant::now() > end;
        connection.progress_handler(STEPS, Some(over)).map_err(failed)?;
        let result = read(&connection).map_err(failed);
        if self.closed.load(Ordering::Relaxed) {
            return result.map_err(|_| LogError::Closed);
        }
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        result
    }

    /// No more reading: what runs is interrupted, connections are closed.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.workers.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The first entries among `rows`, as `show` makes them. The statement selects one row more than `limit`, if there is one.
fn page<T>(
    mut rows: rusqlite::Rows<'_>,
    limit: usize,
    mut show: impl FnMut(Entry) -> Option<T>,
) -> rusqlite::Result<Page<T>> {
    let mut page = Page { shown: Vec::new(), last: None, more: false };
    let (mut read, mut bytes) = (0, 0);
    while let Some(row) = rows.next()? {
        if read >= limit || bytes >= PAGE_BYTES {
            page.more = true;
            break;
        }
        read += 1;
        bytes += bytes_of(row)?;
        let entry = rows::entry(row)?;
        page.last = Some(entry.seq);
        page.shown.extend(show(entry));
    }
    Ok(page)
}

/// Entries after `after`, oldest first.
pub(super) fn read<T>(
    connection: &Connection,
    after: Seq,
    limit: usize,
    columns: &str,
    show: impl FnMut(Entry) -> Option<T>,
) -> rusqlite::Result<Page<T>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {columns} FROM alert AS a JOIN body AS b USING (seq) WHERE a.seq > ? ORDER BY a.seq LIMIT ?"
    ))?;
    page(statement.query(params![after, sql_limit(limit.saturating_add(1))])?, limit, show)
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
pub(super) fn search<T>(
    connection: &Connection,
    query: &Query,
    before: Option<Seq>,
    limit: usize,
    show: impl FnMut(Entry) -> Option<T>,
) -> rusqlite::Result<Page<T>> {
    let condition = sql::condition(query);
    let columns = rows::LISTED;
    let mut values = condition.values;
    values.push(Value::Integer(before.unwrap_or(Seq::MAX)));
    values.push(Value::Integer(sql_limit(limit.saturating_add(1))));
    // In order of position, which ends as soon as the page is full: an index would have all matches sorted first, bodies
    // and all.
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {columns} FROM alert AS a NOT INDEXED JOIN body AS b USING (seq) WHERE {} AND a.seq < ? \
         ORDER BY a.seq DESC LIMIT ?",
        condition.sql
    ))?;
    page(statement.query(params_from_iter(values))?, limit, show)
}

/// About what an entry's text takes.
fn bytes_of(row: &Row<'_>) -> rusqlite::Result<usize> {
    let text = |column| row.get_ref(column)?.as_str_or_null().map_or(Ok(0), |t| Ok(t.map_or(0, str::len)));
    // Tags, output, fields, context.
    (8..12).map(text).sum()
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
    by: Facet,
    limit: usize,
) -> rusqlite::Result<Vec<(String, u64)>> {
    let condition = sql::condition(query);
    let from = tables(&condition);
    let (value, list) = sql::counted(by);
    let mut values = condition.values;
    values.push(Value::Integer(sql_limit(limit)));
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {value} AS v, count(*) AS n FROM {from}{list} WHERE {} AND v <> '' GROUP BY v ORDER BY n DESC, v LIMIT ?",
        condition.sql
    ))?;
    let mut rows = statement.query(params_from_iter(values))?;
    let (mut counts, mut bytes) = (Vec::new(), 0);
    while bytes < PAGE_BYTES
        && let Some(row) = rows.next()?
    {
        let text = match by {
            Facet::Priority => crate::rules::Priority::from_number(row.get(0)?)
                .map(|priority| priority.as_str().to_owned())
                .unwrap_or_default(),
            _ => row.get(0)?,
        };
        bytes += text.len();
        counts.push((text, u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0)));
    }
    Ok(counts)
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

//! Keeps the log within its age and size, in small steps between two commits; only the size limit itself is enforced at once.
//!
//! Order of removal is order of arrival. An alert that an output has not passed, or that is a dead letter, stays,
//! unless the database has reached `max_size`: then the oldest go whatever they are, and are counted as lost.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::entry::{Seq, sql_limit};
use super::outputs::{Cursors, MAX_DEAD};
use super::rows;
use super::stats::Counters;

/// Alerts removed in one step at most, beyond what just came in.
const STEP: usize = 512;
/// Unused pages that are left in the file for new alerts.
const SPARE_PAGES: i64 = 1024;
/// Steps between two looks at the number of dead letters.
const DEAD_EVERY: u32 = 64;

pub(super) struct Retention {
    pub max_size: u64,
    pub max_age: Duration,
    pub steps: u32,
}

impl Retention {
    /// Removes what has to go now, at most a step of each kind.
    pub fn step(
        &mut self,
        connection: &mut Connection,
        cursors: &Cursors,
        counters: &Counters,
        now: i64,
    ) -> rusqlite::Result<()> {
        let used = used(connection)?;
        let passed = cursors.floor(now).unwrap_or(Seq::MAX);
        if used > self.max_size {
            // The limit holds, however much came in with the last commit.
            while self::used(connection)? > self.max_size
                && self.remove(connection, counters, Seq::MAX, passed)? > 0
            {}
        } else if used > self.max_size / 10 * 9 {
            self.remove(connection, counters, passed, passed)?;
        }
        let before = now.saturating_sub(i64::try_from(self.max_age.as_nanos()).unwrap_or(i64::MAX));
        if !self.max_age.is_zero() && first(connection)?.is_some_and(|received| received < before) {
            let old = oldest(connection, passed, before)?;
            delete(connection, &old, counters)?;
            add(&counters.removed_by_age, old.len());
        }
        self.steps = self.steps.wrapping_add(1);
        if self.steps.is_multiple_of(DEAD_EVERY) {
            limit_dead_letters(connection, counters)?;
        }
        give_back(connection)?;
        counters.oldest.store(first(connection)?.unwrap_or(0), Ordering::Relaxed);
        counters.bytes.store(self::used(connection)?, Ordering::Relaxed);
        Ok(())
    }

    /// Removes the oldest alerts up to `last`, and tells how many; those beyond `passed` are losses.
    fn remove(
        &self,
        connection: &mut Connection,
        counters: &Counters,
        last: Seq,
        passed: Seq,
    ) -> rusqlite::Result<usize> {
        // Dead letters are kept while there is something else to remove.
        let mut found = oldest(connection, last, i64::MAX)?;
        if found.is_empty() && last == Seq::MAX {
            found = connection
                .prepare_cached("SELECT seq FROM alert ORDER BY seq LIMIT ?")?
                .query_map([sql_limit(STEP)], |row| row.get(0))?
                .collect::<rusqlite::Result<_>>()?;
        }
        let lost = found.iter().filter(|&&seq| seq > passed).count();
        delete(connection, &found, counters)?;
        add(&counters.removed_by_size, found.len() - lost);
        add(&counters.lost_by_size, lost);
        if lost > 0 {
            tracing::error!(
                lost,
                max_size = self.max_size,
                "alert log full: alerts removed before every output had them"
            );
        }
        Ok(found.len())
    }
}

/// Arrival of the oldest alert.
fn first(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT received FROM alert ORDER BY seq LIMIT 1")?
        .query_row([], |row| row.get(0))
        .optional()
}

/// The oldest alerts up to `last` that arrived before `before`, dead letters left out.
fn oldest(connection: &Connection, last: Seq, before: i64) -> rusqlite::Result<Vec<Seq>> {
    connection
        .prepare_cached(
            "SELECT seq FROM (SELECT seq, received FROM alert AS a WHERE seq <= ?1 \
             AND NOT EXISTS (SELECT 1 FROM dead_letter AS d WHERE d.seq = a.seq) ORDER BY seq LIMIT ?3) \
             WHERE received < ?2",
        )?
        .query_map(params![last, before, sql_limit(STEP)], |row| row.get(0))?
        .collect()
}

fn delete(connection: &mut Connection, seqs: &[Seq], counters: &Counters) -> rusqlite::Result<()> {
    if seqs.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for &seq in seqs {
        rows::remove(&transaction, seq)?;
    }
    transaction.commit()?;
    counters.entries.fetch_sub(u64::try_from(seqs.len()).unwrap_or(0), Ordering::Relaxed);
    Ok(())
}

fn limit_dead_letters(connection: &Connection, counters: &Counters) -> rusqlite::Result<()> {
    let dropped = connection.execute(
        "DELETE FROM dead_letter WHERE (seq, output) IN \
         (SELECT seq, output FROM dead_letter ORDER BY seq DESC LIMIT -1 OFFSET ?)",
        [sql_limit(MAX_DEAD)],
    )?;
    add(&counters.dead_dropped, dropped);
    Ok(())
}

/// Returns unused pages to the file system when there are many.
fn give_back(connection: &Connection) -> rusqlite::Result<()> {
    let free: i64 = connection.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    if free > SPARE_PAGES {
        let mut statement = connection.prepare_cached("PRAGMA incremental_vacuum(256)")?;
        let mut pages = statement.query([])?;
        while pages.next()?.is_some() {}
    }
    Ok(())
}

/// Bytes of the file that hold something.
pub(super) fn used(connection: &Connection) -> rusqlite::Result<u64> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let pages = number("page_count")? - number("freelist_count")?;
    Ok(u64::try_from(pages * number("page_size")?).unwrap_or(0))
}

fn add(counter: &AtomicU64, n: usize) {
    counter.fetch_add(u64::try_from(n).unwrap_or(0), Ordering::Relaxed);
}

//! What the log keeps for each output: how far it has come, what became of each alert, dead letters.

use std::collections::HashMap;

use rusqlite::{Connection, params};
use serde::Serialize;
use utoipa::ToSchema;

use super::entry::{Entry, Seq, sql_limit};
use super::rows;
use crate::alert::now;

/// A cursor that nobody asked for in so long belongs to an output that was removed; it holds nothing back.
const FORGOTTEN: i64 = 24 * 3600 * 1_000_000_000;
/// Most bytes of an error text that are kept.
const ERROR_LENGTH: usize = 500;
/// Most dead letters; beyond, the oldest go.
pub(super) const MAX_DEAD: usize = 10_000;

/// What became of an alert at an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum DeliveryState {
    Delivered = 0,
    /// The output does not want such alerts (priority, filter).
    Filtered = 1,
    /// Given up; a dead letter until it is replayed with success.
    Dead = 2,
}

/// The last word on an alert at an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// When, in ns since the epoch.
    pub at: i64,
    pub tries: u32,
    pub state: DeliveryState,
    /// Why it failed; cut to 500 bytes.
    pub error: Option<String>,
}

/// An alert that an output gave up.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    pub output: String,
    pub entry: Entry,
    pub at: i64,
    pub tries: u32,
    pub error: Option<String>,
    /// Asked to be sent again, see [`super::AlertLog::replay`].
    pub replay: bool,
}

/// A change for an output, made by the writer.
#[derive(Debug)]
pub(super) enum Change {
    /// Gives the stored position; a new output starts at the head.
    Cursor { output: String },
    /// Notes deliveries and moves the cursor, all or nothing.
    Settle { output: String, deliveries: Vec<(Seq, Delivery)>, to: Option<Seq> },
    /// Marks dead letters to be sent again; gives how many.
    Replay { output: String, seqs: Vec<Seq> },
    /// Drops the cursors and dead letters of all outputs but these; gives how many cursors.
    Keep { outputs: Vec<String> },
}

impl Change {
    /// True when outputs that wait for alerts have to look again.
    pub fn wakes(&self) -> bool {
        matches!(self, Self::Replay { .. })
    }
}

struct Cursor {
    position: Seq,
    /// When somebody asked for it last, ns.
    seen: i64,
    /// Asked for since the log was opened.
    active: bool,
}

/// All cursors, as stored.
#[derive(Default)]
pub(super) struct Cursors {
    cursors: HashMap<String, Cursor>,
}

impl Cursors {
    /// Reads the stored cursors; `before` tells which are in use.
    pub fn load(connection: &Connection, before: &Self) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare_cached("SELECT output, position, seen FROM cursor")?;
        let cursors = statement
            .query_map([], |row| {
                let output: String = row.get(0)?;
                let active = before.cursors.get(&output).is_some_and(|cursor| cursor.active);
                Ok((output, Cursor { position: row.get(1)?, seen: row.get(2)?, active }))
            })?
            .collect::<rusqlite::Result<_>>()?;
        Ok(Self { cursors })
    }

    /// The position that every output has passed; `None` without outputs.
    pub fn floor(&self, now: i64) -> Option<Seq> {
        self.cursors
            .values()
            .filter(|cursor| cursor.active || now.saturating_sub(cursor.seen) < FORGOTTEN)
            .map(|cursor| cursor.position)
            .min()
    }

    /// Applies `change` within the writer's transaction.
    pub fn apply(&mut self, connection: &Connection, change: &Change, head: Seq) -> rusqlite::Result<Seq> {
        match change {
            Change::Cursor { output } => {
                let position = self.cursors.get(output).map_or(head, |cursor| cursor.position);
                self.store(connection, output, position)?;
                Ok(position)
            }
            Change::Settle { output, deliveries, to } => {
                for (seq, delivery) in deliveries {
                    note(connection, output, *seq, delivery)?;
                }
                let position = self.cursors.get(output).map_or(head, |cursor| cursor.position);
                match to {
                    // Never back: what was passed may be gone.
                    Some(to) => {
                        let position = position.max((*to).min(head));
                        self.store(connection, output, position)?;
                        Ok(position)
                    }
                    None => Ok(position),
                }
            }
            Change::Replay { output, seqs } => {
                let mut marked = 0;
                for seq in seqs {
                    marked += connection
                        .prepare_cached("UPDATE dead_letter SET replay = 1 WHERE output = ? AND seq = ?")?
                        .execute(params![output, seq])?;
                }
                Ok(i64::try_from(marked).unwrap_or(i64::MAX))
            }
            Change::Keep { outputs } => {
                let gone: Vec<_> =
                    self.cursors.keys().filter(|name| !outputs.contains(name)).cloned().collect();
                for output in &gone {
                    connection.execute("DELETE FROM cursor WHERE output = ?", [output])?;
                    connection.execute("DELETE FROM dead_letter WHERE output = ?", [output])?;
                    self.cursors.remove(output);
                }
                Ok(i64::try_from(gone.len()).unwrap_or(i64::MAX))
            }
        }
    }

    fn store(&mut self, connection: &Connection, output: &str, position: Seq) -> rusqlite::Result<()> {
        let seen = now();
        connection
            .prepare_cached(
                "INSERT INTO cursor (output, position, seen) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (output) DO UPDATE SET position = ?2, seen = ?3",
            )?
            .execute(params![output, position, seen])?;
        self.cursors.insert(output.to_owned(), Cursor { position, seen, active: true });
        Ok(())
    }
}

fn note(connection: &Connection, output: &str, seq: Seq, delivery: &Delivery) -> rusqlite::Result<()> {
    let error = delivery.error.as_deref().map(|text| text.get(..text.floor_char_boundary(ERROR_LENGTH)));
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO delivery (seq, output, at, tries, state, error) \
             SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS (SELECT 1 FROM alert WHERE seq = ?1)",
        )?
        .execute(params![seq, output, delivery.at, delivery.tries, delivery.state as u8, error])?;
    if delivery.state == DeliveryState::Dead {
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO dead_letter (seq, output, at, tries, error) \
                 SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM alert WHERE seq = ?1)",
            )?
            .execute(params![seq, output, delivery.at, delivery.tries, error])?;
    } else {
        connection
            .prepare_cached("DELETE FROM dead_letter WHERE seq = ? AND output = ?")?
            .execute(params![seq, output])?;
    }
    Ok(())
}

/// What is known of the alert at `seq`, by output.
pub(super) fn deliveries(connection: &Connection, seq: Seq) -> rusqlite::Result<Vec<(String, Delivery)>> {
    connection
        .prepare_cached("SELECT output, at, tries, state, error FROM delivery WHERE seq = ? ORDER BY output")?
        .query_map([seq], |row| {
            let state = match row.get::<_, u8>(3)? {
                0 => DeliveryState::Delivered,
                1 => DeliveryState::Filtered,
                _ => DeliveryState::Dead,
            };
            Ok((row.get(0)?, Delivery { at: row.get(1)?, tries: row.get(2)?, state, error: row.get(4)? }))
        })?
        .collect()
}

/// Dead letters, newest first; of one output, or to be replayed only, as asked.
pub(super) fn dead_letters(
    connection: &Connection,
    output: Option<&str>,
    only_replay: bool,
    limit: usize,
) -> rusqlite::Result<Vec<DeadLetter>> {
    let columns = rows::COLUMNS;
    connection
        .prepare_cached(&format!(
            "SELECT {columns}, d.output, d.at, d.tries, d.error, d.replay FROM dead_letter AS d \
             JOIN alert AS a USING (seq) JOIN body AS b USING (seq) \
             WHERE (?1 IS NULL OR d.output = ?1) AND (NOT ?2 OR d.replay) ORDER BY d.seq DESC LIMIT ?3"
        ))?
        .query_map(params![output, only_replay, sql_limit(limit)], |row| {
            Ok(DeadLetter {
                entry: rows::entry(row)?,
                output: row.get(12)?,
                at: row.get(13)?,
                tries: row.get(14)?,
                error: row.get(15)?,
                replay: row.get(16)?,
            })
        })?
        .collect()
}

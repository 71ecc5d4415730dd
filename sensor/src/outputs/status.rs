//! What each output is doing, for the UI and the metrics.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// How an output fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The last try succeeded, or nothing has been sent yet.
    #[default]
    Healthy,
    /// The last tries failed; few enough to be a hiccup.
    Retrying,
    /// Many tries in a row failed.
    Failing,
    /// It sends nothing more until the next start.
    Stopped,
}

/// State and counters of one output since the process began. Times are nanoseconds since the Unix epoch.
#[derive(Debug, Clone, Default, Serialize)]
pub struct OutputStatus {
    pub name: String,
    pub state: State,
    /// When it became healthy, stopped, or began to fail.
    pub since: i64,
    /// Alerts taken by the destination.
    pub delivered: u64,
    /// Alerts below the output's minimum priority.
    pub filtered: u64,
    /// Alerts given up, now in the dead-letter list.
    pub dead: u64,
    /// Alerts the log removed by its size or age limit before this output could send them.
    pub lost: u64,
    /// Alerts in the log that this output has not dealt with.
    pub waiting: u64,
    /// When the oldest waiting alert was received.
    pub oldest_waiting: Option<i64>,
    /// Requests that failed, and were or will be tried again.
    pub failed_tries: u64,
    pub last_error: Option<String>,
    pub last_error_at: Option<i64>,
    pub last_delivery: Option<i64>,
}

/// The state of one output, shared between its task and its readers.
#[derive(Debug, Clone, Default)]
pub struct Cell(Arc<Mutex<OutputStatus>>);

impl Cell {
    pub fn new(name: &str) -> Self {
        let status = OutputStatus { name: name.to_owned(), since: now(), ..OutputStatus::default() };
        Self(Arc::new(Mutex::new(status)))
    }

    pub fn get(&self) -> OutputStatus {
        self.lock().clone()
    }

    pub fn update(&self, change: impl FnOnce(&mut OutputStatus)) {
        change(&mut self.lock());
    }

    /// Enters `state`; returns the one before if it was another.
    pub fn enter(&self, state: State) -> Option<State> {
        let mut status = self.lock();
        if status.state == state {
            return None;
        }
        let failing = |state| matches!(state, State::Retrying | State::Failing);
        if !(failing(status.state) && failing(state)) {
            status.since = now();
        }
        Some(std::mem::replace(&mut status.state, state))
    }

    fn lock(&self) -> MutexGuard<'_, OutputStatus> {
        // Every change leaves the counters usable, so a panic elsewhere does not spoil them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The states of all outputs.
#[derive(Debug, Clone, Default)]
pub struct Board(Vec<Cell>);

impl Board {
    pub(super) fn add(&mut self, name: &str) -> Cell {
        let cell = Cell::new(name);
        self.0.push(cell.clone());
        cell
    }

    pub fn status(&self) -> Vec<OutputStatus> {
        self.0.iter().map(Cell::get).collect()
    }
}

/// Nanoseconds since the Unix epoch.
pub(super) fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

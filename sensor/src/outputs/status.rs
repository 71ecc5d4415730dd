//! What each output is doing, for the UI and the metrics.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::alert::now;
pub use crate::telemetry::status::{OutputState as State, OutputStatus};

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

//! The rules that judge now, and how the last load went: told to the web app, the metrics end and the control socket.

use std::sync::{Arc, PoisonError, RwLock};

use crate::rules::RuleSet;

/// Shared by everybody who tells or changes it.
pub struct InUse(RwLock<Now>);

/// What holds now.
#[derive(Clone)]
pub struct Now {
    pub rules: Arc<RuleSet>,
    /// Where they come from, in words.
    pub origin: String,
    /// When they were loaded, ns since the epoch.
    pub loaded: i64,
    /// Loads since the start, the first included.
    pub loads: u64,
    /// Loads that failed.
    pub failures: u64,
    /// Why what is in the files now is not in use.
    pub failed: Option<Arc<Refused>>,
}

/// Rules that were not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// When that was, ns since the epoch.
    pub time: i64,
    /// In one line.
    pub reason: String,
    /// In full, with place and text, as `falconet rules check` prints it; `None` when the line is all.
    pub diagnostics: Option<String>,
}

impl InUse {
    pub fn new(rules: Arc<RuleSet>, origin: String) -> Self {
        Self(RwLock::new(Now { rules, origin, loaded: now(), loads: 1, failures: 0, failed: None }))
    }

    /// A look at it.
    pub fn now(&self) -> Now {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Other rules judge.
    pub fn exchanged(&self, rules: Arc<RuleSet>, origin: String) {
        self.change(|now_| {
            *now_ = Now {
                rules,
                origin,
                loaded: now(),
                loads: now_.loads + 1,
                failures: now_.failures,
                failed: None,
            };
        });
    }

    /// What is in the files is what is in use.
    pub fn settled(&self) {
        self.change(|now| now.failed = None);
    }

    /// What is in the files cannot be used.
    pub fn refused(&self, refused: Arc<Refused>) {
        self.change(|now| {
            now.failures += 1;
            now.failed = Some(refused);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Now)) {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Nanoseconds since the epoch.
pub fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or_default()
}

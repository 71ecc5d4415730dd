//! The rules that judge now, what they have counted, and how the last load went: told to the web app, the metrics end and the
//! control socket.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::alert::json::utc;
use crate::alert::now;
use crate::rules::registry::event_types;
use crate::rules::{Rule, RuleSet, SAMPLED};
use crate::telemetry::status::{FailedLoad, RuleDetail, RuleRow, RuleState, Rules};

/// Shared by everybody who tells or changes it.
pub struct InUse(RwLock<Now>);

/// What holds now.
#[derive(Clone)]
pub struct Now {
    pub rules: Arc<RuleSet>,
    /// Where they come from, in words.
    origin: String,
    /// When they were loaded, ns since the epoch.
    loaded: i64,
    /// Loads since the start, the first included.
    pub loads: u64,
    /// Loads that failed.
    pub failures: u64,
    /// Why what is in the files now is not in use.
    pub failed: Option<Arc<Refused>>,
    /// What rules of the same name counted before they were loaded again.
    before: Arc<HashMap<String, Counts>>,
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

/// What a rule has counted since the start, over reloads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub matched: u64,
    pub left_out: u64,
    pub evaluated: u64,
    pub sampled_ns: u64,
}

impl Counts {
    fn of(rule: &Rule) -> Self {
        let counters = rule.counters();
        Self {
            matched: counters.matched(),
            left_out: counters.left_out(),
            evaluated: counters.evaluated(),
            sampled_ns: counters.sampled_ns(),
        }
    }

    fn plus(self, more: Self) -> Self {
        Self {
            matched: self.matched + more.matched,
            left_out: self.left_out + more.left_out,
            evaluated: self.evaluated + more.evaluated,
            sampled_ns: self.sampled_ns + more.sampled_ns,
        }
    }

    /// Estimated time in all.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn seconds(self) -> f64 {
        self.sampled_ns as f64 * SAMPLED as f64 / 1e9
    }

    /// Estimated time for an event; `None` when there are too few samples to say.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub fn ns_per_event(self) -> Option<f64> {
        /// Events that make an estimate worth telling: some hundred samples.
        const ENOUGH: u64 = 100 * SAMPLED;
        (self.evaluated >= ENOUGH).then(|| self.sampled_ns as f64 * SAMPLED as f64 / self.evaluated as f64)
    }
}

impl InUse {
    pub fn new(rules: Arc<RuleSet>, origin: String) -> Self {
        let before = Arc::default();
        Self(RwLock::new(Now { rules, origin, loaded: now(), loads: 1, failures: 0, failed: None, before }))
    }

    /// A look at it.
    pub fn now(&self) -> Now {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Other rules judge; those that did so far do no longer.
    pub fn exchanged(&self, rules: Arc<RuleSet>, origin: String) {
        self.change(|old| {
            let counted = old.rules.rules().iter().map(|rule| (rule.name.clone(), old.counts(rule)));
            let mut before: HashMap<String, Counts> = counted.collect();
            // A rule that is gone is forgotten, or the names would only ever become more.
            let names: std::collections::HashSet<&str> =
                rules.rules().iter().map(|rule| rule.name.as_str()).collect();
            before.retain(|name, _| names.contains(name.as_str()));
            old.before = Arc::new(before);
            old.rules = rules;
            old.origin = origin;
            old.loaded = now();
            old.loads += 1;
            old.failed = None;
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

impl Now {
    /// What a rule of this set has counted since the start.
    pub fn counts(&self, rule: &Rule) -> Counts {
        self.before.get(&rule.name).copied().unwrap_or_default().plus(Counts::of(rule))
    }

    /// All of it, as the web app shows it.
    pub fn rules(&self) -> Rules {
        Rules {
            rules: self.rules.rules().iter().map(|rule| self.row(rule)).collect(),
            origin: self.origin.clone(),
            loaded: utc(self.loaded),
            loads: self.loads,
            failures: self.failures,
            failed: self.failed.as_ref().map(|failed| FailedLoad {
                time: utc(failed.time),
                reason: failed.reason.clone(),
                diagnostics: failed.diagnostics.clone(),
            }),
        }
    }

    /// The first rule of that name.
    pub fn rule(&self, name: &str) -> Option<RuleDetail> {
        let rule = self.rules.get(name)?;
        let filtered: Vec<&str> = self.rules.prefilter().events().map(|(name, _)| name).collect();
        let types: Vec<&str> =
            rule.event_types().into_iter().filter_map(event_types::info).map(|info| info.name).collect();
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect();
        Some(RuleDetail {
            row: self.row(rule),
            condition: rule.condition.clone(),
            effective: rule.compiled.clone(),
            place: self.rules.place(rule).map(|place| format!("{}:{}", place.file, place.line)),
            unfiltered: owned(types.iter().copied().filter(|name| !filtered.contains(name)).collect()),
            event_types: owned(types),
        })
    }

    fn row(&self, rule: &Rule) -> RuleRow {
        let (status, reason) = RuleState::of(&rule.status);
        let counts = self.counts(rule);
        RuleRow {
            name: rule.name.clone(),
            priority: rule.priority.into(),
            source: rule.source.clone(),
            tags: rule.tags.clone(),
            desc: rule.desc.clone(),
            status,
            reason: reason.map(str::to_owned),
            matched: counts.matched,
            left_out: counts.left_out,
            evaluated: counts.evaluated,
            ns_per_event: counts.ns_per_event(),
        }
    }
}

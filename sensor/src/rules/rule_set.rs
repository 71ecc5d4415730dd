//! The loaded rules: what they are, and how they judge an event.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};

use sensor_ebpf::events::Volume;

use crate::rules::language::ast::Expr;
use crate::rules::language::check::{Cond, Pred};
use crate::rules::language::output::{Extra, Template};
use crate::rules::program::compile::{self, Program};
use crate::rules::program::counters::{Counters, Judged};
use crate::rules::program::evaluate::Scratch;
use crate::rules::program::prefilter::Prefilter;
use crate::rules::program::reads::Reads;
use crate::rules::registry::event::{Event, EventType};
use crate::rules::registry::event_types;
use crate::rules::registry::field_set::FieldSet;
use crate::rules::registry::fields::Field;
use crate::rules::registry::names::{Held, Names};
use crate::rules::registry::priority::Priority;
use crate::rules::registry::readings::{Reading, Readings};
use crate::rules::report::source::{Origin, Place};
use crate::rules::report::suggest;
use crate::rules::source::definitions::Sources;
use crate::rules::source::options::Matching;
use crate::rules::source::requirements::Requirements;
use crate::rules::source::tree::{ExceptionName, Tree};
use crate::rules::status::{Reason, Status, Tally};

/// There is no such rule.
#[derive(Debug, thiserror::Error)]
pub enum UnknownRule {
    #[error("there is no rule {0:?}; see `falconet rules list`")]
    Unknown(String),
    #[error("there is no rule {name:?}; did you mean {near:?}?")]
    Near { name: String, near: String },
    #[error("there is no rule {name:?}; these have it in their name: {}", .all.join(", "))]
    Part { name: String, all: Vec<String> },
}

/// Rules that an unknown name may mean, at most.
const MEANT: usize = 5;

/// A loaded rule.
#[derive(Debug)]
pub struct Rule {
    pub name: String,
    pub desc: String,
    pub priority: Priority,
    pub source: String,
    /// Sorted.
    pub tags: Vec<String>,
    /// The condition as written, appended parts included, before lists and macros are put in.
    pub condition: String,
    /// The condition in canonical form with lists and macros put in.
    pub compiled: String,
    /// The output with everything that is appended to it.
    pub output: Template,
    /// What `extra_fields` adds to the JSON.
    pub extra: Vec<(String, Extra)>,
    pub status: Status,
    /// The condition for those who want to see it.
    pub(super) kept: Kept,
    pub(super) counters: Counters,
    /// Keeps the host names of the condition in use.
    pub(super) _hosts: Vec<Held>,
}

impl Rule {
    /// What the rule has cost and yielded since it was loaded.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl Rule {
    /// The event types on which the rule can fire, or could if it were active, and that are captured for it.
    pub fn event_types(&self) -> Vec<EventType> {
        compile::asked_types(&self.kept.cond)
    }
}

/// All rules, ready to judge events. Cheap to share, never changed; made anew on reload.
#[derive(Debug)]
pub struct RuleSet {
    pub(super) id: u64,
    pub(super) rules: Vec<Rule>,
    pub(super) program: Program,
    pub(super) prefilter: Prefilter,
    pub(super) reads: Reads,
    pub(super) matching: Matching,
    /// A call that a rule asks for means every call that does the same.
    pub(super) families: bool,
    pub(super) readings: Readings,
    /// Fields that had no value where it was loaded.
    pub(super) unfilled: FieldSet,
    pub(super) names: Arc<dyn Names>,
    pub(super) requirements: Requirements,
    pub(super) sources: Sources,
    pub(super) judged: Arc<Judged>,
}

impl RuleSet {
    /// Every rule in order of definition, also those that cannot fire.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule of a name.
    pub fn get(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.name == name)
    }

    /// The rule of a name, or what may have been meant.
    pub fn find(&self, name: &str) -> Result<&Rule, UnknownRule> {
        if let Some(rule) = self.get(name) {
            return Ok(rule);
        }
        let names = || self.rules().iter().map(|rule| rule.name.as_str());
        let lower = name.to_lowercase();
        if let Some(near) =
            names().find(|known| known.to_lowercase() == lower).or_else(|| suggest::nearest(name, names()))
        {
            return Err(UnknownRule::Near { name: name.to_owned(), near: near.to_owned() });
        }
        let part = names().filter(|known| !lower.is_empty() && known.to_lowercase().contains(&lower));
        let all: Vec<String> = part.take(MEANT).map(|known| format!("{known:?}")).collect();
        let name = name.to_owned();
        Err(if all.is_empty() { UnknownRule::Unknown(name) } else { UnknownRule::Part { name, all } })
    }

    /// The versions of engine and plugins that the files ask for.
    pub fn requirements(&self) -> &Requirements {
        &self.requirements
    }

    /// Names of the event types on which some rule can fire: what has to be captured.
    pub fn event_types(&self) -> BTreeSet<&'static str> {
        let fire = self.rules.iter().filter(|rule| rule.status.fires());
        let named = |event| fire.clone().any(|rule| rule.kept.cond.names(event));
        event_types::all()
            .filter(|(event, info)| self.can_fire(*event) && (info.volume == Volume::Normal || named(*event)))
            .map(|(_, info)| info.name)
            .collect()
    }

    /// How many rules may fire on one event.
    pub fn matching(&self) -> Matching {
        self.matching
    }

    /// Which names of an event count.
    pub fn readings(&self) -> Readings {
        self.readings
    }

    /// The kinds of names of which both count for events of the type, as some condition asks about them.
    pub fn turns(&self, event: EventType) -> Reading {
        self.reads.kinds(event).and(self.readings.both())
    }

    /// What names in the rules stand for.
    pub fn names(&self) -> &Arc<dyn Names> {
        &self.names
    }

    /// What an open must have for any rule to match it.
    pub fn prefilter(&self) -> &Prefilter {
        &self.prefilter
    }

    /// True when a rule that can fire on events of the type reads the field: in its condition or for its output.
    pub fn reads(&self, event: EventType, field: Field) -> bool {
        self.reads.has(event, field)
    }

    /// True when some rule can fire on events of the type.
    pub fn can_fire(&self, event: EventType) -> bool {
        !self.program.groups_of(event).is_empty()
    }

    /// Calls `on_match` for each rule that is true of the event, in order of definition; for the first only when the set
    /// was loaded with [`Matching::First`].
    pub fn evaluate<'s, E: Event>(
        &'s self,
        scratch: &mut Scratch,
        event: &E,
        mut on_match: impl FnMut(&'s Rule),
    ) {
        self.evaluate_readings(scratch, std::slice::from_ref(event), |rule, _| on_match(rule));
    }

    /// The same of an event with several names, given as one event for each way to read it: a rule that is true of one of them
    /// fires, once, and `on_match` gets the first of these.
    pub fn evaluate_readings<'s, 'e, E: Event>(
        &'s self,
        scratch: &mut Scratch,
        readings: &'e [E],
        mut on_match: impl FnMut(&'s Rule, &'e E),
    ) {
        let Some(first) = readings.first() else { return };
        self.judged.count(first.event_type());
        let sample = |rule: u32, ns: u64| {
            if let Some(rule) = self.rules.get(rule as usize) {
                rule.counters.sample(ns);
            }
        };
        self.program.evaluate(self.id, scratch, readings, sample, |rule, reading| {
            if let Some(rule) = self.rules.get(rule as usize) {
                rule.counters.fired();
                on_match(rule, reading);
            }
            self.matching == Matching::All
        });
    }

    /// The condition of a rule of this set, with names and places.
    pub fn tree<'r>(&self, rule: &'r Rule) -> &'r Tree {
        let kept = &rule.kept;
        kept.tree.get_or_init(|| self.sources.tree(&kept.written, &kept.cond, &kept.exceptions))
    }

    /// Where a rule is defined.
    pub fn place(&self, rule: &Rule) -> Option<Place> {
        self.sources.place(rule.kept.at)
    }

    /// How many of the rules can fire.
    pub fn tally(&self) -> Tally {
        Tally::of(self.rules.iter().map(|rule| &rule.status))
    }

    /// The rules that cannot fire, each with the reason, then those that fire in part only.
    pub fn hampered(&self) -> impl Iterator<Item = (&Rule, &Reason)> {
        let inactive = self.rules.iter().filter_map(|rule| match &rule.status {
            Status::Inactive(reason) => Some((rule, reason)),
            _ => None,
        });
        let limited = self.rules.iter().filter_map(|rule| match &rule.status {
            Status::Limited(reason) => Some((rule, reason)),
            _ => None,
        });
        inactive.chain(limited)
    }

    /// Words about them: one line each, and after `most` lines how many are left. Nothing when all can fire.
    pub fn notes(&self, most: usize) -> Vec<String> {
        let line = |(rule, reason): (&Rule, &Reason)| {
            let (word, _) = rule.status.told();
            format!("rule {:?} is {word}: {reason}", rule.name)
        };
        let mut lines: Vec<String> = self.hampered().take(most).map(line).collect();
        let left = self.hampered().count() - lines.len();
        if left > 0 {
            lines.push(format!("and {left} more: `falconet rules list` shows all"));
        }
        lines
    }
}

/// What a rule keeps of its condition beside the compiled program.
#[derive(Debug)]
pub struct Kept {
    /// Lists put in, macros as names, exceptions behind.
    pub written: Expr,
    pub cond: Cond,
    pub exceptions: Vec<ExceptionName>,
    /// Of the rule's first definition.
    pub at: Origin,
    pub enabled: bool,
    /// Whether a recording is asked for, and for how many milliseconds.
    pub capture: bool,
    pub capture_duration: u32,
    /// The output as written.
    pub output: String,
    /// The output with everything that is appended to it.
    pub format: String,
    /// Made when it is first asked for.
    pub tree: OnceLock<Tree>,
}

impl Kept {
    /// The rule's own condition, and those of its exceptions that have values.
    pub fn parts(&self) -> (&Expr, &[Expr]) {
        let exceptions = self.exceptions.iter().filter(|exception| exception.written).count();
        match &self.written {
            Expr::And(parts) if exceptions > 0 && parts.len() == exceptions + 1 => (&parts[0], &parts[1..]),
            all => (all, &[]),
        }
    }
}

/// Equal tests of all rules become one, so that keeping the conditions costs little.
#[derive(Default)]
pub struct Sharing(HashMap<String, Arc<Pred>>);

impl Sharing {
    pub fn share(&mut self, cond: &mut Cond) {
        match cond {
            Cond::And(items) | Cond::Or(items) => items.iter_mut().for_each(|item| self.share(item)),
            Cond::Not(inner) => self.share(inner),
            Cond::Test(pred) => match self.0.get(&pred.key) {
                Some(known) => *pred = Arc::clone(known),
                None => {
                    self.0.insert(pred.key.clone(), Arc::clone(pred));
                }
            },
            Cond::Const(_) | Cond::Types(_) | Cond::Unfilled(_) => {}
        }
    }
}

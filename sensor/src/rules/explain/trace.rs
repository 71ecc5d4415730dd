//! Why a rule fires or does not: its condition for one event, every part with its truth, every comparison with the
//! values that it saw.
//!
//! Unlike the engine, which stops at the first part that decides, a trace evaluates everything, and it allocates. It is made
//! when an alert is raised and when somebody asks, never to find out whether a rule fires. [`RuleSet::distance`] is the
//! exception: it runs for every event that `rules watch` looks at and allocates nothing.
//!
//! The environment of a process may hold secrets: of comparisons that look at all of it only the outcome is kept.

use bumpalo::Bump;
use serde::Serialize;
use serde_json::Value as Json;

use crate::rules::language::check::{Cond, Test, decided_by_type};
use crate::rules::language::compute::Computed;
use crate::rules::language::output;
use crate::rules::language::transform::Compute;
use crate::rules::registry::event::Event;
use crate::rules::registry::event_types;
use crate::rules::registry::fields::{Field, FieldArg, FieldRef};
use crate::rules::report::source::Place;
use crate::rules::rule_set::{Rule, RuleSet};
use crate::rules::source::tree::{Comparison, ListUse, Named, Node, Read, Tree, What};

/// The condition of a rule, evaluated for one event.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trace {
    pub rule: String,
    /// The condition is true of the event; whether the rule is enabled is another question.
    pub fires: bool,
    pub root: Part,
}

/// A part of a condition.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Part {
    And {
        holds: bool,
        /// Parts that [`Trace::bounded`] left out.
        #[serde(skip_serializing_if = "is_zero")]
        left_out: usize,
        /// The macros or the exception that this part is, outermost first.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        from: Vec<Named>,
        parts: Vec<Part>,
    },
    Or {
        holds: bool,
        /// Parts that [`Trace::bounded`] left out.
        #[serde(skip_serializing_if = "is_zero")]
        left_out: usize,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        from: Vec<Named>,
        parts: Vec<Part>,
    },
    Not {
        holds: bool,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        from: Vec<Named>,
        part: Box<Part>,
    },
    Leaf(Leaf),
}

/// A comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Leaf {
    /// In canonical form, with the names of lists in place of their items.
    pub text: String,
    pub truth: Truth,
    /// The event's type, or nothing, decides it: no other value of a field could turn it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fixed: bool,
    /// It names another call than the event's, which does the same (`event_families`).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub sibling: bool,
    pub actual: Vec<Actual>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lists: Vec<ListUse>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<Named>,
    pub place: Option<Place>,
}

/// What became of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Truth {
    True,
    False,
    /// False, for there is no value to compare.
    Missing,
    /// Counts as false, for the engine cannot extract the field.
    Unfilled,
}

impl Truth {
    /// Whether the comparison counts as true.
    pub const fn holds(self) -> bool {
        matches!(self, Self::True)
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::False => "false",
            Self::Missing => "missing",
            Self::Unfilled => "unfilled",
        }
    }
}

/// A value that a comparison saw.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Actual {
    /// The field or transformer as written.
    pub field: String,
    /// Null: there is none. An array for fields with many values.
    pub value: Json,
    /// There is a value, which is not told for it may hold secrets.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// The value is longer than what is shown here.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
const fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Bytes of a text, of a value, and of all texts and values of a bounded trace; values of a field with many, items of a
/// list.
const MAX_TEXT: usize = 256;
const MAX_ROOM: usize = 24 << 10;
const MAX_VALUES: usize = 16;

/// What it costs to turn a comparison that nothing can turn.
const NEVER: u32 = u32::MAX;

impl RuleSet {
    /// The condition of a rule of this set, active or not, for an event.
    pub fn trace<E: Event>(&self, rule: &Rule, event: &E) -> Trace {
        let root = part(self.tree(rule), event);
        Trace { rule: rule.name.clone(), fires: root.holds(), root }
    }

    /// How many comparisons would have to turn out differently for the rule to fire, at the least; 0 when it fires,
    /// `u32::MAX` when it cannot fire on events of this type. A comparison that stands in the condition twice counts
    /// twice.
    pub fn distance<E: Event>(&self, rule: &Rule, event: &E) -> u32 {
        cost(&rule.kept.cond, true, event)
    }

    /// The reading of an event for which a rule of this set fires, else the one that comes nearest, and its
    /// [distance](Self::distance). Of several the first; `None` without any.
    pub fn nearest<'e, E: Event>(&self, rule: &Rule, readings: &'e [E]) -> Option<(&'e E, u32)> {
        readings.iter().map(|event| (event, self.distance(rule, event))).min_by_key(|(_, distance)| *distance)
    }
}

impl Trace {
    /// The same in some 32 KiB at the most: long texts and values are cut, and when there are too many parts the last ones are
    /// left out, which each says of itself.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let mut room = MAX_ROOM;
        self.root.bound(&mut room);
        self
    }

    /// The one comparison that kept the rule from firing; `None` when it fired or several did. When one of several
    /// would do, the first of them.
    pub fn near_miss(&self) -> Option<&Leaf> {
        (self.root.cost(true) == 1).then(|| self.root.turning(true)).flatten()
    }
}

/// Whether a condition is true of an event, by its definition: no order, no memory, no short cuts.
fn holds<E: Event>(cond: &Cond, event: &E) -> bool {
    match cond {
        Cond::Const(value) => *value,
        Cond::Types(set) => set.contains(event.event_type()),
        Cond::Unfilled(_) => false,
        // Transformers alone need room.
        Cond::Test(pred) => pred.test.holds(event, &Bump::new()),
        Cond::And(items) => items.iter().all(|item| holds(item, event)),
        Cond::Or(items) => items.iter().any(|item| holds(item, event)),
        Cond::Not(inner) => !holds(inner, event),
    }
}

fn cost<E: Event>(cond: &Cond, wanted: bool, event: &E) -> u32 {
    match (cond, wanted) {
        (Cond::Not(inner), _) => cost(inner, !wanted, event),
        (Cond::And(items), true) | (Cond::Or(items), false) => {
            items.iter().fold(0u32, |sum, item| sum.saturating_add(cost(item, wanted, event)))
        }
        (Cond::And(items), false) | (Cond::Or(items), true) => {
            items.iter().map(|item| cost(item, wanted, event)).min().unwrap_or(NEVER)
        }
        (Cond::Test(_), _) => u32::from(holds(cond, event) != wanted),
        (Cond::Const(_) | Cond::Types(_) | Cond::Unfilled(_), _) => {
            if holds(cond, event) == wanted {
                0
            } else {
                NEVER
            }
        }
    }
}

impl Part {
    /// Whether the part is true.
    pub const fn holds(&self) -> bool {
        match self {
            Self::And { holds, .. } | Self::Or { holds, .. } | Self::Not { holds, .. } => *holds,
            Self::Leaf(leaf) => leaf.truth.holds(),
        }
    }

    /// The macros or the exception that this part is, outermost first.
    pub fn from(&self) -> &[Named] {
        match self {
            Self::And { from, .. } | Self::Or { from, .. } | Self::Not { from, .. } => from,
            Self::Leaf(leaf) => &leaf.from,
        }
    }

    fn bound(&mut self, room: &mut usize) {
        match self {
            Self::And { parts, left_out, .. } | Self::Or { parts, left_out, .. } => {
                let mut kept = 0;
                while let Some(part) = parts.get_mut(kept).filter(|_| *room > 0) {
                    part.bound(room);
                    kept += 1;
                }
                *left_out = parts.len() - kept;
                parts.truncate(kept);
            }
            Self::Not { part, .. } => part.bound(room),
            Self::Leaf(leaf) => leaf.bound(room),
        }
    }

    /// As [`cost`], read off the tree.
    fn cost(&self, wanted: bool) -> u32 {
        match (self, wanted) {
            (Self::Not { part, .. }, _) => part.cost(!wanted),
            (Self::And { parts, .. }, true) | (Self::Or { parts, .. }, false) => {
                parts.iter().fold(0u32, |sum, part| sum.saturating_add(part.cost(wanted)))
            }
            (Self::And { parts, .. }, false) | (Self::Or { parts, .. }, true) => {
                parts.iter().map(|part| part.cost(wanted)).min().unwrap_or(NEVER)
            }
            (Self::Leaf(leaf), _) => match (leaf.truth.holds() == wanted, leaf.fixed) {
                (true, _) => 0,
                (false, true) => NEVER,
                (false, false) => 1,
            },
        }
    }

    /// The first comparison whose turning turns a part that costs one.
    fn turning(&self, wanted: bool) -> Option<&Leaf> {
        match self {
            Self::Leaf(leaf) => Some(leaf),
            Self::Not { part, .. } => part.turning(!wanted),
            Self::And { parts, .. } | Self::Or { parts, .. } => {
                parts.iter().find(|part| part.cost(wanted) == 1)?.turning(wanted)
            }
        }
    }
}

impl Leaf {
    fn bound(&mut self, room: &mut usize) {
        cut(&mut self.text);
        // Names and places.
        let mut size = 64 + self.text.len();
        for actual in &mut self.actual {
            actual.cut |= cut_value(&mut actual.value);
            size += 16 + actual.field.len() + length(&actual.value);
        }
        for list in &mut self.lists {
            list.more += list.items.len().saturating_sub(MAX_VALUES);
            list.items.truncate(MAX_VALUES);
            for item in &mut list.items {
                cut(item);
                size += 4 + item.len();
            }
        }
        *room = room.saturating_sub(size);
    }
}

/// Cuts a text; true when it was too long.
fn cut(text: &mut String) -> bool {
    let long = text.len() > MAX_TEXT;
    if long {
        let end = (0..=MAX_TEXT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    long
}

fn cut_value(value: &mut Json) -> bool {
    match value {
        Json::String(text) => cut(text),
        Json::Array(items) => {
            let many = items.len() > MAX_VALUES;
            items.truncate(MAX_VALUES);
            items.iter_mut().fold(many, |long, item| cut_value(item) || long)
        }
        _ => false,
    }
}

fn length(value: &Json) -> usize {
    match value {
        Json::String(text) => text.len(),
        Json::Array(items) => items.iter().map(|item| 4 + length(item)).sum(),
        _ => 8,
    }
}

fn part<E: Event>(tree: &Tree, event: &E) -> Part {
    let from = tree.from.clone();
    let all = |items: &[Tree]| -> Vec<Part> { items.iter().map(|item| part(item, event)).collect() };
    match &tree.node {
        Node::And(items) => {
            let parts = all(items);
            Part::And { holds: parts.iter().all(Part::holds), left_out: 0, from, parts }
        }
        Node::Or(items) => {
            let parts = all(items);
            Part::Or { holds: parts.iter().any(Part::holds), left_out: 0, from, parts }
        }
        Node::Not(inner) => {
            let part = Box::new(part(inner, event));
            Part::Not { holds: !part.holds(), from, part }
        }
        Node::Leaf(comparison) => Part::Leaf(leaf(comparison, from, event)),
    }
}

fn leaf<E: Event>(comparison: &Comparison, from: Vec<Named>, event: &E) -> Leaf {
    let cond = &comparison.cond;
    let actual: Vec<Actual> = comparison.reads.iter().map(|read| actual(read, cond, event)).collect();
    // What decides is a field by itself or the result of a transformer, not what went into it.
    let decides = |read: &Read| !matches!(read.what, What::Inner(_));
    let missing = comparison
        .reads
        .iter()
        .zip(&actual)
        .any(|(read, actual)| decides(read) && actual.value.is_null() && !actual.hidden);
    let truth = match cond {
        Cond::Unfilled(_) => Truth::Unfilled,
        _ if holds(cond, event) => Truth::True,
        Cond::Test(_) | Cond::Types(_) if missing && !comparison.exists => Truth::Missing,
        _ => Truth::False,
    };
    Leaf {
        text: comparison.text.clone(),
        truth,
        fixed: matches!(cond, Cond::Const(_) | Cond::Types(_) | Cond::Unfilled(_)),
        sibling: matches!(cond, Cond::Types(set) if set.has_sibling(event.event_type())),
        actual,
        lists: comparison.lists.clone(),
        from,
        place: comparison.place.clone(),
    }
}

fn actual<E: Event>(read: &Read, cond: &Cond, event: &E) -> Actual {
    let bump = Bump::new();
    let value = match &read.what {
        What::Field(field) | What::Inner(field) => field_value(field, event),
        What::Left | What::Right => match sides(cond) {
            Some((left, right)) => {
                let side = if read.what == What::Left { Some(left) } else { right };
                side.and_then(|compute| compute.run(event, &bump))
                    .map_or(Json::Null, |value| computed(&value))
            }
            None => Json::Null,
        },
    };
    let secret = match &read.what {
        What::Field(field) | What::Inner(field) => holds_environment(field, event),
        What::Left | What::Right => reads_environment(cond, event),
    };
    if secret && !value.is_null() {
        return Actual { field: read.text.clone(), value: Json::Null, hidden: true, cut: false };
    }
    Actual { field: read.text.clone(), value, hidden: false, cut: false }
}

/// The transformers of a comparison.
fn sides(cond: &Cond) -> Option<(&Compute, Option<&Compute>)> {
    let Cond::Test(pred) = cond else { return None };
    match &pred.test {
        Test::ComputedExists(left) | Test::Computed(left, _) | Test::ComputedAll(left, _) => {
            Some((left, None))
        }
        Test::Pair(left, _, right) => Some((left, Some(right))),
        _ => None,
    }
}

fn computed(value: &Computed<'_>) -> Json {
    match value {
        Computed::List(items) => {
            items.iter().map(|item| output::value(crate::rules::registry::event::Value::Str(item))).collect()
        }
        Computed::One(value) => output::value(*value),
    }
}

fn field_value<E: Event>(field: &FieldRef, event: &E) -> Json {
    if field.is_any() || field.is_list() {
        let mut values = Vec::new();
        event.any(field, &mut |value| {
            values.push(output::value(value));
            false
        });
        return if values.is_empty() { Json::Null } else { Json::Array(values) };
    }
    // What the type says needs no event that can tell it.
    if let Some(info) = event_types::info(event.event_type()) {
        if let (Field::EvtTypeIs, FieldArg::Key(name)) = (field.field, &field.arg) {
            return u64::from(info.name.as_bytes() == &**name).into();
        }
        if let Some(value) = decided_by_type(field) {
            return value(info).map_or(Json::Null, output::value);
        }
    }
    event.get(field).map_or(Json::Null, output::value)
}

/// True for a field that shows the whole environment of a process.
fn holds_environment<E: Event>(field: &FieldRef, event: &E) -> bool {
    let params = event_types::info(event.event_type()).map_or(&[][..], |info| &info.params);
    match (field.field, &field.arg) {
        (Field::ProcEnv, FieldArg::None) | (Field::ProcAenv, FieldArg::None | FieldArg::Index(_)) => true,
        (Field::EvtArg | Field::EvtRawarg, FieldArg::Key(name)) => &**name == b"env",
        (Field::EvtArg | Field::EvtRawarg, FieldArg::Index(at)) => params.get(*at as usize) == Some(&"env"),
        (Field::EvtArgs | Field::EvtInfo, _) => params.contains(&"env"),
        _ => false,
    }
}

fn reads_environment<E: Event>(cond: &Cond, event: &E) -> bool {
    fn within<E: Event>(compute: &Compute, event: &E) -> bool {
        match compute {
            Compute::Field(field) => holds_environment(field, event),
            // A length gives nothing away.
            Compute::Text(_) | Compute::Len(_) => false,
            Compute::List(items) | Compute::Concat(items) => items.iter().any(|item| within(item, event)),
            Compute::Lower(inner)
            | Compute::Upper(inner)
            | Compute::Base64(inner)
            | Compute::Basename(inner) => within(inner, event),
            Compute::Join(a, b) | Compute::Getopt { list: a, options: b, .. } => {
                within(a, event) || within(b, event)
            }
        }
    }
    sides(cond)
        .is_some_and(|(left, right)| within(left, event) || right.is_some_and(|right| within(right, event)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::cases::{self, CaseFile};
    use crate::rules::load;
    use crate::rules::program::evaluate::Scratch;
    use crate::rules::report::source::Source;
    use crate::rules::source::options::Options;
    use crate::rules::source::stock::stock;
    use crate::rules::source::stock::stock_cases;
    use crate::rules::source::tree::NameKind;
    use crate::rules::upstream_tests::upstream;

    fn set(files: &[(&str, &str)]) -> RuleSet {
        let sources: Vec<Source> = files.iter().map(|(name, text)| Source::new(*name, *text)).collect();
        let loaded = load(&sources, &Options::default());
        loaded.rules.unwrap_or_else(|| panic!("{}", loaded.files.last().unwrap()))
    }

    fn one(condition: &str) -> RuleSet {
        set(&[(
            "r.yaml",
            &format!("- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: {condition}\n"),
        )])
    }

    fn events(lines: &[&str]) -> CaseFile {
        let mut text = String::from("cases:\n");
        for line in lines {
            text = format!("{text}- {{name: n, silent: [r], event: {{{line}}}}}\n");
        }
        cases::parse(&Source::new("c", text)).unwrap()
    }

    fn trace(set: &RuleSet, event: &str) -> Trace {
        let file = events(&[event]);
        let rule = &set.rules()[0];
        let trace = set.trace(rule, &file.cases[0].event);
        assert_eq!(trace.root.cost(true), set.distance(rule, &file.cases[0].event), "{event}");
        trace
    }

    fn leaves<'p>(part: &'p Part, into: &mut Vec<&'p Leaf>) {
        match part {
            Part::Leaf(leaf) => into.push(leaf),
            Part::Not { part, .. } => leaves(part, into),
            Part::And { parts, .. } | Part::Or { parts, .. } => {
                for part in parts {
                    leaves(part, into);
                }
            }
        }
    }

    /// `text: truth field=value …` of every leaf.
    fn shown(trace: &Trace) -> Vec<String> {
        let mut all = Vec::new();
        leaves(&trace.root, &mut all);
        let show = |leaf: &&Leaf| {
            let value = |actual: &Actual| {
                let value = if actual.hidden { "hidden".to_owned() } else { actual.value.to_string() };
                format!(" {}={value}", actual.field)
            };
            let values: String = leaf.actual.iter().map(value).collect();
            format!("{}: {}{values}", leaf.text, leaf.truth.as_str())
        };
        all.iter().map(show).collect()
    }

    fn stock_rules() -> RuleSet {
        load(&stock(), &Options::default()).rules.unwrap()
    }

    fn upstream_rules() -> RuleSet {
        load(&upstream(), &Options::default()).rules.unwrap()
    }

    /// A trace fires exactly when the engine does.
    fn agrees_with_the_engine(set: &RuleSet) {
        let (mut scratch, mut fired) = (Scratch::default(), 0);
        for source in stock_cases() {
            for case in &cases::parse(&source).unwrap().cases {
                let mut names = Vec::new();
                set.evaluate(&mut scratch, &case.event, |rule| names.push(rule.name.as_str()));
                fired += names.len();
                for rule in set.rules().iter().filter(|rule| rule.status.fires()) {
                    let trace = set.trace(rule, &case.event);
                    let place = format!("{}, line {}: {}", source.name, case.line, rule.name);
                    assert_eq!(trace.fires, names.contains(&rule.name.as_str()), "{place}");
                    let distance = set.distance(rule, &case.event);
                    assert_eq!(distance == 0, trace.fires, "{place}");
                    assert_eq!(trace.root.cost(true), distance, "{place}");
                    assert_eq!(trace.near_miss().is_some(), distance == 1, "{place}");
                }
            }
        }
        assert!(fired > 10, "only {fired} fired");
    }

    #[test]
    fn a_trace_of_the_stock_rules_fires_exactly_when_the_engine_does() {
        agrees_with_the_engine(&stock_rules());
    }

    #[test]
    #[cfg_attr(not(has_shared), ignore = "needs ../shared")]
    fn a_trace_of_the_upstream_rules_fires_exactly_when_the_engine_does() {
        agrees_with_the_engine(&upstream_rules());
    }

    /// Every comparison has its place and what it reads.
    fn leaves_are_complete(set: &RuleSet) {
        let file = events(&["evt.type: open"]);
        for rule in set.rules() {
            let trace = set.trace(rule, &file.cases[0].event);
            let mut all = Vec::new();
            leaves(&trace.root, &mut all);
            for leaf in all {
                assert!(leaf.place.is_some() && !leaf.actual.is_empty(), "{}: {}", rule.name, leaf.text);
            }
        }
    }

    #[test]
    fn every_comparison_of_the_stock_rules_has_its_place_and_what_it_reads() {
        leaves_are_complete(&stock_rules());
    }

    #[test]
    #[cfg_attr(not(has_shared), ignore = "needs ../shared")]
    fn every_comparison_of_the_upstream_rules_has_its_place_and_what_it_reads() {
        leaves_are_complete(&upstream_rules());
    }

    #[test]
    fn leaves_tell_their_values() {
        for (condition, event, expected) in [
            ("evt.type = open", "evt.type: openat", &["evt.type = open: false evt.type=\"openat\""][..]),
            (
                "evt.type = open and proc.name != x and fd.num >= 0 and not proc.tty exists",
                "evt.type: open, fd.num: -1",
                &[
                    "evt.type = open: true evt.type=\"open\"",
                    "proc.name != x: missing proc.name=null",
                    "fd.num >= 0: false fd.num=-1",
                    "proc.tty exists: false proc.tty=null",
                ],
            ),
            (
                "evt.type = open and proc.aname in (sshd, login)",
                "evt.type: open, proc.aname: [bash, sshd]",
                &[
                    "evt.type = open: true evt.type=\"open\"",
                    "proc.aname in (sshd, login): true proc.aname=[\"bash\",\"sshd\"]",
                ],
            ),
            (
                "evt.type = open and tolower(proc.name) = bash and len(proc.exe) > 3",
                "evt.type: open, proc.name: BASH",
                &[
                    "evt.type = open: true evt.type=\"open\"",
                    "tolower(proc.name) = bash: true proc.name=\"BASH\" tolower(proc.name)=\"bash\"",
                    "len(proc.exe) > 3: missing proc.exe=null len(proc.exe)=null",
                ],
            ),
            (
                "evt.type = open and proc.name = tolower(proc.pname)",
                "evt.type: open, proc.name: a, proc.pname: B",
                &[
                    "evt.type = open: true evt.type=\"open\"",
                    "proc.name = tolower(proc.pname): false proc.name=\"a\" proc.pname=\"B\" tolower(proc.pname)=\"b\"",
                ],
            ),
        ] {
            assert_eq!(shown(&trace(&one(condition), event)), expected, "{condition}");
        }
    }

    #[test]
    fn an_environment_is_not_told() {
        let condition = "evt.type = execve and proc.env contains PASS and tolower(proc.env) contains pass and \
                         proc.env[HOME] = /root and evt.arg.env contains PASS";
        let event =
            "evt.type: execve, proc.env: PASS=secret, 'proc.env[HOME]': /root, evt.arg: {env: PASS=secret}";
        let trace = trace(&one(condition), event);
        assert!(trace.fires);
        assert!(!serde_json::to_string(&trace).unwrap().contains("secret"));
        assert_eq!(
            shown(&trace)[1..],
            [
                "proc.env contains PASS: true proc.env=hidden",
                "tolower(proc.env) contains pass: true proc.env=hidden tolower(proc.env)=hidden",
                "proc.env[HOME] = /root: true proc.env[HOME]=\"/root\"",
                "evt.arg.env contains PASS: true evt.arg.env=hidden",
            ]
        );
    }

    #[test]
    fn names_and_places_lead_back_to_the_files() {
        let names = "- list: inner\n  items: [ash, dash]\n- list: shells\n  items: [bash, inner]\n\
                     - macro: opened\n  condition: evt.type = open and fd.num >= 0\n\
                     - macro: by_shell\n  condition: (proc.name in (shells, zsh))\n";
        let rules = "- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: >\n    opened\n    and by_shell\n  \
                     exceptions:\n    - name: known\n      fields: [proc.pname, fd.name]\n      \
                     values:\n        - [cron, /tmp/x]\n        - [at, /tmp/y]\n";
        let set = set(&[("names.yaml", names), ("rules.yaml", rules)]);
        let trace =
            trace(&set, "evt.type: open, fd.num: 3, proc.name: dash, proc.pname: at, fd.name: /tmp/z");
        assert!(trace.fires);
        let json = serde_json::to_value(&trace.root).unwrap();
        let place = |at: &str, file, line, column| {
            let place: Json = format!("{file}:{line}:{column}").into();
            assert_eq!(json.pointer(at), Some(&place), "{at} in {json:#}");
        };
        // The rule's own condition is one part, each exception another.
        let Part::And { parts, .. } = &trace.root else { panic!("{json:#}") };
        let [Part::And { parts: own, .. }, exception] = parts.as_slice() else { panic!("{json:#}") };
        let name = |part: &Part| part.from().iter().map(|n| (n.kind, n.name.clone())).collect::<Vec<_>>();
        assert_eq!(name(&own[0]), [(NameKind::Macro, "opened".to_owned())]);
        assert_eq!(name(&own[1]), [(NameKind::Macro, "by_shell".to_owned())]);
        assert_eq!(name(exception), [(NameKind::Exception, "known".to_owned())]);
        let Part::Leaf(leaf) = &own[1] else { panic!("{json:#}") };
        assert_eq!(leaf.text, "proc.name in (shells, zsh)");
        assert_eq!(leaf.lists[0].items, ["bash", "ash", "dash"]);
        place("/parts/0/parts/0/from/0/place", "names.yaml", 5, 3);
        place("/parts/0/parts/0/parts/1/place", "names.yaml", 6, 34);
        place("/parts/0/parts/1/place", "names.yaml", 8, 15);
        place("/parts/0/parts/1/lists/0/place", "names.yaml", 3, 3);
        place("/parts/1/from/0/place", "rules.yaml", 9, 7);
        let at = json.pointer("/parts/1/part/parts/1/parts/1/place").unwrap().to_string();
        assert!(at.starts_with("\"rules.yaml:1"), "{at} is not in the exception");
    }

    #[test]
    fn a_bounded_trace_is_small_and_says_what_it_leaves_out() {
        let names: Vec<String> = (0..2000).map(|n| format!("name{n}")).collect();
        let rules = format!(
            "- list: l\n  items: [{}]\n- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: >\n    evt.type = open and \
             proc.name in (l) and ({})\n",
            names.join(", "),
            names.iter().map(|n| format!("proc.cmdline contains {n}")).collect::<Vec<_>>().join(" or "),
        );
        let event = format!("evt.type: open, proc.name: name7, proc.cmdline: {}", "ä".repeat(3000));
        let whole = trace(&set(&[("r", &rules)]), &event);
        let bounded = whole.clone().bounded();
        let size = |trace: &Trace| serde_json::to_string(trace).unwrap().len();
        assert!(size(&whole) > 2_000_000 && size(&bounded) < 40_000, "{} {}", size(&whole), size(&bounded));
        let Part::And { parts, left_out: 0, .. } = &bounded.root else { panic!("{:?}", bounded.root) };
        let Part::Leaf(leaf) = &parts[1] else { panic!("{:?}", parts[1]) };
        assert_eq!((leaf.lists[0].items.len(), leaf.lists[0].more), (MAX_VALUES, 2000 - MAX_VALUES));
        let Part::Or { parts, left_out, .. } = &parts[2] else { panic!("{:?}", parts[2]) };
        assert_eq!(parts.len() + left_out, 2000);
        let Part::Leaf(leaf) = &parts[0] else { panic!("{:?}", parts[0]) };
        assert!(leaf.actual[0].cut && leaf.actual[0].value.as_str().unwrap().ends_with("ä…"));
        // A small one is left as it is.
        let small = trace(&one("evt.type = open and proc.name = x"), "evt.type: open, proc.name: x");
        assert_eq!(small.clone().bounded(), small);
    }

    #[test]
    fn however_deep_a_condition_is_its_trace_can_be_read() {
        let deep = (0..400).fold("fd.num = 1".to_owned(), |inner, n| {
            if n % 2 == 0 { format!("(fd.num = 2 or {inner})") } else { format!("(fd.num = 1 and {inner})") }
        });
        let set = one(&format!("evt.type = open and {deep}"));
        for (number, fires) in [(1, true), (2, false)] {
            let file = events(&[&format!("evt.type: open, fd.num: {number}")]);
            let trace = set.trace(&set.rules()[0], &file.cases[0].event);
            assert_eq!(trace.fires, fires);
            let json = serde_json::json!({"context": {"condition": trace.bounded().root}}).to_string();
            assert!(serde_json::from_str::<Json>(&json).is_ok(), "{json}");
        }
    }

    #[test]
    fn distance_counts_what_would_have_to_turn() {
        let condition = "evt.type = open and proc.name = a and (fd.num = 1 or fd.name = /x and proc.pname = b) \
                         and not (proc.tty = 1 or proc.exe = e)";
        let set = one(condition);
        for (event, distance, missed) in [
            ("evt.type: open, proc.name: a, fd.num: 1", 0, None),
            ("evt.type: open, proc.name: b, fd.num: 1", 1, Some("proc.name = a")),
            ("evt.type: open, proc.name: a, fd.num: 2", 1, Some("fd.num = 1")),
            ("evt.type: open, proc.name: a, fd.num: 2, fd.name: /x", 1, Some("fd.num = 1")),
            ("evt.type: open, proc.name: a, fd.num: 1, proc.exe: e", 1, Some("proc.exe = e")),
            ("evt.type: open, proc.name: a, fd.num: 1, proc.exe: e, proc.tty: 1", 2, None),
            ("evt.type: open", 2, None),
            ("evt.type: openat, proc.name: a, fd.num: 1", NEVER, None),
        ] {
            let trace = trace(&set, event);
            assert_eq!(trace.root.cost(true), distance, "{event}");
            assert_eq!(trace.near_miss().map(|leaf| leaf.text.as_str()), missed, "{event}");
        }
    }
}

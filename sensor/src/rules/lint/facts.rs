//! What is known when some parts of a condition hold and others do not; and whether that can be at all.
//!
//! Only sound steps are made: a contradiction that is found is one. Many are not found, which costs a lint, never a false
//! alarm. A comparison counts as false when its field is missing, so `not f = x` says less than `f != x`.
//!
//! One [`Facts`] serves a whole condition: [`Facts::mark`] and [`Facts::rollback`] take back what was added for one question,
//! and nothing is copied.

use std::collections::HashMap;
use std::fmt;

use super::formula::{Leaf, Literal, Node, Part, Types};
use super::values;
use crate::rules::language::ast::{Modifier, Op};
use crate::rules::language::matcher;
use crate::rules::registry::event::Value;
use crate::rules::registry::fields::FieldRef;
use crate::rules::registry::types::FieldType;

/// Comparisons of one field that are held against each other, at most; more come from generated rules.
const MOST: usize = 128;

/// How often open alternatives are looked through again after one was settled.
const ROUNDS: usize = 16;
/// Alternatives that are looked at in one question; beyond it nothing is claimed.
const BUDGET: usize = 20_000;

/// A comparison, and whether it holds.
#[derive(Clone, Copy)]
pub struct Side<'p> {
    leaf: &'p Leaf,
    holds: bool,
}

impl fmt::Display for Side<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = if self.holds { "" } else { "not " };
        write!(f, "{not}{}", self.leaf.key)
    }
}

/// Why something cannot be.
#[derive(Clone)]
pub enum Conflict<'p> {
    /// Two comparisons exclude each other.
    Pair(Side<'p>, Side<'p>),
    /// No value passes all comparisons of the field.
    Field(Vec<Side<'p>>),
    /// The field never has such a value; the field's comparison, and why.
    Impossible(Side<'p>, String),
    /// No event type is left: the comparison that took the last, and what was left before.
    Types(Side<'p>, Types),
    /// The comparison needs a parameter that the events of the other do not have.
    Without(Side<'p>, Side<'p>),
    /// None of the event types has the parameter.
    Parameter,
    /// The comparison is false by its form: `in ()`.
    Empty,
    /// Each alternative is excluded.
    Alternatives,
}

impl Conflict<'_> {
    /// The comparisons that exclude each other, where two do.
    pub fn pair(&self) -> Option<[&Leaf; 2]> {
        match self {
            Self::Pair(a, b) | Self::Without(a, b) => Some([a.leaf, b.leaf]),
            _ => None,
        }
    }

    /// The number of the comparison to point at: of two that exclude each other, the second.
    pub fn culprit(&self) -> Option<u32> {
        let side = match self {
            Self::Pair(_, side)
            | Self::Types(side, _)
            | Self::Without(side, _)
            | Self::Impossible(side, _) => side,
            Self::Field(sides) => sides.last()?,
            Self::Parameter | Self::Empty | Self::Alternatives => return None,
        };
        Some(side.leaf.number)
    }
}

/// What holds and what does not.
pub struct Facts<'p> {
    /// Event types that are still possible.
    pub types: Types,
    /// The types before each narrowing, to be taken back.
    before: Vec<Types>,
    /// By number of the comparison.
    known: HashMap<u32, bool, foldhash::fast::RandomState>,
    /// The comparisons of `known`, in order.
    order: Vec<u32>,
    /// What took event types away.
    narrowed: Vec<Side<'p>>,
    /// Comparisons of fields.
    compared: Vec<Side<'p>>,
    /// Alternatives: a disjunction that holds, or a conjunction that does not.
    open: Vec<(&'p Part, bool)>,
    conflict: Option<Conflict<'p>>,
    /// Whether the idioms `evt.num=0` and `evt.num>=0` count as what they are. They are written on purpose.
    idioms: bool,
}

/// A state of [`Facts`] to go back to.
pub struct Mark {
    before: usize,
    order: usize,
    narrowed: usize,
    compared: usize,
    open: usize,
    conflict: bool,
}

impl<'p> Facts<'p> {
    pub fn new(idioms: bool) -> Self {
        Self {
            types: Types::all(),
            before: Vec::new(),
            known: HashMap::default(),
            order: Vec::new(),
            narrowed: Vec::new(),
            compared: Vec::new(),
            open: Vec::new(),
            conflict: None,
            idioms,
        }
    }

    pub fn mark(&self) -> Mark {
        Mark {
            before: self.before.len(),
            order: self.order.len(),
            narrowed: self.narrowed.len(),
            compared: self.compared.len(),
            open: self.open.len(),
            conflict: self.conflict.is_some(),
        }
    }

    /// Takes back all that was added since.
    pub fn rollback(&mut self, mark: &Mark) {
        if let Some(types) = self.before.drain(mark.before..).next() {
            self.types = types;
        }
        for leaf in self.order.drain(mark.order..) {
            self.known.remove(&leaf);
        }
        self.narrowed.truncate(mark.narrowed);
        self.compared.truncate(mark.compared);
        self.open.truncate(mark.open);
        if !mark.conflict {
            self.conflict = None;
        }
    }

    pub fn add(&mut self, part: &'p Part, holds: bool) {
        if self.conflict.is_some() {
            return;
        }
        match (&part.node, holds) {
            (Node::And(items), true) | (Node::Or(items), false) => {
                for item in items {
                    self.add(item, holds);
                }
            }
            (Node::Not(inner), holds) => self.add(inner, !holds),
            (Node::Leaf(leaf), holds) => self.leaf(Side { leaf, holds }),
            (Node::Or(items) | Node::And(items), _) => match items.as_slice() {
                [] => self.conflict = Some(Conflict::Alternatives),
                [only] => self.add(only, holds),
                _ => self.open.push((part, holds)),
            },
        }
    }

    /// Why these facts cannot be; `None` when they can, or when that was not found.
    pub fn conflict(&mut self) -> Option<Conflict<'p>> {
        if self.conflict.is_some() {
            return self.conflict.clone();
        }
        let mark = self.mark();
        let open = self.open.clone();
        let found = self.search();
        self.open = open;
        self.rollback(&mark);
        found
    }

    /// Why these facts cannot be together with `part`, or with its contrary.
    pub fn conflict_with(&mut self, part: &'p Part, holds: bool) -> Option<Conflict<'p>> {
        let mark = self.mark();
        self.add(part, holds);
        let found = self.conflict();
        self.rollback(&mark);
        found
    }

    fn search(&mut self) -> Option<Conflict<'p>> {
        let mut budget = BUDGET;
        for _ in 0..ROUNDS {
            if self.conflict.is_some() {
                return self.conflict.take();
            }
            let open = std::mem::take(&mut self.open);
            let mut settled = false;
            for (part, holds) in open {
                let (Node::Or(items) | Node::And(items)) = &part.node else { continue };
                let mut alive = items.iter().filter(|item| {
                    budget = budget.saturating_sub(1);
                    budget == 0 || !self.excludes(item, holds, 2)
                });
                match (alive.next(), alive.next()) {
                    (None, _) => return Some(Conflict::Alternatives),
                    (Some(only), None) => {
                        self.add(only, holds);
                        settled = true;
                    }
                    _ => self.open.push((part, holds)),
                }
                if self.conflict.is_some() {
                    return self.conflict.take();
                }
            }
            if !settled || budget == 0 {
                break;
            }
        }
        self.conflict.take()
    }

    /// True when the part cannot hold (or not hold) beside the facts; alternatives in it are followed `depth` levels, those
    /// that were open before are not.
    fn excludes(&mut self, part: &'p Part, holds: bool, depth: usize) -> bool {
        let open = std::mem::take(&mut self.open);
        let mark = self.mark();
        self.add(part, holds);
        let mut excluded = self.conflict.is_some();
        if !excluded && depth > 0 {
            let own = std::mem::take(&mut self.open);
            excluded = own.iter().any(|(part, holds)| match &part.node {
                Node::Or(items) | Node::And(items) => {
                    items.iter().all(|item| self.excludes(item, *holds, depth - 1))
                }
                _ => false,
            });
        }
        self.rollback(&mark);
        self.open = open;
        excluded
    }

    fn leaf(&mut self, side: Side<'p>) {
        let Side { leaf, holds } = side;
        if let (Some(value), true) = (leaf.constant, self.idioms) {
            if value != holds {
                self.conflict = Some(Conflict::Empty);
            }
            return;
        }
        match self.known.get(&leaf.number) {
            Some(before) if *before != holds => {
                self.conflict = Some(Conflict::Pair(Side { leaf, holds: true }, Side { leaf, holds: false }));
                return;
            }
            Some(_) => return,
            None => {
                self.known.insert(leaf.number, holds);
                self.order.push(leaf.number);
            }
        }
        if let Some(types) = &leaf.types {
            if !self.narrow(types, holds) {
                self.conflict = Some(self.types_conflict(side, types));
            }
            self.narrowed.push(side);
            return;
        }
        let Some(field) = &leaf.field else { return };
        if holds {
            if let Some(present) = &leaf.present {
                if !self.narrow(present, true) {
                    self.conflict = Some(Conflict::Parameter);
                    return;
                }
                self.narrowed.push(side);
            }
            match never(leaf) {
                // A list that has no items yet is meant to be filled.
                Some(Conflict::Empty) if !self.idioms => return,
                Some(why) => {
                    self.conflict = Some(why);
                    return;
                }
                None => {}
            }
        }
        self.compared.push(side);
        let all = self.compared.iter().filter(|other| other.leaf.field_number == leaf.field_number);
        let all: Vec<Side<'p>> = all.copied().collect();
        if all.len() <= MOST {
            self.conflict = field_conflict(field, &all, false);
        }
    }

    /// Keeps the types that are in `set` (or not in it); false when none is left.
    fn narrow(&mut self, set: &Types, inside: bool) -> bool {
        self.before.push(self.types.clone());
        self.types.narrow(set, inside);
        !self.types.is_empty()
    }

    /// Why a comparison of the event's type leaves none: the one comparison that excludes it, if one does.
    fn types_conflict(&self, side: Side<'p>, own: &Types) -> Conflict<'p> {
        for other in &self.narrowed {
            let Some(theirs) = other.leaf.types.as_ref().or(other.leaf.present.as_ref()) else { continue };
            if !own.meets(side.holds, theirs, other.holds) {
                return match &other.leaf.present {
                    Some(_) => Conflict::Without(Side { holds: true, ..*other }, side),
                    None => Conflict::Pair(*other, side),
                };
            }
        }
        Conflict::Types(side, self.before.last().cloned().unwrap_or_else(Types::all))
    }
}

/// The literals of a comparison that the field can have; `None` where other values pass, too.
fn candidates(leaf: &Leaf) -> Option<Vec<Literal<'_>>> {
    if is_listed(leaf) { leaf.literals().collect() } else { None }
}

/// Only literals of the comparison pass it.
fn is_listed(leaf: &Leaf) -> bool {
    matches!(leaf.check.op, Op::Eq | Op::In | Op::Intersects) && leaf.check.modifier.is_none()
}

/// Why a comparison is false of every event.
fn never(leaf: &Leaf) -> Option<Conflict<'_>> {
    let field = leaf.field.as_ref()?;
    let values = leaf.values();
    if values.is_empty() && leaf.check.op != Op::Exists {
        return Some(Conflict::Empty);
    }
    let all_needed = leaf.check.modifier == Some(Modifier::All);
    let positive = !matches!(leaf.check.op, Op::Ne | Op::Lt | Op::Le | Op::Gt | Op::Ge | Op::Exists);
    if positive {
        let mut reasons = values.iter().map(|value| values::impossible(field, leaf.check.op, &value.bytes));
        let reason = if all_needed {
            reasons.flatten().next()
        } else {
            // Every one must be impossible; the first one's reason is told.
            let first = reasons.next().flatten();
            first.filter(|_| reasons.all(|reason| reason.is_some()))
        };
        if let Some(why) = reason {
            return Some(Conflict::Impossible(Side { leaf, holds: true }, why));
        }
    }
    None
}

/// Every value of the one field that they compare passes one of the comparisons.
pub fn exhaust(leaves: &[&Leaf]) -> bool {
    let Some(field) = leaves.first().and_then(|leaf| leaf.field.as_ref()) else { return false };
    let all: Vec<Side<'_>> = leaves.iter().map(|leaf| Side { leaf, holds: false }).collect();
    field_conflict(field, &all, true).is_some()
}

/// Why the comparisons of one field exclude each other; `present`: it has a value, whatever they say.
fn field_conflict<'p>(field: &FieldRef, all: &[Side<'p>], present: bool) -> Option<Conflict<'p>> {
    let holding = || all.iter().filter(|side| side.holds);
    let failing = || all.iter().filter(|side| !side.holds);
    for yes in holding() {
        for no in failing() {
            if no.leaf.check.op == Op::Exists
                || (yes.leaf.is_pointwise() && no.leaf.is_pointwise() && implies(yes.leaf, no.leaf))
            {
                return Some(Conflict::Pair(*yes, *no));
            }
        }
    }
    let mut there = holding();
    let single = all.iter().all(|side| side.leaf.is_single() && side.leaf.is_pointwise());
    if !single || (there.next().is_none() && !present) {
        return None;
    }
    // There is exactly one value: it passes what holds and fails what does not.
    let passes = |literal: &Literal<'_>| {
        all.iter().all(|side| {
            side.leaf.matcher.as_ref().is_none_or(|matcher| matcher.matches(literal.value) == side.holds)
        })
    };
    let excluded = |mut literals: Vec<Literal<'_>>| {
        literals.retain(|literal| values::impossible(field, Op::Eq, literal.bytes).is_none());
        !literals.iter().any(passes)
    };
    let conflict = || Some(Conflict::Field(all.to_vec()));
    if field.kind() == FieldType::Bool {
        let both = [true, false].map(|truth| Literal { bytes: b"", value: Value::Bool(truth) });
        return if both.iter().any(passes) { None } else { conflict() };
    }
    let mut finite = holding().filter_map(|side| candidates(side.leaf));
    if let Some(literals) = finite.next() {
        return if excluded(literals) { conflict() } else { None };
    }
    // Not different from x, and there: it is x.
    let equal = failing().find(|no| no.leaf.check.op == Op::Ne && no.leaf.check.modifier.is_none());
    if let Some(no) = equal
        && let Some(literals) = no.leaf.literals().collect::<Option<Vec<_>>>()
    {
        return if excluded(literals) { conflict() } else { None };
    }
    if starts_apart(all) || !between(field.kind(), all) { conflict() } else { None }
}

/// The comparisons of a field as text.
pub fn listed(all: &[Side<'_>]) -> String {
    let parts: Vec<String> = all.iter().map(ToString::to_string).collect();
    parts.join(" and ")
}

/// Every value that passes `a` passes `b`.
fn implies(a: &Leaf, b: &Leaf) -> bool {
    let Some(test) = &b.matcher else { return b.check.op == Op::Exists };
    if is_listed(a) && a.literals().all(|literal| literal.is_some()) {
        return a.literals().flatten().all(|literal| test.matches(literal.value));
    }
    let kind = a.field.as_ref().map(FieldRef::kind);
    if !matches!(kind, Some(FieldType::CharBuf | FieldType::FsPath | FieldType::ByteBuf))
        || a.check.modifier.is_some()
        || b.check.modifier.is_some()
    {
        return false;
    }
    let ([x], [y]) = (a.values(), b.values()) else { return false };
    let (x, y) = (x.bytes.as_slice(), y.bytes.as_slice());
    let contains = |whole: &[u8], part: &[u8]| memchr::memmem::find(whole, part).is_some();
    match (a.check.op, b.check.op) {
        (Op::Startswith, Op::Startswith) => x.starts_with(y),
        (Op::Endswith, Op::Endswith) => x.ends_with(y),
        (Op::Startswith | Op::Endswith | Op::Contains, Op::Contains) => contains(x, y),
        (Op::Startswith | Op::Endswith | Op::Contains | Op::Icontains, Op::Icontains) => {
            contains(&x.to_ascii_lowercase(), &y.to_ascii_lowercase())
        }
        // What begins otherwise is another text.
        (Op::Startswith, Op::Ne) => !y.starts_with(x),
        (Op::Endswith, Op::Ne) => !y.ends_with(x),
        (Op::Contains, Op::Ne) => !contains(y, x),
        _ => false,
    }
}

/// Two beginnings, or two ends, of which neither is the other's.
fn starts_apart(all: &[Side<'_>]) -> bool {
    let texts = |op: Op| {
        all.iter()
            .filter(move |side| {
                let check = &side.leaf.check;
                side.holds && check.op == op && check.modifier.is_none()
            })
            .filter_map(|side| side.leaf.values().first().map(|value| value.bytes.as_slice()))
    };
    let starts =
        texts(Op::Startswith).any(|a| texts(Op::Startswith).any(|b| !a.starts_with(b) && !b.starts_with(a)));
    let ends = texts(Op::Endswith).any(|a| texts(Op::Endswith).any(|b| !a.ends_with(b) && !b.ends_with(a)));
    starts || ends
}

/// Some number of the type lies between the limits.
fn between(kind: FieldType, all: &[Side<'_>]) -> bool {
    let (mut least, mut most) = match kind {
        FieldType::Int16 => (i128::from(i16::MIN), i128::from(i16::MAX)),
        FieldType::Int32 | FieldType::Double => (i128::from(i32::MIN), i128::from(i32::MAX)),
        FieldType::Int64 => (i128::from(i64::MIN), i128::from(i64::MAX)),
        FieldType::Uint8 => (0, i128::from(u8::MAX)),
        FieldType::Uint16 | FieldType::Port => (0, i128::from(u16::MAX)),
        FieldType::Uint32 => (0, i128::from(u32::MAX)),
        FieldType::Uint64 | FieldType::RelTime | FieldType::AbsTime => (0, i128::from(u64::MAX)),
        _ => return true,
    };
    for Side { leaf, holds } in all {
        let Some(limit) = leaf.literals().next().flatten().and_then(|literal| matcher::number(literal.value))
        else {
            continue;
        };
        match (leaf.check.op, *holds) {
            (Op::Lt, true) | (Op::Ge, false) => most = most.min(limit - 1),
            (Op::Le, true) | (Op::Gt, false) => most = most.min(limit),
            (Op::Gt, true) | (Op::Le, false) => least = least.max(limit + 1),
            (Op::Ge, true) | (Op::Lt, false) => least = least.max(limit),
            _ => {}
        }
    }
    least <= most
}

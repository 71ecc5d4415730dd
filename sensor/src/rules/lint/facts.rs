//! What is known when some parts of a condition hold and others do not; and whether that can be at all.
//!
//! Only sound steps are made: a contradiction that is found is one. Many are not found, which costs a lint, never a false
//! alarm. A comparison counts as false when its field is missing, so `not f = x` says less than `f != x`.

use std::collections::HashMap;
use std::sync::Arc;

use super::formula::{Leaf, Literal, Node, Part, Types, all_types};
use super::values;
use crate::rules::language::ast::{Modifier, Op};
use crate::rules::language::matcher;
use crate::rules::registry::event::Value;
use crate::rules::registry::event_types;
use crate::rules::registry::fields::FieldRef;
use crate::rules::registry::types::FieldType;

/// Comparisons of one field that are held against each other, at most; more come from generated rules.
const MOST: usize = 128;

/// How often open alternatives are looked through again after one was settled.
const ROUNDS: usize = 16;
/// Alternatives that are looked at in one question; beyond it nothing is claimed.
const BUDGET: usize = 20_000;

/// Why something cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// Two comparisons exclude each other.
    Pair(String, String),
    /// No value passes all comparisons of the field.
    Field(String),
    /// The field never has such a value; the field's comparison, and why.
    Impossible(String, String),
    /// No event type is left: the comparison that took the last, and what was left before.
    Types(String, String),
    /// The comparison needs a parameter that the events of the other do not have.
    Without(String, String),
    /// None of the event types has the parameter.
    Parameter(String),
    /// The comparison is false by its form: `in ()`.
    Empty(String),
    /// Each alternative is excluded.
    Alternatives,
}

/// What holds and what does not.
#[derive(Clone)]
pub struct Facts<'p> {
    /// Event types that are still possible.
    pub types: Types,
    leaves: HashMap<String, bool>,
    /// What took event types away: a comparison, the types that it left, and whether it needs a parameter of theirs.
    narrowed: Vec<(String, Arc<Leaf>, bool)>,
    fields: HashMap<FieldRef, Vec<(Arc<Leaf>, bool)>>,
    /// Alternatives: a disjunction that holds, or a conjunction that does not.
    open: Vec<(&'p Part, bool)>,
    conflict: Option<Conflict>,
    /// Whether the idioms `evt.num=0` and `evt.num>=0` count as what they are. They are written on purpose.
    idioms: bool,
}

impl<'p> Facts<'p> {
    pub fn new(idioms: bool) -> Self {
        Self {
            types: all_types(true),
            leaves: HashMap::new(),
            narrowed: Vec::new(),
            fields: HashMap::new(),
            open: Vec::new(),
            conflict: None,
            idioms,
        }
    }

    /// These facts and that `part` holds, or does not.
    pub fn with(&self, part: &'p Part, holds: bool) -> Self {
        let mut facts = self.clone();
        facts.add(part, holds);
        facts
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
            (Node::Leaf(leaf), holds) => self.leaf(leaf, holds),
            (Node::Or(items) | Node::And(items), _) => match items.as_slice() {
                [] => self.conflict = Some(Conflict::Alternatives),
                [only] => self.add(only, holds),
                _ => self.open.push((part, holds)),
            },
        }
    }

    /// Why all of it cannot be; `None` when it can, or when that was not found.
    pub fn conflict(mut self) -> Option<Conflict> {
        let mut budget = BUDGET;
        for _ in 0..ROUNDS {
            if self.conflict.is_some() {
                return self.conflict;
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
                    return self.conflict;
                }
            }
            if !settled || budget == 0 {
                break;
            }
        }
        self.conflict
    }

    /// True when the part cannot hold (or not hold) beside the facts; alternatives in it are followed `depth` levels.
    fn excludes(&self, part: &'p Part, holds: bool, depth: usize) -> bool {
        let mut facts = Self { open: Vec::new(), ..self.clone() };
        facts.add(part, holds);
        if facts.conflict.is_some() {
            return true;
        }
        depth > 0
            && facts.open.iter().any(|(part, holds)| match &part.node {
                Node::Or(items) | Node::And(items) => {
                    items.iter().all(|item| facts.excludes(item, *holds, depth - 1))
                }
                _ => false,
            })
    }

    fn leaf(&mut self, leaf: &Arc<Leaf>, holds: bool) {
        if let (Some(value), true) = (leaf.constant, self.idioms) {
            if value != holds {
                self.conflict = Some(Conflict::Empty(leaf.key.clone()));
            }
            return;
        }
        match self.leaves.insert(leaf.key.clone(), holds) {
            Some(before) if before != holds => {
                let (yes, no) = (leaf.key.clone(), format!("not {}", leaf.key));
                self.conflict = Some(Conflict::Pair(yes, no));
                return;
            }
            Some(_) => return,
            None => {}
        }
        if let Some(types) = &leaf.types {
            let before = self.types.clone();
            if !narrow(&mut self.types, types, holds) {
                self.conflict = Some(self.types_conflict(leaf, holds, &before));
            }
            self.narrowed.push((leaf.key.clone(), Arc::clone(leaf), holds));
            return;
        }
        let Some(field) = &leaf.field else { return };
        if holds {
            if let Some(present) = &leaf.present
                && !narrow(&mut self.types, present, true)
            {
                self.conflict = Some(Conflict::Parameter(leaf.key.clone()));
                return;
            }
            if leaf.present.is_some() {
                self.narrowed.push((leaf.key.clone(), Arc::clone(leaf), true));
            }
            match never(leaf) {
                // A list that has no items yet is meant to be filled.
                Some(Conflict::Empty(_)) if !self.idioms => return,
                Some(why) => {
                    self.conflict = Some(why);
                    return;
                }
                None => {}
            }
        }
        let all = self.fields.entry(field.clone()).or_default();
        all.push((Arc::clone(leaf), holds));
        if all.len() <= MOST {
            self.conflict = field_conflict(field, all, false);
        }
    }
}

impl Facts<'_> {
    /// Why a comparison of the event's type leaves none: the one comparison that excludes it, if one does.
    fn types_conflict(&self, leaf: &Leaf, holds: bool, before: &[bool]) -> Conflict {
        let text = shown(leaf, holds);
        for (other, set, inside) in &self.narrowed {
            let Some(theirs) = set.types.as_ref().or(set.present.as_ref()) else { continue };
            let Some(own) = &leaf.types else { continue };
            let mut both = own.iter().zip(theirs).filter(|(a, b)| (**a == holds) && (**b == *inside));
            if both.next().is_none() {
                return match (&set.present, inside) {
                    (Some(_), _) => Conflict::Without(other.clone(), text),
                    (None, true) => Conflict::Pair(other.clone(), text),
                    (None, false) => Conflict::Pair(format!("not {other}"), text),
                };
            }
        }
        Conflict::Types(text, names(before))
    }
}

/// Keeps the types that are in `set` (or not in it); false when none is left.
fn narrow(types: &mut Types, set: &[bool], inside: bool) -> bool {
    for (known, member) in types.iter_mut().zip(set) {
        *known &= *member == inside;
    }
    types.contains(&true)
}

/// A comparison for a message.
pub fn shown(leaf: &Leaf, holds: bool) -> String {
    if holds { leaf.key.clone() } else { format!("not {}", leaf.key) }
}

/// The literals of a comparison that the field can have; `None` where other values pass, too.
fn candidates(leaf: &Leaf) -> Option<Vec<Literal<'_>>> {
    let listed = matches!(leaf.check.op, Op::Eq | Op::In | Op::Intersects) && leaf.check.modifier.is_none();
    if !listed || leaf.check.op == Op::Exists {
        return None;
    }
    leaf.literals().collect()
}

/// Why a comparison is false of every event.
pub fn never(leaf: &Leaf) -> Option<Conflict> {
    let field = leaf.field.as_ref()?;
    let values = leaf.values();
    if values.is_empty() && leaf.check.op != Op::Exists {
        return Some(Conflict::Empty(leaf.key.clone()));
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
            return Some(Conflict::Impossible(leaf.key.clone(), why));
        }
    }
    None
}

/// Every value of the one field that they compare passes one of the comparisons.
pub fn exhaust(leaves: &[&Arc<Leaf>]) -> bool {
    let Some(field) = leaves.first().and_then(|leaf| leaf.field.as_ref()) else { return false };
    let all: Vec<(Arc<Leaf>, bool)> = leaves.iter().map(|leaf| (Arc::clone(leaf), false)).collect();
    field_conflict(field, &all, true).is_some()
}

/// Why the comparisons of one field exclude each other; `present`: it has a value, whatever they say.
fn field_conflict(field: &FieldRef, all: &[(Arc<Leaf>, bool)], present: bool) -> Option<Conflict> {
    let holding = || all.iter().filter(|(_, holds)| *holds).map(|(leaf, _)| &**leaf);
    let failing = || all.iter().filter(|(_, holds)| !*holds).map(|(leaf, _)| &**leaf);
    for yes in holding() {
        for no in failing() {
            if no.check.op == Op::Exists || (yes.is_pointwise() && no.is_pointwise() && implies(yes, no)) {
                return Some(Conflict::Pair(yes.key.clone(), shown(no, false)));
            }
        }
    }
    let mut there = holding();
    let single = all.iter().all(|(leaf, _)| leaf.is_single() && leaf.is_pointwise());
    if !single || (there.next().is_none() && !present) {
        return None;
    }
    // There is exactly one value: it passes what holds and fails what does not.
    let passes = |literal: &Literal<'_>| {
        all.iter().all(|(leaf, holds)| {
            leaf.matcher.as_ref().is_none_or(|matcher| matcher.matches(literal.value) == *holds)
        })
    };
    let excluded = |mut literals: Vec<Literal<'_>>| {
        literals.retain(|literal| values::impossible(field, Op::Eq, literal.bytes).is_none());
        !literals.iter().any(passes)
    };
    let conflict = || Some(Conflict::Field(listed(all)));
    if field.kind() == FieldType::Bool {
        let both = [true, false].map(|truth| Literal { bytes: b"", value: Value::Bool(truth) });
        return if both.iter().any(passes) { None } else { conflict() };
    }
    let mut finite = holding().filter_map(candidates);
    if let Some(literals) = finite.next() {
        return if excluded(literals) { conflict() } else { None };
    }
    // Not different from x, and there: it is x.
    let equal = failing().find(|leaf| leaf.check.op == Op::Ne && leaf.check.modifier.is_none());
    if let Some(leaf) = equal
        && let Some(literals) = leaf.literals().collect::<Option<Vec<_>>>()
    {
        return if excluded(literals) { conflict() } else { None };
    }
    if starts_apart(all) || !between(field.kind(), all) { conflict() } else { None }
}

/// The comparisons of a field as text.
fn listed(all: &[(Arc<Leaf>, bool)]) -> String {
    let parts: Vec<String> = all.iter().map(|(leaf, holds)| shown(leaf, *holds)).collect();
    parts.join(" and ")
}

/// Every value that passes `a` passes `b`.
fn implies(a: &Leaf, b: &Leaf) -> bool {
    let Some(test) = &b.matcher else { return b.check.op == Op::Exists };
    if let Some(literals) = candidates(a) {
        return literals.iter().all(|literal| test.matches(literal.value));
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
fn starts_apart(all: &[(Arc<Leaf>, bool)]) -> bool {
    let texts = |op: Op| {
        all.iter()
            .filter(move |(leaf, holds)| *holds && leaf.check.op == op && leaf.check.modifier.is_none())
            .filter_map(|(leaf, _)| leaf.values().first().map(|value| value.bytes.as_slice()))
    };
    let starts =
        texts(Op::Startswith).any(|a| texts(Op::Startswith).any(|b| !a.starts_with(b) && !b.starts_with(a)));
    let ends = texts(Op::Endswith).any(|a| texts(Op::Endswith).any(|b| !a.ends_with(b) && !b.ends_with(a)));
    starts || ends
}

/// Some number of the type lies between the limits.
fn between(kind: FieldType, all: &[(Arc<Leaf>, bool)]) -> bool {
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
    for (leaf, holds) in all {
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

/// Names of the event types of a set, the first few.
pub fn names(types: &[bool]) -> String {
    const SHOWN: usize = 6;
    let mut names: Vec<&str> = event_types::all()
        .zip(types)
        .filter(|(_, member)| **member)
        .map(|((_, info), _)| info.name)
        .collect();
    let rest = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    if rest > 0 { format!("{} and {rest} more", names.join(", ")) } else { names.join(", ") }
}

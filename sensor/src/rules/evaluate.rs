//! One event against all rules: the entries of its type, one after the other, each part of a condition that is
//! shared decided once. Nothing is allocated, but by conditions with transformers.

use std::cmp::Ordering;
use std::sync::atomic::{AtomicU64, Ordering as Atomic};

use super::ast::Op;
use super::check::Test;
use super::compile::{NO_SLOT, Node, NodeId, Program};
use super::event::{Event, Value};
use super::fields::FieldRef;
use super::lookup;
use super::matcher::{self, Order};
use super::transform::{Compute, Computed};

/// Answers of the event under judgement. Keep one per thread and pass it to every call.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The program that the answers belong to.
    program: u64,
    /// Stamp of the current event; an answer with another stamp is old.
    stamp: u32,
    /// Stamp and truth of a node, in one number: `stamp * 2 + truth`.
    memo: Vec<u32>,
    /// Stamp and number of the set that a look-up answered.
    lookups: Vec<(u32, u32)>,
}

impl Scratch {
    fn begin(&mut self, program: u64, slots: usize, lookups: usize) {
        if self.program != program || self.stamp >= u32::MAX / 2 {
            self.program = program;
            self.stamp = 0;
            self.memo = vec![0; slots];
            self.lookups = vec![(0, lookup::NONE); lookups];
        }
        self.stamp += 1;
    }
}

/// A number for each program of this process, so that a [`Scratch`] knows its own.
pub fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Atomic::Relaxed)
}

impl Program {
    /// Calls `on_match` with the number of each rule that is true of the event, in order, until it returns false.
    pub fn evaluate<E: Event>(
        &self,
        id: u64,
        scratch: &mut Scratch,
        event: &E,
        mut on_match: impl FnMut(u32) -> bool,
    ) {
        let Some(entries) = self.by_type.get(usize::from(event.event_type().0)) else { return };
        scratch.begin(id, self.slots, self.lookups.len());
        for entry in entries {
            if self.decide(entry.root, scratch, event) && !on_match(entry.rule) {
                return;
            }
        }
    }

    fn decide<E: Event>(&self, node: NodeId, scratch: &mut Scratch, event: &E) -> bool {
        match &self.nodes[node as usize] {
            Node::Const(value) => *value,
            Node::Member { lookup, bit } => self.member(*lookup, *bit, scratch, event),
            Node::Not(inner) => !self.decide(*inner, scratch, event),
            Node::Test { pred, slot } => {
                if let Some(answer) = scratch.known(*slot) {
                    return answer;
                }
                let answer = pred.test.holds(event);
                scratch.note(*slot, answer)
            }
            Node::And { items, slot } => {
                if let Some(answer) = scratch.known(*slot) {
                    return answer;
                }
                let answer = items.iter().all(|item| self.decide(*item, scratch, event));
                scratch.note(*slot, answer)
            }
            Node::Or { items, slot } => {
                if let Some(answer) = scratch.known(*slot) {
                    return answer;
                }
                let answer = items.iter().any(|item| self.decide(*item, scratch, event));
                scratch.note(*slot, answer)
            }
        }
    }

    fn member<E: Event>(&self, number: u32, bit: u32, scratch: &mut Scratch, event: &E) -> bool {
        let (field, lookup) = &self.lookups[number as usize];
        let (stamp, set) = scratch.lookups[number as usize];
        if stamp == scratch.stamp {
            return lookup.holds(set, bit);
        }
        let set = match event.get(field) {
            Some(Value::Str(bytes) | Value::Buf(bytes)) => lookup.find(bytes),
            _ => lookup::NONE,
        };
        scratch.lookups[number as usize] = (scratch.stamp, set);
        lookup.holds(set, bit)
    }
}

impl Scratch {
    #[inline]
    fn known(&self, slot: u32) -> Option<bool> {
        if slot == NO_SLOT {
            return None;
        }
        let memo = self.memo[slot as usize];
        (memo / 2 == self.stamp).then_some(memo & 1 == 1)
    }

    #[inline]
    fn note(&mut self, slot: u32, answer: bool) -> bool {
        if slot != NO_SLOT {
            self.memo[slot as usize] = self.stamp * 2 + u32::from(answer);
        }
        answer
    }
}

impl Test {
    fn holds<E: Event>(&self, event: &E) -> bool {
        match self {
            Self::One(field, matcher) => event.get(field).is_some_and(|value| matcher.matches(value)),
            Self::Exists(field) => event.get(field).is_some(),
            Self::ExistsAny(field) => event.any(field, &mut |_| true),
            Self::Any(field, matcher) => event.any(field, &mut |value| matcher.matches(value)),
            Self::NoneOf(field, matcher) => seen_and(event, field, &mut |value| !matcher.matches(value)),
            Self::All(field, matcher) => seen_and(event, field, &mut |value| matcher.matches(value)),
            Self::ComputedExists(compute) => compute.run(event).is_some(),
            Self::Computed(compute, matcher) => match compute.run(event) {
                None => false,
                Some(Computed::List(items)) => items.iter().any(|item| matcher.matches(Value::Str(item))),
                Some(one) => one.value().is_some_and(|value| matcher.matches(value)),
            },
            Self::ComputedAll(compute, matcher) => match compute.run(event) {
                Some(Computed::List(items)) => {
                    !items.is_empty() && items.iter().all(|item| matcher.matches(Value::Str(item)))
                }
                _ => false,
            },
            Self::Pair(left, op, right) => pair(left, *op, right, event),
        }
    }
}

/// There are values and each passes.
fn seen_and<E: Event>(event: &E, field: &FieldRef, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
    let mut seen = false;
    let failed = event.any(field, &mut |value| {
        seen = true;
        !test(value)
    });
    seen && !failed
}

fn pair<E: Event>(left: &Compute, op: Op, right: &Compute, event: &E) -> bool {
    let (Some(left), Some(right)) = (left.run(event), right.run(event)) else { return false };
    match (&left, &right) {
        (Computed::List(left), Computed::List(right)) => {
            let contains = |item: &Vec<u8>| right.contains(item);
            if op == Op::In {
                !left.is_empty() && left.iter().all(contains)
            } else {
                left.iter().any(contains)
            }
        }
        (left, Computed::List(right)) => match left.value() {
            Some(Value::Str(bytes) | Value::Buf(bytes)) => right.iter().any(|item| item == bytes),
            _ => false,
        },
        (left, right) => {
            let (Some(left), Some(right)) = (left.value(), right.value()) else { return false };
            values(left, op, right)
        }
    }
}

fn values(left: Value<'_>, op: Op, right: Value<'_>) -> bool {
    let order = |order: Order| matcher::compare(left, right).is_some_and(|ordering| order.holds(ordering));
    let bytes = |test: &dyn Fn(&[u8], &[u8]) -> bool| match (left, right) {
        (Value::Str(a) | Value::Buf(a), Value::Str(b) | Value::Buf(b)) => test(a, b),
        _ => false,
    };
    let find = |a: &[u8], b: &[u8]| memchr::memmem::find(a, b).is_some();
    match op {
        Op::Eq => matcher::compare(left, right) == Some(Ordering::Equal),
        Op::Ne => matcher::compare(left, right).is_some_and(Ordering::is_ne),
        Op::Lt => order(Order::Lt),
        Op::Le => order(Order::Le),
        Op::Gt => order(Order::Gt),
        Op::Ge => order(Order::Ge),
        Op::Contains => bytes(&find),
        Op::Icontains => bytes(&|a, b| find(&a.to_ascii_lowercase(), &b.to_ascii_lowercase())),
        Op::Startswith => bytes(&<[u8]>::starts_with),
        Op::Endswith => bytes(&<[u8]>::ends_with),
        Op::Glob | Op::Iglob => {
            bytes(&|a, b| super::pattern::glob(b, op == Op::Iglob).is_ok_and(|pattern| pattern.is_match(a)))
        }
        // Refused at load, or without a value on the right.
        Op::Bcontains | Op::Bstartswith | Op::Regex | Op::In | Op::Intersects | Op::Pmatch | Op::Exists => {
            false
        }
    }
}

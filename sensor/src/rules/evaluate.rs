//! One event against all rules: those of its type that its plan leaves, one after the other, each part of a condition
//! that is shared decided once. Nothing is allocated, but by conditions with transformers.

use std::cmp::Ordering;
use std::sync::atomic::{AtomicU64, Ordering as Atomic};

use super::ast::Op;
use super::check::Test;
use super::compile::{NO_SLOT, Node, NodeId, Program};
use super::event::{Event, Value};
use super::fields::FieldRef;
use super::lookup;
use super::matcher::{self, Order};
use super::plan::Plan;
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
    /// Rules still in question, as bits.
    alive: Vec<u64>,
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
        let Some(plan) = self.plan(event.event_type()) else { return };
        if plan.entries.is_empty() {
            return;
        }
        scratch.begin(id, self.slots, self.lookups.len());
        if plan.keyless.is_empty() {
            for entry in &plan.entries {
                if self.decide(entry.root, scratch, event) && !on_match(entry.rule) {
                    return;
                }
            }
            return;
        }
        let mut alive = std::mem::take(&mut scratch.alive);
        if self.narrow(plan, &mut alive, scratch, event) {
            'words: for (word, bits) in alive.iter().enumerate() {
                let mut bits = *bits;
                while bits != 0 {
                    let at = word * 64 + bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    let Some(entry) = plan.entries.get(at) else { break };
                    if self.decide(entry.root, scratch, event) && !on_match(entry.rule) {
                        break 'words;
                    }
                }
            }
        }
        scratch.alive = alive;
    }

    /// Leaves in `alive` the entries that guards and keys do not rule out; false when none is left.
    fn narrow<E: Event>(&self, plan: &Plan, alive: &mut Vec<u64>, scratch: &mut Scratch, event: &E) -> bool {
        alive.clear();
        alive.extend_from_slice(&plan.keyless);
        for key in &plan.keys {
            let set = self.answer(key.lookup, scratch, event);
            for entry in key.enabled.get(set as usize).into_iter().flatten() {
                alive[*entry as usize / 64] |= 1 << (entry % 64);
            }
        }
        for (node, mask) in &plan.guards {
            let concerned = alive.iter().zip(mask).any(|(alive, mask)| alive & mask != 0);
            if concerned && !self.decide(*node, scratch, event) {
                let mut left = 0;
                for (alive, mask) in alive.iter_mut().zip(mask) {
                    *alive &= !mask;
                    left |= *alive;
                }
                if left == 0 {
                    return false;
                }
            }
        }
        true
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
        let set = self.answer(number, scratch, event);
        self.lookups[number as usize].1.holds(set, bit)
    }

    /// What a look-up says of the event.
    fn answer<E: Event>(&self, number: u32, scratch: &mut Scratch, event: &E) -> u32 {
        let (stamp, set) = scratch.lookups[number as usize];
        if stamp == scratch.stamp {
            return set;
        }
        let (field, lookup) = &self.lookups[number as usize];
        let set = match event.get(field) {
            Some(Value::Str(bytes) | Value::Buf(bytes)) => lookup.find(bytes),
            _ => lookup::NONE,
        };
        scratch.lookups[number as usize] = (scratch.stamp, set);
        set
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
    /// Whether the event passes.
    pub fn holds<E: Event>(&self, event: &E) -> bool {
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
    if let Compute::Field(field) = left
        && field.is_any()
    {
        let Some(right) = right.run(event) else { return false };
        let Some(right) = right.value() else {
            let Computed::List(items) = &right else { return false };
            return event.any(field, &mut |left| match left {
                Value::Str(bytes) | Value::Buf(bytes) => items.iter().any(|item| item == bytes),
                _ => false,
            });
        };
        // Of two ends, both must differ; of the ancestors, one.
        return if op == Op::Ne && field.is_either_end() {
            seen_and(event, field, &mut |left| values(left, op, right))
        } else {
            event.any(field, &mut |left| values(left, op, right))
        };
    }
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
        Op::Contains | Op::Bcontains => bytes(&find),
        Op::Icontains => bytes(&|a, b| find(&a.to_ascii_lowercase(), &b.to_ascii_lowercase())),
        Op::Startswith | Op::Bstartswith => bytes(&<[u8]>::starts_with),
        Op::Endswith => bytes(&<[u8]>::ends_with),
        Op::Glob | Op::Iglob => {
            bytes(&|a, b| super::pattern::glob(b, op == Op::Iglob).is_ok_and(|pattern| pattern.is_match(a)))
        }
        // Refused at load, or without a value on the right.
        Op::Regex | Op::In | Op::Intersects | Op::Pmatch | Op::Exists => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Options, Source, cases, load};
    use super::*;

    /// What fires must not depend on the shortcuts: every rule alone, where there are none, says the same.
    #[test]
    fn many_rules_together_fire_as_each_alone() {
        let conditions: Vec<String> = (0..70)
            .map(|n| {
                let (a, b, c) = (n % 7, n % 5, n % 3);
                let base = format!("evt.type=open and proc.name in (p{a}, q{b})");
                match n % 6 {
                    0 => format!("{base} and fd.name startswith /d{c}"),
                    1 => format!("{base} and (fd.name startswith /d{a} or proc.pname=p{c})"),
                    2 => format!("{base} and not fd.name startswith /d{c}"),
                    3 => format!("evt.type=open and fd.num>={b} and proc.pname=p{a}"),
                    4 => format!("evt.type=open and fd.num>={c} and not proc.pname in (p{a}, p{b})"),
                    _ => format!("evt.type=open and fd.num={n}"),
                }
            })
            .collect();
        let rule = |n: usize, condition: &str| {
            format!("- rule: r{n}\n  desc: d\n  output: o\n  priority: INFO\n  condition: {condition}\n")
        };
        let set = |text: String| load(&[Source::new("f", text)], &Options::default()).rules.unwrap();
        let together = set(conditions.iter().enumerate().map(|(n, c)| rule(n, c)).collect());
        let alone: Vec<_> = conditions.iter().enumerate().map(|(n, c)| set(rule(n, c))).collect();
        let mut text = String::from("cases:\n");
        for n in 0..120 {
            let (a, b, c, d) = (n % 8, n % 6, n % 4, n % 9);
            let parent = if n % 10 == 0 { String::new() } else { format!("proc.pname: p{b}, ") };
            text = format!(
                "{text}- {{name: n, silent: [r0], event: {{evt.type: open, proc.name: p{a}, {parent}fd.name: /d{c}/x, fd.num: {d}}}}}\n"
            );
        }
        let file = cases::parse(&Source::new("c", text)).unwrap();
        let mut scratch = Scratch::default();
        let mut some = 0;
        for case in &file.cases {
            let mut fired = Vec::new();
            together.evaluate(&mut scratch, &case.event, |rule| fired.push(rule.name.clone()));
            let mut expected = Vec::new();
            for set in &alone {
                set.evaluate(&mut Scratch::default(), &case.event, |rule| expected.push(rule.name.clone()));
            }
            assert_eq!(fired, expected, "line {}", case.line);
            some += fired.len();
        }
        assert!(some > 100, "the events hardly match anything");
    }
}

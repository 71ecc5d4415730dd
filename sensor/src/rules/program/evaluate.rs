//! One event against all rules: group by group as planned, each shared part of a condition decided once, each look-up
//! asked once, each field that several need extracted once. Nothing is allocated once the scratch has grown.

use std::sync::atomic::{AtomicU64, Ordering as Atomic};
use std::time::Instant;

use bumpalo::Bump;

use super::compile::{Asked, Entry, NO_SLOT, Node, Program, Source};
use super::counters::SAMPLED;
use super::graph::{NodeId, TRUE};
use super::lookup::answers::{ABSENT, FIRST, holds};
use super::plan::Index;
use super::values::Values;
use crate::rules::language::check::Test;
use crate::rules::language::compute::{self, Computed};
use crate::rules::registry::event::{Event, Value, seen_and};

/// Answers of the event under judgement. Keep one per thread and pass it to every call.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The program that the answers belong to.
    program: u64,
    /// Stamp of the current event; an answer with another stamp is old.
    stamp: u32,
    /// Stamp and truth of a node, in one number: `stamp * 2 + truth`.
    memo: Vec<u32>,
    /// Stamp and what a look-up said: its answer, or for one with several, where they begin in `found`.
    answers: Vec<u64>,
    /// Where the answers of a look-up with several end in `found`.
    ends: Vec<u32>,
    /// Answers of look-ups with several.
    found: Vec<u32>,
    values: Values,
    /// Stamps of entries that were looked at.
    seen: Vec<u32>,
    /// Rules that are true of the event, each with the number of the reading.
    matched: Vec<(u32, usize)>,
    /// Room for what transformers compute.
    bump: Bump,
    bump_used: bool,
    /// Events since one was timed.
    untimed: u64,
}

impl Scratch {
    fn begin(&mut self, id: u64, program: &Program) {
        if self.program != id || self.stamp >= u32::MAX / 2 {
            self.program = id;
            self.stamp = 0;
            self.memo.clear();
            self.memo.resize(program.slots, 0);
            self.answers.clear();
            self.answers.resize(program.lookups.len(), 0);
            self.ends.resize(program.lookups.len(), 0);
            self.seen.clear();
            self.seen.resize(program.entries.len(), 0);
            self.values.clear(program.sources.len());
        }
        self.stamp += 1;
        self.found.clear();
        if self.bump_used {
            self.bump_used = false;
            self.bump.reset();
        }
    }

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

/// A number for each program of this process, so that a [`Scratch`] knows its own.
pub fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Atomic::Relaxed)
}

impl Program {
    /// Calls `on_match` with the number of each rule that is true of a reading of the event, in order, and with the first such
    /// reading, until it returns false. Of one event in [`SAMPLED`], `on_sample` gets the number of each rule that was
    /// decided by itself and the nanoseconds that it took.
    pub fn evaluate<'e, E: Event>(
        &self,
        id: u64,
        scratch: &mut Scratch,
        readings: &'e [E],
        mut on_sample: impl FnMut(u32, u64),
        mut on_match: impl FnMut(u32, &'e E) -> bool,
    ) {
        let Some(ranges) = readings.first().map(|event| self.groups_of(event.event_type())) else { return };
        if ranges.is_empty() {
            return;
        }
        scratch.untimed += 1;
        let timed = scratch.untimed == SAMPLED;
        if timed {
            scratch.untimed = 0;
        }
        scratch.matched.clear();
        for (reading, event) in readings.iter().enumerate() {
            scratch.begin(id, self);
            let mut run = Run { program: self, scratch, event, reading };
            if timed {
                run.all(ranges, |run, entry| {
                    let start = Instant::now();
                    run.entry(entry);
                    on_sample(entry.rule, u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
                });
            } else {
                run.all(ranges, Run::entry);
            }
        }
        let matched = &mut scratch.matched;
        if matched.len() > 1 {
            matched.sort_unstable();
            matched.dedup_by_key(|(rule, _)| *rule);
        }
        for (rule, reading) in matched {
            if !on_match(*rule, &readings[*reading]) {
                return;
            }
        }
    }
}

/// The evaluation of one event.
struct Run<'r, 'e, E> {
    program: &'r Program,
    scratch: &'r mut Scratch,
    event: &'e E,
    reading: usize,
}

impl<'r, 'e, E: Event> Run<'r, 'e, E> {
    /// Goes through groups and calls `decide` with every entry that is in question.
    #[inline]
    fn all(&mut self, ranges: &[(u32, u32)], mut decide: impl FnMut(&mut Self, &'r Entry)) {
        let program = self.program;
        for (from, to) in ranges {
            let mut at = *from;
            while at < *to {
                let group = &program.groups[at as usize];
                if group.guard != TRUE && !self.decide(group.guard) {
                    at = group.end;
                    continue;
                }
                at += 1;
                for key in &group.keys {
                    let asked = &program.lookups[key.lookup as usize];
                    let one = self.answer(key.lookup, asked);
                    if !asked.several {
                        self.candidates(key, one, &mut decide);
                        continue;
                    }
                    for place in one..self.scratch.ends[key.lookup as usize] {
                        let one = self.scratch.found[place as usize];
                        self.candidates(key, one, &mut decide);
                    }
                }
                for entry in &program.entries[group.loose.0 as usize..group.loose.1 as usize] {
                    decide(self, entry);
                }
            }
        }
    }

    /// Calls `decide` with the entries that an answer makes candidates, unless another answer did before.
    #[inline]
    fn candidates(&mut self, key: &Index, answer: u32, decide: &mut impl FnMut(&mut Self, &'r Entry)) {
        if answer < FIRST {
            return;
        }
        let program = self.program;
        key.candidates(answer, |entry| {
            let seen = &mut self.scratch.seen[entry as usize];
            if std::mem::replace(seen, self.scratch.stamp) != self.scratch.stamp {
                decide(self, &program.entries[entry as usize]);
            }
        });
    }

    /// Decides one rule.
    #[inline]
    fn entry(&mut self, entry: &'r Entry) {
        let program = self.program;
        for node in &program.children[entry.before.0 as usize..entry.before.1 as usize] {
            self.decide(*node);
        }
        let conjuncts = &program.children[entry.from as usize..entry.to as usize];
        if conjuncts.iter().all(|node| self.decide(*node)) {
            self.scratch.matched.push((entry.rule, self.reading));
        }
    }

    fn decide(&mut self, node: NodeId) -> bool {
        let program = self.program;
        match program.nodes[node as usize] {
            Node::Const(value) => value,
            Node::Within { lookup, from, to } => {
                let answer = self.answer(lookup, &program.lookups[lookup as usize]);
                from <= answer && answer < to
            }
            Node::Among { lookup, from, to } => {
                let answer = self.answer(lookup, &program.lookups[lookup as usize]);
                holds(&program.ranges[from as usize..to as usize], answer)
            }
            Node::Several { lookup, from, to } => {
                let from_found = self.answer(lookup, &program.lookups[lookup as usize]) as usize;
                let found = &self.scratch.found[from_found..self.scratch.ends[lookup as usize] as usize];
                some(found, &program.ranges[from as usize..to as usize])
            }
            Node::Not(inner) => !self.decide(inner),
            Node::Test { test, slot } => {
                if let Some(answer) = self.scratch.known(slot) {
                    return answer;
                }
                let answer = self.test(test);
                self.scratch.note(slot, answer)
            }
            Node::And { from, to, slot } => {
                if let Some(answer) = self.scratch.known(slot) {
                    return answer;
                }
                let items = &program.children[from as usize..to as usize];
                let answer = items.iter().all(|item| self.decide(*item));
                self.scratch.note(slot, answer)
            }
            Node::Or { from, to, slot } => {
                if let Some(answer) = self.scratch.known(slot) {
                    return answer;
                }
                let items = &program.children[from as usize..to as usize];
                let answer = items.iter().any(|item| self.decide(*item));
                self.scratch.note(slot, answer)
            }
        }
    }

    /// What a look-up says of the event, as [`Scratch::answers`] keeps it.
    #[inline]
    fn answer(&mut self, number: u32, asked: &'r Asked) -> u32 {
        let known = self.scratch.answers[number as usize];
        if known >> 32 == u64::from(self.scratch.stamp) {
            #[expect(clippy::cast_possible_truncation, reason = "the lower half is the answer")]
            return known as u32;
        }
        self.ask(number, asked)
    }

    fn ask(&mut self, number: u32, asked: &'r Asked) -> u32 {
        let one = if asked.several {
            let (start, end) = self.ask_several(asked);
            self.scratch.ends[number as usize] = end;
            start
        } else {
            let Source { field, keep } = &self.program.sources[asked.source as usize];
            // By reference: a value that is moved about stalls the processor more than the look-up costs.
            let value = if *keep { &self.value(asked.source) } else { &self.event.get(field) };
            match value {
                Some(value) => asked.lookup.find(value),
                None => ABSENT,
            }
        };
        self.scratch.answers[number as usize] = u64::from(self.scratch.stamp) << 32 | u64::from(one);
        one
    }

    /// The answers of a look-up with several, each once and in order: a range of [`Scratch::found`].
    fn ask_several(&mut self, asked: &'r Asked) -> (u32, u32) {
        let start = self.scratch.found.len();
        self.ask_all(asked);
        let found = &mut self.scratch.found;
        found[start..].sort_unstable();
        let mut end = start;
        for at in start..found.len() {
            if at == start || found[at] != found[end - 1] {
                found[end] = found[at];
                end += 1;
            }
        }
        found.truncate(end);
        #[expect(clippy::cast_possible_truncation, reason = "an event has far fewer answers")]
        (start as u32, end as u32)
    }

    fn ask_all(&mut self, asked: &'r Asked) {
        if !asked.any {
            let Some(value) = self.value(asked.source) else { return };
            asked.lookup.find_all(&value, |answer| self.scratch.found.push(answer));
            return;
        }
        let field = &self.program.sources[asked.source as usize].field;
        let found = &mut self.scratch.found;
        self.event.any(field, &mut |value| {
            // That there is a value at all.
            found.push(ABSENT);
            asked.lookup.find_all(&value, |answer| found.push(answer));
            false
        });
    }

    /// The value of a field, extracted once if several ask for it.
    #[inline]
    fn value(&mut self, source: u32) -> Option<Value<'e>> {
        let event = self.event;
        let Source { field, keep } = &self.program.sources[source as usize];
        if !keep {
            return event.get(field);
        }
        #[expect(unsafe_code, reason = "see Values")]
        // SAFETY: the stamp is this event's alone, and `self` borrows the event until it is done.
        unsafe {
            self.scratch.values.get(source, self.scratch.stamp, || event.get(field))
        }
    }

    fn test(&mut self, number: u32) -> bool {
        let (pred, source) = &self.program.tests[number as usize];
        match (&pred.test, source) {
            (Test::One(_, matcher), Some(source)) => {
                return self.value(*source).is_some_and(|value| matcher.matches(value));
            }
            (Test::Path(field, matcher), Some(source)) => {
                let event = self.event;
                return self.value(*source).is_some_and(|value| matcher.holds_of_path(event, field, value));
            }
            _ => {}
        }
        self.scratch.bump_used = true;
        pred.test.holds(self.event, &self.scratch.bump)
    }
}

/// Whether one of the found answers (each once, in order) lies in the ranges.
fn some(found: &[u32], ranges: &[(u32, u32)]) -> bool {
    if ranges.len() < found.len() {
        return ranges.iter().any(|(from, to)| {
            let at = found.partition_point(|answer| answer < from);
            found.get(at).is_some_and(|answer| answer < to)
        });
    }
    found.iter().any(|answer| holds(ranges, *answer))
}

impl Test {
    /// Whether the event passes; what is computed on the way lives in `bump`.
    pub fn holds<E: Event>(&self, event: &E, bump: &Bump) -> bool {
        match self {
            Self::One(field, matcher) => event.get(field).is_some_and(|value| matcher.matches(value)),
            Self::Path(field, matcher) => {
                event.get(field).is_some_and(|value| matcher.holds_of_path(event, field, value))
            }
            Self::Exists(field) => event.get(field).is_some(),
            Self::ExistsAny(field) => event.any(field, &mut |_| true),
            Self::Any(field, matcher) => event.any(field, &mut |value| matcher.matches(value)),
            Self::NoneOf(field, matcher) => seen_and(event, field, &mut |value| !matcher.matches(value)),
            Self::All(field, matcher) => seen_and(event, field, &mut |value| matcher.matches(value)),
            Self::ComputedExists(compute) => compute.run(event, bump).is_some(),
            Self::Computed(compute, matcher) => match compute.run(event, bump) {
                None => false,
                Some(Computed::List(items)) => items.iter().any(|item| matcher.matches(Value::Str(item))),
                Some(Computed::One(value)) => matcher.matches(value),
            },
            Self::ComputedAll(compute, matcher) => match compute.run(event, bump) {
                Some(Computed::List(items)) => {
                    !items.is_empty() && items.iter().all(|item| matcher.matches(Value::Str(item)))
                }
                _ => false,
            },
            Self::Pair(left, op, right) => compute::pair(left, *op, right, event, bump),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::rules::report::source::Source;
    use crate::rules::source::options::Options;
    use crate::rules::{cases, load};

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

    fn set(text: String) -> crate::rules::rule_set::RuleSet {
        load(&[Source::new("f", text)], &Options::default()).rules.unwrap()
    }

    fn rule(n: usize, condition: &str) -> String {
        format!("- rule: r{n}\n  desc: d\n  output: o\n  priority: INFO\n  condition: >-\n    {condition}\n")
    }

    /// The same for every family of tests, and for what is merged, turned round and shared between them.
    #[test]
    fn every_family_of_tests_says_the_same_together_and_alone() {
        let leaves = |n: usize| {
            let (a, b, c) = (n % 7, n % 5, n % 3);
            [
                format!("proc.name in (p{a}, q{b})"),
                format!("proc.name != p{b}"),
                format!("proc.name startswith p{}", if c == 0 { String::new() } else { a.to_string() }),
                format!("proc.cmdline contains w{a}"),
                format!("proc.cmdline icontains W{b}"),
                format!("fd.name endswith .e{a}"),
                format!("fd.name pmatch (/d{a}, /d{b}/s*/x)"),
                format!("fd.name glob '/d{c}/*{a}*'"),
                format!("fd.name regex '/d[0-{b}]/.*'"),
                format!("fd.num >= {a}"),
                format!("fd.num in ({b}, {a}, 9)"),
                format!("proc.aname in (p{a}, p{b})"),
                format!("proc.aname contains {c}"),
                format!("fd.sip = 10.0.{a}.{b}"),
                format!("fd.net in (10.0.{a}.0/24, 10.0.0.0/29)"),
                format!("fd.ip != 10.0.{c}.{b}"),
                format!("evt.is_open_write = {}", n.is_multiple_of(2)),
                "proc.pname exists".to_owned(),
                format!("tolower(proc.name) = p{a}"),
                format!("(proc.exepath exists or proc.pname = p{b})"),
            ]
        };
        let conditions: Vec<String> = (0..400)
            .map(|n| {
                let leaves = leaves(n * 13 / 7);
                let leaf = |k: usize| &leaves[(n * 7 + k * 3 + n / 20) % leaves.len()];
                let body = match n % 6 {
                    0 => format!("{} and {}", leaf(0), leaf(1)),
                    1 => format!("({} or {}) and not {}", leaf(0), leaf(1), leaf(2)),
                    2 => format!("{} and not ({} or {} or {})", leaf(0), leaf(1), leaf(2), leaf(3)),
                    3 => format!("({} and {}) or ({} and {})", leaf(0), leaf(1), leaf(2), leaf(3)),
                    4 => format!("not ({} and {}) and {}", leaf(0), leaf(1), leaf(4)),
                    _ => format!("{} or not ({} and not ({} or {}))", leaf(0), leaf(1), leaf(2), leaf(3)),
                };
                let types = ["evt.type=open", "evt.type in (open, connect)", "evt.type != connect"][n % 3];
                format!("{types} and ({body})")
            })
            .collect();
        let together = set(conditions.iter().enumerate().map(|(n, c)| rule(n, c)).collect());
        let alone: Vec<_> = conditions.iter().enumerate().map(|(n, c)| set(rule(n, c))).collect();
        let mut text = String::from("cases:\n");
        for n in 0..60usize {
            let (a, b, c) = (n % 8, n % 6, n % 4);
            let parent = if n % 4 == 0 { String::new() } else { format!("proc.aname: [p{b}, z{c}], ") };
            let socket = if n % 3 == 0 {
                String::new()
            } else {
                format!("fd.sip: 10.0.{c}.{b}, fd.cip: 10.0.{b}.1, ")
            };
            let kind = if n % 5 == 0 { "connect" } else { "open" };
            writeln!(text, "- {{name: n, silent: [r0], event: {{evt.type: {kind}, proc.name: p{a}, {parent}{socket}fd.name: /d{c}/s{b}/x.e{a}, \
                 fd.num: {b}, proc.cmdline: 'x w{a} w{c}', evt.is_open_write: {}}}}}",
                n % 2 == 1).unwrap();
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
        assert!(some > 1000, "the events hardly match anything: {some}");
    }

    /// What follows from what is seen in the counters, also of rules that a shortcut ruled out.
    #[test]
    fn counters_tell_events_of_the_types_and_matches() {
        let set =
            set(rule(0, "evt.type=open and proc.name=a") + &rule(1, "evt.type=connect and proc.name=a"));
        let text = "cases:\n- {name: n, silent: [x], event: {evt.type: open, proc.name: a}}\n- {name: n, silent: [x], event: {evt.type: open, proc.name: b}}\n";
        let file = cases::parse(&Source::new("c", text)).unwrap();
        let mut scratch = Scratch::default();
        for _ in 0..1024 {
            file.cases.iter().for_each(|case| set.evaluate(&mut scratch, &case.event, |_| {}));
        }
        let [open, connect] = [0, 1].map(|n: usize| set.rules()[n].counters());
        assert_eq!((open.evaluated(), open.matched(), open.samples()), (2048, 1024, 2));
        assert_eq!((connect.evaluated(), connect.matched(), connect.samples()), (0, 0, 0));
    }

    /// Neither compiling nor judging needs stack for the depth of a condition.
    #[test]
    fn deep_conditions_are_judged() {
        use crate::rules::language::check::{Cond, Pred, Test};
        use crate::rules::registry::event::Value;
        use crate::rules::registry::event_types;
        use crate::rules::registry::fields::{Field, FieldRef};

        struct Named;
        impl Event for Named {
            fn event_type(&self) -> crate::rules::registry::event::EventType {
                event_types::by_name("open").unwrap()
            }
            fn time(&self) -> i64 {
                0
            }
            fn get(&self, _: &FieldRef) -> Option<Value<'_>> {
                Some(Value::Str(b"a0"))
            }
            fn any(&self, _: &FieldRef, _: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
                false
            }
        }

        let leaf = |n: usize| {
            let name: Box<[u8]> = format!("a{}", n % 2).into_bytes().into();
            let test = Test::Pair(
                crate::rules::language::transform::Compute::Field(Field::ProcName.into()),
                crate::rules::language::ast::Op::Eq,
                crate::rules::language::transform::Compute::Text(name),
            );
            Cond::Test(std::sync::Arc::new(Pred { key: format!("{n}"), test, cost: 1 }))
        };
        // Leaves with even numbers are true.
        let (mut cond, mut truth) = (leaf(0), true);
        for n in 1..3000 {
            let holds = n % 2 == 0;
            (cond, truth) = match n % 5 {
                0 | 3 => (Cond::And(vec![leaf(n), cond]), holds && truth),
                1 | 4 => (Cond::Or(vec![cond, leaf(n)]), holds || truth),
                _ => (Cond::Not(Box::new(cond)), !truth),
            };
        }
        let not = Cond::Not(Box::new(cond.clone()));
        let conditions = [(0, &cond), (1, &not)];
        let program = super::super::compile::program(&conditions);
        let mut fired = Vec::new();
        program.evaluate(
            next_id(),
            &mut Scratch::default(),
            &[Named],
            |_, _| {},
            |rule, _| {
                fired.push(rule);
                true
            },
        );
        assert_eq!(fired, [u32::from(!truth)]);
    }
}

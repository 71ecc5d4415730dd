//! Which rules can be true whenever another is: an index, so that only these pairs are thought about.
//!
//! It rests on what [`super::facts`] can see. For a rule to be always true beside another, each comparison that it needs must
//! follow from the other's, and a comparison with literals follows only where the other has the same comparison, or
//! compares the same field with a literal that passes this one. So each rule is filed under one comparison that it needs, the
//! rarest. One that needs only that a field is none of some literals is filed under the first of these: it follows where the
//! other excludes that literal, too, or compares the field in any other way. Rules that need none of that kind are candidates for
//! every other.

use std::collections::HashMap;
use std::net::IpAddr;

use super::formula::{Leaf, Node, Part};
use super::values;
use crate::rules::language::ast::Op;
use crate::rules::registry::event::Value;
use crate::rules::registry::types::FieldType;

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// A literal by which rules are found.
#[derive(PartialEq, Eq, Hash)]
enum Key<'p> {
    Text(&'p [u8]),
    Number(i128),
    Address(IpAddr),
}

fn key(value: Value<'_>) -> Option<Key<'_>> {
    Some(match value {
        Value::Str(text) | Value::Buf(text) => Key::Text(text),
        Value::Int(number) => Key::Number(number.into()),
        Value::Uint(number) => Key::Number(number.into()),
        Value::Ip(address) => Key::Address(address),
        Value::Bool(_) => return None,
    })
}

/// The rules, by what they need. Rules are numbered in the order in which they are given.
#[derive(Default)]
pub struct Candidates<'p> {
    /// By number of the comparison that a rule is filed under.
    same: Map<u32, Vec<usize>>,
    /// By field and literal, for comparisons that only their literals pass.
    exact: Map<(u32, Key<'p>), Vec<usize>>,
    /// By field, for those that other values pass.
    tested: Map<u32, Vec<(&'p Leaf, Vec<usize>)>>,
    /// By field and literal that the field must not be.
    excluded: Map<(u32, Key<'p>), Vec<usize>>,
    /// All of `excluded` by field.
    excluding: Map<u32, Vec<usize>>,
    loose: Vec<usize>,
}

impl<'p> Candidates<'p> {
    pub fn new(rules: &[&'p Part]) -> Self {
        let needed: Vec<Vec<&'p Leaf>> = rules.iter().map(|rule| needed(rule)).collect();
        let mut users: Map<u32, usize> = HashMap::default();
        for leaf in needed.iter().flatten() {
            *users.entry(leaf.number).or_default() += 1;
        }
        let mut filed = Self::default();
        for (at, leaves) in needed.iter().enumerate() {
            let kinds = leaves.iter().filter_map(|leaf| Some((filing(leaf)?, *leaf)));
            match kinds.min_by_key(|(filing, leaf)| (users[&leaf.number], *filing)) {
                Some((filing, leaf)) => filed.file(at, filing, leaf),
                None => match exclusion(rules[at]) {
                    Some((leaf, key)) => {
                        filed.excluded.entry((leaf.field_number, key)).or_default().push(at);
                        filed.excluding.entry(leaf.field_number).or_default().push(at);
                    }
                    None => filed.loose.push(at),
                },
            }
        }
        filed
    }

    fn file(&mut self, at: usize, filing: Filing, leaf: &'p Leaf) {
        self.same.entry(leaf.number).or_default().push(at);
        match filing {
            Filing::Exact => {
                for key in leaf.literals().flatten().filter_map(|literal| key(literal.value)) {
                    self.exact.entry((leaf.field_number, key)).or_default().push(at);
                }
            }
            Filing::Tested => {
                let of_field = self.tested.entry(leaf.field_number).or_default();
                match of_field.iter_mut().find(|(known, _)| known.number == leaf.number) {
                    Some((_, rules)) => rules.push(at),
                    None => of_field.push((leaf, vec![at])),
                }
            }
            Filing::Same => {}
        }
    }

    /// The rules before `place` that may be true whenever `rule` is, in order.
    pub fn before(&self, place: usize, rule: &'p Part) -> Vec<usize> {
        let mut found = self.loose.clone();
        let mut leaves = Vec::new();
        mentioned(rule, &mut leaves);
        let mut excluded = Vec::new();
        exclusions(rule, &mut excluded);
        for leaf in leaves {
            found.extend(self.same.get(&leaf.number).into_iter().flatten());
            if leaf.field.is_none() {
                continue;
            }
            if !excluded.iter().any(|other| std::ptr::eq(*other, leaf)) {
                found.extend(self.excluding.get(&leaf.field_number).into_iter().flatten());
            }
            let tested = self.tested.get(&leaf.field_number);
            for value in leaf.literals().flatten().map(|literal| literal.value) {
                if let Some(key) = key(value) {
                    let place = (leaf.field_number, key);
                    found.extend(self.exact.get(&place).into_iter().flatten());
                    found.extend(self.excluded.get(&place).into_iter().flatten());
                }
                for (test, rules) in tested.into_iter().flatten() {
                    if test.matcher.as_ref().is_some_and(|matcher| matcher.matches(value)) {
                        found.extend(rules);
                    }
                }
            }
        }
        found.retain(|at| *at < place);
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// The comparison is true of its literals only.
fn is_listed(leaf: &Leaf) -> bool {
    matches!(leaf.check.op, Op::Eq | Op::In | Op::Intersects)
        && leaf.check.modifier.is_none()
        && leaf.field.as_ref().is_some_and(|field| field.kind() != FieldType::Bool)
        && leaf.literals().all(|literal| literal.is_some_and(|literal| key(literal.value).is_some()))
}

/// A comparison with literals that must not hold, and its first literal. Where the field cannot be missing or have a literal, that
/// follows from something else.
fn exclusion(rule: &Part) -> Option<(&Leaf, Key<'_>)> {
    let mut leaves = Vec::new();
    exclusions(rule, &mut leaves);
    leaves.into_iter().find_map(|leaf| {
        let field = leaf.field.as_ref().filter(|_| leaf.types.is_none() && leaf.constant.is_none())?;
        let possible = |bytes: &[u8]| values::impossible(field, Op::Eq, bytes).is_none();
        let all_possible = leaf.present.is_none() && leaf.literals().flatten().all(|l| possible(l.bytes));
        let first = leaf.literals().flatten().next().filter(|_| all_possible)?;
        Some((leaf, key(first.value)?))
    })
}

/// The comparisons with literals under an own `not`, of those that all must hold.
fn exclusions<'p>(part: &'p Part, into: &mut Vec<&'p Leaf>) {
    match &part.node {
        Node::And(items) => items.iter().for_each(|item| exclusions(item, into)),
        Node::Not(inner) => {
            if let Node::Leaf(leaf) = &inner.node
                && is_listed(leaf)
            {
                into.push(leaf);
            }
        }
        Node::Or(_) | Node::Leaf(_) => {}
    }
}

/// How a rule is found by a comparison that it needs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Filing {
    /// By the comparison itself only.
    Same,
    /// By its literals.
    Exact,
    /// By literals that pass it.
    Tested,
}

fn filing(leaf: &Leaf) -> Option<Filing> {
    if leaf.types.is_some() || leaf.constant.is_some() {
        return None;
    }
    let Some(field) = &leaf.field else { return Some(Filing::Same) };
    // One of two truth values follows from the other's absence.
    if field.kind() == FieldType::Bool {
        return None;
    }
    match leaf.check.op {
        Op::Eq | Op::In | Op::Intersects
            if leaf.check.modifier.is_none()
                && leaf.literals().all(|literal| literal.is_some_and(|l| key(l.value).is_some())) =>
        {
            Some(Filing::Exact)
        }
        Op::Contains | Op::Icontains | Op::Startswith | Op::Endswith | Op::Glob | Op::Iglob | Op::Regex
            if leaf.matcher.is_some() =>
        {
            Some(Filing::Tested)
        }
        // Limits of numbers follow from other limits, `exists` from any comparison.
        _ => None,
    }
}

/// The comparisons that all must hold.
fn needed(part: &Part) -> Vec<&Leaf> {
    let (mut leaves, mut todo) = (Vec::new(), vec![part]);
    while let Some(part) = todo.pop() {
        match &part.node {
            Node::And(items) => todo.extend(items),
            Node::Leaf(leaf) => leaves.push(&**leaf),
            Node::Or(_) | Node::Not(_) => {}
        }
    }
    leaves
}

/// Every comparison, whether it must hold or not.
pub fn mentioned<'p>(part: &'p Part, into: &mut Vec<&'p Leaf>) {
    match &part.node {
        Node::And(items) | Node::Or(items) => items.iter().for_each(|item| mentioned(item, into)),
        Node::Not(inner) => mentioned(inner, into),
        Node::Leaf(leaf) => into.push(leaf),
    }
}

//! Checked conditions into one program for all rules.
//!
//! For every event type there is a list of the rules that can fire on it, each with its condition as far as the type does
//! not decide it already. Conditions are nodes of one graph in which equal parts are one node, whichever rule they stand
//! in; a node that several refer to is evaluated at most once per event. Tests of one field for equality (and
//! for prefixes) are gathered, so that one look-up answers them all.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::check::{Cond, Pred, Test, TypeSet};
use super::event::EventType;
use super::event_types;
use super::fields::FieldRef;
use super::lookup::Lookup;
use super::matcher::{Bytes, Matcher};
use super::plan::Plan;

/// Index of a node.
pub type NodeId = u32;

/// The node that is always false, and the one that is always true.
const FALSE: NodeId = 0;
const TRUE: NodeId = 1;

/// No memo slot.
pub const NO_SLOT: u32 = u32::MAX;

/// A part of a condition.
#[derive(Debug)]
pub enum Node {
    Const(bool),
    And {
        items: Box<[NodeId]>,
        slot: u32,
    },
    Or {
        items: Box<[NodeId]>,
        slot: u32,
    },
    Not(NodeId),
    Test {
        pred: Arc<Pred>,
        slot: u32,
    },
    /// Bit `bit` of the answer of look-up `lookup`.
    Member {
        lookup: u32,
        bit: u32,
    },
}

/// A rule that can fire on an event type, and what is left to decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Position in [`super::RuleSet::rules`].
    pub rule: u32,
    pub root: NodeId,
}

/// The compiled conditions.
#[derive(Debug, Default)]
pub struct Program {
    pub nodes: Vec<Node>,
    /// Memo slots in use.
    pub slots: usize,
    /// By number of the event type: which of `plans`.
    pub by_type: Vec<u32>,
    pub plans: Vec<Plan>,
    pub lookups: Vec<(FieldRef, Lookup)>,
}

#[derive(PartialEq, Eq, Hash)]
enum Key {
    And(Vec<NodeId>),
    Or(Vec<NodeId>),
    Not(NodeId),
    Test(String),
}

/// Builds a [`Program`] rule by rule.
pub struct Compiler {
    nodes: Vec<Node>,
    costs: Vec<u32>,
    known: HashMap<Key, NodeId, foldhash::fast::RandomState>,
    by_type: Vec<Vec<Entry>>,
}

impl Default for Compiler {
    fn default() -> Self {
        Self {
            nodes: vec![Node::Const(false), Node::Const(true)],
            costs: vec![0, 0],
            known: HashMap::default(),
            by_type: (0..event_types::count()).map(|_| Vec::new()).collect(),
        }
    }
}

/// Event types on which a condition can be true, whatever else the event holds. Comparisons that the
/// engine cannot make count as false.
pub fn possible_types(cond: &Cond) -> Vec<EventType> {
    Compiler::default().roots(cond).into_iter().map(|(event, _)| event).collect()
}

impl Program {
    /// The rules that can fire on events of a type.
    pub fn plan(&self, event: EventType) -> Option<&Plan> {
        let plan = self.by_type.get(usize::from(event.0))?;
        self.plans.get(*plan as usize)
    }
}

impl Compiler {
    /// Adds a rule's condition.
    pub fn add(&mut self, rule: u32, cond: &Cond) {
        for (event, root) in self.roots(cond) {
            if let Some(entries) = self.by_type.get_mut(usize::from(event.0)) {
                entries.push(Entry { rule, root });
            }
        }
    }

    /// What is left of the condition for each event type on which it can be true.
    fn roots(&mut self, cond: &Cond) -> Vec<(EventType, NodeId)> {
        let mut sets = Vec::new();
        type_sets(cond, &mut sets);
        // Types that all sets of the condition treat alike leave the same rest.
        let mut rests: HashMap<Vec<bool>, NodeId> = HashMap::new();
        let mut roots = Vec::new();
        for (event, _) in event_types::all() {
            let signature: Vec<bool> = sets.iter().map(|set| set.contains(event)).collect();
            let root = *rests.entry(signature).or_insert_with(|| self.fold(cond, event));
            if root != FALSE {
                roots.push((event, root));
            }
        }
        roots
    }

    fn fold(&mut self, cond: &Cond, event: EventType) -> NodeId {
        match cond {
            Cond::Const(value) => constant(*value),
            Cond::Types(set) => constant(set.contains(event)),
            Cond::Unfilled(_) => FALSE,
            Cond::Test(pred) => self.test(pred),
            Cond::Not(inner) => match self.fold(inner, event) {
                FALSE => TRUE,
                TRUE => FALSE,
                inner => match self.nodes[inner as usize] {
                    Node::Not(twice) => twice,
                    _ => self.node(Key::Not(inner), Node::Not(inner), self.costs[inner as usize]),
                },
            },
            Cond::And(items) => self.join(items, event, true),
            Cond::Or(items) => self.join(items, event, false),
        }
    }

    /// A conjunction (`and`) or disjunction, flattened, without doubles, cheapest first.
    fn join(&mut self, items: &[Cond], event: EventType, and: bool) -> NodeId {
        let (neutral, deciding) = if and { (TRUE, FALSE) } else { (FALSE, TRUE) };
        let mut parts: Vec<NodeId> = Vec::with_capacity(items.len());
        for item in items {
            let part = self.fold(item, event);
            if part == deciding {
                return deciding;
            }
            let inner: &[NodeId] = match &self.nodes[part as usize] {
                Node::And { items, .. } if and => items,
                Node::Or { items, .. } if !and => items,
                _ => &[part],
            };
            for part in inner {
                if *part != neutral && !parts.contains(part) {
                    parts.push(*part);
                }
            }
        }
        parts.sort_by_key(|part| self.costs[*part as usize]);
        match parts.as_slice() {
            [] => neutral,
            [only] => *only,
            _ => {
                let cost =
                    parts.iter().fold(0u32, |sum, part| sum.saturating_add(self.costs[*part as usize]));
                let items = parts.clone().into_boxed_slice();
                if and {
                    self.node(Key::And(parts), Node::And { items, slot: NO_SLOT }, cost)
                } else {
                    self.node(Key::Or(parts), Node::Or { items, slot: NO_SLOT }, cost)
                }
            }
        }
    }

    fn test(&mut self, pred: &Arc<Pred>) -> NodeId {
        if let Some(node) = self.known.get(&Key::Test(pred.key.clone())) {
            return *node;
        }
        let node = Node::Test { pred: Arc::clone(pred), slot: NO_SLOT };
        self.node(Key::Test(pred.key.clone()), node, pred.cost)
    }

    fn node(&mut self, key: Key, node: Node, cost: u32) -> NodeId {
        let next = NodeId::try_from(self.nodes.len()).unwrap_or(NodeId::MAX);
        *self.known.entry(key).or_insert_with(|| {
            self.nodes.push(node);
            self.costs.push(cost);
            next
        })
    }

    /// Gathers the look-ups and gives memo slots to what is asked for more than once.
    pub fn finish(mut self) -> Program {
        let lookups = self.gather();
        let mut uses = vec![0u32; self.nodes.len()];
        for node in &self.nodes {
            match node {
                Node::And { items, .. } | Node::Or { items, .. } => {
                    items.iter().for_each(|item| uses[*item as usize] += 1);
                }
                Node::Not(inner) => uses[*inner as usize] += 1,
                _ => {}
            }
        }
        for entry in self.by_type.iter().flatten() {
            uses[entry.root as usize] += 1;
        }
        let mut slots = 0;
        for (node, uses) in self.nodes.iter_mut().zip(uses) {
            if let Node::And { slot, .. } | Node::Or { slot, .. } | Node::Test { slot, .. } = node
                && uses > 1
            {
                *slot = slots;
                slots += 1;
            }
        }
        let (fields, lookups): (Vec<FieldRef>, Vec<Lookup>) = lookups.into_iter().unzip();
        let mut plans = Vec::new();
        let mut known: HashMap<&[Entry], u32> = HashMap::new();
        let mut by_type = Vec::new();
        for entries in &self.by_type {
            by_type.push(*known.entry(entries).or_insert_with(|| {
                plans.push(Plan::new(entries, &self.nodes, &self.costs, &lookups));
                u32::try_from(plans.len() - 1).unwrap_or(u32::MAX)
            }));
        }
        let lookups = fields.into_iter().zip(lookups).collect();
        Program { nodes: self.nodes, slots: slots as usize, by_type, plans, lookups }
    }

    /// Replaces tests of one field for equality, and those for prefixes, by shared look-ups.
    fn gather(&mut self) -> Vec<(FieldRef, Lookup)> {
        // A single test is done faster by itself.
        const FEWEST: usize = 2;
        let mut families: BTreeMap<(String, bool), Vec<usize>> = BTreeMap::new();
        for (at, node) in self.nodes.iter().enumerate() {
            if let Node::Test { pred, .. } = node
                && let Test::One(field, Matcher::Bytes(bytes)) = &pred.test
            {
                match bytes {
                    Bytes::Eq(_) | Bytes::In(_) => {
                        families.entry((field.to_string(), false)).or_default().push(at);
                    }
                    Bytes::StartsWith(_) => families.entry((field.to_string(), true)).or_default().push(at),
                    _ => {}
                }
            }
        }
        let mut lookups = Vec::new();
        for ((_, prefix), members) in families {
            if members.len() < FEWEST {
                continue;
            }
            let mut words: Vec<Vec<Box<[u8]>>> = Vec::new();
            let mut field = None;
            for at in &members {
                let Node::Test { pred, .. } = &self.nodes[*at] else { continue };
                let Test::One(of, Matcher::Bytes(bytes)) = &pred.test else { continue };
                field = Some(of.clone());
                words.push(match bytes {
                    Bytes::Eq(word) | Bytes::StartsWith(word) => vec![word.clone()],
                    Bytes::In(set) => set.iter().cloned().collect(),
                    _ => Vec::new(),
                });
            }
            let Some(field) = field else { continue };
            let lookup = u32::try_from(lookups.len()).unwrap_or(u32::MAX);
            for (bit, at) in (0u32..).zip(&members) {
                self.nodes[*at] = Node::Member { lookup, bit };
            }
            lookups.push((field, if prefix { Lookup::prefixes(&words) } else { Lookup::words(&words) }));
        }
        lookups
    }
}

const fn constant(value: bool) -> NodeId {
    if value { TRUE } else { FALSE }
}

/// The distinct type sets of a condition.
fn type_sets<'c>(cond: &'c Cond, into: &mut Vec<&'c TypeSet>) {
    match cond {
        Cond::Types(set) if !into.contains(&&**set) => into.push(set),
        Cond::And(items) | Cond::Or(items) => items.iter().for_each(|item| type_sets(item, into)),
        Cond::Not(inner) => type_sets(inner, into),
        _ => {}
    }
}

//! Which rules of an event type are worth a look at all.
//!
//! Two exact shortcuts before any rule is decided by itself: conjuncts that several rules share (guards) rule all of
//! them out at once when they are false; and a rule that needs one of some gathered words or prefixes (its key)
//! is a candidate only when the look-up says so. What is left are few rules, however many were loaded.

use std::collections::HashMap;

use super::compile::{Entry, Node, NodeId};
use super::lookup::Lookup;

/// With fewer rules than this on an event type the shortcuts cost more than they save.
const FEWEST: usize = 4;
/// Conjuncts that cost more are left to the rules, which may not come to ask for them.
const DEAREST: u32 = 20;

/// The rules that can fire on an event type, with the shortcuts.
#[derive(Debug, Default)]
pub struct Plan {
    /// In order of the rules.
    pub entries: Box<[Entry]>,
    /// A conjunct and the entries that need it, as bits.
    pub guards: Box<[(NodeId, Box<[u64]>)]>,
    /// Entries without a key, as bits.
    pub keyless: Box<[u64]>,
    pub keys: Box<[Key]>,
}

/// The entries that the answers of one look-up make candidates.
#[derive(Debug)]
pub struct Key {
    pub lookup: u32,
    /// By number of the answer: positions of entries.
    pub enabled: Box<[Box<[u32]>]>,
}

impl Plan {
    /// Makes the plan for the entries of a type.
    pub fn new(entries: &[Entry], nodes: &[Node], costs: &[u32], lookups: &[Lookup]) -> Self {
        let words = entries.len().div_ceil(64);
        let mut plan = Self { entries: entries.into(), ..Self::default() };
        if entries.len() < FEWEST {
            return plan;
        }
        let conjuncts: Vec<&[NodeId]> = entries.iter().map(|entry| conjuncts(&entry.root, nodes)).collect();
        let mut users: HashMap<NodeId, Vec<usize>> = HashMap::new();
        for (at, conjuncts) in conjuncts.iter().enumerate() {
            for conjunct in *conjuncts {
                users.entry(*conjunct).or_default().push(at);
            }
        }
        let mut guards: Vec<(NodeId, Box<[u64]>)> = users
            .iter()
            .filter(|(node, users)| users.len() > 1 && costs[**node as usize] <= DEAREST)
            .map(|(node, users)| (*node, bits(users, words)))
            .collect();
        guards.sort_by_key(|(node, _)| (costs[*node as usize], usize::MAX - users[node].len(), *node));
        plan.guards = guards.into();

        let mut keyless = Vec::new();
        let mut by_lookup: HashMap<u32, HashMap<u32, Vec<u32>>> = HashMap::new();
        for (at, conjuncts) in conjuncts.iter().enumerate() {
            let keys = conjuncts.iter().filter_map(|node| Some((users[node].len(), members(*node, nodes)?)));
            let Some((_, members)) = keys.min_by_key(|(users, _)| *users) else {
                keyless.push(at);
                continue;
            };
            for (lookup, bit) in members {
                let entry = u32::try_from(at).unwrap_or(u32::MAX);
                by_lookup.entry(lookup).or_default().entry(bit).or_default().push(entry);
            }
        }
        plan.keyless = bits(&keyless, words);
        let mut keys: Vec<Key> = by_lookup
            .into_iter()
            .map(|(lookup, by_bit)| {
                let enabled = (0..lookups[lookup as usize].answers())
                    .map(|set| {
                        let held =
                            by_bit.iter().filter(|(bit, _)| lookups[lookup as usize].holds(set, **bit));
                        held.flat_map(|(_, entries)| entries.iter().copied()).collect()
                    })
                    .collect();
                Key { lookup, enabled }
            })
            .collect();
        keys.sort_by_key(|key| key.lookup);
        plan.keys = keys.into();
        plan
    }
}

fn bits(positions: &[usize], words: usize) -> Box<[u64]> {
    let mut bits = vec![0u64; words].into_boxed_slice();
    for at in positions {
        bits[at / 64] |= 1 << (at % 64);
    }
    bits
}

/// The parts that must all be true for the root to be.
fn conjuncts<'n>(root: &'n NodeId, nodes: &'n [Node]) -> &'n [NodeId] {
    match &nodes[*root as usize] {
        Node::And { items, .. } => items,
        _ => std::slice::from_ref(root),
    }
}

/// The members of look-ups of which one must hold; `None` for a node that is something else.
fn members(node: NodeId, nodes: &[Node]) -> Option<Vec<(u32, u32)>> {
    match &nodes[node as usize] {
        Node::Member { lookup, bit } => Some(vec![(*lookup, *bit)]),
        Node::Or { items, .. } => {
            let parts = items.iter().map(|item| match &nodes[*item as usize] {
                Node::Member { lookup, bit } => Some((*lookup, *bit)),
                _ => None,
            });
            parts.collect()
        }
        _ => None,
    }
}

//! Conditions as nodes of one graph in which equal parts are one node, whichever rule they stand in. Constants, doubles,
//! contradictions and what another part implies fall out as the graph is built.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use super::lookup::answers::Answers;

/// Index of a node.
pub type NodeId = u32;

/// The node that is always false, and the one that is always true.
pub const FALSE: NodeId = 0;
pub const TRUE: NodeId = 1;

/// A part of a condition; children have lower numbers than their parents.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Part {
    Const(bool),
    And(Box<[NodeId]>),
    Or(Box<[NodeId]>),
    Not(NodeId),
    /// A look-up's answer is one of these.
    Member(u32, Answers),
    /// A test that no look-up answers.
    Test(u32),
}

/// What the graph has to know of a look-up.
#[derive(Debug, Clone, Copy)]
pub struct LookupInfo {
    /// Answers are below this.
    pub count: u32,
    /// An event may have several answers.
    pub several: bool,
    /// What it costs to ask, roughly in nanoseconds.
    pub cost: f32,
    /// The field has few different values.
    pub narrow: bool,
}

/// The nodes with what is guessed of them.
#[derive(Debug)]
pub struct Graph {
    pub parts: Vec<Part>,
    /// Cost of a decision, and how likely it is to come out true.
    pub cost: Vec<f32>,
    pub chance: Vec<f32>,
    pub lookups: Vec<LookupInfo>,
    known: HashMap<u64, NodeId, FixedState>,
    /// Marks of nodes that the join at work has seen.
    marks: Vec<u32>,
    mark: u32,
}

impl Graph {
    pub fn new(lookups: Vec<LookupInfo>) -> Self {
        Self {
            parts: vec![Part::Const(false), Part::Const(true)],
            cost: vec![0.0; 2],
            chance: vec![0.0, 1.0],
            lookups,
            known: HashMap::default(),
            marks: vec![0; 2],
            mark: 0,
        }
    }

    pub const fn constant(value: bool) -> NodeId {
        if value { TRUE } else { FALSE }
    }

    /// A test that no look-up answers.
    pub fn test(&mut self, test: u32, cost: f32) -> NodeId {
        self.node(Part::Test(test), cost, 0.2)
    }

    /// A look-up's answer is one of `answers`; of a look-up with several, one of its answers is.
    pub fn member(&mut self, lookup: u32, answers: Answers) -> NodeId {
        let info = self.lookups[lookup as usize];
        if answers.is_empty() {
            return FALSE;
        }
        if !info.several && answers.is_all(info.count) {
            return TRUE;
        }
        // Rules name what is rare; what they leave out is the rule.
        let names = answers.ranges().first().is_some_and(|(from, _)| *from >= super::lookup::answers::FIRST);
        let chance = match (info.narrow, names) {
            (true, _) => 0.4,
            (false, true) => 0.05,
            (false, false) => 0.95,
        };
        self.node(Part::Member(lookup, answers), info.cost, chance)
    }

    pub fn not(&mut self, inner: NodeId) -> NodeId {
        match &self.parts[inner as usize] {
            Part::Const(value) => Self::constant(!value),
            Part::Not(twice) => *twice,
            Part::Member(lookup, answers) if !self.lookups[*lookup as usize].several => {
                let (lookup, count) = (*lookup, self.lookups[*lookup as usize].count);
                let rest = answers.complement(0, count);
                self.member(lookup, rest)
            }
            _ => self.node(Part::Not(inner), self.cost[inner as usize], 1.0 - self.chance[inner as usize]),
        }
    }

    /// A conjunction (`and`) or disjunction: flattened, sets of one look-up merged, without doubles and what follows from
    /// the rest, likely and cheap deciders first.
    pub fn join(&mut self, items: &[NodeId], and: bool) -> NodeId {
        let (neutral, deciding) = if and { (TRUE, FALSE) } else { (FALSE, TRUE) };
        let mut sets: Vec<(u32, Vec<Answers>)> = Vec::new();
        let mut parts: Vec<NodeId> = Vec::new();
        let mut todo: Vec<NodeId> = items.iter().rev().copied().collect();
        self.mark += 1;
        while let Some(item) = todo.pop() {
            if item == deciding {
                return deciding;
            }
            if item == neutral || std::mem::replace(&mut self.marks[item as usize], self.mark) == self.mark {
                continue;
            }
            match &self.parts[item as usize] {
                Part::And(inner) if and => todo.extend(inner.iter().rev()),
                Part::Or(inner) if !and => todo.extend(inner.iter().rev()),
                Part::Member(lookup, answers) if !(and && self.lookups[*lookup as usize].several) => {
                    match sets.iter_mut().find(|(of, _)| of == lookup) {
                        Some((_, set)) => set.push(answers.clone()),
                        None => sets.push((*lookup, vec![answers.clone()])),
                    }
                }
                Part::Not(inner) => match (self.split(*inner, and), item) {
                    (Some((members, rest)), _) => {
                        // `not (a or b)` is `not a and not b`.
                        todo.extend(members);
                        todo.extend(rest);
                        self.mark_again(&parts);
                    }
                    (None, item) => parts.push(item),
                },
                _ => parts.push(item),
            }
        }
        for (lookup, set) in sets {
            let set = if and { Answers::in_all(&set) } else { Answers::in_any(&set) };
            let member = self.member(lookup, set);
            if member == deciding {
                return deciding;
            }
            if member != neutral {
                parts.push(member);
            }
        }
        parts.sort_unstable();
        parts.dedup();
        if self.simplify(&mut parts, and) {
            return deciding;
        }
        self.order(&mut parts, and);
        match parts.as_slice() {
            [] => neutral,
            [only] => *only,
            _ => self.joined(&parts, and),
        }
    }

    /// Joins made on the way have used the marks.
    fn mark_again(&mut self, parts: &[NodeId]) {
        self.mark += 1;
        for part in parts {
            self.marks[*part as usize] = self.mark;
        }
    }

    /// For a negated disjunction in a conjunction (and the other way round): its single-answer sets turned round, and the
    /// negated rest. `None` when it has no such set.
    fn split(&mut self, inner: NodeId, and: bool) -> Option<(Vec<NodeId>, Option<NodeId>)> {
        let items = match &self.parts[inner as usize] {
            Part::Or(items) if and => items.clone(),
            Part::And(items) if !and => items.clone(),
            _ => return None,
        };
        let single = |item: &NodeId| matches!(&self.parts[*item as usize], Part::Member(lookup, _) if !self.lookups[*lookup as usize].several);
        let (members, rest): (Vec<NodeId>, Vec<NodeId>) = items.iter().copied().partition(single);
        if members.is_empty() {
            return None;
        }
        let members = members.into_iter().map(|member| self.not(member)).collect();
        let rest = (!rest.is_empty()).then(|| {
            let rest = self.join(&rest, !and);
            self.not(rest)
        });
        Some((members, rest))
    }

    /// Drops parts that follow from others; true when two parts contradict (complete) each other.
    fn simplify(&mut self, parts: &mut Vec<NodeId>, and: bool) -> bool {
        self.mark_again(parts);
        let marks = &self.marks;
        let marked = |node: &NodeId| marks[*node as usize] == self.mark;
        let decided = |part: &NodeId| match &self.parts[*part as usize] {
            Part::Not(inner) => marked(inner),
            _ => false,
        };
        if parts.iter().any(decided) {
            return true;
        }
        // `a and (a or b)` is `a`, `a or (a and b)` is `a`.
        parts.retain(|part| match &self.parts[*part as usize] {
            Part::Or(items) if and => !items.iter().any(marked),
            Part::And(items) if !and => !items.iter().any(marked),
            _ => true,
        });
        false
    }

    /// What decides soonest for its cost comes first.
    fn order(&self, parts: &mut [NodeId], and: bool) {
        let rank = |part: &NodeId| {
            let chance = self.chance[*part as usize];
            let decides = if and { 1.0 - chance } else { chance };
            (self.cost[*part as usize] + 1.0) / decides.max(0.01)
        };
        parts.sort_by(|a, b| rank(a).total_cmp(&rank(b)).then(a.cmp(b)));
    }

    fn joined(&mut self, parts: &[NodeId], and: bool) -> NodeId {
        let (mut cost, mut reached) = (0.0, 1.0);
        for part in parts {
            cost += reached * (self.cost[*part as usize] + 1.0);
            let chance = self.chance[*part as usize];
            reached *= if and { chance } else { 1.0 - chance };
        }
        let items = parts.into();
        if and {
            self.node(Part::And(items), cost, reached)
        } else {
            self.node(Part::Or(items), cost, 1.0 - reached)
        }
    }

    fn node(&mut self, part: Part, cost: f32, chance: f32) -> NodeId {
        let mut hash = FixedState::with_seed(0).hash_one(&part);
        loop {
            match self.known.get(&hash) {
                Some(known) if self.parts[*known as usize] == part => return *known,
                Some(_) => hash = hash.wrapping_add(1),
                None => break,
            }
        }
        let id = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        self.known.insert(hash, id);
        self.parts.push(part);
        self.cost.push(cost);
        self.chance.push(chance);
        self.marks.push(0);
        id
    }

    /// The parts that must all be true for the node to be.
    pub fn conjuncts<'g>(&'g self, node: &'g NodeId) -> &'g [NodeId] {
        match &self.parts[*node as usize] {
            Part::And(items) => items,
            _ => std::slice::from_ref(node),
        }
    }

    /// The parts directly below a node.
    pub fn children(&self, node: NodeId) -> &[NodeId] {
        match &self.parts[node as usize] {
            Part::And(items) | Part::Or(items) => items,
            Part::Not(inner) => std::slice::from_ref(inner),
            Part::Const(_) | Part::Member(..) | Part::Test(_) => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> Graph {
        let info = LookupInfo { count: 10, several: false, cost: 1.0, narrow: false };
        Graph::new(vec![info, LookupInfo { several: true, ..info }])
    }

    #[test]
    fn what_one_lookup_decides_is_one_set() {
        let mut graph = graph();
        let [a, b, c] = [(3, 5), (4, 7), (8, 9)].map(|(from, to)| graph.member(0, Answers::range(from, to)));
        assert_eq!(graph.join(&[a, b], true), graph.member(0, Answers::range(4, 5)));
        assert_eq!(graph.join(&[a, b], false), graph.member(0, Answers::range(3, 7)));
        assert_eq!(graph.join(&[a, c], true), FALSE);
        let not = graph.not(a);
        assert_eq!(graph.join(&[a, not], false), TRUE);
        assert_eq!(graph.not(not), a);
        // Several answers: both can hold.
        let [three, four] = [(3, 4), (4, 5)].map(|(from, to)| graph.member(1, Answers::range(from, to)));
        assert_ne!(graph.join(&[three, four], true), FALSE);
        assert_eq!(graph.join(&[three, four], false), graph.member(1, Answers::range(3, 5)));
    }

    #[test]
    fn what_follows_is_dropped() {
        let mut graph = graph();
        let [a, b, c] = [0, 1, 2].map(|test| graph.test(test, 10.0));
        let (either, both) = (graph.join(&[a, b], false), graph.join(&[a, b], true));
        assert_eq!(graph.join(&[a, either], true), a);
        assert_eq!(graph.join(&[a, both], false), a);
        let not = graph.not(a);
        assert_eq!(graph.join(&[a, c, not], true), FALSE);
        assert_eq!(graph.join(&[a, c, not], false), TRUE);
        assert_eq!(graph.join(&[], true), TRUE);
        let nested = graph.join(&[both, c], true);
        assert_eq!(graph.conjuncts(&nested).len(), 3);
    }

    #[test]
    fn a_negated_or_gives_its_sets_to_the_and_around_it() {
        let mut graph = graph();
        let set = graph.member(0, Answers::range(3, 5));
        let test = graph.test(0, 10.0);
        let either = graph.join(&[set, test], false);
        let neither = graph.not(either);
        let other = graph.member(0, Answers::range(3, 8));
        let whole = graph.join(&[other, neither], true);
        let (rest, no_test) = (graph.member(0, Answers::range(5, 8)), graph.not(test));
        assert_eq!(whole, graph.join(&[rest, no_test], true));
    }
}

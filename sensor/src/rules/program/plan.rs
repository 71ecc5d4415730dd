//! In which order the rules of some event types are looked at, so that most are never looked at one by one.
//!
//! Rules that can fire on the same event types are sorted into groups. Conjuncts that many of them share (guards) make
//! groups within groups: when a guard is false, its group is skipped at once. Within a group, a rule that needs one of
//! some rare answers (its key) is looked at only when a look-up gives one of them. What is left are few rules, however many
//! were loaded.

use std::collections::HashMap;

use super::graph::{Graph, NodeId, Part, TRUE};
use super::lookup::Lookup;
use super::lookup::answers::Answers;

/// In a group with fewer rules than this keys cost more than they save.
const FEWEST_KEYED: usize = 3;
/// Guards that cost more are left to the rules, which may not come to ask for them.
const DEAREST: f32 = 24.0;
/// Groups within groups, at most.
const DEEPEST: usize = 10;
/// How deep and how wide keys are looked for in a condition.
const KEY_DEPTH: usize = 6;
const KEY_WIDTH: usize = 64;

/// A rule that can fire on some event types, and what is left to decide once its group is reached.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Position in [`crate::rules::rule_set::RuleSet::rules`].
    pub rule: u32,
    /// Range of [`Plans::conjuncts`].
    pub conjuncts: (u32, u32),
}

/// Rules that share a guard.
#[derive(Debug)]
pub struct Group {
    pub guard: NodeId,
    /// The group behind this one and those within it.
    pub end: u32,
    pub keys: Box<[Index]>,
    /// Range of the entries without a key.
    pub loose: (u32, u32),
}

/// Which entries the answers of one look-up make candidates. Entries stand at nodes of a tree with 16 branches over the
/// pieces that their sets cut the answers into: few per set, few to visit per answer, whatever the sets.
#[derive(Debug)]
pub struct Index {
    pub lookup: u32,
    /// First answers of the pieces, when there are fewer pieces than answers.
    cuts: Option<Box<[u32]>>,
    /// First node of each level, from the pieces upwards.
    levels: Box<[u32]>,
    /// By node: where its entries begin in `entries`.
    starts: Box<[u32]>,
    entries: Box<[u32]>,
}

const BRANCHES: u32 = 16;

/// The groups of all event types.
#[derive(Debug, Default)]
pub struct Plans {
    pub groups: Vec<Group>,
    pub entries: Vec<Entry>,
    pub conjuncts: Vec<NodeId>,
}

/// A rule to be planned: what must all be true.
#[derive(Debug, Clone)]
struct Rule {
    rule: u32,
    open: Vec<NodeId>,
}

impl Plans {
    /// Adds the rules that can fire on the same event types, with their conditions; returns the range of their groups.
    pub fn add(&mut self, rules: &[(u32, NodeId)], graph: &Graph, lookups: &[Lookup]) -> (u32, u32) {
        let start = number(self.groups.len());
        let rules = rules
            .iter()
            .map(|(rule, root)| Rule {
                rule: *rule,
                open: graph.conjuncts(root).iter().copied().filter(|node| *node != TRUE).collect(),
            })
            .collect();
        self.group(TRUE, rules, 0, graph, lookups);
        (start, number(self.groups.len()))
    }

    fn group(&mut self, guard: NodeId, rules: Vec<Rule>, depth: usize, graph: &Graph, lookups: &[Lookup]) {
        let at = self.groups.len();
        self.groups.push(Group { guard, end: 0, keys: Box::default(), loose: (0, 0) });
        let mut rest = rules;
        let mut inner = Vec::new();
        let total = rest.len();
        while depth < DEEPEST
            && let Some(guard) = best_guard(&rest, total, graph, lookups)
        {
            let (mut guarded, others): (Vec<Rule>, Vec<Rule>) =
                rest.into_iter().partition(|rule| rule.open.contains(&guard));
            for rule in &mut guarded {
                rule.open.retain(|node| *node != guard);
            }
            inner.push((guard, guarded));
            rest = others;
        }
        self.own(at, &rest, graph, lookups);
        for (guard, rules) in inner {
            self.group(guard, rules, depth + 1, graph, lookups);
        }
        self.groups[at].end = number(self.groups.len());
    }

    /// The rules that no inner group has.
    fn own(&mut self, group: usize, rules: &[Rule], graph: &Graph, lookups: &[Lookup]) {
        let keys =
            if rules.len() < FEWEST_KEYED { vec![None; rules.len()] } else { choose(rules, graph, lookups) };
        let first = number(self.entries.len());
        // Those without a key first: they are a range.
        let (loose, keyed): (Vec<_>, Vec<_>) = rules.iter().zip(keys).partition(|(_, key)| key.is_none());
        let mut by_lookup: Vec<(u32, Vec<(Answers, u32)>)> = Vec::new();
        for (rule, key) in loose.iter().chain(&keyed) {
            let entry = number(self.entries.len());
            for (lookup, answers) in key.iter().flatten() {
                match by_lookup.iter_mut().find(|(of, _)| of == lookup) {
                    Some((_, members)) => members.push((answers.clone(), entry)),
                    None => by_lookup.push((*lookup, vec![(answers.clone(), entry)])),
                }
            }
            let start = number(self.conjuncts.len());
            self.conjuncts.extend(&rule.open);
            self.entries.push(Entry { rule: rule.rule, conjuncts: (start, number(self.conjuncts.len())) });
        }
        by_lookup.sort_by(|(a, _), (b, _)| {
            let cost = |lookup: u32| graph.lookups[lookup as usize].cost;
            cost(*a).total_cmp(&cost(*b)).then(a.cmp(b))
        });
        self.groups[group].loose = (first, first + number(loose.len()));
        self.groups[group].keys = by_lookup
            .into_iter()
            .map(|(lookup, members)| Index::new(lookup, lookups[lookup as usize].count, &members))
            .collect();
    }
}

/// The conjunct that, asked once, most likely spares the most.
fn best_guard(rules: &[Rule], total: usize, graph: &Graph, lookups: &[Lookup]) -> Option<NodeId> {
    let mut users: HashMap<NodeId, usize, foldhash::fast::RandomState> = HashMap::default();
    for rule in rules {
        for node in &rule.open {
            *users.entry(*node).or_default() += 1;
        }
    }
    let worth = |node: NodeId, users: usize| {
        let (cost, chance) = (graph.cost[node as usize], graph.chance[node as usize]);
        // What a key can rule out needs no guard, unless so many share it that they would be looked at one by one.
        let fewest = if is_key(node, graph, lookups) { 16.max(total / 16) } else { 3.max(total / 64) };
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let spared = users as f32 * (1.0 - chance);
        (users >= fewest && cost <= DEAREST && spared >= 1.0).then_some(spared / (cost + 4.0))
    };
    let worths = users.iter().filter_map(|(node, users)| Some((worth(*node, *users)?, *node)));
    worths.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1))).map(|(_, node)| node)
}

fn is_key(node: NodeId, graph: &Graph, lookups: &[Lookup]) -> bool {
    matches!(&graph.parts[node as usize], Part::Member(lookup, answers) if lookups[*lookup as usize].is_rare(answers))
}

/// Sets of answers of which one must be given for a condition to be true.
type Needs = Vec<(u32, Answers)>;

/// What a node needs; `None` when it can be true without any rare answer.
fn needs(node: NodeId, depth: usize, graph: &Graph, lookups: &[Lookup]) -> Option<Needs> {
    match &graph.parts[node as usize] {
        Part::Member(lookup, answers) => {
            is_key(node, graph, lookups).then(|| vec![(*lookup, answers.clone())])
        }
        Part::Or(items) if depth > 0 => {
            let mut all = Needs::new();
            for item in items {
                all.extend(needs(*item, depth - 1, graph, lookups)?);
                if all.len() > KEY_WIDTH {
                    return None;
                }
            }
            Some(all)
        }
        Part::And(items) if depth > 0 => {
            let price = |needs: &Needs| {
                needs.iter().map(|(lookup, _)| graph.lookups[*lookup as usize].cost).sum::<f32>()
            };
            let options = items.iter().filter_map(|item| needs(*item, depth - 1, graph, lookups));
            options.min_by(|a, b| price(a).total_cmp(&price(b)))
        }
        _ => None,
    }
}

/// A key for each rule that has one: the answers that the fewest other rules of the group are interested in.
fn choose(rules: &[Rule], graph: &Graph, lookups: &[Lookup]) -> Vec<Option<Needs>> {
    let options: Vec<Vec<Needs>> = rules
        .iter()
        .map(|rule| rule.open.iter().filter_map(|node| needs(*node, KEY_DEPTH, graph, lookups)).collect())
        .collect();
    // How many rules name an answer, by the changes from answer to answer.
    let mut interest: HashMap<u32, Vec<i32>, foldhash::fast::RandomState> = HashMap::default();
    for (lookup, answers) in options.iter().flatten().flatten() {
        let count = lookups[*lookup as usize].count as usize + 1;
        let changes = interest.entry(*lookup).or_insert_with(|| vec![0; count]);
        for (from, to) in answers.ranges() {
            changes[*from as usize] += 1;
            changes[*to as usize] -= 1;
        }
    }
    for changes in interest.values_mut() {
        let mut sum = 0;
        for change in changes {
            sum += *change;
            *change = sum;
        }
    }
    let price = |needs: &Needs| -> f32 {
        let of = |(lookup, answers): &(u32, Answers)| {
            let interest = &interest[lookup];
            let most = answers.ranges().iter().map(|(from, _)| interest[*from as usize]).max().unwrap_or(0);
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            let most = most as f32;
            most + graph.lookups[*lookup as usize].cost
        };
        needs.iter().map(of).sum()
    };
    options
        .into_iter()
        .map(|options| options.into_iter().min_by(|a, b| price(a).total_cmp(&price(b))))
        .collect()
}

impl Index {
    fn new(lookup: u32, count: u32, members: &[(Answers, u32)]) -> Self {
        let ranges = members.iter().map(|(answers, _)| answers.ranges().len()).sum::<usize>();
        let cuts: Option<Box<[u32]>> = (count as usize > 16 * ranges + 64).then(|| {
            let ends =
                members.iter().flat_map(|(answers, _)| answers.ranges()).flat_map(|(from, to)| [*from, *to]);
            let mut cuts: Vec<u32> = ends.collect();
            cuts.sort_unstable();
            cuts.dedup();
            cuts.into()
        });
        let piece = |answer: u32| match &cuts {
            None => answer,
            Some(cuts) => number(cuts.partition_point(|cut| *cut <= answer)),
        };
        let mut width = match &cuts {
            None => count,
            Some(cuts) => number(cuts.len()) + 1,
        };
        let mut levels = vec![0];
        let mut nodes = width;
        while width > 1 {
            width = width.div_ceil(BRANCHES);
            levels.push(nodes);
            nodes += width;
        }
        let mut stand: Vec<(u32, u32)> = Vec::new();
        for (answers, entry) in members {
            for (from, to) in answers.ranges() {
                let (mut from, mut to) = (piece(*from), piece(*to));
                for level in &levels {
                    while from < to && (from % BRANCHES != 0 || to - from < BRANCHES) {
                        stand.push((level + from, *entry));
                        from += 1;
                    }
                    while from < to && to % BRANCHES != 0 {
                        to -= 1;
                        stand.push((level + to, *entry));
                    }
                    from /= BRANCHES;
                    to /= BRANCHES;
                }
            }
        }
        stand.sort_unstable();
        let mut starts = vec![0; nodes as usize + 1];
        for (node, _) in &stand {
            starts[*node as usize + 1] += 1;
        }
        for node in 0..nodes as usize {
            starts[node + 1] += starts[node];
        }
        Self {
            lookup,
            cuts,
            levels: levels.into(),
            starts: starts.into(),
            entries: stand.into_iter().map(|(_, entry)| entry).collect(),
        }
    }

    /// Calls `candidate` with each entry that an answer makes one.
    #[inline]
    pub fn candidates(&self, answer: u32, mut candidate: impl FnMut(u32)) {
        let mut piece = match &self.cuts {
            None => answer,
            Some(cuts) => number(cuts.partition_point(|cut| *cut <= answer)),
        };
        for level in &self.levels {
            let node = (level + piece) as usize;
            let (from, to) = (self.starts[node] as usize, self.starts[node + 1] as usize);
            self.entries[from..to].iter().for_each(|entry| candidate(*entry));
            piece /= BRANCHES;
        }
    }
}

fn number(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_names_exactly_the_entries_whose_sets_have_the_answer() {
        for (count, step) in [(5, 1), (40, 3), (300, 7), (100_000, 997), (5000, 1)] {
            let members: Vec<(Answers, u32)> = (0..30u32)
                .map(|n| {
                    let from = n * step * 31 % count;
                    let more = (from + n * n * step % 700).min(count);
                    (Answers::new(vec![(from, more), (n % count, n % count + 1)]), n)
                })
                .collect();
            let index = Index::new(0, count, &members);
            for answer in (0..count).step_by(step as usize).chain([count - 1]) {
                let mut found = Vec::new();
                index.candidates(answer, |entry| found.push(entry));
                found.sort_unstable();
                let expected: Vec<u32> =
                    members.iter().filter(|(set, _)| set.contains(answer)).map(|(_, n)| *n).collect();
                assert_eq!(found, expected, "{count} {answer}");
            }
        }
    }
}

//! Checked conditions into one program for all rules.
//!
//! First all tests are gathered: those of one field that one look-up can answer become questions to it ([`super::families`]).
//! Then each condition is put together as nodes of one graph ([`super::graph`]), once for each way in which the event's type
//! decides part of it. Rules that can fire on the same event types are planned together ([`super::plan`]). What is left is
//! written into flat arrays. Nothing here is recursive over a condition, so one may be as deep as the parser lets it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use sensor_ebpf::events::Volume;

use super::families::{self, Families, Formula};
use super::graph::{FALSE, Graph, NodeId, Part, TRUE};
use super::lookup::Lookup;
use super::plan::{Group, Plans};
use crate::rules::language::check::{Cond, Pred, Test, TypeSet};
use crate::rules::registry::event::EventType;
use crate::rules::registry::event_types;
use crate::rules::registry::fields::FieldRef;

/// No memo slot.
pub const NO_SLOT: u32 = u32::MAX;

/// Nodes that stand deeper below a conjunct are decided before it, so that deciding needs little stack.
const DEEPEST: u32 = 48;

/// A part of a condition, as the evaluation sees it.
#[derive(Debug, Clone, Copy)]
pub enum Node {
    Const(bool),
    /// Range of [`Program::children`].
    And {
        from: u32,
        to: u32,
        slot: u32,
    },
    Or {
        from: u32,
        to: u32,
        slot: u32,
    },
    Not(NodeId),
    /// Test of [`Program::tests`].
    Test {
        test: u32,
        slot: u32,
    },
    /// The look-up's one answer lies in one range.
    Within {
        lookup: u32,
        from: u32,
        to: u32,
    },
    /// The look-up's one answer lies in ranges of [`Program::ranges`].
    Among {
        lookup: u32,
        from: u32,
        to: u32,
    },
    /// One of the look-up's answers lies in ranges of [`Program::ranges`].
    Several {
        lookup: u32,
        from: u32,
        to: u32,
    },
}

/// A rule that can fire on some event types, and what is left to decide once its group is reached.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Position in [`crate::rules::rule_set::RuleSet::rules`].
    pub rule: u32,
    /// Range of [`Program::children`]: what must all be true.
    pub from: u32,
    pub to: u32,
    /// Range of [`Program::children`]: what to decide before, lest deciding goes too deep.
    pub before: (u32, u32),
}

/// A field that is asked for, and whether by several.
#[derive(Debug)]
pub struct Source {
    pub field: FieldRef,
    pub keep: bool,
}

/// A look-up at work.
#[derive(Debug)]
pub struct Asked {
    pub source: u32,
    /// The values that [`crate::rules::registry::event::Event::any`] gives.
    pub any: bool,
    pub several: bool,
    pub lookup: Lookup,
}

/// The compiled conditions.
#[derive(Debug, Default)]
pub struct Program {
    pub nodes: Vec<Node>,
    pub children: Vec<NodeId>,
    pub ranges: Vec<(u32, u32)>,
    /// A test and, where it is about one value of a field, which.
    pub tests: Vec<(Arc<Pred>, Option<u32>)>,
    pub sources: Vec<Source>,
    pub lookups: Vec<Asked>,
    pub groups: Vec<Group>,
    pub entries: Vec<Entry>,
    /// Memo slots in use.
    pub slots: usize,
    /// By number of the event type: the groups to go through.
    by_type: Vec<Vec<(u32, u32)>>,
}

/// A step of a condition in postfix form.
#[derive(Debug, Clone, Copy)]
enum Step {
    Const(bool),
    /// A set of types, by position in [`Code::sets`].
    Types(usize),
    /// A test, by position among the leaves.
    Test(u32),
    Not,
    And(usize),
    Or(usize),
}

/// A condition without recursion.
#[derive(Debug, Default)]
struct Code<'c> {
    steps: Vec<Step>,
    sets: Vec<&'c TypeSet>,
}

enum Visit<'c> {
    /// The condition, and the conjunction or disjunction directly around it.
    Enter(&'c Cond, Option<usize>),
    Leave(usize),
    Not,
}

impl<'c> Code<'c> {
    fn new(cond: &'c Cond, leaf: &mut dyn FnMut(&'c Arc<Pred>) -> u32) -> Self {
        let mut code = Self::default();
        // Open conjunctions and disjunctions: which of both, and the number of parts.
        let mut joins: Vec<(bool, usize)> = Vec::new();
        let mut todo = vec![Visit::Enter(cond, None)];
        while let Some(visit) = todo.pop() {
            let (cond, around) = match visit {
                Visit::Enter(cond, around) => (cond, around),
                Visit::Not => {
                    code.steps.push(Step::Not);
                    continue;
                }
                Visit::Leave(join) => {
                    let (and, parts) = joins[join];
                    code.steps.push(if and { Step::And(parts) } else { Step::Or(parts) });
                    continue;
                }
            };
            match cond {
                Cond::Const(value) => code.steps.push(Step::Const(*value)),
                Cond::Unfilled(_) => code.steps.push(Step::Const(false)),
                Cond::Types(set) => {
                    let known = code.sets.iter().position(|known| **known == **set);
                    let at = known.unwrap_or_else(|| {
                        code.sets.push(set);
                        code.sets.len() - 1
                    });
                    code.steps.push(Step::Types(at));
                }
                Cond::Test(pred) => code.steps.push(Step::Test(leaf(pred))),
                Cond::Not(inner) => {
                    todo.push(Visit::Not);
                    todo.push(Visit::Enter(inner, None));
                }
                Cond::And(items) | Cond::Or(items) => {
                    let and = matches!(cond, Cond::And(_));
                    let join = match around {
                        // A part of the same kind goes up into the one around it.
                        Some(join) if joins[join].0 == and => {
                            joins[join].1 = joins[join].1 + items.len() - 1;
                            join
                        }
                        _ => {
                            joins.push((and, items.len()));
                            todo.push(Visit::Leave(joins.len() - 1));
                            joins.len() - 1
                        }
                    };
                    todo.extend(items.iter().rev().map(|item| Visit::Enter(item, Some(join))));
                }
            }
        }
        code
    }

    /// Calls `each` with a type of every group of types that the condition's sets treat alike, and the group.
    fn signatures(&self, mut each: impl FnMut(EventType, &[EventType])) {
        let mut groups: Vec<Vec<EventType>> = vec![event_types::all().map(|(event, _)| event).collect()];
        for set in &self.sets {
            for at in 0..groups.len() {
                let (within, without): (Vec<_>, Vec<_>) =
                    groups[at].iter().partition(|event| set.contains(**event));
                if !within.is_empty() && !without.is_empty() {
                    groups[at] = within;
                    groups.push(without);
                }
            }
        }
        for group in &groups {
            each(group[0], group);
        }
    }
}

/// Event types on which a condition can be true, whatever else the event holds. Comparisons that the
/// engine cannot make count as false.
pub fn possible_types(cond: &Cond) -> Vec<EventType> {
    let code = Code::new(cond, &mut |_| 0);
    let mut types = Vec::new();
    code.signatures(|event, group| {
        // What is known of each part: that it can be false, that it can be true.
        let mut stack: Vec<(bool, bool)> = Vec::new();
        let constant = |value: bool| (!value, value);
        for step in &code.steps {
            let value = match *step {
                Step::Const(value) => constant(value),
                Step::Types(set) => constant(code.sets[set].contains(event)),
                Step::Test(_) => (true, true),
                Step::Not => stack.pop().map_or((true, true), |(no, yes)| (yes, no)),
                Step::And(parts) => {
                    let parts = stack.split_off(stack.len() - parts);
                    (parts.iter().any(|(no, _)| *no), parts.iter().all(|(_, yes)| *yes))
                }
                Step::Or(parts) => {
                    let parts = stack.split_off(stack.len() - parts);
                    (parts.iter().all(|(no, _)| *no), parts.iter().any(|(_, yes)| *yes))
                }
            };
            stack.push(value);
        }
        if stack.pop().is_some_and(|(_, yes)| yes) {
            types.extend_from_slice(group);
        }
    });
    types.sort_unstable();
    types
}

/// Those of [`possible_types`] that are captured for the condition: of events of high volume only what it names.
pub fn asked_types(cond: &Cond) -> Vec<EventType> {
    let is_asked = |event: &EventType| {
        cond.names(*event) || event_types::info(*event).is_some_and(|info| info.volume == Volume::Normal)
    };
    possible_types(cond).into_iter().filter(is_asked).collect()
}

/// Compiles the conditions of rules, each with the rule's position in [`crate::rules::rule_set::RuleSet::rules`].
pub fn program(conditions: &[(u32, &Cond)]) -> Program {
    let mut leaves: Vec<&Arc<Pred>> = Vec::new();
    let mut known: HashMap<&str, u32, foldhash::fast::RandomState> = HashMap::default();
    let codes: Vec<(u32, Code<'_>)> = conditions
        .iter()
        .map(|(rule, cond)| {
            let code = Code::new(cond, &mut |pred| {
                *known.entry(&pred.key).or_insert_with(|| {
                    leaves.push(pred);
                    number(leaves.len() - 1)
                })
            });
            (*rule, code)
        })
        .collect();

    let mut families = Families::default();
    let formulas: Vec<Formula> = leaves.iter().map(|pred| families.formula(&pred.test, pred.cost)).collect();
    let made = families.make();
    let mut graph = Graph::new(made.iter().map(|made| made.info).collect());
    let nodes: Vec<NodeId> = (0u32..)
        .zip(leaves.iter().zip(&formulas))
        .map(|(at, (pred, formula))| {
            #[expect(clippy::cast_precision_loss, reason = "costs are small")]
            let cost = pred.cost as f32;
            families::node(formula, &made, &mut graph, &mut |graph| graph.test(at, cost))
        })
        .collect();
    drop(formulas);

    // Rules by the set of types that leave the same rest of their condition.
    let words = event_types::count().div_ceil(64);
    let mut bundles: BTreeMap<Vec<u64>, Vec<(u32, NodeId)>> = BTreeMap::new();
    let mut stack = Vec::new();
    for (rule, code) in &codes {
        let mut rests: BTreeMap<NodeId, Vec<u64>> = BTreeMap::new();
        code.signatures(|event, group| {
            let root = fold(code, event, &nodes, &mut graph, &mut stack);
            if root != FALSE {
                let set = rests.entry(root).or_insert_with(|| vec![0; words]);
                for event in group {
                    set[usize::from(event.0) / 64] |= 1 << (event.0 % 64);
                }
            }
        });
        for (root, set) in rests {
            bundles.entry(set).or_default().push((*rule, root));
        }
    }
    drop(codes);

    let tests: Vec<Arc<Pred>> = leaves.into_iter().cloned().collect();
    let mut infos = Vec::new();
    let mut lookups: Vec<Lookup> = Vec::new();
    for made in made {
        infos.push((made.field, made.any, made.info.several));
        lookups.push(made.lookup);
    }
    let mut plans = Plans::default();
    let mut by_type = vec![Vec::new(); event_types::count()];
    for (set, rules) in &bundles {
        let range = plans.add(rules, &graph, &lookups);
        for (event, _) in event_types::all() {
            if set[usize::from(event.0) / 64] >> (event.0 % 64) & 1 == 1 {
                by_type[usize::from(event.0)].push(range);
            }
        }
    }
    let program = Program { by_type, ..Program::default() };
    let mut writer = Writer { graph, program, sources: HashMap::default() };
    let used = writer.write(plans, &tests);
    for (at, ((field, any, several), mut lookup)) in infos.into_iter().zip(lookups).enumerate() {
        lookup.seal();
        let source = writer.source(&field, used[at]);
        writer.program.lookups.push(Asked { source, any, several, lookup });
    }
    writer.program
}

/// What a type leaves of a condition.
fn fold(
    code: &Code<'_>,
    event: EventType,
    leaves: &[NodeId],
    graph: &mut Graph,
    stack: &mut Vec<NodeId>,
) -> NodeId {
    stack.clear();
    for step in &code.steps {
        let node = match *step {
            Step::Const(value) => Graph::constant(value),
            Step::Types(set) => Graph::constant(code.sets[set].contains(event)),
            Step::Test(leaf) => leaves[leaf as usize],
            Step::Not => {
                let inner = stack.pop().unwrap_or(FALSE);
                graph.not(inner)
            }
            Step::And(parts) | Step::Or(parts) => {
                let from = stack.len() - parts;
                let node = graph.join(&stack[from..], matches!(step, Step::And(_)));
                stack.truncate(from);
                node
            }
        };
        stack.push(node);
    }
    stack.pop().unwrap_or(FALSE)
}

impl Program {
    /// The ranges of groups to go through for events of a type.
    #[inline]
    pub fn groups_of(&self, event: EventType) -> &[(u32, u32)] {
        self.by_type.get(usize::from(event.0)).map_or(&[], Vec::as_slice)
    }
}

/// Writes what the plans need of the graph into flat arrays.
struct Writer {
    graph: Graph,
    program: Program,
    /// Positions in [`Program::sources`].
    sources: HashMap<FieldRef, u32, foldhash::fast::RandomState>,
}

impl Writer {
    /// Returns which look-ups are used.
    fn write(&mut self, mut plans: Plans, tests: &[Arc<Pred>]) -> Vec<bool> {
        let count = self.graph.parts.len();
        // How often each node is asked for, and which at all; parents have higher numbers than their children.
        let mut uses = vec![0u32; count];
        for node in plans.conjuncts.iter().chain(plans.groups.iter().map(|group| &group.guard)) {
            uses[*node as usize] += 1;
        }
        // The constants keep their numbers: a group's guard is compared with them.
        uses[FALSE as usize] += 1;
        uses[TRUE as usize] += 1;
        for node in (0..count).rev() {
            if uses[node] > 0 {
                for child in self.graph.children(number(node)) {
                    uses[*child as usize] += 1;
                }
            }
        }
        let mut depth = vec![0u32; count];
        let mut cut = vec![false; count];
        // Whether there is a cut at the node or below.
        let mut deep = vec![false; count];
        for node in 0..count {
            let below = || self.graph.children(number(node)).iter().map(|child| *child as usize);
            let deepest = below().map(|child| if cut[child] { 0 } else { depth[child] + 1 }).max();
            depth[node] = deepest.unwrap_or(0);
            cut[node] =
                depth[node] >= DEEPEST && matches!(self.graph.parts[node], Part::And(_) | Part::Or(_));
            deep[node] = cut[node] || below().any(|child| deep[child]);
        }
        let mut used = vec![false; self.graph.lookups.len()];
        let mut numbers = vec![0u32; count];
        for node in 0..count {
            if uses[node] > 0 {
                self.node(node, uses[node] > 1 || cut[node], &mut numbers, &mut used, tests);
            }
        }
        for group in &mut plans.groups {
            group.guard = numbers[group.guard as usize];
            group.keys.iter().for_each(|key| used[key.lookup as usize] = true);
        }
        for entry in &plans.entries {
            let conjuncts = &plans.conjuncts[entry.conjuncts.0 as usize..entry.conjuncts.1 as usize];
            let before = self.cuts(conjuncts, &cut, &deep, &numbers);
            let from = number(self.program.children.len());
            self.program.children.extend(conjuncts.iter().map(|node| numbers[*node as usize]));
            let to = number(self.program.children.len());
            self.program.entries.push(Entry { rule: entry.rule, from, to, before });
        }
        self.program.groups = plans.groups;
        used
    }

    fn node(&mut self, node: usize, memo: bool, numbers: &mut [u32], used: &mut [bool], tests: &[Arc<Pred>]) {
        let program = &mut self.program;
        let mut slot = || {
            if !memo {
                return NO_SLOT;
            }
            program.slots += 1;
            number(program.slots - 1)
        };
        let written = match &self.graph.parts[node] {
            Part::Const(value) => Node::Const(*value),
            Part::Not(inner) => Node::Not(numbers[*inner as usize]),
            Part::And(items) | Part::Or(items) => {
                let slot = slot();
                let from = number(program.children.len());
                program.children.extend(items.iter().map(|item| numbers[*item as usize]));
                let to = number(program.children.len());
                if matches!(self.graph.parts[node], Part::And(_)) {
                    Node::And { from, to, slot }
                } else {
                    Node::Or { from, to, slot }
                }
            }
            Part::Test(test) => {
                let slot = slot();
                let pred = Arc::clone(&tests[*test as usize]);
                let source = match &pred.test {
                    Test::One(field, _) | Test::Path(field, _) => Some(field.clone()),
                    _ => None,
                };
                let source = source.map(|field| self.source(&field, true));
                self.program.tests.push((pred, source));
                Node::Test { test: number(self.program.tests.len() - 1), slot }
            }
            Part::Member(lookup, answers) => {
                used[*lookup as usize] = true;
                let lookup = *lookup;
                let several = self.graph.lookups[lookup as usize].several;
                match answers.ranges() {
                    [(from, to)] if !several => Node::Within { lookup, from: *from, to: *to },
                    ranges => {
                        let from = number(program.ranges.len());
                        program.ranges.extend_from_slice(ranges);
                        let to = number(program.ranges.len());
                        if several {
                            Node::Several { lookup, from, to }
                        } else {
                            Node::Among { lookup, from, to }
                        }
                    }
                }
            }
        };
        numbers[node] = number(self.program.nodes.len());
        self.program.nodes.push(written);
    }

    /// The nodes below that are to be decided first, deepest first.
    fn cuts(&mut self, conjuncts: &[NodeId], cut: &[bool], deep: &[bool], numbers: &[u32]) -> (u32, u32) {
        let from = number(self.program.children.len());
        let mut found = BTreeSet::new();
        // Most conditions are not deep, and nothing of them is walked.
        let mut todo: Vec<NodeId> = conjuncts.iter().copied().filter(|node| deep[*node as usize]).collect();
        let mut seen = HashSet::new();
        while let Some(node) = todo.pop() {
            if seen.insert(node) {
                if cut[node as usize] {
                    found.insert(node);
                }
                todo.extend(self.graph.children(node).iter().filter(|child| deep[**child as usize]));
            }
        }
        self.program.children.extend(found.iter().map(|node| numbers[*node as usize]));
        (from, number(self.program.children.len()))
    }

    /// The number of a field's source; one more asks for it when it is `used`.
    fn source(&mut self, field: &FieldRef, used: bool) -> u32 {
        if let Some(at) = self.sources.get(field) {
            self.program.sources[*at as usize].keep |= used;
            *at
        } else {
            let at = number(self.program.sources.len());
            self.program.sources.push(Source { field: field.clone(), keep: false });
            self.sources.insert(field.clone(), at);
            at
        }
    }
}

fn number(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

//! Lists into condition texts, macros into condition trees.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::collector::{Collector, List, Macro, Place, Rule};
use super::definitions::{ListText, MacroText, Sources};
use crate::rules::language::ast::Expr;
use crate::rules::language::parse;
use crate::rules::report::complaint::{Code, Complaint};
use crate::rules::report::source::{Origin, Source};
use crate::rules::report::suggest;
use crate::rules::report::text::Text;

/// Most nodes of one condition after its macros are put in; macros that use each other could grow without end.
const MAX_NODES: usize = 100_000;

/// The macros of a collection, ready to be put in, and what has been used.
pub struct Resolver<'c> {
    /// List names with their joined items, in order of definition.
    lists: Vec<(&'c str, Text)>,
    macros: HashMap<&'c str, Resolved>,
    /// The macros before others were put into them.
    written: HashMap<&'c str, Parsed<'c>>,
    /// Where the name of the list stands that brought an item.
    named: RefCell<HashMap<Origin, Vec<Origin>>>,
    used_lists: RefCell<HashSet<&'c str>>,
    used_macros: RefCell<HashSet<&'c str>>,
}

/// A macro whose own macros are put in.
struct Resolved {
    expr: Expr,
    nodes: usize,
}

/// A macro as it was parsed.
struct Parsed<'c> {
    definition: &'c Macro,
    /// The condition with lists put in.
    text: Text,
    expr: Expr,
}

impl<'c> Resolver<'c> {
    /// Compiles all lists and macros.
    pub fn new(collector: &'c Collector) -> Result<Self, Complaint> {
        let mut used_lists = HashSet::new();
        let by_name = by_name(collector);
        let lists = collector.lists.iter();
        let lists = lists.map(|list| (list.name.as_str(), joined(list, &by_name, &mut used_lists))).collect();
        let mut resolver = Self {
            lists,
            macros: HashMap::new(),
            written: HashMap::new(),
            named: RefCell::default(),
            used_lists: RefCell::new(used_lists),
            used_macros: RefCell::default(),
        };
        let mut parsed = HashMap::new();
        for definition in &collector.macros {
            let around = |c| in_macro(definition, &definition.condition, c);
            let text = resolver.substituted(&definition.condition).map_err(around)?;
            let expr = parse::condition(&text).map_err(|c| in_macro(definition, &text, c))?;
            parsed.insert(definition.name.as_str(), Parsed { definition, text, expr });
        }
        for definition in &collector.macros {
            resolver.resolve_macro(&definition.name, &parsed, &mut Vec::new())?;
        }
        resolver.written = parsed;
        Ok(resolver)
    }

    fn resolve_macro(
        &mut self,
        name: &str,
        all: &HashMap<&'c str, Parsed<'c>>,
        path: &mut Vec<&'c str>,
    ) -> Result<(), Complaint> {
        if self.macros.contains_key(name) {
            return Ok(());
        }
        let Some((name, parsed)) = all.get_key_value(name) else { return Ok(()) };
        let around = |complaint: Complaint| in_macro(parsed.definition, &parsed.text, complaint);
        path.push(name);
        let mut references = Vec::new();
        references_of(&parsed.expr, &mut references);
        for (reference, span) in references {
            // A macro sees those that were first defined before its own latest definition.
            let sees = |place: Place| place.index < parsed.definition.place.visible;
            let other = all.get(reference).filter(|other| sees(other.definition.place));
            if other.is_none() {
                let later = all.contains_key(reference) && reference != *name;
                let known = all.keys().copied().filter(|known| known != name);
                return Err(around(undefined(reference, span, known, later)));
            }
            if path.contains(&reference) || path.len() > MAX_CHAIN {
                let message = format!("reference loop in macro '{reference}'");
                return Err(around(Complaint::new(Code::Validate, span.at, message).spanning(span.len)));
            }
            self.resolve_macro(reference, all, path)?;
        }
        path.pop();
        let mut nodes = 0;
        let expr =
            self.put_in(&parsed.expr, &mut nodes).and_then(|expr| shallow(expr, parsed.definition.place.at));
        let expr = expr.map_err(around)?;
        self.macros.insert(name, Resolved { expr, nodes });
        Ok(())
    }

    /// The condition text of a rule, exceptions and lists put in.
    pub fn text(&self, rule: &Rule) -> Result<Text, Complaint> {
        if rule.exceptions.is_empty() {
            return self.substituted(&rule.condition);
        }
        let origin = rule.condition.origin(0);
        let mut text = Text::placed("(", origin);
        text.push(&rule.condition);
        text.push_str(")", origin);
        for exception in &rule.exceptions {
            exception.write(&mut text)?;
        }
        self.substituted(&text)
    }

    /// The condition of a rule as a tree, with its macros as names, then with them put in; `text` is what [`Self::text`]
    /// made of the rule.
    pub fn rule(&self, text: &Text) -> Result<(Expr, Expr), Complaint> {
        let written = parse::condition(text)?;
        let expr = shallow(self.put_in(&written, &mut 0)?, text.origin(0))?;
        Ok((written, expr))
    }

    /// What is needed to show conditions as they were written.
    pub fn sources(self, collector: &Collector, files: Arc<[Source]>) -> Sources {
        let (used_lists, used_macros) = (self.used_lists.into_inner(), self.used_macros.into_inner());
        let mut written = self.written;
        let macros = collector.macros.iter().filter_map(|entry| {
            let parsed = written.remove(entry.name.as_str())?;
            let used = used_macros.contains(entry.name.as_str());
            let text = entry.condition.as_str().trim().to_owned();
            Some((entry.name.clone(), MacroText { at: entry.place.at, text, expr: parsed.expr, used }))
        });
        let macros = macros.collect();
        let by_name = by_name(collector);
        let lists = collector.lists.iter().map(|list| {
            let used = used_lists.contains(list.name.as_str());
            let text = |item: &Text| item.as_str().to_owned();
            let items = list.items.iter().map(text).collect();
            let compiled = flat(list, &by_name, &mut |_| ()).into_iter().map(text).collect();
            (list.name.clone(), ListText { at: list.place.at, items, compiled, used })
        });
        Sources::new(files, macros, lists.collect(), self.named.into_inner())
    }

    /// Adds to a complaint about the condition of a rule what it lies in: the rule's own condition text, or a macro's.
    pub fn in_rule(&self, rule: &Rule, text: &Text, complaint: Complaint) -> Complaint {
        let at = complaint.at;
        let around = |complaint: Complaint| complaint.within("rule condition", "", rule.condition_at);
        if text.find(at).is_some() {
            return around(text.around(complaint));
        }
        let inside = |parsed: &&Parsed<'_>| parsed.text.find(at).is_some();
        match self.written.values().filter(inside).min_by_key(|parsed| parsed.definition.place.index) {
            None => around(complaint),
            Some(parsed) => {
                let definition = parsed.definition;
                let complaint = parsed.text.around(complaint);
                around(complaint.within("macro", &definition.name, definition.place.at))
            }
        }
    }

    /// A condition text with the lists put in.
    fn substituted(&self, text: &Text) -> Result<Text, Complaint> {
        let mut text = text.clone();
        for (name, items) in &self.lists {
            if text.substitute(name, items)? {
                self.used_lists.borrow_mut().insert(name);
            }
        }
        let mut named = self.named.borrow_mut();
        for (item, name) in text.items() {
            let names = named.entry(*item).or_default();
            if !names.contains(name) {
                names.push(*name);
            }
        }
        drop(named);
        Ok(text)
    }

    fn put_in(&self, expr: &Expr, nodes: &mut usize) -> Result<Expr, Complaint> {
        *nodes += 1;
        let all = |items: &[Expr], nodes: &mut usize| -> Result<Vec<Expr>, Complaint> {
            items.iter().map(|item| self.put_in(item, nodes)).collect()
        };
        Ok(match expr {
            Expr::And(items) => Expr::And(all(items, nodes)?),
            Expr::Or(items) => Expr::Or(all(items, nodes)?),
            Expr::Not(inner) => Expr::Not(Box::new(self.put_in(inner, nodes)?)),
            Expr::Check(check) => Expr::Check(check.clone()),
            Expr::Macro(name, span) => {
                let Some((name, resolved)) = self.macros.get_key_value(name.as_str()) else {
                    return Err(undefined(name, *span, self.macros.keys().copied(), false));
                };
                *nodes += resolved.nodes;
                if *nodes > MAX_NODES {
                    let message = format!("the condition has more than {MAX_NODES} parts with its macros");
                    return Err(Complaint::new(Code::CompileCondition, span.at, message));
                }
                self.used_macros.borrow_mut().insert(name);
                resolved.expr.clone()
            }
        })
    }

    /// Warnings about lists and macros that nothing refers to.
    pub fn unused(&self, collector: &Collector) -> Vec<Complaint> {
        let (lists, macros) = (self.used_lists.borrow(), self.used_macros.borrow());
        let unused = |code, kind: &'static str, name: &str, at: Origin| {
            let capital = if code == Code::UnusedList { "List" } else { "Macro" };
            let message = format!("{capital} not referred to by any other rule/macro");
            Complaint::new(code, at, message).within(kind, name, at)
        };
        let macros = collector.macros.iter().filter(|entry| !macros.contains(entry.name.as_str()));
        let macros = macros.map(|entry| unused(Code::UnusedMacro, "macro", &entry.name, entry.place.at));
        let lists = collector.lists.iter().filter(|list| !lists.contains(list.name.as_str()));
        let lists = lists.map(|list| unused(Code::UnusedList, "list", &list.name, list.place.at));
        macros.chain(lists).collect()
    }
}

/// The tree, unless it is so deep that walking it could take the whole stack.
fn shallow(expr: Expr, at: Origin) -> Result<Expr, Complaint> {
    if expr.depth() <= parse::MAX_DEPTH {
        return Ok(expr);
    }
    let message = format!("nested deeper than {} levels with its macros", parse::MAX_DEPTH);
    Err(Complaint::new(Code::CompileCondition, at, message))
}

/// Longest chain of macros that refer to each other.
const MAX_CHAIN: usize = 100;

/// Adds to a complaint about the condition of a macro what it lies in.
fn in_macro(definition: &Macro, text: &Text, complaint: Complaint) -> Complaint {
    text.around(complaint).within("macro condition", "", definition.condition_at).within(
        "macro",
        &definition.name,
        definition.place.at,
    )
}

/// The complaint about a name that no macro has; `later`: one has it, but is defined too late to be seen.
fn undefined<'a>(
    name: &str,
    span: crate::rules::language::ast::Span,
    known: impl Iterator<Item = &'a str>,
    later: bool,
) -> Complaint {
    let message = format!("Undefined macro '{name}' used in filter.");
    let complaint = Complaint::new(Code::Validate, span.at, message).spanning(span.len);
    if later {
        return complaint.suggesting(Some(format!("{name}, defined further up")));
    }
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    complaint.suggesting(suggest::nearest(name, known))
}

fn references_of<'e>(expr: &'e Expr, into: &mut Vec<(&'e str, crate::rules::language::ast::Span)>) {
    match expr {
        Expr::And(items) | Expr::Or(items) => items.iter().for_each(|item| references_of(item, into)),
        Expr::Not(inner) => references_of(inner, into),
        Expr::Check(_) => {}
        Expr::Macro(name, span) => into.push((name, *span)),
    }
}

fn by_name(collector: &Collector) -> HashMap<&str, &List> {
    collector.lists.iter().map(|list| (list.name.as_str(), list)).collect()
}

/// The items of a list joined for a condition.
fn joined<'c>(list: &'c List, all: &HashMap<&str, &'c List>, used: &mut HashSet<&'c str>) -> Text {
    let mut text = Text::default();
    for item in flat(list, all, &mut |name| _ = used.insert(name)) {
        text.push_item(item);
    }
    text
}

/// The items of a list. An item that is the name of a list it may see is replaced by that list's own items: one
/// level, as Falco does it; deeper names stay as they are. `used` hears the names of the lists put in.
fn flat<'c>(list: &'c List, all: &HashMap<&str, &'c List>, used: &mut dyn FnMut(&'c str)) -> Vec<&'c Text> {
    let mut items = Vec::with_capacity(list.items.len());
    for item in &list.items {
        match all.get(item.as_str()) {
            Some(inner) if inner.place.index < list.place.visible && inner.name != list.name => {
                used(inner.name.as_str());
                items.extend(&inner.items);
            }
            _ => items.push(item),
        }
    }
    items
}

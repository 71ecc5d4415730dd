//! Lists into condition texts, macros into condition trees.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::ast::Expr;
use super::collector::{Collector, List, Rule};
use super::diagnostic::{Code, Complaint};
use super::parse;
use super::reader::quote;
use super::text::Text;
use super::tree::{FileText, Sources};

/// Most nodes of one condition after its macros are put in; macros that use each other could grow without end.
const MAX_NODES: usize = 100_000;

/// The macros of a collection, ready to be put in, and what has been used.
pub struct Resolver<'c> {
    /// List names with their joined items, in order of definition.
    lists: Vec<(&'c str, String)>,
    macros: HashMap<&'c str, Resolved>,
    /// The macros before others were put into them.
    written: HashMap<&'c str, (Expr, super::collector::Place)>,
    used_lists: RefCell<HashSet<&'c str>>,
    used_macros: RefCell<HashSet<&'c str>>,
}

struct Resolved {
    expr: Expr,
    nodes: usize,
}

impl<'c> Resolver<'c> {
    /// Compiles all lists and macros.
    pub fn new(collector: &'c Collector) -> Result<Self, Complaint> {
        let lists =
            collector.lists.iter().map(|list| (list.name.as_str(), joined(list, collector))).collect();
        let mut resolver = Self {
            lists,
            macros: HashMap::new(),
            written: HashMap::new(),
            used_lists: RefCell::default(),
            used_macros: RefCell::default(),
        };
        // A list that stands in another list is used.
        for list in collector.lists.iter() {
            for item in &list.items {
                if item != &list.name
                    && let Some((name, _)) = resolver.lists.iter().find(|(name, _)| name == item)
                {
                    resolver.used_lists.borrow_mut().insert(name);
                }
            }
        }
        let mut parsed = HashMap::new();
        for entry in collector.macros.iter() {
            let expr = resolver.parse(&entry.condition);
            let expr = expr
                .map_err(|complaint| complaint.within("macro condition", "").within("macro", &entry.name))?;
            parsed.insert(entry.name.as_str(), (expr, entry.place));
        }
        for entry in collector.macros.iter() {
            resolver
                .resolve_macro(&entry.name, &parsed, &mut Vec::new())
                .map_err(|complaint| complaint.within("macro condition", "").within("macro", &entry.name))?;
        }
        resolver.written = parsed;
        Ok(resolver)
    }

    fn resolve_macro(
        &mut self,
        name: &str,
        parsed: &HashMap<&'c str, (Expr, super::collector::Place)>,
        path: &mut Vec<String>,
    ) -> Result<(), Complaint> {
        if self.macros.contains_key(name) {
            return Ok(());
        }
        let Some((name, (expr, place))) = parsed.get_key_value(name) else { return Ok(()) };
        if path.iter().any(|outer| outer == name) || path.len() > parse_depth() {
            let message = format!("reference loop in macro '{name}'");
            return Err(Complaint::new(Code::Validate, place.at, message));
        }
        path.push((*name).to_owned());
        let mut references = Vec::new();
        references_of(expr, &mut references);
        for (reference, span) in references {
            // A macro sees those that were first defined before its own latest definition.
            let visible = parsed.get(reference).is_some_and(|(_, other)| other.index < place.visible);
            if !visible && reference != *name {
                return Err(undefined(reference, span, parsed.keys().copied()));
            }
            self.resolve_macro(reference, parsed, path)?;
        }
        path.pop();
        let mut nodes = 0;
        let expr = self.put_in(expr, &mut nodes)?;
        self.macros.insert(name, Resolved { expr, nodes });
        Ok(())
    }

    /// The condition of a rule with exceptions and lists put in, then also with its macros put in.
    pub fn rule(&self, rule: &Rule) -> Result<(Expr, Expr), Complaint> {
        let origin = rule.condition.origin(0);
        let mut text = if rule.exceptions.is_empty() {
            rule.condition.clone()
        } else {
            let mut text = Text::placed("(", origin);
            text.push(&rule.condition);
            text.push_str(")", origin);
            text
        };
        for exception in &rule.exceptions {
            exception.write(&mut text)?;
        }
        let written = self.parse(&text)?;
        let expr = self.put_in(&written, &mut 0)?;
        Ok((written, expr))
    }

    /// What is needed to show conditions as they were written.
    pub fn sources(self, collector: &Collector, files: Arc<[FileText]>) -> Sources {
        let macros = self.written.into_iter();
        let macros = macros.map(|(name, (expr, place))| (name.to_owned(), (expr, place.at))).collect();
        let lists = collector.lists.iter().map(|list| (list.name.clone(), list.place.at)).collect();
        Sources::new(files, macros, lists)
    }

    /// Substitutes the lists in a condition text and parses it.
    fn parse(&self, text: &Text) -> Result<Expr, Complaint> {
        let mut text = text.clone();
        for (name, items) in &self.lists {
            if text.substitute(name, items) {
                self.used_lists.borrow_mut().insert(name);
            }
        }
        parse::condition(&text)
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
                    return Err(undefined(name, *span, self.macros.keys().copied()));
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
        let lists = collector.lists.iter().filter(|list| !lists.contains(list.name.as_str())).map(|list| {
            let message = "List not referred to by any other rule/macro";
            Complaint::new(Code::UnusedList, list.place.at, message).within("list", &list.name)
        });
        let macros = collector.macros.iter().filter(|entry| !macros.contains(entry.name.as_str()));
        let macros = macros.map(|entry| {
            let message = "Macro not referred to by any other rule/macro";
            Complaint::new(Code::UnusedMacro, entry.place.at, message).within("macro", &entry.name)
        });
        lists.chain(macros).collect()
    }
}

/// Longest chain of macros that refer to each other.
const fn parse_depth() -> usize {
    100
}

fn undefined<'a>(name: &str, span: super::ast::Span, known: impl Iterator<Item = &'a str>) -> Complaint {
    let message = format!("Undefined macro '{name}' used in filter.");
    let mut known: Vec<&str> = known.collect();
    known.sort_unstable();
    Complaint::new(Code::Validate, span.at, message)
        .spanning(span.len)
        .suggesting(super::suggest::nearest(name, known))
}

fn references_of<'e>(expr: &'e Expr, into: &mut Vec<(&'e str, super::ast::Span)>) {
    match expr {
        Expr::And(items) | Expr::Or(items) => items.iter().for_each(|item| references_of(item, into)),
        Expr::Not(inner) => references_of(inner, into),
        Expr::Check(_) => {}
        Expr::Macro(name, span) => into.push((name, *span)),
    }
}

/// The items of a list joined for a condition. An item that is the name of a list it may see is replaced by that list's
/// own items: one level, as Falco does it; deeper names stay as they are.
fn joined(list: &List, collector: &Collector) -> String {
    let mut items: Vec<String> = Vec::with_capacity(list.items.len());
    for item in &list.items {
        let inner = collector.lists.iter().find(|other| other.name == *item);
        match inner {
            Some(inner) if inner.place.index < list.place.visible && inner.name != list.name => {
                items.extend(inner.items.iter().map(|item| quote(item)));
            }
            _ => items.push(quote(item)),
        }
    }
    items.join(", ")
}

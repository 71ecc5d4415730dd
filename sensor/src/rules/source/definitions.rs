//! The macros and lists that a rule set was made of, and the files that they stand in.

use std::collections::HashMap;
use std::sync::Arc;

use crate::rules::language::ast::{Expr, Span};
use crate::rules::report::source::{Origin, Place, Source};

/// The files, macros and lists that a rule set was made of.
#[derive(Debug, Default)]
pub struct Sources {
    files: Arc<[Source]>,
    pub macros: HashMap<String, MacroText>,
    pub lists: HashMap<String, ListText>,
    /// Where the names of the lists stand that bring an item into conditions, by where the item comes from.
    named: HashMap<Origin, Vec<Origin>>,
}

/// A macro as it was written.
#[derive(Debug)]
pub struct MacroText {
    pub at: Origin,
    pub text: String,
    /// Lists put in, other macros as names.
    pub expr: Expr,
    /// Some rule or macro refers to it.
    pub used: bool,
}

/// A list as it was written.
#[derive(Debug)]
pub struct ListText {
    pub at: Origin,
    pub items: Vec<String>,
    /// With the items of lists that are items.
    pub compiled: Vec<String>,
    pub used: bool,
}

impl Sources {
    pub fn new(
        files: Arc<[Source]>,
        macros: HashMap<String, MacroText>,
        lists: HashMap<String, ListText>,
        named: HashMap<Origin, Vec<Origin>>,
    ) -> Self {
        Self { files, macros, lists, named }
    }

    /// The texts of the files in load order.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.text.as_str())
    }

    /// A condition with its macros put in.
    pub fn put_in(&self, expr: &Expr) -> Expr {
        let all = |items: &[Expr]| items.iter().map(|item| self.put_in(item)).collect();
        match expr {
            Expr::And(items) => Expr::And(all(items)),
            Expr::Or(items) => Expr::Or(all(items)),
            Expr::Not(inner) => Expr::Not(Box::new(self.put_in(inner))),
            Expr::Macro(name, _) => {
                self.macros.get(name).map_or_else(|| expr.clone(), |known| self.put_in(&known.expr))
            }
            Expr::Check(_) => expr.clone(),
        }
    }

    /// The place of a byte.
    pub fn place(&self, origin: Origin) -> Option<Place> {
        let file = self.files.get(origin.file as usize)?;
        let at = (origin.at as usize).min(file.text.len());
        let (line, start) = file.line(at);
        let before = file.text.as_bytes().get(start..at)?;
        // Characters are counted by their first bytes.
        let column = 1 + before.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        Some(Place { file: file.name.clone(), line: line + 1, column })
    }

    /// The condition of a macro, in which others are still names.
    pub fn macro_condition(&self, name: &str) -> Option<&Expr> {
        self.macros.get(name).map(|known| &known.expr)
    }

    /// Every macro with its condition.
    pub fn macro_conditions(&self) -> impl Iterator<Item = (&str, &Expr)> {
        self.macros.iter().map(|(name, known)| (name.as_str(), &known.expr))
    }

    /// The list that brought a value into the comparison `check`: its name, and where the name stands.
    pub fn list(&self, value: Origin, check: Span) -> Option<(&str, Origin)> {
        let names = self.named.get(&value)?;
        // The same list may be named in many conditions; this one is meant.
        let inside = |name: &&Origin| {
            let behind = name.at.checked_sub(check.at.at);
            name.file == check.at.file && behind.is_some_and(|behind| (behind as usize) < check.len)
        };
        let at = names.iter().find(inside).or(names.first())?;
        let text = self.files.get(at.file as usize)?.text.get(at.at as usize..)?;
        let ends = |c: char| c.is_ascii_whitespace() || "(),=]}\"'".contains(c);
        let word = text.split(ends).next()?;
        self.lists.get_key_value(word).map(|(name, _)| (name.as_str(), *at))
    }
}

//! The condition of one rule as people see it: macros and exceptions by their names, lists by theirs, each comparison
//! with its place in the files. What `rules show` prints and what [`super::trace`] fills with the values of an event.
//!
//! A rule keeps its parsed condition, macros still names, and the checked one, macros put in. Putting in and checking
//! leave the shape as it is, so both are walked side by side. A tree is made when it is first asked for: most rules
//! never need theirs.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use serde::Serialize;

use super::ast::{Argument, Check, Expr, FieldText, Operand, Right, Span, Value as Literal};
use super::check::{Cond, Pred};
use super::fields::FieldRef;
use super::load::{Rule, RuleSet, Source};
use super::text::Origin;

/// A place in a rules file; line and column are counted from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    pub file: String,
    pub line: usize,
    pub column: usize,
}

/// Where a part of a condition comes from when it does not stand in the rule's own condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Named {
    pub kind: NameKind,
    pub name: String,
    /// Of the definition.
    pub place: Option<Place>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NameKind {
    Macro,
    Exception,
}

/// A list that a comparison names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListUse {
    pub name: String,
    /// Of the list's definition.
    pub place: Option<Place>,
    /// As the condition has them.
    pub items: Vec<String>,
}

/// A part of a condition.
#[derive(Debug)]
pub struct Tree {
    /// The names that stand for this part, outermost first.
    pub from: Vec<Named>,
    pub node: Node,
}

#[derive(Debug)]
pub enum Node {
    And(Vec<Tree>),
    Or(Vec<Tree>),
    Not(Box<Tree>),
    Leaf(Comparison),
}

/// A leaf.
#[derive(Debug)]
pub struct Comparison {
    /// In canonical form, with the names of lists in place of their items.
    pub text: String,
    pub lists: Vec<ListUse>,
    pub place: Option<Place>,
    /// What it extracts from an event.
    pub(super) reads: Vec<Read>,
    pub(super) cond: Cond,
    pub(super) exists: bool,
}

/// One value that a comparison looks at.
#[derive(Debug)]
pub struct Read {
    /// As written.
    pub text: String,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Field(FieldRef),
    /// A field in a transformer.
    Inner(FieldRef),
    /// The result of the transformer on the left.
    Left,
    /// The result of the transformer on the right.
    Right,
}

/// What a rule keeps of its condition beside the compiled program.
#[derive(Debug)]
pub struct Kept {
    /// Lists put in, macros as names, exceptions behind.
    pub written: Expr,
    pub cond: Cond,
    /// The exceptions that are part of `written`, in order.
    pub exceptions: Vec<(String, Origin)>,
    /// Of the rule's first definition.
    pub at: Origin,
    tree: OnceLock<Tree>,
}

impl Kept {
    pub fn new(written: Expr, cond: Cond, exceptions: Vec<(String, Origin)>, at: Origin) -> Self {
        Self { written, cond, exceptions, at, tree: OnceLock::new() }
    }
}

/// Equal tests of all rules become one, so that keeping the conditions costs little.
#[derive(Default)]
pub struct Sharing(HashMap<String, Arc<Pred>>);

impl Sharing {
    pub fn share(&mut self, cond: &mut Cond) {
        match cond {
            Cond::And(items) | Cond::Or(items) => items.iter_mut().for_each(|item| self.share(item)),
            Cond::Not(inner) => self.share(inner),
            Cond::Test(pred) => match self.0.get(&pred.key) {
                Some(known) => *pred = Arc::clone(known),
                None => {
                    self.0.insert(pred.key.clone(), Arc::clone(pred));
                }
            },
            Cond::Const(_) | Cond::Types(_) | Cond::Unfilled(_) => {}
        }
    }
}

/// The files, macros and lists that a rule set was made of.
#[derive(Debug, Default)]
pub struct Sources {
    files: Arc<[FileText]>,
    macros: HashMap<String, (Expr, Origin)>,
    lists: HashMap<String, Origin>,
    /// Where the names of the lists stand that bring an item into conditions, by where the item comes from.
    named: HashMap<Origin, Vec<Origin>>,
}

/// The text of a file, and where its lines begin.
#[derive(Debug)]
pub struct FileText {
    source: Source,
    starts: Vec<usize>,
}

/// The texts of files in load order.
pub fn texts(files: &[Source]) -> Arc<[FileText]> {
    let starts = |text: &str| {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect()
    };
    files.iter().map(|source| FileText { starts: starts(&source.text), source: source.clone() }).collect()
}

impl Sources {
    pub fn new(
        files: Arc<[FileText]>,
        macros: HashMap<String, (Expr, Origin)>,
        lists: HashMap<String, Origin>,
        named: HashMap<Origin, Vec<Origin>>,
    ) -> Self {
        Self { files, macros, lists, named }
    }

    /// The place of a byte.
    pub fn place(&self, origin: Origin) -> Option<Place> {
        let file = self.files.get(origin.file as usize)?;
        let at = (origin.at as usize).min(file.source.text.len());
        let line = file.starts.partition_point(|start| *start <= at);
        let start = file.starts.get(line.checked_sub(1)?)?;
        let before = file.source.text.as_bytes().get(*start..at)?;
        // Characters are counted by their first bytes.
        let column = 1 + before.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
        Some(Place { file: file.source.name.clone(), line, column })
    }

    /// The condition of a macro, in which others are still names.
    pub fn macro_condition(&self, name: &str) -> Option<&Expr> {
        self.macros.get(name).map(|(condition, _)| condition)
    }

    /// Every macro with its condition.
    pub fn macro_conditions(&self) -> impl Iterator<Item = (&str, &Expr)> {
        self.macros.iter().map(|(name, (condition, _))| (name.as_str(), condition))
    }

    /// The list that brought a value into the comparison `check`: its name, and where the name stands.
    fn list(&self, value: Origin, check: Span) -> Option<(&str, Origin)> {
        let names = self.named.get(&value)?;
        // The same list may be named in many conditions; this one is meant.
        let inside = |name: &&Origin| {
            let behind = name.at.checked_sub(check.at.at);
            name.file == check.at.file && behind.is_some_and(|behind| (behind as usize) < check.len)
        };
        let at = names.iter().find(inside).or(names.first())?;
        let text = self.files.get(at.file as usize)?.source.text.get(at.at as usize..)?;
        let ends = |c: char| c.is_ascii_whitespace() || "(),=]}\"'".contains(c);
        let word = text.split(ends).next()?;
        self.lists.get_key_value(word).map(|(name, _)| (name.as_str(), *at))
    }

    fn tree(&self, expr: &Expr, cond: &Cond, mut from: Vec<Named>) -> Tree {
        let all = |exprs: &[Expr], conds: &[Cond]| {
            exprs.iter().zip(conds).map(|(expr, cond)| self.tree(expr, cond, Vec::new())).collect()
        };
        let node = match (expr, cond) {
            (Expr::Macro(name, span), cond) => {
                let Some((expr, at)) = self.macros.get(name) else {
                    return Tree { from, node: Node::Leaf(self.other(expr, cond, Some(*span))) };
                };
                from.push(Named { kind: NameKind::Macro, name: name.clone(), place: self.place(*at) });
                return self.tree(expr, cond, from);
            }
            (Expr::And(exprs), Cond::And(conds)) if exprs.len() == conds.len() => {
                Node::And(all(exprs, conds))
            }
            (Expr::Or(exprs), Cond::Or(conds)) if exprs.len() == conds.len() => Node::Or(all(exprs, conds)),
            (Expr::Not(expr), Cond::Not(cond)) => Node::Not(Box::new(self.tree(expr, cond, Vec::new()))),
            (Expr::Check(check), cond) => Node::Leaf(self.comparison(check, cond)),
            (expr, cond) => Node::Leaf(self.other(expr, cond, None)),
        };
        Tree { from, node }
    }

    /// A part that was checked as a whole.
    fn other(&self, expr: &Expr, cond: &Cond, span: Option<Span>) -> Comparison {
        Comparison {
            text: expr.to_string(),
            lists: Vec::new(),
            place: span.and_then(|span| self.place(span.at)),
            reads: Vec::new(),
            cond: cond.clone(),
            exists: false,
        }
    }

    fn comparison(&self, check: &Check, cond: &Cond) -> Comparison {
        let mut text = format!("{} {}", check.left, check.op.as_str());
        if let Some(modifier) = check.modifier {
            let _ = write!(text, " {}", modifier.as_str());
        }
        let mut lists = Vec::new();
        match &check.right {
            Right::None => {}
            Right::Operand(operand) => {
                let _ = write!(text, " {operand}");
            }
            Right::Value(value) => {
                text.push(' ');
                self.literals(std::slice::from_ref(value), check.span, &mut text, &mut lists);
            }
            Right::List(values) => {
                text.push_str(" (");
                self.literals(values, check.span, &mut text, &mut lists);
                text.push(')');
            }
        }
        let mut reads = Vec::new();
        operand(&check.left, What::Left, &mut reads);
        if let Right::Operand(right) = &check.right {
            operand(right, What::Right, &mut reads);
        }
        Comparison {
            text,
            lists,
            place: self.place(check.span.at),
            reads,
            cond: cond.clone(),
            exists: check.op == super::ast::Op::Exists,
        }
    }

    /// Writes literals, those that a list stands for by its name.
    fn literals(&self, values: &[Literal], check: Span, text: &mut String, lists: &mut Vec<ListUse>) {
        let mut last: Option<Origin> = None;
        for (n, value) in values.iter().enumerate() {
            let list = self.list(value.span.at, check);
            if let (Some((_, at)), Some(list)) = (list, lists.last_mut())
                && last == Some(at)
            {
                list.items.push(value.to_string());
                continue;
            }
            if n > 0 {
                text.push_str(", ");
            }
            if let Some((name, at)) = list {
                text.push_str(name);
                let place = self.lists.get(name).and_then(|at| self.place(*at));
                lists.push(ListUse { name: name.to_owned(), place, items: vec![value.to_string()] });
                last = Some(at);
            } else {
                let _ = write!(text, "{value}");
                last = None;
            }
        }
    }
}

/// The values that an operand reads, innermost first.
fn operand(operand: &Operand, result: What, into: &mut Vec<Read>) {
    let field = |text: &FieldText| FieldRef::resolve(&text.name, text.arg.as_deref()).ok();
    match operand {
        Operand::Field(text) => {
            into.extend(field(text).map(|f| Read { text: text.to_string(), what: What::Field(f) }));
        }
        Operand::Transform(transform) => {
            let mut args: Vec<&Argument> = transform.args.iter().rev().collect();
            while let Some(arg) = args.pop() {
                match arg {
                    Argument::Operand(Operand::Field(text)) => into
                        .extend(field(text).map(|f| Read { text: text.to_string(), what: What::Inner(f) })),
                    Argument::Operand(Operand::Transform(inner)) => args.extend(inner.args.iter().rev()),
                    Argument::List(items) => args.extend(items.iter().rev()),
                    Argument::Text(_) => {}
                }
            }
            into.push(Read { text: transform.to_string(), what: result });
        }
    }
}

impl RuleSet {
    /// The condition of a rule of this set, with names and places.
    pub fn tree<'r>(&self, rule: &'r Rule) -> &'r Tree {
        let kept = &rule.kept;
        kept.tree.get_or_init(|| {
            let mut tree = self.sources.tree(&kept.written, &kept.cond, Vec::new());
            // Exceptions follow the rule's own condition, each as one negated part.
            if let Node::And(parts) = &mut tree.node
                && parts.len() == kept.exceptions.len() + 1
                && tree.from.is_empty()
            {
                for (part, (name, at)) in parts.iter_mut().skip(1).zip(&kept.exceptions) {
                    let place = self.sources.place(*at);
                    part.from.push(Named { kind: NameKind::Exception, name: name.clone(), place });
                }
            }
            tree
        })
    }

    /// Where a rule is defined.
    pub fn place(&self, rule: &Rule) -> Option<Place> {
        self.sources.place(rule.kept.at)
    }
}

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

/// A place in a rules file; line and column are counted from 1, columns in characters. In JSON it is `file:line:column`, for
/// an alert holds many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub file: String,
    pub line: usize,
    pub column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Serialize for Place {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
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
    /// Items that are left out.
    pub more: usize,
}

/// A part of a condition.
#[derive(Debug)]
pub struct Tree {
    /// The names that stand for this part, outermost first.
    pub from: Vec<Named>,
    pub node: Node,
}

impl Tree {
    /// The part at a position below this one.
    pub fn child(&self, at: usize) -> Option<&Self> {
        match &self.node {
            Node::And(parts) | Node::Or(parts) => parts.get(at),
            Node::Not(inner) => Some(inner),
            Node::Leaf(_) => None,
        }
    }
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
    pub exceptions: Vec<ExceptionName>,
    /// Of the rule's first definition.
    pub at: Origin,
    pub enabled: bool,
    /// The output as written.
    pub output: String,
    /// The output with everything that is appended to it.
    pub format: String,
    /// Made when it is first asked for.
    pub tree: OnceLock<Tree>,
}

/// An exception of a rule.
#[derive(Debug)]
pub struct ExceptionName {
    pub name: String,
    pub at: Origin,
    /// It has values, so it is part of the condition.
    pub written: bool,
}

impl Kept {
    /// The rule's own condition, and those of its exceptions that have values.
    pub fn parts(&self) -> (&Expr, &[Expr]) {
        let exceptions = self.exceptions.iter().filter(|exception| exception.written).count();
        match &self.written {
            Expr::And(parts) if exceptions > 0 && parts.len() == exceptions + 1 => (&parts[0], &parts[1..]),
            all => (all, &[]),
        }
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

/// Deepest nesting of a tree: what is deeper is one part. An alert carries its tree as JSON, which readers take up to 128
/// levels of, two for each of these.
const MAX_LEVELS: usize = 48;

/// The files, macros and lists that a rule set was made of.
#[derive(Debug, Default)]
pub struct Sources {
    files: Arc<[FileText]>,
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
        macros: HashMap<String, MacroText>,
        lists: HashMap<String, ListText>,
        named: HashMap<Origin, Vec<Origin>>,
    ) -> Self {
        Self { files, macros, lists, named }
    }

    /// The texts of the files in load order.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(|file| file.source.text.as_str())
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
        let text = self.files.get(at.file as usize)?.source.text.get(at.at as usize..)?;
        let ends = |c: char| c.is_ascii_whitespace() || "(),=]}\"'".contains(c);
        let word = text.split(ends).next()?;
        self.lists.get_key_value(word).map(|(name, _)| (name.as_str(), *at))
    }

    fn tree(&self, expr: &Expr, cond: &Cond, mut from: Vec<Named>, level: usize) -> Tree {
        let all = |exprs: &[Expr], conds: &[Cond]| {
            exprs.iter().zip(conds).map(|(expr, cond)| self.tree(expr, cond, Vec::new(), level + 1)).collect()
        };
        let node = match (expr, cond) {
            (Expr::Macro(name, span), cond) => {
                let Some(known) = self.macros.get(name) else {
                    let text = expr.to_string();
                    return Tree { from, node: Node::Leaf(self.other(text, cond, Some(*span))) };
                };
                from.push(Named { kind: NameKind::Macro, name: name.clone(), place: self.place(known.at) });
                return self.tree(&known.expr, cond, from, level);
            }
            (Expr::And(_) | Expr::Or(_) | Expr::Not(_), cond) if level >= MAX_LEVELS => {
                Node::Leaf(self.other(format!("(nested deeper than {MAX_LEVELS} levels)"), cond, None))
            }
            (Expr::And(exprs), Cond::And(conds)) if exprs.len() == conds.len() => {
                Node::And(all(exprs, conds))
            }
            (Expr::Or(exprs), Cond::Or(conds)) if exprs.len() == conds.len() => Node::Or(all(exprs, conds)),
            (Expr::Not(expr), Cond::Not(cond)) => {
                Node::Not(Box::new(self.tree(expr, cond, Vec::new(), level + 1)))
            }
            (Expr::Check(check), cond) => Node::Leaf(self.comparison(check, cond)),
            (expr, cond) => Node::Leaf(self.other(expr.to_string(), cond, None)),
        };
        Tree { from, node }
    }

    /// A part that was checked as a whole.
    fn other(&self, text: String, cond: &Cond, span: Option<Span>) -> Comparison {
        Comparison {
            text,
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
                let place = self.lists.get(name).and_then(|list| self.place(list.at));
                lists.push(ListUse { name: name.to_owned(), place, items: vec![value.to_string()], more: 0 });
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
            let mut tree = self.sources.tree(&kept.written, &kept.cond, Vec::new(), 0);
            // Exceptions follow the rule's own condition, each as one negated part.
            let exceptions: Vec<&ExceptionName> =
                kept.exceptions.iter().filter(|exception| exception.written).collect();
            if let Node::And(parts) = &mut tree.node
                && parts.len() == exceptions.len() + 1
                && tree.from.is_empty()
            {
                for (part, exception) in parts.iter_mut().skip(1).zip(exceptions) {
                    let (name, place) = (exception.name.clone(), self.sources.place(exception.at));
                    part.from.push(Named { kind: NameKind::Exception, name, place });
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

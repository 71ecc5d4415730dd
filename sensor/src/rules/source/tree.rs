//! The condition of one rule as people see it: macros and exceptions by their names, lists by theirs, each comparison
//! with its place in the files. What `rules show` prints and what [`crate::rules::explain::trace`] fills with the values of an event.
//!
//! A rule keeps its parsed condition, macros still names, and the checked one, macros put in. Putting in and checking
//! leave the shape as it is, so both are walked side by side. A tree is made when it is first asked for: most rules
//! never need theirs.

use std::fmt::Write as _;

use serde::Serialize;

use super::definitions::Sources;
use crate::rules::language::ast::{Argument, Check, Expr, FieldText, Operand, Right, Span, Value as Literal};
use crate::rules::language::check::Cond;
use crate::rules::registry::fields::FieldRef;
use crate::rules::report::source::{Origin, Place};

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
    pub(in crate::rules) reads: Vec<Read>,
    pub(in crate::rules) cond: Cond,
    pub(in crate::rules) exists: bool,
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

/// Deepest nesting of a tree: what is deeper is one part. An alert carries its tree as JSON, which readers take up to 128
/// levels of, two for each of these.
const MAX_LEVELS: usize = 48;

/// An exception of a rule.
#[derive(Debug)]
pub struct ExceptionName {
    pub name: String,
    pub at: Origin,
    /// It has values, so it is part of the condition.
    pub written: bool,
}

impl Sources {
    /// The condition of a rule, with names and places. Exceptions follow the rule's own condition, each as one negated part.
    pub fn tree(&self, written: &Expr, cond: &Cond, exceptions: &[ExceptionName]) -> Tree {
        let mut tree = self.part(written, cond, Vec::new(), 0);
        let exceptions: Vec<&ExceptionName> =
            exceptions.iter().filter(|exception| exception.written).collect();
        if let Node::And(parts) = &mut tree.node
            && parts.len() == exceptions.len() + 1
            && tree.from.is_empty()
        {
            for (part, exception) in parts.iter_mut().skip(1).zip(exceptions) {
                let (name, place) = (exception.name.clone(), self.place(exception.at));
                part.from.push(Named { kind: NameKind::Exception, name, place });
            }
        }
        tree
    }

    fn part(&self, expr: &Expr, cond: &Cond, mut from: Vec<Named>, level: usize) -> Tree {
        let all = |exprs: &[Expr], conds: &[Cond]| {
            exprs.iter().zip(conds).map(|(expr, cond)| self.part(expr, cond, Vec::new(), level + 1)).collect()
        };
        let node = match (expr, cond) {
            (Expr::Macro(name, span), cond) => {
                let Some(known) = self.macros.get(name) else {
                    let text = expr.to_string();
                    return Tree { from, node: Node::Leaf(self.other(text, cond, Some(*span))) };
                };
                from.push(Named { kind: NameKind::Macro, name: name.clone(), place: self.place(known.at) });
                return self.part(&known.expr, cond, from, level);
            }
            (Expr::And(_) | Expr::Or(_) | Expr::Not(_), cond) if level >= MAX_LEVELS => {
                Node::Leaf(self.other(format!("(nested deeper than {MAX_LEVELS} levels)"), cond, None))
            }
            (Expr::And(exprs), Cond::And(conds)) if exprs.len() == conds.len() => {
                Node::And(all(exprs, conds))
            }
            (Expr::Or(exprs), Cond::Or(conds)) if exprs.len() == conds.len() => Node::Or(all(exprs, conds)),
            (Expr::Not(expr), Cond::Not(cond)) => {
                Node::Not(Box::new(self.part(expr, cond, Vec::new(), level + 1)))
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
            exists: check.op == crate::rules::language::ast::Op::Exists,
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

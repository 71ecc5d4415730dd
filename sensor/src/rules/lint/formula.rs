//! A condition as lints look at it: a tree whose leaves know what they compare, and whose every part knows whether it
//! stands in the text at hand or comes out of a macro.

use std::collections::HashMap;
use std::sync::Arc;

use crate::rules::language::ast::{self, Argument, Check, Expr, Op, Operand, Right, Span};
use crate::rules::language::check::{self, Cond};
use crate::rules::language::findings::Findings;
use crate::rules::language::literals::{self, decimal};
use crate::rules::language::matcher::Matcher;
use crate::rules::registry::event::Value;
use crate::rules::registry::fields::{Field, FieldArg, FieldRef};
use crate::rules::registry::names::Names;
use crate::rules::registry::types::FieldType;
use crate::rules::registry::{event_types, names};

/// A set of event types, one truth value for each.
pub type Types = Vec<bool>;

/// A part of a condition.
pub struct Part {
    pub node: Node,
    /// Where it stands; for a part of a macro, where the macro is used.
    pub span: Option<Span>,
    /// Written in the text at hand, or the use of a macro there.
    pub own: bool,
}

pub enum Node {
    And(Vec<Part>),
    Or(Vec<Part>),
    Not(Box<Part>),
    Leaf(Arc<Leaf>),
}

/// A comparison.
pub struct Leaf {
    pub check: Check,
    /// Equal keys are equal comparisons.
    pub key: String,
    /// The field on the left, when it is compared with literals.
    pub field: Option<FieldRef>,
    /// The test of one value of the field.
    pub matcher: Option<Matcher>,
    /// Decided by the event's type: where it is true.
    pub types: Option<Types>,
    /// Event types on which the field can have a value, where that is known.
    pub present: Option<Types>,
    /// Decided without any event: the idioms `evt.num=0` and `evt.num>=0`.
    pub constant: Option<bool>,
    /// As the engine judges it.
    pub cond: Cond,
    /// The literals, but for texts.
    parsed: Vec<Option<Value<'static>>>,
}

/// A literal as a value of the field's type.
#[derive(Clone)]
pub struct Literal<'l> {
    pub bytes: &'l [u8],
    pub value: Value<'l>,
}

impl Leaf {
    fn new(check: &Check, names: &Arc<dyn Names>) -> Self {
        let mut findings = Findings::new(names);
        let field = match (&check.left, &check.right) {
            (Operand::Field(text), Right::None | Right::Value(_) | Right::List(_)) => {
                FieldRef::resolve(&text.name, text.arg.as_deref()).ok()
            }
            _ => None,
        };
        let (mut types, mut constant) = (None, None);
        // A loaded rule has no comparison that does not compile.
        let cond = check::condition(&Expr::Check(check.clone()), &mut findings);
        let cond = cond.unwrap_or(Cond::Const(false));
        match &cond {
            Cond::Types(set) => {
                types = Some(event_types::all().map(|(event, _)| set.contains(event)).collect());
            }
            Cond::Const(value) => constant = Some(*value),
            _ => {}
        }
        let matcher = field.as_ref().filter(|_| check.op != Op::Exists);
        let matcher = matcher.and_then(|field| literals::literals(field.kind(), check, &mut findings).ok());
        let present = field.as_ref().and_then(present);
        let kind = field.as_ref().map(FieldRef::kind);
        let of = |value: &ast::Value| kind.and_then(|kind| parsed(kind, &value.bytes, &**names));
        let parsed = literals::values(&check.right).iter().map(of).collect();
        Self {
            check: check.clone(),
            key: check.to_string(),
            field,
            matcher,
            types,
            present,
            constant,
            cond,
            parsed,
        }
    }

    /// The literals on the right.
    pub fn values(&self) -> &[ast::Value] {
        literals::values(&self.check.right)
    }

    /// The literals as values that the field can have; `None` for one that stands for many or for none.
    pub fn literals(&self) -> impl Iterator<Item = Option<Literal<'_>>> {
        let kind = self.field.as_ref().map(FieldRef::kind);
        self.values().iter().zip(&self.parsed).map(move |(literal, parsed)| {
            let bytes = literal.bytes.as_slice();
            let value = match kind? {
                FieldType::CharBuf | FieldType::FsPath => Value::Str(bytes),
                FieldType::ByteBuf => Value::Buf(bytes),
                _ => (*parsed)?,
            };
            Some(Literal { bytes, value })
        })
    }

    /// Every field that it looks at.
    pub fn fields(&self) -> impl Iterator<Item = FieldRef> {
        let mut found = Vec::new();
        operand(&self.check.left, &mut found);
        if let Right::Operand(right) = &self.check.right {
            operand(right, &mut found);
        }
        found.into_iter()
    }

    /// One value of the field decides the comparison, so that it can be thought about value by value.
    pub fn is_pointwise(&self) -> bool {
        let Some(field) = &self.field else { return false };
        let either_end = field.all_must_differ();
        let all_of_list = field.is_list() && self.check.op == Op::In;
        // A window around a time is no value.
        let is_window = field.field == Field::EvtAround;
        let differs_at_both = either_end && self.check.op == Op::Ne;
        !(differs_at_both || all_of_list || is_window)
    }

    /// The field has one value at most.
    pub fn is_single(&self) -> bool {
        self.field.as_ref().is_some_and(|field| !field.is_any() && !field.is_list())
    }
}

/// A literal that is no text. Networks and values of changing type stand for many.
fn parsed(kind: FieldType, bytes: &[u8], names: &dyn Names) -> Option<Value<'static>> {
    let text = || std::str::from_utf8(bytes).ok();
    Some(match kind {
        FieldType::CharBuf | FieldType::FsPath | FieldType::ByteBuf => return None,
        FieldType::IpNet | FieldType::Dynamic => return None,
        FieldType::Bool => Value::Bool(text()?.parse().ok()?),
        FieldType::IpAddr => Value::Ip(text()?.parse().ok()?),
        FieldType::Port => Value::Uint(names::port(text()?, names)?.into()),
        _ => match decimal(bytes)? {
            n if n < 0 => Value::Int(i64::try_from(n).ok()?),
            n => Value::Uint(u64::try_from(n).ok()?),
        },
    })
}

fn operand(operand: &Operand, into: &mut Vec<FieldRef>) {
    match operand {
        Operand::Field(text) => into.extend(FieldRef::resolve(&text.name, text.arg.as_deref()).ok()),
        Operand::Transform(transform) => transform.args.iter().for_each(|arg| argument(arg, into)),
    }
}

fn argument(arg: &Argument, into: &mut Vec<FieldRef>) {
    match arg {
        Argument::Operand(inner) => operand(inner, into),
        Argument::List(items) => items.iter().for_each(|item| argument(item, into)),
        Argument::Text(_) => {}
    }
}

/// Event types on which a field can have a value: known for parameters of events.
fn present(field: &FieldRef) -> Option<Types> {
    let FieldArg::Key(name) = &field.arg else { return None };
    if !matches!(field.field, Field::EvtArg | Field::EvtRawarg) {
        return None;
    }
    let has = |info: &event_types::Info| info.params.iter().any(|param| param.as_bytes() == &**name);
    Some(event_types::all().map(|(_, info)| has(info)).collect())
}

/// Makes formulas; equal comparisons of many rules are looked at once.
pub struct Maker<'n> {
    names: &'n Arc<dyn Names>,
    leaves: HashMap<String, Arc<Leaf>>,
}

impl<'n> Maker<'n> {
    pub fn new(names: &'n Arc<dyn Names>) -> Self {
        Self { names, leaves: HashMap::new() }
    }

    /// The formula of a condition. `macros` has the conditions of macros, in which others are still names.
    pub fn formula<'e>(&mut self, expr: &'e Expr, macros: &dyn Fn(&str) -> Option<&'e Expr>) -> Part {
        self.part(expr, macros, None)
    }

    fn part<'e>(
        &mut self,
        expr: &'e Expr,
        macros: &dyn Fn(&str) -> Option<&'e Expr>,
        user: Option<Span>,
    ) -> Part {
        let mut all = |items: &'e [Expr]| -> Vec<Part> {
            items.iter().map(|item| self.part(item, macros, user)).collect()
        };
        let node = match expr {
            Expr::And(items) => Node::And(all(items)),
            Expr::Or(items) => Node::Or(all(items)),
            Expr::Not(inner) => Node::Not(Box::new(self.part(inner, macros, user))),
            Expr::Check(check) => Node::Leaf(self.leaf(check)),
            Expr::Macro(name, span) => {
                let place = user.or(Some(*span));
                // Loaded rules name known macros only; an unknown one is nothing to think about.
                let mut part = match macros(name) {
                    Some(expr) => self.part(expr, macros, place),
                    None => Part { node: Node::And(Vec::new()), span: place, own: false },
                };
                part.own = user.is_none();
                return part;
            }
        };
        Part { node, span: user.or_else(|| first_span(expr)), own: user.is_none() }
    }

    fn leaf(&mut self, check: &Check) -> Arc<Leaf> {
        let key = check.to_string();
        let known = self.leaves.entry(key).or_insert_with(|| Arc::new(Leaf::new(check, self.names)));
        Arc::clone(known)
    }
}

/// Where a part begins.
fn first_span(expr: &Expr) -> Option<Span> {
    match expr {
        Expr::And(items) | Expr::Or(items) => items.first().and_then(first_span),
        Expr::Not(inner) => first_span(inner),
        Expr::Check(check) => Some(check.span),
        Expr::Macro(_, span) => Some(*span),
    }
}

/// No event type, or every one.
pub fn all_types(value: bool) -> Types {
    vec![value; event_types::count()]
}

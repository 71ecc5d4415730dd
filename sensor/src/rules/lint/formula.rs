//! A condition as lints look at it: a tree whose leaves know what they compare, and whose every part knows whether it
//! stands in the text at hand or comes out of a macro.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use crate::rules::language::ast::{self, Argument, Check, Expr, Op, Operand, Right, Span};
use crate::rules::language::check::{self, Cond};
use crate::rules::language::findings::Findings;
use crate::rules::language::literals::{self, number_of};
use crate::rules::language::matcher::Matcher;
use crate::rules::registry::event::{EventType, Value};
use crate::rules::registry::event_types;
use crate::rules::registry::fields::{Field, FieldArg, FieldRef};
use crate::rules::registry::names::Names;
use crate::rules::registry::types::FieldType;

/// A set of event types, a bit for each.
#[derive(Clone, PartialEq, Eq)]
pub struct Types(Vec<u64>);

impl Types {
    pub fn all() -> Self {
        static ALL: LazyLock<Types> = LazyLock::new(|| Types::of(|_, _| true));
        ALL.clone()
    }

    fn of(contains: impl Fn(EventType, &event_types::Info) -> bool) -> Self {
        let mut words = vec![0; event_types::count().div_ceil(64)];
        for (event, info) in event_types::all() {
            words[usize::from(event.0) / 64] |= u64::from(contains(event, info)) << (event.0 % 64);
        }
        Self(words)
    }

    /// The table lines of its types.
    pub fn infos(&self) -> impl Iterator<Item = &'static event_types::Info> {
        let has = |event: EventType| self.0[usize::from(event.0) / 64] >> (event.0 % 64) & 1 == 1;
        event_types::all().filter(move |(event, _)| has(*event)).map(|(_, info)| info)
    }

    /// Keeps the types that are in `set` (or not in it).
    pub fn narrow(&mut self, set: &Self, inside: bool) {
        for (known, member) in self.0.iter_mut().zip(&set.0) {
            *known &= if inside { *member } else { !*member };
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Some type is in this set (or, if not `inside`, out of it) and in the other (or out of it).
    pub fn meets(&self, inside: bool, other: &Self, other_inside: bool) -> bool {
        let mut both = Self::all();
        both.narrow(self, inside);
        both.narrow(other, other_inside);
        !both.is_empty()
    }

    /// The names of the first few.
    pub fn names(&self) -> String {
        const SHOWN: usize = 6;
        let mut names: Vec<&str> = self.infos().map(|info| info.name).collect();
        let rest = names.len().saturating_sub(SHOWN);
        names.truncate(SHOWN);
        if rest > 0 { format!("{} and {rest} more", names.join(", ")) } else { names.join(", ") }
    }
}

/// A part of a condition.
pub struct Part {
    pub node: Node,
    /// Where it stands; for a part of a macro, where the macro is used.
    pub span: Option<Span>,
    /// Written in the text at hand, or the use of a macro there.
    pub own: bool,
    /// The whole of a macro.
    pub is_macro: bool,
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
    /// The same for each use of the comparison, and no other.
    pub number: u32,
    /// The same for each comparison of the field, and no other.
    pub field_number: u32,
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
    fn new(check: &Check, key: String, number: u32, names: &Arc<dyn Names>) -> Self {
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
                types = Some(Types::of(|event, _| set.contains(event)));
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
            key,
            number,
            field_number: 0,
            field,
            matcher,
            types,
            present,
            constant,
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
        FieldType::CharBuf
        | FieldType::FsPath
        | FieldType::ByteBuf
        | FieldType::IpNet
        | FieldType::Dynamic => return None,
        FieldType::Bool => Value::Bool(text()?.parse().ok()?),
        FieldType::IpAddr => Value::Ip(text()?.parse().ok()?),
        FieldType::Port => Value::Uint(literals::port_of(bytes, names)?.try_into().ok()?),
        _ => match number_of(kind, bytes)? {
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
    Some(Types::of(|_, info| has(info)))
}

/// Makes formulas; equal comparisons of many rules are looked at once.
pub struct Maker<'e> {
    names: &'e Arc<dyn Names>,
    leaves: HashMap<String, Arc<Leaf>>,
    /// By the address of the comparison: macros bring the same one into many conditions.
    seen: HashMap<*const Check, Arc<Leaf>, foldhash::fast::RandomState>,
    fields: HashMap<FieldRef, u32>,
}

impl<'e> Maker<'e> {
    pub fn new(names: &'e Arc<dyn Names>) -> Self {
        Self { names, leaves: HashMap::new(), seen: HashMap::default(), fields: HashMap::new() }
    }

    /// The formula of a condition. `macros` has the conditions of macros, in which others are still names.
    pub fn formula(&mut self, expr: &'e Expr, macros: &dyn Fn(&str) -> Option<&'e Expr>) -> Part {
        self.part(expr, macros, None)
    }

    fn part(
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
                    None => Part { node: Node::And(Vec::new()), span: place, own: false, is_macro: true },
                };
                part.own = user.is_none();
                part.is_macro = true;
                return part;
            }
        };
        Part { node, span: user.or_else(|| first_span(expr)), own: user.is_none(), is_macro: false }
    }

    fn leaf(&mut self, check: &'e Check) -> Arc<Leaf> {
        if let Some(known) = self.seen.get(&std::ptr::from_ref(check)) {
            return Arc::clone(known);
        }
        let key = check.to_string();
        let leaf = if let Some(known) = self.leaves.get(&key) {
            Arc::clone(known)
        } else {
            let mut leaf = Leaf::new(check, key.clone(), number(self.leaves.len()), self.names);
            if let Some(field) = &leaf.field {
                let next = number(self.fields.len());
                leaf.field_number = *self.fields.entry(field.clone()).or_insert(next);
            }
            let leaf = Arc::new(leaf);
            self.leaves.insert(key, Arc::clone(&leaf));
            leaf
        };
        self.seen.insert(check, Arc::clone(&leaf));
        leaf
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
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

//! A second rule engine, slow and obvious, to hold the first one against (tests only).
//!
//! It walks the syntax tree and decides each comparison straight from the definition of the language: linear scans, its
//! own globs, paths, networks, numbers and transformers. It shares no code with `check`, `compile`, `matcher`, `pattern`,
//! `transform` and `evaluate`: what both get wrong in the same way would not be seen. Common to both are the tree itself,
//! the registries of fields and event types, and the trait of events; regular expressions are the library's.
//!
//! `random` and `random_events` make rules and events out of `pools`, `text` has the naive string functions, the other
//! files are the tests.

mod agree;
mod families;
mod files;
mod kernel;
mod pools;
mod random;
mod random_events;
mod roundtrip;
mod text;
mod traces;

use std::net::IpAddr;

use sensor_ebpf::siblings;

use crate::rules::language::ast::{Argument, Check, Expr, Function, Modifier, Op, Operand, Right, Transform};
use crate::rules::registry::event::{Event, Value};
use crate::rules::registry::fields::{Field, FieldRef};
use crate::rules::registry::types::FieldType;

/// An extracted value.
#[derive(Debug, Clone, PartialEq)]
enum Own {
    Bytes(Vec<u8>),
    Number(i128),
    Truth(bool),
    Address(IpAddr),
}

impl From<Value<'_>> for Own {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Str(bytes) | Value::Buf(bytes) => Self::Bytes(bytes.to_vec()),
            Value::Int(n) => Self::Number(n.into()),
            Value::Uint(n) => Self::Number(n.into()),
            Value::Bool(b) => Self::Truth(b),
            Value::Ip(ip) => Self::Address(ip),
        }
    }
}

/// What the left or right side of a comparison comes to.
#[derive(Debug, Clone)]
enum Got {
    One(Own),
    /// Ancestors, or the ends of a connection: a comparison holds when it holds of any.
    Some(Vec<Own>),
    List(Vec<Own>),
}

/// How values of a type compare.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Bytes,
    /// A number of so many bits, with a sign or without.
    Number(u32, bool),
    Port,
    Truth,
    Address,
    Network,
    /// As the value turns out to be.
    Any,
}

fn kind_of(kind: FieldType) -> Kind {
    match kind {
        FieldType::CharBuf | FieldType::FsPath | FieldType::ByteBuf => Kind::Bytes,
        FieldType::Bool => Kind::Truth,
        FieldType::Port => Kind::Port,
        FieldType::IpAddr => Kind::Address,
        FieldType::IpNet => Kind::Network,
        FieldType::Dynamic => Kind::Any,
        FieldType::Int16 => Kind::Number(16, true),
        FieldType::Int32 => Kind::Number(32, true),
        FieldType::Int64 => Kind::Number(64, true),
        FieldType::Uint8 => Kind::Number(8, false),
        FieldType::Uint16 => Kind::Number(16, false),
        FieldType::Uint32 => Kind::Number(32, false),
        _ => Kind::Number(64, false),
    }
}

/// Whether a condition without macros is true of an event.
pub fn holds<E: Event>(expr: &Expr, event: &E) -> bool {
    decide(expr, &mut |check, _| leaf(check, event))
}

/// As [`holds`], when a call that the condition asks for means every call that does the same.
pub fn holds_of_family<E: Event>(expr: &Expr, event: &E) -> bool {
    decide(expr, &mut |check, negated| leaf(check, event) || !negated && means(expr, check, event))
}

/// Whether a comparison asks for a call that does what the event's does, and the condition does not name that one anywhere.
fn means<E: Event>(whole: &Expr, check: &Check, event: &E) -> bool {
    let Some(Value::Str(own)) = event.get(&FieldRef::from(Field::EvtType)) else { return false };
    let family = siblings::FAMILIES.iter().find(|family| family.iter().any(|name| name.as_bytes() == own));
    let Some(family) = family else { return false };
    let asks = matches!(check.op, Op::Eq | Op::In) && check.modifier.is_none();
    asks && named(check).any(|name| family.iter().any(|member| member.as_bytes() == name))
        && !names(whole, own)
}

/// The types that a comparison names.
fn named(check: &Check) -> impl Iterator<Item = &[u8]> {
    let of_type =
        matches!(&check.left, Operand::Field(text) if text.name == "evt.type" || text.name == "syscall.type");
    let values = match &check.right {
        Right::Value(value) => std::slice::from_ref(value),
        Right::List(values) => values,
        Right::None | Right::Operand(_) => &[],
    };
    values.iter().filter(move |_| of_type).map(|value| &*value.bytes)
}

fn names(expr: &Expr, own: &[u8]) -> bool {
    match expr {
        Expr::And(items) | Expr::Or(items) => items.iter().any(|item| names(item, own)),
        Expr::Not(inner) => names(inner, own),
        Expr::Check(check) => named(check).any(|name| name == own),
        Expr::Macro(..) => false,
    }
}

/// Puts the truths of the leaves together. Every leaf is asked, in order, and told whether it stands under an odd number of `not`.
pub fn decide(expr: &Expr, leaf: &mut dyn FnMut(&Check, bool) -> bool) -> bool {
    decide_in(expr, false, leaf)
}

fn decide_in(expr: &Expr, negated: bool, leaf: &mut dyn FnMut(&Check, bool) -> bool) -> bool {
    match expr {
        Expr::And(items) => {
            let mut all = true;
            for item in items {
                all &= decide_in(item, negated, leaf);
            }
            all
        }
        Expr::Or(items) => {
            let mut any = false;
            for item in items {
                any |= decide_in(item, negated, leaf);
            }
            any
        }
        Expr::Not(inner) => !decide_in(inner, !negated, leaf),
        Expr::Check(check) => leaf(check, negated),
        Expr::Macro(name, _) => panic!("the macro {name} was not put in"),
    }
}

/// Whether a comparison stands under an odd number of `not` and needs a field that the engine cannot fill: such a rule
/// must not fire, for the field's value would always be missing and the negation always true.
pub fn blind(expr: &Expr, negated: bool) -> bool {
    match expr {
        Expr::And(items) | Expr::Or(items) => items.iter().any(|item| blind(item, negated)),
        Expr::Not(inner) => blind(inner, !negated),
        Expr::Check(check) => negated && unfilled(check),
        Expr::Macro(..) => false,
    }
}

fn field(operand: &crate::rules::language::ast::FieldText) -> FieldRef {
    FieldRef::resolve(&operand.name, operand.arg.as_deref()).unwrap()
}

/// Whether a comparison needs a field that the engine cannot fill; it counts as false.
fn unfilled(check: &Check) -> bool {
    fn operand(of: &Operand) -> bool {
        match of {
            Operand::Field(text) => pools::UNFILLED.contains(&field(text).field.name()),
            Operand::Transform(transform) => transform.args.iter().any(argument),
        }
    }
    fn argument(of: &Argument) -> bool {
        match of {
            Argument::Operand(inner) => operand(inner),
            Argument::Text(_) => false,
            Argument::List(items) => items.iter().any(argument),
        }
    }
    operand(&check.left) || matches!(&check.right, Right::Operand(right) if operand(right))
}

/// Whether one comparison is true of an event.
pub fn leaf<E: Event>(check: &Check, event: &E) -> bool {
    if unfilled(check) {
        return false;
    }
    if let (Some(modifier), Right::List(values)) = (check.modifier, &check.right) {
        let one = |value: &crate::rules::language::ast::Value| Check {
            modifier: None,
            right: Right::Value(value.clone()),
            ..check.clone()
        };
        let true_of = values.iter().filter(|value| leaf(&one(value), event)).count();
        return match modifier {
            Modifier::Any => true_of >= 1,
            Modifier::One => true_of == 1,
            Modifier::All => !values.is_empty() && true_of == values.len(),
        };
    }
    let Some(left) = operand(&check.left, event) else { return false };
    if check.op == Op::Exists {
        return true;
    }
    let (kind, either_end, first_only) = match &check.left {
        Operand::Field(text) => {
            let field = field(text);
            let either = matches!(field.field, Field::FdIp | Field::FdPort | Field::FdNet | Field::FdProto);
            (
                kind_of(field.kind()),
                either,
                field.field == Field::FdNet && matches!(check.op, Op::In | Op::Intersects),
            )
        }
        Operand::Transform(transform) if transform.function == Function::Len => {
            (Kind::Number(64, false), false, false)
        }
        Operand::Transform(_) => (Kind::Bytes, false, false),
    };
    let passes: Box<dyn Fn(&Own) -> bool> = match &check.right {
        Right::None => return false,
        Right::Operand(right) => {
            let Some(right) = operand(right, event) else { return false };
            let op = check.op;
            match right {
                Got::One(right) => {
                    let op = if op == Op::Intersects || op == Op::In { Op::Eq } else { op };
                    Box::new(move |left| compare_values(left, op, &right))
                }
                Got::List(items) | Got::Some(items) => Box::new(move |left| items.contains(left)),
            }
        }
        Right::Value(value) => Box::new(|left| compare(kind, left, check.op, &value.bytes)),
        Right::List(values) => Box::new(move |left| {
            let values = if first_only { &values[..values.len().min(1)] } else { values };
            let op = if check.op == Op::Intersects || check.op == Op::In { Op::Eq } else { check.op };
            values.iter().any(|value| compare(kind, left, op, &value.bytes))
        }),
    };
    let spellings = match (&check.left, &check.right) {
        (_, Right::Operand(_)) | (Operand::Transform(_), _) => Vec::new(),
        (Operand::Field(text), _) => spellings(&field(text), event),
    };
    match left {
        Got::One(value) if check.op == Op::Ne => passes(&value) && spellings.iter().all(passes),
        Got::One(value) => passes(&value) || spellings.iter().any(passes),
        // "Is not" of either end: neither is.
        Got::Some(values) if either_end && check.op == Op::Ne => values.iter().all(passes),
        Got::List(values) if check.op == Op::In => !values.is_empty() && values.iter().all(passes),
        Got::Some(values) | Got::List(values) => values.iter().any(passes),
    }
}

/// The other spellings of a path.
fn spellings<E: Event>(field: &FieldRef, event: &E) -> Vec<Own> {
    let mut all = Vec::new();
    if !field.is_any() && !field.is_list() {
        event.any(field, &mut |value| {
            all.push(Own::from(value));
            false
        });
    }
    all
}

/// The value of a field or transformer; `None` is missing.
fn operand<E: Event>(of: &Operand, event: &E) -> Option<Got> {
    match of {
        Operand::Field(text) => {
            let field = field(text);
            if !field.is_any() && !field.is_list() {
                return event.get(&field).map(|value| Got::One(value.into()));
            }
            let mut values = Vec::new();
            event.any(&field, &mut |value| {
                values.push(Own::from(value));
                false
            });
            if values.is_empty() {
                return None;
            }
            Some(if field.is_list() { Got::List(values) } else { Got::Some(values) })
        }
        Operand::Transform(transform) => transformed(transform, event),
    }
}

fn argument<E: Event>(of: &Argument, event: &E) -> Option<Got> {
    match of {
        Argument::Operand(inner) => operand(inner, event),
        Argument::Text(text) => Some(Got::One(Own::Bytes(text.as_bytes().to_vec()))),
        // A list with a member that is missing is missing.
        Argument::List(items) => {
            let mut list = Vec::new();
            for item in items {
                match argument(item, event)? {
                    Got::One(value) => list.push(Own::Bytes(printed(&value))),
                    Got::Some(inner) | Got::List(inner) => list.extend(inner),
                }
            }
            Some(Got::List(list))
        }
    }
}

fn printed(value: &Own) -> Vec<u8> {
    match value {
        Own::Bytes(bytes) => bytes.clone(),
        Own::Number(number) => number.to_string().into_bytes(),
        Own::Truth(truth) => truth.to_string().into_bytes(),
        Own::Address(address) => address.to_string().into_bytes(),
    }
}

fn transformed<E: Event>(transform: &Transform, event: &E) -> Option<Got> {
    let args: Option<Vec<Got>> = transform.args.iter().map(|arg| argument(arg, event)).collect();
    let args = args?;
    let bytes = |n: usize| match args.get(n) {
        Some(Got::One(Own::Bytes(bytes))) => Some(bytes.clone()),
        _ => None,
    };
    let list = |n: usize| match args.get(n) {
        Some(Got::List(items)) => {
            let bytes = |item: &Own| match item {
                Own::Bytes(bytes) => Some(bytes.clone()),
                _ => None,
            };
            items.iter().map(bytes).collect::<Option<Vec<_>>>()
        }
        _ => None,
    };
    let one = |bytes: Vec<u8>| Some(Got::One(Own::Bytes(bytes)));
    let shown = |n: usize| match args.get(n) {
        Some(Got::One(value)) => Some(printed(value)),
        _ => None,
    };
    // Of a list, each element.
    let each = |change: &dyn Fn(Vec<u8>) -> Option<Vec<u8>>| match list(0) {
        Some(items) => {
            let changed: Option<Vec<Own>> =
                items.into_iter().map(|item| change(item).map(Own::Bytes)).collect();
            changed.map(Got::List)
        }
        None => one(change(bytes(0)?)?),
    };
    match transform.function {
        Function::Tolower => each(&|bytes| Some(bytes.iter().map(|b| text::lower(*b)).collect())),
        Function::Toupper => each(&|bytes| Some(bytes.iter().map(|b| text::upper(*b)).collect())),
        Function::Basename => each(&|path| {
            let mut name = Vec::new();
            for byte in path {
                if byte == b'/' {
                    name.clear();
                } else {
                    name.push(byte);
                }
            }
            Some(name)
        }),
        Function::B64 => each(&|coded| text::base64(&coded)),
        Function::Len => {
            let len = match list(0) {
                Some(items) => items.len(),
                None => bytes(0)?.len(),
            };
            Some(Got::One(Own::Number(i128::try_from(len).unwrap())))
        }
        Function::Join => {
            let mut joined = Vec::new();
            for (n, item) in list(1)?.into_iter().enumerate() {
                if n > 0 {
                    joined.extend(shown(0)?);
                }
                joined.extend(item);
            }
            one(joined)
        }
        Function::Concat => {
            let mut whole = Vec::new();
            for n in 0..args.len() {
                whole.extend(shown(n)?);
            }
            one(whole)
        }
        Function::Getopt => {
            let found = text::getopt(&list(0)?, &bytes(1)?);
            if let Some(selector) = &transform.selector {
                let wanted = selector.as_bytes()[0];
                let last = found.iter().rfind(|(letter, _)| *letter == Some(wanted))?;
                return one(last.1.clone().unwrap_or_else(|| vec![wanted]));
            }
            let mut all = Vec::new();
            for (letter, value) in found {
                // An option whose value is missing leaves one empty text.
                all.extend(letter.map(|letter| Own::Bytes(vec![letter])));
                all.extend(value.map(Own::Bytes));
            }
            Some(Got::List(all))
        }
        Function::Val => panic!("val() is no transformer of its own"),
    }
}

/// One comparison of one value with one literal.
fn compare(kind: Kind, value: &Own, op: Op, literal: &[u8]) -> bool {
    match (kind, value) {
        (Kind::Bytes | Kind::Any, Own::Bytes(bytes)) => text::compare(bytes, op, literal),
        (Kind::Number(bits, signed), Own::Number(number)) => {
            let mut literal = text::number(literal).unwrap();
            // What does not fit goes round.
            let (least, most) =
                if signed { (-(1i128 << (bits - 1)), 1i128 << (bits - 1)) } else { (0, 1i128 << bits) };
            while literal < least {
                literal += 1i128 << bits;
            }
            while literal >= most {
                literal -= 1i128 << bits;
            }
            order(op, number.cmp(&literal))
        }
        (Kind::Port, Own::Number(number)) => {
            let services: [(&[u8], i128); 4] =
                [(b"ssh", 22), (b"domain", 53), (b"http", 80), (b"https", 443)];
            let by_name = services.iter().find(|(name, _)| *name == literal).map(|(_, number)| *number);
            let port = by_name.or_else(|| text::number(literal)).unwrap();
            order(op, number.cmp(&port))
        }
        (Kind::Truth | Kind::Any, Own::Truth(truth)) => {
            let literal: &[u8] = literal;
            literal == b"true" && order(op, truth.cmp(&true))
                || literal == b"false" && order(op, truth.cmp(&false))
        }
        (Kind::Address, Own::Address(ip)) => {
            let literal: IpAddr = std::str::from_utf8(literal).unwrap().parse().unwrap();
            (*ip == literal) == (op == Op::Eq)
        }
        (Kind::Network, Own::Address(ip)) => text::in_network(*ip, literal) == (op == Op::Eq),
        _ => false,
    }
}

/// One comparison of two values.
fn compare_values(left: &Own, op: Op, right: &Own) -> bool {
    match (left, right) {
        (Own::Bytes(left), Own::Bytes(right)) => text::compare(left, op, right),
        (Own::Number(left), Own::Number(right)) => order(op, left.cmp(right)),
        (Own::Truth(left), Own::Truth(right)) => order(op, left.cmp(right)),
        (Own::Address(left), Own::Address(right)) => (left == right) == (op == Op::Eq),
        _ => false,
    }
}

/// Operators that are answered by which of two values is the greater.
fn order(op: Op, ordering: std::cmp::Ordering) -> bool {
    use std::cmp::Ordering::{Equal, Greater, Less};
    match op {
        Op::Eq => ordering == Equal,
        Op::Ne => ordering != Equal,
        Op::Lt => ordering == Less,
        Op::Le => ordering != Greater,
        Op::Gt => ordering == Greater,
        Op::Ge => ordering != Less,
        _ => false,
    }
}

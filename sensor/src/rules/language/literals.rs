//! Literals of a comparison, by the type of the field they are compared with: parsed once, made into a [`Matcher`].

use aho_corasick::AhoCorasick;
use memchr::memmem::Finder;

use super::ast::{Check, Function, Op, Right, Span, Value as Literal};
use super::findings::{Findings, refuse, unsupported};
use super::matcher::{Bytes, Matcher, Net, Number, Order, ip};
use super::pattern::{self, PathSet};
use crate::rules::registry::fields::FieldRef;
use crate::rules::registry::names::{Names, port};
use crate::rules::registry::types::FieldType;
use crate::rules::report::complaint::{Code, Complaint};

/// Whether the operator applies to the type.
pub fn allowed(kind: FieldType, op: Op, span: Span) -> Result<(), Complaint> {
    let yes = match (kind, op) {
        // What has no form of its own, such as a pair of addresses, is compared as text by `evt.arg`.
        (FieldType::Dynamic, op) => op == Op::Exists,
        (_, Op::Exists | Op::Eq | Op::Ne | Op::In | Op::Intersects) => true,
        (FieldType::CharBuf | FieldType::FsPath, op) => !matches!(op, Op::Bcontains | Op::Bstartswith),
        (FieldType::ByteBuf, op) => {
            matches!(op, Op::Contains | Op::Startswith | Op::Endswith | Op::Bcontains | Op::Bstartswith)
        }
        (FieldType::Bool | FieldType::IpAddr | FieldType::IpNet, _) => false,
        (_, op) => op.is_order(),
    };
    if yes { Ok(()) } else { Err(unsupported(op, kind.as_str(), span)) }
}

/// The literals of a right-hand side.
pub fn values(right: &Right) -> &[Literal] {
    match right {
        Right::Value(value) => std::slice::from_ref(value),
        Right::List(values) => values,
        Right::None | Right::Operand(_) => &[],
    }
}

/// A whole decimal number as Falco reads one for a field of the type: blanks may stand before it, what is too large for 64
/// bits is the largest number, and what is too large for the type loses its upper bits. So a user id of -1 is
/// 4294967295.
pub fn number_of(kind: FieldType, bytes: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(bytes).ok()?.trim_start();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size: u64 = digits.parse().unwrap_or(u64::MAX);
    let too_large = digits.parse::<u64>().is_err();
    let negative = text.starts_with('-');
    let (signed, bits) = match kind {
        FieldType::Int16 => (true, 16),
        FieldType::Int32 => (true, 32),
        FieldType::Int64 => (true, 64),
        FieldType::Uint8 => (false, 8),
        FieldType::Uint16 | FieldType::Port => (false, 16),
        FieldType::Uint32 => (false, 32),
        _ => (false, 64),
    };
    let whole = if signed {
        let size = i128::from(size);
        let number = if negative { -size } else { size };
        number.clamp(i128::from(i64::MIN), i128::from(i64::MAX))
    } else if negative && !too_large {
        i128::from(size.wrapping_neg())
    } else {
        i128::from(size)
    };
    let range = 1i128 << bits;
    let low = whole.rem_euclid(range);
    Some(if signed && low >= range / 2 { low - range } else { low })
}

/// A port by its number or the name of its service. Falco takes no text at all for a number, too.
pub fn port_of(bytes: &[u8], names: &dyn Names) -> Option<i128> {
    if bytes.is_empty() {
        return Some(0);
    }
    if bytes.iter().all(u8::is_ascii_digit) {
        return number_of(FieldType::Port, bytes);
    }
    port(std::str::from_utf8(bytes).ok()?, names).map(i128::from)
}

/// A whole decimal number.
pub fn decimal(bytes: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(bytes).ok()?;
    // Longer ones are no number of 64 bits anyway.
    (text.len() <= 21).then(|| text.parse().ok()).flatten()
}

/// The test that a comparison makes of one value of type `kind`.
pub fn literals(kind: FieldType, check: &Check, findings: &mut Findings) -> Result<Matcher, Complaint> {
    allowed(kind, check.op, check.span)?;
    let values = values(&check.right);
    for value in values {
        hint(value, findings);
    }
    let equal = check.op != Op::Ne;
    let not_a = |value: &Literal, what: &str| {
        let shown = String::from_utf8_lossy(&value.bytes).into_owned();
        refuse(value.span, format!("'{shown}' is not {what}"))
    };
    let text = |value: &Literal| std::str::from_utf8(&value.bytes).ok().map(str::to_owned);
    Ok(match kind {
        FieldType::CharBuf | FieldType::FsPath | FieldType::ByteBuf => {
            Matcher::Bytes(bytes(kind, check, values, findings)?)
        }
        FieldType::Bool => {
            let parse = |value: &Literal| match value.bytes.as_slice() {
                b"true" => Ok(true),
                b"false" => Ok(false),
                _ => Err(not_a(value, "a truth value (true, false)")),
            };
            Matcher::Bool { equal, literals: values.iter().map(parse).collect::<Result<_, _>>()? }
        }
        FieldType::IpAddr => {
            let parse = |value: &Literal| {
                text(value).and_then(|t| ip(&t)).ok_or_else(|| not_a(value, "an IP address"))
            };
            Matcher::Ip { equal, literals: values.iter().map(parse).collect::<Result<_, _>>()? }
        }
        FieldType::IpNet => {
            let parse = |value: &Literal| {
                text(value)
                    .and_then(|t| Net::parse(&t))
                    .ok_or_else(|| not_a(value, "a network (address/length)"))
            };
            Matcher::Net { equal, literals: values.iter().map(parse).collect::<Result<_, _>>()? }
        }
        _ => {
            let parse = |value: &Literal| {
                if kind == FieldType::Port {
                    let number = port_of(&value.bytes, &*findings.names);
                    return number.ok_or_else(|| not_a(value, "a port number or known service"));
                }
                let is_bad = || not_a(value, "a decimal number");
                if kind == FieldType::Double {
                    let number = decimal(&value.bytes).ok_or_else(is_bad)?;
                    let what = "a whole number of 32 bits, which is what Falco compares here";
                    return if i32::try_from(number).is_ok() { Ok(number) } else { Err(not_a(value, what)) };
                }
                number_of(kind, &value.bytes).ok_or_else(is_bad)
            };
            let numbers: Vec<i128> = values.iter().map(parse).collect::<Result<_, _>>()?;
            match number(check.op, numbers) {
                Some(number) => Matcher::Number(number),
                None => return Err(unsupported(check.op, kind.as_str(), check.span)),
            }
        }
    })
}

/// Warns about a literal that looks as if a field or a transformer was meant.
fn hint(value: &Literal, findings: &mut Findings) {
    let Ok(text) = std::str::from_utf8(&value.bytes) else { return };
    let name = text.trim();
    let message = if FieldRef::parse(name).is_ok() {
        format!(
            "'{text}' may be a valid field misused as a const string value; write val({name}) to compare with it"
        )
    } else if Function::ALL.iter().any(|f| {
        name.strip_prefix(f.as_str()).is_some_and(|rest| rest.starts_with('(') && rest.ends_with(')'))
    }) {
        format!(
            "'{text}' may be a valid field transformer misused as a const string value; write it without quotes"
        )
    } else {
        return;
    };
    findings
        .warnings
        .push(Complaint::new(Code::WarnCondition, value.span.at, message).spanning(value.span.len));
}

fn order(op: Op) -> Option<Order> {
    match op {
        Op::Lt => Some(Order::Lt),
        Op::Le => Some(Order::Le),
        Op::Gt => Some(Order::Gt),
        Op::Ge => Some(Order::Ge),
        _ => None,
    }
}

fn number(op: Op, numbers: Vec<i128>) -> Option<Number> {
    match op {
        Op::In | Op::Intersects => Some(Number::In(numbers.into_iter().collect())),
        Op::Eq => numbers.first().copied().map(Number::Eq),
        Op::Ne => numbers.first().copied().map(Number::Ne),
        op => Some(Number::Order(order(op)?, numbers.first().copied()?)),
    }
}

fn bytes(
    kind: FieldType,
    check: &Check,
    values: &[Literal],
    findings: &mut Findings,
) -> Result<Bytes, Complaint> {
    for value in values {
        if kind != FieldType::ByteBuf && value.bytes.contains(&0) {
            return Err(refuse(value.span, "a NUL byte can stand in a value for a byte buffer only"));
        }
    }
    if let Some(modifier) = check.modifier {
        let tests = values.iter().map(|value| one(check.op, value, findings)).collect::<Result<_, _>>()?;
        return Ok(Bytes::Several(modifier, tests));
    }
    match (check.op, values) {
        (Op::Pmatch, values) => {
            let set = PathSet::new(values.iter().map(|value| value.bytes.as_slice()), &mut findings.budget);
            set.map(|set| Bytes::Path(Box::new(set))).map_err(|error| refuse(check.span, error.to_string()))
        }
        (Op::In | Op::Intersects, []) => Ok(Bytes::Never),
        (Op::In | Op::Intersects, values) => {
            Ok(Bytes::In(values.iter().map(|value| value.bytes.as_slice().into()).collect()))
        }
        (op, [value]) => one(op, value, findings),
        (op, _) => Err(refuse(check.span, format!("'{}' takes one value", op.as_str()))),
    }
}

fn one(op: Op, value: &Literal, findings: &mut Findings) -> Result<Bytes, Complaint> {
    let literal: Box<[u8]> = value.bytes.as_slice().into();
    let bad = |error: pattern::PatternError| refuse(value.span, error.to_string());
    Ok(match op {
        Op::Eq => Bytes::Eq(literal),
        Op::Ne => Bytes::Ne(literal),
        Op::Contains => Bytes::Contains(Box::new(Finder::new(&literal).into_owned())),
        Op::Icontains => {
            let finder = AhoCorasick::builder().ascii_case_insensitive(true).build([&literal]);
            let finder = finder.map_err(|error| refuse(value.span, error.to_string()))?;
            Bytes::ContainsNoCase(Box::new(finder), literal)
        }
        Op::Startswith => Bytes::StartsWith(literal),
        Op::Endswith => Bytes::EndsWith(literal),
        Op::Bcontains => Bytes::Contains(Box::new(Finder::new(&hex(value)?).into_owned())),
        Op::Bstartswith => Bytes::StartsWith(hex(value)?.into()),
        Op::Glob => {
            let regex = pattern::glob_within(&literal, false, &mut findings.budget).map_err(bad)?;
            Bytes::Pattern(Box::new(regex), pattern::glob_start(&literal).into())
        }
        Op::Iglob => Bytes::Pattern(
            Box::new(pattern::glob_within(&literal, true, &mut findings.budget).map_err(bad)?),
            Box::default(),
        ),
        Op::Regex => {
            if let Some(simpler) = pattern::simpler(&literal) {
                let message = format!(
                    "this regular expression can be replaced by a simpler operator, such as '{simpler}'"
                );
                findings.warnings.push(
                    Complaint::new(Code::WarnCondition, value.span.at, message).spanning(value.span.len),
                );
            }
            Bytes::TextPattern(Box::new(pattern::posix(&literal, &mut findings.budget).map_err(bad)?))
        }
        op => match order(op) {
            Some(order) => Bytes::Order(order, literal),
            None => return Err(refuse(value.span, format!("'{}' takes a list", op.as_str()))),
        },
    })
}

fn hex(value: &Literal) -> Result<Vec<u8>, Complaint> {
    let digits = value.bytes.as_slice();
    let bad = || refuse(value.span, "expected an even number of hexadecimal digits");
    if !digits.len().is_multiple_of(2) {
        return Err(bad());
    }
    digits
        .chunks(2)
        .map(|pair| {
            let text = std::str::from_utf8(pair).ok().filter(|t| t.bytes().all(|b| b.is_ascii_hexdigit()));
            text.and_then(|text| u8::from_str_radix(text, 16).ok()).ok_or_else(bad)
        })
        .collect()
}

//! Meaning of a condition: fields and operators known, literals of the right type, comparisons turned into tests. What
//! the event's type alone decides becomes a set of types here, so that the compiler can decide it before any event comes.

use std::sync::Arc;

use super::ast::{Check, Expr, FieldText, Modifier, Op, Operand, Right, Span};
use super::findings::{Findings, refuse, unsupported};
use super::literals::{allowed, decimal, literals, values};
use super::matcher::{Matcher, Number, Order};
use super::siblings::Named;
use super::transform::{self, Compute, Yields};
use crate::rules::registry::event::{EventType, Value};
use crate::rules::registry::event_types;
use crate::rules::registry::field_set::FieldSet;
use crate::rules::registry::fields::{Field, FieldArg, FieldError, FieldRef, Flags};
use crate::rules::registry::spellings;
use crate::rules::registry::types::FieldType;
use crate::rules::report::complaint::{Code, Complaint};

/// A set of event types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeSet {
    all: Box<[u64]>,
    /// Those that are in it for what they do, not by name.
    siblings: Vec<EventType>,
    /// The condition names them, and does not only leave them over.
    pub named: bool,
}

impl TypeSet {
    fn of(mut contains: impl FnMut(EventType, &event_types::Info) -> bool) -> Self {
        let mut words = vec![0u64; event_types::count().div_ceil(64)];
        for (event, info) in event_types::all() {
            if contains(event, info) {
                words[usize::from(event.0) / 64] |= 1 << (event.0 % 64);
            }
        }
        Self { all: words.into(), siblings: Vec::new(), named: false }
    }

    /// The same, and types that do what named ones do.
    fn with(&self, siblings: Vec<EventType>) -> Self {
        let all = Self::of(|event, _| self.contains(event) || siblings.contains(&event)).all;
        Self { all, siblings, named: self.named }
    }

    /// As what a comparison of the type with `literals` leaves.
    fn of_names(self, literals: usize) -> Self {
        let count: u32 = self.all.iter().map(|word| word.count_ones()).sum();
        Self { named: usize::try_from(count).is_ok_and(|count| count <= literals), ..self }
    }

    pub fn contains(&self, event: EventType) -> bool {
        self.all.get(usize::from(event.0) / 64).is_some_and(|word| word >> (event.0 % 64) & 1 == 1)
    }

    /// The type is in it, and not by name: it does what a named one does.
    pub fn has_sibling(&self, event: EventType) -> bool {
        self.siblings.contains(&event)
    }
}

/// A condition whose leaves are ready to test.
#[derive(Debug, Clone)]
pub enum Cond {
    Const(bool),
    /// True exactly for events of these types.
    Types(Arc<TypeSet>),
    /// A comparison of a field that has no value.
    Unfilled(Field),
    Test(Arc<Pred>),
    And(Vec<Cond>),
    Or(Vec<Cond>),
    Not(Box<Cond>),
}

/// A test and what the compiler needs to know of it.
#[derive(Debug)]
pub struct Pred {
    /// Equal keys are equal tests.
    pub key: String,
    pub test: Test,
    /// Rough cost of the test; cheap ones go first.
    pub cost: u32,
}

/// A leaf of a condition.
#[derive(Debug)]
pub enum Test {
    Exists(FieldRef),
    ExistsAny(FieldRef),
    /// The field's value passes.
    One(FieldRef, Matcher),
    /// The field's value, a path, passes in one of its spellings; where the matcher says `!=`, in all.
    Path(FieldRef, Matcher),
    /// Any of the values passes.
    Any(FieldRef, Matcher),
    /// There are values and none passes: `fd.ip != x`.
    NoneOf(FieldRef, Matcher),
    /// There are values and all pass: `in` of a list.
    All(FieldRef, Matcher),
    /// A computed value exists.
    ComputedExists(Compute),
    /// A computed value, or any element of a computed list, passes.
    Computed(Compute, Matcher),
    /// Every element of a computed list passes.
    ComputedAll(Compute, Matcher),
    /// Two extracted values compare.
    Pair(Compute, Op, Compute),
}

/// Checks a condition.
pub fn condition(expr: &Expr, findings: &mut Findings) -> Result<Cond, Complaint> {
    let named = if findings.families { Named::of(expr) } else { Named::default() };
    part(expr, false, &named, findings)
}

/// A part of a condition, `negated` when it stands under an odd number of `not`.
fn part(expr: &Expr, negated: bool, named: &Named, findings: &mut Findings) -> Result<Cond, Complaint> {
    let mut all = |items: &[Expr]| -> Result<Vec<Cond>, Complaint> {
        items.iter().map(|item| part(item, negated, named, findings)).collect()
    };
    Ok(match expr {
        Expr::And(items) => Cond::And(all(items)?),
        Expr::Or(items) => Cond::Or(all(items)?),
        Expr::Not(inner) => Cond::Not(Box::new(part(inner, !negated, named, findings)?)),
        Expr::Check(check) => match comparison(check, findings)? {
            Cond::Types(set) if !negated => match named.siblings(check) {
                none if none.is_empty() => Cond::Types(set),
                siblings => Cond::Types(Arc::new(set.with(siblings))),
            },
            cond => cond,
        },
        Expr::Macro(name, span) => {
            let message = format!("Undefined macro '{name}' used in filter.");
            return Err(Complaint::new(Code::Validate, span.at, message));
        }
    })
}

/// The field that a text names.
fn resolve(text: &FieldText, findings: &mut Findings) -> Result<FieldRef, Complaint> {
    let field = named(text, findings)?;
    let info = field.field.info();
    if info.flags.has(Flags::PRINT) {
        return Err(refuse(text.span, format!("field {} can be printed only", info.name)));
    }
    Ok(field)
}

/// [`resolve`], also for what can be printed only: two extracted values compare all the same.
fn named(text: &FieldText, findings: &mut Findings) -> Result<FieldRef, Complaint> {
    let field = FieldRef::resolve(&text.name, text.arg.as_deref()).map_err(|error| {
        let message = match &error {
            FieldError::Unknown { .. } => format!("filter_check called with nonexistent field {text}"),
            FieldError::NotAnIndex { .. } => {
                format!("filter_check called with nonexistent field {text}: {error}")
            }
            other => other.to_string(),
        };
        refuse(text.span, message).suggesting(error.suggestion())
    })?;
    if field.is_warned_about() {
        findings.warnings.push(deprecated(&field, text.span));
    }
    if let (Field::EvtTypeIs, FieldArg::Key(name)) = (field.field, &field.arg) {
        known_event(&String::from_utf8_lossy(name), text.span)?;
    }
    Ok(field)
}

/// The warning about a deprecated field.
pub fn deprecated(field: &FieldRef, span: Span) -> Complaint {
    let message = format!("usage of deprecated field '{field}'");
    let advice = if field.field == Field::EvtDir {
        "an event is judged when its call has returned: `evt.dir = <` is true of every call and can be left out, and `evt.dir = >` \
         is true of none (of `container` events it is the other way round)"
    } else {
        "calls are seen once, when they return, so it is always 0"
    };
    let mut complaint =
        Complaint::new(Code::DeprecatedItem, span.at, message).spanning(span.len).advising(advice);
    complaint.deprecated_field = Some(field.to_string());
    complaint
}

fn known_event(name: &str, span: Span) -> Result<EventType, Complaint> {
    event_types::by_name(name).ok_or_else(|| {
        refuse(span, format!("unknown event type {name}")).suggesting(event_types::suggest(name))
    })
}

fn comparison(check: &Check, findings: &mut Findings) -> Result<Cond, Complaint> {
    unsafe_na(check, findings);
    match (&check.left, &check.right) {
        (_, Right::Operand(right)) => pair(check, right, findings),
        (Operand::Field(text), _) => {
            let field = resolve(text, findings)?;
            let is_text = matches!(field.kind(), FieldType::CharBuf | FieldType::FsPath | FieldType::ByteBuf);
            match check.modifier {
                Some(modifier) if !field.is_list() && (field.is_any() || !is_text) => {
                    modified(check, modifier, findings)
                }
                _ => field_comparison(field, check, findings),
            }
        }
        (Operand::Transform(transform), _) => {
            let (left, yields) = compute(transform, findings)?;
            if let (Some(modifier), Yields::One(FieldType::Uint64)) = (check.modifier, yields) {
                return modified(check, modifier, findings);
            }
            let unfilled = left.unfilled(&findings.unfilled);
            let test = match (check.op, yields) {
                (Op::Exists, _) => Test::ComputedExists(left),
                (Op::In, Yields::List) => {
                    Test::ComputedAll(left, literals(FieldType::CharBuf, check, findings)?)
                }
                (Op::Intersects, Yields::List) => {
                    Test::Computed(left, literals(FieldType::CharBuf, check, findings)?)
                }
                (op, Yields::List) => return Err(unsupported(op, "a list", check.span)),
                (_, Yields::One(kind)) => Test::Computed(left, literals(kind, check, findings)?),
            };
            if let Some(field) = unfilled {
                return Ok(Cond::Unfilled(field));
            }
            Ok(test_of(check.to_string(), test, 40))
        }
    }
}

/// Most values of a `oneof` that is taken apart.
const MOST_OF_ONE: usize = 256;

/// A comparison with `oneof`, `anyof` or `allof` as one comparison with each value. (Tests of strings do it by
/// themselves.)
fn modified(check: &Check, modifier: Modifier, findings: &mut Findings) -> Result<Cond, Complaint> {
    let mut parts = Vec::new();
    for value in values(&check.right) {
        let single = Check { modifier: None, right: Right::Value(value.clone()), ..check.clone() };
        parts.push(comparison(&single, findings)?);
    }
    Ok(match modifier {
        _ if parts.is_empty() => Cond::Const(false),
        Modifier::Any => Cond::Or(parts),
        Modifier::All => Cond::And(parts),
        Modifier::One if parts.len() > MOST_OF_ONE => {
            let message = format!("oneof with more than {MOST_OF_ONE} values of this type");
            return Err(refuse(check.span, message));
        }
        Modifier::One => exactly_one(&parts),
    })
}

/// One of the conditions is true and the others are not: it is in one half, and none is in the other.
fn exactly_one(parts: &[Cond]) -> Cond {
    if let [only] = parts {
        return only.clone();
    }
    let (left, right) = parts.split_at(parts.len() / 2);
    let only_in = |one: &[Cond], none: &[Cond]| {
        Cond::And(vec![exactly_one(one), Cond::Not(Box::new(Cond::Or(none.to_vec())))])
    };
    Cond::Or(vec![only_in(left, right), only_in(right, left)])
}

/// Warns about audit fields compared with `<NA>`, as rules did before there was `exists`.
fn unsafe_na(check: &Check, findings: &mut Findings) {
    let Operand::Field(field) = &check.left else { return };
    let audit = field.name.starts_with("ka.") || field.name.starts_with("jevt.");
    let compares = matches!(check.op, Op::Eq | Op::Ne | Op::In | Op::Intersects | Op::Pmatch);
    if audit && compares && values(&check.right).iter().any(|value| value.bytes == b"<NA>") {
        let message =
            format!("comparing a field value with <NA> is unsafe; use 'not {field} exists' instead");
        let warning = Complaint::new(Code::UnsafeNaCheck, check.span.at, message);
        findings.warnings.push(warning.spanning(check.span.len));
    }
}

fn compute(
    transform: &super::ast::Transform,
    findings: &mut Findings,
) -> Result<(Compute, Yields), Complaint> {
    transform::check(transform, &mut |text| resolve(text, findings)).map_err(|error| match error {
        Ok(message) => refuse(transform.span, message),
        Err(complaint) => complaint,
    })
}

/// A comparison with a field or transformer on the right.
fn pair(check: &Check, right: &Operand, findings: &mut Findings) -> Result<Cond, Complaint> {
    let op = check.op;
    let (left, left_type) = side(&check.left, findings)?;
    // Falco warns of deprecated fields on the left only.
    let said = findings.warnings.len();
    let right = side(right, findings);
    findings.warnings.truncate(said);
    let (right, right_type) = right?;
    if matches!(&check.left, Operand::Field(text) if matches!(text.name.as_str(), "evt.type" | "syscall.type"))
    {
        let message = "an event type is compared with names only, not with another field";
        return Err(refuse(check.span, message));
    }
    // Fields that are not known come first: a rule may ask to be passed over for them.
    if matches!(op, Op::Pmatch | Op::Regex) {
        return Err(refuse(check.span, format!("'{}' takes no field on its right", op.as_str())));
    }
    let fits = match (left_type, right_type) {
        (Yields::One(a), Yields::One(b)) => same_kind(a, b),
        (Yields::List, Yields::List) => op.is_list(),
        (Yields::List, Yields::One(b)) => op.is_list() && same_kind(FieldType::CharBuf, b),
        (Yields::One(_), Yields::List) => false,
    };
    if !fits {
        let message = format!("the two sides of '{}' have different types", op.as_str());
        return Err(refuse(check.span, message));
    }
    if let Yields::One(kind) = left_type {
        allowed(kind, op, check.span)?;
    }
    if let Some(field) = left.unfilled(&findings.unfilled).or(right.unfilled(&findings.unfilled)) {
        return Ok(Cond::Unfilled(field));
    }
    Ok(test_of(format!("{check} (computed)"), Test::Pair(left, op, right), 40))
}

/// One side of a comparison of two extracted values.
fn side(operand: &Operand, findings: &mut Findings) -> Result<(Compute, Yields), Complaint> {
    match operand {
        Operand::Transform(transform) => compute(transform, findings),
        Operand::Field(text) => {
            let field = named(text, findings)?;
            if field.field.info().flags.has(Flags::LEFT_ONLY) {
                let message = format!("field {field} cannot be compared with another field");
                return Err(refuse(text.span, message));
            }
            let yields = if field.is_list() { Yields::List } else { Yields::One(field.kind()) };
            Ok((Compute::Field(field), yields))
        }
    }
}

/// Types whose values compare with each other: equal ones; a path is a string.
fn same_kind(a: FieldType, b: FieldType) -> bool {
    let plain = |kind| if kind == FieldType::FsPath { FieldType::CharBuf } else { kind };
    plain(a) == plain(b)
}

fn test_of(key: String, test: Test, cost: u32) -> Cond {
    Cond::Test(Arc::new(Pred { key, test, cost }))
}

/// The error about an operator that the type does not have.
fn field_comparison(field: FieldRef, check: &Check, findings: &mut Findings) -> Result<Cond, Complaint> {
    let (op, kind) = (check.op, field.kind());
    if field.field == Field::EvtAround {
        return around(&field, check);
    }
    if field.is_domain() {
        if !matches!(op, Op::Eq | Op::Ne | Op::In | Op::Exists) {
            return Err(unsupported(op, "domain name", check.span));
        }
        for value in values(&check.right) {
            if let Ok(name) = std::str::from_utf8(&value.bytes) {
                findings.hosts.push(findings.names.hold(name));
            }
        }
    }
    if field.is_list() {
        if !matches!(op, Op::In | Op::Intersects | Op::Exists) || check.modifier.is_some() {
            return Err(unsupported(op, "a list", check.span));
        }
    } else {
        allowed(kind, op, check.span)?;
    }
    let matcher = if op == Op::Exists { None } else { Some(literals(kind, check, findings)?) };
    if let Some(cond) = constant(&field, check, matcher.as_ref())? {
        return Ok(cond);
    }
    if let (Field::FdNet, Op::In | Op::Intersects, Right::List(values)) = (field.field, op, &check.right)
        && values.len() > 1
    {
        // Falco looks at the first network only.
        let first = Check { right: Right::List(values[..1].to_vec()), ..check.clone() };
        return field_comparison(field, &first, &mut Findings::new(&findings.names));
    }
    if findings.unfilled.contains(field.field) {
        return Ok(Cond::Unfilled(field.field));
    }
    // The key is the comparison as the canonical form shows it, after the field's argument was understood.
    let mut key = check.to_string();
    if let Operand::Field(text) = &check.left {
        let written = text.to_string();
        key.replace_range(..written.len(), &field.to_string());
    }
    let cost = cost(&field, op);
    let test = match matcher {
        None if field.is_any() || field.is_list() => Test::ExistsAny(field),
        None => Test::Exists(field),
        Some(matcher) if field.is_list() && op == Op::In => Test::All(field, matcher),
        Some(matcher) if field.is_list() => Test::Any(field, matcher),
        Some(_) if field.all_must_differ() && op == Op::Ne => {
            let equal = Check { op: Op::Eq, ..check.clone() };
            Test::NoneOf(field, literals(kind, &equal, &mut Findings::new(&findings.names))?)
        }
        Some(matcher) if field.is_any() => Test::Any(field, matcher),
        Some(matcher) if findings.spellings && spellings::has(&field) => Test::Path(field, matcher),
        Some(matcher) => Test::One(field, matcher),
    };
    Ok(test_of(key, test, cost))
}

/// `evt.around[T]=D`: the event's time is at most D milliseconds from T.
fn around(field: &FieldRef, check: &Check) -> Result<Cond, Complaint> {
    const NANOSECONDS: i128 = 1_000_000;
    let (Op::Eq, Right::Value(value)) = (check.op, &check.right) else {
        return Err(unsupported(check.op, "evt.around, which takes '='", check.span));
    };
    let shown = || String::from_utf8_lossy(&value.bytes).into_owned();
    let window = decimal(&value.bytes)
        .ok_or_else(|| refuse(value.span, format!("'{}' is not a decimal number", shown())))?;
    let time = match &field.arg {
        FieldArg::Key(time) => decimal(time).unwrap_or_default(),
        _ => 0,
    };
    let limit = |order: Order, symbol: &str, limit: i128| {
        let test = Test::One(Field::EvtRawtime.into(), Matcher::Number(Number::Order(order, limit)));
        test_of(format!("evt.rawtime {symbol} {limit}"), test, 2)
    };
    Ok(Cond::And(vec![
        limit(Order::Ge, ">=", time - window * NANOSECONDS),
        limit(Order::Le, "<=", time + window * NANOSECONDS),
    ]))
}

/// Rough cost of a test, to put cheap ones first: extraction of the field and work of the operator.
fn cost(field: &FieldRef, op: Op) -> u32 {
    let field_cost = match field.field {
        _ if field.is_any() => 30,
        Field::ProcCmdline | Field::ProcPcmdline | Field::ProcAcmdline | Field::ProcArgs | Field::ProcEnv => {
            12
        }
        Field::ProcAargs | Field::ProcAenv | Field::ProcExeline | Field::EvtArgs | Field::EvtInfo => 16,
        Field::EvtArg | Field::FdName | Field::FdNameraw | Field::FdDirectory | Field::FdFilename => 6,
        _ => match field.kind() {
            FieldType::CharBuf | FieldType::FsPath => 4,
            _ => 1,
        },
    };
    let op_cost = match op {
        Op::Exists => 0,
        Op::Eq | Op::Ne | Op::Lt | Op::Le | Op::Gt | Op::Ge => 1,
        Op::In | Op::Intersects | Op::Startswith | Op::Bstartswith | Op::Endswith => 2,
        Op::Contains | Op::Bcontains => 6,
        Op::Pmatch | Op::Icontains => 8,
        Op::Glob | Op::Iglob => 12,
        Op::Regex => 24,
    };
    field_cost + op_cost
}

/// What a field is for events of a type, where the type alone says it.
pub(in crate::rules) fn decided_by_type(
    field: &FieldRef,
) -> Option<fn(&event_types::Info) -> Option<Value<'static>>> {
    use event_types::Kind::{Meta, Syscall};
    match field.field {
        Field::EvtType => Some(|info| Some(Value::Str(info.name.as_bytes()))),
        Field::SyscallType => Some(|info| (info.kind == Syscall).then_some(Value::Str(info.name.as_bytes()))),
        Field::EvtDir => Some(|info| Some(Value::Str(if info.kind == Syscall { b"<" } else { b">" }))),
        Field::EvtIsAsync => {
            Some(|info| Some(Value::Bool(info.kind == Meta && info.name.starts_with("container"))))
        }
        Field::EvtSource => Some(|_| Some(Value::Str(b"syscall"))),
        Field::EvtCount => Some(|_| Some(Value::Uint(1))),
        // There is no entry any more from which to count.
        Field::EvtLatency
        | Field::EvtLatencyS
        | Field::EvtLatencyNs
        | Field::EvtLatencyQuantized
        | Field::EvtWaitLatency => Some(|_| Some(Value::Uint(0))),
        Field::EvtLatencyHuman => Some(|_| Some(Value::Str(b"0ns"))),
        _ => None,
    }
}

/// A comparison that needs no event, or its type only.
fn constant(field: &FieldRef, check: &Check, matcher: Option<&Matcher>) -> Result<Option<Cond>, Complaint> {
    // Falco knows no literal for evt.type but names of events, and no name at all, whatever the operator.
    if field.field == Field::EvtType {
        for value in values(&check.right).iter().filter(|value| !value.bytes.is_empty()) {
            known_event(&String::from_utf8_lossy(&value.bytes), value.span)?;
        }
    }
    if let Some(value) = decided_by_type(field) {
        let set = TypeSet::of(|_, info| {
            value(info).is_some_and(|value| matcher.is_none_or(|matcher| matcher.matches(value)))
        });
        let is_type = matches!(field.field, Field::EvtType | Field::SyscallType);
        let literals = if is_type { values(&check.right).len() } else { 0 };
        return Ok(Some(Cond::Types(Arc::new(set.of_names(literals)))));
    }
    if let (Field::EvtTypeIs, FieldArg::Key(name)) = (field.field, &field.arg) {
        let set = TypeSet::of(|_, info| {
            let value = Value::Uint(u64::from(info.name.as_bytes() == &**name));
            matcher.is_none_or(|matcher| matcher.matches(value))
        });
        return Ok(Some(Cond::Types(Arc::new(set.of_names(1)))));
    }
    // Events are counted from 1, so rules write `evt.num=0` for never and `evt.num>=0` for always.
    if let (Field::EvtNum, Right::Value(value)) = (field.field, &check.right)
        && let Some(number) = decimal(&value.bytes)
    {
        let always = match check.op {
            Op::Eq | Op::Le => (number < 1).then_some(false),
            Op::Ne | Op::Gt => (number < 1).then_some(true),
            Op::Ge => (number <= 1).then_some(true),
            Op::Lt => (number <= 1).then_some(false),
            _ => None,
        };
        return Ok(always.map(Cond::Const));
    }
    Ok(None)
}

impl Cond {
    /// The fields that have no value: with whether the comparison stands under a `not`, where a missing value would make the
    /// condition true.
    pub fn unfilled(&self, negated: bool, into: &mut Vec<(Field, bool)>) {
        match self {
            Self::Unfilled(field) => into.push((*field, negated)),
            Self::And(items) | Self::Or(items) => {
                for item in items {
                    item.unfilled(negated, into);
                }
            }
            Self::Not(inner) => inner.unfilled(!negated, into),
            Self::Const(_) | Self::Types(_) | Self::Test(_) => {}
        }
    }
}

impl Cond {
    /// The condition names this event type.
    pub fn names(&self, event: EventType) -> bool {
        match self {
            Self::Types(set) => set.named && set.contains(event),
            Self::And(items) | Self::Or(items) => items.iter().any(|item| item.names(event)),
            Self::Not(inner) => inner.names(event),
            Self::Const(_) | Self::Test(_) | Self::Unfilled(_) => false,
        }
    }
}

impl Compute {
    /// A field in it that has no value.
    pub fn unfilled(&self, unfilled: &FieldSet) -> Option<Field> {
        self.find(&|field| unfilled.contains(field.field)).map(|field| field.field)
    }

    /// It looks at a field of the kind.
    pub fn has(&self, kind: &dyn Fn(&FieldRef) -> bool) -> bool {
        self.find(kind).is_some()
    }

    /// The first field in it of the kind.
    fn find(&self, kind: &dyn Fn(&FieldRef) -> bool) -> Option<&FieldRef> {
        match self {
            Self::Field(field) => Some(field).filter(|field| kind(field)),
            Self::Text(_) => None,
            Self::List(items) | Self::Concat(items) => items.iter().find_map(|item| item.find(kind)),
            Self::Lower(inner)
            | Self::Upper(inner)
            | Self::Base64(inner)
            | Self::Basename(inner)
            | Self::Len(inner) => inner.find(kind),
            Self::Join(a, b) | Self::Getopt { list: a, options: b, .. } => {
                a.find(kind).or_else(|| b.find(kind))
            }
        }
    }
}

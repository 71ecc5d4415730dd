//! Exceptions of rules: read, checked, merged by name and written out as condition text.

use super::reader::File;
use crate::rules::language::ast::{FieldText, Modifier, Op, Operand};
use crate::rules::language::{parse, transform};
use crate::rules::registry::fields::FieldRef;
use crate::rules::report::complaint::{Code, Complaint};
use crate::rules::report::source::Origin;
use crate::rules::report::suggest;
use crate::rules::report::text::Text;
use crate::yaml::{Node, Yaml};

/// One exception of a rule.
#[derive(Debug, Clone)]
pub struct Exception {
    pub name: String,
    pub at: Origin,
    /// One field with a list operator, or several compared side by side.
    single: bool,
    fields: Vec<Text>,
    comps: Vec<Text>,
    values: Vec<Entry>,
}

/// An exception as an item of a file has it: what is missing there may be known from elsewhere.
pub struct Written {
    name: String,
    at: Origin,
    fields: Option<Value>,
    comps: Option<Value>,
    values: Option<Vec<Entry>>,
    /// Where `fields` or `comps` stands, for complaints about either.
    shape_at: Origin,
}

/// One element of `values`, with its place.
#[derive(Debug, Clone)]
struct Entry {
    at: Origin,
    value: Value,
}

#[derive(Debug, Clone)]
enum Value {
    Null,
    Scalar(Text),
    List(Vec<Entry>),
}

impl Value {
    /// Null, or a list of nothing.
    fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Scalar(_) => false,
            Self::List(items) => items.is_empty(),
        }
    }
}

const KEYS: &[&str] = &["name", "fields", "comps", "values"];
/// Deepest nesting of lists in `values`; more than two levels mean nothing in any form of exception.
const MAX_DEPTH: usize = 8;

/// Reads `exceptions` of a rule. With `append`, an exception may leave out what an earlier one of its name says.
pub fn read(
    file: File<'_>,
    item: &Node,
    append: bool,
    warnings: &mut Vec<Complaint>,
) -> Result<Vec<Written>, Complaint> {
    let Some(node) = item.get("exceptions").filter(|node| !node.is_null()) else { return Ok(Vec::new()) };
    let Yaml::Seq(entries) = &node.yaml else {
        let complaint = file.invalid(node, "Rule exceptions must be a sequence");
        return Err(complaint.within("exceptions", "", file.origin(node)));
    };
    let mut found: Vec<Written> = Vec::new();
    for entry in entries {
        let nameless = |complaint: Complaint| {
            complaint.within("exception", "", file.origin(entry)).within("exceptions", "", file.origin(node))
        };
        if !matches!(entry.yaml, Yaml::Map(_)) {
            return Err(nameless(file.invalid(entry, "Rule exception must be a mapping")));
        }
        let name = file.required_scalar(entry, "name").map_err(nameless)?;
        let around = |complaint: Complaint| complaint.within("exception", name, file.origin(entry));
        let mut said = Vec::new();
        file.unknown_keys(entry, KEYS, &mut said);
        if found.iter().any(|earlier| earlier.name == name) {
            let message = format!("Multiple definitions of exception '{name}' in the same rule");
            said.push(Complaint::new(Code::ExceptionNameNotUnique, file.origin(entry), message));
        }
        let written = one(file, entry, name, append, &mut said);
        warnings.extend(said.into_iter().map(around));
        found.push(written.map_err(around)?);
    }
    Ok(found)
}

fn one(
    file: File<'_>,
    entry: &Node,
    name: &str,
    append: bool,
    warnings: &mut Vec<Complaint>,
) -> Result<Written, Complaint> {
    let shape = |key: &str| {
        let read = |node| value(file, node, key, 0).map(|value| (file.origin(node), value));
        entry.get(key).map(read).transpose()
    };
    let fields = shape("fields")?;
    // No operators are those that go without saying.
    let comps = shape("comps")?.filter(|(_, value)| !value.is_empty());
    let values = match entry.get("values") {
        None => None,
        Some(node) => {
            let around = |complaint: Complaint| complaint.within("exception values", "", file.origin(node));
            let Yaml::Seq(items) = &node.yaml else {
                return Err(around(file.invalid(node, "Rule exception values must be a sequence")));
            };
            Some(entries(file, items, 0).map_err(around)?)
        }
    };
    if append && values.is_none() {
        let message = "Overriding/appending exception with no values";
        warnings.push(Complaint::new(Code::AppendNoValues, file.origin(entry), message));
    }
    let shape_at = fields.as_ref().or(comps.as_ref()).map_or(file.origin(entry), |(at, _)| *at);
    Ok(Written {
        name: name.to_owned(),
        at: file.origin(entry),
        fields: fields.map(|(_, value)| value),
        comps: comps.map(|(_, value)| value),
        values,
        shape_at,
    })
}

/// The elements of a list. Those that are null count, but mean nothing.
fn entries(file: File<'_>, items: &[Node], depth: usize) -> Result<Vec<Entry>, Complaint> {
    let entry = |item: &Node| {
        let value = value(file, item, "", depth);
        let value = value.map_err(|c| c.within("exception value", "", file.origin(item)))?;
        Ok(Entry { at: file.origin(item), value })
    };
    items.iter().map(entry).collect()
}

fn value(file: File<'_>, node: &Node, key: &str, depth: usize) -> Result<Value, Complaint> {
    match &node.yaml {
        Yaml::Seq(_) if depth >= MAX_DEPTH => {
            Err(file.invalid(node, format!("values nested deeper than {MAX_DEPTH} levels")))
        }
        Yaml::Seq(items) => entries(file, items, depth + 1).map(Value::List),
        Yaml::Scalar(_) => Ok(Value::Scalar(file.text(node, file.scalar(node, key)?))),
        Yaml::Null => Ok(Value::Null),
        // An empty mapping is taken for an empty list.
        Yaml::Map(pairs) if pairs.is_empty() => Ok(Value::List(Vec::new())),
        Yaml::Map(_) => {
            let complaint = file.invalid(node, "Could not decode scalar value");
            Err(complaint.within("value for", key, file.origin(node)))
        }
    }
}

/// The exceptions of a definition. Without `known`, those of an unknown source, fields are not looked at.
pub fn define(written: Vec<Written>, known: bool) -> Result<Vec<Exception>, Complaint> {
    let define = |exception: Written| {
        // Falco says the one or the other, depending on its version.
        let missing = "Item has no mapping for key 'fields': Rule exception item must have fields property with a list of fields";
        exception.complete((Code::YamlValidate, missing), known)
    };
    written.into_iter().map(define).collect()
}

/// Adds appended exceptions: values to one that is there already, or a whole new one.
pub fn append(written: Vec<Written>, known: bool, into: &mut Vec<Exception>) -> Result<(), Complaint> {
    for exception in written {
        let Some(earlier) = into.iter_mut().find(|earlier| earlier.name == exception.name) else {
            if exception.fields.as_ref().is_some_and(|fields| !fields.is_empty())
                && exception.values.is_none()
            {
                let message = "Rule exception must have values property with a list of values";
                let complaint = Complaint::new(Code::Validate, exception.at, message);
                return Err(complaint.within("exception", &exception.name, exception.at));
            }
            let missing = "Rule exception must have fields property with a list of fields";
            into.push(exception.complete((Code::Validate, missing), known)?);
            continue;
        };
        let says = |value: &Option<Value>| value.as_ref().is_some_and(|value| !matches!(value, Value::Null));
        if says(&exception.fields) || says(&exception.comps) {
            let message = "Can not append exception fields to existing exception, only values";
            let complaint = Complaint::new(Code::Validate, exception.shape_at, message);
            return Err(complaint.within("exception", &exception.name, exception.at));
        }
        earlier.values.extend(exception.values.unwrap_or_default());
    }
    Ok(())
}

impl Written {
    /// An exception that stands for itself, with the default operators; `missing` is said when it has no fields.
    fn complete(self, missing: (Code, &str), known: bool) -> Result<Exception, Complaint> {
        let (name, at) = (self.name.clone(), self.at);
        self.checked(missing, known).map_err(|complaint| complaint.within("exception", &name, at))
    }

    fn checked(self, missing: (Code, &str), known: bool) -> Result<Exception, Complaint> {
        let invalid = |at: Origin, message: &str| Complaint::new(Code::Validate, at, message);
        let (single, fields) = match self.fields {
            Some(Value::Scalar(text)) => (true, vec![text]),
            Some(Value::List(items)) if !items.is_empty() => (false, texts(items, self.at)?),
            Some(_) => {
                let message = "Rule exception item must have fields property with a list of fields";
                return Err(invalid(self.shape_at, message));
            }
            None => return Err(Complaint::new(missing.0, self.at, missing.1)),
        };
        let comps = match self.comps {
            None => {
                let default = if single { "in" } else { "=" };
                fields.iter().map(|field| Text::placed(default, field.origin(0))).collect()
            }
            Some(Value::Scalar(text)) if single => vec![text],
            Some(Value::List(items)) if !single && items.len() == fields.len() => texts(items, self.at)?,
            Some(_) if single => {
                return Err(invalid(self.shape_at, "Fields and comps must both be strings"));
            }
            Some(_) => {
                return Err(invalid(self.shape_at, "Fields and comps lists must have equal length"));
            }
        };
        let comps: Vec<Text> = comps.iter().map(plain).collect();
        for comp in &comps {
            check_comp(comp, single)?;
        }
        if known {
            fields.iter().try_for_each(check_field)?;
        }
        let values = self.values.unwrap_or_default();
        Ok(Exception { name: self.name, at: self.at, single, fields, comps, values })
    }
}

/// The scalars of a list.
fn texts(items: Vec<Entry>, at: Origin) -> Result<Vec<Text>, Complaint> {
    let scalar = |entry: Entry| match entry.value {
        Value::Scalar(text) => Ok(text),
        Value::List(_) | Value::Null => Err(Complaint::new(
            Code::Validate,
            entry.at,
            "Value is not a scalar value",
        )
        .within("value for", "fields", at)),
    };
    items.into_iter().map(scalar).collect()
}

/// An operator without the white space around it.
fn plain(comp: &Text) -> Text {
    Text::placed(comp.as_str().trim(), comp.origin(0))
}

fn check_field(text: &Text) -> Result<(), Complaint> {
    let name = text.as_str();
    let unsupported = |suggestion: Option<String>| {
        let message = format!("'{name}' is not a supported filter field");
        Complaint::new(Code::Validate, text.origin(0), message).spanning(name.len()).suggesting(suggestion)
    };
    match parse::operand(name) {
        Ok(Operand::Transform(call)) => {
            let resolve = &mut |field: &FieldText| {
                let known = FieldRef::resolve(&field.name, field.arg.as_deref());
                known.map_err(|error| unsupported(error.suggestion()))
            };
            transform::check(&call, resolve).map(drop).map_err(|error| match error {
                Ok(message) => {
                    let message = format!("'{name}' is not a supported filter field: {message}");
                    Complaint::new(Code::Validate, text.origin(0), message).spanning(name.len())
                }
                Err(complaint) => complaint,
            })
        }
        Ok(Operand::Field(field)) => match FieldRef::resolve(&field.name, field.arg.as_deref()) {
            Ok(_) => Ok(()),
            Err(error) => Err(unsupported(error.suggestion())),
        },
        Err(_) => Err(unsupported(None)),
    }
}

/// The operator and the modifier of a comparison as an exception writes it.
fn comparison(comp: &str) -> Option<(Op, bool)> {
    match comp.split_once(' ') {
        None => Some((Op::parse(comp).filter(|op| *op != Op::Exists)?, false)),
        Some((op, modifier)) => {
            let known = Modifier::ALL.iter().any(|m| m.as_str() == modifier);
            Some((Op::parse(op).filter(|op| known && !op.is_list() && !op.is_order())?, true))
        }
    }
}

fn takes_list(comp: &Text) -> bool {
    comparison(comp.as_str()).is_some_and(|(op, modified)| modified || op.is_list())
}

fn check_comp(text: &Text, single: bool) -> Result<(), Complaint> {
    let comp = text.as_str();
    let message = match comparison(comp) {
        // It says nothing of a value; the condition will tell where there is one.
        None if !single && comp == Op::Exists.as_str() => return Ok(()),
        None => format!("'{comp}' is not a supported comparison operator"),
        Some(_) if single && !takes_list(text) => {
            "When fields is a single value, comps must be one of (in, pmatch, intersects) or a string operator with \
             oneof, anyof or allof"
                .to_owned()
        }
        Some(_) => return Ok(()),
    };
    let suggestion = suggest::nearest(comp, Op::ALL.iter().map(|op| op.as_str()));
    Err(Complaint::new(Code::Validate, text.origin(0), message).spanning(comp.len()).suggesting(suggestion))
}

impl Entry {
    /// The text in a condition; a list becomes `(x, y)`.
    fn render(&self) -> Text {
        match &self.value {
            Value::Null => Text::placed("", self.at),
            Value::Scalar(text) => text.quoted(),
            Value::List(items) => {
                let mut text = Text::placed("(", self.at);
                for (n, item) in items.iter().enumerate() {
                    if n > 0 {
                        text.push_str(", ", item.at);
                    }
                    text.push(&item.render());
                }
                text.push_str(")", self.at);
                text
            }
        }
    }
}

impl Exception {
    /// True when it is part of the condition.
    pub fn is_written(&self) -> bool {
        self.single_values().next().is_some() || (!self.single && !self.values.is_empty())
    }

    /// The values of the only field.
    fn single_values(&self) -> impl Iterator<Item = &Entry> {
        self.values.iter().filter(|entry| self.single && !matches!(entry.value, Value::Null))
    }

    /// Appends ` and not …` for this exception; nothing when it has no values.
    pub fn write(&self, into: &mut Text) -> Result<(), Complaint> {
        if !self.is_written() {
            return Ok(());
        }
        into.push_str(" and not ", self.at);
        let written = if self.single { self.write_single(into) } else { self.write_tuples(into) };
        written.map_err(|complaint| complaint.within("exception", &self.name, self.at))
    }

    fn write_single(&self, into: &mut Text) -> Result<(), Complaint> {
        let (Some(field), Some(comp)) = (self.fields.first(), self.comps.first()) else { return Ok(()) };
        into.push_str(&format!("({} {} (", field.as_str(), comp.as_str()), self.at);
        for (n, entry) in self.single_values().enumerate() {
            if let Value::List(_) = entry.value {
                let message = "Expected values array to contain a list of strings";
                return Err(Complaint::new(Code::Validate, entry.at, message));
            }
            if n > 0 {
                into.push_str(", ", entry.at);
            }
            into.push(&entry.render());
        }
        into.push_str("))", self.at);
        Ok(())
    }

    fn write_tuples(&self, into: &mut Text) -> Result<(), Complaint> {
        into.push_str("(", self.at);
        for (n, tuple) in self.values.iter().enumerate() {
            let items = match &tuple.value {
                Value::List(items) if items.len() == self.fields.len() => items,
                _ => {
                    let message = "Fields and values lists must have equal length";
                    return Err(Complaint::new(Code::Validate, tuple.at, message));
                }
            };
            if n > 0 {
                into.push_str(" or ", tuple.at);
            }
            into.push_str("(", tuple.at);
            for (m, item) in items.iter().enumerate() {
                if m > 0 {
                    into.push_str(" and ", item.at);
                }
                let (field, comp) = (&self.fields[m], &self.comps[m]);
                // A comparison stands where its value does: the field is the same in all tuples.
                into.push_str(&format!("{} {} ", field.as_str(), comp.as_str()), item.at);
                into.push(&side(item, takes_list(comp)));
            }
            into.push_str(")", tuple.at);
        }
        into.push_str(")", self.at);
        Ok(())
    }
}

/// The value of one field of a tuple; an operator that takes a list gets one.
fn side(item: &Entry, list: bool) -> Text {
    match &item.value {
        Value::Scalar(text) if list && !text.as_str().starts_with('(') => {
            let mut wrapped = Text::placed("(", item.at);
            // As Falco does it: what is put in parentheses is not put in quotes, for it may name several values.
            wrapped.push(text);
            wrapped.push_str(")", item.at);
            wrapped
        }
        Value::Scalar(text) if list => text.clone(),
        Value::Null if list => Text::placed("()", item.at),
        _ => item.render(),
    }
}

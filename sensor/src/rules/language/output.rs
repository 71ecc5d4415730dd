//! Output formats: `%proc.name wrote %fd.name` compiled to segments once, rendered per alert.

use std::fmt::Write;

use bumpalo::Bump;
use serde::Deserialize;

use super::ast::Operand;
use super::compute::Computed;
use super::transform::{self, Compute};
use super::{check, parse};
use crate::rules::registry::event::{Event, Value};
use crate::rules::registry::fields::{Field, FieldError, FieldRef};
use crate::rules::report::complaint::{Code, Complaint};
use crate::rules::report::text::Text;

/// What stands for a missing value.
const MISSING: &str = "<NA>";

/// A compiled output format.
#[derive(Debug, Default)]
pub struct Template {
    segments: Vec<Segment>,
    /// The fields of the format with their text as written, transformers' inner fields included, in order, once each.
    fields: Vec<(String, FieldRef)>,
}

#[derive(Debug)]
enum Segment {
    Text(String),
    Field { field: FieldRef, width: Option<usize> },
    Transform { compute: Compute, width: Option<usize> },
}

impl Template {
    /// Compiles a format. Fields that are deprecated are warned about in `warnings`.
    pub fn compile(format: &Text, warnings: &mut Vec<Complaint>) -> Result<Self, Complaint> {
        let mut template = Self::default();
        let text = format.as_str();
        // A leading `*` asks for the line even if a field is missing, which is what we do anyway.
        let mut at = usize::from(text.starts_with('*'));
        let mut literal = String::new();
        while let Some(found) = text[at..].find('%') {
            literal.push_str(&text[at..at + found]);
            let start = at + found;
            at = start + 1;
            let digits = text[at..].bytes().take_while(u8::is_ascii_digit).count();
            let width = match &text[at..at + digits] {
                "" => None,
                // Wider than any line is a mistake, not a wish.
                number => number.parse::<usize>().ok().filter(|width| *width <= 4096),
            };
            at += digits;
            if text[at..].starts_with("container.info") {
                let message = "usage of deprecated field 'container.info'";
                let mut complaint = Complaint::new(Code::DeprecatedItem, format.origin(start), message)
                    .spanning("%container.info".len());
                complaint.deprecated_field = Some("container.info".to_owned());
                warnings.push(complaint);
                at += "container.info".len();
                continue;
            }
            let used = template.placeholder(format, start, at, width, &mut literal, warnings)?;
            at += used;
        }
        literal.push_str(&text[at..]);
        template.text(&mut literal);
        Ok(template)
    }

    fn text(&mut self, literal: &mut String) {
        if !literal.is_empty() {
            self.segments.push(Segment::Text(std::mem::take(literal)));
        }
    }

    /// Compiles what follows a `%`; returns how many bytes it took.
    fn placeholder(
        &mut self,
        format: &Text,
        start: usize,
        at: usize,
        width: Option<usize>,
        literal: &mut String,
        warnings: &mut Vec<Complaint>,
    ) -> Result<usize, Complaint> {
        let text = &format.as_str()[at..];
        let word: String = text.chars().take_while(|c| !c.is_whitespace()).take(80).collect();
        let refuse = |message: String| {
            Complaint::new(Code::CompileOutput, format.origin(start), message).spanning(1 + word.len())
        };
        let unknown = || {
            let name: String =
                word.chars().take_while(|c| c.is_ascii_alphanumeric() || "._".contains(*c)).collect();
            let near = match FieldRef::resolve(name.trim_end_matches('.'), None) {
                Err(error @ FieldError::Unknown { .. }) => error.suggestion(),
                _ => None,
            };
            refuse(format!("unknown filter: {word}")).suggesting(near)
        };
        if word.is_empty() {
            return Err(refuse("'%' without a field after it".to_owned()));
        }
        let (operand, used) = match parse::operand_prefix(text) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => return Err(unknown()),
            // A bracket that holds no argument is text: `%proc.name[`, `%proc.name[]`.
            Err(complaint) => match plain_name(text) {
                Some(field) => field,
                None => return Err(refuse(format!("unknown filter: {word} ({})", complaint.message))),
            },
        };
        match operand {
            Operand::Field(_) => {
                // The longest text that is a field: characters at its end are given back until one is.
                let mut last = None;
                for len in (1..=used).rev().filter(|len| text.is_char_boundary(*len)) {
                    let field = match FieldRef::parse(&text[..len]) {
                        Ok(field) => field,
                        Err(error) => {
                            last = last.or(Some(error));
                            continue;
                        }
                    };
                    if field.is_warned_about() {
                        let span = super::ast::Span { at: format.origin(start), len: len + 1 };
                        warnings.push(check::deprecated(&field, span));
                    }
                    self.text(literal);
                    self.note(&text[..len], &field);
                    self.segments.push(Segment::Field { field, width });
                    return Ok(len);
                }
                match last {
                    Some(FieldError::Unknown { .. }) | None => Err(unknown()),
                    Some(error) => Err(refuse(format!("unknown filter: {error}"))),
                }
            }
            Operand::Transform(call) => {
                let mut inner = Vec::new();
                let compute = transform::check(&call, &mut |field| {
                    let known = FieldRef::resolve(&field.name, field.arg.as_deref());
                    let known =
                        known.map_err(|error| refuse(format!("unknown filter: {field} ({error})")))?;
                    inner.push((field.to_string(), known.clone()));
                    Ok(known)
                });
                let (compute, _) = compute.map_err(|error| match error {
                    Ok(message) => refuse(format!("unknown filter: {word} ({message})")),
                    Err(complaint) => complaint,
                })?;
                self.text(literal);
                for (key, field) in inner {
                    self.note(&key, &field);
                }
                self.segments.push(Segment::Transform { compute, width });
                Ok(used)
            }
        }
    }

    fn note(&mut self, key: &str, field: &FieldRef) {
        if !self.fields.iter().any(|(known, _)| known == key) {
            self.fields.push((key.to_owned(), field.clone()));
        }
    }

    /// Appends the text for an event; a missing value prints `<NA>`.
    pub fn render<E: Event>(&self, event: &E, out: &mut String) {
        for segment in &self.segments {
            let start = out.len();
            let width = match segment {
                Segment::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Segment::Field { field, width } => {
                    match event.get(field) {
                        Some(value) => print(value, out),
                        None => out.push_str(MISSING),
                    }
                    *width
                }
                Segment::Transform { compute, width } => {
                    match compute.run(event, &Bump::new()) {
                        None => out.push_str(MISSING),
                        Some(Computed::List(items)) => {
                            out.push('(');
                            for (n, item) in items.iter().enumerate() {
                                if n > 0 {
                                    out.push(',');
                                }
                                clean(item, out);
                            }
                            out.push(')');
                        }
                        Some(Computed::One(value)) => print(value, out),
                    }
                    *width
                }
            };
            if let Some(width) = width {
                fit(out, start, width);
            }
        }
    }

    /// The fields of the format, each with its text as written: the keys of the alert's `output_fields`.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &FieldRef)> {
        self.fields.iter().map(|(key, field)| (key.as_str(), field))
    }
}

/// The name at the start of a text, up to a bracket, as an operand, and its length.
fn plain_name(text: &str) -> Option<(Operand, usize)> {
    let name = text.split('[').next().filter(|name| name.len() < text.len())?;
    parse::operand_prefix(name).ok().flatten().filter(|(_, used)| *used == name.len())
}

/// The output field of a JSON alert: typed, missing is `null`, times are nanoseconds since the epoch.
pub fn json<E: Event>(event: &E, field: &FieldRef) -> serde_json::Value {
    if matches!(field.field, Field::EvtTime | Field::EvtTimeS | Field::EvtTimeIso8601) {
        return event.time().into();
    }
    event.get(field).map_or(serde_json::Value::Null, value)
}

/// A value in JSON: numbers and truth values as such, the rest as outputs show it.
pub fn value(value: Value<'_>) -> serde_json::Value {
    match value {
        Value::Int(n) => n.into(),
        Value::Uint(n) => n.into(),
        Value::Bool(b) => b.into(),
        value => {
            let mut text = String::new();
            print(value, &mut text);
            text.into()
        }
    }
}

/// Pads or cuts what stands from `start` on to `width` characters.
fn fit(out: &mut String, start: usize, width: usize) {
    let count = out[start..].chars().count();
    if let Some((end, _)) = out[start..].char_indices().nth(width) {
        out.truncate(start + end);
    }
    out.extend(std::iter::repeat_n(' ', width.saturating_sub(count)));
}

/// Appends a value as outputs show it.
pub fn print(value: Value<'_>, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = match value {
        Value::Str(bytes) => {
            clean(bytes, out);
            Ok(())
        }
        Value::Buf(bytes) => {
            out.extend(bytes.iter().map(|b| if (0x20..0x7f).contains(b) { *b as char } else { '.' }));
            Ok(())
        }
        Value::Int(n) => write!(out, "{n}"),
        Value::Uint(n) => write!(out, "{n}"),
        Value::Bool(b) => write!(out, "{b}"),
        Value::Ip(ip) => write!(out, "{ip}"),
    };
}

/// Appends bytes as text: what is not UTF-8, and control characters, which could forge lines of a log, become U+FFFD.
fn clean(bytes: &[u8], out: &mut String) {
    for chunk in bytes.utf8_chunks() {
        let valid = chunk.valid();
        if valid.chars().any(char::is_control) {
            out.extend(valid.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }));
        } else {
            out.push_str(valid);
        }
        if !chunk.invalid().is_empty() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// A field of the JSON output: the bare name of a field (typed value), or a key with a format (text).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum ExtraField {
    Field(String),
    Format(std::collections::BTreeMap<String, String>),
}

/// A field that an `extra_fields` entry adds to the JSON.
#[derive(Debug)]
pub enum Extra {
    /// The field itself, with its type.
    Field(FieldRef),
    /// A text.
    Format(Template),
}

impl Extra {
    /// The fields that it shows.
    pub fn fields(&self) -> impl Iterator<Item = &FieldRef> {
        let (field, template) = match self {
            Self::Field(field) => (Some(field), None),
            Self::Format(template) => (None, Some(template)),
        };
        field.into_iter().chain(template.into_iter().flat_map(Template::fields).map(|(_, field)| field))
    }

    /// The JSON value for an event.
    pub fn json<E: Event>(&self, event: &E) -> serde_json::Value {
        match self {
            Self::Field(field) => json(event, field),
            Self::Format(template) => {
                let mut text = String::new();
                template.render(event, &mut text);
                text.into()
            }
        }
    }
}

/// Compiles the `extra_fields` of one entry.
pub fn extra(field: &super::output::ExtraField) -> Result<Vec<(String, Extra)>, String> {
    use super::output::ExtraField;
    match field {
        ExtraField::Field(name) => {
            let known = FieldRef::parse(name).map_err(|error| error.to_string())?;
            Ok(vec![(name.clone(), Extra::Field(known))])
        }
        ExtraField::Format(formats) => formats
            .iter()
            .map(|(key, format)| {
                let text = Text::placed(format, crate::rules::report::source::Origin::default());
                let template = Template::compile(&text, &mut Vec::new());
                template
                    .map(|template| (key.clone(), Extra::Format(template)))
                    .map_err(|complaint| complaint.message.clone())
            })
            .collect(),
    }
}

//! Reads files of test cases. Liberal where the meaning is certain (a number in quotes, one name instead of a list, a map
//! instead of dots), precise where it is not: every refusal names the line and what to write.

use std::collections::HashMap;

use super::event::{CaseEvent, Owned, UNTYPED, Written};
use super::{Case, CaseError, CaseFile, Named, Remark};
use crate::rules::registry::event::EventType;
use crate::rules::registry::fields::{Field, FieldArg, FieldError, FieldRef, Flags};
use crate::rules::registry::services::WellKnown;
use crate::rules::registry::types::FieldType;
use crate::rules::registry::{event_types, names};
use crate::rules::report::source::Source;
use crate::rules::report::suggest;
use crate::yaml::{self, Node, Yaml};

/// The key of an event under which fields stand that it has by another name: with these in place of its own it is read again.
const OTHER_NAMES: &str = "other_names";
/// Farthest ancestor that can be written; deeper than any process tree.
const FARTHEST: u32 = 1024;
/// String fields that are words joined by blanks, so a list says the same.
const WORDS: &[Field] = &[
    Field::ProcArgs,
    Field::ProcCmdline,
    Field::ProcPcmdline,
    Field::ProcExeline,
    Field::ProcEnv,
    Field::ThreadCapPermitted,
    Field::ThreadCapInheritable,
    Field::ThreadCapEffective,
    Field::ThreadCgroups,
];

/// Reads a file of test cases.
pub fn parse(source: &Source) -> Result<CaseFile, CaseError> {
    let reader = Reader { source };
    let document = reader.document()?;
    reader.only(&document, "a file of test cases", &["rules", "options", "cases"])?;
    let rules = reader.names(&document, "rules")?;
    let options = reader.names(&document, "options")?;
    let cases = document.get("cases").ok_or_else(|| {
        reader.error(document.at, "there is no list 'cases' of {name, event, fires, silent}")
    })?;
    let items = match &cases.yaml {
        Yaml::Seq(items) => items.as_slice(),
        Yaml::Null => &[],
        _ => return Err(reader.error(cases.at, "'cases' must be a list of {name, event, fires, silent}")),
    };
    let items = items.iter().filter(|item| !item.is_null()).enumerate();
    let cases = items.map(|(at, item)| reader.case(at, item)).collect::<Result<Vec<_>, _>>()?;
    Ok(CaseFile { rules, options, cases })
}

/// Reads a single event: a mapping of fields, or a file of test cases, whose first event is taken.
pub fn event(source: &Source) -> Result<CaseEvent, CaseError> {
    let reader = Reader { source };
    let document = reader.document()?;
    let first = match document.get("cases").map(|cases| &cases.yaml) {
        Some(Yaml::Seq(items)) => items.iter().find_map(|item| item.get("event")),
        _ => document.get("event"),
    };
    reader.event(first.unwrap_or(&document)).map(|(event, _)| event)
}

struct Reader<'s> {
    source: &'s Source,
}

/// A field of an event with its value, and where the field is written.
#[derive(Clone)]
struct Entry<'n> {
    field: FieldRef,
    at: usize,
    value: &'n Node,
}

impl Reader<'_> {
    fn document(&self) -> Result<Node, CaseError> {
        let documents = yaml::documents(&self.source.text, yaml::Twice::Refused)
            .map_err(|error| self.error(error.at, error.message))?;
        let mut documents = documents.into_iter().filter(|document| !document.is_null());
        let Some(first) = documents.next() else { return Err(self.error(0, "the file is empty")) };
        match documents.next() {
            Some(second) => {
                Err(self.error(second.at, "a second YAML document: put its cases into a file of their own"))
            }
            None => Ok(first),
        }
    }

    fn line(&self, at: usize) -> usize {
        let before = self.source.text.get(..at).unwrap_or_default();
        1 + before.bytes().filter(|byte| *byte == b'\n').count()
    }

    fn error(&self, at: usize, message: impl Into<String>) -> CaseError {
        CaseError { file: self.source.name.clone(), line: self.line(at), message: message.into() }
    }

    fn only(&self, node: &Node, what: &str, known: &[&'static str]) -> Result<(), CaseError> {
        let Yaml::Map(pairs) = &node.yaml else {
            return Err(self.error(node.at, format!("{what} is a mapping of {}", known.join(", "))));
        };
        match pairs.iter().find(|(key, _)| !known.contains(&key.text().unwrap_or_default())) {
            Some((key, _)) => {
                let name = key.text().unwrap_or_default();
                let meant = suggest::nearest(name, known.iter().copied());
                let meant = meant.map(|meant| format!(" (did you mean '{meant}'?)")).unwrap_or_default();
                let message = format!("unknown key '{name}'{meant}; known are {}", known.join(", "));
                Err(self.error(key.at, message))
            }
            None => Ok(()),
        }
    }

    /// A list of texts, or a single one.
    fn names(&self, node: &Node, key: &str) -> Result<Vec<Named>, CaseError> {
        let Some(value) = node.get(key) else { return Ok(Vec::new()) };
        let text = |item: &Node| {
            let text = item.text().ok_or_else(|| {
                self.error(item.at, format!("'{key}' must be a list of texts, or one text"))
            })?;
            Ok(Named { text: text.to_owned(), line: self.line(item.at) })
        };
        match &value.yaml {
            Yaml::Null => Ok(Vec::new()),
            Yaml::Seq(items) => items.iter().filter(|item| !item.is_null()).map(text).collect(),
            _ => text(value).map(|one| vec![one]),
        }
    }

    fn case(&self, at: usize, node: &Node) -> Result<Case, CaseError> {
        self.only(node, "a case", &["name", "event", "fires", "silent"])?;
        let name = match node.get("name") {
            Some(name) if !name.is_null() => {
                let text = name.text().ok_or_else(|| self.error(name.at, "the name of a case is a text"))?;
                text.to_owned()
            }
            _ => format!("case {}", at + 1),
        };
        let event = node
            .get("event")
            .ok_or_else(|| self.error(node.at, "a case needs an 'event', a mapping of fields to values"))?;
        let names = |key| -> Result<Vec<String>, CaseError> {
            Ok(self.names(node, key)?.into_iter().map(|name| name.text).collect())
        };
        let (fires, silent) = (names("fires")?, names("silent")?);
        if fires.is_empty() && silent.is_empty() {
            let message = "a case needs 'fires' or 'silent' with the name of a rule";
            return Err(self.error(node.at, message));
        }
        if let Some(both) = fires.iter().find(|name| silent.contains(name)) {
            return Err(self.error(node.at, format!("rule {both:?} cannot both fire and be silent")));
        }
        let (event, remarks) = self.event(event)?;
        Ok(Case { name, line: self.line(node.at), event, fires, silent, remarks })
    }

    fn event(&self, node: &Node) -> Result<(CaseEvent, Vec<Remark>), CaseError> {
        let pairs: &[(Node, Node)] = match &node.yaml {
            Yaml::Null => &[],
            Yaml::Map(pairs) => pairs,
            _ => return Err(self.error(node.at, "an event is a mapping of fields to values")),
        };
        let (others, fields): (Vec<_>, Vec<_>) =
            pairs.iter().partition(|(key, _)| key.text() == Some(OTHER_NAMES));
        let mut entries = Vec::new();
        for (key, value) in fields {
            self.flatten(key, None, value, &mut entries)?;
        }
        let mut remarks = Vec::new();
        let mut made = self.made(&entries, &mut remarks)?;
        for other in others.iter().flat_map(|(_, value)| match &value.yaml {
            Yaml::Seq(items) => items.as_slice(),
            _ => std::slice::from_ref(value),
        }) {
            let Yaml::Map(pairs) = &other.yaml else {
                let message = format!("'{OTHER_NAMES}' is a mapping of fields to values, or a list of these");
                return Err(self.error(other.at, message));
            };
            let mut named = Vec::new();
            for (key, value) in pairs {
                self.flatten(key, None, value, &mut named)?;
            }
            let unchanged = |entry: &&Entry<'_>| !named.iter().any(|new| new.field == entry.field);
            let rest: Vec<Entry<'_>> = entries.iter().filter(unchanged).cloned().collect();
            named.extend(rest);
            // What is odd about the event was said.
            made.others.push(self.made(&named, &mut Vec::new())?);
        }
        Ok((made, remarks))
    }

    fn made(&self, entries: &[Entry<'_>], remarks: &mut Vec<Remark>) -> Result<CaseEvent, CaseError> {
        let event = self.event_type(entries)?;
        let mut made = CaseEvent { event, values: HashMap::new(), others: Vec::new() };
        for entry in entries {
            self.insert(entry.clone(), &mut made, remarks)?;
        }
        made.gather();
        Ok(made)
    }

    /// The fields of a mapping. A map stands for an argument (`evt.arg: {flags: x}`) or for a dot (`proc: {name: x}`).
    fn flatten<'n>(
        &self,
        key: &'n Node,
        prefix: Option<&str>,
        value: &'n Node,
        into: &mut Vec<Entry<'n>>,
    ) -> Result<(), CaseError> {
        let text = key.text().ok_or_else(|| self.error(key.at, "the name of a field is a text"))?;
        let as_argument = prefix.map(|field| FieldRef::resolve(field, Some(text)));
        let name = prefix.map_or_else(|| text.to_owned(), |prefix| format!("{prefix}.{text}"));
        if let Some(Ok(field)) = as_argument {
            into.push(Entry { field, at: key.at, value });
            return Ok(());
        }
        let whole = FieldRef::parse(&name);
        if let Yaml::Map(pairs) = &value.yaml {
            let is_hex = pairs.len() == 1 && value.get("hex").is_some() && whole.is_ok();
            if !is_hex {
                for (inner, value) in pairs {
                    self.flatten(inner, Some(&name), value, into)?;
                }
                return Ok(());
            }
        }
        let field = whole.map_err(|error| self.error(key.at, told(&error)))?;
        into.push(Entry { field, at: key.at, value });
        Ok(())
    }

    fn event_type(&self, entries: &[Entry<'_>]) -> Result<EventType, CaseError> {
        let of = |field| entries.iter().find(|entry| entry.field.field == field && !entry.value.is_null());
        let Some(entry) = of(Field::EvtType).or_else(|| of(Field::SyscallType)) else { return Ok(UNTYPED) };
        let name = entry.value.text().ok_or_else(|| self.error(entry.value.at, "evt.type is one name"))?;
        let event = event_types::by_name(name).ok_or_else(|| {
            let meant = event_types::suggest(name);
            let meant = meant.map(|meant| format!(" (did you mean '{meant}'?)")).unwrap_or_default();
            self.error(entry.value.at, format!("unknown event type '{name}'{meant}"))
        })?;
        let syscall = event_types::info(event).is_some_and(|info| info.kind == event_types::Kind::Syscall);
        if let Some(dir) = of(Field::EvtDir)
            && dir.value.text() != Some(if syscall { "<" } else { ">" })
        {
            let (kind, dir_of) = if syscall { ("system calls", "<") } else { ("meta events", ">") };
            let message = format!("evt.dir of '{name}' is '{dir_of}': {kind} reach rules as that only");
            return Err(self.error(dir.value.at, message));
        }
        Ok(event)
    }

    fn insert(
        &self,
        entry: Entry<'_>,
        made: &mut CaseEvent,
        remarks: &mut Vec<Remark>,
    ) -> Result<(), CaseError> {
        let Entry { mut field, at, value: node } = entry;
        if node.is_null() {
            return Ok(());
        }
        let params = event_types::info(made.event).map_or(&[][..], |info| &info.params);
        if field.field == Field::EvtArg
            && let FieldArg::Index(index) = field.arg
            && let Some(name) = params.get(index as usize)
        {
            field.arg = FieldArg::Key(name.as_bytes().into());
        }
        if let (Field::EvtArg | Field::EvtRawarg, FieldArg::Key(name)) = (field.field, &field.arg)
            && !made.is_untyped()
            && !params.iter().any(|param| param.as_bytes() == &**name)
        {
            let name = String::from_utf8_lossy(name);
            let known = if params.is_empty() { "none".to_owned() } else { params.join(", ") };
            let message = format!("this event has no parameter '{name}' in reality; it has {known}");
            remarks.push(Remark { line: self.line(at), message });
        }
        if let FieldArg::Index(index) = field.arg
            && index > FARTHEST
        {
            return Err(self.error(at, format!("position {index} is farther than {FARTHEST}")));
        }
        let flags = field.field.info().flags;
        let many = (flags.has(Flags::ANY) || flags.has(Flags::LIST) || field.field == Field::ProcAargs)
            && field.arg == FieldArg::None;
        let written = match &node.yaml {
            Yaml::Seq(items) if many => {
                let value = |item: &Node| {
                    if item.is_null() { Ok(None) } else { self.value(&field, item).map(Some) }
                };
                Written::many(items.iter().map(value).collect::<Result<_, _>>()?)
            }
            Yaml::Seq(items) if WORDS.contains(&field.field) && field.arg == FieldArg::None => {
                let items =
                    items.iter().map(|item| self.value(&field, item)).collect::<Result<Vec<_>, _>>()?;
                words(field.field, &items, &mut made.values);
                Written::many(items.into_iter().map(Some).collect())
            }
            Yaml::Seq(_) => {
                let message = format!("{field} has one value, not a list");
                return Err(self.error(node.at, message));
            }
            _ => Written::One(self.value(&field, node)?),
        };
        if field.field == Field::ProcEnv
            && let (FieldArg::Key(name), Written::One(value)) = (&field.arg, &written)
        {
            environment(name, value, &mut made.values);
        }
        made.values.insert(field, written);
        Ok(())
    }

    fn value(&self, field: &FieldRef, node: &Node) -> Result<Owned, CaseError> {
        let kind = field.kind();
        let wrong = |what: &str| {
            let shown = node.text().map(|text| format!(", not {text:?}")).unwrap_or_default();
            self.error(node.at, format!("the value of {field} must be {what}{shown}"))
        };
        if let Some(hex) = node.get("hex") {
            let bytes = bytes_of(hex).ok_or_else(|| wrong("pairs of hexadecimal digits: {hex: \"00ff\"}"))?;
            return match kind {
                FieldType::CharBuf | FieldType::FsPath => Ok(Owned::Str(bytes)),
                FieldType::ByteBuf | FieldType::Dynamic => Ok(Owned::Buf(bytes)),
                _ => Err(wrong("of its type: {hex: …} is for strings and byte buffers")),
            };
        }
        let text = node.text().ok_or_else(|| wrong("a scalar"))?;
        let plain = matches!(&node.yaml, Yaml::Scalar(scalar) if scalar.plain);
        let string = || Owned::Str(text.as_bytes().to_vec());
        Ok(match kind {
            FieldType::CharBuf | FieldType::FsPath => string(),
            FieldType::ByteBuf => Owned::Buf(text.as_bytes().to_vec()),
            FieldType::Bool => Owned::Bool(truth(text).ok_or_else(|| wrong("true or false"))?),
            FieldType::IpAddr | FieldType::IpNet => {
                Owned::Ip(text.trim().parse().map_err(|_| wrong("an IP address"))?)
            }
            FieldType::Port => {
                let port = names::port(text.trim(), &WellKnown);
                Owned::Uint(port.map(u64::from).ok_or_else(|| wrong("a port number or a known service"))?)
            }
            FieldType::Int16 | FieldType::Int32 | FieldType::Int64 | FieldType::Double => Owned::Int(
                number(text).and_then(|n| i64::try_from(n).ok()).ok_or_else(|| wrong("a whole number"))?,
            ),
            // What a parameter is only the event's table would know; quotes say that it is a text.
            FieldType::Dynamic => match (plain, text.parse::<i64>(), text.parse::<u64>(), truth(text)) {
                (true, Ok(number), ..) => Owned::Int(number),
                (true, _, Ok(number), _) => Owned::Uint(number),
                (true, _, _, Some(truth)) => Owned::Bool(truth),
                _ => string(),
            },
            _ => Owned::Uint(
                number(text)
                    .and_then(|n| u64::try_from(n).ok())
                    .ok_or_else(|| wrong("a whole number from 0"))?,
            ),
        })
    }
}

/// A field that does not exist, with what was meant.
fn told(error: &FieldError) -> String {
    match error.suggestion() {
        Some(meant) => format!("{error} (did you mean '{meant}'?)"),
        None => error.to_string(),
    }
}

/// What follows when a field of words is written as a list of them.
fn words(field: Field, items: &[Owned], values: &mut HashMap<FieldRef, Written>) {
    for (at, item) in (0u32..).zip(items) {
        match (field, item) {
            (Field::ProcArgs, _) => {
                let key = FieldRef { field, arg: FieldArg::Index(at) };
                values.insert(key, Written::One(item.clone()));
            }
            (Field::ProcEnv, Owned::Str(pair)) => {
                let Some(equals) = pair.iter().position(|byte| *byte == b'=') else { continue };
                let key = FieldRef { field, arg: FieldArg::Key(pair[..equals].into()) };
                values.insert(key, Written::One(Owned::Str(pair[equals + 1..].to_vec())));
            }
            _ => {}
        }
    }
}

/// Adds a variable to the whole environment, unless that is written as one text.
fn environment(name: &[u8], value: &Owned, values: &mut HashMap<FieldRef, Written>) {
    let Owned::Str(value) = value else { return };
    let pair = Owned::Str([name, b"=", value].concat());
    let whole = FieldRef::from(Field::ProcEnv);
    let mut items = match values.get(&whole) {
        Some(Written::One(_)) => return,
        Some(Written::Many(items, _)) => items.clone(),
        None => Vec::new(),
    };
    items.push(Some(pair));
    values.insert(whole, Written::many(items));
}

/// The bytes of `{hex: "00ff"}`.
fn bytes_of(hex: &Node) -> Option<Vec<u8>> {
    let digits: Vec<u8> = match &hex.yaml {
        Yaml::Null => Vec::new(),
        _ => hex.text()?.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect(),
    };
    let byte = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).ok()?;
        let whole = pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit);
        whole.then(|| u8::from_str_radix(text, 16).ok()).flatten()
    };
    digits.chunks(2).map(byte).collect()
}

fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Some(true),
        "false" | "no" | "off" | "0" => Some(false),
        _ => None,
    }
}

/// A whole number as people and YAML writers put it: decimal, hexadecimal, or with a zero fraction.
fn number(text: &str) -> Option<i128> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i128>() {
        return Some(number);
    }
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return i128::from_str_radix(digits, 16).ok();
    }
    let (whole, fraction) = text.split_once('.')?;
    let zero = !fraction.is_empty() && fraction.bytes().all(|digit| digit == b'0');
    zero.then(|| whole.parse().ok()).flatten()
}

//! Test cases for rules: events written down in YAML, and which rules must fire on them or stay silent. No kernel and no
//! root are needed.
//!
//! ```yaml
//! rules: [shell.yaml]
//! cases:
//!   - name: a shell with a terminal
//!     event: {evt.type: execve, proc.name: bash, proc.tty: 34816, proc.aname: [sshd, systemd]}
//!     fires: [Terminal shell in container]
//!     silent: [Read sensitive file]
//! ```
//!
//! A field that is not written has no value. `evt.arg`, `evt.rawarg` and other fields with a text argument are maps;
//! `proc.aname` and its kin list the ancestors from the parent upwards, and `proc.pname` and its kin follow from them;
//! `fd.ip`, `fd.port` and `fd.net` follow from `fd.cip`, `fd.sip`, `fd.cport`, `fd.sport`; `{hex: "00ff"}` is a byte buffer.

use std::collections::HashMap;

use super::evaluate::Scratch;
use super::event::{Event, EventType, Value};
use super::event_types;
use super::fields::{Field, FieldArg, FieldRef, FieldType, Flags};
use super::load::{RuleSet, Source};
use super::yaml::{self, Node, Yaml};

/// A file of test cases.
#[derive(Debug)]
pub struct CaseFile {
    /// Rule files, relative to the folder of this file.
    pub rules: Vec<String>,
    pub cases: Vec<Case>,
}

/// One event and what is expected of it.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    /// Line in the file, counted from 1.
    pub line: usize,
    pub event: CaseEvent,
    pub fires: Vec<String>,
    pub silent: Vec<String>,
}

/// The file is not a file of test cases.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: {message}")]
pub struct CaseError {
    pub file: String,
    pub line: usize,
    pub message: String,
}

/// An expectation that was not met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub case: String,
    pub line: usize,
    pub message: String,
}

/// An event made of written values.
#[derive(Debug)]
pub struct CaseEvent {
    event: EventType,
    values: HashMap<FieldRef, Written>,
}

#[derive(Debug, Clone, PartialEq)]
enum Written {
    One(Owned),
    Many(Vec<Owned>, Vec<u8>),
}

#[derive(Debug, Clone, PartialEq)]
enum Owned {
    Str(Vec<u8>),
    Buf(Vec<u8>),
    Int(i64),
    Uint(u64),
    Bool(bool),
    Ip(std::net::IpAddr),
}

impl Owned {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Str(bytes) => Value::Str(bytes),
            Self::Buf(bytes) => Value::Buf(bytes),
            Self::Int(n) => Value::Int(*n),
            Self::Uint(n) => Value::Uint(*n),
            Self::Bool(b) => Value::Bool(*b),
            Self::Ip(ip) => Value::Ip(*ip),
        }
    }
}

/// Fields that list ancestors: the field, the same of the process itself, the same of the parent.
const LINEAGE: &[(Field, Field, Option<Field>)] = &[
    (Field::ProcAname, Field::ProcName, Some(Field::ProcPname)),
    (Field::ProcAexe, Field::ProcExe, Some(Field::ProcPexe)),
    (Field::ProcAexepath, Field::ProcExepath, Some(Field::ProcPexepath)),
    (Field::ProcAcmdline, Field::ProcCmdline, Some(Field::ProcPcmdline)),
    (Field::ProcApid, Field::ProcPid, Some(Field::ProcPpid)),
    (Field::ProcAargs, Field::ProcArgs, None),
    (Field::ProcAenv, Field::ProcEnv, None),
];

/// Fields that follow from others when they are not written.
const DERIVED: &[(Field, &[Field])] = &[
    (Field::FdIp, &[Field::FdCip, Field::FdSip]),
    (Field::FdNet, &[Field::FdCip, Field::FdSip]),
    (Field::FdPort, &[Field::FdCport, Field::FdSport]),
    (Field::FdCnet, &[Field::FdCip]),
    (Field::FdSnet, &[Field::FdSip]),
    (Field::FdLnet, &[Field::FdLip]),
    (Field::FdRnet, &[Field::FdRip]),
];

impl CaseEvent {
    fn written(&self, field: Field) -> Option<&Written> {
        self.values.get(&FieldRef::from(field))
    }

    fn ancestors(&self, field: Field) -> &[Owned] {
        match self.written(field) {
            Some(Written::Many(items, _)) => items,
            _ => &[],
        }
    }

    fn derived(&self, field: Field) -> impl Iterator<Item = &Owned> {
        let sources = DERIVED.iter().find(|(derived, _)| *derived == field).map_or(&[][..], |(_, from)| from);
        sources.iter().filter_map(|from| match self.written(*from) {
            Some(Written::One(value)) => Some(value),
            _ => None,
        })
    }

    fn position(&self, field: Field, index: u32) -> Option<Value<'_>> {
        let (_, own, _) = LINEAGE.iter().find(|(lineage, _, _)| *lineage == field)?;
        match index.checked_sub(1) {
            None => self.get(&FieldRef::from(*own)),
            Some(at) => self.ancestors(field).get(at as usize).map(Owned::value),
        }
    }
}

impl Event for CaseEvent {
    fn event_type(&self) -> EventType {
        self.event
    }

    fn time(&self) -> i64 {
        match self.written(Field::EvtRawtime) {
            Some(Written::One(Owned::Uint(ns))) => i64::try_from(*ns).unwrap_or(i64::MAX),
            _ => 0,
        }
    }

    fn get(&self, field: &FieldRef) -> Option<Value<'_>> {
        match self.values.get(field) {
            Some(Written::One(value)) => return Some(value.value()),
            Some(Written::Many(_, joined)) => return Some(Value::Str(joined)),
            None => {}
        }
        match (field.field, &field.arg) {
            (Field::EvtArg, FieldArg::Index(index)) => {
                let name = event_types::info(self.event)?.params.get(*index as usize)?;
                let key = FieldArg::Key(name.as_bytes().into());
                self.get(&FieldRef { field: Field::EvtArg, arg: key })
            }
            (lineage, FieldArg::Index(index)) => self.position(lineage, *index),
            (field, FieldArg::None) => {
                let parent = LINEAGE.iter().find(|(_, _, parent)| *parent == Some(field));
                match parent {
                    Some((lineage, _, _)) => self.position(*lineage, 1),
                    None => self.derived(field).next().map(Owned::value),
                }
            }
            _ => None,
        }
    }

    fn any(&self, field: &FieldRef, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        match self.values.get(field) {
            Some(Written::One(value)) => test(value.value()),
            Some(Written::Many(items, _)) => items.iter().any(|item| test(item.value())),
            None => self.derived(field.field).any(|value| test(value.value())),
        }
    }
}

/// Reads a file of test cases.
pub fn parse(source: &Source) -> Result<CaseFile, CaseError> {
    let reader = Reader { source };
    let documents = yaml::documents(&source.text, yaml::Twice::Refused)
        .map_err(|error| reader.error(error.at, error.message))?;
    let Some(document) = documents.first() else { return Err(reader.error(0, "the file is empty")) };
    reader.only(document, &["rules", "cases"])?;
    let rules = reader.names(document, "rules")?;
    let Some(Node { yaml: Yaml::Seq(items), .. }) = document.get("cases") else {
        return Err(reader.error(document.at, "expected a list 'cases'"));
    };
    let cases = items.iter().map(|item| reader.case(item)).collect::<Result<_, _>>()?;
    Ok(CaseFile { rules, cases })
}

struct Reader<'s> {
    source: &'s Source,
}

impl Reader<'_> {
    fn line(&self, at: usize) -> usize {
        let before = self.source.text.get(..at).unwrap_or_default();
        1 + before.bytes().filter(|byte| *byte == b'\n').count()
    }

    fn error(&self, at: usize, message: impl Into<String>) -> CaseError {
        CaseError { file: self.source.name.clone(), line: self.line(at), message: message.into() }
    }

    fn only(&self, node: &Node, known: &[&'static str]) -> Result<(), CaseError> {
        let Yaml::Map(pairs) = &node.yaml else { return Err(self.error(node.at, "expected a mapping")) };
        match pairs.iter().find(|(key, _)| !known.contains(&key.text().unwrap_or_default())) {
            Some((key, _)) => {
                let name = key.text().unwrap_or_default();
                Err(self.error(key.at, format!("unknown key '{name}'; known are {}", known.join(", "))))
            }
            None => Ok(()),
        }
    }

    fn names(&self, node: &Node, key: &str) -> Result<Vec<String>, CaseError> {
        let Some(value) = node.get(key) else { return Ok(Vec::new()) };
        let Yaml::Seq(items) = &value.yaml else {
            return Err(self.error(value.at, format!("'{key}' must be a list")));
        };
        let text = |item: &Node| {
            let text = item.text().ok_or_else(|| self.error(item.at, format!("'{key}' holds names")))?;
            Ok(text.to_owned())
        };
        items.iter().map(text).collect()
    }

    fn case(&self, node: &Node) -> Result<Case, CaseError> {
        self.only(node, &["name", "event", "fires", "silent"])?;
        let name = node
            .get("name")
            .and_then(Node::text)
            .ok_or_else(|| self.error(node.at, "a case needs a name"))?;
        let event = node.get("event").ok_or_else(|| self.error(node.at, "a case needs an event"))?;
        let (fires, silent) = (self.names(node, "fires")?, self.names(node, "silent")?);
        if fires.is_empty() && silent.is_empty() {
            return Err(self.error(node.at, "a case needs 'fires' or 'silent'"));
        }
        let event = self.event(event)?;
        Ok(Case { name: name.to_owned(), line: self.line(node.at), event, fires, silent })
    }

    fn event(&self, node: &Node) -> Result<CaseEvent, CaseError> {
        let Yaml::Map(pairs) = &node.yaml else { return Err(self.error(node.at, "an event is a mapping")) };
        let name = node
            .get("evt.type")
            .and_then(Node::text)
            .ok_or_else(|| self.error(node.at, "an event needs 'evt.type'"))?;
        let event = event_types::by_name(name)
            .ok_or_else(|| self.error(node.at, format!("unknown event type '{name}'")))?;
        let mut values = HashMap::new();
        for (key, value) in pairs {
            let text = key.text().unwrap_or_default();
            if let Yaml::Map(entries) = &value.yaml
                && value.get("hex").is_none()
            {
                for (inner, value) in entries {
                    let name = inner.text().unwrap_or_default();
                    let field = FieldRef::resolve(text, Some(name))
                        .or_else(|_| FieldRef::parse(&format!("{text}.{name}")))
                        .map_err(|error| self.error(inner.at, error.to_string()))?;
                    self.insert(event, &mut values, field, value)?;
                }
                continue;
            }
            let field = FieldRef::parse(text).map_err(|error| self.error(key.at, error.to_string()))?;
            self.insert(event, &mut values, field, value)?;
        }
        Ok(CaseEvent { event, values })
    }

    fn insert(
        &self,
        event: EventType,
        values: &mut HashMap<FieldRef, Written>,
        field: FieldRef,
        node: &Node,
    ) -> Result<(), CaseError> {
        if let (Field::EvtArg | Field::EvtRawarg, FieldArg::Key(name)) = (field.field, &field.arg) {
            let params = event_types::info(event).map_or(&[][..], |info| info.params);
            if !params.iter().any(|param| param.as_bytes() == &**name) {
                let name = String::from_utf8_lossy(name);
                return Err(self.error(node.at, format!("this event has no parameter '{name}'")));
            }
        }
        let many = field.field.info().flags;
        let written = match &node.yaml {
            Yaml::Null => return Ok(()),
            Yaml::Seq(items)
                if many.has(Flags::ANY) || many.has(Flags::LIST) || field.field == Field::ProcAargs =>
            {
                let items =
                    items.iter().map(|item| self.value(&field, item)).collect::<Result<Vec<_>, _>>()?;
                let mut joined = String::new();
                for item in &items {
                    if !joined.is_empty() {
                        joined.push(' ');
                    }
                    super::output::print(item.value(), &mut joined);
                }
                Written::Many(items, joined.into_bytes())
            }
            _ => Written::One(self.value(&field, node)?),
        };
        values.insert(field, written);
        Ok(())
    }

    fn value(&self, field: &FieldRef, node: &Node) -> Result<Owned, CaseError> {
        let wrong = |what: &str| self.error(node.at, format!("the value of {field} must be {what}"));
        if let Some(hex) = node.get("hex") {
            let digits = hex.text().unwrap_or_default().as_bytes();
            let byte = |pair: &[u8]| {
                let text = std::str::from_utf8(pair).ok().filter(|text| text.len() == 2)?;
                u8::from_str_radix(text, 16).ok()
            };
            let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
            return bytes.map(Owned::Buf).ok_or_else(|| wrong("pairs of hexadecimal digits"));
        }
        let text = node.text().ok_or_else(|| wrong("a scalar"))?;
        let plain = matches!(&node.yaml, Yaml::Scalar(scalar) if scalar.plain);
        let string = Owned::Str(text.as_bytes().to_vec());
        Ok(match field.kind() {
            FieldType::CharBuf | FieldType::FsPath => string,
            FieldType::ByteBuf => Owned::Buf(text.as_bytes().to_vec()),
            FieldType::Bool => Owned::Bool(text.parse().map_err(|_| wrong("true or false"))?),
            FieldType::IpAddr | FieldType::IpNet => {
                Owned::Ip(text.parse().map_err(|_| wrong("an IP address"))?)
            }
            FieldType::Int16 | FieldType::Int32 | FieldType::Int64 | FieldType::Double => {
                Owned::Int(text.parse().map_err(|_| wrong("a whole number"))?)
            }
            FieldType::Dynamic => match (plain, text.parse::<i64>(), text.parse::<bool>()) {
                (true, Ok(number), _) => Owned::Int(number),
                (true, _, Ok(truth)) => Owned::Bool(truth),
                _ => string,
            },
            _ => Owned::Uint(text.parse().map_err(|_| wrong("a whole number from 0"))?),
        })
    }
}

/// Judges every case; returns what did not come as expected.
pub fn run(rules: &RuleSet, file: &CaseFile) -> Vec<Failure> {
    let mut scratch = Scratch::default();
    let mut failures = Vec::new();
    for case in &file.cases {
        let mut fired = Vec::new();
        rules.evaluate(&mut scratch, &case.event, |rule| fired.push(rule.name.as_str()));
        let mut fail = |message: String| {
            failures.push(Failure { case: case.name.clone(), line: case.line, message });
        };
        for name in case.fires.iter().chain(&case.silent) {
            match rules.rules().iter().find(|rule| rule.name == *name) {
                None => fail(format!("there is no rule {name:?}")),
                Some(rule) if !rule.status.fires() => {
                    fail(format!("rule {name:?} is not active: {:?}", rule.status));
                }
                Some(_) => {}
            }
        }
        for name in case.fires.iter().filter(|name| !fired.contains(&name.as_str())) {
            fail(format!("rule {name:?} did not fire"));
        }
        for name in case.silent.iter().filter(|name| fired.contains(&name.as_str())) {
            fail(format!("rule {name:?} fired"));
        }
    }
    failures
}

#[cfg(test)]
mod tests {
    use super::super::{Options, load};
    use super::*;

    fn cases(text: &str) -> Result<CaseFile, String> {
        parse(&Source::new("t.cases.yaml", text)).map_err(|error| error.to_string())
    }

    #[test]
    fn cases_say_what_fires_and_what_does_not() {
        let rules = "- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=open and proc.aname=sshd\n";
        let set = load(&[Source::new("r", rules)], &Options::default()).rules.unwrap();
        let file = cases(
            "cases:\n\
             - {name: yes, event: {evt.type: open, proc.aname: [bash, sshd]}, fires: [r]}\n\
             - {name: no, event: {evt.type: open, proc.aname: [bash], proc.name: sshd}, silent: [r]}\n\
             - {name: wrong, event: {evt.type: open}, fires: [r, nope]}\n",
        )
        .unwrap();
        let failures: Vec<String> = run(&set, &file)
            .into_iter()
            .map(|failure| format!("{}: {}", failure.case, failure.message))
            .collect();
        assert_eq!(
            failures,
            [
                "wrong: there is no rule \"nope\"",
                "wrong: rule \"r\" did not fire",
                "wrong: rule \"nope\" did not fire"
            ]
        );
    }

    #[test]
    fn fields_follow_from_each_other() {
        let file = cases(
            "cases:\n- name: n\n  silent: [r]\n  event:\n    evt.type: connect\n    proc.name: a\n    \
             proc.aname: [b, c]\n    fd.cip: 1.2.3.4\n    fd.sip: 10.0.0.1\n    fd.sport: 443\n    \
             evt.arg: {fd: '<4t>x'}\n    container.label: {app: web}\n    evt.buffer: {hex: '00ff'}\n",
        )
        .unwrap();
        let event = &file.cases[0].event;
        let get = |text: &str| {
            let mut shown = String::new();
            event.get(&FieldRef::parse(text).unwrap()).map(|value| {
                super::super::output::print(value, &mut shown);
                shown
            })
        };
        for (field, value) in [
            ("proc.aname[0]", Some("a")),
            ("proc.aname[1]", Some("b")),
            ("proc.aname[2]", Some("c")),
            ("proc.aname[3]", None),
            ("proc.aname", Some("b c")),
            ("proc.pname", Some("b")),
            ("fd.snet", Some("10.0.0.1")),
            ("evt.arg[2]", Some("<4t>x")),
            ("container.label[app]", Some("web")),
            ("container.label[x]", None),
            ("fd.lip", None),
            ("evt.buffer", Some("..")),
        ] {
            assert_eq!(get(field).as_deref(), value, "{field}");
        }
        let mut ports = Vec::new();
        event.any(&FieldRef::from(Field::FdIp), &mut |value| {
            ports.push(format!("{value:?}"));
            false
        });
        assert_eq!(ports.len(), 2);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, message) in [
            ("", "t.cases.yaml:1: the file is empty"),
            (
                "cases:\n- name: n\n  event: {evt.type: open}\n",
                "t.cases.yaml:2: a case needs 'fires' or 'silent'",
            ),
            (
                "cases:\n- name: n\n  silent: [r]\n  event:\n    evt.type: open\n    fd.nmae: x\n",
                "t.cases.yaml:6: nonexistent field fd.nmae",
            ),
            (
                "cases:\n- name: n\n  silent: [r]\n  event: {evt.type: open, fd.num: x}\n",
                "t.cases.yaml:4: the value of fd.num must be a whole number",
            ),
            (
                "cases:\n- name: n\n  silent: [r]\n  event: {evt.type: open, evt.arg: {newpath: x}}\n",
                "t.cases.yaml:4: this event has no parameter 'newpath'",
            ),
        ] {
            assert_eq!(cases(text).unwrap_err(), message);
        }
    }
}

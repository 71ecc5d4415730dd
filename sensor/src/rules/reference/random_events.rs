//! Random events from the same small pools as the conditions of `random`.

use std::fmt;
use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::pools::{
    ADDRESSES, BOOLS, INTS, NAMES, NUMBER_FIELDS, PATH_FIELDS, PATHS, PORT_FIELDS, TEXTS, TYPES,
};
use super::random::field;
use crate::rules::registry::event::{Event, EventType, Value};
use crate::rules::registry::event_types::{self, Kind};
use crate::rules::registry::fields::{Field, FieldArg, FieldRef};
use crate::rules::registry::spellings;

/// A value of an event.
#[derive(Debug, Clone)]
enum Has {
    Bytes(Vec<u8>),
    Int(i64),
    Uint(u64),
    Truth(bool),
    Address(IpAddr),
}

/// An event made of values.
#[derive(Clone)]
pub struct Made {
    event: EventType,
    number: u64,
    values: Vec<(FieldRef, Vec<Has>)>,
}

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} number {}", event_types::info(self.event).map_or("?", |info| info.name), self.number)?;
        for (field, values) in &self.values {
            for value in values {
                match value {
                    Has::Bytes(bytes) => write!(f, ", {field}=\"{}\"", bytes.escape_ascii())?,
                    other => write!(f, ", {field}={other:?}")?,
                }
            }
        }
        Ok(())
    }
}

impl Has {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Bytes(bytes) => Value::Str(bytes),
            Self::Int(n) => Value::Int(*n),
            Self::Uint(n) => Value::Uint(*n),
            Self::Truth(b) => Value::Bool(*b),
            Self::Address(ip) => Value::Ip(*ip),
        }
    }
}

impl Made {
    fn values(&self, field: &FieldRef) -> &[Has] {
        self.values.iter().find(|(known, _)| known == field).map_or(&[], |(_, values)| values)
    }
}

impl Event for Made {
    fn event_type(&self) -> EventType {
        self.event
    }

    fn time(&self) -> i64 {
        0
    }

    fn get(&self, field: &FieldRef) -> Option<Value<'_>> {
        let info = event_types::info(self.event).unwrap();
        let syscall = info.kind == Kind::Syscall;
        Some(match (field.field, &field.arg) {
            (Field::EvtType, _) => Value::Str(info.name.as_bytes()),
            (Field::SyscallType, _) => return syscall.then_some(Value::Str(info.name.as_bytes())),
            (Field::EvtDir, _) => Value::Str(if syscall { b"<" } else { b">" }),
            (Field::EvtIsAsync, _) => {
                Value::Bool(info.name == "container" || info.name == "container_removed")
            }
            (Field::EvtSource, _) => Value::Str(b"syscall"),
            (Field::EvtCount, _) => Value::Uint(1),
            (Field::EvtNum, _) => Value::Uint(self.number),
            (Field::EvtTypeIs, FieldArg::Key(name)) => {
                Value::Uint(u64::from(**name == *info.name.as_bytes()))
            }
            _ => self.values(field).first()?.value(),
        })
    }

    fn any(&self, field: &FieldRef, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        match self.values(field) {
            [Has::Bytes(path), ..] if spellings::has(field) => {
                spellings::others(path, None, &mut |start, rest| test(Value::Str(&[start, rest].concat())))
            }
            values => values.iter().any(|value| test(value.value())),
        }
    }
}

fn refer(text: &str) -> FieldRef {
    let written = field(text);
    FieldRef::resolve(&written.name, written.arg.as_deref()).unwrap()
}

/// An event of the types and fields that rules ask about.
pub fn event() -> BoxedStrategy<Made> {
    let bytes =
        |pool: &'static [&'static [u8]]| select(pool).prop_map(|bytes| Has::Bytes(bytes.to_vec())).boxed();
    let number =
        prop_oneof![select(INTS).prop_map(Has::Int), select(INTS).prop_map(|n| Has::Uint(n.unsigned_abs()))]
            .boxed();
    let port = select(&[22u64, 80, 443, 53, 1000, 5][..]).prop_map(Has::Uint).boxed();
    let truth = any::<bool>().prop_map(Has::Truth).boxed();
    let address = select(ADDRESSES).prop_map(|ip| Has::Address(ip.parse().unwrap())).boxed();
    // A value of a type that nobody expects, now and then.
    let odd = |one: BoxedStrategy<Has>, other: BoxedStrategy<Has>| prop_oneof![60 => one, 1 => other].boxed();
    let name = odd(bytes(NAMES), number.clone());
    let path = odd(bytes(PATHS), truth.clone());
    let number = odd(number, bytes(NAMES));
    let kinds: Vec<(&[&str], BoxedStrategy<Has>, usize)> = vec![
        (TEXTS, name.clone(), 1),
        (&PATH_FIELDS[1..], path.clone(), 1),
        (&["proc.aname"], name, 3),
        (&["proc.aexepath"], path, 3),
        (NUMBER_FIELDS, number.clone(), 1),
        (&["proc.apid"], number, 3),
        (PORT_FIELDS, port.clone(), 1),
        (&["fd.port"], port, 2),
        (BOOLS, truth, 1),
        (&["fd.sip", "fd.cip", "fd.snet", "fd.cnet"], address.clone(), 1),
        (&["fd.ip", "fd.net"], address, 2),
    ];
    let mut values = Vec::new();
    for (fields, one, most) in kinds {
        for text in fields {
            let field = refer(text);
            let some = vec(one.clone(), 1..=most);
            values.push(
                proptest::option::weighted(0.85, some)
                    .prop_map(move |some| (field.clone(), some.unwrap_or_default())),
            );
        }
    }
    let types: Vec<EventType> =
        TYPES.iter().chain(&["close"]).map(|name| event_types::by_name(name).unwrap()).collect();
    (select(types), 1..8u64, values)
        .prop_map(|(event, number, values)| Made { event, number, values })
        .boxed()
}

/// An event that is read in up to three ways, which may differ in everything but its type.
pub fn readings() -> BoxedStrategy<Vec<Made>> {
    vec(event(), 1..=3)
        .prop_map(|mut readings| {
            let (event, number) = (readings[0].event, readings[0].number);
            for reading in &mut readings {
                (reading.event, reading.number) = (event, number);
            }
            readings
        })
        .boxed()
}

/// An open as the sensor's own events are: the directory follows from the path.
pub fn open_event() -> BoxedStrategy<Made> {
    let clean: Vec<&'static [u8]> = PATHS
        .iter()
        .copied()
        .filter(|path| {
            path.starts_with(b"/") && !path.starts_with(b"//") && (path.len() == 1 || !path.ends_with(b"/"))
        })
        .collect();
    (event(), select(&TYPES[..4]), select(clean), -1..2i64)
        .prop_map(|(mut event, name, path, number)| {
            event.event = event_types::by_name(name).unwrap();
            let slash = path.iter().rposition(|byte| *byte == b'/').unwrap();
            let directory = &path[..slash.max(1)];
            for (field, value) in [
                ("fd.name", Has::Bytes(path.to_vec())),
                ("fd.directory", Has::Bytes(directory.to_vec())),
                ("fd.num", Has::Int(number)),
            ] {
                let field = refer(field);
                event.values.retain(|(known, _)| *known != field);
                event.values.push((field, vec![value]));
            }
            event
        })
        .boxed()
}

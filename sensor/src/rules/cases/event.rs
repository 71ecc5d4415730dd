//! An event made of written values, and what follows from them.
//!
//! Nothing is guessed: a field that is not written has no value, but for what is certain from another one. `evt.res` does not
//! follow from `evt.rawres`, nor `fd.directory` from `fd.name`: the one may be missing where the other is not.

use std::collections::HashMap;

use crate::rules::language::check::decided_by_type;
use crate::rules::registry::event::{Event, EventType, Value};
use crate::rules::registry::event_types;
use crate::rules::registry::fields::{Field, FieldArg, FieldRef};
use crate::rules::registry::spellings;

/// The type of an event that is written without one: no rule's `evt.type` holds for it.
pub(super) const UNTYPED: EventType = EventType(u16::MAX);

/// An event made of written values.
#[derive(Debug)]
pub struct CaseEvent {
    pub(super) event: EventType,
    pub(super) values: HashMap<FieldRef, Written>,
    /// The same event by other names.
    pub(super) others: Vec<CaseEvent>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Written {
    One(Owned),
    /// Several values in order, of which some may be missing; and what the field prints.
    Many(Vec<Option<Owned>>, Vec<u8>),
}

impl Written {
    pub(super) fn many(items: Vec<Option<Owned>>) -> Self {
        let mut joined = String::new();
        for item in items.iter().flatten() {
            if !joined.is_empty() {
                joined.push(' ');
            }
            crate::rules::language::output::print(item.value(), &mut joined);
        }
        Self::Many(items, joined.into_bytes())
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Owned {
    Str(Vec<u8>),
    Buf(Vec<u8>),
    Int(i64),
    Uint(u64),
    Bool(bool),
    Ip(std::net::IpAddr),
}

impl Owned {
    pub(super) fn value(&self) -> Value<'_> {
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
pub(super) const LINEAGE: &[(Field, Field, Option<Field>)] = &[
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
    (Field::FdProto, &[Field::FdCport, Field::FdSport]),
    (Field::FdCnet, &[Field::FdCip]),
    (Field::FdSnet, &[Field::FdSip]),
    (Field::FdLnet, &[Field::FdLip]),
    (Field::FdRnet, &[Field::FdRip]),
];

/// The same two ends by place instead of by role, where the roles are not written.
const BY_PLACE: &[(Field, &[Field])] = &[
    (Field::FdIp, &[Field::FdLip, Field::FdRip]),
    (Field::FdNet, &[Field::FdLip, Field::FdRip]),
    (Field::FdPort, &[Field::FdLport, Field::FdRport]),
    (Field::FdProto, &[Field::FdLport, Field::FdRport]),
];

impl CaseEvent {
    /// The event by each of its names, as rules read it.
    pub fn readings(&self) -> Vec<&Self> {
        std::iter::once(self).chain(&self.others).collect()
    }

    /// True when the event was written without `evt.type`.
    pub fn is_untyped(&self) -> bool {
        self.event == UNTYPED
    }

    pub(super) fn written(&self, field: Field) -> Option<&Written> {
        self.values.get(&FieldRef::from(field))
    }

    fn ancestors(&self, field: Field) -> &[Option<Owned>] {
        match self.written(field) {
            Some(Written::Many(items, _)) => items,
            _ => &[],
        }
    }

    fn derived(&self, field: Field) -> impl Iterator<Item = &Owned> {
        let of = |table: &'static [(Field, &'static [Field])]| {
            table.iter().find(|(derived, _)| *derived == field).map_or(&[][..], |(_, from)| *from)
        };
        let by_role = of(DERIVED);
        let known = by_role.iter().any(|from| self.written(*from).is_some());
        let sources = if known { by_role } else { of(BY_PLACE) };
        sources.iter().filter_map(|from| match self.written(*from) {
            Some(Written::One(value)) => Some(value),
            _ => None,
        })
    }

    fn position(&self, field: Field, index: u32) -> Option<Value<'_>> {
        let (_, own, _) = LINEAGE.iter().find(|(lineage, _, _)| *lineage == field)?;
        match index.checked_sub(1) {
            None => self.get(&FieldRef::from(*own)),
            Some(at) => self.ancestors(field).get(at as usize)?.as_ref().map(Owned::value),
        }
    }

    /// Gathers the ancestors: a list and single positions may be written side by side, and the parent's own fields.
    pub(super) fn gather(&mut self) {
        for (lineage, own, parent) in LINEAGE {
            let mut items = match self.values.remove(&FieldRef::from(*lineage)) {
                Some(Written::Many(items, _)) => items,
                Some(Written::One(item)) => vec![Some(item)],
                None => Vec::new(),
            };
            let single = |key: &FieldRef| match key.arg {
                FieldArg::Index(index) if key.field == *lineage => Some(index),
                _ => None,
            };
            let places: Vec<u32> = self.values.keys().filter_map(single).collect();
            for index in places {
                let key = FieldRef { field: *lineage, arg: FieldArg::Index(index) };
                let Some(Written::One(item)) = self.values.remove(&key) else { continue };
                match (index as usize).checked_sub(1) {
                    None => {
                        self.values.entry(FieldRef::from(*own)).or_insert(Written::One(item));
                    }
                    Some(at) => {
                        if items.len() <= at {
                            items.resize(at + 1, None);
                        }
                        items[at] = Some(item);
                    }
                }
            }
            if let Some(parent) = parent.and_then(|parent| self.written(parent))
                && let Written::One(parent) = parent
                && items.first().is_none_or(Option::is_none)
            {
                let parent = Some(parent.clone());
                match items.first_mut() {
                    Some(first) => *first = parent,
                    None => items.push(parent),
                }
            }
            if !items.is_empty() {
                self.values.insert(FieldRef::from(*lineage), Written::many(items));
            }
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
        if let Some(of_type) = decided_by_type(field) {
            return of_type(event_types::info(self.event)?);
        }
        match (field.field, &field.arg) {
            (Field::EvtArg, FieldArg::Index(index)) => {
                let name = event_types::info(self.event)?.params.get(*index as usize)?;
                let key = FieldArg::Key(name.as_bytes().into());
                self.get(&FieldRef { field: Field::EvtArg, arg: key })
            }
            // The whole is known: what is not in it is empty, as in Falco.
            (Field::ProcArgs, FieldArg::Index(_)) | (Field::ProcEnv, FieldArg::Key(_))
                if matches!(self.written(field.field), Some(Written::Many(..))) =>
            {
                Some(Value::Str(b""))
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
            Some(Written::One(Owned::Str(path))) if spellings::has(field) => {
                spellings::others(path, None, &mut |start, rest| test(Value::Str(&[start, rest].concat())))
            }
            Some(Written::One(value)) => test(value.value()),
            Some(Written::Many(items, _)) => items.iter().flatten().any(|item| test(item.value())),
            None => self.derived(field.field).any(|value| test(value.value())),
        }
    }
}

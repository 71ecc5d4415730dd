//! What events have for each field of the registry, one file per class.
//!
//! Each class has one `match` over its fields, without a wildcard: it says how a field is had from an event, or that it cannot be.
//! What cannot be had is [`UNFILLED`], and is said nowhere else; the table that events are asked by is made from the same answers
//! at compile time.

mod container;
mod evt;
mod fd;
mod fs_path;
mod other;
pub mod process;
mod text;
mod user;

#[cfg(test)]
mod tests;

use super::live::Live;
use crate::rules::registry::fields::Classed;
use crate::rules::{Event, EventType, Field, FieldRef, FieldSet, Value};

/// How a field is had from an event.
#[derive(Clone, Copy)]
enum Extract {
    /// No event has it.
    Nothing,
    Evt(evt::Get),
    Process(process::Part),
    User(user::Get),
    Fd(fd::Part),
    FsPath(fs_path::Get),
    Container(container::Part),
}

/// The one answer for each field.
const fn of(field: Field) -> Extract {
    macro_rules! had {
        ($kind:ident, $answer:expr) => {
            match $answer {
                Some(how) => Extract::$kind(how),
                None => Extract::Nothing,
            }
        };
    }
    match field.classed() {
        Classed::Evt(field) => had!(Evt, evt::of(field)),
        Classed::Process(field) => had!(Process, process::of(field)),
        Classed::User(field) => had!(User, user::of_user(field)),
        Classed::Group(field) => had!(User, user::of_group(field)),
        Classed::Fd(field) => had!(Fd, fd::of(field)),
        Classed::FsPath(field) => had!(FsPath, fs_path::of(field)),
        Classed::Container(field) => had!(Container, container::of(field)),
        Classed::K8s(field) => had!(Container, container::of_pod(field)),
        // Their answers hold nothing that could be had.
        Classed::FdList(field) => match other::of_fd_list(field) {
            None => Extract::Nothing,
        },
        Classed::Other(field) => match other::of(field) {
            None => Extract::Nothing,
        },
    }
}

/// By discriminant.
static EXTRACTS: [Extract; Field::ALL.len()] = {
    let (mut extracts, mut at) = ([Extract::Nothing; Field::ALL.len()], 0);
    while at < extracts.len() {
        extracts[at] = of(Field::ALL[at]);
        at += 1;
    }
    extracts
};

/// The fields for which no event has a value.
pub const UNFILLED: FieldSet = {
    let (mut unfilled, mut at) = (FieldSet::NONE, 0);
    while at < Field::ALL.len() {
        if matches!(of(Field::ALL[at]), Extract::Nothing) {
            unfilled = unfilled.with(Field::ALL[at]);
        }
        at += 1;
    }
    unfilled
};

impl Event for Live<'_> {
    fn event_type(&self) -> EventType {
        self.ty
    }

    fn time(&self) -> i64 {
        self.time
    }

    fn get(&self, field: &FieldRef) -> Option<Value<'_>> {
        match &EXTRACTS[field.field as usize] {
            Extract::Nothing => None,
            Extract::Evt(get) => get(self, &field.arg),
            Extract::Process(part) => part.get(self, &field.arg),
            Extract::User(get) => get(self, self.process()?),
            Extract::Fd(part) => part.get(self),
            Extract::FsPath(get) => get(self),
            Extract::Container(part) => part.get(self, &field.arg),
        }
    }

    fn any(&self, field: &FieldRef, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        match &EXTRACTS[field.field as usize] {
            Extract::Process(part) => part.any(self, field, test),
            Extract::Fd(part) => part.any(self, field.field, test),
            Extract::FsPath(_) => fs_path::other_spellings(self, field, test),
            // No other class has fields with more than one value.
            _ => self.get(field).is_some_and(test),
        }
    }
}

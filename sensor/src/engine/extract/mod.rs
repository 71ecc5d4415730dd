//! Extraction of fields, one file per class of the registry. A field that the registry calls filled has its arm here.

mod container;
mod evt;
mod fd;
pub mod process;
mod user;

use super::live::Live;
use crate::rules::registry::fields::Class;
use crate::rules::{FieldRef, Value};

/// The value of a field with one value.
pub fn get<'a>(event: &'a Live<'_>, field: &FieldRef) -> Option<Value<'a>> {
    match field.field.info().class {
        Class::Evt => evt::get(event, field),
        Class::Process => process::get(event, field),
        Class::User | Class::Group => user::get(event, field.field),
        Class::Fd => fd::get(event, field.field),
        Class::FsPath => fd::fs_path(event, field.field),
        Class::Container | Class::K8s => container::get(event, field),
        Class::FdList | Class::Other => None,
    }
}

/// Whether `test` holds for one of the values of a field with several.
pub fn any(event: &Live<'_>, field: &FieldRef, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
    match field.field.info().class {
        Class::Process => process::any(event, field, test),
        Class::Fd => fd::any(event, field.field, test),
        _ => get(event, field).is_some_and(test),
    }
}

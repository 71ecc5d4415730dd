//! `fdlist.*` and what is of no class: nothing of it is had.

use std::convert::Infallible;

use crate::rules::registry::fields::{FdListField, OtherField};

/// How a field is had from an event.
pub type Get = Infallible;

/// `poll` and `ppoll` are not captured.
pub const fn of_fd_list(field: FdListField) -> Option<Get> {
    use FdListField as F;
    match field {
        F::FdlistNums
        | F::FdlistNames
        | F::FdlistCips
        | F::FdlistSips
        | F::FdlistCports
        | F::FdlistSports => None,
    }
}

pub const fn of(field: OtherField) -> Option<Get> {
    match field {
        OtherField::StaticField | OtherField::UtilCnt => None,
    }
}

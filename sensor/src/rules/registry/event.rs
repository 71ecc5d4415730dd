//! What the rule engine asks of an event. Rules know fields through this trait alone, so they can be
//! tested with no kernel: a test's event, a recorded one and a live one look the same.

use std::net::IpAddr;

use super::fields::FieldRef;

/// Index into the table of event types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventType(pub u16);

/// One extracted value. Strings are bytes as the kernel gave them: any byte but NUL may stand in a path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    Str(&'a [u8]),
    /// A byte buffer (`evt.buffer`); rendered and compared as bytes, NUL included.
    Buf(&'a [u8]),
    Int(i64),
    Uint(u64),
    Bool(bool),
    Ip(IpAddr),
}

/// An event under judgement together with the state it is judged in.
///
/// "Nothing" is not an empty string: a missing value makes every comparison false (even `!=`), prints `<NA>` and is
/// JSON `null`. Computed strings live as long as the borrow of `self` (implementations keep a bump arena per event),
/// so evaluating allocates nothing on the heap.
pub trait Event {
    /// The event's type, by which rules are indexed.
    fn event_type(&self) -> EventType;

    /// Nanoseconds since the Unix epoch.
    fn time(&self) -> i64;

    /// The value of a single-valued field, `None` when it is missing.
    fn get(&self, field: &FieldRef) -> Option<Value<'_>>;

    /// Calls `test` for each value of a many-valued field, in order, until it returns true; returns whether it did.
    ///
    /// Many-valued are list fields, the "any ancestor" fields (`proc.aname` and its kin without an index, from the
    /// parent upwards) and the "either endpoint" fields (`fd.ip`, `fd.port`, `fd.net`). Of a path that has one value these are
    /// its other spellings ([`super::spellings`]). Nothing extracted: false.
    fn any(&self, field: &FieldRef, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool;
}

impl<E: Event> Event for &E {
    fn event_type(&self) -> EventType {
        (**self).event_type()
    }

    fn time(&self) -> i64 {
        (**self).time()
    }

    fn get(&self, field: &FieldRef) -> Option<Value<'_>> {
        (**self).get(field)
    }

    fn any(&self, field: &FieldRef, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
        (**self).any(field, test)
    }
}

/// There are values and each passes.
pub fn seen_and<E: Event>(event: &E, field: &FieldRef, test: &mut dyn FnMut(Value<'_>) -> bool) -> bool {
    let mut seen = false;
    let failed = event.any(field, &mut |value| {
        seen = true;
        !test(value)
    });
    seen && !failed
}

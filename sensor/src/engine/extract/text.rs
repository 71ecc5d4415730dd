//! A text as a value, and a path in its other spellings.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use crate::rules::Value;
use crate::rules::registry::spellings;

/// A text, in the form of an extraction.
#[expect(clippy::unnecessary_wraps, reason = "the form of an extraction")]
pub fn text(text: &str) -> Option<Value<'_>> {
    Some(Value::Str(text.as_bytes()))
}

/// Calls `test` with the other spellings of a path, which the kernel resolved to `resolved`, until it returns true.
pub fn other_spellings(
    bump: &Bump,
    path: &[u8],
    resolved: Option<&[u8]>,
    test: &mut dyn FnMut(Value<'_>) -> bool,
) -> bool {
    spellings::others(path, resolved, &mut |start, rest| {
        let mut other = BumpVec::with_capacity_in(start.len() + rest.len(), bump);
        other.extend_from_slice(start);
        other.extend_from_slice(rest);
        test(Value::Str(&other))
    })
}

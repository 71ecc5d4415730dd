//! A text as a value.

use crate::rules::Value;

/// A text, in the form of an extraction.
#[expect(clippy::unnecessary_wraps, reason = "the form of an extraction")]
pub fn text(text: &str) -> Option<Value<'_>> {
    Some(Value::Str(text.as_bytes()))
}

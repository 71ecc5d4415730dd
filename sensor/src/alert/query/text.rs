//! Values of output fields as texts, which queries compare.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// A field's value as text; `None` when it is missing or null.
pub fn text_of<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<Cow<'a, str>> {
    fields.get(name).and_then(value_text)
}

/// Strings as they are, numbers and booleans as JSON writes them, lists and objects as compact JSON; null is no value.
pub fn value_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(Cow::Borrowed(text)),
        other => Some(Cow::Owned(other.to_string())),
    }
}

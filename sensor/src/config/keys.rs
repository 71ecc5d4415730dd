//! The keys that a configuration struct has, asked of the struct itself: no second list of them.

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::forward_to_deserialize_any;

/// Names of the fields of `T`, as serde reads them; empty when `T` is no struct.
pub fn of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut found: &'static [&'static str] = &[];
    // It always fails: the names are all that is wanted.
    let _ = T::deserialize(Probe { found: &mut found });
    found
}

/// A deserializer that only listens to what is asked of it.
struct Probe<'a> {
    found: &'a mut &'static [&'static str],
}

#[derive(Debug, thiserror::Error)]
#[error("only the names were asked for")]
struct Asked;

impl serde::de::Error for Asked {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        Self
    }
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Asked;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Asked> {
        Err(Asked)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Asked> {
        *self.found = fields;
        Err(Asked)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    #[expect(dead_code, reason = "only its names are asked for")]
    struct Section {
        plain: u8,
        #[serde(rename = "match")]
        renamed: u8,
    }

    #[test]
    fn the_struct_tells_its_names() {
        assert_eq!(of::<Section>(), ["plain", "match"]);
        assert!(of::<u8>().is_empty());
    }
}

//! Typed access to the keys of an item, with Falco's words for what is wrong.

use crate::rules::report::complaint::{Code, Complaint};
use crate::rules::report::source::Origin;
use crate::rules::report::text::Text;
use crate::yaml::{Node, Yaml};

/// One rules file while it is read.
#[derive(Clone, Copy)]
pub struct File<'a> {
    /// Number of the file in load order.
    pub number: u32,
    pub text: &'a str,
}

impl File<'_> {
    pub fn origin(&self, node: &Node) -> Origin {
        Origin { file: self.number, at: u32::try_from(node.at).unwrap_or(u32::MAX) }
    }

    /// A complaint about the shape of the file.
    pub fn invalid(&self, node: &Node, message: impl Into<String>) -> Complaint {
        Complaint::new(Code::YamlValidate, self.origin(node), message).spanning(written(node))
    }

    /// The value of `key`, which must be there and not null.
    pub fn required<'n>(&self, item: &'n Node, key: &str) -> Result<&'n Node, Complaint> {
        let value = item
            .get(key)
            .ok_or_else(|| self.invalid(item, format!("Item has no mapping for key '{key}'")))?;
        if value.is_null() {
            return Err(self.invalid(value, format!("Mapping for key '{key}' is empty")));
        }
        Ok(value)
    }

    /// A complaint about the value of `key`.
    fn value(&self, node: &Node, key: &str, message: &str) -> Complaint {
        self.invalid(node, message).within("value for", key, self.origin(node))
    }

    /// The text of a scalar that must not be empty.
    pub fn scalar<'n>(&self, node: &'n Node, key: &str) -> Result<&'n str, Complaint> {
        let text = node.text().ok_or_else(|| self.value(node, key, "Value is not a scalar value"))?;
        if text.is_empty() {
            return Err(self.value(node, key, "Value must be non-empty"));
        }
        Ok(text)
    }

    pub fn required_scalar<'n>(&self, item: &'n Node, key: &str) -> Result<&'n str, Complaint> {
        self.required(item, key).and_then(|node| self.scalar(node, key))
    }

    /// The text of a scalar with the place of each of its bytes.
    pub fn text(&self, node: &Node, text: &str) -> Text {
        Text::of_scalar(self.text, self.number, node, text)
    }

    /// The text of `key` with the place of each of its bytes.
    pub fn required_text(&self, item: &Node, key: &str) -> Result<Text, Complaint> {
        let node = self.required(item, key)?;
        Ok(self.text(node, self.scalar(node, key)?))
    }

    /// The scalar of `key`; `None` when the key is absent.
    fn optional<'n>(&self, item: &'n Node, key: &str) -> Result<Option<(&'n Node, &'n str)>, Complaint> {
        if item.get(key).is_none() {
            return Ok(None);
        }
        let node = self.required(item, key)?;
        Ok(Some((node, self.scalar(node, key)?)))
    }

    /// A truth value; `None` when the key is absent. Quotes do not matter, as in Falco.
    pub fn boolean(&self, item: &Node, key: &str) -> Result<Option<bool>, Complaint> {
        let Some((node, text)) = self.optional(item, key)? else { return Ok(None) };
        let truth = truth(text);
        truth.map(Some).ok_or_else(|| {
            self.value(node, key, "Can't decode YAML scalar value").suggesting(
                crate::rules::report::suggest::nearest(&text.to_ascii_lowercase(), ["true", "false"]),
            )
        })
    }

    /// A number of 32 bits; `None` when the key is absent.
    pub fn number(&self, item: &Node, key: &str) -> Result<Option<u32>, Complaint> {
        let Some((node, text)) = self.optional(item, key)? else { return Ok(None) };
        number(text).map(Some).ok_or_else(|| self.value(node, key, "Can't decode YAML scalar value"))
    }

    /// The sequence of scalars at `key`.
    pub fn scalars<'n>(&self, item: &'n Node, key: &str) -> Result<Vec<(&'n Node, &'n str)>, Complaint> {
        let node = self.required(item, key)?;
        let Yaml::Seq(items) = &node.yaml else {
            return Err(self.value(node, key, "Value is not a sequence"));
        };
        let scalar = |item: &'n Node| {
            let text = item.text().ok_or_else(|| {
                self.invalid(item, "sequence value is not scalar")
                    .within("list item", "", self.origin(item))
                    .within("value for", key, self.origin(node))
            })?;
            Ok((item, text))
        };
        items.iter().map(scalar).collect()
    }

    /// Warns about each key of `item` that is not in `known`.
    pub fn unknown_keys(&self, item: &Node, known: &[&'static str], warnings: &mut Vec<Complaint>) {
        let Yaml::Map(pairs) = &item.yaml else { return };
        for (key, _) in pairs {
            let name = key.text().unwrap_or("?");
            if !known.contains(&name) {
                let message = format!("Unknown key '{name}'. The key will be ignored.");
                let suggestion = crate::rules::report::suggest::nearest(name, known.iter().copied());
                warnings.push(
                    Complaint::new(Code::UnknownKey, self.origin(key), message)
                        .spanning(name.len())
                        .suggesting(suggestion),
                );
            }
        }
    }
}

/// Bytes to underline of a node.
fn written(node: &Node) -> usize {
    match &node.yaml {
        Yaml::Scalar(scalar) if scalar.plain => scalar.text.len(),
        _ => 1,
    }
}

/// A truth value as Falco's YAML library reads it: all lower case, all upper case or with a capital.
pub fn truth(text: &str) -> Option<bool> {
    let lower = text.to_ascii_lowercase();
    let rest = text.get(1..)?;
    let capital = rest.bytes().all(|b| b.is_ascii_lowercase());
    if !capital && text != text.to_ascii_uppercase() {
        return None;
    }
    match lower.as_str() {
        "true" | "yes" | "on" | "y" => Some(true),
        "false" | "no" | "off" | "n" => Some(false),
        _ => None,
    }
}

/// A number of 32 bits, decimal or hexadecimal.
pub fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_values_of_falcos_yaml_library() {
        for text in ["true", "True", "TRUE", "yes", "On", "y", "Y"] {
            assert_eq!(truth(text), Some(true), "{text}");
        }
        for text in ["false", "No", "OFF", "n"] {
            assert_eq!(truth(text), Some(false), "{text}");
        }
        for text in ["", "tRUE", "1", "falsch", "é"] {
            assert_eq!(truth(text), None, "{text}");
        }
    }
}

//! Typed access to the keys of an item, with Falco's words for what is wrong.

use super::diagnostic::{Code, Complaint};
use super::text::{Origin, Text};
use super::yaml::{Node, Yaml};

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
        Complaint::new(Code::YamlValidate, self.origin(node), message)
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

    /// The text of a scalar that must not be empty.
    pub fn scalar<'n>(&self, node: &'n Node) -> Result<&'n str, Complaint> {
        let text = node.text().ok_or_else(|| self.invalid(node, "Value is not a scalar value"))?;
        if text.is_empty() {
            return Err(self.invalid(node, "Value must be non-empty"));
        }
        Ok(text)
    }

    pub fn required_scalar<'n>(&self, item: &'n Node, key: &str) -> Result<&'n str, Complaint> {
        self.required(item, key).and_then(|node| self.scalar(node))
    }

    /// The text of `key` with the place of each of its bytes.
    pub fn required_text(&self, item: &Node, key: &str) -> Result<Text, Complaint> {
        let node = self.required(item, key)?;
        let text = self.scalar(node)?;
        Ok(Text::of_scalar(self.text, self.number, node, text))
    }

    /// A truth value; `None` when the key is absent.
    pub fn boolean(&self, item: &Node, key: &str) -> Result<Option<bool>, Complaint> {
        if item.get(key).is_none() {
            return Ok(None);
        }
        let node = self.required(item, key)?;
        let text = self.scalar(node)?;
        let plain = matches!(&node.yaml, Yaml::Scalar(scalar) if scalar.plain);
        match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "y" if plain => Ok(Some(true)),
            "false" | "no" | "off" | "n" if plain => Ok(Some(false)),
            _ => Err(self.invalid(node, "Can't decode YAML scalar value")),
        }
    }

    /// A sequence of scalars; null items are passed over.
    pub fn scalars<'n>(&self, node: &'n Node) -> Result<Vec<(&'n Node, &'n str)>, Complaint> {
        let Yaml::Seq(items) = &node.yaml else {
            return Err(self.invalid(node, "Value is not a sequence of scalar values"));
        };
        let texts = items.iter().filter(|item| !item.is_null());
        texts
            .map(|item| {
                let text = item.text().ok_or_else(|| self.invalid(item, "Value is not a scalar value"))?;
                Ok((item, text))
            })
            .collect()
    }

    /// A scalar, or a sequence of scalars; with whether it was a scalar.
    pub fn one_or_many(&self, node: &Node) -> Result<(Vec<String>, bool), Complaint> {
        if let Some(text) = node.text() {
            return Ok((vec![text.to_owned()], true));
        }
        Ok((self.scalars(node)?.into_iter().map(|(_, text)| text.to_owned()).collect(), false))
    }

    /// Warns about each key of `item` that is not in `known`.
    pub fn unknown_keys(&self, item: &Node, known: &[&'static str], warnings: &mut Vec<Complaint>) {
        let Yaml::Map(pairs) = &item.yaml else { return };
        for (key, _) in pairs {
            let name = key.text().unwrap_or("?");
            if !known.contains(&name) {
                let message = format!("Unknown key '{name}'. The key will be ignored.");
                let suggestion = super::suggest::nearest(name, known.iter().copied());
                warnings.push(
                    Complaint::new(Code::UnknownKey, self.origin(key), message)
                        .spanning(name.len())
                        .suggesting(suggestion),
                );
            }
        }
    }
}

/// True when a text of a list or an exception needs quotes in a condition; nothing in it is escaped.
pub fn quote(text: &str) -> String {
    if text.contains(' ') && !text.starts_with(['"', '\'']) { format!("\"{text}\"") } else { text.to_owned() }
}

//! YAML text to a JSON value, and from a path in it back to line and column, so that an error can name the place.

use std::collections::HashMap;

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use serde_json::{Map, Value};

/// Line and column in the file, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

/// A document and where each of its nodes stands.
#[derive(Debug, Default)]
pub struct Document {
    pub value: Value,
    /// By path: `a.b[0]`. The place of a mapping's value is that of its key.
    pub places: HashMap<String, Place>,
}

/// The text is not YAML that can be a configuration.
#[derive(Debug, thiserror::Error)]
pub enum YamlError {
    #[error("{}:{}: {message}", .place.line, .place.column)]
    Syntax { place: Place, message: String },
    #[error("{}:{}: a key must be plain text", .place.line, .place.column)]
    Key { place: Place },
    #[error("{}:{}: {message}", .place.line, .place.column)]
    Value { place: Place, message: String },
}

/// Keys whose children are the user's own words: their case is kept.
const FREE_MAPS: [&str; 4] = ["customfields", "templatedfields", "customheaders", "static_fields"];

impl Document {
    /// Reads the first document of `text`; an empty one is an empty mapping.
    ///
    /// Keys are lower-cased, as falcosidekick's are read without case and Falco's have none, and `${NAME}` in values is replaced
    /// by the environment variable (empty when unset; `$${NAME}` stays literal), as Falco does.
    pub fn parse(text: &str) -> Result<Self, YamlError> {
        let nodes = MarkedYaml::load_from_str(text).map_err(|e| YamlError::Syntax {
            place: Place { line: e.marker().line(), column: e.marker().col() + 1 },
            message: e.info().to_owned(),
        })?;
        let mut document = Self { value: Value::Object(Map::new()), places: HashMap::new() };
        if let Some(node) = nodes.first()
            && !matches!(node.data, YamlData::Value(Scalar::Null))
        {
            document.value = document.convert(node, "", false)?;
        }
        if !document.value.is_object() {
            let place = Place { line: 1, column: 1 };
            return Err(YamlError::Value { place, message: "expected `key: value` lines".into() });
        }
        Ok(document)
    }

    fn convert(&mut self, node: &MarkedYaml<'_>, path: &str, free: bool) -> Result<Value, YamlError> {
        let place = place(node);
        Ok(match &node.data {
            YamlData::Value(scalar) => value(scalar),
            YamlData::Tagged(_, inner) => self.convert(inner, path, free)?,
            YamlData::Sequence(items) => Value::Array(
                items
                    .iter()
                    .enumerate()
                    .map(|(i, item)| {
                        let path = format!("{path}[{i}]");
                        self.places.insert(path.clone(), self::place(item));
                        self.convert(item, &path, free)
                    })
                    .collect::<Result<_, _>>()?,
            ),
            YamlData::Mapping(entries) => {
                let mut object = Map::new();
                for (key, item) in entries {
                    let YamlData::Value(Scalar::String(name)) = &key.data else {
                        return Err(YamlError::Key { place: self::place(key) });
                    };
                    let name = if free { name.to_string() } else { name.to_ascii_lowercase() };
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    self.places.insert(path.clone(), self::place(key));
                    let free = free || FREE_MAPS.contains(&name.as_str());
                    let converted = self.convert(item, &path, free)?;
                    object.insert(name, converted);
                }
                Value::Object(object)
            }
            _ => {
                return Err(YamlError::Value { place, message: "this kind of value cannot be read".into() });
            }
        })
    }
}

fn place(node: &MarkedYaml<'_>) -> Place {
    Place { line: node.span.start.line(), column: node.span.start.col() + 1 }
}

fn value(scalar: &Scalar<'_>) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Boolean(b) => Value::Bool(*b),
        Scalar::Integer(n) => Value::from(*n),
        Scalar::FloatingPoint(f) => Value::from(f.into_inner()),
        Scalar::String(s) => Value::String(expand(s, |name| std::env::var(name).ok())),
    }
}

/// Reads one scalar or flow collection, as the value of `-o key=value` is.
pub fn parse_value(text: &str) -> Result<Value, YamlError> {
    if text.is_empty() {
        return Ok(Value::String(String::new()));
    }
    let mut document = Document::default();
    let nodes = MarkedYaml::load_from_str(text).map_err(|e| YamlError::Syntax {
        place: Place { line: e.marker().line(), column: e.marker().col() + 1 },
        message: e.info().to_owned(),
    })?;
    nodes.first().map_or(Ok(Value::Null), |node| document.convert(node, "", false))
}

/// Replaces `${NAME}` by what `variable` gives.
fn expand(text: &str, variable: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, tail) = rest.split_at(at);
        let Some(end) = tail.find('}') else { break };
        let (reference, after) = tail.split_at(end + 1);
        if let Some(escaped) = before.strip_suffix('$') {
            out.push_str(escaped);
            out.push_str(reference);
        } else {
            out.push_str(before);
            out.push_str(&variable(&reference[2..end]).unwrap_or_default());
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_types_and_places() {
        let doc = Document::parse("a: 1\nB:\n  c: [x, true]\n  CustomFields: {Env: 'p'}\n").unwrap();
        assert_eq!(
            doc.value,
            serde_json::json!({"a": 1, "b": {"c": ["x", true], "customfields": {"Env": "p"}}})
        );
        assert_eq!(doc.places["b.c[1]"], Place { line: 3, column: 10 });
        assert_eq!(doc.places["b.c"], Place { line: 3, column: 3 });
    }

    #[test]
    fn empty_text_is_an_empty_configuration() {
        assert_eq!(Document::parse("# nothing\n").unwrap().value, serde_json::json!({}));
    }

    #[test]
    fn errors_name_the_place() {
        let error = Document::parse("a: [1\nb: 2\n").unwrap_err().to_string();
        assert!(error.starts_with("2:"), "{error}");
        assert!(Document::parse("- a\n").unwrap_err().to_string().contains("key: value"));
    }

    #[test]
    fn variables_are_expanded_as_falco_does() {
        let env = |name: &str| (name == "TOKEN").then(|| "secret".to_owned());
        assert_eq!(expand("a ${TOKEN}${NONE} $${TOKEN} ${open", env), "a secret ${TOKEN} ${open");
    }
}

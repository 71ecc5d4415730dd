//! YAML text to a JSON value, and from a path in it back to line and column, so that an error can name the place.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::yaml::{Node, Place, Scalar, Twice, Yaml, documents};

/// A document and where each of its nodes stands.
#[derive(Debug, Default)]
pub struct Document {
    pub value: Value,
    /// By path: `a.b[0]`. The place of a mapping's value is that of its key.
    pub places: BTreeMap<String, Place>,
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
        let mut document = Self::read(text, false)?;
        if document.value.is_null() {
            document.value = Value::Object(Map::new());
        }
        if !document.value.is_object() {
            let place = Place { line: 1, column: 1 };
            return Err(YamlError::Value { place, message: "expected `key: value` lines".into() });
        }
        Ok(document)
    }

    /// Reads the first document of `text`, whatever it is.
    fn read(text: &str, free: bool) -> Result<Self, YamlError> {
        let nodes = documents(text, Twice::Refused).map_err(|error| YamlError::Syntax {
            place: Place::of(text, error.at),
            message: error.message,
        })?;
        let mut document = Self::default();
        if let Some(node) = nodes.first() {
            document.value = document.convert(text, node, "", free)?;
        }
        Ok(document)
    }

    fn convert(&mut self, text: &str, node: &Node, path: &str, free: bool) -> Result<Value, YamlError> {
        Ok(match &node.yaml {
            Yaml::Null => Value::Null,
            Yaml::Scalar(scalar) => value(scalar),
            Yaml::Seq(items) => Value::Array(
                items
                    .iter()
                    .enumerate()
                    .map(|(i, item)| {
                        let path = format!("{path}[{i}]");
                        self.places.insert(path.clone(), Place::of(text, item.at));
                        self.convert(text, item, &path, free)
                    })
                    .collect::<Result<_, _>>()?,
            ),
            Yaml::Map(entries) => {
                let mut object = Map::new();
                for (key, item) in entries {
                    let at = Place::of(text, key.at);
                    let Some(name) = key.text() else { return Err(YamlError::Key { place: at }) };
                    let name = if free { name.to_owned() } else { name.to_ascii_lowercase() };
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    self.places.insert(path.clone(), at);
                    let free = free || FREE_MAPS.contains(&name.as_str());
                    let converted = self.convert(text, item, &path, free)?;
                    if object.insert(name.clone(), converted).is_some() {
                        let message = format!("key '{name}' stands twice (its case does not matter)");
                        return Err(YamlError::Value { place: at, message });
                    }
                }
                Value::Object(object)
            }
        })
    }
}

/// A scalar by the core schema of YAML 1.2.
fn value(scalar: &Scalar) -> Value {
    let text = scalar.text.as_str();
    if scalar.plain {
        match text {
            "true" | "True" | "TRUE" => return Value::Bool(true),
            "false" | "False" | "FALSE" => return Value::Bool(false),
            _ => {}
        }
        if let Some(number) = number(text) {
            return number;
        }
    }
    Value::String(expand(text, |name| std::env::var(name).ok()))
}

fn number(text: &str) -> Option<Value> {
    if let Some(digits) = text.strip_prefix("0x") {
        return i64::from_str_radix(digits, 16).ok().map(Value::from);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return i64::from_str_radix(digits, 8).ok().map(Value::from);
    }
    let first = text.strip_prefix(['-', '+']).unwrap_or(text).bytes().next()?;
    if !first.is_ascii_digit() && first != b'.' {
        return None;
    }
    let whole = text.parse::<i64>().map(Value::from).or_else(|_| text.parse::<u64>().map(Value::from));
    whole.ok().or_else(|| text.parse::<f64>().ok().map(Value::from))
}

/// A text that is one scalar without quotes, whatever is in it.
pub fn plain(text: &str) -> Value {
    value(&Scalar { text: text.to_owned(), plain: true })
}

/// Reads one flow collection, as the value of `-o key={…}` is.
pub fn parse_value(text: &str) -> Result<Value, YamlError> {
    Document::read(text, false).map(|document| document.value)
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
    fn scalars_have_the_types_of_the_core_schema() {
        for (text, expected) in [
            ("1", serde_json::json!(1)),
            ("-7", (-7).into()),
            ("0x1F", 31.into()),
            ("0o17", 15.into()),
            ("1.5", 1.5.into()),
            ("1e3", 1000.0.into()),
            ("18446744073709551615", u64::MAX.into()),
            ("TRUE", true.into()),
            ("yes", "yes".into()),
            ("'1'", "1".into()),
            ("!!str 1", "1".into()),
            ("1.2.3", "1.2.3".into()),
            ("10s", "10s".into()),
            ("-", "-".into()),
            ("inf", "inf".into()),
            ("~", Value::Null),
        ] {
            // A lone dash would begin a list.
            let text = if text == "-" { "\"-\"" } else { text };
            let value = parse_value(&format!("{{a: {text}}}")).unwrap();
            assert_eq!(value["a"], expected, "{text}");
        }
        assert_eq!((plain("5"), plain("true")), (5.into(), true.into()));
        assert_eq!(
            (plain("[a, 1]"), plain(""), plain("'x': *")),
            ("[a, 1]".into(), "".into(), "'x': *".into())
        );
    }

    #[test]
    fn hostile_input_is_an_error() {
        let mut bomb = String::from("a: &a [x,x,x,x,x,x,x,x,x,x]\n");
        for (from, to) in ('a'..'i').zip('b'..='i') {
            let ten = vec![format!("*{from}"); 10].join(",");
            bomb = format!("{bomb}{to}: &{to} [{ten}]\n");
        }
        assert!(Document::parse(&bomb).is_err());
        assert!(
            Document::parse("Teams: {}\nteams: {}\n")
                .unwrap_err()
                .to_string()
                .starts_with("2:1: key 'teams'")
        );
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

//! The informative check of a rules file against a schema: which keys there are and what their values look like. It never
//! keeps a file from loading; it finds what the loader passes over in silence, as a priority in small letters.
//!
//! Scalars are typed weakly, as in Falco: a number or a truth value is a text, too.

use super::reader::{number, truth};
use crate::rules::registry::priority::Priority;
use crate::rules::report::diagnostic::Schema;
use crate::yaml::{Node, Place, Yaml};

/// What a value must look like.
enum Shape {
    /// Any scalar.
    Text,
    Bool,
    Integer,
    /// One of these words.
    Word(&'static [&'static str]),
    Any,
    List(&'static Shape),
    /// A mapping: known keys, and those of them that must be there.
    Map {
        keys: &'static [(&'static str, Shape)],
        required: &'static [&'static str],
        not_empty: bool,
    },
}

const PRIORITY: Shape = Shape::Word(Priority::IN_FILES);
const OPERATION: Shape = Shape::Word(&["append", "replace"]);

const ITEM: Shape = Shape::Map {
    keys: &[
        ("required_engine_version", Shape::Text),
        ("required_plugin_versions", Shape::List(&PLUGIN)),
        ("list", Shape::Text),
        ("items", Shape::List(&Shape::Text)),
        ("macro", Shape::Text),
        ("rule", Shape::Text),
        ("condition", Shape::Text),
        ("output", Shape::Text),
        ("desc", Shape::Text),
        ("priority", PRIORITY),
        ("source", Shape::Text),
        ("enabled", Shape::Bool),
        ("capture", Shape::Bool),
        ("capture_duration", Shape::Integer),
        ("capture_events", Shape::Integer),
        ("capture_filesize", Shape::Integer),
        ("warn_evttypes", Shape::Bool),
        ("skip-if-unknown-filter", Shape::Bool),
        ("tags", Shape::List(&Shape::Text)),
        ("exceptions", Shape::List(&EXCEPTION)),
        ("append", Shape::Bool),
        ("override", OVERRIDE),
    ],
    required: &[],
    not_empty: false,
};

const EXCEPTION: Shape = Shape::Map {
    keys: &[("name", Shape::Text), ("fields", Shape::Any), ("comps", Shape::Any), ("values", Shape::Any)],
    required: &["name"],
    not_empty: false,
};

const OVERRIDE: Shape = Shape::Map {
    keys: &[
        ("items", OPERATION),
        ("condition", OPERATION),
        ("output", OPERATION),
        ("desc", OPERATION),
        ("priority", OPERATION),
        ("enabled", OPERATION),
        ("exceptions", OPERATION),
        ("tags", OPERATION),
        ("warn_evttypes", OPERATION),
        ("skip-if-unknown-filter", OPERATION),
        ("capture", OPERATION),
        ("capture_duration", OPERATION),
        ("capture_events", OPERATION),
        ("capture_filesize", OPERATION),
    ],
    required: &[],
    not_empty: true,
};

const PLUGIN: Shape = Shape::Map {
    keys: &[("name", Shape::Text), ("version", Shape::Text), ("alternatives", Shape::List(&ALTERNATIVE))],
    required: &["name", "version"],
    not_empty: false,
};

const ALTERNATIVE: Shape = Shape::Map {
    keys: &[("name", Shape::Text), ("version", Shape::Text)],
    required: &["name", "version"],
    not_empty: false,
};

/// Most misfits reported of one file.
const MAX_WARNINGS: usize = 100;

/// Checks the documents of a file.
pub fn check(text: &str, documents: &[Node]) -> Schema {
    let mut checker = Checker { text, warnings: Vec::new() };
    for document in documents.iter().filter(|document| !document.is_null()) {
        match &document.yaml {
            Yaml::Seq(items) => {
                for (n, item) in items.iter().enumerate().filter(|(_, item)| !item.is_null()) {
                    checker.node(item, &ITEM, &format!("[{n}]"));
                }
            }
            _ => checker.warn(document, "the document", "is not a sequence"),
        }
    }
    if checker.warnings.is_empty() { Schema::Ok } else { Schema::Failed(checker.warnings) }
}

struct Checker<'a> {
    text: &'a str,
    warnings: Vec<String>,
}

impl Checker<'_> {
    fn warn(&mut self, node: &Node, path: &str, what: &str) {
        if self.warnings.len() < MAX_WARNINGS {
            let line = Place::of(self.text, node.at).line;
            self.warnings.push(format!("line {line}: {path} {what}"));
        }
    }

    fn node(&mut self, node: &Node, shape: &Shape, path: &str) {
        let text = node.text();
        match shape {
            Shape::Any => {}
            Shape::Text => {
                if text.is_none() {
                    self.warn(node, path, "is not a text");
                }
            }
            Shape::Bool => {
                if text.and_then(truth).is_none() {
                    self.warn(node, path, "is not a truth value");
                }
            }
            Shape::Integer => {
                if text.and_then(number).is_none() {
                    self.warn(node, path, "is not a whole number");
                }
            }
            Shape::Word(words) => {
                if !text.is_some_and(|text| words.contains(&text)) {
                    self.warn(node, path, &format!("is none of {}", words.join(", ")));
                }
            }
            Shape::List(inner) => match &node.yaml {
                Yaml::Seq(items) => {
                    for (n, item) in items.iter().enumerate() {
                        self.node(item, inner, &format!("{path}[{n}]"));
                    }
                }
                _ => self.warn(node, path, "is not a sequence"),
            },
            Shape::Map { keys, required, not_empty } => match &node.yaml {
                Yaml::Map(pairs) => {
                    if pairs.is_empty() && *not_empty {
                        self.warn(node, path, "is empty");
                    }
                    for key in required.iter().filter(|key| node.get(key).is_none()) {
                        self.warn(node, path, &format!("has no key '{key}'"));
                    }
                    self.pairs(pairs, keys, path);
                }
                _ => self.warn(node, path, "is not a mapping"),
            },
        }
    }

    fn pairs(&mut self, pairs: &[(Node, Node)], keys: &[(&str, Shape)], path: &str) {
        for (n, (key, value)) in pairs.iter().enumerate() {
            let name = key.text().unwrap_or("?");
            match keys.iter().find(|(known, _)| *known == name) {
                None => self.warn(key, path, &format!("has an unknown key '{name}'")),
                Some(_) if pairs[..n].iter().any(|(earlier, _)| earlier.text() == Some(name)) => {
                    self.warn(key, path, &format!("has the key '{name}' twice; the first counts"));
                }
                Some((_, shape)) => self.node(value, shape, &format!("{path}.{name}")),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml::{Twice, documents};

    fn warnings(text: &str) -> Vec<String> {
        check(text, &documents(text, Twice::First).unwrap()).warnings().to_vec()
    }

    #[test]
    fn what_fits_is_ok() {
        let text = "- required_engine_version: 15\n- list: l\n  items: [1, true, x]\n- rule: r\n  priority: INFO\n  enabled: no\n\
                    - \n---\n---\n- rule: s\n  override: {tags: append}\n  exceptions: [{name: n, values: [[a, [b]]]}]\n";
        assert_eq!(warnings(text), [""; 0]);
        assert_eq!(check("", &[]), Schema::Ok);
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_line() {
        for (text, expected) in [
            ("- rule: r\n  priority: info\n", "line 2: [0].priority is none of EMERGENCY, ALERT"),
            ("- rule: r\n  colour: red\n", "line 2: [0] has an unknown key 'colour'"),
            ("- rule: r\n  tags: x\n", "line 2: [0].tags is not a sequence"),
            ("- rule: r\n  tags: [[x]]\n", "line 2: [0].tags[0] is not a text"),
            ("- rule: r\n  enabled: maybe\n", "line 2: [0].enabled is not a truth value"),
            ("- rule: r\n  capture_duration: long\n", "line 2: [0].capture_duration is not a whole number"),
            ("- rule: r\n  override: {}\n", "line 2: [0].override is empty"),
            (
                "- rule: r\n  override: {priority: prepend}\n",
                "[0].override.priority is none of append, replace",
            ),
            ("- rule: r\n  exceptions: [{fields: x}]\n", "[0].exceptions[0] has no key 'name'"),
            ("- required_plugin_versions: [{name: x}]\n", "[0] has no key 'version'"),
            ("- rule: r\n  desc: a\n  desc: b\n", "line 3: [0] has the key 'desc' twice"),
            ("rule: r\n", "the document is not a sequence"),
            ("- x\n", "[0] is not a mapping"),
        ] {
            let warnings = warnings(text);
            assert!(warnings.iter().any(|warning| warning.contains(expected)), "{text}: {warnings:?}");
        }
    }
}

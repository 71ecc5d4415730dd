//! Findings as SARIF 2.1.0, for code scanning: what editors and code hosts show beside the lines of a file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::rules::lint::LINTS;
use crate::rules::report::diagnostic::Diagnostic;

/// One thing to tell.
pub struct Entry<'d> {
    /// Falco's code or the lint's name.
    pub id: &'static str,
    /// What the id stands for, for an id that is no lint.
    pub about: &'static str,
    /// `error`, `warning` or `note`.
    pub level: &'static str,
    pub diagnostic: &'d Diagnostic,
}

/// The whole document. Paths below `base` are written relative to it.
pub fn document(entries: &[Entry<'_>], base: &Path) -> Value {
    let mut rules: Vec<Value> = LINTS
        .iter()
        .map(|lint| {
            json!({
                "id": lint.id,
                "name": name(lint.id),
                "shortDescription": {"text": lint.why},
                "fullDescription": {"text": lint.why},
                "help": {"text": format!("{} {}", lint.why, lint.remedy)},
                "defaultConfiguration": {"level": lint.level.as_str()},
            })
        })
        .collect();
    let mut index: BTreeMap<&str, usize> = LINTS.iter().enumerate().map(|(at, lint)| (lint.id, at)).collect();
    for entry in entries {
        index.entry(entry.id).or_insert_with(|| {
            rules.push(json!({
                "id": entry.id,
                "name": name(entry.id),
                "shortDescription": {"text": entry.about},
                "fullDescription": {"text": entry.about},
                "help": {"text": format!("{}. Falco says the same of this file.", entry.about)},
                "defaultConfiguration": {"level": entry.level},
            }));
            rules.len() - 1
        });
    }
    let results: Vec<Value> = entries.iter().map(|entry| result(entry, index.get(entry.id), base)).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "falconet",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn result(entry: &Entry<'_>, index: Option<&usize>, base: &Path) -> Value {
    let at = entry.diagnostic;
    let item = at.context.iter().rev().find(|item| !item.name.is_empty());
    let whose = item.map(|item| format!("{} {}: ", item.kind, item.name)).unwrap_or_default();
    let message = format!("{whose}{}", at.full_message());
    let mut location = json!({"uri": uri(&at.file, base)});
    if let (true, Some(object)) = (is_below(&at.file, base), location.as_object_mut()) {
        object.insert("uriBaseId".to_owned(), json!("%SRCROOT%"));
    }
    json!({
        "ruleId": entry.id,
        "ruleIndex": index,
        "level": entry.level,
        "message": {"text": message},
        "locations": [{"physicalLocation": {
            "artifactLocation": location,
            "region": {
                "startLine": at.line,
                "startColumn": at.column,
                "endColumn": at.column + at.caret.1,
                "snippet": {"text": at.snippet},
            },
        }}],
        "partialFingerprints": {"falconet/v1": fingerprint(entry.id, &message)},
    })
}

/// `append-and-after-or` and `LOAD_UNUSED_LIST` as `AppendAndAfterOr` and `LoadUnusedList`.
fn name(id: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(letters.map(|c| c.to_ascii_lowercase())).collect::<String>()
    };
    id.split(['-', '_']).map(word).collect()
}

/// Same for the same finding about the same rule, wherever it moves in the file (FNV-1a, 64 bits).
fn fingerprint(id: &str, message: &str) -> String {
    let bytes = id.bytes().chain([0]).chain(message.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

fn is_below(file: &str, base: &Path) -> bool {
    let path = Path::new(file);
    !is_built_in(file) && (path.is_relative() || path.starts_with(base))
}

/// A stock rule file, `falconet:shell.yaml`: not on disk, and an address as it is.
fn is_built_in(file: &str) -> bool {
    file.starts_with("falconet:")
}

fn uri(file: &str, base: &Path) -> String {
    if is_built_in(file) {
        return file.to_owned();
    }
    let path = Path::new(file);
    let inner = path.strip_prefix(base).unwrap_or(path);
    let text: String =
        inner.components().filter(|part| part.as_os_str() != ".").fold(String::new(), |mut text, part| {
            let part = part.as_os_str().to_string_lossy();
            if !text.is_empty() && !text.ends_with('/') {
                text.push('/');
            }
            text + &part
        });
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            byte => {
                // Writing to a string cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    if inner.is_absolute() { format!("file://{encoded}") } else { encoded }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Options, Source, load};

    #[test]
    fn addresses_are_relative_to_the_base() {
        for (file, expected) in [
            ("/src/rules/a b.yaml", "rules/a%20b.yaml"),
            ("./rules/é.yaml", "rules/%C3%A9.yaml"),
            ("/other/a.yaml", "file:///other/a.yaml"),
            ("falconet:shell.yaml", "falconet:shell.yaml"),
        ] {
            assert_eq!(uri(file, Path::new("/src")), expected, "{file}");
        }
        assert!(is_below("a.yaml", Path::new("/src")) && is_below("/src/a.yaml", Path::new("/src")));
        assert!(!is_below("/other/a.yaml", Path::new("/src")));
    }

    #[test]
    fn a_result_points_at_its_rule_and_its_line() {
        let text = "- list: unused\n  items: [a]\n";
        let loaded = load(&[Source::new("rules/a.yaml", text)], &Options::default());
        let diagnostic = &loaded.files[0].warnings[0];
        let (id, about) = (diagnostic.code.as_str(), diagnostic.code.description());
        let document = document(&[Entry { id, about, level: "warning", diagnostic }], Path::new("/src"));
        assert_eq!(document["version"], "2.1.0");
        let run = &document["runs"][0];
        let result = &run["results"][0];
        let rule =
            &run["tool"]["driver"]["rules"][usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!((&rule["id"], &rule["name"]), (&json!("LOAD_UNUSED_LIST"), &json!("LoadUnusedList")));
        assert!(
            rule["help"]["text"].is_string()
                && result["message"]["text"].as_str().unwrap().starts_with("list unused: ")
        );
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"], json!({"uri": "rules/a.yaml", "uriBaseId": "%SRCROOT%"}));
        assert_eq!((&place["region"]["startLine"], &place["region"]["startColumn"]), (&json!(1), &json!(3)));
    }
}

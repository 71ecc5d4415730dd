//! Checks a card against what Teams takes: a list of elements and properties of Adaptive Cards 1.2, written from the
//! published schema, not from our renderer.

use serde_json::{Map, Value};

use crate::outputs::escape::is_hidden;

/// Panics with the path of what Teams would refuse or render differently.
pub fn adaptive(body: &[u8], size: usize) {
    assert!(body.len() <= size, "{} bytes", body.len());
    let value: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(value["type"], "message");
    let attachments = value["attachments"].as_array().unwrap();
    assert_eq!(attachments.len(), 1);
    assert_eq!(attachments[0]["contentType"], "application/vnd.microsoft.card.adaptive");
    assert_eq!(attachments[0].get("contentUrl"), Some(&Value::Null));
    let card = object(&attachments[0]["content"], "content");
    only(card, &["$schema", "type", "version", "msteams", "body"], "content");
    assert_eq!(card["type"], "AdaptiveCard");
    assert_eq!(card["version"], "1.4");
    let body = card["body"].as_array().unwrap();
    assert!(!body.is_empty());
    body.iter().enumerate().for_each(|(n, element)| check_element(element, &format!("body[{n}]")));
}

fn check_element(element: &Value, path: &str) {
    let element = object(element, path);
    match element["type"].as_str().unwrap() {
        "Container" => {
            only(element, &["type", "style", "items"], path);
            one_of(
                element,
                "style",
                &["default", "emphasis", "good", "attention", "warning", "accent"],
                path,
            );
            let items = element["items"].as_array().unwrap();
            assert!(!items.is_empty(), "{path}: no items");
            items.iter().enumerate().for_each(|(n, item)| check_element(item, &format!("{path}.items[{n}]")));
        }
        "TextBlock" => {
            only(element, &["type", "text", "weight", "size", "isSubtle", "spacing", "wrap"], path);
            assert_eq!(element["wrap"], true, "{path}: text would be cut at the edge");
            one_of(element, "weight", &["Default", "Lighter", "Bolder"], path);
            one_of(element, "size", &["Default", "Small", "Medium", "Large", "ExtraLarge"], path);
            one_of(element, "spacing", &["Default", "None", "Small", "Medium", "Large"], path);
            check_text(&element["text"], path);
        }
        "FactSet" => {
            only(element, &["type", "facts"], path);
            let facts = element["facts"].as_array().unwrap();
            assert!(!facts.is_empty(), "{path}: no facts");
            for (n, fact) in facts.iter().enumerate() {
                let path = format!("{path}.facts[{n}]");
                let fact = object(fact, &path);
                only(fact, &["title", "value"], &path);
                check_text(&fact["title"], &path);
                check_text(&fact["value"], &path);
            }
        }
        other => panic!("{path}: an element {other}"),
    }
}

/// Nothing hidden, and no Markdown that is not escaped.
fn check_text(text: &Value, path: &str) {
    let text = text.as_str().unwrap();
    assert!(!text.contains(is_hidden), "{path}: hidden character in {text:?}");
    let mut escaped = false;
    for c in text.chars() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else {
            assert!(!"*_[]()#`<>~|".contains(c), "{path}: unescaped {c} in {text:?}");
        }
    }
    assert!(!escaped, "{path}: ends in half an escape: {text:?}");
    let start = text.trim_start();
    assert!(!start.starts_with(['-', '+', '=']), "{path}: begins as a list: {text:?}");
    let number = start.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = start.len() - number.len();
    assert!(!((1..10).contains(&digits) && number.starts_with('.')), "{path}: begins as a list: {text:?}");
}

fn object<'a>(value: &'a Value, path: &str) -> &'a Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("{path}: no object"))
}

fn only(object: &Map<String, Value>, allowed: &[&str], path: &str) {
    for key in object.keys() {
        assert!(allowed.contains(&key.as_str()), "{path}: property {key}");
    }
}

fn one_of(object: &Map<String, Value>, key: &str, allowed: &[&str], path: &str) {
    if let Some(value) = object.get(key) {
        assert!(allowed.contains(&value.as_str().unwrap()), "{path}: {key} is {value}");
    }
}

//! `-o key=value`: Falco's way to set one option from the command line.

use serde_json::{Map, Value};

use super::document;

/// An override that cannot be applied.
#[derive(Debug, thiserror::Error)]
#[error("-o {option}: {message}")]
pub struct OverrideError {
    option: String,
    message: String,
}

/// One step of a key: a member, an element, or one behind the last element.
#[derive(Debug, PartialEq)]
enum Step {
    Member(String),
    Element(usize),
    Append,
}

/// Sets the option in `root`. The key is `a.b`, `a[0]` or `a[]` (append), `\.` a dot in a name. As in Falco, a value in braces
/// is YAML, and any other is taken as it stands: `*` and `%proc.name` need no quotes. Beyond Falco, `[]` is a list of nothing.
pub fn apply(root: &mut Value, option: &str) -> Result<(), OverrideError> {
    let fail = |message: String| OverrideError { option: option.to_owned(), message };
    let (key, text) =
        option.split_once('=').ok_or_else(|| fail("expected key=value, e.g. `json_output=true`".into()))?;
    let steps = steps(key).map_err(&fail)?;
    let value = if text.trim() == "[]" {
        Value::Array(Vec::new())
    } else if text.trim_start().starts_with('{') {
        document::parse_value(text).map_err(|e| fail(format!("the value is not YAML: {e}")))?
    } else {
        document::plain(text)
    };
    let mut node = root;
    for step in &steps {
        node = match step {
            Step::Member(name) => {
                if !node.is_object() {
                    *node = Value::Object(Map::new());
                }
                let Value::Object(object) = node else { return Err(fail("not a mapping".into())) };
                object.entry(name.clone()).or_insert(Value::Null)
            }
            Step::Element(_) | Step::Append => {
                if !node.is_array() {
                    *node = Value::Array(Vec::new());
                }
                let Value::Array(items) = node else { return Err(fail("not a list".into())) };
                let at = if let Step::Element(at) = step { *at } else { items.len() };
                if at > items.len() {
                    return Err(fail(format!("element {at} of a list of {}", items.len())));
                }
                if at == items.len() {
                    items.push(Value::Null);
                }
                let Some(item) = items.get_mut(at) else { return Err(fail("no such element".into())) };
                item
            }
        };
    }
    *node = value;
    Ok(())
}

fn steps(key: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut name = String::new();
    let mut chars = key.trim().chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => name.extend(chars.next()),
            '.' | '[' => {
                if !name.is_empty() {
                    steps.push(Step::Member(std::mem::take(&mut name).to_ascii_lowercase()));
                }
                if c == '[' {
                    let index: String = chars.by_ref().take_while(|c| *c != ']').collect();
                    steps.push(match index.as_str() {
                        "" => Step::Append,
                        digits => {
                            Step::Element(digits.parse().map_err(|_| format!("[{digits}] is no element"))?)
                        }
                    });
                }
            }
            c => name.push(c),
        }
    }
    if !name.is_empty() {
        steps.push(Step::Member(name.to_ascii_lowercase()));
    }
    if steps.is_empty() {
        return Err("the key is empty".into());
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_elements_and_appends_are_set() {
        let mut root = json!({"rules": [{"enable": {"tag": "a"}}]});
        for option in [
            "json_output=true",
            "file_output.filename=/tmp/x",
            "rules[].disable.rule=Terminal*",
            "rules[0].enable.tag=b",
            "teams={webhookurl: 'u', outputformat: text}",
            "customfields.a\\.b=1",
            "rules[].disable.rule=*",
            "append_output[].extra_output=%proc.name: a",
            "priority='INFO'",
            "rule_matching=",
            "plugins=[]",
            "load=[x]",
        ] {
            apply(&mut root, option).unwrap();
        }
        assert_eq!(
            root,
            json!({
                "json_output": true,
                "file_output": {"filename": "/tmp/x"},
                "rules": [
                    {"enable": {"tag": "b"}},
                    {"disable": {"rule": "Terminal*"}},
                    {"disable": {"rule": "*"}},
                ],
                "append_output": [{"extra_output": "%proc.name: a"}],
                "priority": "'INFO'",
                "rule_matching": "",
                "plugins": [],
                "load": "[x]",
                "teams": {"webhookurl": "u", "outputformat": "text"},
                "customfields": {"a.b": 1},
            })
        );
    }

    #[test]
    fn mistakes_are_told() {
        for (option, says) in
            [("json_output", "key=value"), ("=1", "empty"), ("a[7]=1", "element 7"), ("a[x]=1", "[x]")]
        {
            let error = apply(&mut json!({}), option).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains(option), "{error}");
        }
    }
}

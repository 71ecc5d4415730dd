//! The event of an alert, as far as the alert tells it: its output fields, and what falconet adds about process, ancestors,
//! container and arguments. Everything else stays unknown.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use crate::rules::cases::{self, CaseError, CaseEvent};
use crate::rules::{FieldRef, Source};

/// The alert in a text: of several, one after the other, the first of the rule, or else the first.
pub fn find(text: &str, rule: &str) -> Option<Map<String, Json>> {
    let alerts = serde_json::Deserializer::from_str(text).into_iter::<Map<String, Json>>();
    let mut first = None;
    for alert in
        alerts.map_while(Result::ok).filter(|alert| alert.get("output_fields").is_some_and(Json::is_object))
    {
        if alert.get("rule").and_then(Json::as_str) == Some(rule) {
            return Some(alert);
        }
        first.get_or_insert(alert);
    }
    first
}

/// The event, and the fields that are known of it, those among them that have no value included.
pub fn event(name: &str, alert: &Map<String, Json>) -> Result<(CaseEvent, BTreeSet<String>), CaseError> {
    let mut fields = of_context(alert.get("context").unwrap_or(&Json::Null));
    if let Some(Json::Object(output)) = alert.get("output_fields") {
        // The rule's own fields are nearest to what it compared.
        fields.extend(output.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    let kind = fields.get("evt.type").cloned();
    let mut written = Map::new();
    let mut told = BTreeSet::new();
    for (field, value) in fields {
        let Ok(known) = FieldRef::parse(&field) else { continue };
        let absent = value.is_null() || value == "<NA>";
        if absent {
            told.insert(known.to_string());
            continue;
        }
        // A value that is printed in another form than it is written in (a time) is as good as unknown.
        let alone = json!({"evt.type": kind, field.as_str(): value});
        if cases::event(&Source::new(name, alone.to_string())).is_ok() {
            told.insert(known.to_string());
            written.insert(field, value);
        }
    }
    let event = cases::event(&Source::new(name, Json::Object(written).to_string()))?;
    Ok((event, told))
}

/// Keys of a process in falconet's context, the field of the process, and that of its ancestors.
const PROCESS: &[(&str, &str, Option<&str>)] = &[
    ("name", "proc.name", Some("proc.aname")),
    ("exe", "proc.exe", Some("proc.aexe")),
    ("exepath", "proc.exepath", Some("proc.aexepath")),
    ("cmdline", "proc.cmdline", Some("proc.acmdline")),
    ("pid", "proc.pid", Some("proc.apid")),
    ("tty", "proc.tty", None),
    ("user", "user.name", None),
    ("uid", "user.uid", None),
];

/// Keys of a container.
const CONTAINER: &[(&str, &str)] = &[
    ("id", "container.id"),
    ("name", "container.name"),
    ("image", "container.image"),
    ("type", "container.type"),
    ("pod", "k8s.pod.name"),
    ("namespace", "k8s.ns.name"),
];

fn of_context(context: &Json) -> Map<String, Json> {
    let mut fields = Map::new();
    let mut add = |field: &str, value: Option<&Json>| {
        if let Some(value) = value.filter(|value| !value.is_null() && *value != "") {
            fields.insert(field.to_owned(), value.clone());
        }
    };
    let part = |name: &str| context.get(name).unwrap_or(&Json::Null);
    add("evt.type", part("event").get("type"));
    for (key, field, ancestors) in PROCESS {
        add(field, part("process").get(key));
        let of_ancestors = part("ancestors").as_array().map_or(&[][..], Vec::as_slice);
        let values: Vec<&Json> = of_ancestors.iter().filter_map(|ancestor| ancestor.get(key)).collect();
        if let (Some(field), false) = (ancestors, values.is_empty()) {
            add(field, Some(&json!(values)));
        }
    }
    for (key, field) in CONTAINER {
        add(field, part("container").get(key));
    }
    for (name, value) in part("event").get("args").and_then(Json::as_object).into_iter().flatten() {
        add(&format!("evt.arg.{name}"), Some(value));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Event as _, Value};

    #[test]
    fn fields_and_context_become_an_event() {
        let alert = r#"{"rule": "other", "output_fields": {}} {"rule": "r",
            "output_fields": {"proc.name": "cat", "fd.name": null, "evt.time": 5, "k8s.pod.name": "<NA>", "mine": "x"},
            "context": {"event": {"type": "openat", "args": {"flags": "O_RDONLY"}},
                "process": {"name": "dog", "pid": 7}, "ancestors": [{"name": "bash"}, {"name": "sshd"}],
                "container": {"id": "0123456789ab", "name": "web", "pod": null}}}"#;
        let alert = find(alert, "r").unwrap();
        let (event, told) = event("alert.json", &alert).unwrap();
        let text = |field: &str| match event.get(&FieldRef::parse(field).unwrap()) {
            Some(Value::Str(bytes)) => String::from_utf8(bytes.to_vec()).unwrap(),
            other => format!("{other:?}"),
        };
        for (field, value) in [
            ("evt.type", "openat"),
            // What the rule printed goes before what the sensor added.
            ("proc.name", "cat"),
            ("proc.aname[2]", "sshd"),
            ("proc.pname", "bash"),
            ("proc.pid", "Some(Int(7))"),
            ("evt.arg.flags", "O_RDONLY"),
            ("container.name", "web"),
            ("fd.name", "None"),
        ] {
            assert_eq!(text(field), value, "{field}");
        }
        assert!(told.contains("fd.name") && told.contains("k8s.pod.name"), "told to have no value");
        assert!(!told.contains("proc.tty") && !told.contains("mine"), "{told:?}");
    }

    #[test]
    fn what_is_no_alert_is_none() {
        for text in ["", "evt.type: open", "{\"evt.type\": \"open\"}", "{\"output_fields\": 1}", "[1]"] {
            assert!(find(text, "r").is_none(), "{text}");
        }
    }
}

//! The JSON forms of an alert: Falco's alert line, and falcosidekick's event (Falco's with a `uuid`), read and written.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Alert;
use crate::rules::Priority;

/// Which keys Falco's JSON alert has: `json_include_*` of its configuration, with its defaults.
#[derive(Debug, Clone, Copy)]
pub struct JsonKeys {
    pub message: bool,
    pub output: bool,
    pub output_fields: bool,
    pub tags: bool,
}

impl Default for JsonKeys {
    fn default() -> Self {
        Self { message: false, output: true, output_fields: true, tags: true }
    }
}

/// Falco's JSON alert: one compact object, keys in alphabetical order.
pub fn falco(alert: &Alert, keys: JsonKeys) -> Value {
    let mut object = Map::new();
    object.insert("hostname".into(), json!(alert.hostname));
    if keys.message {
        object.insert("message".into(), json!(alert.message()));
    }
    if keys.output {
        object.insert("output".into(), json!(alert.output));
    }
    if keys.output_fields {
        object.insert("output_fields".into(), json!(alert.output_fields));
    }
    object.insert("priority".into(), json!(alert.priority.as_str()));
    object.insert("rule".into(), json!(alert.rule));
    object.insert("source".into(), json!(alert.source));
    if keys.tags {
        object.insert("tags".into(), json!(alert.tags));
    }
    object.insert("time".into(), json!(utc(alert.time)));
    Value::Object(object)
}

/// falcosidekick's event: Falco's alert with its `uuid`, as its webhook and UI get it.
pub fn event(alert: &Alert) -> Value {
    let mut value = falco(alert, JsonKeys::default());
    value["uuid"] = json!(alert.uuid.to_string());
    value
}

/// `YYYY-MM-DDTHH:MM:SS.nnnnnnnnnZ`.
pub fn utc(nanoseconds: i64) -> String {
    let mut text = String::with_capacity(30);
    match Timestamp::from_nanosecond(nanoseconds.into()) {
        Ok(time) => _ = write!(text, "{time:.9}"),
        Err(_) => _ = write!(text, "{nanoseconds}"),
    }
    text
}

/// A body is no alert.
#[derive(Debug, thiserror::Error)]
pub enum ParseAlertError {
    #[error("not a JSON object of an alert: {0}")]
    Json(serde_json::Error),
    #[error("the key `{0}` is missing or empty")]
    Missing(&'static str),
    #[error(transparent)]
    Priority(#[from] crate::rules::ParsePriorityError),
    #[error("`time` is no RFC 3339 time: {0}")]
    Time(jiff::Error),
}

impl From<serde_json::Error> for ParseAlertError {
    fn from(cause: serde_json::Error) -> Self {
        Self::Json(cause)
    }
}

/// An alert as foreign sensors send it. Keys are matched without case; unknown ones are ignored.
#[derive(Deserialize)]
struct Incoming {
    #[serde(default)]
    uuid: Option<String>,
    #[serde(default)]
    output: Option<String>,
    #[serde(default)]
    priority: Option<String>,
    #[serde(default)]
    rule: Option<String>,
    #[serde(default)]
    time: Option<String>,
    #[serde(default)]
    output_fields: Option<Map<String, Value>>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    hostname: Option<String>,
}

/// Reads the first JSON value of `body` as an alert that arrived at `received` (ns since the epoch).
///
/// As falcosidekick does, but an alert without `output_fields` is taken too, and a valid `uuid` is kept.
pub fn parse(body: &[u8], received: i64) -> Result<Alert, ParseAlertError> {
    let value = serde_json::Deserializer::from_slice(body)
        .into_iter::<Map<String, Value>>()
        .next()
        .ok_or(ParseAlertError::Missing("rule"))??;
    from_object(value, received)
}

/// [`parse`] of a decoded object.
pub fn from_object(object: Map<String, Value>, received: i64) -> Result<Alert, ParseAlertError> {
    let lower = object.into_iter().map(|(k, v)| (k.to_ascii_lowercase(), v)).collect();
    let incoming: Incoming = serde_json::from_value(Value::Object(lower))?;
    let needed =
        |text: Option<String>, key| text.filter(|t| !t.is_empty()).ok_or(ParseAlertError::Missing(key));
    let priority: Priority = needed(incoming.priority, "priority")?.parse()?;
    let time: Timestamp = needed(incoming.time, "time")?.parse().map_err(ParseAlertError::Time)?;
    let mut tags = incoming.tags.unwrap_or_default();
    tags.sort();
    tags.dedup();
    Ok(Alert {
        uuid: incoming.uuid.and_then(|u| Uuid::parse_str(&u).ok()).unwrap_or_else(Uuid::now_v7),
        time: i64::try_from(time.as_nanosecond()).unwrap_or(received),
        received,
        rule: needed(incoming.rule, "rule")?,
        priority,
        source: incoming.source.filter(|s| !s.is_empty()).unwrap_or_else(|| "syscall".into()),
        hostname: incoming.hostname.unwrap_or_default(),
        output: incoming.output.unwrap_or_default(),
        output_fields: incoming.output_fields.unwrap_or_default(),
        tags,
        context: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FALCO: &str = r#"{"hostname":"node1","output":"14:22:42.070202000: Informational Spawned (user=<NA>)","output_fields":{"container.id":"1376fe875695","evt.time":1763994162070202000,"user.name":null},"priority":"Informational","rule":"Container spawned","source":"syscall","tags":["lifecycle","container"],"time":"2025-11-24T14:22:42.070202000Z"}"#;

    #[test]
    fn falcos_alert_round_trips() {
        let alert = parse(FALCO.as_bytes(), 5).unwrap();
        assert_eq!(alert.time, 1_763_994_162_070_202_000);
        assert_eq!(alert.tags, ["container", "lifecycle"]);
        let text = falco(&alert, JsonKeys::default()).to_string();
        assert_eq!(text, FALCO.replace(r#"["lifecycle","container"]"#, r#"["container","lifecycle"]"#));
        assert_eq!(alert.message(), "Spawned (user=<NA>)");
    }

    #[test]
    fn foreign_spellings_are_read() {
        let body = br#"{"Priority":"info","RULE":"r","time":"2025-11-24T14:22:42+02:00","extra":1} trailing"#;
        let alert = parse(body, 5).unwrap();
        assert_eq!(alert.priority, Priority::Informational);
        assert_eq!(utc(alert.time), "2025-11-24T12:22:42.000000000Z");
    }

    #[test]
    fn what_is_missing_is_named() {
        for (body, says) in [
            ("", "rule"),
            ("[]", "not a JSON object"),
            (r#"{"rule":"r","time":"2025-11-24T14:22:42Z"}"#, "priority"),
            (r#"{"rule":"r","priority":"high","time":"2025-11-24T14:22:42Z"}"#, "high"),
            (r#"{"rule":"r","priority":1,"time":"x"}"#, "not a JSON object"),
            (r#"{"rule":"r","priority":"debug","time":"yesterday"}"#, "RFC 3339"),
        ] {
            let error = parse(body.as_bytes(), 0).unwrap_err().to_string();
            assert!(error.contains(says), "{body}: {error}");
        }
    }
}

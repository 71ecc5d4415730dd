//! From a request body to alerts.
//!
//! Taken is whatever senders are known to send: Falco's alert, falcosidekick's event, its `{"event": …, "outputs": …}` for the
//! web UI, arrays of these, several JSON values in one body; gzip or deflate; with or without `output_fields`.
//! Falco ignores the status it gets, so a refused alert is gone: what can be read is read.

use std::io::Read;

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use serde_json::{Map, Value};

use super::HubConfig;
use crate::alert::trial::TEST_RULE;
use crate::alert::{Alert, json};

/// Largest body, in bytes, as sent and again as decoded.
pub const MAX_BODY: usize = 1 << 20;
/// Texts of these refusals are quoted by falcosidekick's users, and scripts look for them.
pub const USE_POST: &str = "Please send with post http method";
const INVALID: &str = "Please send a valid request body";
const JSON_OUTPUT: &str = "in Falco's configuration `json_output: true` is needed";
/// Most reasons told in one answer.
const MAX_REASONS: usize = 5;

/// Why a body, or a part of it, was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("the body is larger than {MAX_BODY} bytes; send fewer alerts at a time")]
    TooLarge,
    #[error("{INVALID}: it is not {0}: {1}")]
    Encoding(&'static str, std::io::Error),
    #[error("{INVALID}: Content-Encoding `{0}` is not known; use gzip, deflate or none")]
    UnknownEncoding(String),
    #[error("{INVALID}: it is empty; an alert of Falco as JSON is expected")]
    Empty,
    #[error("{INVALID}: it is no JSON: {0}; {JSON_OUTPUT}")]
    Json(serde_json::Error),
    #[error("{INVALID}: {}", .0.join("; "))]
    Alerts(Vec<String>),
}

/// What a body holds.
#[derive(Debug, Default)]
pub struct Taken {
    pub alerts: Vec<Alert>,
    /// One reason for each alert that cannot be taken, with its number when there are several.
    pub refused: Vec<String>,
}

impl Taken {
    /// The error to answer with, when something was refused.
    pub fn error(mut self) -> Option<Refused> {
        if self.refused.is_empty() {
            return None;
        }
        let (stored, more) = (self.alerts.len(), self.refused.len().saturating_sub(MAX_REASONS));
        self.refused.truncate(MAX_REASONS);
        if more > 0 {
            self.refused.push(format!("and {more} more"));
        }
        if stored > 0 {
            self.refused.push(format!("the other {stored} are stored"));
        }
        Some(Refused::Alerts(self.refused))
    }
}

/// Undoes `encoding` (of the header `Content-Encoding`) if needed.
pub fn decode(body: Vec<u8>, encoding: Option<&str>) -> Result<Vec<u8>, Refused> {
    let encoding = encoding.map(|e| e.trim().to_ascii_lowercase()).unwrap_or_default();
    match encoding.as_str() {
        "gzip" | "x-gzip" => inflate("gzip", MultiGzDecoder::new(body.as_slice())),
        "deflate" => inflate("deflate", ZlibDecoder::new(body.as_slice())),
        // Some clients compress and do not say so; JSON cannot begin with these bytes.
        "" | "identity" if body.starts_with(&[0x1f, 0x8b]) => {
            inflate("gzip", MultiGzDecoder::new(body.as_slice()))
        }
        "" | "identity" => Ok(body),
        _ => Err(Refused::UnknownEncoding(encoding.chars().take(40).collect())),
    }
}

/// Reads all of `decoder`, but not more than a body may be: a few bytes can stand for gigabytes.
fn inflate(name: &'static str, decoder: impl Read) -> Result<Vec<u8>, Refused> {
    let mut body = Vec::new();
    let limit = u64::try_from(MAX_BODY).unwrap_or(u64::MAX) + 1;
    decoder.take(limit).read_to_end(&mut body).map_err(|e| Refused::Encoding(name, e))?;
    if body.len() > MAX_BODY { Err(Refused::TooLarge) } else { Ok(body) }
}

/// Reads the alerts in `body`, which arrived at `received` (ns since the epoch).
pub fn alerts(body: &[u8], received: i64, config: &HubConfig) -> Result<Taken, Refused> {
    // As falcosidekick: bytes that are no UTF-8 become U+FFFD. Falco cuts lines at bytes.
    let text = String::from_utf8_lossy(body);
    let mut values = Vec::new();
    for value in serde_json::Deserializer::from_str(&text).into_iter::<Value>() {
        match value {
            Ok(Value::Array(items)) => values.extend(items),
            Ok(value) => values.push(value),
            // What follows a readable value is ignored, as falcosidekick does.
            Err(_) if !values.is_empty() => break,
            Err(error) => return Err(Refused::Json(error)),
        }
    }
    if values.is_empty() {
        return Err(Refused::Empty);
    }
    let several = values.len() > 1;
    let mut taken = Taken::default();
    for (n, value) in values.into_iter().enumerate() {
        match alert(value, received, config) {
            Ok(alert) => taken.alerts.push(alert),
            Err(reason) if several => taken.refused.push(format!("alert {}: {reason}", n + 1)),
            Err(reason) => taken.refused.push(reason),
        }
    }
    Ok(taken)
}

fn alert(value: Value, received: i64, config: &HubConfig) -> Result<Alert, String> {
    let Value::Object(object) = value else {
        return Err(format!("not a JSON object of an alert; {JSON_OUTPUT}"));
    };
    let mut alert = json::from_object(unwrapped(object), received).map_err(|e| e.to_string())?;
    complete(&mut alert, config);
    Ok(alert)
}

/// The event of falcosidekick's web UI output, or the object itself.
fn unwrapped(mut object: Map<String, Value>) -> Map<String, Value> {
    if object.keys().any(|key| key.eq_ignore_ascii_case("rule")) {
        return object;
    }
    let key = object.keys().find(|key| key.eq_ignore_ascii_case("event")).cloned();
    match key.and_then(|key| object.remove(&key)) {
        Some(Value::Object(event)) => event,
        _ => object,
    }
}

/// What the hub adds: custom fields and tags, and the source of test alerts.
pub fn complete(alert: &mut Alert, config: &HubConfig) {
    for (name, value) in &config.customfields {
        alert.output_fields.insert(name.clone(), Value::String(value.clone()));
    }
    if !config.customtags.is_empty() {
        alert.tags.extend_from_slice(&config.customtags);
        alert.tags.sort_unstable();
        alert.tags.dedup();
    }
    if alert.rule == TEST_RULE {
        "internal".clone_into(&mut alert.source);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write};
    use proptest::prelude::*;

    use super::*;
    use crate::rules::Priority;

    const ONE: &str =
        r#"{"rule":"one","priority":"notice","time":"2025-11-24T14:22:42Z","output_fields":{"a":1}}"#;
    const BAD: &str = r#"{"rule":"bad","priority":"high","time":"2025-11-24T14:22:42Z"}"#;

    fn read(body: &str) -> Taken {
        alerts(body.as_bytes(), 5, &HubConfig::default()).unwrap()
    }

    fn names(taken: &Taken) -> Vec<&str> {
        taken.alerts.iter().map(|a| a.rule.as_str()).collect()
    }

    #[test]
    fn all_known_shapes_are_read() {
        for body in [
            ONE.to_owned(),
            format!(r#"{{"event":{ONE},"outputs":["Teams"]}}"#),
            format!("[{ONE}]"),
            format!("{ONE} trailing"),
            ONE.replace(r#","output_fields":{"a":1}"#, ""),
            ONE.replace("output_fields", "OUTPUT_FIELDS"),
        ] {
            let taken = read(&body);
            assert_eq!(names(&taken), ["one"], "{body}");
            assert!(taken.error().is_none());
        }
        assert_eq!(names(&read(&format!("[{ONE},{{\"Event\":{ONE}}}]"))), ["one", "one"]);
        assert_eq!(names(&read(&format!("{ONE}\n{ONE}\n"))), ["one", "one"]);
        let mut cut = ONE.replace("one", "X").into_bytes();
        let at = cut.iter().position(|&b| b == b'X').unwrap();
        cut[at] = 0xe6;
        assert_eq!(names(&alerts(&cut, 5, &HubConfig::default()).unwrap()), ["\u{fffd}"]);
    }

    #[test]
    fn good_alerts_are_taken_beside_bad_ones() {
        let taken = read(&format!("[{ONE},{BAD},7]"));
        assert_eq!(names(&taken), ["one"]);
        let text = taken.error().unwrap().to_string();
        for says in [
            INVALID,
            "alert 2: unknown priority \"high\"",
            "alert 3: not a JSON object",
            "other 1 are stored",
        ] {
            assert!(text.contains(says), "{text}");
        }
        for (body, says) in
            [("", "empty"), ("  ", "empty"), ("[]", "empty"), ("{", "json_output"), ("x", "json_output")]
        {
            let error = alerts(body.as_bytes(), 5, &HubConfig::default()).unwrap_err().to_string();
            assert!(error.starts_with(INVALID) && error.contains(says), "{body}: {error}");
        }
    }

    #[test]
    fn custom_fields_and_tags_are_added() {
        let config = HubConfig {
            customfields: [("a".into(), "over".into()), ("cluster".into(), "prod".into())].into(),
            customtags: vec!["z".into(), "b".into()],
            ..HubConfig::default()
        };
        let body = ONE.replace("\"one\"", "\"Test rule\",\"tags\":[\"m\",\"b\"]");
        let alert = alerts(body.as_bytes(), 5, &config).unwrap().alerts.remove(0);
        assert_eq!(Value::Object(alert.output_fields), serde_json::json!({"a": "over", "cluster": "prod"}));
        assert_eq!(alert.tags, ["b", "m", "z"]);
        assert_eq!((alert.source.as_str(), alert.priority), ("internal", Priority::Notice));
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = write::GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn bodies_are_decompressed_within_bounds() {
        let mut zlib = write::ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(ONE.as_bytes()).unwrap();
        for (body, encoding) in [
            (ONE.as_bytes().to_vec(), None),
            (ONE.as_bytes().to_vec(), Some("identity")),
            (gzip(ONE.as_bytes()), Some("GZIP")),
            (gzip(ONE.as_bytes()), None),
            (zlib.finish().unwrap(), Some("deflate")),
        ] {
            assert_eq!(decode(body, encoding).unwrap(), ONE.as_bytes(), "{encoding:?}");
        }
        let bomb = gzip(&vec![b' '; 100 << 20]);
        assert!(matches!(decode(bomb, Some("gzip")), Err(Refused::TooLarge)));
        assert!(matches!(decode(b"{}".to_vec(), Some("gzip")), Err(Refused::Encoding("gzip", _))));
        assert!(matches!(decode(b"{}".to_vec(), Some("br")), Err(Refused::UnknownEncoding(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body: Vec<u8>, encoding in "(gzip|deflate|)") {
            if let Ok(body) = decode(body, Some(&encoding)) {
                let taken = alerts(&body, 5, &HubConfig::default());
                prop_assert!(taken.is_err() || taken.is_ok_and(|t| !t.alerts.is_empty() || !t.refused.is_empty()));
            }
        }
    }
}

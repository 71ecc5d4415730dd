//! From a request body to alerts.
//!
//! Taken is whatever senders are known to send: Falco's alert, falcosidekick's event, its `{"event": …, "outputs": …}` for the
//! web UI, arrays of these, several JSON values in one body; gzip or deflate; with or without `output_fields`.
//! Falco ignores the status it gets, so a refused alert is gone: what can be read is read.

use std::fmt;
use std::io::Read;

use bytes::Bytes;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize as _, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
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
/// Most reasons in one answer, and characters of one; a reason can quote what was sent.
const MAX_REASONS: usize = 5;
const REASON_LENGTH: usize = 200;

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
    /// Alerts that cannot be taken.
    pub refused: u64,
    /// Why not, for the first few, with their place in the body.
    reasons: Vec<(u64, String)>,
    /// Alerts in the body, good and bad.
    seen: u64,
}

impl Taken {
    /// The error to answer with, when something was refused and `stored` others were not.
    pub fn error(self, stored: usize) -> Option<Refused> {
        if self.refused == 0 {
            return None;
        }
        let several = self.seen > 1;
        let more = self.refused.saturating_sub(self.reasons.len() as u64);
        let mut reasons: Vec<String> = self
            .reasons
            .into_iter()
            .map(|(number, reason)| if several { format!("alert {number}: {reason}") } else { reason })
            .collect();
        if more > 0 {
            reasons.push(format!("and {more} more"));
        }
        if stored > 0 {
            reasons.push(format!("the other {stored} are stored"));
        }
        Some(Refused::Alerts(reasons))
    }

    fn add(&mut self, alert: Result<Alert, String>) {
        self.seen += 1;
        match alert {
            Ok(alert) => self.alerts.push(alert),
            Err(reason) => {
                self.refused += 1;
                if self.reasons.len() < MAX_REASONS {
                    self.reasons.push((self.seen, reason.chars().take(REASON_LENGTH).collect()));
                }
            }
        }
    }

    /// Forgets what came after the first `seen`, of which `alerts` were good.
    fn back_to(&mut self, seen: u64, alerts: usize) {
        self.seen = seen;
        self.alerts.truncate(alerts);
        self.refused = seen - alerts as u64;
        self.reasons.retain(|(number, _)| *number <= seen);
    }
}

/// Room that a body takes once it is decoded, in KiB.
pub fn kib(body: &[u8], encoding: Option<&str>) -> u32 {
    let plain = encoding.is_none_or(|e| e.is_empty() || e.eq_ignore_ascii_case("identity")) && !is_gzip(body);
    u32::try_from(if plain { body.len() } else { MAX_BODY } / 1024 + 1).unwrap_or(u32::MAX)
}

fn is_gzip(body: &[u8]) -> bool {
    body.starts_with(&[0x1f, 0x8b])
}

/// Undoes `encoding` (of the header `Content-Encoding`) if needed.
pub fn decode(body: Bytes, encoding: Option<&str>) -> Result<Bytes, Refused> {
    let encoding = encoding.map(|e| e.trim().to_ascii_lowercase()).unwrap_or_default();
    match encoding.as_str() {
        "gzip" | "x-gzip" => inflate("gzip", MultiGzDecoder::new(&*body)),
        "deflate" => inflate("deflate", ZlibDecoder::new(&*body)),
        // Some clients compress and do not say so; JSON cannot begin with these bytes.
        "" | "identity" if is_gzip(&body) => inflate("gzip", MultiGzDecoder::new(&*body)),
        "" | "identity" => Ok(body),
        _ => Err(Refused::UnknownEncoding(encoding.chars().take(40).collect())),
    }
}

/// Reads all of `decoder`, but not more than a body may be: a few bytes can stand for gigabytes.
fn inflate(name: &'static str, decoder: impl Read) -> Result<Bytes, Refused> {
    let mut body = Vec::new();
    let limit = u64::try_from(MAX_BODY).unwrap_or(u64::MAX) + 1;
    decoder.take(limit).read_to_end(&mut body).map_err(|e| Refused::Encoding(name, e))?;
    if body.len() > MAX_BODY { Err(Refused::TooLarge) } else { Ok(body.into()) }
}

/// Reads the alerts in `body`, which arrived at `received` (ns since the epoch). Each becomes an alert, or is refused, before the next
/// is read: JSON as a tree takes many times the room of its text.
pub fn alerts(body: &[u8], received: i64, config: &HubConfig) -> Result<Taken, Refused> {
    // As falcosidekick: bytes that are no UTF-8 become U+FFFD. Falco cuts lines at bytes.
    let text = String::from_utf8_lossy(body);
    let mut json = serde_json::Deserializer::from_str(&text);
    let mut taken = Taken::default();
    while json.end().is_err() {
        let (seen, alerts) = (taken.seen, taken.alerts.len());
        let one = Top { taken: &mut taken, received, config };
        match one.deserialize(&mut json) {
            Ok(()) => {}
            // What follows a readable value is ignored, as falcosidekick does.
            Err(_) if seen > 0 => {
                taken.back_to(seen, alerts);
                break;
            }
            Err(error) => return Err(Refused::Json(error)),
        }
    }
    if taken.seen == 0 { Err(Refused::Empty) } else { Ok(taken) }
}

/// One value of a body: an alert, or an array of them.
struct Top<'a> {
    taken: &'a mut Taken,
    received: i64,
    config: &'a HubConfig,
}

impl Top<'_> {
    fn take(&mut self, value: Value) {
        self.taken.add(alert(value, self.received, self.config));
    }
}

impl<'de> DeserializeSeed<'de> for Top<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an alert, or an array of alerts")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        while let Some(value) = items.next_element()? {
            self.take(value);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        self.take(Value::deserialize(MapAccessDeserializer::new(map))?);
        Ok(())
    }

    // What is no alert is refused in words of its own.
    fn visit_bool<E>(mut self, value: bool) -> Result<(), E> {
        self.take(value.into());
        Ok(())
    }

    fn visit_i64<E>(mut self, value: i64) -> Result<(), E> {
        self.take(value.into());
        Ok(())
    }

    fn visit_u64<E>(mut self, value: u64) -> Result<(), E> {
        self.take(value.into());
        Ok(())
    }

    fn visit_f64<E>(mut self, value: f64) -> Result<(), E> {
        self.take(value.into());
        Ok(())
    }

    fn visit_str<E>(mut self, _: &str) -> Result<(), E> {
        self.take(Value::String(String::new()));
        Ok(())
    }

    fn visit_unit<E>(mut self) -> Result<(), E> {
        self.take(Value::Null);
        Ok(())
    }
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
            assert!(taken.error(1).is_none());
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
        let text = taken.error(1).unwrap().to_string();
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
    fn what_follows_a_readable_value_is_ignored_as_a_whole() {
        let taken = read(&format!("{ONE} [{ONE},{BAD},{{"));
        assert_eq!((names(&taken), taken.refused, taken.seen), (vec!["one"], 0, 1));
        let broken = format!("[{ONE},{BAD},{{");
        assert!(matches!(alerts(broken.as_bytes(), 5, &HubConfig::default()), Err(Refused::Json(_))));
    }

    #[test]
    fn a_body_full_of_rubbish_costs_a_few_reasons() {
        let rubbish = format!("[{}0]", "0,".repeat(MAX_BODY / 2 - 2));
        let taken = read(&rubbish);
        assert_eq!((taken.refused, taken.reasons.len()), (MAX_BODY as u64 / 2 - 1, MAX_REASONS));
        assert!(taken.error(0).unwrap().to_string().len() < MAX_REASONS * (REASON_LENGTH + 50));
        // A reason quotes what was sent.
        let long = ONE.replace("\"notice\"", &format!("\"{}\"", "x".repeat(MAX_BODY / 2)));
        assert!(read(&long).error(0).unwrap().to_string().len() < REASON_LENGTH + 50);
    }

    #[test]
    fn room_is_that_of_the_decoded_body() {
        let whole = u32::try_from(MAX_BODY / 1024 + 1).unwrap();
        assert_eq!((kib(b"{}", None), kib(b"{}", Some("identity"))), (1, 1));
        assert_eq!((kib(&gzip(b"{}"), None), kib(b"{}", Some("deflate"))), (whole, whole));
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

    fn gzip(text: &[u8]) -> Bytes {
        let mut encoder = write::GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn bodies_are_decompressed_within_bounds() {
        let mut zlib = write::ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(ONE.as_bytes()).unwrap();
        for (body, encoding) in [
            (ONE.into(), None),
            (ONE.into(), Some("identity")),
            (gzip(ONE.as_bytes()), Some("GZIP")),
            (gzip(ONE.as_bytes()), None),
            (zlib.finish().unwrap().into(), Some("deflate")),
        ] {
            assert_eq!(decode(body, encoding).unwrap(), ONE.as_bytes(), "{encoding:?}");
        }
        let bomb = gzip(&vec![b' '; 100 << 20]);
        assert!(matches!(decode(bomb, Some("gzip")), Err(Refused::TooLarge)));
        assert!(matches!(decode("{}".into(), Some("gzip")), Err(Refused::Encoding("gzip", _))));
        assert!(matches!(decode("{}".into(), Some("br")), Err(Refused::UnknownEncoding(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body: Vec<u8>, encoding in "(gzip|deflate|)") {
            if let Ok(body) = decode(body.into(), Some(&encoding)) {
                let taken = alerts(&body, 5, &HubConfig::default());
                prop_assert!(taken.is_err() || taken.is_ok_and(|t| !t.alerts.is_empty() || t.refused > 0));
            }
        }
    }
}

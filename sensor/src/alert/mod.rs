//! Alerts: what a rule (or a foreign sensor) raised, on its way into the alert log.

pub mod json;
pub mod log;
pub mod query;
pub mod trial;

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::rules::Priority;

/// The time in an alert's unit: nanoseconds since the Unix epoch.
pub fn now() -> i64 {
    i64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}

/// One alert, in the shape in which it is stored and handed to outputs.
///
/// The keys follow Falco's JSON alert; `uuid`, `received` and `context` are ours.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Identity across hubs. A version 7 id made where the alert was raised; a valid incoming one is kept.
    pub uuid: Uuid,
    /// When the event happened: nanoseconds since the Unix epoch, the sensor's clock.
    pub time: i64,
    /// When this process took the alert in: nanoseconds since the Unix epoch. Equals `time` for
    /// an alert raised here but for the judging delay.
    pub received: i64,
    /// Name of the rule.
    pub rule: String,
    pub priority: Priority,
    /// `syscall`, `internal` or the name of a foreign plugin source.
    pub source: String,
    /// Host the event happened on; empty when a foreign sensor did not say.
    pub hostname: String,
    /// The whole text line, time and priority prefix included, as Falco's `output`.
    pub output: String,
    /// Field name to value; numbers stay exact (64-bit), missing fields are `null`. Sorted by key.
    pub output_fields: Map<String, Value>,
    /// Sorted, without duplicates.
    pub tags: Vec<String>,
    /// What the sensor knew beyond the rule's output, for the UI: an object with
    /// `process` (pid, name, exe, args, …), `ancestors` (same, parent first) and `event` (type, args).
    pub context: Option<Value>,
}

impl Alert {
    /// `output` without its leading time and priority, if it begins with them: Falco's `message`.
    pub fn message(&self) -> &str {
        let Some((time, rest)) = self.output.split_once(": ") else { return &self.output };
        if time.contains(' ') || !time.starts_with(|c: char| c.is_ascii_digit()) {
            return &self.output;
        }
        rest.strip_prefix(self.priority.as_str()).map_or(rest, str::trim_start)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An alert to test with; its time is fixed, it arrives now.
    pub(crate) fn alert(rule: &str, priority: Priority) -> Alert {
        let time = 1_763_994_162_070_202_000;
        Alert {
            uuid: Uuid::now_v7(),
            time,
            received: now(),
            rule: rule.into(),
            priority,
            source: "syscall".into(),
            hostname: "node1".into(),
            output: format!("14:22:42.070202000: {priority} {rule}"),
            output_fields: Map::new(),
            tags: Vec::new(),
            context: None,
        }
    }
}

//! Alerts about the sensor itself, in Falco's form: source `internal`, no tags, the fields at the end of the line.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::alert::Alert;
use crate::rules::Priority;

/// Name of the rule that tells that changed rules do not load, Falco's.
pub const RELOAD_RULE: &str = "Falco internal: hot restart failure";

/// The alert of an internal rule, raised now.
pub fn alert(
    rule: &str,
    priority: Priority,
    message: &str,
    fields: Map<String, Value>,
    hostname: &str,
) -> Alert {
    let time = Timestamp::now();
    let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let output = format!(
        "{}: {priority} {message} ({})",
        time.to_zoned_datetime(TimeZone::system()).strftime("%H:%M:%S.%9f"),
        pairs.join(" "),
    );
    let nanoseconds = i64::try_from(time.as_nanosecond()).unwrap_or_default();
    Alert {
        uuid: Uuid::now_v7(),
        time: nanoseconds,
        received: nanoseconds,
        rule: rule.to_owned(),
        priority,
        source: "internal".to_owned(),
        hostname: hostname.to_owned(),
        output,
        output_fields: fields,
        tags: Vec::new(),
        context: None,
    }
}

/// The rules changed and do not load; the old ones stay.
pub fn reload_failure(reason: &str, hostname: &str) -> Alert {
    let fields = Map::from_iter([("reason".to_owned(), json!(reason))]);
    alert(RELOAD_RULE, Priority::Critical, &format!("{RELOAD_RULE}: {reason}"), fields, hostname)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_reload_has_falcos_form() {
        let alert = reload_failure("r.yaml: no", "h");
        assert!(
            alert.output.ends_with(
                r#": Critical Falco internal: hot restart failure: r.yaml: no (reason="r.yaml: no")"#
            ),
            "{}",
            alert.output
        );
        assert_eq!((alert.source.as_str(), alert.hostname.as_str()), ("internal", "h"));
        assert_eq!(alert.output_fields["reason"], "r.yaml: no");
    }
}

//! Falco's alert line, as written to standard output, to a file, or posted by `http_output`.

use crate::alert::{Alert, json};

use super::escape;

/// Form of a line: `json_output` and `json_include_*`.
#[derive(Debug, Clone, Copy, Default)]
pub enum LineFormat {
    /// The rule's output text.
    #[default]
    Text,
    /// One compact JSON object.
    Json(json::JsonKeys),
}

impl LineFormat {
    /// The media type of a line that is posted.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; charset=utf-8",
            Self::Json(_) => "application/json",
        }
    }

    /// The alert in one line, without the newline. No field can add a second one.
    pub fn line(self, alert: &Alert) -> String {
        match self {
            Self::Text => escape::visible(&alert.output).into_owned(),
            Self::Json(keys) => escape::visible_json(&json::falco(alert, keys).to_string()).into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::testing::alert;

    #[test]
    fn a_hostile_field_makes_no_second_line() {
        let mut alert = alert(1);
        alert.output = "12:00:00.0: Warning f=x\n12:00:01.0: Emergency forged\u{2028}\u{9b}2J".into();
        alert.output_fields.insert("fd.name".into(), "x\n\u{85}\u{202e}y".into());
        assert_eq!(
            LineFormat::Text.line(&alert),
            r"12:00:00.0: Warning f=x\n12:00:01.0: Emergency forged\u{2028}\u{9b}2J"
        );
        let line = LineFormat::Json(json::JsonKeys::default()).line(&alert);
        assert!(!line.contains(escape::is_hidden), "{line}");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["output_fields"]["fd.name"], "x\n\u{85}\u{202e}y");
    }

    #[test]
    fn json_has_the_keys_asked_for() {
        let keys = json::JsonKeys { message: true, output: false, output_fields: false, tags: false };
        let line = LineFormat::Json(keys).line(&alert(1));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        let keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["hostname", "message", "priority", "rule", "source", "time"]);
    }
}

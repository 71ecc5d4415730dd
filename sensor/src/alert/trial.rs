//! The alert that tries out the way to every destination: made by the intake's `/test` and by the web app.

use serde_json::{Map, json};
use uuid::Uuid;

use super::json::utc;
use super::{Alert, now};
use crate::rules::Priority;

/// Its rule, named as falcosidekick's. Every output takes alerts of this rule, whatever its minimum priority.
pub const TEST_RULE: &str = "Test rule";

/// A new test alert, made by `user` on `hostname`.
pub fn test_alert(hostname: String, user: &str) -> Alert {
    let (time, priority) = (now(), Priority::Debug);
    let clock = utc(time);
    let fields = [("evt.time", json!(time)), ("proc.name", json!("falconet")), ("user.name", json!(user))];
    Alert {
        uuid: Uuid::now_v7(),
        time,
        received: time,
        rule: TEST_RULE.into(),
        priority,
        source: "internal".into(),
        hostname,
        output: format!(
            "{}: {priority} This is a test alert of falconet | user={user}",
            clock.get(11..29).unwrap_or(&clock)
        ),
        output_fields: Map::from_iter(fields.map(|(name, value)| (name.to_owned(), value))),
        tags: vec!["example".into(), "test".into()],
        context: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_falcos_form() {
        let alert = test_alert("node1".into(), "admin");
        assert_eq!(alert.message(), "This is a test alert of falconet | user=admin");
        assert!(alert.output.contains(": Debug "), "{}", alert.output);
    }
}

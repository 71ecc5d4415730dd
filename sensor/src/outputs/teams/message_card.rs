//! The MessageCard of the retired Office 365 connectors, laid out as falcosidekick's.

use serde_json::{Map, Value, json};

use super::message::Message;
use crate::rules::Priority;

/// The whole request body. `image` is the address of the picture, if any.
pub fn render(message: &Message, image: &str) -> Value {
    let mut section = Map::new();
    section.insert("activityTitle".into(), json!(message.title));
    section.insert("activitySubtitle".into(), json!(message.subtitle));
    if !image.is_empty() {
        section.insert("activityImage".into(), json!(image));
    }
    let mut text = message.text.as_ref().map(|t| t.shown().to_owned()).unwrap_or_default();
    if let Some(note) = &message.note {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        text.push_str(note);
    }
    section.insert("text".into(), json!(text));
    let facts: Vec<Value> =
        message.facts.iter().map(|fact| json!({"name": fact.name, "value": fact.value.shown()})).collect();
    section.insert("facts".into(), json!(facts));
    json!({
        "@type": "MessageCard",
        "@context": "https://schema.org/extensions",
        "summary": message.summary,
        "themeColor": colour(message.priority),
        "sections": [section],
    })
}

/// falcosidekick's colours.
fn colour(priority: Priority) -> &'static str {
    match priority {
        Priority::Emergency => "e20b0b",
        Priority::Alert => "ff5400",
        Priority::Critical => "ff9000",
        Priority::Error => "ffc700",
        Priority::Warning => "ffff00",
        Priority::Notice => "5bffb5",
        Priority::Informational => "68c2ff",
        Priority::Debug => "ccfff2",
    }
}

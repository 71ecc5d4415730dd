//! The Adaptive Card, in the envelope that a Workflows webhook takes.
//!
//! Declared as version 1.4, the newest that Teams takes everywhere, but made of 1.2 elements only, which the mobile
//! apps show too. There is no colour of the card: the container's style stands for the priority.

use serde_json::{Value, json};

use super::message::{Message, Passage};
use crate::rules::Priority;

/// The whole request body.
pub fn render(message: &Message) -> Value {
    let mut body = vec![json!({
        "type": "Container",
        "style": style(message.priority),
        "items": [
            {"type": "TextBlock", "text": message.title, "weight": "Bolder", "size": "Medium", "wrap": true},
            {"type": "TextBlock", "text": message.subtitle, "isSubtle": true, "spacing": "None", "wrap": true},
        ],
    })];
    if let Some(text) = message.text.as_ref().map(Passage::shown).filter(|t| !t.is_empty()) {
        body.push(json!({"type": "TextBlock", "text": text, "wrap": true}));
    }
    if !message.facts.is_empty() {
        let facts: Vec<Value> = message
            .facts
            .iter()
            .map(|fact| json!({"title": fact.name, "value": fact.value.shown()}))
            .collect();
        body.push(json!({"type": "FactSet", "facts": facts}));
    }
    if let Some(note) = &message.note {
        body.push(
            json!({"type": "TextBlock", "text": note, "isSubtle": true, "size": "Small", "wrap": true}),
        );
    }
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "msteams": {"width": "Full"},
                "body": body,
            },
        }],
    })
}

fn style(priority: Priority) -> &'static str {
    match priority {
        Priority::Emergency | Priority::Alert | Priority::Critical | Priority::Error => "attention",
        Priority::Warning => "warning",
        Priority::Notice => "accent",
        Priority::Informational => "good",
        Priority::Debug => "emphasis",
    }
}

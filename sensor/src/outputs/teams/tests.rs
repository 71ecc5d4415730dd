//! Cards as they are built, and the webhook's answers, against real servers on the loopback interface.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::config::{Format, OutputFormat, TeamsConfig};
use super::message::{SIZE, SIZE_AFTER_413};
use super::{Teams, check};
use crate::alert::Alert;
use crate::outputs::destination::Destination as _;
use crate::outputs::http::{ClientOptions, Tls};
use crate::outputs::journal::Fate;
use crate::outputs::output::Output;
use crate::outputs::shared::SharedConfig;
use crate::outputs::testing::{Memory, Reply, Server, alert, answer, drive};
use crate::outputs::values::Secret;
use crate::rules::Priority;

fn teams(config: &TeamsConfig) -> Box<dyn Output> {
    let mut options = ClientOptions::falcosidekick("teams", &Tls::default(), false, true);
    options.timeout = Duration::from_millis(300);
    Box::new(Teams::new(config, &options).unwrap())
}

/// Fast enough for tests.
fn to(server: &Server) -> TeamsConfig {
    let webhookurl = server.url("/powerautomate/workflows/x?api-version=1&sig=a%2Fb-_");
    TeamsConfig { webhookurl, rate: 1000.0, ..TeamsConfig::default() }
}

fn offline() -> TeamsConfig {
    TeamsConfig { webhookurl: Secret::new("http://127.0.0.1/x"), ..TeamsConfig::default() }
}

/// The body as it would be sent.
fn bytes(config: &TeamsConfig, alerts: &[Arc<Alert>], size: usize) -> Vec<u8> {
    let card = config.card(&config.webhookurl.reveal().parse().unwrap());
    super::send::body(config, card, alerts, size)
}

fn body(config: &TeamsConfig, alert: Alert) -> Value {
    serde_json::from_slice(&bytes(config, &[Arc::new(alert)], SIZE)).unwrap()
}

#[test]
fn an_adaptive_card() {
    let value = body(&offline(), alert(1));
    let expected = json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "msteams": {"width": "Full"},
                "body": [
                    {"type": "Container", "style": "warning", "items": [
                        {"type": "TextBlock", "text": "🟡 Warning: Rule 1", "weight": "Bolder", "size": "Medium", "wrap": true},
                        {"type": "TextBlock", "text": "node1 · 2025-11-24 14:22:42 UTC", "isSubtle": true, "spacing": "None", "wrap": true},
                    ]},
                    {"type": "TextBlock", "text": r"Shell in a container \(user=root\)", "wrap": true},
                    {"type": "FactSet", "facts": [
                        {"title": "rule", "value": "Rule 1"},
                        {"title": "priority", "value": "Warning"},
                        {"title": "source", "value": "syscall"},
                        {"title": "hostname", "value": "node1"},
                        {"title": "container.name", "value": "web"},
                        {"title": "evt.time", "value": "1763994162070202000"},
                        {"title": "proc.name", "value": "bash"},
                        {"title": "tags", "value": "T1059, container"},
                    ]},
                ],
            },
        }],
    });
    assert_eq!(value, expected);
}

#[test]
fn a_message_card_for_old_connectors() {
    let config = TeamsConfig {
        webhookurl: Secret::new("https://contoso.webhook.office.com/webhookb2/x"),
        activityimage: "https://example.org/i.png".into(),
        ..TeamsConfig::default()
    };
    let value = body(&config, alert(1));
    assert_eq!(value["@type"], "MessageCard");
    assert_eq!(value["themeColor"], "ffff00");
    assert_eq!(value["summary"], "Warning: Rule 1");
    let section = &value["sections"][0];
    assert_eq!(section["activityImage"], "https://example.org/i.png");
    assert_eq!(section["text"], r"Shell in a container \(user=root\)");
    assert_eq!(section["facts"][4], json!({"name": "container.name", "value": "web"}));
}

#[test]
fn outputformat_chooses_text_or_facts() {
    let elements = |outputformat| {
        let value = body(&TeamsConfig { outputformat, ..offline() }, alert(1));
        let body = value["attachments"][0]["content"]["body"].as_array().unwrap().clone();
        body.iter().map(|e| e["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(elements(OutputFormat::All), ["Container", "TextBlock", "FactSet"]);
    assert_eq!(elements(OutputFormat::Text), ["Container", "TextBlock"]);
    assert_eq!(elements(OutputFormat::Facts), ["Container", "FactSet"]);
}

#[test]
fn what_is_too_large_is_shortened_largest_value_first_and_told() {
    let mut alert = alert(1);
    alert.output_fields.insert("proc.cmdline".into(), "*".repeat(40_000).into());
    let body = bytes(&offline(), &[Arc::new(alert.clone())], SIZE);
    check::adaptive(&body, SIZE);
    let text = String::from_utf8(body).unwrap();
    assert!(text.contains("0 fields and 39"), "{text}");
    assert!(text.contains("Shell in a container"), "the text stays");
    assert!(text.contains("proc.name"), "small fields stay");

    for n in 0..2000 {
        alert.output_fields.insert(format!("field.{n}"), "some value".into());
    }
    alert.output = format!("14:22:42.0: Warning {}", "long text ".repeat(5000));
    for size in [SIZE, SIZE_AFTER_413] {
        let body = bytes(&offline(), &[Arc::new(alert.clone())], size);
        check::adaptive(&body, size);
        let text = String::from_utf8(body).unwrap();
        assert!(text.contains("left out"), "{text}");
        assert!(text.len() > size / 2, "no more than needed is left out: {}", text.len());
    }
}

#[test]
fn a_digest_counts_by_rule_and_host() {
    let mut alerts: Vec<Arc<Alert>> = Vec::new();
    for n in 0..60 {
        let mut alert = alert(n % 3);
        alert.hostname = format!("node{}", n % 5);
        alert.time += i64::from(n) * 1_000_000_000;
        if n % 3 == 2 {
            alert.priority = Priority::Critical;
        }
        alerts.push(Arc::new(alert));
    }
    let body = bytes(&offline(), &alerts, SIZE);
    check::adaptive(&body, SIZE);
    let value: Value = serde_json::from_slice(&body).unwrap();
    let card = &value["attachments"][0]["content"]["body"];
    assert_eq!(card[0]["style"], "attention");
    assert_eq!(card[0]["items"][0]["text"], "🔴 60 alerts of 3 rules");
    let facts = card[2]["facts"].as_array().unwrap();
    assert_eq!(facts.len(), 3);
    assert_eq!(facts[0]["title"], "🔴 Critical × 20");
    assert_eq!(
        facts[0]["value"],
        "Rule 2 · node0, node1, node2, 2 more · 2025-11-24 14:22:44 UTC – 2025-11-24 14:23:41 UTC"
    );
}

#[tokio::test]
async fn a_workflow_gets_the_card_at_the_exact_address() {
    let server = Server::start(|_, _| answer(202, "")).await;
    let memory = Memory::with(2);
    let status = drive(teams(&to(&server)), &memory).finish(&memory, 2).await;
    assert_eq!(status.delivered, 2);
    let received = server.received();
    assert_eq!(received[0].target, "/powerautomate/workflows/x?api-version=1&sig=a%2Fb-_");
    assert_eq!(received[0].headers["content-type"], "application/json; charset=utf-8");
    for request in received {
        check::adaptive(&request.body, SIZE);
    }
}

#[tokio::test]
async fn failures_inside_a_200_are_seen() {
    let hidden = |status: u16| {
        let text = format!(
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error {status} with ContextId tcid=0"
        );
        answer(200, &text)
    };
    let server = Server::start(move |n, _| match n {
        0 => hidden(429),
        1 => hidden(500),
        3 => hidden(400),
        4 | 5 => hidden(413),
        _ => answer(200, "1"),
    })
    .await;
    let memory = Memory::with(4);
    let status = drive(teams(&to(&server)), &memory).finish(&memory, 4).await;
    assert_eq!((status.delivered, status.failed_tries, status.dead), (2, 2, 2));
    let fates = memory.fates();
    assert!(matches!(&fates[1].1, Fate::Dead(reason) if reason.contains("HTTP error 400")), "{fates:?}");
    assert!(matches!(&fates[2].1, Fate::Dead(reason) if reason.contains("too large")), "{fates:?}");
}

#[tokio::test]
async fn a_413_is_answered_with_a_smaller_card() {
    let server =
        Server::start(|_, r| answer(if r.body.len() > SIZE_AFTER_413 { 413 } else { 202 }, "")).await;
    let memory = Memory::with(0);
    let mut large = alert(1);
    for n in 0..500 {
        large.output_fields.insert(format!("field.{n}"), "some longer value of a field".into());
    }
    memory.push(large);
    let status = drive(teams(&to(&server)), &memory).finish(&memory, 1).await;
    assert_eq!((status.delivered, status.dead), (1, 0));
    let received = server.received();
    assert_eq!(received.len(), 2);
    check::adaptive(&received[1].body, SIZE_AFTER_413);
}

#[tokio::test]
async fn a_429_of_a_workflow_is_obeyed() {
    let server = Server::start(|n, _| match n {
        0 => Reply::Answer(429, vec![("retry-after", "1".into())], String::new()),
        _ => answer(202, ""),
    })
    .await;
    let memory = Memory::with(1);
    drive(teams(&to(&server)), &memory).finish(&memory, 1).await;
    let received = server.received();
    assert!(received[1].at - received[0].at >= Duration::from_secs(1));
}

#[tokio::test]
async fn cards_keep_the_pace_and_a_flood_becomes_a_digest() {
    let server = Server::start(|_, _| answer(202, "")).await;
    let memory = Memory::with(3);
    let config = TeamsConfig { rate: 10.0, burst: 1, digestabove: 5, ..to(&server) };
    drive(teams(&config), &memory).finish(&memory, 3).await;
    let at: Vec<_> = server.received().iter().map(|r| r.at).collect();
    assert!(at[2] - at[0] >= Duration::from_millis(180), "{:?}", at[2] - at[0]);
    (4..=103).for_each(|n| memory.push(alert(n)));
    let status = drive(teams(&config), &memory).finish(&memory, 103).await;
    assert_eq!(status.delivered, 100);
    let received = server.received();
    assert_eq!(received.len(), 4);
    let text = &received[3].json()["attachments"][0]["content"]["body"][0]["items"][0]["text"];
    assert_eq!(text, "🟡 100 alerts of 100 rules");
}

#[test]
fn a_wrong_address_names_its_key() {
    let config = TeamsConfig { webhookurl: Secret::new("teams.example"), ..TeamsConfig::default() };
    let error = config.output(&SharedConfig::default()).err().unwrap().to_string();
    assert!(error.starts_with("teams.webhookurl: "), "{error}");
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<String>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
        ("[\\\\*\u{202e}\n\"é🦅_ ]{0,40}", 0_usize..2000).prop_map(|(s, n)| Value::from(s.repeat(n % 600))),
        proptest::collection::vec(any::<String>(), 0..4).prop_map(|v| json!(v)),
    ]
}

prop_compose! {
    fn any_alert(most_fields: usize)(
        rule in any::<String>(),
        priority in 0_u8..8,
        source in any::<String>(),
        hostname in any::<String>(),
        output in any::<String>(),
        repeat in 0_usize..400,
        fields in proptest::collection::btree_map(any::<String>(), any_value(), 0..most_fields),
        tags in proptest::collection::vec(any::<String>(), 0..30),
        time in any::<i64>(),
    ) -> Alert {
        Alert {
            rule: rule.repeat(1 + repeat % 20),
            priority: Priority::from_number(priority).unwrap(),
            source,
            hostname,
            output: output.repeat(repeat),
            output_fields: fields.into_iter().collect(),
            tags,
            time,
            ..alert(1)
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_alert_makes_a_valid_card_that_fits(alert in any_alert(40), small in any::<bool>()) {
        let size = if small { SIZE_AFTER_413 } else { SIZE };
        check::adaptive(&bytes(&offline(), &[Arc::new(alert.clone())], size), size);
        let config = TeamsConfig { format: Format::MessageCard, ..offline() };
        let body = bytes(&config, &[Arc::new(alert)], size);
        prop_assert!(body.len() <= size);
        prop_assert!(serde_json::from_slice::<Value>(&body).is_ok());
    }

    #[test]
    fn any_digest_is_a_valid_card_that_fits(alerts in proptest::collection::vec(any_alert(2), 2..8)) {
        let alerts: Vec<Arc<Alert>> = alerts.into_iter().map(Arc::new).collect();
        check::adaptive(&bytes(&offline(), &alerts, SIZE), SIZE);
    }
}

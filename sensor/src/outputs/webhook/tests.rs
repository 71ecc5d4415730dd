//! The webhook with its dispatcher, against real servers on the loopback interface.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Barrier;

use super::*;
use crate::outputs::http::Tls;
use crate::outputs::journal::Fate;
use crate::outputs::testing::{Memory, Received, Reply, Server, alert, answer, drive};

fn webhook(address: Secret) -> Box<dyn Output> {
    with(&WebhookConfig { address, ..WebhookConfig::default() })
}

fn with(config: &WebhookConfig) -> Box<dyn Output> {
    let mut options = ClientOptions::falcosidekick("webhook", &Tls::default(), false, true);
    options.timeout = Duration::from_millis(300);
    Box::new(config.post(&options).unwrap())
}

fn rules(received: &[Received]) -> Vec<String> {
    received.iter().map(|r| r.json()["rule"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn posts_falcosidekicks_event_with_the_headers_asked_for() {
    let server = Server::start(|_, _| answer(200, "ok")).await;
    let memory = Memory::with(2);
    let output = with(&WebhookConfig {
        address: server.url("/in?x=%2B"),
        method: "put".into(),
        customheaders: [("Authorization".into(), Secret::new("Bearer a:b"))].into(),
        ..WebhookConfig::default()
    });
    let status = drive(output, &memory).finish(&memory, 2).await;
    assert_eq!((status.delivered, status.failed_tries, status.dead), (2, 0, 0));
    let received = server.received();
    assert_eq!(received.len(), 2);
    let first = &received[0];
    assert_eq!((first.method.as_str(), first.target.as_str()), ("PUT", "/in?x=%2B"));
    assert_eq!(first.headers["authorization"], "Bearer a:b");
    assert_eq!(first.headers["content-type"], "application/json; charset=utf-8");
    assert_eq!(first.headers["user-agent"], "Falcosidekick");
    assert_eq!(first.json(), json::event(&alert(1)));
    assert_eq!(first.json()["output_fields"]["evt.time"], 1_763_994_162_070_202_000_i64);
}

#[tokio::test]
async fn refusals_are_dead_letters_and_the_rest_goes_on() {
    let server = Server::start(|n, _| match n {
        0 => answer(400, "bad"),
        1 => answer(404, "gone"),
        _ => answer(204, ""),
    })
    .await;
    let memory = Memory::with(3);
    let status = drive(webhook(server.url("/")), &memory).finish(&memory, 3).await;
    assert_eq!((status.delivered, status.dead), (1, 2));
    let fates = memory.fates();
    assert_eq!(fates[0].1, Fate::Dead("answered 400 Bad Request: bad".into()));
    assert_eq!(fates[1].1, Fate::Dead("answered 404 Not Found: gone".into()));
    assert_eq!(rules(&server.received()), ["Rule 1", "Rule 2", "Rule 3"]);
}

#[tokio::test]
async fn a_429_is_obeyed_whether_in_seconds_or_as_a_date() {
    let server = Server::start(|n, _| {
        let wait = match n {
            0 => "1".to_owned(),
            // A date counts whole seconds, so the next but one lies more than a second ahead.
            1 => jiff::fmt::rfc2822::DateTimePrinter::new()
                .timestamp_to_rfc9110_string(&(jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2)))
                .unwrap(),
            _ => return answer(200, ""),
        };
        Reply::Answer(429, vec![("retry-after", wait)], String::new())
    })
    .await;
    let memory = Memory::with(1);
    let status = drive(webhook(server.url("/")), &memory).finish(&memory, 1).await;
    assert_eq!((status.delivered, status.failed_tries), (1, 2));
    let at: Vec<_> = server.received().iter().map(|r| r.at).collect();
    assert!(at[1] - at[0] >= Duration::from_secs(1), "{:?}", at[1] - at[0]);
    assert!(at[2] - at[1] >= Duration::from_secs(1), "{:?}", at[2] - at[1]);
}

#[tokio::test]
async fn a_500_and_a_server_that_never_answers_lose_nothing() {
    let server = Server::start(|n, _| match n {
        0 | 1 => answer(500, "oops"),
        3 => Reply::Silence,
        _ => answer(200, ""),
    })
    .await;
    let memory = Memory::with(3);
    let status = drive(webhook(server.url("/")), &memory).finish(&memory, 3).await;
    assert_eq!((status.delivered, status.failed_tries, status.dead), (3, 3, 0));
    assert_eq!(rules(&server.received()), ["Rule 1", "Rule 1", "Rule 1", "Rule 2", "Rule 2", "Rule 3"]);
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_gets_everything_when_it_comes() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let memory = Memory::with(3);
    let output = webhook(Secret::new(format!("http://{closed}/")));
    let driver = drive(output, &memory);
    driver.until(|status| status.failed_tries >= 6).await;
    let status = driver.status();
    assert!(status.last_error.unwrap().contains("refused"));
    assert_eq!((status.delivered, status.dead, status.waiting), (0, 0, 3));
    let server = Server::start_at(closed, |_, _| answer(200, "")).await;
    let status = driver.finish(&memory, 3).await;
    assert_eq!((status.delivered, status.dead, status.waiting), (3, 0, 0));
    assert_eq!(rules(&server.received()), ["Rule 1", "Rule 2", "Rule 3"]);
}

#[tokio::test]
async fn a_kill_in_the_middle_delivers_each_alert_at_least_once() {
    let server = Server::start(|_, _| answer(200, "")).await;
    let memory = Memory::with(200);
    let driver = drive(webhook(server.url("/")), &memory);
    driver.until(|status| status.delivered >= 70).await;
    driver.kill();
    assert!(memory.cursor_of("webhook") < 200);
    drive(webhook(server.url("/")), &memory).finish(&memory, 200).await;
    let all: std::collections::BTreeSet<String> = rules(&server.received()).into_iter().collect();
    assert_eq!(all.len(), 200);
}

#[tokio::test]
async fn concurrent_requests_are_as_many_as_configured() {
    // Nobody is answered before four are there.
    let four = Arc::new(Barrier::new(4));
    let server = Server::start(move |_, _| Reply::Together(four.clone())).await;
    let memory = Memory::with(8);
    let output = with(&WebhookConfig {
        address: server.url("/"),
        maxconcurrentrequests: 4,
        ..WebhookConfig::default()
    });
    let status = drive(output, &memory).finish(&memory, 8).await;
    assert_eq!(status.delivered, 8);
    assert_eq!(server.most_at_once(), 4, "and no fifth");
}

#[test]
fn wrong_settings_name_their_key() {
    let error = |config: WebhookConfig| config.output(&SharedConfig::default()).err().unwrap().to_string();
    let address = Secret::new("http://127.0.0.1/");
    let base = WebhookConfig { address, ..WebhookConfig::default() };
    let told = error(WebhookConfig { address: Secret::new("example.org"), ..base.clone() });
    assert!(told.starts_with("webhook.address: "), "{told}");
    let told = error(WebhookConfig { method: "GET".into(), ..base.clone() });
    assert!(told.starts_with("webhook.method: ") && told.contains("POST or PUT"), "{told}");
    let headers = [("X-Bad".to_owned(), Secret::new("two\nlines"))].into();
    let told = error(WebhookConfig { customheaders: headers, ..base });
    assert!(told.starts_with("webhook.customheaders.X-Bad: ") && !told.contains("lines\n"), "{told}");
}

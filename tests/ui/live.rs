//! The stream of alerts as they come.

use std::time::Duration;

use falconet::alert::now;
use futures_util::StreamExt as _;
use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::made_up;
use crate::server::Server;

/// Reads the events of a stream.
struct Events {
    response: Response,
    text: String,
}

struct Event {
    name: String,
    id: i64,
    data: Value,
}

impl Events {
    async fn open(server: &Server, query: &str, last_id: Option<i64>) -> Self {
        let mut request = server.get_with("/live", &[("query", query)]);
        if let Some(id) = last_id {
            request = request.header("last-event-id", id.to_string());
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
        let mut events = Self { response, text: String::new() };
        assert_eq!(events.next().await.unwrap().name, "hello");
        events
    }

    /// The next event but comments; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let line = |key: &str| block.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(": "));
                if let (Some(name), Some(id), Some(data)) = (line("event"), line("id"), line("data")) {
                    return Some(Event {
                        name: name.into(),
                        id: id.parse().unwrap(),
                        data: serde_json::from_str(data).unwrap(),
                    });
                }
            }
            let chunk =
                tokio::time::timeout(Duration::from_secs(20), self.response.chunk()).await.expect("an event");
            self.text.push_str(std::str::from_utf8(&chunk.ok()??).unwrap());
        }
    }

    /// Sequence numbers of alerts and their number, until `count` have come.
    async fn collect(&mut self, count: u64) -> (Vec<i64>, i64) {
        let (mut seen, mut came, mut id) = (Vec::new(), 0, 0);
        while came < count {
            let event = self.next().await.expect("more alerts");
            came += event.data["count"].as_u64().unwrap();
            seen.extend(event.data["alerts"].as_array().unwrap().iter().map(|a| a["seq"].as_i64().unwrap()));
            id = event.id;
        }
        (seen, id)
    }
}

async fn append(server: &Server, from: u64, to: u64) {
    server.log.append((from..to).map(|n| made_up::alert(n, now())).collect()).await.unwrap();
}

#[tokio::test]
async fn a_stream_resumes_where_it_broke() {
    let server = Server::with([]).await;
    append(&server, 0, 3).await;
    let mut events = Events::open(&server, "", None).await;
    append(&server, 3, 5).await;
    let (seen, id) = events.collect(2).await;
    assert_eq!((seen, id), (vec![4, 5], 5), "a new stream begins now");
    drop(events);
    append(&server, 5, 9).await;
    let mut events = Events::open(&server, "", Some(id)).await;
    assert_eq!(events.collect(4).await.0, [6, 7, 8, 9], "nothing is lost or comes twice");
}

#[tokio::test]
async fn a_stream_is_filtered_by_its_query() {
    let server = Server::with([]).await;
    let wanted = u64::try_from(
        (0..400).filter(|n| made_up::alert(*n, 0).rule == "Terminal shell in container").count(),
    )
    .unwrap();
    assert!(wanted > 5);
    let mut events = Events::open(&server, "rule:\"Terminal shell*\"", None).await;
    append(&server, 0, 400).await;
    let (seen, id) = events.collect(wanted).await;
    assert_eq!(seen.len() as u64, wanted);
    assert_eq!(id, 400);
}

#[tokio::test]
async fn a_flood_comes_in_few_messages() {
    let server = Server::with([]).await;
    let mut events = Events::open(&server, "", None).await;
    append(&server, 0, 1500).await;
    let event = events.next().await.unwrap();
    assert_eq!(event.data["count"], 1500);
    let alerts = event.data["alerts"].as_array().unwrap();
    assert_eq!(
        (alerts.len(), alerts.last().unwrap()["seq"].as_i64()),
        (100, Some(1500)),
        "the newest of them"
    );
}

#[tokio::test]
async fn streams_are_few_and_end_with_the_server() {
    let server = Server::with([]).await;
    let opened = futures_util::stream::iter(0..64)
        .map(|_| Events::open(&server, "", None))
        .buffer_unordered(16)
        .collect::<Vec<_>>()
        .await;
    assert_eq!(server.get("/live").send().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    let mut opened = opened.into_iter();
    let mut first = opened.next().unwrap();
    drop(opened);
    server.stop().await;
    assert!(first.next().await.is_none());
}

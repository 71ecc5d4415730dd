//! The intake over real HTTP: bytes on a socket of this host.

use std::io::Write as _;
use std::sync::atomic::AtomicBool;

use flate2::{Compression, write::GzEncoder};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::*;
use crate::alert::log::LogConfig;

const ONE: &str = r#"{"rule":"one","priority":"notice","time":"2025-11-24T14:22:42Z","hostname":"n1","output_fields":{"k8s.ns.name":7}}"#;

/// A hub with its log in a directory of its own.
struct Served {
    log: AlertLog,
    running: Running,
    stop: watch::Sender<bool>,
    _directory: TempDir,
}

async fn served() -> Served {
    let directory = TempDir::new().unwrap();
    let log = AlertLog::open(&LogConfig::at(directory.path().join("alerts.db"))).unwrap();
    let (stop, shutdown) = watch::channel(false);
    let running = serve(&loopback(), log.clone(), vec![Arc::new(Extra::default())], shutdown).await.unwrap();
    Served { log, running, stop, _directory: directory }
}

fn loopback() -> HubConfig {
    HubConfig { listenport: 0, ..HubConfig::default() }
}

/// A collector as other parts of the program have.
#[derive(Default)]
struct Extra {
    asked: AtomicBool,
}

impl Collect for Extra {
    fn collect(&self, out: &mut Exposition) {
        self.asked.store(true, Ordering::Relaxed);
        out.gauge("extra", "Added from outside.", 42);
    }
}

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Client {
    async fn to(served: &Served) -> Self {
        Self { stream: TcpStream::connect(served.running.address).await.unwrap(), buffer: Vec::new() }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Reads up to and with the first `end`.
    async fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|w| w == end) {
                return self.buffer.drain(..at + end.len()).collect();
            }
            assert_ne!(self.stream.read_buf(&mut self.buffer).await.unwrap(), 0, "closed early");
        }
    }

    async fn answer(&mut self) -> Answer {
        let head = String::from_utf8(self.until(b"\r\n\r\n").await).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let lower = head.to_lowercase();
        let length =
            lower.lines().find_map(|l| l.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
        while self.buffer.len() < length {
            assert_ne!(self.stream.read_buf(&mut self.buffer).await.unwrap(), 0, "closed early");
        }
        let body = String::from_utf8(self.buffer.drain(..length).collect()).unwrap();
        Answer { status, head: lower, body }
    }

    async fn request(&mut self, line: &str, headers: &str, body: &[u8]) -> Answer {
        let length = body.len();
        self.send(
            format!("{line} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{headers}\r\n").as_bytes(),
        )
        .await;
        self.send(body).await;
        self.answer().await
    }
}

#[tokio::test]
async fn alerts_come_in_over_one_connection() {
    let served = served().await;
    let mut client = Client::to(&served).await;
    for path in ["/", "/any/path?x=1", "/"] {
        let answer =
            client.request(&format!("POST {path}"), "content-type: text/plain\r\n", ONE.as_bytes()).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""));
        assert!(!answer.head.contains("content-type"), "{}", answer.head);
    }
    // Chunked, as senders do that do not know the length.
    client.send(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let (first, second) = ONE.as_bytes().split_at(20);
    for part in [first, second, b""] {
        client.send(format!("{:x}\r\n", part.len()).as_bytes()).await;
        client.send(part).await;
        client.send(b"\r\n").await;
    }
    assert_eq!(client.answer().await.status, 200);
    // As curl does with large bodies.
    client
        .send(
            format!(
                "POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
                ONE.len()
            )
            .as_bytes(),
        )
        .await;
    assert_eq!(client.answer().await.status, 100);
    client.send(ONE.as_bytes()).await;
    assert_eq!(client.answer().await.status, 200);

    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(ONE.as_bytes()).unwrap();
    let answer = client.request("POST /", "content-encoding: gzip\r\n", &gzip.finish().unwrap()).await;
    assert_eq!(answer.status, 200);

    let stored = served.log.read(0, 10).await.unwrap();
    assert_eq!(stored.len(), 6);
    assert!(stored.iter().all(|e| e.alert.rule == "one" && e.alert.output_fields["k8s.ns.name"] == 7));
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let served = served().await;
    let mut client = Client::to(&served).await;
    for (line, headers, body, status, says) in [
        ("GET /", "", "", 400, "Please send with post http method"),
        ("PUT /test", "", "", 400, "Please send with post http method"),
        ("GET /debug/vars", "", "", 400, "2802"),
        ("POST /", "", "", 400, "Please send a valid request body"),
        ("POST /", "", "12:00:00.1: Notice text", 400, "json_output"),
        ("POST /", "", r#"{"rule":"x"}"#, 400, "priority"),
        ("POST /", "content-encoding: br\r\n", ONE, 400, "gzip"),
        ("POST /", "content-encoding: gzip\r\n", ONE, 400, "not gzip"),
    ] {
        let answer = client.request(line, headers, body.as_bytes()).await;
        assert_eq!(answer.status, status, "{line} {body}");
        assert!(answer.body.contains(says) && answer.body.ends_with('\n'), "{line} {body}: {}", answer.body);
        assert!(answer.head.contains("nosniff") && answer.head.contains("text/plain; charset=utf-8"));
    }
    // Announced too large: refused before the body is sent.
    client
        .send(b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 50000000\r\n\r\n")
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 413);
    assert!(answer.body.contains("1048576"), "{}", answer.body);
    // Not announced: cut off at the limit.
    let mut client = Client::to(&served).await;
    client.send(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n200000\r\n").await;
    client.send(&vec![b' '; 0x0020_0000]).await;
    assert_eq!(client.answer().await.status, 413);
    assert_eq!(served.log.head(), 0);
}

#[tokio::test]
async fn health_test_and_metrics() {
    let served = served().await;
    let mut client = Client::to(&served).await;
    assert_eq!(client.request("GET /ping", "", b"").await.body, "pong\n");
    let answer = client.request("GET /healthz", "", b"").await;
    assert_eq!(answer.body, r#"{"status": "ok"}"#);
    assert!(answer.head.contains("content-type: application/json\r\n"), "{}", answer.head);
    for line in ["GET /test", "POST /test"] {
        assert_eq!(client.request(line, "", b"").await.status, 200);
    }
    client.request("POST /", "", ONE.as_bytes()).await;
    client.request("POST /", "", b"nonsense").await;
    let stored = served.log.read(0, 10).await.unwrap();
    assert_eq!((stored[0].alert.rule.as_str(), stored[0].alert.source.as_str()), ("Test rule", "internal"));

    let answer = client.request("GET /metrics", "", b"").await;
    assert!(answer.head.contains("text/plain; version=0.0.4"));
    for line in [
        r#"falcosecurity_falcosidekick_inputs_total{source="requests",status="accepted"} 3"#,
        r#"falcosecurity_falcosidekick_inputs_total{source="requests",status="rejected"} 1"#,
        r#"falcosecurity_falcosidekick_falco_events_total{hostname="n1",rule="one",priority="3",priority_raw="notice",source="syscall",k8s_ns_name="7",k8s_pod_name=""} 1"#,
        r#"falconet_hub_requests_total{result="invalid"} 1"#,
        "falconet_alert_log_appended_total 3",
        "falconet_alert_log_failing 0",
        "extra 42",
    ] {
        assert!(answer.body.lines().any(|l| l == line), "{line} is missing in\n{}", answer.body);
    }
    assert!(answer.body.contains("process_resident_memory_bytes "));
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let served = served().await;
    let port = served.running.address.port();
    let (_stop, shutdown) = watch::channel(false);
    let config = HubConfig { listenport: port, ..loopback() };
    let error = serve(&config, served.log.clone(), Vec::new(), shutdown.clone()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&port.to_string()) && text.contains("listenport"), "{text}");
    let config = HubConfig { listenaddress: "192.0.2.1".into(), ..loopback() };
    let text = serve(&config, served.log.clone(), Vec::new(), shutdown).await.unwrap_err().to_string();
    assert!(text.contains("192.0.2.1") && text.contains("listenaddress"), "{text}");
}

#[tokio::test]
async fn a_broken_log_is_answered_with_503() {
    let served = served().await;
    served.log.clone().close().await.unwrap();
    let mut client = Client::to(&served).await;
    let answer = client.request("POST /", "", ONE.as_bytes()).await;
    assert_eq!(answer.status, 503);
    assert!(answer.head.contains("retry-after: 5\r\n"), "{}", answer.head);
}

#[tokio::test]
async fn shutdown_answers_what_is_open() {
    let served = served().await;
    let mut idle = Client::to(&served).await;
    assert_eq!(idle.request("GET /ping", "", b"").await.status, 200);
    let mut busy = Client::to(&served).await;
    let head = "POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length";
    busy.send(format!("{head}: {}\r\n\r\n", ONE.len()).as_bytes()).await;
    // The hub asks for the body: shutdown finds the request open.
    assert_eq!(busy.answer().await.status, 100);
    served.stop.send(true).unwrap();
    busy.send(ONE.as_bytes()).await;
    assert_eq!(busy.answer().await.status, 200);
    served.running.task.await.unwrap();
    assert_eq!(served.log.head(), 1);
    assert!(TcpStream::connect(served.running.address).await.is_err(), "no longer listening");
}

#[test]
fn no_bytes_get_a_5xx_or_end_the_hub() {
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;

    let runtime = Runtime::new().unwrap();
    let served = runtime.block_on(served());
    let shaped = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        "\\[?\\{\"(rule|event|Time|output_fields|priority|tags)\":(\"[a-z]{0,4}\"|[0-9.e-]{1,9}|null|\\{|\\[)[,}\\]]{0,3}"
            .prop_map(String::into_bytes),
        (0_usize..ONE.len(), any::<u8>()).prop_map(|(at, byte)| {
            let mut body = ONE.as_bytes().to_vec();
            body[at] = byte;
            body
        }),
    ];
    TestRunner::new(ProptestConfig::with_cases(200))
        .run(&shaped, |body| {
            let answer =
                runtime.block_on(async { Client::to(&served).await.request("POST /", "", &body).await });
            prop_assert!(matches!(answer.status, 200 | 400), "{} for {:?}", answer.status, body);
            Ok(())
        })
        .unwrap();
    let deep = "[".repeat(100_000);
    let answer =
        runtime.block_on(async { Client::to(&served).await.request("POST /", "", deep.as_bytes()).await });
    assert_eq!(answer.status, 400);
}

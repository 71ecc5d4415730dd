//! A server on loopback, spoken to byte by byte and by a real client.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::body::BodyError;
use super::*;

const LIMIT: usize = 100_000;

struct Served {
    address: SocketAddr,
    counters: Arc<Counters>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// A server that tells the length of a body, or why it could not be read.
async fn served(limits: Limits) -> Served {
    let (listener, address) = listen("127.0.0.1", 0, ("address", "port")).await.unwrap();
    let counters = Arc::<Counters>::default();
    let (stop, stopped) = watch::channel(false);
    let router = Router::new()
        .route("/length", any(length))
        // Looks at no body.
        .route("/blind", any(async || "seen"))
        .route("/host", get(async |request: Request| format!("{:?}", request.uri().authority())))
        .route("/large", get(async || Body::from(vec![b'x'; 64 << 20])))
        .route("/never", get(async || std::future::pending::<()>().await));
    let task = tokio::spawn(serve(listener, router, limits, counters.clone(), stopped));
    Served { address, counters, stop, task }
}

fn limits() -> Limits {
    Limits { body_bytes: LIMIT, ..Limits::default() }
}

async fn length(body: Body) -> Response {
    match axum::body::to_bytes(body, usize::MAX).await.map_err(BodyError::from) {
        Ok(bytes) => bytes.len().to_string().into_response(),
        Err(error) => (error.status(), format!("{error}\n")).into_response(),
    }
}

impl Served {
    async fn connect(&self) -> Client {
        Client { stream: TcpStream::connect(self.address).await.unwrap(), read: Vec::new() }
    }

    async fn sent(&self, bytes: impl AsRef<[u8]>) -> Client {
        let mut client = self.connect().await;
        client.send(bytes).await;
        client
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Waits until so many were refused.
    async fn refused(&self, refusal: Refusal, count: u64) {
        while self.counters.refused(refusal) < count {
            tokio::task::yield_now().await;
        }
    }
}

struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Status and text of the next answer, which has a `Content-Length`.
    async fn answer(&mut self) -> (u16, String) {
        let head = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break String::from_utf8(self.read.drain(..end + 4).collect()).unwrap().to_lowercase();
            }
            assert_ne!(self.stream.read_buf(&mut self.read).await.unwrap(), 0, "closed without an answer");
        };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        while self.read.len() < length {
            assert_ne!(self.stream.read_buf(&mut self.read).await.unwrap(), 0, "cut off");
        }
        let text = String::from_utf8(self.read.drain(..length).collect()).unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head + &text)
    }

    async fn get(&mut self, path: &str) -> (u16, String) {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        self.answer().await
    }

    /// Nothing more comes, be it by an orderly end or not.
    async fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        let read = self.stream.read_to_end(&mut rest).await;
        read.is_err() || rest.is_empty()
    }
}

fn post(headers: &str) -> String {
    format!("POST /length HTTP/1.1\r\nhost: x\r\n{headers}\r\n")
}

fn reqwest() -> reqwest::Client {
    // A second installation is refused, which is as good as the first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

#[tokio::test]
async fn http_1_1_needs_one_host() {
    let served = served(limits()).await;
    for (head, status) in [
        ("GET /blind HTTP/1.1\r\n\r\n", 400),
        ("POST /length HTTP/1.1\r\ncontent-length: 3\r\n\r\nabc", 400),
        ("GET /blind HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        ("GET /blind HTTP/1.0\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        ("GET /blind HTTP/1.1\r\nhost: a\r\n\r\n", 200),
        ("GET /blind HTTP/1.0\r\n\r\n", 200),
    ] {
        assert_eq!(served.sent(head).await.answer().await.0, status, "{head}");
    }
    assert_eq!(served.counters.refused(Refusal::Host), 4);
}

#[tokio::test]
async fn http_2_is_spoken_where_it_is_wanted_and_names_the_host() {
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge();
    drop(reqwest());
    let client = client.build().unwrap();
    let served2 = served(Limits { http2: true, ..limits() }).await;
    let answer = client.get(served2.url("/host")).send().await.unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert!(answer.text().await.unwrap().contains(&served2.address.to_string()));
    let too_large = client.post(served2.url("/length")).body(vec![b'x'; LIMIT + 1]).send().await.unwrap();
    assert_eq!(too_large.status(), 413);

    let served1 = served(limits()).await;
    assert!(client.get(served1.url("/host")).send().await.is_err());
}

#[tokio::test]
async fn the_longest_idle_connection_makes_room() {
    let served = served(Limits { connections: 3, ..limits() }).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = served.connect().await;
        assert_eq!(client.get("/blind").await.0, 200);
        clients.push(client);
    }
    assert_eq!(clients[0].get("/blind").await.0, 200);
    let mut fourth = served.connect().await;
    assert_eq!(fourth.get("/blind").await.0, 200);
    assert!(clients[1].is_closed().await);
    for at in [0, 2] {
        assert_eq!(clients[at].get("/blind").await.0, 200);
    }
    assert_eq!(served.counters.refused(Refusal::Crowded), 1);
}

#[tokio::test]
async fn a_slow_head_and_an_idle_connection_end() {
    let short = Duration::from_millis(50);
    let served = served(Limits { head_time: short, ..limits() }).await;
    assert!(served.sent("GET /blind HT").await.is_closed().await);
    assert_eq!(served.counters.refused(Refusal::HeadTime), 1);

    let served = self::served(Limits { idle_time: short, ..limits() }).await;
    let mut client = served.connect().await;
    assert_eq!(client.get("/blind").await.0, 200);
    assert!(client.is_closed().await);
    assert!(served.connect().await.is_closed().await);
    assert_eq!(served.counters.refused(Refusal::Idle), 2);
}

#[tokio::test]
async fn a_client_that_takes_no_answer_ends() {
    let served = served(Limits { write_time: Duration::from_millis(50), ..limits() }).await;
    let _client = served.sent("GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await;
    served.refused(Refusal::WriteTime, 1).await;
}

#[tokio::test]
async fn a_head_too_large_or_no_head_at_all_is_told() {
    let served = served(Limits { head_bytes: 8192, ..limits() }).await;
    let long = format!("GET /blind HTTP/1.1\r\nhost: x\r\na: {}", "a".repeat(8192));
    assert_eq!(served.sent(long).await.answer().await.0, 431);
    assert_eq!(served.sent("\x16\x03\x01 TLS\r\n\r\n").await.answer().await.0, 400);
    served.refused(Refusal::HeadBytes, 1).await;
    served.refused(Refusal::Malformed, 1).await;
}

/// A client that sends everything before it reads, as simple ones do.
#[tokio::test]
async fn a_client_reads_that_its_body_is_too_large() {
    let served = served(limits()).await;
    let body = vec![b'x'; 20 << 20];
    let announced = post(&format!("content-length: {}\r\n", body.len()));
    let mut client = served.sent(&announced).await;
    client.send(&body).await;
    let (status, text) = client.answer().await;
    assert!(status == 413 && text.contains("larger than 100000 bytes"), "{status} {text}");
    // All of the body was read, so the connection goes on.
    assert_eq!(client.get("/blind").await.0, 200);

    let mut client = served.sent(post("transfer-encoding: chunked\r\n")).await;
    for piece in body.chunks(1 << 20) {
        client.send(format!("{:x}\r\n", piece.len())).await;
        client.send(piece).await;
        client.send("\r\n").await;
    }
    client.send("0\r\n\r\n").await;
    let (status, text) = client.answer().await;
    assert!(status == 413 && text.contains("larger than 100000 bytes"), "{status} {text}");

    // The same for a handler that does not care.
    let head = announced.replace("/length", "/blind");
    let mut client = served.sent(&head).await;
    client.send(&body).await;
    assert_eq!(client.answer().await.0, 200);
    assert_eq!(served.counters.refused(Refusal::BodyBytes), 2);
}

#[tokio::test]
async fn a_body_too_large_is_not_asked_for() {
    let served = served(limits()).await;
    let mut client = served.sent(post("expect: 100-continue\r\ncontent-length: 200000\r\n")).await;
    let (status, head) = client.answer().await;
    assert_eq!(status, 413);
    assert!(head.contains("connection: close\r\n"), "{head}");
    assert!(client.is_closed().await);

    // Chunks are asked for, and then refused.
    let mut client = served.sent(post("expect: 100-continue\r\ntransfer-encoding: chunked\r\n")).await;
    assert_eq!(client.answer().await.0, 100);
    client.send(format!("{:x}\r\n", 4 << 20)).await;
    client.send(vec![b'x'; 4 << 20]).await;
    client.send("\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.0, 413);
}

/// So many MiB of unannounced length.
struct Pieces(usize);

impl hyper::body::Body for Pieces {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Self::Error>>> {
        let Some(left) = self.0.checked_sub(1) else { return Poll::Ready(None) };
        self.0 = left;
        Poll::Ready(Some(Ok(hyper::body::Frame::data(vec![b'x'; 1 << 20].into()))))
    }
}

#[tokio::test]
async fn a_real_client_reads_that_its_body_is_too_large() {
    let served = served(limits()).await;
    let client = reqwest();
    let body = || vec![b'x'; 20 << 20];
    for _ in 0..3 {
        for request in [
            client.post(served.url("/length")).body(body()),
            client.post(served.url("/length")).body(reqwest::Body::wrap(Pieces(20))),
            client.post(served.url("/length")).header("expect", "100-continue").body(body()),
        ] {
            let answer = request.send().await.unwrap();
            assert_eq!(answer.status(), 413);
            assert!(answer.text().await.unwrap().contains("larger than 100000 bytes"));
        }
    }
    let fits = client.post(served.url("/length")).body(vec![b'x'; LIMIT]).send().await.unwrap();
    assert_eq!(fits.text().await.unwrap(), LIMIT.to_string());
}

#[tokio::test]
async fn a_slow_body_is_told() {
    let served = served(Limits { body_time: Duration::from_millis(50), ..limits() }).await;
    let mut client = served.sent(post("content-length: 10\r\n")).await;
    let (status, text) = client.answer().await;
    assert!(status == 408 && text.contains("did not come within"), "{status} {text}");
    assert_eq!(served.counters.refused(Refusal::BodyTime), 1);
}

#[tokio::test]
async fn shutdown_answers_what_is_open_and_closes_the_rest() {
    let served = served(limits()).await;
    let mut idle = served.connect().await;
    assert_eq!(idle.get("/blind").await.0, 200);
    let mut begun = served.sent(post("expect: 100-continue\r\ncontent-length: 3\r\n")).await;
    assert_eq!(begun.answer().await.0, 100);
    served.stop.send_replace(true);
    assert!(idle.is_closed().await);
    begun.send("abc").await;
    let (status, text) = begun.answer().await;
    assert!(status == 200 && text.ends_with('3'), "{text}");
    served.task.await.unwrap();
    assert!(TcpStream::connect(served.address).await.is_err(), "no longer listening");
}

#[tokio::test]
async fn a_request_without_an_end_does_not_keep_the_server() {
    let served = served(Limits { grace: Duration::from_millis(50), ..limits() }).await;
    let mut client = served.sent("GET /never HTTP/1.1\r\nhost: x\r\n\r\n").await;
    while served.counters.requests.load(std::sync::atomic::Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    served.stop.send_replace(true);
    served.task.await.unwrap();
    assert!(client.is_closed().await);
    assert_eq!(served.counters.open.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[tokio::test]
async fn an_address_that_does_not_do_is_named() {
    let served = served(limits()).await;
    let error = listen("127.0.0.1", served.address.port(), ("address", "port")).await.unwrap_err();
    assert!(matches!(&error, ListenError::InUse { key: "port", .. }), "{error}");
    let error = listen("192.0.2.1", 0, ("address", "port")).await.unwrap_err();
    assert!(matches!(&error, ListenError::Bind { key: "address", .. }), "{error}");
}

//! An HTTP server that plays a destination: it remembers every request and answers as it was told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::eventually;

/// One request as it came in. Header names are in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Received {
    /// The body, which is JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// A server on loopback; ends on drop.
pub struct HttpServer {
    pub address: std::net::SocketAddr,
    shared: Arc<Shared>,
    _runtime: tokio::runtime::Runtime,
}

/// Status and headers.
type Answer = (u16, Vec<(&'static str, String)>);

#[derive(Default)]
struct Shared {
    received: Mutex<Vec<Received>>,
    answers: Mutex<VecDeque<Answer>>,
}

impl HttpServer {
    /// Listens on a port of the kernel's choice and answers 200 unless told otherwise.
    pub fn start() -> Self {
        Self::start_at(0)
    }

    /// Listens on a given port: a destination that comes back.
    pub fn start_at(port: u16) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let shared = Arc::new(Shared::default());
        let listener =
            runtime.block_on(tokio::net::TcpListener::bind(("127.0.0.1", port))).expect("a port on loopback");
        let address = listener.local_addr().expect("an address");
        let app = axum::Router::new().fallback(answer).with_state(Arc::clone(&shared));
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { address, shared, _runtime: runtime }
    }

    /// `http://127.0.0.1:<port><path>`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next request that has no answer yet is answered with this status and these headers.
    pub fn answer(&self, status: u16, headers: &[(&'static str, &str)]) {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        lock(&self.shared.answers).push_back((status, headers));
    }

    /// All requests so far.
    pub fn received(&self) -> Vec<Received> {
        lock(&self.shared.received).clone()
    }

    /// Waits until `count` requests that `wanted` accepts have come in, and returns them.
    pub fn wait_for(&self, count: usize, wanted: impl Fn(&Received) -> bool) -> Vec<Received> {
        let matching = || self.received().into_iter().filter(&wanted).collect::<Vec<_>>();
        eventually(|| Some(matching()).filter(|found| found.len() >= count))
            .unwrap_or_else(|| panic!("fewer than {count} such requests: {:#?}", self.received()))
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> (StatusCode, HeaderMap) {
    let (parts, body) = request.into_parts();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let received = Received {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        headers: parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: axum::body::to_bytes(body, 64 << 20).await.expect("a whole body").to_vec(),
    };
    lock(&shared.received).push(received);
    let (status, headers) = lock(&shared.answers).pop_front().unwrap_or((200, Vec::new()));
    let headers = headers.into_iter().map(|(name, value)| {
        (HeaderName::from_static(name), HeaderValue::from_str(&value).expect("a header's value"))
    });
    (StatusCode::from_u16(status).expect("a status"), headers.collect())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

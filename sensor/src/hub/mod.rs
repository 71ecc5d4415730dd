//! The hub: HTTP intake for alerts of other sensors, health and metrics, as falcosidekick offers them on port 2801.
//!
//! - `POST` on any path not listed here takes alerts ([`intake`]). The empty 200 is sent when they are durable.
//! - `/test` (GET or POST) makes a test alert; `/ping`, `/healthz`, `/metrics` tell that and how it works.
//! - Falco sends one alert at a time, waits for the answer, and ignores its status: whatever is refused is lost. So load is
//!   never shed by status; when the log's queue is full, the answer waits. 503 only when the log cannot be written.
//!
//! A connection may take a minute to send a request and half a minute for a body, then it is closed; at 512 connections
//! new ones wait. See [`server`].

pub mod config;
pub mod intake;
mod metrics;
mod server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use futures_util::StreamExt as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::alert::log::{AlertLog, LogError};
use crate::alert::trial::test_alert;
use crate::alert::{Alert, now};
use crate::telemetry::{Collect, Exposition, metrics as collectors};

pub use config::HubConfig;

use intake::{MAX_BODY, Refused};
use metrics::{Metrics, Outcome};

/// How long a body may take.
const BODY_TIME: Duration = Duration::from_secs(30);

/// The hub cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error(
        "port {port} on {address} is in use by another process; stop it (is falcosidekick running?) or set `listenport`"
    )]
    InUse { address: String, port: u16 },
    #[error("cannot listen on port {port} of {address}: {source}; check `listenaddress` and `listenport`")]
    Bind { address: String, port: u16, source: std::io::Error },
}

/// The hub at work.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Ends after `shutdown`, when open requests are answered (5 seconds at most).
    pub task: JoinHandle<()>,
}

struct Hub {
    config: HubConfig,
    log: AlertLog,
    collectors: Vec<Arc<dyn Collect>>,
    metrics: Arc<Metrics>,
}

/// Listens and serves until `shutdown` turns true (or its sender is gone). Listens already when it returns.
pub async fn serve(
    config: &HubConfig,
    log: AlertLog,
    collectors: Vec<Arc<dyn Collect>>,
    shutdown: watch::Receiver<bool>,
) -> Result<Running, HubError> {
    let listener = listen(config).await?;
    let address = listener.local_addr().map_err(|source| bind_error(config, source))?;
    let metrics = Arc::new(Metrics::default());
    let hub = Hub { config: config.clone(), log, collectors, metrics: Arc::clone(&metrics) };
    let task = tokio::spawn(server::run(listener, router(hub), metrics, shutdown));
    tracing::info!(%address, "the hub takes alerts");
    Ok(Running { address, task })
}

async fn listen(config: &HubConfig) -> Result<TcpListener, HubError> {
    let (address, port) = (config.listenaddress.as_str(), config.listenport);
    if address.is_empty() {
        // Both families where there is IPv6.
        return match TcpListener::bind(("::", port)).await {
            Err(e) if e.kind() != std::io::ErrorKind::AddrInUse => TcpListener::bind(("0.0.0.0", port)).await,
            bound => bound,
        }
        .map_err(|source| bind_error(config, source));
    }
    TcpListener::bind((address, port)).await.map_err(|source| bind_error(config, source))
}

fn bind_error(config: &HubConfig, source: std::io::Error) -> HubError {
    let port = config.listenport;
    let address = match config.listenaddress.as_str() {
        "" => "all addresses".to_owned(),
        address => address.to_owned(),
    };
    match source.kind() {
        std::io::ErrorKind::AddrInUse => HubError::InUse { address, port },
        _ => HubError::Bind { address, port, source },
    }
}

fn router(hub: Hub) -> Router {
    Router::new()
        .route("/ping", any(|| async { "pong\n" }))
        .route(
            "/healthz",
            any(|| async { ([(header::CONTENT_TYPE, "application/json")], r#"{"status": "ok"}"#) }),
        )
        .route("/metrics", any(scrape))
        .route("/test", get(test).post(test).fallback(take))
        .fallback(take)
        .with_state(Arc::new(hub))
}

/// Takes the alerts of a request.
async fn take(State(hub): State<Arc<Hub>>, request: Request) -> Response {
    let (outcome, response) = hub.take(request).await;
    hub.metrics.count(outcome);
    response
}

async fn test(State(hub): State<Arc<Hub>>) -> Response {
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut alert = test_alert(hostname, "falconet");
    intake::complete(&mut alert, &hub.config);
    let (outcome, response) = hub.store(vec![alert]).await;
    hub.metrics.count(outcome);
    response
}

async fn scrape(State(hub): State<Arc<Hub>>) -> Response {
    let mut out = Exposition::default();
    hub.metrics.collect(&mut out);
    collectors::log::collect(&hub.log, &mut out);
    collectors::process::collect(&mut out);
    for collector in &hub.collectors {
        collector.collect(&mut out);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], out.text()).into_response()
}

impl Hub {
    async fn take(&self, request: Request) -> (Outcome, Response) {
        if request.method() != Method::POST {
            let text = format!(
                "{}\nThis port takes alerts of Falco and falcosidekick; the web UI listens on another one (2802 by default).",
                intake::USE_POST
            );
            return (Outcome::Method, refuse(StatusCode::BAD_REQUEST, &text));
        }
        let (parts, body) = request.into_parts();
        let body = match tokio::time::timeout(BODY_TIME, read(body)).await {
            Ok(Ok(body)) => body,
            Ok(Err(Unread::TooLarge)) => {
                let text = Refused::TooLarge.to_string();
                return (Outcome::TooLarge, refuse(StatusCode::PAYLOAD_TOO_LARGE, &text));
            }
            Ok(Err(Unread::Broken(error))) => {
                let text = format!("the body is incomplete: {error}");
                return (Outcome::Incomplete, refuse(StatusCode::BAD_REQUEST, &text));
            }
            Err(_) => {
                let text = "the body did not come within 30 seconds";
                return (Outcome::Incomplete, refuse(StatusCode::REQUEST_TIMEOUT, text));
            }
        };
        let encoding = parts.headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?"));
        let received = now();
        let taken =
            intake::decode(body, encoding).and_then(|body| intake::alerts(&body, received, &self.config));
        let mut taken = match taken {
            Ok(taken) => taken,
            Err(refused) => {
                let (outcome, status) = match refused {
                    Refused::TooLarge => (Outcome::TooLarge, StatusCode::PAYLOAD_TOO_LARGE),
                    Refused::Encoding(..) | Refused::UnknownEncoding(_) => {
                        (Outcome::Encoding, StatusCode::BAD_REQUEST)
                    }
                    _ => (Outcome::Invalid, StatusCode::BAD_REQUEST),
                };
                self.metrics.refused.fetch_add(1, Ordering::Relaxed);
                return (outcome, refuse(status, &refused.to_string()));
            }
        };
        let refused = u64::try_from(taken.refused.len()).unwrap_or(0);
        self.metrics.refused.fetch_add(refused, Ordering::Relaxed);
        if !taken.alerts.is_empty() {
            let stored = self.store(std::mem::take(&mut taken.alerts)).await;
            if stored.0 != Outcome::Accepted || refused == 0 {
                return stored;
            }
        }
        let text = taken.error().map(|error| error.to_string()).unwrap_or_default();
        (Outcome::Invalid, refuse(StatusCode::BAD_REQUEST, &text))
    }

    /// Makes alerts durable, then answers.
    async fn store(&self, alerts: Vec<Alert>) -> (Outcome, Response) {
        match self.log.append(alerts).await {
            Ok(_) => (Outcome::Accepted, StatusCode::OK.into_response()),
            Err(error) => (Outcome::Log, unavailable(&error)),
        }
    }
}

fn unavailable(error: &LogError) -> Response {
    // Paths of this host are for its log, not for whoever can reach the port.
    tracing::error!(%error, "received alerts cannot be stored");
    let mut response =
        refuse(StatusCode::SERVICE_UNAVAILABLE, "the alert log cannot be written now; send again");
    response.headers_mut().insert(header::RETRY_AFTER, axum::http::HeaderValue::from_static("5"));
    response
}

/// A refusal in falcosidekick's form: plain text and a newline.
fn refuse(status: StatusCode, text: &str) -> Response {
    const NOSNIFF: (HeaderName, &str) = (header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), NOSNIFF], format!("{text}\n"))
        .into_response()
}

/// Why a body could not be read.
enum Unread {
    TooLarge,
    Broken(axum::Error),
}

/// Reads a body up to the limit. One that announces too much is refused before it is sent (`Expect: 100-continue`).
async fn read(body: Body) -> Result<Vec<u8>, Unread> {
    if body.size_hint().lower() > u64::try_from(MAX_BODY).unwrap_or(u64::MAX) {
        return Err(Unread::TooLarge);
    }
    let mut bytes = Vec::new();
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(Unread::Broken)?;
        if bytes.len() + part.len() > MAX_BODY {
            return Err(Unread::TooLarge);
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;

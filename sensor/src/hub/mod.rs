//! The hub: HTTP intake for alerts of other sensors, health and metrics, as falcosidekick offers them on port 2801.
//!
//! - `POST` on any path not listed here takes alerts ([`intake`]). The empty 200 is sent when they are durable.
//! - `/test` (GET or POST) makes a test alert; `/ping`, `/healthz`, `/metrics` tell that and how it works.
//! - Falco sends one alert at a time, waits for the answer, and ignores its status: whatever is refused is lost. So load is
//!   never shed by status; when the log's queue is full, the answer waits. 503 only when the log cannot be written.
//!
//! Nobody has to log in here, so memory has a bound whoever sends: that of the server ([`crate::net`]), of bodies ([`body`]), of
//! alerts that wait to be stored ([`AT_WORK`]) and of metrics under way ([`SCRAPES`]).

mod body;
pub mod config;
pub mod intake;
mod metrics;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::alert::log::{AlertLog, LogError};
use crate::alert::trial::test_alert;
use crate::alert::{Alert, now};
use crate::net::body::BodyError;
use crate::net::{self, Limits, ListenError};
use crate::telemetry::status::DeadHook;
use crate::telemetry::{Collect, Exposition, metrics as collectors};

pub use config::HubConfig;

use intake::{MAX_BODY, Refused};
use metrics::{Metrics, Outcome};

/// KiB of bodies whose alerts are made or wait to be stored; alerts are several times as large as their text.
const AT_WORK: u32 = 4 << 10;
/// Answers with metrics that are under way.
const SCRAPES: usize = 8;

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
    limits: Limits,
    log: AlertLog,
    collectors: Vec<Arc<dyn Collect>>,
    metrics: Metrics,
    http: Arc<net::Counters>,
    large: Semaphore,
    at_work: Semaphore,
    scrapes: Arc<Semaphore>,
}

/// Listens and serves until `shutdown` turns true (or its sender is gone). Listens already when it returns.
pub async fn serve(
    config: &HubConfig,
    log: AlertLog,
    collectors: Vec<Arc<dyn Collect>>,
    shutdown: watch::Receiver<bool>,
) -> Result<Running, ListenError> {
    let (host, port) = (config.listenaddress.as_str(), config.listenport);
    let (listener, address) = net::listen(host, port, ("listenaddress", "listenport")).await?;
    let limits = Limits { body_bytes: MAX_BODY, ..Limits::default() };
    let http = Arc::<net::Counters>::default();
    let hub = Hub {
        config: config.clone(),
        limits: limits.clone(),
        log,
        collectors,
        metrics: Metrics::default(),
        http: http.clone(),
        large: Semaphore::new(body::LARGE),
        at_work: Semaphore::new(AT_WORK as usize),
        scrapes: Arc::new(Semaphore::new(SCRAPES)),
    };
    let task = tokio::spawn(net::serve(listener, router(hub), limits, http, shutdown));
    tracing::info!(%address, "the hub takes alerts");
    Ok(Running { address, task })
}

fn router(hub: Hub) -> Router {
    Router::new()
        .route("/ping", any(|| async { "pong\n" }))
        .route("/healthz", any(health))
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

/// Always 200: a restart mends no dead hook.
async fn health(State(hub): State<Arc<Hub>>) -> Response {
    let dead: Vec<DeadHook> = hub.collectors.iter().flat_map(|collector| collector.dead_hooks()).collect();
    let body = if dead.is_empty() {
        r#"{"status": "ok"}"#.to_owned()
    } else {
        serde_json::json!({ "status": "degraded", "dead_hooks": dead }).to_string()
    };
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn scrape(State(hub): State<Arc<Hub>>) -> Response {
    // Never closed.
    let permit = Arc::clone(&hub.scrapes).acquire_owned().await.ok();
    let mut out = Exposition::default();
    hub.metrics.collect(&mut out);
    collectors::http::collect("intake", &hub.http, &mut out);
    collectors::log::collect(&hub.log, &mut out);
    collectors::process::collect(&mut out);
    for collector in &hub.collectors {
        collector.collect(&mut out);
    }
    let body = Body::new(body::Pieces::new(out.text(), permit));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], body).into_response()
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
        let body = match body::read(body, &self.large, self.limits.body_time).await {
            Ok(body) => body,
            Err(error) => return unread(&error),
        };
        let encoding = parts.headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?"));
        // Never closed, and never more than there is.
        let permit = self.at_work.acquire_many(intake::kib(&body.bytes, encoding).min(AT_WORK)).await.ok();
        let taken = intake::decode(body.bytes, encoding)
            .and_then(|bytes| intake::alerts(&bytes, now(), &self.config));
        drop(body.place);
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
        self.metrics.refused.fetch_add(taken.refused, Ordering::Relaxed);
        let good = taken.alerts.len();
        if good > 0 {
            let stored = self.store(std::mem::take(&mut taken.alerts)).await;
            if stored.0 != Outcome::Accepted {
                return stored;
            }
        }
        drop(permit);
        match taken.error(good) {
            Some(error) => (Outcome::Invalid, refuse(StatusCode::BAD_REQUEST, &error.to_string())),
            None => (Outcome::Accepted, StatusCode::OK.into_response()),
        }
    }

    /// Makes alerts durable, then answers.
    async fn store(&self, alerts: Vec<Alert>) -> (Outcome, Response) {
        match self.log.append(alerts).await {
            Ok(_) => (Outcome::Accepted, StatusCode::OK.into_response()),
            Err(error) => (Outcome::Log, unavailable(&error)),
        }
    }
}

/// The answer to a body that did not come as it should.
fn unread(error: &BodyError) -> (Outcome, Response) {
    let (outcome, text) = match error {
        BodyError::TooLarge { .. } => (Outcome::TooLarge, Refused::TooLarge.to_string()),
        BodyError::TooSlow { .. } | BodyError::Broken(_) => (Outcome::Incomplete, error.to_string()),
    };
    (outcome, refuse(error.status(), &text))
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

#[cfg(test)]
mod tests;

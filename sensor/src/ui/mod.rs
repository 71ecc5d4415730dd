//! The web app and its API.
//!
//! [`serve`] binds, then answers in the background: the app's files (embedded, [`assets`]) and `/api/v1` ([`api`]),
//! which reads the alert log. Everything but the app's files and the login needs a session ([`auth`], [`guard`]).
//! Failures: a port in use, an unusable password file. A request that fails gets a JSON error; nothing here panics.

pub mod api;
mod assets;
mod auth;
mod config;
mod guard;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use axum::serve::ListenerExt as _;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

pub use auth::AuthError;
pub use config::UiConfig;

use crate::alert::log::AlertLog;
use crate::telemetry::StatusSource;

/// Live streams at a time, all clients together.
const MAX_STREAMS: usize = 64;

/// The web app cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum UiError {
    #[error(
        "the web app cannot listen on {address}: {error}; set `ui.listenport` or stop what listens there"
    )]
    Listen { address: SocketAddr, error: io::Error },
    #[error(transparent)]
    Auth(#[from] AuthError),
}

/// A running web app.
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    /// A password made at this start, to be shown once and nowhere kept.
    pub new_password: Option<String>,
    /// Ends after `shutdown`, when the last answers are out.
    pub task: JoinHandle<io::Result<()>>,
}

#[derive(Clone)]
struct App(Arc<Inner>);

struct Inner {
    log: AlertLog,
    status: Arc<dyn StatusSource>,
    auth: auth::Auth,
    /// Name of the session cookie. Cookies know no ports: without a name of its own, one falconet would log its user
    /// out of another on the same host or behind the same `kubectl port-forward`.
    cookie: String,
    /// Listens on loopback only.
    loopback: bool,
    allowed_hosts: Vec<String>,
    streams: Arc<Semaphore>,
    /// True once the server shuts down: ends the live streams.
    closing: watch::Receiver<bool>,
}

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// Binds and serves until `shutdown` is done. `state_dir` holds the password's hash.
pub async fn serve(
    config: &UiConfig,
    log: AlertLog,
    status: Arc<dyn StatusSource>,
    state_dir: &Path,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<Serving, UiError> {
    let address = SocketAddr::new(config.listenaddress, config.listenport);
    let listener = TcpListener::bind(address).await.map_err(|error| UiError::Listen { address, error })?;
    let address = listener.local_addr().map_err(|error| UiError::Listen { address, error })?;
    let (auth, new_password) = auth::Auth::open(config, state_dir)?;
    let (close, closing) = watch::channel(false);
    let identity = format!("{}\n{}", status.status().hostname, state_dir.display());
    let cookie = Sha256::digest(identity)
        .iter()
        .take(6)
        .fold(String::from("falconet_"), |name, byte| format!("{name}{byte:02x}"));
    let app = App(Arc::new(Inner {
        log,
        status,
        auth,
        cookie,
        loopback: config.listenaddress.is_loopback(),
        allowed_hosts: config.allowedhosts.clone(),
        streams: Arc::new(Semaphore::new(MAX_STREAMS)),
        closing,
    }));
    let router = api::router(&app)
        .fallback(assets::serve)
        .layer(axum::middleware::from_fn_with_state(app, guard::outer))
        .into_make_service_with_connect_info::<SocketAddr>();
    let listener = listener.tap_io(|stream| {
        // Only a hint: without it small live messages are held back a little.
        let _ = stream.set_nodelay(true);
    });
    let task = tokio::spawn(async move {
        axum::serve(listener, router)
            .with_graceful_shutdown(async move {
                shutdown.await;
                close.send_replace(true);
            })
            .await
    });
    Ok(Serving { address, new_password, task })
}

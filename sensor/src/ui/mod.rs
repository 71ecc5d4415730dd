//! The web app and its API.
//!
//! [`serve`] binds, then answers in the background: the app's files (embedded, [`assets`]) and `/api/v1` ([`api`]),
//! which reads the alert log. Everything but the app's files and the login needs a session ([`auth`], [`guard`]).
//! Failures: a port in use, an unusable password file. A request that fails gets a JSON error; nothing here panics.

pub mod api;
mod app;
mod assets;
mod auth;
mod config;
mod error;
mod guard;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use auth::AuthError;
pub use config::UiConfig;

use app::App;

use crate::alert::log::AlertLog;
use crate::net::{self, Limits, ListenError};
use crate::telemetry::StatusSource;

/// The web app cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum UiError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Auth(#[from] AuthError),
}

/// A running web app.
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    /// A password made at this start, to be shown once and nowhere kept.
    pub new_password: Option<String>,
    /// What its server counts.
    pub http: Arc<net::Counters>,
    /// Ends after `shutdown`, when the last answers are out.
    pub task: JoinHandle<()>,
}

/// Binds and serves until `shutdown` turns true (or its sender is gone). `state_dir` holds the password's hash.
pub async fn serve(
    config: &UiConfig,
    log: AlertLog,
    status: Arc<dyn StatusSource>,
    state_dir: &Path,
    shutdown: watch::Receiver<bool>,
) -> Result<Serving, UiError> {
    let host = config.listenaddress.to_string();
    let (listener, address) =
        net::listen(&host, config.listenport, ("ui.listenaddress", "ui.listenport")).await?;
    let (auth, new_password) = auth::Auth::open(config, state_dir)?;
    let app = App::new(config, log, status, auth, state_dir, shutdown.clone());
    let router = api::router(&app)
        .fallback(assets::serve)
        .layer(axum::middleware::from_fn_with_state(app, guard::outer));
    // A login is small, and nothing else has a body. Proxies may speak HTTP/2.
    let limits = Limits { connections: 256, body_bytes: 16 << 10, http2: true, ..Limits::default() };
    let http = Arc::<net::Counters>::default();
    let task = tokio::spawn(net::serve(listener, router, limits, http.clone(), shutdown));
    Ok(Serving { address, new_password, http, task })
}

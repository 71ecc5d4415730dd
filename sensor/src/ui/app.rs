//! What all requests share.

use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, watch};

use super::auth::Auth;
use super::config::UiConfig;
use crate::alert::log::AlertLog;
use crate::telemetry::StatusSource;

/// Live streams at a time, all clients together.
const MAX_STREAMS: usize = 64;

#[derive(Clone)]
pub struct App(Arc<Inner>);

pub struct Inner {
    pub log: AlertLog,
    pub status: Arc<dyn StatusSource>,
    pub auth: Auth,
    /// Name of the session cookie. Cookies know no ports: without a name of its own, one falconet would log its user
    /// out of another on the same host or behind the same `kubectl port-forward`.
    pub cookie: String,
    /// Listens on loopback only.
    pub loopback: bool,
    pub allowed_hosts: Vec<String>,
    pub streams: Arc<Semaphore>,
    /// True once the server shuts down: ends the live streams.
    pub closing: watch::Receiver<bool>,
}

impl App {
    pub fn new(
        config: &UiConfig,
        log: AlertLog,
        status: Arc<dyn StatusSource>,
        auth: Auth,
        state_dir: &Path,
        closing: watch::Receiver<bool>,
    ) -> Self {
        let identity = format!("{}\n{}", status.status().hostname, state_dir.display());
        let cookie = Sha256::digest(identity)
            .iter()
            .take(6)
            .fold(String::from("falconet_"), |name, byte| format!("{name}{byte:02x}"));
        Self(Arc::new(Inner {
            log,
            status,
            auth,
            cookie,
            loopback: config.listenaddress.is_loopback(),
            allowed_hosts: config.allowedhosts.clone(),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            closing,
        }))
    }
}

impl std::ops::Deref for App {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

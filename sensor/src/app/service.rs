//! The part that `run` and `hub` share: alert log, outputs, hub, UI, brought up and taken down in order.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::exit::{Class, Failure};
use super::phases::Phases;
use super::status::Overview;
use crate::alert::log::{AlertLog, LogError};
use crate::config::Config;
use crate::outputs::{self, Running};
use crate::telemetry::Collect;
use crate::{hub, ui};

/// Threads for queries of the alert log (5 at once), password hashing (1) and looking up names. Each keeps some memory.
const BLOCKING_THREADS: usize = 12;
/// Longest wait for the last answers of the servers at the end.
const GRACE: Duration = Duration::from_secs(3);

/// Everything behind the alert.
pub struct Service {
    pub log: AlertLog,
    outputs: Running,
    hub: hub::Running,
    ui: Option<ui::Serving>,
    stop: watch::Sender<bool>,
}

/// Opens the alert log, the first thing that can fail for want of a writable directory.
pub fn open_log(config: &Config, phases: &mut Phases) -> Result<AlertLog, Failure> {
    let log = AlertLog::open(&config.alert_log).map_err(|error| {
        let class = match &error {
            LogError::Locked { .. } => Class::Unavailable,
            _ => Class::CantCreate,
        };
        Failure::new(class, error)
    })?;
    let stats = log.stats();
    phases.done("alert log", format_args!("{}, {} alerts", config.alert_log.path.display(), stats.entries));
    Ok(log)
}

impl Service {
    /// Starts outputs and servers; every address is bound when this returns.
    pub async fn start(
        config: &Config,
        log: AlertLog,
        overview: Arc<Overview>,
        collectors: Vec<Arc<dyn Collect>>,
        phases: &mut Phases,
    ) -> Result<Self, Failure> {
        let (stop, stopped) = watch::channel(false);
        let outputs = outputs::start(&config.outputs, log.clone(), stopped.clone())
            .map_err(|error| Failure::new(Class::Config, error))?;
        overview.set_board(outputs.board());
        phases.done("outputs", list(outputs.status().iter().map(|o| o.name.as_str())));

        let hub = hub::serve(&config.hub, log.clone(), collectors, stopped.clone())
            .await
            .map_err(|error| Failure::new(Class::Unavailable, error))?;
        overview.set_intake(hub.address);
        phases.done("intake", format_args!("http://{}", hub.address));

        let ui = if config.ui.enabled {
            let directory = config.alert_log.path.parent().unwrap_or(Path::new("."));
            let ui = ui::serve(&config.ui, log.clone(), overview.clone(), directory, stopped).await;
            let ui = ui.map_err(|error| {
                let class = match &error {
                    ui::UiError::Listen(_) => Class::Unavailable,
                    ui::UiError::Auth(_) => Class::CantCreate,
                };
                Failure::new(class, error)
            })?;
            overview.set_web(ui.http.clone());
            phases.done("web app", format_args!("http://{}", ui.address));
            Some(ui)
        } else {
            None
        };
        Ok(Self { log, outputs, hub, ui, stop })
    }

    /// How a person gets in: the address, and the password if it was made just now.
    pub fn entrance(&self, config: &Config) -> String {
        let Some(ui) = &self.ui else { return format!("intake http://{}", self.hub.address) };
        let login = match &ui.new_password {
            Some(password) => format!("user {}, password {password} (shown this once)", config.ui.user),
            None => format!("user {}", config.ui.user),
        };
        format!("http://{}  {login}", ui.address)
    }

    /// Delivers what still goes out, then closes the servers and the log. What does not go out now stays in the log.
    pub async fn stop(self) -> Result<(), Failure> {
        self.log.flush().await.map_err(|error| Failure::new(Class::CantCreate, error))?;
        self.stop.send_replace(true);
        self.outputs.join().await;
        let servers = async {
            // A server that failed at its end has nothing more to lose.
            let _ = self.hub.task.await;
            if let Some(ui) = self.ui {
                let _ = ui.task.await;
            }
        };
        if tokio::time::timeout(GRACE, servers).await.is_err() {
            tracing::warn!("a client still held a connection at the end");
        }
        self.log.close().await.map_err(|error| Failure::new(Class::CantCreate, error))
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// SIGINT or SIGTERM.
pub fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let fail =
        |error| Failure::new(Class::Unavailable, anyhow::Error::from(error).context("cannot take signals"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(fail)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(fail)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// SIGHUP, each time.
pub fn hangups() -> Result<Signal, Failure> {
    signal(SignalKind::hangup()).map_err(|error| {
        Failure::new(Class::Unavailable, anyhow::Error::from(error).context("cannot take signals"))
    })
}

/// The runtime for everything behind the alert.
pub fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_name("async")
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Class::Unavailable, error))
}

/// The host's name as alerts have it: `FALCO_HOSTNAME`, else the system's.
pub fn hostname() -> String {
    std::env::var("FALCO_HOSTNAME")
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
}

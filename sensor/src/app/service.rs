//! The part that `run` and `hub` share: alert log, outputs, hub, UI, brought up and taken down in order.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
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

/// Everything behind the alert.
pub struct Service {
    pub log: AlertLog,
    outputs: Running,
    hub: hub::Running,
    ui: Option<ui::Serving>,
    /// Ends outputs and web app.
    stop: watch::Sender<bool>,
    /// Ends the intake, later.
    stop_intake: watch::Sender<bool>,
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
        let (stop_intake, intake_stopped) = watch::channel(false);
        let outputs = outputs::start(&config.outputs, log.clone(), stopped.clone())
            .map_err(|error| Failure::new(Class::Config, error))?;
        overview.set_board(outputs.board());
        phases.done("outputs", list(outputs.status().iter().map(|o| o.name.as_str())));

        let hub = hub::serve(&config.hub, log.clone(), collectors, intake_stopped)
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
        Ok(Self { log, outputs, hub, ui, stop, stop_intake })
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

    /// Ends outputs and web app, then the intake, then the log: whatever comes in meanwhile is answered and stored. What does not
    /// go out now stays in the log. Every part is ended, whatever happens to the others; the error tells of all that failed.
    pub async fn stop(self) -> Result<(), Failure> {
        let mut failed = Vec::new();
        let mut note = |error: Option<anyhow::Error>| failed.extend(error);
        // What was raised until now is the last that goes out.
        note(self.log.flush().await.err().map(Into::into));
        self.stop.send_replace(true);
        self.outputs.join().await;
        if let Some(ui) = self.ui {
            note(ui.task.await.err().map(|error| anyhow!(error).context("the web app ended unexpectedly")));
        }
        self.stop_intake.send_replace(true);
        note(self.hub.task.await.err().map(|error| anyhow!(error).context("the intake ended unexpectedly")));
        note(self.log.close().await.err().map(Into::into));
        all(&failed).map_err(|error| Failure::new(Class::CantCreate, error))
    }
}

/// The errors as one; the same one is not told twice.
fn all(errors: &[anyhow::Error]) -> anyhow::Result<()> {
    let mut texts: Vec<String> = errors.iter().map(|error| format!("{error:#}")).collect();
    texts.dedup();
    if texts.is_empty() { Ok(()) } else { Err(anyhow!(texts.join("; "))) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_errors_are_told_once() {
        assert!(all(&[]).is_ok());
        let errors = [anyhow!("closed"), anyhow!("closed"), anyhow!("ended").context("intake")];
        assert_eq!(all(&errors).unwrap_err().to_string(), "closed; intake: ended");
    }

    /// A service of its own, with its log in a directory of its own.
    async fn service(directory: &Path) -> Service {
        let options = [
            format!("alert_log.path={}", directory.join("alerts.db").display()),
            "listenport=0".into(),
            "ui.listenport=0".into(),
        ];
        let file = directory.join("falconet.yaml");
        std::fs::write(&file, "").unwrap();
        let config = Config::load(Some(&file), &options).unwrap();
        let mut phases = Phases::begin();
        let log = open_log(&config, &mut phases).unwrap();
        let overview = Arc::new(Overview::new("here".into(), None));
        Service::start(&config, log, overview, Vec::new(), &mut phases).await.unwrap()
    }

    #[tokio::test]
    async fn every_part_ends_although_the_log_has_failed() {
        let directory = tempfile::tempdir().unwrap();
        let service = service(directory.path()).await;
        let addresses = [service.hub.address, service.ui.as_ref().unwrap().address];
        service.log.clone().close().await.unwrap();
        let error = service.stop().await.unwrap_err().to_string();
        assert_eq!(error, "the alert log is closed");
        for address in addresses {
            assert!(tokio::net::TcpStream::connect(address).await.is_err(), "{address}");
        }
    }

    #[tokio::test]
    async fn a_part_that_ended_by_itself_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let service = service(directory.path()).await;
        service.hub.task.abort();
        let error = service.stop().await.unwrap_err().to_string();
        assert!(error.starts_with("the intake ended unexpectedly: "), "{error}");
    }
}

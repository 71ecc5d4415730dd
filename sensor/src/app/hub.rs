//! The hub alone: takes alerts of other sensors, keeps, shows and forwards them. No probe, no root.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::exit::{Class, Failure};
use super::phases::Phases;
use super::service::{self, Service};
use super::status::Overview;
use crate::alert::log::LogConfig;
use crate::config::Config;

/// Runs the hub until it is stopped. `options` are `KEY=VALUE` each.
pub fn run(file: Option<&Path>, options: &[String]) -> Result<(), Failure> {
    crate::telemetry::logging::init();
    let mut config = Config::load(file, options).map_err(|e| Failure::new(Class::Config, e))?;
    if !rustix::process::geteuid().is_root() && config.alert_log.path == LogConfig::default().path {
        config.alert_log.path = of_user();
    }
    let mut phases = Phases::begin();
    let log = service::open_log(&config, &mut phases)?;
    let runtime = service::runtime()?;
    let stopped = runtime.block_on(async { service::stop_signal() })?;
    let overview = Arc::new(Overview::new(service::hostname(), None));
    let service = runtime.block_on(Service::start(
        &config,
        log.clone(),
        overview.clone(),
        vec![overview],
        &mut phases,
    ))?;
    phases.ready(service.entrance(&config));
    runtime.block_on(stopped);
    let ended = runtime.block_on(service.stop());
    let stats = log.stats();
    eprintln!("alerts: {} taken in, {} kept", stats.appended, stats.entries);
    ended
}

/// The state file of a user who is not root: below `$XDG_STATE_HOME` or `~/.local/state`.
fn of_user() -> PathBuf {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).or_else(home);
    state.unwrap_or_else(std::env::temp_dir).join("falconet/alerts.db")
}

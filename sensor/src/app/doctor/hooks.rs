//! The check that takes a probe: are the programs that `run` would load called when something happens?

use std::path::Path;
use std::sync::Arc;

use super::check::Check;
use crate::app::names::HostNames;
use crate::app::settings::Settings;
use crate::app::start::{PROC, probe_options};
use crate::app::{hooks, ruleset, sight};
use crate::probe::Probe;
use crate::state::Layout;
use crate::telemetry::status::DeadHook;

/// Loads them, fires each hook, and takes them out again.
pub fn check(settings: &Settings) -> Check {
    const NAME: &str = "hooks";
    let failed =
        |cause: String| Check::missing(NAME, cause, "everything: no system call is seen", "see above");
    let Ok(config) = settings.load() else { return failed("the configuration does not load".to_owned()) };
    let sight = sight::here();
    let rules = ruleset::read(&config.rules).ok().and_then(|sources| {
        ruleset::load(&config.rules, &sources, &sight, Arc::new(HostNames::default())).into_rules().ok()
    });
    let Some(rules) = rules else { return failed("the rules do not load".to_owned()) };
    let layout = match Layout::detect(Path::new(PROC)) {
        Ok(layout) => layout,
        Err(error) => return failed(error.to_string()),
    };
    let probe = match Probe::load(&probe_options(&config, &rules, &layout)) {
        Ok((probe, _lanes)) => probe,
        Err(error) => return failed(error.to_string()),
    };
    let trial = hooks::fire(&probe, &layout);
    let dead = hooks::dead(&trial, &rules);
    let found = hooks::words(&trial);
    if dead.is_empty() {
        return Check::ok(NAME, found);
    }
    let remedy = "another kernel; please report this one";
    let details = dead.iter().map(DeadHook::words).collect();
    Check { details, ..Check::limited(NAME, found, "what these rules are to detect", remedy) }
}

//! What `run` and `record` do alike at their start: rules loaded, the probe attached, and both told.

use std::path::Path;
use std::sync::Arc;

use super::exit::{Class, Failure};
use super::names::HostNames;
use super::phases::Phases;
use super::ruleset;
use crate::config::Config;
use crate::probe::{Options, Probe, ProbeError};
use crate::rules::report::diagnostic::in_rules;
use crate::rules::{RuleSet, Sight, Source};
use crate::state::{Containers, Layout};

/// Where the host's `/proc` is.
pub const PROC: &str = "/proc";

/// Loads the rules that are configured, or ours.
pub fn load_rules(
    config: &Config,
    sight: &Sight,
    names: Arc<HostNames>,
    phases: &mut Phases,
) -> Result<(Arc<RuleSet>, Vec<Source>), Failure> {
    let sources = ruleset::read(&config.rules).map_err(|e| Failure::new(Class::Rules, e))?;
    let loaded = ruleset::load(&config.rules, &sources, sight, names);
    for report in &loaded.files {
        if let crate::rules::report::diagnostic::Schema::Failed(_) = report.schema {
            Phases::note(report.schema_line());
        }
        for (warning, owners) in report.grouped_warnings() {
            Phases::note(format_args!("{warning}{}", in_rules(&owners)));
        }
    }
    let set = loaded.into_rules().map_err(|e| Failure::new(Class::Rules, e))?;
    let origin = ruleset::origin(&config.rules, sources.len());
    phases.done("rules", format_args!("{} rules of {origin}", set.rules().len()));
    ruleset::tell(&set);
    Ok((Arc::new(set), sources))
}

/// What is asked of the kernel for these rules.
pub fn probe_options(config: &Config, rules: &RuleSet, layout: &Layout) -> Options {
    Options {
        wanted: ruleset::wanted(rules, config.sensor.kernel_filter),
        cgroup_controller: layout.controller().map(str::to_owned),
        cgroup_hierarchy: layout.hierarchy(),
        bulk_bytes: config.sensor.buffer_mib.bytes(),
        log_dir: config.alert_log.path.parent().unwrap_or(Path::new(".")).to_owned(),
        ..Options::default()
    }
}

/// The failure of the command that a failure of the probe is.
pub fn probe_failure(error: ProbeError) -> Failure {
    let class = match &error {
        ProbeError::Permission { .. } => Class::Permission,
        _ => Class::Unavailable,
    };
    Failure::new(class, error)
}

/// Tells of the state, and that no runtime can be asked, if none can.
pub fn tell_state(processes: usize, containers: &Containers, phases: &mut Phases) {
    phases.done("state", format_args!("{processes} processes, {} cgroups", containers.stats().cgroups));
    if !containers.has_socket() {
        Phases::note(
            "no socket of a container runtime is there: what containers are is read from disk, without labels and some images; \
             where containers run, name the sockets in `container_engines`",
        );
    }
}

/// Tells what was attached, and what this kernel lacks.
pub fn tell_probe(probe: &Probe, phases: &mut Phases) {
    let mut names: Vec<&str> = probe.attached().iter().map(|event| event.program).collect();
    names.sort_unstable();
    let verified: u64 = probe.loaded().iter().filter_map(|program| program.verified).map(u64::from).sum();
    let what =
        format_args!("{} programs, {verified} instructions verified: {}", names.len(), names.join(", "));
    phases.done("probe", what);
    for missing in probe.missing() {
        Phases::note(format_args!("this kernel does not tell {missing}"));
    }
}

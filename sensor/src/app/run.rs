//! The sensor and everything behind it in one process.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use anyhow::anyhow;

use super::door::Door;
use super::exit::{Class, Failure};
use super::in_use::InUse;
use super::names::HostNames;
use super::phases::Phases;
use super::reload::Reloader;
use super::service::{self, Service};
use super::settings::Settings;
use super::start::{PROC, load_rules, probe_failure, probe_options, tell_probe, tell_state};
use super::status::{Overview, Sensor};
use super::{doctor, hooks, memory, ruleset, sight};
use crate::config::Config;
use crate::control;
use crate::engine::raise::TextOptions;
use crate::engine::{Engine, Judge, Running, Stats, stats};
use crate::probe::btf::{KERNEL_BTF, KernelTypes};
use crate::probe::{Lanes, OBJECT, Probe};
use crate::rules::RuleSet;
use crate::state::{Containers, Layout, ProcFs, Processes, Users, processes};

/// Runs the sensor until it is stopped.
pub fn run(args: Settings) -> Result<(), Failure> {
    crate::telemetry::logging::init();
    let config = args.load().map_err(|e| Failure::new(Class::Config, e))?;
    if !OBJECT.is_empty() {
        doctor::privileged()?;
    }
    let mut phases = Phases::begin();
    // They say what rules can see, and then where the programs find it; without them there is no probe, and it says why.
    let types = KernelTypes::open(Path::new(KERNEL_BTF)).ok();
    let sight = types.as_ref().map_or_else(sight::anywhere, sight::on);
    let names = Arc::new(HostNames::default());
    let (rules, sources) = load_rules(&config, &sight, names.clone(), &mut phases)?;
    let in_use = Arc::new(InUse::new(rules.clone(), ruleset::origin(&config.rules, sources.len())));
    let layout = Layout::detect(Path::new(PROC)).map_err(|e| Failure::new(Class::Unavailable, e))?;
    // The verifier takes longest; the rest starts meanwhile.
    let probe = thread::spawn({
        let options = probe_options(&config, &rules, &layout);
        move || match types {
            Some(types) => Probe::load_on(&types, &options),
            None => Probe::load(&options),
        }
    });

    let log = service::open_log(&config, &mut phases)?;
    let runtime = service::runtime()?;
    let (stopped, mut hangups) =
        runtime.block_on(async { Ok::<_, Failure>((service::stop_signal()?, service::hangups()?)) })?;
    let hostname = service::hostname();
    let overview = Arc::new(Overview::new(hostname.clone(), Some(in_use.clone())));
    let service = runtime.block_on(Service::start(
        &config,
        log.clone(),
        overview.clone(),
        vec![overview.clone()],
        &mut phases,
    ))?;

    let (probe, lanes) = probe
        .join()
        .map_err(|_| {
            Failure::new(Class::Unavailable, anyhow!("the thread that loads the eBPF programs panicked"))
        })?
        .map_err(probe_failure)?;
    tell_probe(&probe, &mut phases);
    let trial = hooks::fire(&probe, &layout);
    hooks::tell(&trial, &hooks::dead(&trial, &rules), &mut phases);
    let stats = Arc::new(Stats::default());
    overview.set_sensor(Sensor { counters: probe.counters().clone(), stats: stats.clone(), trial });
    let judge = judge(&config, rules, layout, hostname.clone(), log.clone(), stats.clone(), &mut phases)?;
    names.keep_resolved().map_err(|e| {
        Failure::new(Class::Unavailable, anyhow!("the thread that resolves domain names: {e}"))
    })?;
    let engine = start_engine(lanes, judge, &probe, stats.clone())?;
    let counted = probe.counters().clone();
    let reloader = Reloader {
        settings: args,
        config: config.clone(),
        sight,
        names,
        probe,
        orders: engine.orders().clone(),
        in_use: in_use.clone(),
        log,
        stats: stats.clone(),
        hostname,
    };
    let reloader = reloader.start(&sources).map_err(|e| Failure::new(Class::Unavailable, e))?;
    drop(sources);
    let door = Door { in_use, reload: reloader.handle().clone(), orders: engine.orders().clone() };
    let control = {
        let _runtime = runtime.enter();
        open_control(&config, door)
    };
    runtime.spawn({
        let reload = reloader.handle().clone();
        async move {
            while hangups.recv().await.is_some() {
                reload.reload();
            }
        }
    });
    memory::give_back();
    phases.ready(service.entrance(&config));

    let failed = runtime.block_on(async {
        tokio::select! {
            () = stopped => false,
            () = ended(|| engine.is_finished() || reloader.is_finished()) => true,
        }
    });
    drop(control);
    // Detaches everything.
    drop(reloader.stop());
    let judged = engine.stop();
    let total = counted.total();
    let ended = runtime.block_on(service.stop());
    eprintln!(
        "events: {} seen, {} filtered, {} lost; alerts: {} raised, {} lost",
        total.seen,
        total.filtered,
        total.lost(),
        stats::read(&stats.alerts),
        stats::read(&stats.alerts_lost),
    );
    judged.map_err(|e| Failure::new(Class::Unavailable, anyhow!("the event thread ended: {e}")))?;
    ended?;
    if failed {
        return Err(Failure::new(Class::Unavailable, anyhow!("a thread of the sensor ended by itself")));
    }
    Ok(())
}

/// The state, seeded, and the rules. The probe is attached already, so nothing falls between.
fn judge(
    config: &Config,
    rules: Arc<RuleSet>,
    layout: Layout,
    hostname: String,
    log: crate::alert::log::AlertLog,
    stats: Arc<Stats>,
    phases: &mut Phases,
) -> Result<Judge, Failure> {
    let layout = Arc::new(layout);
    let proc = Path::new(PROC);
    let unavailable = |e: std::io::Error| Failure::new(Class::Unavailable, e);
    let procfs = ProcFs::new(proc, Some(layout.clone()));
    let mut processes = Processes::new(processes::Options::default(), procfs).map_err(unavailable)?;
    let seeded = processes.seed();
    let mut containers = Containers::new(config.sensor.container_engines.clone(), layout, proc)
        .map_err(|e| Failure::new(Class::Unavailable, e))?;
    let directory = config.alert_log.path.parent().unwrap_or(Path::new("."));
    containers
        .remember_in(directory, config.sensor.container_found)
        .map_err(|e| Failure::new(Class::Unavailable, e))?;
    containers.seed();
    containers.seed_processes(processes.iter());
    tell_state(seeded, &containers, phases);
    let mut judge = Judge::new(
        processes,
        Users::new(proc).map_err(unavailable)?,
        containers,
        rules,
        hostname,
        TextOptions { iso_8601: config.sensor.time_format_iso_8601 },
        Box::new(move |alert| log.offer(alert)),
        stats,
    );
    judge.limit(config.sensor.storms);
    judge.seed_names();
    Ok(judge)
}

fn start_engine(lanes: Lanes, judge: Judge, probe: &Probe, stats: Arc<Stats>) -> Result<Running, Failure> {
    let engine = Engine { lanes, judge, counters: probe.counters().clone(), stats };
    engine.start().map_err(|e| Failure::new(Class::Unavailable, e))
}

/// The control socket. The sensor is worth running without it.
fn open_control(config: &Config, door: Door) -> Option<control::Serving> {
    let places = control::places(config.sensor.control_socket.as_deref(), &config.alert_log.path);
    control::serve(&places, door).unwrap_or_else(|error| {
        Phases::note(error);
        None
    })
}

/// Ends when a thread does that should not.
async fn ended(finished: impl Fn() -> bool) {
    while !finished() {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
}

//! The recorder: what the kernel tells, into a file, until somebody ends it.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{io, thread};

use anyhow::anyhow;

use super::exit::{Class, Failure};
use super::names::HostNames;
use super::phases::Phases;
use super::ruleset;
use super::start::{PROC, load_rules, probe_failure, tell_probe, tell_state};
use super::{doctor, service, settings, sight};
use crate::capture::format::{HEADER_LAYOUT, Header, Layout as RecordLayout, PROCESS_LAYOUT, Watched};
use crate::capture::recorder::{self, Summary};
use crate::capture::{Recorder, Writer};
use crate::config::Config;
use crate::engine::clock::{self, Clock};
use crate::probe::{Counted, EventCounters, Lanes, OBJECT, Options, Probe, Wanted};
use crate::rules::registry::event_types::captured;
use crate::state::{Containers, Layout, ProcFs, Processes, Users, processes};

/// Records taken before containers are looked at again.
const BATCH: usize = 4096;
/// Longest sleep, and how long records gather after a drain.
const SLEEP: Duration = Duration::from_millis(100);
const GATHER: Duration = Duration::from_millis(5);
const TICK: Duration = Duration::from_secs(1);

/// What to keep, and where.
pub struct Settings {
    /// The file to make.
    pub output: PathBuf,
    pub configuration: settings::Settings,
    /// Types of events; without any, those that the rules need.
    pub events: Vec<String>,
    /// The kernel drops what the rules cannot match.
    pub filtered: bool,
    /// The longest time; `None`: until it is stopped.
    pub time: Option<Duration>,
    /// Bytes of the file, at most.
    pub max_size: u64,
    /// Names of containers, or beginnings of their ids; without any, everything is kept.
    pub containers: Vec<String>,
    /// Keep environment variables.
    pub environment: bool,
}

/// What came of it.
pub struct Recorded {
    pub summary: Summary,
    /// What the kernel counted.
    pub total: EventCounters,
    pub took: Duration,
}

/// Records until it is stopped, the time is over or the file is full.
pub fn run(settings: &Settings) -> Result<Recorded, Failure> {
    crate::telemetry::logging::init();
    let config = settings.configuration.load().map_err(|e| Failure::new(Class::Config, e))?;
    let mut phases = Phases::begin();
    let wanted = wanted(settings, &config, &mut phases)?;
    if !OBJECT.is_empty() {
        doctor::privileged()?;
    }
    let file = create(&settings.output)?;
    let recorded = record(settings, &config, wanted, file, &mut phases);
    if recorded.is_err() && fs::metadata(&settings.output).is_ok_and(|m| m.len() == 0) {
        // It never began; the name is free again.
        let _ = fs::remove_file(&settings.output);
    }
    recorded
}

/// Types of events to keep, and what the kernel may drop of them.
fn wanted(settings: &Settings, config: &Config, phases: &mut Phases) -> Result<Wanted, Failure> {
    if settings.events.is_empty() {
        let (rules, _) = load_rules(config, &sight::here(), Arc::new(HostNames::default()), phases)?;
        return Ok(ruleset::wanted(&rules, settings.filtered));
    }
    let known = captured();
    match settings.events.iter().find(|name| !known.contains(*name)) {
        None => Ok(Wanted { event_types: settings.events.iter().cloned().collect(), ..Wanted::default() }),
        Some(name) => {
            let list: Vec<&str> = known.iter().map(String::as_str).collect();
            let error = anyhow!("this sensor sees no events of type `{name}`; it sees {}", list.join(", "));
            Err(Failure::new(Class::Usage, error))
        }
    }
}

fn create(path: &Path) -> Result<File, Failure> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::AlreadyExists => "it exists already: name another file, or remove it".to_owned(),
            _ => error.to_string(),
        };
        Failure::new(Class::CantCreate, anyhow!("cannot make {}: {why}", path.display()))
    })
}

fn record(
    settings: &Settings,
    config: &Config,
    wanted: Wanted,
    file: File,
    phases: &mut Phases,
) -> Result<Recorded, Failure> {
    let unavailable = |error: anyhow::Error| Failure::new(Class::Unavailable, error);
    let layout = Layout::detect(Path::new(PROC)).map_err(|e| unavailable(e.into()))?;
    let options = Options {
        wanted,
        cgroup_controller: layout.controller().map(str::to_owned),
        cgroup_hierarchy: layout.hierarchy(),
        bulk_bytes: config.sensor.buffer_mib.bytes(),
        ..Options::default()
    };
    let (probe, lanes) = Probe::load(&options).map_err(probe_failure)?;
    tell_probe(&probe, phases);
    let layout = Arc::new(layout);
    let proc = Path::new(PROC);
    let procfs = ProcFs::new(proc, Some(layout.clone()));
    let mut processes =
        Processes::new(processes::Options::default(), procfs).map_err(|e| unavailable(e.into()))?;
    let seeded = processes.seed();
    let mut containers = Containers::new(config.sensor.container_engines.clone(), layout, proc)
        .map_err(|e| unavailable(e.into()))?;
    containers.seed();
    containers.seed_processes(processes.iter());
    tell_state(seeded, &containers, phases);
    let users = Users::new(proc).map_err(|e| unavailable(e.into()))?;
    let header = header(settings, &probe, users.host_mntns());
    let failed = |error: io::Error| {
        Failure::new(Class::CantCreate, anyhow!("cannot write {}: {error}", settings.output.display()))
    };
    let writer = Writer::create(file, &header, settings.max_size).map_err(failed)?;
    let options =
        recorder::Options { environment: settings.environment, containers: settings.containers.clone() };
    let recorder = Recorder::new(processes, users, containers, writer, options);

    let runtime = service::runtime()?;
    let stopped = runtime.block_on(async { service::stop_signal() })?;
    let stop = Arc::new(AtomicBool::new(false));
    let counters = probe.counters().clone();
    let started = Instant::now();
    let events = thread::Builder::new()
        .name("events".into())
        .spawn({
            let (stop, counters) = (stop.clone(), counters.clone());
            move || drive(recorder, lanes, &counters, &stop)
        })
        .map_err(|e| unavailable(e.into()))?;
    phases.ready(format_args!("recording to {}; end with Ctrl-C", settings.output.display()));
    runtime.block_on(async {
        let time = async {
            match settings.time {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        let full = async {
            while !stop.load(Ordering::Relaxed) && !events.is_finished() {
                tokio::time::sleep(SLEEP).await;
            }
        };
        tokio::select! {
            () = stopped => {}
            () = time => {}
            () = full => {}
        }
    });
    drop(probe);
    stop.store(true, Ordering::Relaxed);
    let summary = events.join().unwrap_or_else(|_| Err(io::Error::other("the event thread panicked")));
    Ok(Recorded { summary: summary.map_err(failed)?, total: counters.total(), took: started.elapsed() })
}

fn header(settings: &Settings, probe: &Probe, host_mntns: u32) -> Header {
    let uname = rustix::system::uname();
    let boot = clock::boot();
    let watched = |event: &&'static sensor_ebpf::events::Event| Watched {
        kind: event.kind as u16,
        program: event.program.to_owned(),
        name: event.info.name().map(str::to_owned),
        layout: RecordLayout(event.info.layout),
    };
    Header {
        falconet: env!("CARGO_PKG_VERSION").to_owned(),
        hostname: service::hostname(),
        kernel: uname.release().to_string_lossy().into_owned(),
        machine: uname.machine().to_string_lossy().into_owned(),
        started: Clock::sample().wall(boot),
        boot,
        host_mntns,
        filtered: settings.filtered,
        environment: settings.environment,
        containers: settings.containers.clone(),
        header_layout: HEADER_LAYOUT,
        process_layout: PROCESS_LAYOUT,
        events: probe.attached().iter().map(watched).collect(),
    }
}

/// The event thread: takes what the lanes have until it has to stop, and then what is left. Says by `stop` when the file
/// takes no more.
fn drive(
    mut recorder: Recorder,
    mut lanes: Lanes,
    counters: &Counted,
    stop: &AtomicBool,
) -> io::Result<Summary> {
    let mut ticked = Instant::now();
    loop {
        let taken = lanes.drain(BATCH, |record| recorder.record(&record));
        recorder.poll();
        if ticked.elapsed() >= TICK {
            ticked = Instant::now();
            recorder.tick(counters.total());
        }
        if recorder.ended() {
            stop.store(true, Ordering::Relaxed);
        }
        if stop.load(Ordering::Relaxed) && (taken == 0 || recorder.ended()) {
            recorder.tick(counters.total());
            return recorder.finish();
        }
        if taken == 0 {
            lanes.wait(SLEEP, &recorder.wake_fds())?;
        } else if taken < BATCH {
            thread::sleep(GATHER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_is_never_overwritten_and_only_its_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c");
        create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let error = create(&path).unwrap_err();
        assert!(error.to_string().contains("it exists already"), "{error}");
    }
}

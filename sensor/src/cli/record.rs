//! `falconet record`: what the kernel tells, into a file, for `falconet replay`.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{io, thread};

use anyhow::anyhow;

use crate::alert::log::size_of_text;
use crate::alert::query::time;
use crate::app::exit::{Class, Failure};
use crate::app::names::HostNames;
use crate::app::phases::Phases;
use crate::app::ruleset;
use crate::app::run::{PROC, load_rules, probe_failure, tell_probe};
use crate::app::sight;
use crate::app::{doctor, service};
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

#[derive(clap::Args)]
pub struct Args {
    /// The file to make. It must not exist yet. Only its owner can read it: it holds command lines, paths and, unless
    /// `--no-env` is given, environment variables, in which secrets may stand.
    #[arg(short = 'o', long = "output", value_name = "FILE")]
    output: PathBuf,
    /// Configuration file [default: /etc/falconet/falconet.yaml, if it exists].
    #[arg(short = 'c', value_name = "FILE")]
    config: Option<PathBuf>,
    /// Keep these types of events, e.g. `open,openat,execve`, instead of those that the rules need.
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    events: Vec<String>,
    /// Rule file or directory whose events are kept, instead of those of the configuration; repeatable.
    #[arg(short = 'r', long = "rules", value_name = "FILE", conflicts_with = "events")]
    rules: Vec<PathBuf>,
    /// Let the kernel drop what these rules cannot match. The file becomes smaller, but edited rules may miss events in it.
    #[arg(long, conflicts_with = "events")]
    filtered: bool,
    /// End after this time, e.g. `10m`.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    time: Option<Duration>,
    /// End when the file has this size.
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = size)]
    max_size: u64,
    /// Keep only events of this container (its name, or the beginning of its id); repeatable. Processes are kept of all.
    #[arg(long, value_name = "NAME")]
    container: Vec<String>,
    /// Leave out environment variables.
    #[arg(long)]
    no_env: bool,
    /// Set one option of the configuration, e.g. `buffer_mib=64`; repeatable.
    #[arg(long = "option", value_name = "KEY=VALUE")]
    options: Vec<String>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let span = time::span(text).and_then(|ns| u64::try_from(ns).ok());
    span.map(Duration::from_nanos).ok_or_else(|| "write e.g. `30s`, `10m`, `1h`".to_owned())
}

fn size(text: &str) -> Result<u64, String> {
    size_of_text(text).ok_or_else(|| "write bytes or e.g. `512MiB`, `1GiB`".to_owned())
}

pub fn run(args: &Args) -> Result<(), Failure> {
    crate::telemetry::logging::init();
    let mut config =
        Config::load(args.config.as_deref(), &args.options).map_err(|e| Failure::new(Class::Config, e))?;
    if !args.rules.is_empty() {
        config.rules.rules_files.clone_from(&args.rules);
    }
    let mut phases = Phases::begin();
    let wanted = wanted(args, &config, &mut phases)?;
    if !OBJECT.is_empty() {
        doctor::privileged()?;
    }
    let file = create(&args.output)?;
    let recorded = record(args, &config, wanted, file, &mut phases);
    if recorded.is_err() && fs::metadata(&args.output).is_ok_and(|m| m.len() == 0) {
        // It never began; the name is free again.
        let _ = fs::remove_file(&args.output);
    }
    recorded
}

/// Types of events to keep, and what the kernel may drop of them.
fn wanted(args: &Args, config: &Config, phases: &mut Phases) -> Result<Wanted, Failure> {
    if args.events.is_empty() {
        let (rules, _) = load_rules(config, &sight::here(), Arc::new(HostNames::default()), phases)?;
        return Ok(ruleset::wanted(&rules, args.filtered));
    }
    let known = captured();
    match args.events.iter().find(|name| !known.contains(*name)) {
        None => Ok(Wanted { event_types: args.events.iter().cloned().collect(), ..Wanted::default() }),
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
    args: &Args,
    config: &Config,
    wanted: Wanted,
    file: File,
    phases: &mut Phases,
) -> Result<(), Failure> {
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
    phases.done("state", format_args!("{seeded} processes, {} cgroups", containers.stats().cgroups));
    let users = Users::new(proc).map_err(|e| unavailable(e.into()))?;
    let header = header(args, &probe, users.host_mntns());
    let failed = |error: io::Error| {
        Failure::new(Class::CantCreate, anyhow!("cannot write {}: {error}", args.output.display()))
    };
    let writer = Writer::create(file, &header, args.max_size).map_err(failed)?;
    let options = recorder::Options { environment: !args.no_env, containers: args.container.clone() };
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
    phases.ready(format_args!("recording to {}; end with Ctrl-C", args.output.display()));
    runtime.block_on(async {
        let time = async {
            match args.time {
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
    tell(&summary.map_err(failed)?, &counters.total(), started.elapsed(), &args.output);
    Ok(())
}

fn header(args: &Args, probe: &Probe, host_mntns: u32) -> Header {
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
        filtered: args.filtered,
        environment: !args.no_env,
        containers: args.container.clone(),
        header_layout: HEADER_LAYOUT,
        process_layout: PROCESS_LAYOUT,
        events: probe.attached().iter().map(watched).collect(),
    }
}

/// The event thread: takes what the lanes have until it is told to stop, and then what is left. Says by `stop` when the file
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

fn tell(summary: &Summary, total: &EventCounters, time: Duration, path: &Path) {
    eprintln!(
        "{} records in {time:.1?} ({} seen, {} filtered, {} lost by the kernel, {} by the disk); {} has {}",
        summary.records,
        total.seen,
        total.filtered,
        total.lost(),
        summary.lost,
        path.display(),
        human(summary.bytes),
    );
}

/// A size with a unit.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn human(bytes: u64) -> String {
    match bytes {
        0..=1023 => format!("{bytes} bytes"),
        1024..=1_048_575 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
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

    #[test]
    fn limits_are_read() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert!(duration("soon").is_err());
        assert_eq!(size("2MiB"), Ok(2 << 20));
        assert_eq!(
            (human(10), human(2048), human(3 << 20)),
            ("10 bytes".into(), "2.0 KiB".into(), "3.0 MiB".into())
        );
    }
}

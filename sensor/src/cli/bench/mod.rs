//! `falconet bench`: what the sensor costs on this machine, measured beside the same work without it.
#![expect(clippy::cast_precision_loss, reason = "counts and sizes here are far below 2^52")]

mod load;
mod sensor;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use self::load::Work;
use self::sensor::Sensor;
use crate::app::exit::{Class, Failure};

#[derive(clap::Args)]
pub struct Args {
    /// Rounds; each runs all work once without and once with the sensor, and the medians are shown.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// A tenth of the work, for a quick look.
    #[arg(long)]
    quick: bool,
    /// Rule files instead of the stock rules.
    #[arg(short = 'r', value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// Print one JSON object instead of the table.
    #[arg(long)]
    json: bool,
    /// Do one piece of work and print the nanoseconds it took.
    #[arg(long, hide = true)]
    load: Option<Work>,
    #[arg(long, hide = true, default_value_t = 1)]
    count: u64,
    #[arg(long, hide = true, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
    workers: u64,
}

/// One line of the table.
struct Case {
    name: &'static str,
    work: Work,
    workers: u64,
    count: u64,
    /// Events that rules can see in one piece of work.
    watched: bool,
}

const CASES: [Case; 8] = [
    Case { name: "fork+exec, 1 worker", work: Work::Exec, workers: 1, count: 4_000, watched: true },
    Case { name: "openat+close, 1 worker", work: Work::Open, workers: 1, count: 400_000, watched: true },
    Case { name: "openat+close, 2 workers", work: Work::Open, workers: 2, count: 800_000, watched: true },
    Case { name: "openat+close, 8 workers", work: Work::Open, workers: 8, count: 800_000, watched: true },
    Case { name: "UDP connect", work: Work::Udp, workers: 1, count: 400_000, watched: true },
    Case { name: "TCP connect, refused", work: Work::Tcp, workers: 1, count: 100_000, watched: true },
    Case { name: "getppid", work: Work::Getppid, workers: 1, count: 2_000_000, watched: false },
    Case { name: "read of 1 byte", work: Work::Read, workers: 1, count: 2_000_000, watched: false },
];

/// One measurement.
#[derive(Debug, Clone, Copy, Default)]
struct Sample {
    bare: f64,
    watched: f64,
    /// CPU seconds of the sensor.
    cpu: f64,
    events: f64,
    lost: f64,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    if let Some(work) = args.load {
        let took =
            load::run(work, args.count, args.workers).map_err(|e| Failure::new(Class::Unavailable, e))?;
        println!("{}", took.as_nanos());
        return Ok(());
    }
    measure(args).map_err(Failure::from)
}

fn measure(args: &Args) -> Result<()> {
    let mut samples = vec![Vec::new(); CASES.len()];
    let mut ready = Vec::new();
    let mut idle = Vec::new();
    let mut memory = Vec::new();
    for round in 1..=args.rounds {
        eprintln!("round {round} of {}", args.rounds);
        let mut bare = Vec::new();
        for case in &CASES {
            bare.push(work(case, args.quick)?);
        }
        let mut sensor = Sensor::start(&args.rules)?;
        ready.push(sensor.ready.as_secs_f64());
        idle.push(sensor.idle(Duration::from_secs(if args.quick { 1 } else { 5 }))?);
        for ((case, bare), samples) in CASES.iter().zip(bare).zip(&mut samples) {
            let before = sensor.read()?;
            let watched = work(case, args.quick)?;
            let after = sensor.settled()?;
            samples.push(Sample {
                bare,
                watched,
                cpu: after.cpu - before.cpu,
                events: after.events - before.events,
                lost: after.lost - before.lost,
            });
        }
        memory.push(sensor.memory()?);
        sensor.stop()?;
    }
    let binary = std::fs::metadata(std::env::current_exe()?)?.len();
    let report = Report { args, samples, ready, idle, memory, binary };
    if args.json {
        report.json();
    } else {
        report.table();
    }
    Ok(())
}

/// Seconds that the work of a case takes now.
fn work(case: &Case, quick: bool) -> Result<f64> {
    let count = if quick { case.count / 10 } else { case.count };
    let output = Command::new(std::env::current_exe()?)
        .arg("bench")
        .arg("--load")
        .arg(clap::ValueEnum::to_possible_value(&case.work).context("a work has a name")?.get_name())
        .args(["--count", &count.to_string(), "--workers", &case.workers.to_string()])
        .output()
        .context("cannot start the work")?;
    if !output.status.success() {
        bail!("{}: {}", case.name, String::from_utf8_lossy(&output.stderr));
    }
    let nanoseconds: f64 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
    Ok(nanoseconds / 1e9)
}

/// All that was measured.
struct Report<'a> {
    args: &'a Args,
    samples: Vec<Vec<Sample>>,
    ready: Vec<f64>,
    idle: Vec<f64>,
    memory: Vec<f64>,
    binary: u64,
}

/// Medians of one case.
struct Line {
    name: &'static str,
    slower: f64,
    added_ns: f64,
    rate: f64,
    lost: f64,
    cpu_per_million: Option<f64>,
}

impl Report<'_> {
    fn lines(&self) -> Vec<Line> {
        CASES
            .iter()
            .zip(&self.samples)
            .map(|(case, samples)| {
                let count = case.count as f64 / if self.args.quick { 10.0 } else { 1.0 };
                let of = |get: &dyn Fn(&Sample) -> f64| median(samples.iter().map(get).collect());
                Line {
                    name: case.name,
                    slower: of(&|s| s.watched / s.bare - 1.0),
                    added_ns: of(&|s| (s.watched - s.bare) * 1e9 / count),
                    rate: of(&|s| s.events / s.watched),
                    lost: of(&|s| s.lost / (s.events + s.lost).max(1.0)),
                    cpu_per_million: case.watched.then(|| of(&|s| s.cpu * 1e6 / s.events.max(1.0))),
                }
            })
            .collect()
    }

    fn table(&self) {
        println!("| work | slow-down | added ns | events/s seen | lost | sensor CPU, s per million events |");
        println!("|---|---|---|---|---|---|");
        for line in self.lines() {
            let cpu = line.cpu_per_million.map_or("-".to_owned(), |cpu| format!("{cpu:.2}"));
            println!(
                "| {} | {:+.0} % | {:+.0} | {:.0} k | {:.1} % | {cpu} |",
                line.name,
                line.slower * 100.0,
                line.added_ns,
                line.rate / 1e3,
                line.lost * 100.0,
            );
        }
        println!(
            "\nIdle: {:.2} % of a core. Memory (RSS) after the load: {:.0} MB. Start to ready: {:.2} s. Binary: {:.1} MB.",
            median(self.idle.clone()) * 100.0,
            median(self.memory.clone()) / 1e6,
            median(self.ready.clone()),
            self.binary as f64 / 1e6,
        );
        println!("{} CPUs, Linux {}, medians of {}.", cpus(), kernel(), self.args.rounds);
    }

    fn json(&self) {
        let lines: Vec<_> = self
            .lines()
            .into_iter()
            .map(|l| {
                serde_json::json!({
                    "work": l.name, "slowdown": l.slower, "added_ns": l.added_ns, "events_per_second": l.rate,
                    "lost": l.lost, "cpu_seconds_per_million_events": l.cpu_per_million,
                })
            })
            .collect();
        let report = serde_json::json!({
            "cases": lines,
            "idle": median(self.idle.clone()),
            "rss_bytes": median(self.memory.clone()),
            "ready_seconds": median(self.ready.clone()),
            "binary_bytes": self.binary,
            "cpus": cpus(),
            "kernel": kernel(),
            "rounds": self.args.rounds,
            "version": env!("CARGO_PKG_VERSION"),
        });
        println!("{report}");
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn kernel() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!(median(Vec::new()).is_nan());
    }
}

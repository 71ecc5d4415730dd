//! What the sensor costs on this machine, measured beside the same work without it.
#![expect(clippy::cast_precision_loss, reason = "counts and sizes here are far below 2^52")]

pub mod load;
mod sensor;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use load::Work;
use sensor::Sensor;

/// How to measure.
pub struct Settings {
    /// Rounds; each runs all work once without and once with the sensor.
    pub rounds: u32,
    /// A tenth of the work.
    pub quick: bool,
    /// Rule files instead of the stock rules.
    pub rules: Vec<PathBuf>,
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

/// Measures everything.
pub fn measure(settings: &Settings) -> Result<Report> {
    let mut samples = vec![Vec::new(); CASES.len()];
    let mut ready = Vec::new();
    let mut idle = Vec::new();
    let mut memory = Vec::new();
    for round in 1..=settings.rounds {
        eprintln!("round {round} of {}", settings.rounds);
        let mut bare = Vec::new();
        for case in &CASES {
            bare.push(work(case, settings.quick)?);
        }
        let mut sensor = Sensor::start(&settings.rules)?;
        ready.push(sensor.ready.as_secs_f64());
        idle.push(sensor.idle(Duration::from_secs(if settings.quick { 1 } else { 5 }))?);
        for ((case, bare), samples) in CASES.iter().zip(bare).zip(&mut samples) {
            let before = sensor.read()?;
            let watched = work(case, settings.quick)?;
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
    Ok(Report {
        lines: lines(&samples, settings.quick),
        idle: median(idle),
        memory: median(memory),
        ready: median(ready),
        binary,
        cpus: cpus(),
        kernel: kernel(),
    })
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

/// All that was measured: medians over the rounds.
pub struct Report {
    pub lines: Vec<Line>,
    /// Share of a core while nothing happens.
    pub idle: f64,
    /// Resident bytes after the load.
    pub memory: f64,
    /// Seconds from start to ready.
    pub ready: f64,
    /// Bytes of the binary.
    pub binary: u64,
    pub cpus: usize,
    /// Its release.
    pub kernel: String,
}

/// Medians of one case.
pub struct Line {
    pub name: &'static str,
    /// Time with the sensor over time without, minus 1.
    pub slower: f64,
    /// Nanoseconds that one piece of work takes longer.
    pub added_ns: f64,
    /// Events a second that the sensor looked at.
    pub rate: f64,
    /// Share of the events that were lost.
    pub lost: f64,
    /// CPU seconds of the sensor for a million events; `None` for work that no rule asks about.
    pub cpu_per_million: Option<f64>,
}

fn lines(samples: &[Vec<Sample>], quick: bool) -> Vec<Line> {
    CASES
        .iter()
        .zip(samples)
        .map(|(case, samples)| {
            let count = case.count as f64 / if quick { 10.0 } else { 1.0 };
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

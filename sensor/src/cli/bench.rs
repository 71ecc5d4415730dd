//! `falconet bench`: what the sensor costs on this machine.

use std::path::PathBuf;

use crate::app::bench::load::{self, Work};
use crate::app::bench::{self, Report, Settings};
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

pub fn run(args: &Args) -> Result<(), Failure> {
    if let Some(work) = args.load {
        let took =
            load::run(work, args.count, args.workers).map_err(|e| Failure::new(Class::Unavailable, e))?;
        println!("{}", took.as_nanos());
        return Ok(());
    }
    let settings = Settings { rounds: args.rounds, quick: args.quick, rules: args.rules.clone() };
    let report = bench::measure(&settings)?;
    if args.json {
        json(&report, args.rounds);
    } else {
        table(&report, args.rounds);
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "the size of a binary is far below 2^52")]
fn table(report: &Report, rounds: u32) {
    println!("| work | slow-down | added ns | events/s seen | lost | sensor CPU, s per million events |");
    println!("|---|---|---|---|---|---|");
    for line in &report.lines {
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
        report.idle * 100.0,
        report.memory / 1e6,
        report.ready,
        report.binary as f64 / 1e6,
    );
    println!("{} CPUs, Linux {}, medians of {rounds}.", report.cpus, report.kernel);
}

fn json(report: &Report, rounds: u32) {
    let lines: Vec<_> = report
        .lines
        .iter()
        .map(|l| {
            serde_json::json!({
                "work": l.name, "slowdown": l.slower, "added_ns": l.added_ns, "events_per_second": l.rate,
                "lost": l.lost, "cpu_seconds_per_million_events": l.cpu_per_million,
            })
        })
        .collect();
    let document = serde_json::json!({
        "cases": lines,
        "idle": report.idle,
        "rss_bytes": report.memory,
        "ready_seconds": report.ready,
        "binary_bytes": report.binary,
        "cpus": report.cpus,
        "kernel": report.kernel,
        "rounds": rounds,
        "version": env!("CARGO_PKG_VERSION"),
    });
    println!("{document}");
}

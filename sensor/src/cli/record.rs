//! `falconet record`: what the kernel tells, into a file, for `falconet replay`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::alert::log::size_of_text;
use crate::alert::query::time;
use crate::app::exit::Failure;
use crate::app::record::{self, Recorded, Settings};
use crate::app::settings;

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

pub fn run(args: Args) -> Result<(), Failure> {
    let settings = Settings {
        output: args.output,
        configuration: settings::Settings { config: args.config, options: args.options, rules: args.rules },
        events: args.events,
        filtered: args.filtered,
        time: args.time,
        max_size: args.max_size,
        containers: args.container,
        environment: !args.no_env,
    };
    let recorded = record::run(&settings)?;
    tell(&recorded, &settings.output);
    Ok(())
}

fn tell(recorded: &Recorded, path: &Path) {
    let Recorded { summary, total, took } = recorded;
    eprintln!(
        "{} records in {took:.1?} ({} seen, {} filtered, {} lost by the kernel, {} by the disk); {} has {}",
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

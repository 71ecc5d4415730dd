//! `falconet replay`: a recording judged by any rules, on any machine, without root.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::anyhow;
use clap::ValueEnum;
use serde_json::json;

use super::exit::{Class, Failure};
use crate::alert::Alert;
use crate::alert::json::JsonKeys;
use crate::capture::compare::{Compare, Difference};
use crate::capture::format::{End, Frame, Lost};
use crate::capture::read::read_all;
use crate::capture::{CaptureError, Header, Player, Reader};
use crate::config::Config;
use crate::engine::raise::TextOptions;
use crate::outputs::line::LineFormat;
use crate::rules::{self, RuleSet};

#[derive(clap::Args)]
pub struct Args {
    /// A file of `falconet record`.
    file: PathBuf,
    /// Configuration file [default: /etc/falconet/falconet.yaml, if it exists].
    #[arg(short = 'c', value_name = "FILE")]
    config: Option<PathBuf>,
    /// Rule file or directory instead of those of the configuration; repeatable.
    #[arg(short = 'r', long = "rules", value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// Set one option, e.g. `rule_matching=first`; repeatable.
    #[arg(short = 'o', long = "option", value_name = "KEY=VALUE")]
    options: Vec<String>,
    /// Show what these rules would say otherwise: `-` only the first rules raise it, `+` only these, `~` both, but not the same.
    /// Repeatable, as they may be several files.
    #[arg(long, value_name = "FILE")]
    diff: Vec<PathBuf>,
    /// Form of the alerts [default: as `json_output` says].
    #[arg(long, value_enum)]
    output: Option<Form>,
    /// Only alerts of this rule; repeatable.
    #[arg(long, value_name = "NAME")]
    rule: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Falco's line of text.
    Text,
    /// One JSON object per line.
    Json,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let mut config =
        Config::load(args.config.as_deref(), &args.options).map_err(|e| Failure::new(Class::Config, e))?;
    if !args.rules.is_empty() {
        config.sensor.rules_files.clone_from(&args.rules);
    }
    let format = match (args.output, config.outputs.line_format()) {
        (Some(Form::Text), _) => LineFormat::Text,
        (Some(Form::Json), LineFormat::Text) => LineFormat::Json(JsonKeys::default()),
        (_, format) => format,
    };
    let unreadable =
        |error: CaptureError| Failure::new(Class::NoInput, anyhow!("{}: {error}", args.file.display()));
    let file =
        File::open(&args.file).map_err(|source| unreadable(CaptureError::Read { offset: 0, source }))?;
    let mut reader = Reader::new(BufReader::new(file)).map_err(unreadable)?;
    let first = load(&config, &config.sensor.rules_files, reader.header())?;
    let text = TextOptions { iso_8601: config.sensor.time_format_iso_8601 };
    let printer = Printer { format, only: args.rule };
    let mut judges = if args.diff.is_empty() {
        tell_rules(&first, "");
        Judges::One { player: Player::new(reader.header(), first.clone(), text), alerts: BTreeMap::new() }
    } else {
        let second = load(&config, &args.diff, reader.header())?;
        tell_rules(&first, "first: ");
        tell_rules(&second, "second: ");
        let player = |rules: Arc<RuleSet>| Player::new(reader.header(), rules, text);
        Judges::Two(Box::new(Compare::new(player(first.clone()), player(second))))
    };
    let started = Instant::now();
    let mut seen = Seen::default();
    let ended = read_all(&mut reader, |frame| {
        seen.note(frame);
        judges.frame(frame, &printer);
    });
    let events = judges.events();
    seen.tell(reader.header());
    let time = started.elapsed();
    eprintln!(
        "{events} events in {time:.1?} ({:.0} a second), {} judged",
        events_per_second(events, time),
        judges.judged()
    );
    let differs = judges.tell(&first);
    match ended {
        Ok(()) => {}
        Err(error @ CaptureError::Truncated { .. }) => eprintln!("note: {error}"),
        Err(error) => return Err(unreadable(error)),
    }
    if differs {
        return Err(Failure::new(Class::Failed, anyhow!("the two rule sets differ on this capture")));
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn events_per_second(events: u64, time: std::time::Duration) -> f64 {
    events as f64 / time.as_secs_f64().max(1e-9)
}

/// The rules, with everything inactive that the capture has no events for.
fn load(config: &Config, files: &[PathBuf], header: &Header) -> Result<Arc<RuleSet>, Failure> {
    let sensor = &config.sensor;
    let sources = if files.is_empty() {
        rules::stock()
    } else {
        rules::files::read(files).map_err(|e| Failure::new(Class::Unjudged, e))?
    };
    let options = rules::Options {
        priority: sensor.priority,
        selections: sensor.rules.clone(),
        append_output: sensor.append_output.clone(),
        matching: sensor.rule_matching,
        captured: Some(header.event_types().map(str::to_owned).collect()),
        ..rules::Options::default()
    };
    let loaded = rules::load(&sources, &options);
    match loaded.rules {
        Some(set) => Ok(Arc::new(set)),
        None => {
            let errors: Vec<String> =
                loaded.files.iter().flat_map(|f| &f.errors).map(ToString::to_string).collect();
            Err(Failure::new(Class::Unjudged, anyhow!("{}", errors.join("\n"))))
        }
    }
}

/// Rules that can say nothing here, so that nobody takes their silence for an answer.
fn tell_rules(rules: &RuleSet, which: &str) {
    for note in rules.notes() {
        eprintln!("note: {which}{note}");
    }
}

/// What the capture says of itself.
#[derive(Default)]
struct Seen {
    lost: Lost,
    end: Option<End>,
    last: u64,
}

impl Seen {
    fn note(&mut self, frame: &Frame<'_>) {
        match frame {
            Frame::Record(record) => self.last = record.header().time,
            Frame::Lost(lost) => self.lost = *lost,
            Frame::End(end) => self.end = Some(*end),
            _ => {}
        }
    }

    fn tell(&self, header: &Header) {
        let start = jiff::Timestamp::from_nanosecond(header.started.into()).unwrap_or_default();
        let seconds = self.last.saturating_sub(header.boot) / 1_000_000_000;
        eprintln!(
            "recorded on {} by falconet {} from {start:.0} on, {seconds} s",
            header.hostname, header.falconet
        );
        if self.lost != Lost::default() {
            eprintln!(
                "note: events are missing: {} lost by the kernel, {} by the recorder",
                self.lost.kernel, self.lost.recorder
            );
        }
        if header.filtered {
            eprintln!(
                "note: recorded with --filtered: opens that the rules of then did not ask about are missing"
            );
        }
        if !header.containers.is_empty() {
            eprintln!("note: recorded with --container {}", header.containers.join(", "));
        }
        if !header.environment {
            eprintln!("note: recorded with --no-env: environment variables are missing");
        }
        if self.end.is_none() {
            eprintln!("note: the recording did not end in order");
        }
    }
}

/// Prints alerts.
struct Printer {
    format: LineFormat,
    /// Rules whose alerts are printed; empty: all.
    only: Vec<String>,
}

impl Printer {
    fn wants(&self, rule: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == rule)
    }

    fn alert(&self, alert: &Alert) {
        print_line(&self.format.line(alert));
    }

    fn difference(&self, difference: &Difference) {
        let (sign, word, alert) = match difference {
            Difference::Gone(alert) => ('-', "first", alert),
            Difference::New(alert) => ('+', "second", alert),
            Difference::Changed(both) => ('~', "both", &both.1),
        };
        let line = self.format.line(alert);
        match self.format {
            LineFormat::Text => print_line(&format!("{sign} {line}")),
            LineFormat::Json(_) => {
                let alert: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
                print_line(&json!({"raised_by": word, "alert": alert}).to_string());
            }
        }
    }
}

/// A line on standard output. When nobody reads it any more, there is nothing left to do.
fn print_line(line: &str) {
    let mut out = io::stdout().lock();
    if out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).is_err() {
        std::process::exit(i32::from(Class::Failed as u8));
    }
}

/// Who judges.
enum Judges {
    One { player: Player, alerts: BTreeMap<String, u64> },
    Two(Box<Compare>),
}

impl Judges {
    fn frame(&mut self, frame: &Frame<'_>, printer: &Printer) {
        match self {
            Self::One { player, alerts } => {
                player.frame(frame);
                for alert in player.take() {
                    if printer.wants(&alert.rule) {
                        printer.alert(&alert);
                        *alerts.entry(alert.rule).or_default() += 1;
                    }
                }
            }
            Self::Two(compare) => {
                for difference in compare.frame(frame) {
                    if printer.wants(difference.rule()) {
                        printer.difference(&difference);
                    }
                }
            }
        }
    }

    fn events(&self) -> u64 {
        match self {
            Self::One { player, .. } => player.events(),
            Self::Two(compare) => compare.first().events(),
        }
    }

    fn judged(&self) -> u64 {
        match self {
            Self::One { player, .. } => player.judged(),
            Self::Two(compare) => compare.first().judged() + compare.second().judged(),
        }
    }

    /// The summary by rule. True when two rule sets differ.
    fn tell(&self, rules: &RuleSet) -> bool {
        match self {
            Self::One { alerts, .. } => {
                let total: u64 = alerts.values().sum();
                eprintln!("{total} alerts");
                for rule in rules.rules() {
                    if let Some(count) = alerts.get(&rule.name) {
                        eprintln!("{count:>10}  {}", rule.name);
                    }
                }
                false
            }
            Self::Two(compare) => {
                let mut differs = false;
                eprintln!("{:>10} {:>10} {:>10} {:>10}", "same", "- first", "+ second", "~ changed");
                for (rule, c) in compare.counts() {
                    eprintln!("{:>10} {:>10} {:>10} {:>10}  {rule}", c.same, c.gone, c.new, c.changed);
                    differs |= (c.gone, c.new, c.changed) != (0, 0, 0);
                }
                differs
            }
        }
    }
}

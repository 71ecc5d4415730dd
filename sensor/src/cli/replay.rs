//! `falconet replay`: a recording judged by any rules, on any machine, without root.

use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::anyhow;
use clap::ValueEnum;
use serde_json::json;

use crate::alert::Alert;
use crate::alert::json::JsonKeys;
use crate::app::exit::{Class, Failure};
use crate::app::replay::{Played, Replay, Said, Settings, Tally};
use crate::capture::cases::{self, Cases};
use crate::capture::compare::Difference;
use crate::capture::format::Lost;
use crate::capture::player::Only;
use crate::capture::{CaptureError, Header};
use crate::config::Config;
use crate::outputs::line::LineFormat;
use crate::rules::RuleSet;
use crate::rules::registry::event_types::captured;

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
    /// Only alerts of this container (its name, or the beginning of its id); repeatable.
    #[arg(long, value_name = "NAME")]
    container: Vec<String>,
    /// Instead of alerts, print a file of test cases for `rules test`: of each rule at most this many events on which it fires.
    #[arg(long, value_name = "COUNT", conflicts_with_all = ["diff", "output"])]
    to_cases: Option<u64>,
    /// Instead of alerts, print everything that is known of the event with this number (`evt.num`), for `rules explain --event`: the environments of the process and its ancestors too.
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["diff", "output", "to_cases"])]
    event: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Falco's line of text.
    Text,
    /// One JSON object per line.
    Json,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let config =
        Config::load(args.config.as_deref(), &args.options).map_err(|e| Failure::new(Class::Config, e))?;
    let format = match (args.output, config.outputs.line_format()) {
        (Some(Form::Text), _) => LineFormat::Text,
        (Some(Form::Json), LineFormat::Text) => LineFormat::Json(JsonKeys::default()),
        (_, format) => format,
    };
    let printer = Printer { format, alerts: args.to_cases.is_none() && args.event.is_none() };
    let only = Only { rules: args.rule.clone(), containers: args.container.clone() };
    let settings = Settings {
        file: args.file.clone(),
        rules: args.rules.clone(),
        diff: args.diff.clone(),
        only: only.clone(),
    };
    let mut replay = Replay::open(&settings, &config)?;
    match replay.rules() {
        (first, None) => tell_rules(first, replay.header(), ""),
        (first, Some(second)) => {
            tell_rules(first, replay.header(), "first: ");
            tell_rules(second, replay.header(), "second: ");
        }
    }
    if let Some(limit) = args.to_cases {
        write_cases(&mut replay, args, limit, only);
    } else if let Some(number) = args.event {
        write_event(&mut replay, number);
    }
    let played = replay.play(|said| printer.say(&said));
    tell_recording(replay.header(), &played);
    let differs = tell_tally(&replay);
    match &played.stopped {
        None => {}
        Some(error @ CaptureError::Truncated { .. }) => eprintln!("note: {error}"),
        Some(error) => return Err(replay.unreadable(error)),
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

/// Has test cases printed on the way.
fn write_cases(replay: &mut Replay, args: &Args, limit: u64, only: Only) {
    let list = |texts: &mut dyn Iterator<Item = String>| {
        texts.map(|text| json!(text).to_string()).collect::<Vec<_>>().join(", ")
    };
    let files = list(&mut args.rules.iter().map(|path| path.display().to_string()));
    print_line(
        "# Made from a capture. The paths of the rules are meant from the folder of this file: adapt them.",
    );
    print_line(&format!("rules: [{files}]"));
    if !args.options.is_empty() {
        print_line(&format!("options: [{}]", list(&mut args.options.iter().cloned())));
    }
    print_line("cases:");
    let mut cases = Cases::new(replay.rules().0.clone(), limit);
    replay.observe(Box::new(move |readings| {
        let number = readings.first().map_or(0, |event| event.number);
        if let Some(case) = cases.of(readings, number, |rule| only.rule(rule)) {
            print_line(case.trim_end());
        }
    }));
}

/// Has one event printed on the way.
fn write_event(replay: &mut Replay, number: u64) {
    replay.observe(Box::new(move |readings| {
        if let Some(event) = readings.first().filter(|event| event.number == number) {
            print_line(cases::whole(event).trim_end());
        }
    }));
}

/// What the rules cannot say here, so that nobody takes their silence for an answer.
fn tell_rules(rules: &RuleSet, header: &Header, which: &str) {
    for note in rules.notes(usize::MAX) {
        eprintln!("note: {which}{note}");
    }
    let held: Vec<&str> = header.event_types().collect();
    let seen = captured();
    let missing: Vec<&str> =
        rules.event_types().into_iter().filter(|name| seen.contains(*name) && !held.contains(name)).collect();
    if !missing.is_empty() {
        eprintln!(
            "note: {which}rules ask about events that the capture does not hold: {}",
            missing.join(", ")
        );
    }
}

/// What the recording says of itself, and how fast it was judged.
fn tell_recording(header: &Header, played: &Played) {
    let start = jiff::Timestamp::from_nanosecond(header.started.into()).unwrap_or_default();
    let seconds = played.last.saturating_sub(header.boot) / 1_000_000_000;
    eprintln!(
        "recorded on {} by falconet {} from {start:.0} on, {seconds} s",
        header.hostname, header.falconet
    );
    if played.lost != Lost::default() {
        eprintln!(
            "note: events are missing: {} lost by the kernel, {} by the recorder",
            played.lost.kernel, played.lost.recorder
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
    if played.end.is_none() {
        eprintln!("note: the recording did not end in order");
    }
    eprintln!(
        "{} events in {:.1?} ({:.0} a second), {} judged",
        played.events,
        played.took,
        events_per_second(played.events, played.took),
        played.judged
    );
}

/// Prints alerts.
struct Printer {
    format: LineFormat,
    /// False when something else is printed.
    alerts: bool,
}

impl Printer {
    fn say(&self, said: &Said) {
        match said {
            Said::Alert(alert) => self.alert(alert),
            Said::Difference(difference) => self.difference(difference),
        }
    }

    fn alert(&self, alert: &Alert) {
        if self.alerts {
            print_line(&self.format.line(alert));
        }
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

/// The summary by rule. True when two rule sets differ.
fn tell_tally(replay: &Replay) -> bool {
    match replay.tally() {
        Tally::Alerts(alerts) => {
            let total: u64 = alerts.values().sum();
            eprintln!("{total} alerts");
            for rule in replay.rules().0.rules() {
                if let Some(count) = alerts.get(&rule.name) {
                    eprintln!("{count:>10}  {}", rule.name);
                }
            }
            false
        }
        Tally::Differences(counts) => {
            let mut differs = false;
            eprintln!("{:>10} {:>10} {:>10} {:>10}", "same", "- first", "+ second", "~ changed");
            for (rule, c) in counts {
                eprintln!("{:>10} {:>10} {:>10} {:>10}  {rule}", c.same, c.gone, c.new, c.changed);
                differs |= (c.gone, c.new, c.changed) != (0, 0, 0);
            }
            differs
        }
    }
}

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

use crate::alert::Alert;
use crate::alert::json::JsonKeys;
use crate::app::exit::{Class, Failure};
use crate::app::names::HostNames;
use crate::app::ruleset;
use crate::app::sight;
use crate::capture::cases::{self, Cases};
use crate::capture::compare::{Compare, Difference};
use crate::capture::format::{End, Frame, Lost};
use crate::capture::player::Only;
use crate::capture::read::read_all;
use crate::capture::{CaptureError, Header, Player, Reader};
use crate::config::Config;
use crate::engine::raise::TextOptions;
use crate::outputs::line::LineFormat;
use crate::rules::registry::event_types::captured;
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
    let unreadable =
        |error: CaptureError| Failure::new(Class::NoInput, anyhow!("{}: {error}", args.file.display()));
    let file = File::open(&args.file).map_err(|cause| unreadable(CaptureError::Read { offset: 0, cause }))?;
    let mut reader = Reader::new(BufReader::new(file)).map_err(unreadable)?;
    let first = load(&config, &args.rules, reader.header())?;
    let text = TextOptions { iso_8601: config.sensor.time_format_iso_8601 };
    let printer = Printer { format, alerts: args.to_cases.is_none() && args.event.is_none() };
    let only = Only { rules: args.rule.clone(), containers: args.container.clone() };
    let mut judges = if args.diff.is_empty() {
        tell_rules(&first, reader.header(), "");
        let mut player = Player::new(reader.header(), first.clone(), text, only.clone());
        if let Some(limit) = args.to_cases {
            write_cases(&mut player, args, first.clone(), limit, only.clone());
        } else if let Some(number) = args.event {
            write_event(&mut player, number);
        }
        Judges::One { player: Box::new(player), alerts: BTreeMap::new() }
    } else {
        let second = load(&config, &args.diff, reader.header())?;
        tell_rules(&first, reader.header(), "first: ");
        tell_rules(&second, reader.header(), "second: ");
        let player = |rules: Arc<RuleSet>| Player::new(reader.header(), rules, text, only.clone());
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
/// `named`: files that must be there, instead of those of the configuration.
fn load(config: &Config, named: &[PathBuf], header: &Header) -> Result<Arc<RuleSet>, Failure> {
    let sources =
        if named.is_empty() { ruleset::read(&config.rules) } else { rules::source::files::read(named) };
    let sources = sources.map_err(|e| Failure::new(Class::Unjudged, e))?;
    let held = header.event_types().map(str::to_owned).collect();
    let sight = rules::Sight { events: Some(held), ..sight::anywhere() };
    let rules = ruleset::load(&config.rules, &sources, &sight, Arc::new(HostNames::default())).into_rules();
    rules.map(Arc::new).map_err(|error| Failure::new(Class::Unjudged, error))
}

/// Has test cases printed on the way.
fn write_cases(player: &mut Player, args: &Args, rules: Arc<RuleSet>, limit: u64, only: Only) {
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
    let mut cases = Cases::new(rules, limit);
    player.observe(Box::new(move |event| {
        if let Some(case) = cases.of(event, event.number, |rule| only.rule(rule)) {
            print_line(case.trim_end());
        }
    }));
}

/// Has one event printed on the way.
fn write_event(player: &mut Player, number: u64) {
    player.observe(Box::new(move |event| {
        if event.number == number {
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
    /// False when something else is printed.
    alerts: bool,
}

impl Printer {
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

/// Who judges.
enum Judges {
    One { player: Box<Player>, alerts: BTreeMap<String, u64> },
    Two(Box<Compare>),
}

impl Judges {
    fn frame(&mut self, frame: &Frame<'_>, printer: &Printer) {
        match self {
            Self::One { player, alerts } => {
                player.frame(frame);
                for alert in player.take() {
                    printer.alert(&alert);
                    *alerts.entry(alert.rule).or_default() += 1;
                }
            }
            Self::Two(compare) => {
                for difference in compare.frame(frame) {
                    printer.difference(&difference);
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

//! A recording judged by rules, on any machine and without root: by one rule set, or by two side by side.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;

use super::exit::{Class, Failure};
use super::names::HostNames;
use super::{ruleset, sight};
use crate::alert::Alert;
use crate::capture::compare::{Compare, Counts, Difference};
use crate::capture::format::{End, Frame, Lost};
use crate::capture::player::Only;
use crate::capture::read::read_all;
use crate::capture::{CaptureError, Header, Player, Reader};
use crate::config::Config;
use crate::engine::judge::Observer;
use crate::engine::raise::TextOptions;
use crate::rules::{self, RuleSet, Sight};

/// What to replay.
pub struct Settings {
    /// A file of the recorder.
    pub file: PathBuf,
    /// Rule files instead of those of the configuration.
    pub rules: Vec<PathBuf>,
    /// Rule files of the second set; without any, one set judges.
    pub diff: Vec<PathBuf>,
    /// The alerts that are wanted.
    pub only: Only,
}

/// What a frame of the recording brings up.
pub enum Said {
    Alert(Alert),
    Difference(Difference),
}

/// A recording whose rules are loaded.
pub struct Replay {
    file: PathBuf,
    reader: Reader<BufReader<File>>,
    first: Arc<RuleSet>,
    second: Option<Arc<RuleSet>>,
    judges: Judges,
}

/// Who judges.
enum Judges {
    One { player: Box<Player>, alerts: BTreeMap<String, u64> },
    Two(Box<Compare>),
}

/// What a recording was, when all of it was read.
pub struct Played {
    /// Of all events.
    pub events: u64,
    /// Those that rules were asked about, by each set.
    pub judged: u64,
    pub took: Duration,
    /// What the recorder said of losses.
    pub lost: Lost,
    /// `None` when the recording did not end in order.
    pub end: Option<End>,
    /// `CLOCK_BOOTTIME` ns of the last record.
    pub last: u64,
    /// Why the rest could not be read.
    pub stopped: Option<CaptureError>,
}

/// What the rules said, by rule.
pub enum Tally<'r> {
    Alerts(&'r BTreeMap<String, u64>),
    Differences(&'r BTreeMap<String, Counts>),
}

impl Replay {
    /// Opens the recording and loads the rules. What it has no events for is inactive.
    pub fn open(settings: &Settings, config: &Config) -> Result<Self, Failure> {
        let unreadable = |error| unreadable(&settings.file, &error);
        let file = File::open(&settings.file)
            .map_err(|cause| unreadable(CaptureError::Read { offset: 0, cause }))?;
        let reader = Reader::new(BufReader::new(file)).map_err(unreadable)?;
        let header = reader.header();
        let text = TextOptions { iso_8601: config.sensor.time_format_iso_8601 };
        let player = |rules: &Arc<RuleSet>| Player::new(header, rules.clone(), text, settings.only.clone());
        let first = load(config, &settings.rules, header)?;
        let second =
            if settings.diff.is_empty() { None } else { Some(load(config, &settings.diff, header)?) };
        let judges = match &second {
            None => Judges::One { player: Box::new(player(&first)), alerts: BTreeMap::new() },
            Some(second) => Judges::Two(Box::new(Compare::new(player(&first), player(second)))),
        };
        Ok(Self { file: settings.file.clone(), reader, first, second, judges })
    }

    pub fn header(&self) -> &Header {
        self.reader.header()
    }

    /// The rule sets: one, or two to be compared.
    pub fn rules(&self) -> (&Arc<RuleSet>, Option<&Arc<RuleSet>>) {
        (&self.first, self.second.as_ref())
    }

    /// `observer` sees every event that is judged, when there is one rule set.
    pub fn observe(&mut self, observer: Observer) {
        if let Judges::One { player, .. } = &mut self.judges {
            player.observe(observer);
        }
    }

    /// Reads all of it. Calls `say` with what the rules say, in the order of the events.
    pub fn play(&mut self, mut say: impl FnMut(Said)) -> Played {
        let started = Instant::now();
        let (mut lost, mut end, mut last) = (Lost::default(), None, 0);
        let judges = &mut self.judges;
        let ended = read_all(&mut self.reader, |frame| {
            match frame {
                Frame::Record(record) => last = record.header().time,
                Frame::Lost(more) => lost = *more,
                Frame::End(frame) => end = Some(*frame),
                _ => {}
            }
            judges.frame(frame, &mut say);
        });
        Played {
            events: self.judges.events(),
            judged: self.judges.judged(),
            took: started.elapsed(),
            lost,
            end,
            last,
            stopped: ended.err(),
        }
    }

    /// What the rules said so far.
    pub fn tally(&self) -> Tally<'_> {
        match &self.judges {
            Judges::One { alerts, .. } => Tally::Alerts(alerts),
            Judges::Two(compare) => Tally::Differences(compare.counts()),
        }
    }

    /// The failure of the command when the rest cannot be read.
    pub fn unreadable(&self, error: &CaptureError) -> Failure {
        unreadable(&self.file, error)
    }
}

impl Judges {
    fn frame(&mut self, frame: &Frame<'_>, say: &mut impl FnMut(Said)) {
        match self {
            Self::One { player, alerts } => {
                player.frame(frame);
                for alert in player.take() {
                    *alerts.entry(alert.rule.clone()).or_default() += 1;
                    say(Said::Alert(alert));
                }
            }
            Self::Two(compare) => {
                compare.frame(frame).into_iter().map(Said::Difference).for_each(say);
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
}

fn unreadable(file: &Path, error: &CaptureError) -> Failure {
    Failure::new(Class::NoInput, anyhow!("{}: {error}", file.display()))
}

/// The rules, with everything inactive that the recording has no events for.
/// `named`: files that must be there, instead of those of the configuration.
fn load(config: &Config, named: &[PathBuf], header: &Header) -> Result<Arc<RuleSet>, Failure> {
    let sources =
        if named.is_empty() { ruleset::read(&config.rules) } else { rules::source::files::read(named) };
    let sources = sources.map_err(|e| Failure::new(Class::Unjudged, e))?;
    let held = header.event_types().map(str::to_owned).collect();
    let sight = Sight { events: Some(held), ..sight::anywhere() };
    let rules = ruleset::load(&config.rules, &sources, &sight, Arc::new(HostNames::default())).into_rules();
    rules.map(Arc::new).map_err(|error| Failure::new(Class::Unjudged, error))
}

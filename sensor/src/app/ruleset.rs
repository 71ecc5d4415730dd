//! From the configuration to the rules, and from the rules to what the kernel is asked for: at the start and at each reload.

use std::collections::BTreeMap;

use sensor_ebpf::filter::{Alternative, Filter, READ, WRITE};

use super::phases::Phases;
use crate::config::Config;
use crate::probe::Wanted;
use crate::rules::prefilter::Need;
use crate::rules::source::files::FilesError;
use crate::rules::{self, Loaded, RuleSet, Sight, Source};

/// Keys of the configuration that count at a reload.
pub const KEYS: [&str; 6] =
    ["rules_files", "rules_file", "rules", "rule_matching", "priority", "append_output"];

/// The configured rule files, or ours.
pub fn read(config: &Config) -> Result<Vec<Source>, FilesError> {
    if config.sensor.rules_files.is_empty() {
        Ok(rules::stock())
    } else {
        rules::source::files::configured(&config.sensor.rules_files)
    }
}

/// Compiles them as the configuration says, for a sensor that sees that much.
pub fn load(config: &Config, sources: &[Source], sight: &Sight) -> Loaded {
    let options = rules::Options { sight: sight.clone(), ..config.sensor.rule_options() };
    rules::load(sources, &options)
}

/// Where the rules come from, in words.
pub fn origin(config: &Config, sources: usize) -> String {
    let files = if config.sensor.rules_files.is_empty() { "stock rules" } else { "files" };
    format!("{sources} {files}")
}

/// Says which rules cannot fire, so that nobody waits for their alerts. Nothing when all can.
pub fn tell(set: &RuleSet) {
    /// Lines that a start and a reload print; the web app and `rules list` have all.
    const MOST: usize = 50;
    let notes = set.notes(MOST);
    if !notes.is_empty() {
        Phases::note(format_args!("{}:", set.tally()));
    }
    for note in notes {
        Phases::note(format_args!("  {note}"));
    }
}

/// What the kernel must tell for these rules. With `filter`, only what a rule can match.
pub fn wanted(rules: &RuleSet, filter: bool) -> Wanted {
    Wanted {
        event_types: rules.event_types().into_iter().map(str::to_owned).collect(),
        filters: if filter { filters(rules) } else { BTreeMap::new() },
    }
}

/// What the kernel may drop, from what the rules need.
fn filters(rules: &RuleSet) -> BTreeMap<String, Filter> {
    let alternative = |need: &Need| {
        let (path, whole) = need.path.as_ref().map_or((&[][..], false), |(path, whole)| (path, *whole));
        Alternative {
            access: if need.read { READ } else { 0 } | if need.write { WRITE } else { 0 },
            success: need.success.into(),
            ..Alternative::of_path(path, whole)
        }
    };
    rules
        .prefilter()
        .events()
        .filter_map(|(name, needs)| {
            let alternatives: Vec<Alternative> = needs.iter().map(alternative).collect();
            Some((name.to_owned(), Filter::of(&alternatives)?))
        })
        .collect()
}

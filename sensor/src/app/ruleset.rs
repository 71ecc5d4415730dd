//! From the configuration to the rules, and from the rules to what the kernel is asked for: at the start and at each reload.

use std::collections::BTreeMap;
use std::sync::Arc;

use sensor_ebpf::filter::{Alternative, Filter, READ, WRITE};

use super::phases::Phases;
use crate::config::RulesConfig;
use crate::probe::Wanted;
use crate::rules::prefilter::Need;
use crate::rules::source::files::FilesError;
use crate::rules::{self, Loaded, Names, RuleSet, Sight, Source};

/// The configured rule files, or ours.
pub fn read(config: &RulesConfig) -> Result<Vec<Source>, FilesError> {
    if config.rules_files.is_empty() {
        Ok(rules::stock())
    } else {
        rules::source::files::configured(&config.rules_files)
    }
}

/// What rules become on a sensor that sees that much.
pub fn options(config: &RulesConfig, sight: &Sight, names: Arc<dyn Names>) -> rules::Options {
    rules::Options { sight: sight.clone(), names, ..config.options() }
}

/// Compiles them as the configuration says, for a sensor that sees that much.
pub fn load(config: &RulesConfig, sources: &[Source], sight: &Sight, names: Arc<dyn Names>) -> Loaded {
    rules::load(sources, &options(config, sight, names))
}

/// Where the rules come from, in words.
pub fn origin(config: &RulesConfig, sources: usize) -> String {
    let files = if config.rules_files.is_empty() { "stock rules" } else { "files" };
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

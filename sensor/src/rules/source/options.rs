//! What loading needs to know beside the rule files: the sections `rules`, `priority`, `rule_matching` and
//! `append_output` of the configuration, in Falco's shape, and what the sensor can do.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;

use crate::rules::language::output::ExtraField;
use crate::rules::registry::field_set::FieldSet;
use crate::rules::registry::names::Names;
use crate::rules::registry::priority::Priority;
use crate::rules::registry::readings::Readings;
use crate::rules::registry::services::WellKnown;

/// How rules are chosen and what they print.
#[derive(Debug, Clone)]
pub struct Options {
    /// Rules less severe than this are loaded but not enabled.
    pub priority: Priority,
    /// Enables and disables, applied in order after loading.
    pub selections: Vec<Selection>,
    /// Additions to the outputs.
    pub append_output: Vec<AppendOutput>,
    pub matching: Matching,
    /// A rule that asks for a call means every call that does the same. Without it each name means itself, as in Falco.
    pub families: bool,
    /// Which names of an event count.
    pub readings: Readings,
    /// What the sensor can see.
    pub sight: Sight,
    /// What names of services and hosts stand for: without a host, those of a fixed table and nothing.
    pub names: Arc<dyn Names>,
    /// The rule engine version that we answer as.
    pub engine_version: (u64, u64, u64),
    /// Plugins that we stand in for, with their versions.
    pub plugins: Vec<(&'static str, (u64, u64, u64))>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            priority: Priority::Debug,
            selections: Vec::new(),
            append_output: vec![AppendOutput { suggested_output: true, ..AppendOutput::default() }],
            matching: Matching::All,
            families: false,
            readings: Readings::default(),
            sight: Sight::default(),
            names: Arc::new(WellKnown),
            engine_version: (0, 62, 0),
            plugins: vec![("container", (0, 7, 0))],
        }
    }
}

/// What the sensor at hand can see; by default everything, as where events are written by hand. A rule that needs more loads all
/// the same, and its status says what it lacks.
#[derive(Debug, Clone, Default)]
pub struct Sight {
    /// Names of the event types that it captures; `None`: all.
    pub events: Option<BTreeSet<String>>,
    /// Fields for which no event has a value.
    pub unfilled: FieldSet,
    /// Fields that the running kernel keeps from it.
    pub hidden: FieldSet,
}

impl Sight {
    /// All fields that have no value here.
    pub const fn blind(&self) -> FieldSet {
        self.unfilled.or(self.hidden)
    }
}

/// How many rules may fire on one event (`rule_matching`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Matching {
    /// The first in order of definition: what Falco does unless told otherwise.
    First,
    /// All of them.
    #[default]
    All,
}

/// One entry of `rules`: `enable: {rule: "Shell*"}`, `disable: {tag: network}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Selection {
    Enable(Selector),
    Disable(Selector),
}

/// Which rules are meant: those with the name, and those with the tag.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selector {
    /// Name of a rule; `*` stands for any run of characters.
    pub rule: Option<String>,
    /// A tag, in full.
    pub tag: Option<String>,
}

impl Selector {
    /// True when the rule has the name or the tag.
    pub fn selects(&self, name: &str, tags: &BTreeSet<String>) -> bool {
        self.rule.as_deref().is_some_and(|pattern| wildcard(pattern, name))
            || self.tag.as_ref().is_some_and(|tag| tags.contains(tag))
    }
}

/// `pattern`, whose `*` stand for any run of characters, matches all of `text`.
fn wildcard(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// One entry of `append_output`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AppendOutput {
    /// Which rules are meant; without it, all.
    #[serde(rename = "match")]
    pub matches: AppendMatch,
    /// Text with fields, added to the output after a blank.
    pub extra_output: Option<String>,
    /// Fields added to the JSON only.
    pub extra_fields: Vec<ExtraField>,
    /// Adds ` name=%field` for the fields that tell where an alert comes from: container and pod.
    pub suggested_output: bool,
}

/// Conditions of an `append_output` entry; all that are given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AppendMatch {
    pub source: Option<String>,
    /// The rule has all of these tags.
    pub tags: Vec<String>,
    /// Name of the rule, in full.
    pub rule: Option<String>,
}

impl AppendMatch {
    pub fn matches(&self, name: &str, source: &str, tags: &BTreeSet<String>) -> bool {
        self.source.as_deref().is_none_or(|s| s == source)
            && self.rule.as_deref().is_none_or(|r| r == name)
            && self.tags.iter().all(|tag| tags.contains(tag))
    }
}

/// What `suggested_output` adds, in this order.
pub const SUGGESTED: [&str; 6] = [
    "container.id",
    "container.name",
    "container.image.repository",
    "container.image.tag",
    "k8s.pod.name",
    "k8s.ns.name",
];

/// Parses `x.y.z`.
pub fn version(text: &str) -> Option<(u64, u64, u64)> {
    // A pre-release or build suffix does not count in the comparison.
    let core = text.split(['-', '+']).next()?;
    // As in Falco, what follows the third number is not read.
    let mut parts = core.split('.').map(|part| part.parse::<u64>().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

/// True when what is there (`have`) can stand in for what is asked for: the same major version, not older.
pub fn compatible(have: (u64, u64, u64), asked: (u64, u64, u64)) -> bool {
    have.0 == asked.0 && have >= asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, text, matches) in [
            ("*", "", true),
            ("*", "any", true),
            ("Read*", "Read sensitive file", true),
            ("*file", "Read sensitive file", true),
            ("*sens*", "Read sensitive file", true),
            ("R*e*e", "Read sensitive file", true),
            ("Read", "Read sensitive file", false),
            ("a*a", "a", false),
            ("", "", true),
        ] {
            assert_eq!(wildcard(pattern, text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn versions() {
        assert_eq!(version("0.57.0"), Some((0, 57, 0)));
        assert_eq!(version("0.62.0.1"), Some((0, 62, 0)));
        assert_eq!((version("1.2"), version("1.x.0")), (None, None));
        assert!(compatible((0, 62, 0), (0, 57, 0)));
        assert!(!compatible((0, 62, 0), (0, 63, 0)) && !compatible((1, 0, 0), (0, 5, 0)));
    }

    #[test]
    fn falcos_shape_of_the_configuration() {
        let rules: Vec<Selection> =
            serde_json::from_str(r#"[{"disable": {"rule": "*"}}, {"enable": {"tag": "network"}}]"#).unwrap();
        assert!(matches!(&rules[1], Selection::Enable(s) if s.tag.as_deref() == Some("network")));
        let append: Vec<AppendOutput> = serde_json::from_str(
            r#"[{"match": {"tags": ["x"]}, "extra_fields": ["proc.pid", {"k": "v %proc.name"}]}, {"suggested_output": true}]"#,
        )
        .unwrap();
        assert_eq!(append[0].extra_fields.len(), 2);
        assert!(append[1].suggested_output);
    }
}

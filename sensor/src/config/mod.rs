//! The YAML configuration: Falco's key names where Falco has them, falcosidekick's for the hub and its outputs, ours for the rest.
//!
//! Every part of the program describes its own keys; here they are put together, read with their places, and checked, so that a
//! misspelt key is an error with its line before anything starts.

pub mod document;
pub mod error;
mod keys;
pub mod overrides;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use document::Document;
pub use error::ConfigError;

use crate::alert::log::LogConfig;
use crate::engine::storm;
use crate::hub::HubConfig;
use crate::outputs::OutputsConfig;
use crate::outputs::registry::Destinations;
use crate::outputs::shared::SharedConfig;
use crate::rules::source::options::{AppendOutput, Selection};
use crate::rules::{Lineage, Matching, PathNames, Priority, Readings};
use crate::state::EnginesConfig;
use crate::ui::UiConfig;
use crate::yaml::Place;

/// Read when no `-c` is given and it exists.
pub const DEFAULT_FILE: &str = "/etc/falconet/falconet.yaml";

/// The whole configuration.
#[derive(Debug, Clone, Default)]
pub struct Config {
    pub sensor: SensorConfig,
    pub rules: RulesConfig,
    pub alert_log: LogConfig,
    pub hub: HubConfig,
    pub outputs: OutputsConfig,
    pub ui: UiConfig,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    given: Given,
}

/// What was given, key by key. It holds secrets, so it is not shown.
#[derive(Clone, Default)]
struct Given(Value);

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Given")
    }
}

/// Which rules, and what becomes of them. These keys, all of them and no others, count at a reload.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RulesConfig {
    /// Rule files and directories, in order; those that are not there are passed over. Without any, the stock rules. Falco's
    /// older name for it is `rules_file`.
    #[serde(alias = "rules_file", deserialize_with = "one_or_many")]
    pub rules_files: Vec<PathBuf>,
    /// Enables and disables, in order, e.g. `- disable: {rule: "Terminal*"}`.
    pub rules: Vec<Selection>,
    /// `all` rules that match an event fire, or only the `first`, as in Falco.
    pub rule_matching: Matching,
    /// A rule that asks for a system call means every call that does the same: `chmod` and `fchmodat`, `open` and `openat2`.
    pub event_families: bool,
    /// Which names of a path rules see: as `asked` for by the program, as Falco has it, as `resolved` by the kernel, or `both`,
    /// when a rule fires that holds for the one or for the other.
    pub path_names: PathNames,
    /// Which ancestors of a process rules see: as the kernel has them `current`ly, as Falco does, the `original` ones, that is who
    /// forked whom, or `both`, when a rule fires that holds for the ones or for the others.
    pub lineage: Lineage,
    /// Rules less severe than this are off.
    #[serde(deserialize_with = "priority")]
    pub priority: Priority,
    /// Additions to the outputs of rules. The default tells container and pod.
    pub append_output: Vec<AppendOutput>,
}

/// How the sensor works.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SensorConfig {
    /// UTC with the date instead of the local time of day at the beginning of an alert's text.
    pub time_format_iso_8601: bool,
    /// Load the rules again when a rule file or the configuration changes. On SIGHUP they are in any case.
    pub watch_config_files: bool,
    /// Where `falconet rules watch` and its neighbours reach the sensor; empty: nowhere. Without it as [`crate::control::SOCKET`] says.
    pub control_socket: Option<PathBuf>,
    /// Where container runtimes are found.
    pub container_engines: EnginesConfig,
    /// Containers that were there before the sensor make a `container` event: once each, which is remembered in the directory of the
    /// alert log. False: they make none, only those that start later do.
    pub container_found: bool,
    /// The eBPF programs drop events that no rule can match. The alerts are the same without; it only costs more.
    pub kernel_filter: bool,
    /// How often a rule may raise an alert before it is a storm, see [`crate::engine::storm`].
    pub storms: storm::Options,
    /// Kernel ring buffers, in MiB: the larger, the longer a burst that is outlived.
    pub buffer_mib: BufferSize,
}

/// A size between 1 and 512.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u16")]
pub struct BufferSize(u16);

impl TryFrom<u16> for BufferSize {
    type Error = String;

    fn try_from(mib: u16) -> Result<Self, String> {
        if (1..=512).contains(&mib) { Ok(Self(mib)) } else { Err(format!("{mib} is not between 1 and 512")) }
    }
}

impl BufferSize {
    pub fn bytes(self) -> usize {
        usize::from(self.0) << 20
    }
}

impl Default for RulesConfig {
    fn default() -> Self {
        let rules = crate::rules::Options::default();
        Self {
            rules_files: Vec::new(),
            rules: rules.selections,
            rule_matching: rules.matching,
            event_families: true,
            path_names: rules.readings.paths,
            lineage: rules.readings.lineage,
            priority: rules.priority,
            append_output: rules.append_output,
        }
    }
}

impl Default for SensorConfig {
    fn default() -> Self {
        Self {
            time_format_iso_8601: false,
            watch_config_files: true,
            control_socket: None,
            container_engines: EnginesConfig::default(),
            container_found: true,
            kernel_filter: true,
            storms: storm::Options::default(),
            buffer_mib: BufferSize(8),
        }
    }
}

impl RulesConfig {
    /// Names of its keys.
    pub fn keys() -> &'static [&'static str] {
        keys::of::<Self>()
    }

    /// What loading the rules needs to know of it.
    pub fn options(&self) -> crate::rules::Options {
        crate::rules::Options {
            priority: self.priority,
            selections: self.rules.clone(),
            append_output: self.append_output.clone(),
            matching: self.rule_matching,
            families: self.event_families,
            readings: Readings { paths: self.path_names, lineage: self.lineage },
            ..crate::rules::Options::default()
        }
    }
}

/// A path, or a list of them.
fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a path or a list of paths")]
    enum OneOrMany {
        One(PathBuf),
        Many(Vec<PathBuf>),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(path) => vec![path],
        OneOrMany::Many(paths) => paths,
    })
}

fn priority<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Priority, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}

impl Config {
    /// Reads `file` (or [`DEFAULT_FILE`], if it exists), then sets the `options` of the command line.
    pub fn load(file: Option<&Path>, options: &[String]) -> Result<Self, ConfigError> {
        let file = match file {
            Some(file) => Some(file.to_owned()),
            None => Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()),
        };
        Self::of(file, options)
    }

    /// Reads `file`, if one is given and whatever else this machine has, then sets the `options`.
    pub fn of(file: Option<PathBuf>, options: &[String]) -> Result<Self, ConfigError> {
        let mut document = match &file {
            None => Document::parse("").unwrap_or_default(),
            Some(path) => {
                let text = fs::read_to_string(path)
                    .map_err(|cause| ConfigError::Read { path: path.clone(), cause })?;
                Document::parse(&text).map_err(|mistake| ConfigError::Yaml { path: path.clone(), mistake })?
            }
        };
        for option in options {
            overrides::apply(&mut document.value, option)?;
        }
        Self::read(file, document)
    }

    fn read(file: Option<PathBuf>, document: Document) -> Result<Self, ConfigError> {
        let given = Given(document.value.clone());
        let mut parts = Parts::split(file.as_ref(), document)?;
        Ok(Self {
            sensor: parts.take()?,
            rules: parts.take()?,
            outputs: OutputsConfig { shared: parts.take()?, destinations: parts.take()? },
            hub: parts.take()?,
            alert_log: parts.section("alert_log")?,
            ui: parts.section("ui")?,
            file,
            given,
        })
    }

    /// Names of the top-level keys that were given otherwise, sorted.
    pub fn changed(&self, other: &Self) -> Vec<String> {
        let empty = Map::new();
        let (a, b) = (&self.given.0, &other.given.0);
        let (a, b) = (a.as_object().unwrap_or(&empty), b.as_object().unwrap_or(&empty));
        let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        keys.into_iter().filter(|key| a.get(*key) != b.get(*key)).cloned().collect()
    }
}

/// Sections with a struct of their own.
const SECTIONS: [&str; 2] = ["alert_log", "ui"];

/// The top level, handed out key by key.
struct Parts<'a> {
    file: Option<&'a PathBuf>,
    places: BTreeMap<String, Place>,
    keys: BTreeMap<String, Value>,
}

impl<'a> Parts<'a> {
    fn split(file: Option<&'a PathBuf>, document: Document) -> Result<Self, ConfigError> {
        let mut known: Vec<&str> = SECTIONS.to_vec();
        known.extend(keys::of::<SensorConfig>());
        known.extend(keys::of::<RulesConfig>());
        known.extend(keys::of::<SharedConfig>());
        known.extend(keys::of::<Destinations>());
        known.extend(keys::of::<HubConfig>());
        let empty = Map::new();
        let object = document.value.as_object().unwrap_or(&empty);
        if let Some(key) = object.keys().find(|key| !known.contains(&key.as_str())) {
            let list: Vec<String> = known.iter().map(|k| format!("`{k}`")).collect();
            let message = format!("unknown field `{key}`, expected one of {}", list.join(", "));
            return Err(error::value_error(file, &document.places, key, &message));
        }
        let both = ["rules_files", "rules_file"];
        if both.iter().all(|key| object.contains_key(*key)) {
            let message = "`rules_files` and `rules_file` are two names of one key; keep one of them";
            return Err(error::value_error(file, &document.places, both[1], message));
        }
        // A key without a value is as good as absent.
        let keys = object.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), v.clone())).collect();
        Ok(Self { file, places: document.places, keys })
    }

    /// The part whose keys stand at the top level.
    fn take<T: DeserializeOwned>(&mut self) -> Result<T, ConfigError> {
        let own: Map<String, Value> = keys::of::<T>()
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), self.keys.remove(*key)?)))
            .collect();
        self.typed("", Value::Object(own))
    }

    /// The part below one key.
    fn section<T: DeserializeOwned>(&mut self, key: &str) -> Result<T, ConfigError> {
        let value = self.keys.remove(key).unwrap_or_else(|| Value::Object(Map::new()));
        self.typed(key, value)
    }

    fn typed<T: DeserializeOwned>(&self, below: &str, value: Value) -> Result<T, ConfigError> {
        error::typed(self.file, &self.places, below, value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::registry;

    fn read(text: &str) -> Result<Config, ConfigError> {
        Config::read(Some("falconet.yaml".into()), Document::parse(text).unwrap())
    }

    #[test]
    fn keys_of_falco_and_falcosidekick_stand_side_by_side() {
        let config = read(
            "rules_files: [/etc/falco/falco_rules.yaml]\npriority: notice\njson_output: true\nrules:\n  - disable: {tag: network}\n\
             listenport: 2802\nTeams:\n  WebhookURL: https://example.invalid/x\nalert_log: {path: /tmp/x.db}\nui:\n",
        )
        .unwrap();
        assert_eq!(config.rules.rules_files, [PathBuf::from("/etc/falco/falco_rules.yaml")]);
        assert_eq!(config.rules.priority, Priority::Notice);
        assert_eq!(config.rules.rules.len(), 1);
        assert!(config.outputs.shared.json_output);
        assert_eq!(config.hub.listenport, 2802);
        assert_eq!(config.alert_log.path, PathBuf::from("/tmp/x.db"));
    }

    #[test]
    fn rule_files_have_an_old_name_and_may_be_one() {
        for text in
            ["rules_file: /a.yaml", "rules_file: [/a.yaml]", "rules_files: /a.yaml", "rules_files: [/a.yaml]"]
        {
            assert_eq!(read(text).unwrap().rules.rules_files, [PathBuf::from("/a.yaml")], "{text}");
        }
    }

    #[test]
    fn the_example_shows_the_defaults() {
        let text = include_str!("../../../docs/falconet.example.yaml");
        let example = read(text).unwrap();
        let default = Config::load(None, &[]).unwrap();
        let known = |config: &Config| Config { file: None, ..config.clone() };
        assert_eq!(format!("{:?}", known(&example)), format!("{:?}", known(&default)));
    }

    #[test]
    fn the_page_of_outputs_has_every_key_with_its_default() {
        let default = format!("{:?}", Config::default().outputs);
        for section in registry::sections() {
            let document = Document::parse(section.docs).unwrap();
            let config = Config::read(None, document).unwrap();
            assert_eq!(format!("{:?}", config.outputs), default, "{}", section.docs);
        }
        // The program itself lists the keys of a section to who asks for one that is not there.
        for section in registry::sections().filter(|section| !section.key.is_empty()) {
            let error = read(&format!("{}: {{nothing_like_it: 1}}", section.key)).unwrap_err().to_string();
            let (_, known) = error.split_once("known here: ").unwrap_or_else(|| panic!("{error}"));
            let document = Document::parse(section.docs).unwrap();
            for key in known.split(", ") {
                let path = format!("{}.{key}", section.key);
                assert!(document.places.contains_key(&path), "{path} is missing in\n{}", section.docs);
            }
        }
        let shared = registry::sections().last().unwrap();
        let document = Document::parse(shared.docs).unwrap();
        for key in keys::of::<SharedConfig>() {
            assert!(document.places.contains_key(*key), "{key} is missing in\n{}", shared.docs);
        }
    }

    #[test]
    fn mistakes_are_told_with_place_and_remedy() {
        for (text, says) in [
            ("json_ouput: true", "falconet.yaml:1:1: json_ouput: unknown key; did you mean `json_output`?"),
            ("a: 1\n", "falconet.yaml:1:1: a: unknown key; known here: "),
            (
                "\nteams:\n  webhokurl: x",
                "falconet.yaml:3:3: teams.webhokurl: unknown key; did you mean `webhookurl`?",
            ),
            ("alert_log:\n  max_age: soon", "falconet.yaml:2:3: alert_log.max_age: "),
            ("priority: high", "falconet.yaml:1:1: priority: unknown priority \"high\""),
            ("buffer_mib: 0", "not between 1 and 512"),
            ("storms: {rates: 1}", "falconet.yaml:1:10: storms.rates: unknown key; did you mean `rate`?"),
            ("rule_matching: fist", "unknown value; did you mean `first`?"),
            (
                "rules_files: [a]\nrules_file: [b]",
                "falconet.yaml:2:1: rules_file: `rules_files` and `rules_file` are two",
            ),
            ("rules_file: {a: b}", "falconet.yaml:1:1: rules_file: expected a path or a list of paths"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn what_changed_is_named_and_secrets_are_not() {
        let old = read("priority: notice\nui: {password: secret}\nrules: []").unwrap();
        let new = read("priority: notice\nui: {password: other}\njson_output: true").unwrap();
        assert_eq!(old.changed(&new), ["json_output", "rules", "ui"]);
        assert!(new.changed(&new.clone()).is_empty());
        assert!(!format!("{:?}", new.given).contains("other"));
    }

    #[test]
    fn options_of_the_command_line_win() {
        let config = Config::load(None, &["ui.listenport=0".into(), "json_output=true".into()]).unwrap();
        assert_eq!(config.ui.listenport, 0);
        assert!(config.outputs.shared.json_output);
        let error = Config::load(None, &["ui.listenprt=0".into()]).unwrap_err().to_string();
        assert!(error.contains("command line (-o)") && error.contains("`listenport`"), "{error}");
        let error = Config::load(Some(Path::new("/nonexistent.yaml")), &[]).unwrap_err().to_string();
        assert!(error.contains("/nonexistent.yaml"), "{error}");
    }
}

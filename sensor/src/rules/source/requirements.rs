//! What rule files require of the engine that loads them.
//!
//! The engine's version is compared where it is asked for. Plugins are compared after all files are read, and a missing one
//! is reported instead of any other error: that fields are unknown then is only a consequence.

use super::options::{self, Options};
use super::reader::{File, number};
use crate::rules::report::complaint::{Code, Complaint};
use crate::rules::report::source::Origin;
use crate::yaml::{Node, Yaml};

/// A version: major, minor, patch.
pub type Version = (u64, u64, u64);

/// A plugin and the least version of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plugin {
    pub name: String,
    /// As written.
    pub version: String,
    parsed: Version,
}

/// Plugins of which one must be there.
#[derive(Debug, Clone)]
pub struct Alternatives {
    /// The plugin that is asked for, then those that will do as well.
    pub plugins: Vec<Plugin>,
    at: Origin,
    /// Where the whole requirement stands.
    list_at: Origin,
}

/// Everything that the files read so far require.
#[derive(Debug, Clone, Default)]
pub struct Requirements {
    /// The newest engine asked for.
    pub engine: Option<Version>,
    pub plugins: Vec<Alternatives>,
}

const PLUGIN_KEYS: &[&str] = &["required_plugin_versions"];
const ENGINE_KEYS: &[&str] = &["required_engine_version"];

impl Requirements {
    /// Reads an item `required_engine_version`.
    pub fn engine(
        &mut self,
        file: File<'_>,
        item: &Node,
        options: &Options,
        warnings: &mut Vec<Complaint>,
    ) -> Result<(), Complaint> {
        const KEY: &str = "required_engine_version";
        let around = |complaint: Complaint| complaint.within(KEY, "", file.origin(item));
        warn_of_keys(file, item, ENGINE_KEYS, warnings, &around);
        let node = file.required(item, KEY).map_err(around)?;
        let text = file.scalar(node, KEY).map_err(around)?;
        let asked = match number(text) {
            Some(minor) => Some((0, minor.into(), 0)),
            None => options::version(text),
        };
        let Some(asked) = asked else {
            let message = format!(
                "Unable to parse engine version '{text}' as a semver string. Expected \"x.y.z\" semver format."
            );
            return Err(around(file.invalid(node, message)));
        };
        if !options::compatible(options.engine_version, asked) {
            let message = format!(
                "Rules require engine version {}, but engine version is {}",
                dotted(asked),
                dotted(options.engine_version)
            );
            let complaint = Complaint::new(Code::Validate, file.origin(node), message);
            return Err(around(complaint.spanning(text.len())));
        }
        self.engine = self.engine.max(Some(asked));
        Ok(())
    }

    /// Reads an item `required_plugin_versions`.
    pub fn plugins(
        &mut self,
        file: File<'_>,
        item: &Node,
        warnings: &mut Vec<Complaint>,
    ) -> Result<(), Complaint> {
        let Some(list) = item.get("required_plugin_versions") else { return Ok(()) };
        let around =
            |complaint: Complaint| complaint.within("required plugin versions", "", file.origin(list));
        warn_of_keys(file, item, PLUGIN_KEYS, warnings, &around);
        let Yaml::Seq(entries) = &list.yaml else {
            return Err(around(file.invalid(list, "Value of required_plugin_versions must be a sequence")));
        };
        for entry in entries {
            let plugins = alternatives(file, entry).map_err(around)?;
            self.plugins.push(Alternatives { plugins, at: file.origin(entry), list_at: file.origin(list) });
        }
        Ok(())
    }

    /// The first requirement that no plugin of ours meets.
    pub fn unmet(&self, options: &Options) -> Option<Complaint> {
        let met = |plugin: &Plugin| {
            let have = options.plugins.iter().find(|(name, _)| *name == plugin.name);
            have.is_some_and(|(_, version)| options::compatible(*version, plugin.parsed))
        };
        let unmet = self.plugins.iter().find(|entry| !entry.plugins.iter().any(met))?;
        let list: Vec<String> =
            unmet.plugins.iter().map(|plugin| format!("{} (>= {})", plugin.name, plugin.version)).collect();
        let message = format!("Plugin requirement not satisfied, must load one of: {}", list.join(", "));
        let name = unmet.plugins.first().map_or("", |plugin| plugin.name.as_str());
        Some(
            Complaint::new(Code::Validate, unmet.at, message)
                .within("required plugin versions entry", name, unmet.at)
                .within("required plugin versions", "", unmet.list_at),
        )
    }
}

fn warn_of_keys(
    file: File<'_>,
    item: &Node,
    known: &[&'static str],
    warnings: &mut Vec<Complaint>,
    around: &dyn Fn(Complaint) -> Complaint,
) {
    let mut said = Vec::new();
    file.unknown_keys(item, known, &mut said);
    warnings.extend(said.into_iter().map(around));
}

fn dotted((major, minor, patch): Version) -> String {
    format!("{major}.{minor}.{patch}")
}

/// One entry: a plugin and its alternatives.
fn alternatives(file: File<'_>, entry: &Node) -> Result<Vec<Plugin>, Complaint> {
    const ENTRY: &str = "required plugin versions entry";
    const ALTERNATIVE: &str = "required plugin versions alternative";
    let name = entry.get("name").and_then(Node::text).unwrap_or_default();
    let around = |complaint: Complaint| complaint.within(ENTRY, name, file.origin(entry));
    if !matches!(entry.yaml, Yaml::Map(_)) {
        return Err(around(file.invalid(entry, "Plugin version must be a mapping")));
    }
    let mut found = vec![plugin(file, entry).map_err(around)?];
    if let Some(list) = entry.get("alternatives").filter(|node| !node.is_null()) {
        let Yaml::Seq(alternatives) = &list.yaml else {
            let message = "Value of plugin version alternatives must be a sequence";
            return Err(around(file.invalid(list, message)));
        };
        for alternative in alternatives {
            let name = alternative.get("name").and_then(Node::text).unwrap_or_default();
            let inside =
                |complaint: Complaint| around(complaint.within(ALTERNATIVE, name, file.origin(alternative)));
            if !matches!(alternative.yaml, Yaml::Map(_)) {
                let message = "Plugin version alternative must be a mapping";
                return Err(inside(file.invalid(alternative, message)));
            }
            let next = plugin(file, alternative).map_err(inside)?;
            if found.iter().any(|plugin| plugin.name == next.name) {
                let message =
                    format!("Defined multiple alternative version requirements for plugin '{}'", next.name);
                let complaint = Complaint::new(Code::Validate, file.origin(alternative), message);
                return Err(inside(complaint));
            }
            found.push(next);
        }
    }
    Ok(found)
}

fn plugin(file: File<'_>, entry: &Node) -> Result<Plugin, Complaint> {
    let name = file.required_scalar(entry, "name")?;
    let node = file.required(entry, "version")?;
    let text = file.scalar(node, "version")?;
    let parsed = options::version(text).ok_or_else(|| {
        let message = format!("Invalid required version '{text}' for plugin '{name}'");
        Complaint::new(Code::Validate, file.origin(node), message).spanning(text.len())
    })?;
    Ok(Plugin { name: name.to_owned(), version: text.to_owned(), parsed })
}

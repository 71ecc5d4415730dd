//! All lists, macros and rules read so far: definition, redefinition, append and override, in Falco's order.
//!
//! A name keeps the position of its first definition (`index`); `visible` is the position of the latest definition or
//! append, which decides what its text may refer to.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::str::FromStr;

use super::Priority;
use super::diagnostic::{Code, Complaint};
use super::exceptions::{self, Exception};
use super::options::{self, Options};
use super::reader::File;
use super::text::{Origin, Text};
use super::yaml::{Node, Yaml};

/// Position of a definition and what it may refer to.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub index: usize,
    pub visible: usize,
    pub at: Origin,
}

#[derive(Debug, Clone)]
pub struct List {
    pub name: String,
    pub items: Vec<String>,
    pub place: Place,
}

#[derive(Debug, Clone)]
pub struct Macro {
    pub name: String,
    pub condition: Text,
    pub place: Place,
}

#[derive(Debug, Clone)]
pub struct Rule {
    pub name: String,
    pub condition: Text,
    pub output: Text,
    pub desc: String,
    pub priority: Priority,
    pub source: String,
    pub enabled: bool,
    pub tags: BTreeSet<String>,
    pub warn_evttypes: bool,
    pub skip_if_unknown_filter: bool,
    pub exceptions: Vec<Exception>,
    pub place: Place,
}

/// Items of one kind in order of definition, found by name.
#[derive(Debug, Clone)]
pub struct Items<T> {
    items: Vec<T>,
    by_name: HashMap<String, usize>,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self { items: Vec::new(), by_name: HashMap::new() }
    }
}

impl<T> Items<T> {
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.items.iter()
    }

    fn get_mut(&mut self, name: &str) -> Option<&mut T> {
        self.by_name.get(name).and_then(|at| self.items.get_mut(*at))
    }

    fn set(&mut self, name: &str, item: T) {
        if let Some(known) = self.get_mut(name) {
            *known = item;
        } else {
            self.by_name.insert(name.to_owned(), self.items.len());
            self.items.push(item);
        }
    }
}

#[derive(Debug, Default)]
pub struct Collector {
    pub lists: Items<List>,
    pub macros: Items<Macro>,
    pub rules: Items<Rule>,
    /// Rules left out because of their source; later appends to them are passed over.
    skipped: HashSet<String>,
    sequence: usize,
}

const LIST_KEYS: &[&str] = &["list", "items", "append", "override"];
const MACRO_KEYS: &[&str] = &["macro", "condition", "append", "override"];
const RULE_KEYS: &[&str] = &[
    "rule",
    "condition",
    "output",
    "desc",
    "priority",
    "source",
    "enabled",
    "capture",
    "capture_duration",
    "capture_events",
    "capture_filesize",
    "warn_evttypes",
    "skip-if-unknown-filter",
    "tags",
    "exceptions",
    "append",
    "override",
];
/// Rule keys that an override may append to.
const APPENDABLE: &[&str] = &["condition", "output", "desc", "tags", "exceptions"];
/// Rule keys that an override may replace.
const REPLACEABLE: &[&str] = &[
    "condition",
    "output",
    "desc",
    "priority",
    "tags",
    "exceptions",
    "enabled",
    "warn_evttypes",
    "skip-if-unknown-filter",
    "capture",
    "capture_duration",
];

/// What `append` and `override` of an item ask for.
struct Change<'n> {
    append: Vec<&'n str>,
    replace: Vec<&'n str>,
    /// Written as the old `append: true`.
    legacy: bool,
}

impl Change<'_> {
    fn appends(&self, key: &str) -> bool {
        self.append.contains(&key)
    }

    fn none(&self) -> bool {
        self.append.is_empty() && self.replace.is_empty() && !self.legacy
    }
}

impl Collector {
    /// Takes in every item of a file; stops at the first error.
    pub fn read(
        &mut self,
        file: File<'_>,
        documents: &[Node],
        options: &Options,
        warnings: &mut Vec<Complaint>,
    ) -> Result<(), Complaint> {
        for document in documents {
            let items = match &document.yaml {
                Yaml::Null => continue,
                Yaml::Seq(items) => items,
                Yaml::Scalar(_) => return Err(file.invalid(document, "Rules content is not yaml")),
                Yaml::Map(_) => {
                    return Err(file.invalid(document, "Rules content is not yaml array of objects"));
                }
            };
            for item in items.iter().filter(|item| !item.is_null()) {
                self.item(file, item, options, warnings)?;
            }
        }
        Ok(())
    }

    fn item(
        &mut self,
        file: File<'_>,
        item: &Node,
        options: &Options,
        warnings: &mut Vec<Complaint>,
    ) -> Result<(), Complaint> {
        if !matches!(item.yaml, Yaml::Map(_)) {
            let message = "Unexpected element type. Each element should be a yaml associative array.";
            return Err(file.invalid(item, message));
        }
        if item.get("required_engine_version").is_some() {
            return engine_version(file, item, options).map_err(|c| c.within("required_engine_version", ""));
        }
        if let Some(entries) = item.get("required_plugin_versions") {
            return plugin_versions(file, entries, options)
                .map_err(|c| c.within("required plugin versions", ""));
        }
        for (kind, keys) in [("list", LIST_KEYS), ("macro", MACRO_KEYS), ("rule", RULE_KEYS)] {
            if item.get(kind).is_none() {
                continue;
            }
            let name = file.required_scalar(item, kind).map_err(|c| c.within(kind, ""))?;
            let first = warnings.len();
            file.unknown_keys(item, keys, warnings);
            let read = match kind {
                "list" => self.list(file, item, name, warnings),
                "macro" => self.macro_(file, item, name, warnings),
                _ => self.rule(file, item, name, warnings),
            };
            for warning in &mut warnings[first..] {
                *warning = warning.clone().within(kind, name);
            }
            return read.map_err(|complaint| complaint.within(kind, name));
        }
        warnings.push(Complaint::new(Code::UnknownItem, file.origin(item), "Unknown top level item"));
        Ok(())
    }

    /// The place of a definition; keeps the index of an earlier one.
    fn place(&mut self, at: Origin, earlier: Option<Place>) -> Place {
        let visible = self.sequence;
        self.sequence += 1;
        Place { index: earlier.map_or(visible, |place| place.index), visible, at }
    }

    fn list(
        &mut self,
        file: File<'_>,
        item: &Node,
        name: &str,
        warnings: &mut Vec<Complaint>,
    ) -> Result<(), Complaint> {
        if name.contains(|c: char| c.is_ascii_whitespace() || "()\"'=,".contains(c)) {
            let message = format!("List has an invalid name '{name}'");
            warnings.push(Complaint::new(Code::InvalidListName, file.origin(item), message));
        }
        let change = change(file, item, &["items"], &["items"], warnings)?;
        let items = file.scalars(file.required(item, "items")?)?;
        let items: Vec<String> = items.into_iter().map(|(_, text)| text.to_owned()).collect();
        let earlier = self.lists.get_mut(name).map(|list| list.place);
        let place = self.place(file.origin(item), earlier);
        if !change.appends("items") {
            self.lists.set(name, List { name: name.to_owned(), items, place });
            return Ok(());
        }
        let Some(list) = self.lists.get_mut(name) else {
            let message =
                "List uses 'append' or 'override.items: append' but no list by that name already exists";
            return Err(Complaint::new(Code::Validate, file.origin(item), message));
        };
        list.items.extend(items);
        list.place.visible = place.visible;
        Ok(())
    }

    fn macro_(
        &mut self,
        file: File<'_>,
        item: &Node,
        name: &str,
        warnings: &mut Vec<Complaint>,
    ) -> Result<(), Complaint> {
        let valid = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !valid {
            let message = format!("Macro has an invalid name '{name}'");
            warnings.push(Complaint::new(Code::InvalidMacroName, file.origin(item), message));
        }
        let change = change(file, item, &["condition"], &["condition"], warnings)?;
        let condition = file.required_text(item, "condition")?;
        let earlier = self.macros.get_mut(name).map(|entry| entry.place);
        let place = self.place(file.origin(item), earlier);
        if !change.appends("condition") {
            self.macros.set(name, Macro { name: name.to_owned(), condition, place });
            return Ok(());
        }
        let Some(entry) = self.macros.get_mut(name) else {
            let message = "Macro uses 'append' or 'override.condition: append' but no macro by that name already exists";
            return Err(Complaint::new(Code::Validate, file.origin(item), message));
        };
        append(&mut entry.condition, &condition);
        entry.place.visible = place.visible;
        Ok(())
    }

    fn rule(
        &mut self,
        file: File<'_>,
        item: &Node,
        name: &str,
        warnings: &mut Vec<Complaint>,
    ) -> Result<(), Complaint> {
        let change = change(file, item, APPENDABLE, REPLACEABLE, warnings)?;
        if change.legacy || !change.none() {
            return self.change_rule(file, item, name, &change, warnings);
        }
        let parts = ["condition", "output", "desc", "priority"];
        if item.get("enabled").is_some() && parts.iter().all(|key| item.get(key).is_none()) {
            return self.toggle(file, item, name, warnings);
        }
        self.define(file, item, name, warnings)
    }

    fn toggle(
        &mut self,
        file: File<'_>,
        item: &Node,
        name: &str,
        warnings: &mut Vec<Complaint>,
    ) -> Result<(), Complaint> {
        let enabled = file.boolean(item, "enabled")?.unwrap_or(true);
        let message = "The standalone 'enabled' key usage is deprecated. The correct approach requires also specifying \
                       an 'override' entry, i.e. 'enabled: replace'";
        warnings.push(Complaint::new(Code::DeprecatedItem, file.origin(item), message));
        match self.rules.get_mut(name) {
            Some(rule) => rule.enabled = enabled,
            None if self.skipped.contains(name) => {}
            None => {
                let message = "Rule has 'enabled' key but no rule by that name already exists";
                return Err(Complaint::new(Code::Validate, file.origin(item), message));
            }
        }
        Ok(())
    }

    fn define(
        &mut self,
        file: File<'_>,
        item: &Node,
        name: &str,
        warnings: &mut Vec<Complaint>,
    ) -> Result<(), Complaint> {
        let source = match item.get("source").filter(|node| !node.is_null()) {
            Some(node) => match node.text() {
                Some("") => "syscall",
                Some(text) => text,
                None => return Err(file.invalid(node, "Value is not a scalar value")),
            },
            None => "syscall",
        };
        let condition = file.required_text(item, "condition")?;
        let output = file.required_text(item, "output")?;
        let desc = file.required_scalar(item, "desc")?.to_owned();
        let priority = priority(file, item)?;
        let mut rule_exceptions = Vec::new();
        if let Some(node) = item.get("exceptions") {
            exceptions::read(file, node, false, &mut rule_exceptions, warnings)?;
        }
        let earlier = self.rules.get_mut(name).map(|rule| (rule.place, rule.source.clone()));
        if let Some((_, before)) = &earlier
            && item.get("source").is_some()
            && before != source
        {
            let message = "Rule has been re-defined with a different source";
            return Err(Complaint::new(Code::Validate, file.origin(item), message));
        }
        if source != "syscall" {
            let at = item.get("source").map_or(file.origin(item), |node| file.origin(node));
            warnings.push(Complaint::new(
                Code::UnknownSource,
                at,
                format!("Unknown source {source}, skipping"),
            ));
            self.skipped.insert(name.to_owned());
            return Ok(());
        }
        let rule = Rule {
            name: name.to_owned(),
            condition,
            output,
            desc,
            priority,
            source: source.to_owned(),
            enabled: file.boolean(item, "enabled")?.unwrap_or(true),
            tags: tags(file, item)?,
            warn_evttypes: file.boolean(item, "warn_evttypes")?.unwrap_or(true),
            skip_if_unknown_filter: file.boolean(item, "skip-if-unknown-filter")?.unwrap_or(false),
            exceptions: rule_exceptions,
            place: self.place(file.origin(item), earlier.map(|(place, _)| place)),
        };
        self.skipped.remove(name);
        self.rules.set(name, rule);
        Ok(())
    }

    fn change_rule(
        &mut self,
        file: File<'_>,
        item: &Node,
        name: &str,
        change: &Change<'_>,
        warnings: &mut Vec<Complaint>,
    ) -> Result<(), Complaint> {
        if self.skipped.contains(name) {
            return Ok(());
        }
        let visible = self.place(file.origin(item), None).visible;
        let Some(rule) = self.rules.get_mut(name) else {
            let message = match (change.append.first(), change.replace.first()) {
                (None, Some(key)) => format!(
                    "An 'override.{key}: replace' to a rule was requested but no rule by that name already exists"
                ),
                (Some(key), _) if !change.legacy => format!(
                    "Rule uses 'append' or 'override.{key}: append' but no rule by that name already exists"
                ),
                _ => "Rule uses 'append' or 'override.condition: append' but no rule by that name already exists"
                    .to_owned(),
            };
            return Err(Complaint::new(Code::Validate, file.origin(item), message));
        };
        rule.place.visible = visible;
        for key in &change.append {
            match *key {
                "condition" => append(&mut rule.condition, &file.required_text(item, key)?),
                "output" => append(&mut rule.output, &file.required_text(item, key)?),
                "desc" => {
                    rule.desc.push(' ');
                    rule.desc.push_str(file.required_scalar(item, key)?);
                }
                "tags" => rule.tags.extend(tags(file, item)?),
                _ => exceptions::read(file, file.required(item, key)?, true, &mut rule.exceptions, warnings)?,
            }
        }
        for key in &change.replace {
            match *key {
                "condition" => rule.condition = file.required_text(item, key)?,
                "output" => rule.output = file.required_text(item, key)?,
                "desc" => file.required_scalar(item, key)?.clone_into(&mut rule.desc),
                "priority" => rule.priority = priority(file, item)?,
                "tags" => rule.tags = tags(file, item)?,
                "exceptions" => {
                    rule.exceptions.clear();
                    exceptions::read(file, file.required(item, key)?, false, &mut rule.exceptions, warnings)?;
                }
                "enabled" => rule.enabled = file.boolean(item, key)?.unwrap_or(true),
                "warn_evttypes" => rule.warn_evttypes = file.boolean(item, key)?.unwrap_or(true),
                "skip-if-unknown-filter" => {
                    rule.skip_if_unknown_filter = file.boolean(item, key)?.unwrap_or(false);
                }
                // Recordings are not made.
                _ => {}
            }
        }
        Ok(())
    }
}

fn append(text: &mut Text, more: &Text) {
    text.push_str(" ", more.origin(0));
    text.push(more);
}

fn priority(file: File<'_>, item: &Node) -> Result<Priority, Complaint> {
    let node = file.required(item, "priority")?;
    let text = file.scalar(node)?;
    Priority::from_str(text).map_err(|_| {
        let names = Priority::ALL.map(Priority::as_str);
        let lower = text.to_ascii_lowercase();
        let near = names
            .into_iter()
            .find(|name| super::suggest::nearest(&lower, [name.to_ascii_lowercase().as_str()]).is_some());
        file.invalid(node, "Invalid priority").spanning(text.len()).suggesting(near)
    })
}

fn tags(file: File<'_>, item: &Node) -> Result<BTreeSet<String>, Complaint> {
    let Some(node) = item.get("tags").filter(|node| !node.is_null()) else { return Ok(BTreeSet::new()) };
    Ok(file.scalars(node)?.into_iter().map(|(_, text)| text.to_owned()).collect())
}

/// Reads `append` and `override` and checks that they fit each other and the keys that are there.
fn change<'n>(
    file: File<'_>,
    item: &'n Node,
    appendable: &'static [&'static str],
    replaceable: &'static [&'static str],
    warnings: &mut Vec<Complaint>,
) -> Result<Change<'n>, Complaint> {
    let legacy = file.boolean(item, "append")?.unwrap_or(false);
    let mut change = Change { append: Vec::new(), replace: Vec::new(), legacy };
    let entries = item.get("override").filter(|node| !node.is_null());
    let Some(node) = entries else {
        if legacy {
            let message = "'append' key is deprecated. Add an 'append' entry (e.g. 'condition: append') under 'override' \
                           instead.";
            warnings.push(Complaint::new(Code::DeprecatedItem, file.origin(item), message));
            let keys = ["condition", "exceptions", "items"];
            change.append = keys.into_iter().filter(|key| item.get(key).is_some()).collect();
            if change.append.is_empty() && item.get("rule").is_some() {
                let message = "Appended rule must have exceptions or condition property";
                return Err(file.invalid(item, message));
            }
        }
        return Ok(change);
    };
    if legacy {
        let message = "Keys 'override' and 'append: true' cannot be used together. Add an 'append' entry (e.g. \
                       'condition: append') under 'override' instead.";
        return Err(file.invalid(node, message));
    }
    let Yaml::Map(pairs) = &node.yaml else {
        return Err(file.invalid(node, "Value of 'override' is not a mapping").within("overrides", ""));
    };
    for (key, operation) in pairs {
        let name = file.scalar(key)?;
        let (list, word) = match operation.text() {
            Some("append") => (&mut change.append, "append"),
            Some("replace") => (&mut change.replace, "replace"),
            _ => {
                let message = format!(
                    "Invalid override operation for key '{name}'. Allowed values are: append replace"
                );
                return Err(file.invalid(operation, message).within("overrides", ""));
            }
        };
        let allowed = if word == "append" { appendable } else { replaceable };
        if !allowed.contains(&name) {
            let message = if word == "append" {
                format!("Key '{name}' cannot be appended to, use 'replace' instead")
            } else {
                format!("Key '{name}' cannot be replaced")
            };
            return Err(file.invalid(key, message).within("overrides", ""));
        }
        if item.get(name).is_none() {
            let message =
                format!("An {word} override for '{name}' was specified but '{name}' is not defined");
            return Err(file.invalid(key, message).within("overrides", ""));
        }
        list.push(name);
    }
    let Yaml::Map(keys) = &item.yaml else { return Ok(change) };
    for (key, _) in keys {
        let Some(name) = key.text() else { continue };
        let meant = change.append.contains(&name) || change.replace.contains(&name);
        if (appendable.contains(&name) || replaceable.contains(&name)) && !meant {
            let message =
                format!("Unexpected key '{name}': no corresponding entry under 'override' is defined.");
            return Err(file.invalid(key, message).spanning(name.len()));
        }
    }
    Ok(change)
}

fn engine_version(file: File<'_>, item: &Node, options: &Options) -> Result<(), Complaint> {
    let node = file.required(item, "required_engine_version")?;
    let text = file.scalar(node)?;
    let asked = match text.parse::<u64>() {
        Ok(minor) => Some((0, minor, 0)),
        Err(_) => options::version(text),
    };
    let Some(asked) = asked else {
        let message = format!(
            "Unable to parse engine version '{text}' as a semver string. Expected \"x.y.z\" semver format."
        );
        return Err(file.invalid(node, message));
    };
    if options::compatible(options.engine_version, asked) {
        return Ok(());
    }
    let message = format!(
        "Rules require engine version {}, but engine version is {}",
        dotted(asked),
        dotted(options.engine_version)
    );
    Err(Complaint::new(Code::Validate, file.origin(node), message).spanning(text.len()))
}

fn dotted((major, minor, patch): (u64, u64, u64)) -> String {
    format!("{major}.{minor}.{patch}")
}

fn plugin_versions(file: File<'_>, entries: &Node, options: &Options) -> Result<(), Complaint> {
    let Yaml::Seq(entries) = &entries.yaml else {
        return Err(file.invalid(entries, "Value of required_plugin_versions must be a sequence"));
    };
    for entry in entries {
        let mut wanted = vec![plugin_version(file, entry)?];
        if let Some(alternatives) = entry.get("alternatives").filter(|node| !node.is_null()) {
            let Yaml::Seq(alternatives) = &alternatives.yaml else {
                return Err(
                    file.invalid(alternatives, "Value of plugin version alternatives must be a sequence")
                );
            };
            for alternative in alternatives {
                let next = plugin_version(file, alternative)?;
                if wanted.iter().any(|(name, _)| *name == next.0) {
                    let message = format!("Plugin '{}' is required more than once in one entry", next.0);
                    return Err(Complaint::new(Code::Validate, file.origin(alternative), message));
                }
                wanted.push(next);
            }
        }
        let met = wanted.iter().any(|(name, asked)| {
            options
                .plugins
                .iter()
                .any(|(have, version)| have == name && options::compatible(*version, *asked))
        });
        if !met {
            let list: Vec<String> =
                wanted.iter().map(|(name, asked)| format!("{name} (>= {})", dotted(*asked))).collect();
            let message = format!("Plugin requirement not satisfied, must load one of: {}", list.join(", "));
            return Err(Complaint::new(Code::Validate, file.origin(entry), message));
        }
    }
    Ok(())
}

fn plugin_version<'n>(file: File<'_>, entry: &'n Node) -> Result<(&'n str, (u64, u64, u64)), Complaint> {
    let name = file.required_scalar(entry, "name")?;
    let node = file.required(entry, "version")?;
    let text = file.scalar(node)?;
    let version = options::version(text).ok_or_else(|| {
        let message = format!("Invalid required version '{text}' for plugin '{name}'");
        Complaint::new(Code::Validate, file.origin(node), message)
    })?;
    Ok((name, version))
}

//! All lists, macros and rules read so far: definition, redefinition, append and override, in Falco's order.
//!
//! A name keeps the position of its first definition (`index`); `visible` is the position of the latest definition or
//! append, which decides what its text may refer to.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::exceptions::{self, Exception};
use super::items::Items;
use super::meant::{no_rules, unknown_item};
use super::options::Options;
use super::overrides::Change;
use super::reader::File;
use super::requirements::Requirements;
use crate::rules::registry::priority::Priority;
use crate::rules::report::complaint::{Code, Complaint};
use crate::rules::report::source::Origin;
use crate::rules::report::text::Text;
use crate::yaml::{Node, Yaml};

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
    pub items: Vec<Text>,
    pub place: Place,
}

#[derive(Debug, Clone)]
pub struct Macro {
    pub name: String,
    pub condition: Text,
    /// Where the condition stands, by Falco's account: that of the definition.
    pub condition_at: Origin,
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
    /// Whether a recording was asked for, and for how many milliseconds. None is made.
    pub capture: bool,
    pub capture_duration: u32,
    /// Where condition and output stand, by Falco's account: those of the definition.
    pub condition_at: Origin,
    pub output_at: Origin,
    pub place: Place,
}

impl Rule {
    /// False for a rule whose source no event has: it is kept for what later items say about it, and never compiled.
    pub fn source_known(&self) -> bool {
        self.source == SYSCALL
    }
}

/// The source of all events here, and of a rule that names none.
const SYSCALL: &str = "syscall";

#[derive(Debug, Default)]
pub struct Collector {
    pub lists: Items<List>,
    pub macros: Items<Macro>,
    pub rules: Items<Rule>,
    pub requirements: Requirements,
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
                Yaml::Map(_) => return Err(no_rules(file, document)),
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
        let at = file.origin(item);
        if !matches!(item.yaml, Yaml::Map(_)) {
            let message = "Unexpected element type. Each element should be a yaml associative array.";
            return Err(file.invalid(item, message).within("rules content item", "", at));
        }
        if item.get("required_engine_version").is_some() {
            return self.requirements.engine(file, item, options, warnings);
        }
        if item.get("required_plugin_versions").is_some() {
            return self.requirements.plugins(file, item, warnings);
        }
        let kinds = [("list", LIST_KEYS), ("macro", MACRO_KEYS), ("rule", RULE_KEYS)];
        let Some((kind, keys)) = kinds.into_iter().find(|(kind, _)| item.get(kind).is_some()) else {
            warnings.push(unknown_item(file, item));
            return Ok(());
        };
        let name = file.required_scalar(item, kind).map_err(|c| c.within(kind, "", at))?;
        let mut said = Vec::new();
        file.unknown_keys(item, keys, &mut said);
        let read = match kind {
            "list" => self.list(file, item, name, &mut said),
            "macro" => self.macro_(file, item, name, &mut said),
            _ => self.rule(file, item, name, &mut said),
        };
        warnings.extend(said.into_iter().map(|complaint| complaint.within(kind, name, at)));
        read.map_err(|complaint| complaint.within(kind, name, at))
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
        // Falco's own words; the blanks are those of its regular expressions.
        if name.contains(|c: char| c.is_ascii_whitespace() || "\u{b}()\"'=,".contains(c)) {
            let message = "List has an invalid name. List names should match a regular expression: \
                           ([^()\"'[:space:]=,]+)";
            let at = item.get("list").unwrap_or(item);
            warnings
                .push(Complaint::new(Code::InvalidListName, file.origin(at), message).spanning(name.len()));
        }
        let items = file.scalars(item, "items")?;
        let items: Vec<Text> = items.into_iter().map(|(node, text)| file.text(node, text)).collect();
        let change = Change::read(file, item, &["items"], &["items"], warnings)?;
        let earlier = self.lists.get_mut(name).map(|list| list.place);
        let place = self.place(file.origin(item), earlier);
        if !change.legacy && !change.appends("items") {
            self.lists.set(name, List { name: name.to_owned(), items, place });
            return Ok(());
        }
        let Some(list) = self.lists.get_mut(name) else {
            let message =
                "List uses 'append' or 'override.items: append' but no list by that name already exists";
            return Err(self.missing(file, item, "list", name, message));
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
            let message = "Macro has an invalid name. Macro names should match a regular expression: \
                           ([a-zA-Z]+[a-zA-Z0-9_]*)";
            let at = item.get("macro").unwrap_or(item);
            warnings
                .push(Complaint::new(Code::InvalidMacroName, file.origin(at), message).spanning(name.len()));
        }
        let condition = file.required_text(item, "condition")?;
        let condition_at = file.origin(item.get("condition").unwrap_or(item));
        let change = Change::read(file, item, &["condition"], &["condition"], warnings)?;
        let earlier = self.macros.get_mut(name).map(|entry| entry.place);
        let place = self.place(file.origin(item), earlier);
        if !change.legacy && !change.appends("condition") {
            self.macros.set(name, Macro { name: name.to_owned(), condition, condition_at, place });
            return Ok(());
        }
        let Some(entry) = self.macros.get_mut(name) else {
            let message = "Macro uses 'append' or 'override.condition: append' but no macro by that name already exists";
            return Err(self.missing(file, item, "macro", name, message));
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
        let change = Change::read(file, item, APPENDABLE, REPLACEABLE, warnings)?;
        if change.overrides() {
            return self.override_rule(file, item, name, &change, warnings);
        }
        if change.legacy {
            return self.append_to_rule(file, item, name, warnings);
        }
        if ["condition", "output", "desc", "priority"].iter().all(|key| item.get(key).is_none()) {
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
        file.required(item, "enabled")?;
        let enabled = file.boolean(item, "enabled")?.unwrap_or(true);
        let message = "The standalone 'enabled' key usage is deprecated. The correct approach requires also a 'replace' \
                       entry under the 'override' key (i.e. 'enabled: replace').";
        let at = item.get("enabled").unwrap_or(item);
        warnings.push(Complaint::new(Code::DeprecatedItem, file.origin(at), message));
        let Some(rule) = self.rules.get_mut(name) else {
            let message = "Rule has 'enabled' key but no rule by that name already exists";
            return Err(self.missing(file, item, "rule", name, message));
        };
        rule.enabled = enabled;
        Ok(())
    }

    fn define(
        &mut self,
        file: File<'_>,
        item: &Node,
        name: &str,
        warnings: &mut Vec<Complaint>,
    ) -> Result<(), Complaint> {
        let condition = file.required_text(item, "condition")?;
        let output = file.required_text(item, "output")?.trimmed();
        let desc = file.required_scalar(item, "desc")?.to_owned();
        let priority = priority(file, item)?;
        let source = match item.get("source") {
            Some(_) => file.required_scalar(item, "source")?,
            None => SYSCALL,
        };
        let enabled = file.boolean(item, "enabled")?.unwrap_or(true);
        let capture = file.boolean(item, "capture")?.unwrap_or(false);
        let capture_duration = file.number(item, "capture_duration")?.unwrap_or(0);
        let warn_evttypes = file.boolean(item, "warn_evttypes")?.unwrap_or(true);
        let skip_if_unknown_filter = file.boolean(item, "skip-if-unknown-filter")?.unwrap_or(false);
        let tags = tags(file, item)?;
        let written = exceptions::read(file, item, false, warnings)?;
        let earlier = self.same_source(file, item, name, Some(source))?;
        if source != SYSCALL {
            let at = item.get("source").unwrap_or(item);
            let message = format!("Unknown source {source}, skipping");
            warnings
                .push(Complaint::new(Code::UnknownSource, file.origin(at), message).spanning(source.len()));
        }
        let rule = Rule {
            name: name.to_owned(),
            condition,
            output,
            desc,
            priority,
            source: source.to_owned(),
            enabled,
            tags,
            warn_evttypes,
            skip_if_unknown_filter,
            exceptions: exceptions::define(written, source == SYSCALL)?,
            capture,
            capture_duration,
            condition_at: file.origin(item.get("condition").unwrap_or(item)),
            output_at: file.origin(item.get("output").unwrap_or(item)),
            place: self.place(file.origin(item), earlier),
        };
        self.rules.set(name, rule);
        Ok(())
    }

    /// An earlier rule of the name must have this source. The place of the rule.
    fn same_source(
        &mut self,
        file: File<'_>,
        item: &Node,
        name: &str,
        source: Option<&str>,
    ) -> Result<Option<Place>, Complaint> {
        let Some(earlier) = self.rules.get_mut(name) else { return Ok(None) };
        if source.is_some_and(|source| source != earlier.source) {
            let at = item.get("source").unwrap_or(item);
            let message = "Rule has been re-defined with a different source";
            let complaint = Complaint::new(Code::Validate, file.origin(at), message);
            return Err(complaint.spanning(source.map_or(1, str::len)));
        }
        Ok(Some(earlier.place))
    }

    /// `append: true`.
    fn append_to_rule(
        &mut self,
        file: File<'_>,
        item: &Node,
        name: &str,
        warnings: &mut Vec<Complaint>,
    ) -> Result<(), Complaint> {
        let condition = item.get("condition").map(|_| file.required_text(item, "condition")).transpose()?;
        let written = exceptions::read(file, item, true, warnings)?;
        self.same_source(file, item, name, changed_source(file, item)?)?;
        let place = self.place(file.origin(item), None);
        let Some(rule) = self.rules.get_mut(name) else {
            return Err(self.missing(file, item, "rule", name, NO_RULE_TO_APPEND_TO));
        };
        if condition.is_none() && item.get("exceptions").is_none() {
            let message = "Appended rule must have exceptions or condition property";
            return Err(Complaint::new(Code::Validate, file.origin(item), message));
        }
        if let Some(condition) = condition {
            append(&mut rule.condition, &condition);
        }
        let known = rule.source_known();
        exceptions::append(written, known, &mut rule.exceptions)?;
        rule.place.visible = place.visible;
        Ok(())
    }

    /// `override`: what is appended, then what is replaced.
    fn override_rule(
        &mut self,
        file: File<'_>,
        item: &Node,
        name: &str,
        change: &Change<'_>,
        warnings: &mut Vec<Complaint>,
    ) -> Result<(), Complaint> {
        let source = changed_source(file, item)?;
        // Elsewhere Falco does not look at it.
        if change.append.iter().chain(&change.replace).any(|entry| entry.key == "condition") {
            self.same_source(file, item, name, source)?;
        }
        let place = self.place(file.origin(item), None);
        Change::defined(file, item, &change.append, "append")?;
        Change::defined(file, item, &change.replace, "replace")?;
        let Some(rule) = self.rules.get_mut(name) else {
            // What is wrong with the values comes first.
            let mut nothing = Rule::nothing(place);
            for entry in &change.append {
                nothing.append(file, item, entry.key, warnings)?;
            }
            for entry in &change.replace {
                nothing.replace(file, item, entry.key, warnings)?;
            }
            let message = if change.append.is_empty() { NO_RULE_TO_REPLACE } else { NO_RULE_TO_APPEND_TO };
            return Err(self.missing(file, item, "rule", name, message));
        };
        rule.place.visible = place.visible;
        for entry in &change.append {
            rule.append(file, item, entry.key, warnings)?;
        }
        for entry in &change.replace {
            rule.replace(file, item, entry.key, warnings)?;
        }
        change.expected(file, item, APPENDABLE, REPLACEABLE)
    }

    /// The complaint that there is nothing yet of the name.
    fn missing(&self, file: File<'_>, item: &Node, kind: &str, name: &str, message: &str) -> Complaint {
        let near = match kind {
            "list" => {
                crate::rules::report::suggest::nearest(name, self.lists.iter().map(|list| list.name.as_str()))
            }
            "macro" => crate::rules::report::suggest::nearest(
                name,
                self.macros.iter().map(|entry| entry.name.as_str()),
            ),
            _ => {
                crate::rules::report::suggest::nearest(name, self.rules.iter().map(|rule| rule.name.as_str()))
            }
        };
        let node = item.get(kind).unwrap_or(item);
        Complaint::new(Code::Validate, file.origin(node), message).spanning(name.len()).suggesting(near)
    }
}

const NO_RULE_TO_APPEND_TO: &str =
    "Rule uses 'append' or 'override.<key>: append' but no rule by that name already exists";
const NO_RULE_TO_REPLACE: &str =
    "An 'override.<key>: replace' to a rule was requested but no rule by that name already exists";

impl Rule {
    /// A rule that nothing is known of.
    fn nothing(place: Place) -> Self {
        Self {
            name: String::new(),
            condition: Text::placed("", place.at),
            output: Text::placed("", place.at),
            desc: String::new(),
            priority: Priority::Debug,
            source: SYSCALL.to_owned(),
            enabled: true,
            tags: BTreeSet::new(),
            warn_evttypes: true,
            skip_if_unknown_filter: false,
            exceptions: Vec::new(),
            capture: false,
            capture_duration: 0,
            condition_at: place.at,
            output_at: place.at,
            place,
        }
    }

    /// Appends the value of `key` in `item`.
    fn append(
        &mut self,
        file: File<'_>,
        item: &Node,
        key: &str,
        warnings: &mut Vec<Complaint>,
    ) -> Result<(), Complaint> {
        match key {
            "condition" => append(&mut self.condition, &file.required_text(item, key)?),
            "output" => append(&mut self.output, &file.required_text(item, key)?),
            "desc" => {
                self.desc.push(' ');
                self.desc.push_str(file.required_scalar(item, key)?);
            }
            "tags" => self.tags.extend(tags(file, item)?),
            _ => {
                let written = exceptions::read(file, item, true, warnings)?;
                let known = self.source_known();
                exceptions::append(written, known, &mut self.exceptions)?;
            }
        }
        Ok(())
    }

    /// Replaces `key` by its value in `item`.
    fn replace(
        &mut self,
        file: File<'_>,
        item: &Node,
        key: &str,
        warnings: &mut Vec<Complaint>,
    ) -> Result<(), Complaint> {
        match key {
            "condition" => {
                self.condition = file.required_text(item, key)?;
                self.condition_at = file.origin(file.required(item, key)?);
            }
            "output" => {
                self.output = file.required_text(item, key)?;
                self.output_at = file.origin(file.required(item, key)?);
            }
            "desc" => file.required_scalar(item, key)?.clone_into(&mut self.desc),
            "priority" => self.priority = priority(file, item)?,
            "tags" => self.tags = tags(file, item)?,
            "exceptions" => {
                let written = exceptions::read(file, item, false, warnings)?;
                self.exceptions = exceptions::define(written, self.source_known())?;
            }
            "enabled" => self.enabled = file.boolean(item, key)?.unwrap_or(true),
            "warn_evttypes" => self.warn_evttypes = file.boolean(item, key)?.unwrap_or(true),
            "skip-if-unknown-filter" => {
                self.skip_if_unknown_filter = file.boolean(item, key)?.unwrap_or(false);
            }
            "capture" => self.capture = file.boolean(item, key)?.unwrap_or(false),
            _ => self.capture_duration = file.number(item, key)?.unwrap_or(0),
        }
        Ok(())
    }
}

fn append(text: &mut Text, more: &Text) {
    text.push_str(" ", more.origin(0));
    text.push(more);
}

/// The source that a change of a rule states; null or an empty one counts as none.
fn changed_source<'n>(file: File<'_>, item: &'n Node) -> Result<Option<&'n str>, Complaint> {
    match item.get("source") {
        None => Ok(None),
        Some(node) if node.is_null() || node.text() == Some("") => Ok(None),
        Some(_) => file.required_scalar(item, "source").map(Some),
    }
}

fn priority(file: File<'_>, item: &Node) -> Result<Priority, Complaint> {
    let node = file.required(item, "priority")?;
    let text = file.scalar(node, "priority")?;
    Priority::from_str(text).map_err(|_| {
        let names = Priority::ALL.map(Priority::as_str);
        let lower = text.to_ascii_lowercase();
        let near = names.into_iter().find(|name| {
            crate::rules::report::suggest::nearest(&lower, [name.to_ascii_lowercase().as_str()]).is_some()
        });
        let valid = format!("the priorities are {}", Priority::IN_FILES.join(", "));
        file.invalid(node, "Invalid priority").spanning(text.len()).suggesting(near).advising(valid).within(
            "rule priority",
            "",
            file.origin(node),
        )
    })
}

fn tags(file: File<'_>, item: &Node) -> Result<BTreeSet<String>, Complaint> {
    if item.get("tags").is_none() {
        return Ok(BTreeSet::new());
    }
    Ok(file.scalars(item, "tags")?.into_iter().map(|(_, text)| text.to_owned()).collect())
}

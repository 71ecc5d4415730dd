//! Rule files into a [`RuleSet`]: the stages in order, file after file.
//!
//! As in Falco, everything read so far is compiled again after each file, so an early file cannot refer to what only a
//! later one defines, and the first error of a file ends the loading.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use super::Priority;
use super::check::{self, Cond, Findings};
use super::codes;
use super::collector::{self, Collector};
use super::compile::{self, Program};
use super::counters::{Counters, Judged};
use super::diagnostic::{Code, Complaint, Diagnostic, FileReport, Schema};
use super::domains::Domain;
use super::evaluate::{self, Scratch};
use super::event::{Event, EventType};
use super::event_types;
use super::options::{Matching, Options, SUGGESTED, Selection};
use super::output::{self, Extra, Template};
use super::pattern::Budget;
use super::prefilter::Prefilter;
use super::reader::File;
use super::requirements::Requirements;
use super::resolve::Resolver;
use super::schema;
use super::stack;
use super::text::{Origin, Text};
use super::tree::{self, ExceptionName, FileText, Kept, Sharing, Sources};
use crate::yaml::{self, Twice};

/// A rules file: its name for messages, and its text.
#[derive(Debug, Clone)]
pub struct Source {
    pub name: String,
    pub text: String,
    /// Why the file could not be read, if it could not.
    unread: Option<String>,
}

impl Source {
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into(), unread: None }
    }

    /// A file that could not be read; loading it is an error in its turn.
    pub fn unread(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self { name: name.into(), text: String::new(), unread: Some(why.into()) }
    }

    /// Why the file could not be read, if it could not.
    pub fn error(&self) -> Option<&str> {
        self.unread.as_deref()
    }
}

/// What came of loading.
#[derive(Debug)]
pub struct Loaded {
    /// `None` when a file has an error.
    pub rules: Option<RuleSet>,
    /// One report per file that was read; the last one has the error, if there is one. (A plugin that a file requires
    /// and nobody has is an error of that file.)
    pub files: Vec<FileReport>,
}

/// Rules that do not load: the errors, as people read them.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct LoadError(String);

impl Loaded {
    /// The rules, or every error with its place.
    pub fn into_rules(self) -> Result<RuleSet, LoadError> {
        self.rules.ok_or_else(|| {
            let errors = self.files.iter().flat_map(|file| &file.errors).map(ToString::to_string);
            LoadError(errors.collect::<Vec<_>>().join("\n"))
        })
    }

    /// Falco's JSON load results.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({"falco_load_results": self.files.iter().map(FileReport::json).collect::<Vec<_>>()})
    }
}

/// Whether a rule can fire, and why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    Active,
    /// By `enabled: false` or a selection.
    Disabled,
    /// Less severe than the priority threshold.
    BelowPriority,
    /// The sensor cannot see what the rule needs; the reason in words.
    Inactive(String),
    /// It fires, but part of its condition cannot be seen; which part, in words.
    Limited(String),
}

impl Status {
    /// True when the rule is judged.
    pub fn fires(&self) -> bool {
        matches!(self, Self::Active | Self::Limited(_))
    }
}

/// A loaded rule.
#[derive(Debug)]
pub struct Rule {
    pub name: String,
    pub desc: String,
    pub priority: Priority,
    pub source: String,
    /// Sorted.
    pub tags: Vec<String>,
    /// The condition as written, appended parts included, before lists and macros are put in.
    pub condition: String,
    /// The condition in canonical form with lists and macros put in.
    pub compiled: String,
    /// The output with everything that is appended to it.
    pub output: Template,
    /// What `extra_fields` adds to the JSON.
    pub extra: Vec<(String, Extra)>,
    pub status: Status,
    /// The condition for those who want to see it.
    pub(super) kept: Kept,
    counters: Counters,
    /// Keeps the domain names of the condition resolved.
    _domains: Vec<Arc<Domain>>,
}

impl Rule {
    /// What the rule has cost and yielded since it was loaded.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

impl Rule {
    /// The event types on which the rule can fire, or could if it were active.
    pub fn event_types(&self) -> Vec<EventType> {
        compile::possible_types(&self.kept.cond)
    }
}

/// All rules, ready to judge events. Cheap to share, never changed; made anew on reload.
#[derive(Debug)]
pub struct RuleSet {
    id: u64,
    rules: Vec<Rule>,
    program: Program,
    prefilter: Prefilter,
    matching: Matching,
    requirements: Requirements,
    pub(super) sources: Sources,
    judged: Arc<Judged>,
}

impl RuleSet {
    /// Every rule in order of definition, also those that cannot fire.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The versions of engine and plugins that the files ask for.
    pub fn requirements(&self) -> &Requirements {
        &self.requirements
    }

    /// Names of the event types on which some rule can fire: what has to be captured.
    pub fn event_types(&self) -> BTreeSet<&'static str> {
        event_types::all().filter(|(event, _)| self.can_fire(*event)).map(|(_, info)| info.name).collect()
    }

    /// How many rules may fire on one event.
    pub fn matching(&self) -> Matching {
        self.matching
    }

    /// What an open must have for any rule to match it.
    pub fn prefilter(&self) -> &Prefilter {
        &self.prefilter
    }

    /// True when some rule can fire on events of the type.
    pub fn can_fire(&self, event: EventType) -> bool {
        !self.program.groups_of(event).is_empty()
    }

    /// Calls `on_match` for each rule that is true of the event, in order of definition; for the first only when the set
    /// was loaded with [`Matching::First`].
    pub fn evaluate<'s, E: Event>(
        &'s self,
        scratch: &mut Scratch,
        event: &E,
        mut on_match: impl FnMut(&'s Rule),
    ) {
        self.judged.count(event.event_type());
        let sample = |rule: u32, ns: u64| {
            if let Some(rule) = self.rules.get(rule as usize) {
                rule.counters.sample(ns);
            }
        };
        self.program.evaluate(self.id, scratch, event, sample, |rule| {
            if let Some(rule) = self.rules.get(rule as usize) {
                rule.counters.fired();
                on_match(rule);
            }
            self.matching == Matching::All
        });
    }

    /// Words about the rules that cannot fire as they are meant to, for the log: one line each.
    pub fn notes(&self) -> impl Iterator<Item = String> {
        self.rules.iter().filter_map(|rule| match &rule.status {
            Status::Inactive(why) => Some(format!("rule {:?} is inactive: {why}", rule.name)),
            Status::Limited(why) => Some(format!("rule {:?} is limited: {why}", rule.name)),
            _ => None,
        })
    }
}

/// Loads rule files in order.
pub fn load(files: &[Source], options: &Options) -> Loaded {
    stack::on_big_stack(|| load_here(files, options))
}

fn load_here(files: &[Source], options: &Options) -> Loaded {
    let mut collector = Collector::default();
    let mut reports = Vec::new();
    let mut checked = None;
    let texts = tree::texts(files);
    for (number, source) in files.iter().enumerate() {
        let file = File { number: u32::try_from(number).unwrap_or(u32::MAX), text: &source.text };
        let mut report = FileReport { name: source.name.clone(), ..FileReport::default() };
        if let Some(why) = source.error() {
            report.errors.push(Diagnostic::unread(&source.name, why.to_owned()));
            reports.push(report);
            checked = None;
            break;
        }
        let mut warnings = Vec::new();
        let outcome = read(file, &mut collector, options, &mut report.schema, &mut warnings)
            .and_then(|()| check(&collector, options, &texts, &mut warnings));
        report.warnings = warnings.into_iter().map(|complaint| Diagnostic::new(complaint, files)).collect();
        checked = outcome.map_err(|complaint| report.errors.push(Diagnostic::new(complaint, files))).ok();
        reports.push(report);
        if checked.is_none() {
            break;
        }
    }
    if let Some(complaint) = collector.requirements.unmet(options) {
        let number = complaint.at.file as usize;
        if let Some(report) = reports.get_mut(number) {
            // Whatever else is wrong there may follow from the plugin that is missing.
            report.errors = vec![Diagnostic::new(complaint, files)];
        }
        checked = None;
    } else if files.is_empty() {
        checked = check(&collector, options, &texts, &mut Vec::new()).ok();
    }
    let rules = checked.map(|checked| checked.compile(options.matching, collector.requirements));
    Loaded { rules, files: reports }
}

fn read(
    file: File<'_>,
    collector: &mut Collector,
    options: &Options,
    schema: &mut Schema,
    warnings: &mut Vec<Complaint>,
) -> Result<(), Complaint> {
    let documents = yaml::documents(file.text, Twice::First).map_err(|error| {
        let at = Origin { file: file.number, at: u32::try_from(error.at).unwrap_or(u32::MAX) };
        Complaint::new(Code::YamlParse, at, error.message).within("value for", "", at)
    })?;
    *schema = schema::check(file.text, &documents);
    collector.read(file, &documents, options, warnings)
}

/// The rules of the whole collection, checked one by one.
struct Checked {
    rules: Vec<Rule>,
    judged: Arc<Judged>,
    sources: Sources,
}

impl Checked {
    /// All of them as one program. Done once, though the collection is checked after each file.
    fn compile(self, matching: Matching, requirements: Requirements) -> RuleSet {
        let firing = self.rules.iter().enumerate().filter(|(_, rule)| rule.status.fires());
        let conditions: Vec<(u32, &Cond)> = firing
            .map(|(number, rule)| (u32::try_from(number).unwrap_or(u32::MAX), &rule.kept.cond))
            .collect();
        let mut prefilter = Prefilter::default();
        for (_, cond) in &conditions {
            prefilter.add(cond);
        }
        let program = compile::program(&conditions);
        let Self { rules, judged, sources } = self;
        RuleSet {
            id: evaluate::next_id(),
            rules,
            program,
            prefilter,
            matching,
            requirements,
            sources,
            judged,
        }
    }
}

/// Checks the whole collection.
fn check(
    collector: &Collector,
    options: &Options,
    texts: &Arc<[FileText]>,
    warnings: &mut Vec<Complaint>,
) -> Result<Checked, Complaint> {
    let resolver = Resolver::new(collector)?;
    let judged = Arc::new(Judged::new(event_types::count()));
    let mut sharing = Sharing::default();
    let mut rules = Vec::new();
    let mut budget = Budget::default();
    for definition in collector.rules.iter().filter(|definition| definition.source_known()) {
        let around = |complaint: Complaint| complaint.within("rule", &definition.name, definition.place.at);
        let mut said = Vec::new();
        match rule(definition, &resolver, options, &judged, &mut budget, &mut said) {
            Ok(mut rule) => {
                sharing.share(&mut rule.kept.cond);
                rules.push(rule);
            }
            Err(complaint) if definition.skip_if_unknown_filter && is_unknown(&complaint) => {
                let mut complaint = complaint;
                complaint.code = Code::UnknownFilter;
                said.push(complaint);
            }
            Err(complaint) => {
                warnings.extend(said.into_iter().map(around));
                return Err(around(complaint));
            }
        }
        warnings.extend(said.into_iter().map(around));
    }
    warnings.extend(resolver.unused(collector));
    Ok(Checked { rules, judged, sources: resolver.sources(collector, Arc::clone(texts)) })
}

/// True for an error that `skip-if-unknown-filter` forgives.
fn is_unknown(complaint: &Complaint) -> bool {
    ["nonexistent field", "invalid formatting token", "unknown event type", "unknown filter:"]
        .iter()
        .any(|words| complaint.message.contains(words))
}

fn rule(
    definition: &collector::Rule,
    resolver: &Resolver<'_>,
    options: &Options,
    judged: &Arc<Judged>,
    budget: &mut Budget,
    warnings: &mut Vec<Complaint>,
) -> Result<Rule, Complaint> {
    let text = resolver.text(definition)?;
    let format = output_format(definition, options);
    let mut said = Vec::new();
    let output = Template::compile(&format, &mut said);
    let in_output = |complaint: Complaint| complaint.within("rule output", "", definition.output_at);
    warnings.extend(said.into_iter().map(in_output));
    let output = output.map_err(in_output)?;
    let in_rule = |complaint| resolver.in_rule(definition, &text, complaint);
    let (written, expr) = resolver.rule(&text).map_err(in_rule)?;
    let mut findings =
        Findings { every_field: options.every_field, budget: std::mem::take(budget), ..Findings::default() };
    let cond = check::condition(&expr, &mut findings);
    *budget = findings.budget;
    let domains = findings.domains;
    warnings.extend(findings.warnings.into_iter().map(in_rule));
    let cond = cond.map_err(in_rule)?;
    let mut extra = Vec::new();
    for entry in &options.append_output {
        if entry.matches.matches(&definition.name, &definition.source, &definition.tags) {
            for field in &entry.extra_fields {
                extra.extend(output::extra(field).map_err(|message| {
                    let message = format!("append_output: extra_fields: {message}");
                    in_output(Complaint::new(Code::CompileOutput, definition.output_at, message))
                })?);
            }
        }
    }
    let types = compile::possible_types(&cond);
    if definition.warn_evttypes && codes::unrestricted(&expr) {
        let message =
            "Rule matches too many evt.type values. This has a significant performance penalty.".to_owned();
        warnings.push(Complaint::new(Code::NoEvttype, definition.condition.origin(0), message));
    }
    let status = status(definition, &cond, &types, options);
    let exceptions = definition.exceptions.iter().map(|exception| ExceptionName {
        name: exception.name.clone(),
        at: exception.at,
        written: exception.is_written(),
    });
    let kept = Kept {
        written,
        cond,
        exceptions: exceptions.collect(),
        at: definition.place.at,
        enabled: definition.enabled,
        output: definition.output.as_str().trim().to_owned(),
        format: format.as_str().to_owned(),
        tree: OnceLock::new(),
    };
    Ok(Rule {
        name: definition.name.clone(),
        desc: definition.desc.clone(),
        priority: definition.priority,
        source: definition.source.clone(),
        tags: definition.tags.iter().cloned().collect(),
        condition: definition.condition.as_str().trim().to_owned(),
        compiled: expr.to_string(),
        output,
        extra,
        status,
        kept,
        counters: Counters::new(types.into(), Arc::clone(judged)),
        _domains: domains,
    })
}

/// The output with what `append_output` adds.
fn output_format(definition: &collector::Rule, options: &Options) -> Text {
    let mut format = definition.output.trimmed();
    let origin = format.origin(0);
    for entry in &options.append_output {
        if !entry.matches.matches(&definition.name, &definition.source, &definition.tags) {
            continue;
        }
        if let Some(more) = &entry.extra_output {
            format.push_str(&format!(" {more}"), origin);
        }
        if entry.suggested_output {
            for field in SUGGESTED {
                format.push_str(&format!(" {}=%{field}", field.replace('.', "_")), origin);
            }
        }
    }
    format
}

fn status(definition: &collector::Rule, cond: &Cond, types: &[EventType], options: &Options) -> Status {
    let mut enabled = definition.enabled;
    for selection in &options.selections {
        match selection {
            Selection::Enable(who) if who.selects(&definition.name, &definition.tags) => enabled = true,
            Selection::Disable(who) if who.selects(&definition.name, &definition.tags) => enabled = false,
            _ => {}
        }
    }
    if !enabled {
        return Status::Disabled;
    }
    if !definition.priority.at_least(options.priority) {
        return Status::BelowPriority;
    }
    let mut unfilled = Vec::new();
    cond.unfilled(false, &mut unfilled);
    let names: BTreeSet<&str> = unfilled.iter().map(|(name, _)| *name).collect();
    let names = names.into_iter().collect::<Vec<_>>().join(", ");
    // Under a `not`, a value that is always missing would make the rule fire where it must not.
    if unfilled.iter().any(|(_, negated)| *negated) || (types.is_empty() && !unfilled.is_empty()) {
        return Status::Inactive(format!("it needs {names}, which this sensor cannot fill yet"));
    }
    if let Some(captured) = &options.captured {
        let mut wanted = types.iter().filter_map(|event| event_types::info(*event)).map(|info| info.name);
        if !types.is_empty() && !wanted.clone().any(|name| captured.contains(name)) {
            let list: Vec<&str> = wanted.by_ref().take(5).collect();
            return Status::Inactive(format!("it needs {}, which is not captured", list.join(", ")));
        }
    }
    if names.is_empty() {
        Status::Active
    } else {
        Status::Limited(format!(
            "comparisons of {names} count as false, for this sensor cannot fill them yet"
        ))
    }
}

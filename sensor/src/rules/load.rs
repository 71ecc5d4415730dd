//! Rule files into a [`RuleSet`]: the stages in order, file after file.
//!
//! As in Falco, everything read so far is compiled again after each file, so an early file cannot refer to what only a
//! later one defines, and the first error of a file ends the loading.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use super::rule_set::{Kept, Sharing};
use crate::rules::language::check::{self, Cond};
use crate::rules::language::codes;
use crate::rules::language::findings::Findings;
use crate::rules::language::output::{self, Template};
use crate::rules::language::pattern::Budget;
use crate::rules::program::counters::{Counters, Judged};
use crate::rules::program::prefilter::Prefilter;
use crate::rules::program::reads::Reads;
use crate::rules::program::{compile, evaluate};
use crate::rules::registry::event::EventType;
use crate::rules::registry::event_types;
use crate::rules::registry::fields::{Field, Flags};
use crate::rules::registry::readings::PathNames;
use crate::rules::report::complaint::{Code, Complaint};
use crate::rules::report::diagnostic::{Diagnostic, FileReport, Schema};
use crate::rules::report::source::{Origin, Source};
use crate::rules::report::text::Text;
use crate::rules::rule_set::{Rule, RuleSet};
use crate::rules::source::collector::{self, Collector};
use crate::rules::source::definitions::Sources;
use crate::rules::source::options::{Options, SUGGESTED, Selection};
use crate::rules::source::reader::File;
use crate::rules::source::requirements::Requirements;
use crate::rules::source::resolve::Resolver;
use crate::rules::source::schema;
use crate::rules::source::tree::ExceptionName;
use crate::rules::stack;
use crate::rules::status::{Reason, Status};
use crate::yaml::{self, Twice};

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

/// Loads rule files in order.
pub fn load(files: &[Source], options: &Options) -> Loaded {
    stack::on_big_stack(|| load_here(files, options))
}

fn load_here(files: &[Source], options: &Options) -> Loaded {
    let mut collector = Collector::default();
    let mut reports = Vec::new();
    let mut checked = None;
    let texts: Arc<[Source]> = files.into();
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
    let rules = checked.map(|checked| checked.compile(options, collector.requirements));
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
    fn compile(self, options: &Options, requirements: Requirements) -> RuleSet {
        let firing = self.rules.iter().enumerate().filter(|(_, rule)| rule.status.fires());
        let conditions: Vec<(u32, &Cond)> = firing
            .map(|(number, rule)| (u32::try_from(number).unwrap_or(u32::MAX), &rule.kept.cond))
            .collect();
        let mut prefilter = Prefilter::default();
        for (_, cond) in &conditions {
            prefilter.add(cond);
        }
        let mut reads = Reads::default();
        for rule in self.rules.iter().filter(|rule| rule.status.fires()) {
            let added = rule.extra.iter().flat_map(|(_, extra)| extra.fields());
            let outputs = rule.output.fields().map(|(_, field)| field).chain(added);
            reads.add(rule.counters.types(), &rule.kept.cond, outputs);
        }
        let program = compile::program(&conditions);
        let Self { rules, judged, sources } = self;
        RuleSet {
            id: evaluate::next_id(),
            rules,
            program,
            prefilter,
            reads,
            matching: options.matching,
            families: options.families,
            readings: options.readings,
            unfilled: options.sight.blind(),
            names: Arc::clone(&options.names),
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
    texts: &Arc<[Source]>,
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
    // What it says itself counts, not what is added.
    if definition.output.as_str().trim().replace("%container.info", "").is_empty() {
        let message = "the output is empty, as far as it is printed";
        return Err(in_output(Complaint::new(Code::CompileOutput, definition.output_at, message)));
    }
    let in_rule = |complaint| resolver.in_rule(definition, &text, complaint);
    let (written, expr) = resolver.rule(&text).map_err(in_rule)?;
    let mut findings = Findings {
        unfilled: options.sight.blind(),
        families: options.families,
        budget: std::mem::take(budget),
        spellings: options.readings.paths != PathNames::Asked,
        ..Findings::new(&options.names)
    };
    let cond = check::condition(&expr, &mut findings);
    *budget = findings.budget;
    let hosts = findings.hosts;
    // Hints at a condition that is refused would say the same thing twice.
    let said = findings.warnings.into_iter().filter(|said| cond.is_ok() || said.code != Code::WarnCondition);
    warnings.extend(said.map(in_rule));
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
        capture: definition.capture,
        capture_duration: definition.capture_duration,
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
        _hosts: hosts,
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
    let sight = &options.sight;
    let mut unfilled = Vec::new();
    cond.unfilled(false, &mut unfilled);
    let fields: BTreeSet<Field> = unfilled.iter().map(|(field, _)| *field).collect();
    if types.is_empty() {
        let reason = if fields.is_empty() { Reason::never() } else { Reason::needs(&fields, sight) };
        return Status::Inactive(reason);
    }
    // Those that Falco retired have no value there either, so that what asks for them means the same.
    let retired = |field: &Field| field.info().flags.has(Flags::DEPRECATED);
    let fields: BTreeSet<Field> = fields.into_iter().filter(|field| !retired(field)).collect();
    // Under a `not`, a value that is always missing would make the rule fire where it must not.
    if unfilled.iter().any(|(field, negated)| *negated && !retired(field)) {
        return Status::Inactive(Reason::needs(&fields, sight));
    }
    if let Some(captured) = &sight.events {
        let infos = types.iter().filter_map(|event| event_types::info(*event));
        let wanted: Vec<&str> = infos.map(|info| info.name).collect();
        if !wanted.iter().any(|name| captured.contains(*name)) {
            return Status::Inactive(Reason::unseen(&wanted));
        }
    }
    if !fields.is_empty() {
        return Status::Limited(Reason::partly(&fields, sight));
    }
    let asked = compile::asked_types(cond);
    let left: Vec<&str> = types
        .iter()
        .filter(|event| !asked.contains(event))
        .filter_map(|event| event_types::info(*event))
        .map(|info| info.name)
        .collect();
    if left.is_empty() { Status::Active } else { Status::Limited(Reason::unnamed(&left)) }
}

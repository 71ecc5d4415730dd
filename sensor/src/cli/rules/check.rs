//! `falconet rules check`: load rule files and tell every error, warning and lint.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::anyhow;
use clap::ValueEnum;

use super::sarif;
use crate::app::exit::{Class, Failure};
use crate::app::names::HostNames;
use crate::app::{ruleset, sight};
use crate::cli::print::say;
use crate::config::Config;
use crate::rules::lint::{self, Finding, LINTS, Level};
use crate::rules::report::diagnostic::{Diagnostic, FileReport, in_rules};
use crate::rules::source::files;
use crate::rules::{Loaded, Options, Source, load, stock};

#[derive(clap::Args)]
pub struct Args {
    /// Rule files and directories; later files may refer to earlier ones. Without any, those of the configuration, or the
    /// rules that come with falconet.
    files: Vec<PathBuf>,
    /// How to report.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
    /// Configuration file whose rule options count.
    #[arg(short = 'c', value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one option, e.g. `rule_matching=first`; repeatable.
    #[arg(short = 'o', long = "option", value_name = "KEY=VALUE")]
    options: Vec<String>,
    /// Fail for a lint, for one of Falco's warnings (`LOAD_UNUSED_MACRO`), or for all `warnings`; repeatable.
    #[arg(long, value_name = "LINT")]
    deny: Vec<String>,
    /// Neither tell nor fail for a lint or one of Falco's warnings; repeatable.
    #[arg(long, value_name = "LINT")]
    allow: Vec<String>,
    /// List the lints and end.
    #[arg(long)]
    list_lints: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// Falco's `falco_load_results`: errors and warnings, no lints.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
}

/// What is denied and what is allowed.
struct Policy<'a> {
    deny: &'a [String],
    allow: &'a [String],
}

/// The word that denies every warning.
const WARNINGS: &str = "warnings";

impl Policy<'_> {
    fn check(&self) -> Result<(), Failure> {
        let groups = self.deny.iter().filter(|name| *name != WARNINGS);
        for name in groups.chain(self.allow) {
            let is_code = name.starts_with("LOAD_") && !name.starts_with("LOAD_ERR_");
            if !is_code && lint::by_id(name).is_none() {
                let meant = lint::suggest(name).map(|meant| format!(" (did you mean '{meant}'?)"));
                let error = anyhow!("no lint '{name}'{}; --list-lints lists them", meant.unwrap_or_default());
                return Err(Failure::new(Class::Usage, error));
            }
        }
        Ok(())
    }

    fn denies(&self, id: &str, level: Level) -> bool {
        let all = level == Level::Warning && self.deny.iter().any(|name| name == WARNINGS);
        self.deny.iter().any(|name| name == id) || (all && !self.allows(id))
    }

    fn allows(&self, id: &str) -> bool {
        self.allow.iter().any(|name| name == id)
    }
}

pub fn run(args: &Args) -> Result<(), Failure> {
    let mut out = String::new();
    let verdict = check(args, &mut out);
    let told = say(&out);
    verdict.and(told)
}

fn check(args: &Args, out: &mut String) -> Result<(), Failure> {
    if args.list_lints {
        out.push_str(&list());
        return Ok(());
    }
    let policy = Policy { deny: &args.deny, allow: &args.allow };
    policy.check()?;
    let config =
        Config::of(args.config.clone(), &args.options).map_err(|error| Failure::new(Class::Config, error))?;
    let options = ruleset::options(&config.rules, &sight::anywhere(), Arc::new(HostNames::default()));
    let paths = if args.files.is_empty() { &config.rules.rules_files } else { &args.files };
    let (sources, unreadable) = if paths.is_empty() { (stock(), Vec::new()) } else { read(paths) };
    let (mut loaded, without) = load_all(&sources, &options);
    if !unreadable.is_empty() {
        loaded.files.extend(unreadable);
        loaded.rules = None;
    }
    for file in &mut loaded.files {
        file.warnings.retain(|warning| !policy.allows(warning.code.as_str()));
    }
    let mut findings = loaded.rules.as_ref().map_or_else(Vec::new, |rules| lint::run(&sources, rules));
    findings.retain(|finding| !policy.allows(finding.lint.id));
    // Writing to a string cannot fail.
    match args.output {
        Format::Json => {
            let _ = writeln!(out, "{}", loaded.json());
        }
        Format::Sarif => {
            let base = std::env::current_dir().unwrap_or_default();
            let entries = entries(&loaded, &findings, &policy);
            let _ = writeln!(out, "{:#}", sarif::document(&entries, &base));
        }
        Format::Text => {
            out.push_str(&text(&loaded, &findings, &policy));
            if without {
                out.push_str("Files were checked without those before them that do not load; what is undefined may be defined there.\n");
            }
        }
    }
    verdict(&loaded, &findings, &policy)
}

/// Files that do not load and are left out for the sake of those behind them, at most.
const MOST_LEFT_OUT: usize = 50;

/// Loads the files as [`load`] does, but a file that does not load hides none behind it: they are loaded without it. True when
/// that happened.
fn load_all(sources: &[Source], options: &Options) -> (Loaded, bool) {
    let mut left: Vec<Source> = sources.to_vec();
    // Those left out, each with how many files that stay stand before it.
    let mut out: Vec<(usize, FileReport)> = Vec::new();
    let mut loaded = load(&left, options);
    while let Some(at) = loaded.files.iter().position(|file| !file.is_ok())
        && at + 1 < left.len()
        && out.len() < MOST_LEFT_OUT
    {
        out.push((at, loaded.files.remove(at)));
        left.remove(at);
        loaded = load(&left, options);
    }
    let without = !out.is_empty();
    for (at, report) in out.into_iter().rev() {
        loaded.files.insert(at.min(loaded.files.len()), report);
        loaded.rules = None;
    }
    (loaded, without)
}

/// Reads the files, with a report about each that cannot be read.
fn read(paths: &[PathBuf]) -> (Vec<Source>, Vec<FileReport>) {
    let (mut sources, mut reports) = (Vec::new(), Vec::new());
    for path in paths {
        let expanded = match files::expand(path) {
            Ok(expanded) if expanded.is_empty() => {
                reports.push(unread(path, "no .yaml file in it"));
                continue;
            }
            Ok(expanded) => expanded,
            Err(error) => {
                reports.push(unread(path, &error.to_string()));
                continue;
            }
        };
        for file in expanded {
            match files::source(&file) {
                Ok(source) => sources.push(source),
                Err(error) => reports.push(unread(&file, &error.to_string())),
            }
        }
    }
    (sources, reports)
}

/// The report about a file that cannot be read.
fn unread(path: &Path, why: &str) -> FileReport {
    let name = path.display().to_string();
    let diagnostic = Diagnostic::unread(&name, why.to_owned());
    FileReport { name, errors: vec![diagnostic], ..FileReport::default() }
}

fn verdict(loaded: &Loaded, findings: &[Finding], policy: &Policy<'_>) -> Result<(), Failure> {
    let bad: Vec<&str> =
        loaded.files.iter().filter(|file| !file.is_ok()).map(|file| file.name.as_str()).collect();
    match bad.as_slice() {
        [] => {}
        [one] => return Err(Failure::new(Class::Failed, anyhow!("{one} does not load"))),
        all => return Err(Failure::new(Class::Failed, anyhow!("these do not load: {}", all.join(", ")))),
    }
    let warnings = loaded.files.iter().flat_map(|file| &file.warnings);
    let denied = warnings.filter(|warning| policy.denies(warning.code.as_str(), Level::Warning)).count()
        + findings.iter().filter(|finding| policy.denies(finding.lint.id, finding.lint.level)).count();
    match denied {
        0 => Ok(()),
        denied => Err(Failure::new(Class::Failed, anyhow!("{denied} finding(s) that --deny names"))),
    }
}

fn entries<'d>(loaded: &'d Loaded, findings: &'d [Finding], policy: &Policy<'_>) -> Vec<sarif::Entry<'d>> {
    let mut entries = Vec::new();
    for file in &loaded.files {
        let coded = |diagnostic: &'d Diagnostic, level| sarif::Entry {
            id: diagnostic.code.as_str(),
            about: diagnostic.code.description(),
            level,
            diagnostic,
        };
        entries.extend(file.errors.iter().map(|error| coded(error, "error")));
        entries.extend(file.warnings.iter().map(|warning| {
            let denied = policy.denies(warning.code.as_str(), Level::Warning);
            coded(warning, if denied { "error" } else { "warning" })
        }));
    }
    entries.extend(findings.iter().map(|finding| {
        let denied = policy.denies(finding.lint.id, finding.lint.level);
        sarif::Entry {
            id: finding.lint.id,
            about: finding.lint.why,
            level: if denied { "error" } else { finding.lint.level.as_str() },
            diagnostic: &finding.diagnostic,
        }
    }));
    entries
}

fn text(loaded: &Loaded, findings: &[Finding], policy: &Policy<'_>) -> String {
    let mut text = String::new();
    for file in &loaded.files {
        text.push_str(&file.to_string());
        let own = findings.iter().filter(|finding| finding.diagnostic.file == file.name);
        text.extend(own.map(|finding| shown(finding, policy)));
    }
    let count = |level| findings.iter().filter(|finding| finding.lint.level == level).count();
    let (warnings, notes) = (count(Level::Warning), count(Level::Note));
    if let Some(rules) = &loaded.rules {
        let of_falco: usize = loaded.files.iter().map(|file| file.grouped_warnings().len()).sum();
        let _ = writeln!(
            text,
            "{} in {}: {}, {}, {}",
            counted(rules.rules().len(), "rule"),
            counted(loaded.files.len(), "file"),
            counted(of_falco, "warning"),
            counted(warnings, "lint"),
            counted(notes, "note"),
        );
    }
    text
}

fn shown(finding: &Finding, policy: &Policy<'_>) -> String {
    let at = &finding.diagnostic;
    let denied = policy.denies(finding.lint.id, finding.lint.level);
    let level = if denied { "denied" } else { finding.lint.level.as_str() };
    let rules: Vec<&str> = finding.rules.iter().map(String::as_str).collect();
    let rules = in_rules(&rules);
    let id = finding.lint.id;
    let mut text = format!("{}:{}:{}: {level}: {} [{id}]{rules}\n", at.file, at.line, at.column, at.message);
    for item in at.context.iter().filter(|item| !item.name.is_empty()) {
        let _ = writeln!(text, "  in {} {:?}", item.kind, item.name);
    }
    if !at.snippet.is_empty() {
        let marker = format!("{}{}", " ".repeat(at.caret.0), "^".repeat(at.caret.1));
        let _ = writeln!(text, "  | {}\n  | {marker}", at.snippet);
    }
    let _ = writeln!(text, "  {}", finding.lint.remedy);
    text
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn list() -> String {
    let one = |lint: &&lint::Lint| {
        format!("{} ({})\n  {}\n  {}\n", lint.id, lint.level.as_str(), lint.why, lint.remedy)
    };
    LINTS.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=unlink\n";

    fn args(files: &[&PathBuf], output: Format) -> Args {
        Args {
            files: files.iter().map(|path| (*path).clone()).collect(),
            output,
            config: None,
            options: Vec::new(),
            deny: Vec::new(),
            allow: Vec::new(),
            list_lints: false,
        }
    }

    #[test]
    fn ends_with_its_verdict() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
            path
        };
        let good = write("good/good.yaml", GOOD);
        write("good/good.cases.yaml", "rules: []\n");
        let bad = write("bad.yaml", "- rule: r\n");
        let check = |files: &[&PathBuf], output| super::check(&args(files, output), &mut String::new());
        assert!(check(&[&good], Format::Text).is_ok());
        assert!(check(&[&folder.path().join("good")], Format::Sarif).is_ok());
        assert!(check(&[], Format::Json).is_ok());
        assert_eq!(check(&[&good, &bad], Format::Json).unwrap_err().class, Class::Failed);
        let missing = folder.path().join("missing.yaml");
        assert_eq!(check(&[&good, &missing], Format::Text).unwrap_err().class, Class::Failed);
    }

    #[test]
    fn a_bad_file_hides_none_behind_it() {
        let source = |name: &str, text: &str| Source::new(name, text);
        let bad = |name: &str| GOOD.replace("rule: r", &format!("rule: {name}")).replace("unlink", "unlnk");
        let sources = [
            source("a.yaml", &GOOD.replace("rule: r", "rule: a")),
            source("b.yaml", &bad("b")),
            source("c.yaml", "- macro: m\n  condition: proc.name = x\n"),
            source("d.yaml", &bad("d")),
            source("e.yaml", &GOOD.replace("rule: r", "rule: e").replace("unlink", "unlink and m")),
        ];
        let (loaded, without) = load_all(&sources, &Options::default());
        let told: Vec<String> =
            loaded.files.iter().map(|file| format!("{}: {}", file.name, file.verdict())).collect();
        assert_eq!(
            told,
            ["a.yaml: Ok", "b.yaml: Invalid", "c.yaml: Ok, with warnings", "d.yaml: Invalid", "e.yaml: Ok"]
        );
        assert!(without && loaded.rules.is_none());
        let error = verdict(&loaded, &[], &Policy { deny: &[], allow: &[] }).unwrap_err().error.to_string();
        assert_eq!(error, "these do not load: b.yaml, d.yaml");
        let (loaded, without) = load_all(&sources[..2], &Options::default());
        assert!(!without && loaded.files.len() == 2 && loaded.rules.is_none());
    }

    #[test]
    fn lints_fail_when_they_are_denied() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        std::fs::write(&path, GOOD.replace("unlink", "unlink and fd.name=/x")).unwrap();
        let check = |deny: &[&str], allow: &[&str]| {
            let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
            let args = Args { deny: words(deny), allow: words(allow), ..args(&[&path], Format::Text) };
            super::check(&args, &mut String::new()).err().map(|failure| failure.class)
        };
        assert_eq!(check(&[], &[]), None);
        assert_eq!(check(&["no-descriptor"], &[]), Some(Class::Failed));
        assert_eq!(check(&["warnings"], &[]), Some(Class::Failed));
        assert_eq!(check(&["warnings"], &["no-descriptor"]), None);
        assert_eq!(check(&["shadowed-rule"], &[]), None);
        assert_eq!(check(&["no-descripter"], &[]), Some(Class::Usage));
    }

    #[test]
    fn a_finding_shows_its_place() {
        let text_of = GOOD.replace("unlink", "unlink and fd.name=/x");
        let sources = [Source::new("a.yaml", text_of)];
        let loaded = load(&sources, &crate::rules::Options::default());
        let findings = lint::run(&sources, loaded.rules.as_ref().unwrap());
        let text = text(&loaded, &findings, &Policy { deny: &[], allow: &[] });
        assert!(
            text.contains(
                "a.yaml:5:34: warning: fd.name is missing: unlink has no descriptor [no-descriptor]\n  in rule \"r\"\n"
            ),
            "{text}"
        );
        assert!(text.contains("  |                                  ^^^^^^^^^^\n"), "{text}");
    }
}

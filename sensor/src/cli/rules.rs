//! `falconet rules`: check rule files and run their test cases, without root and without a kernel.

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};

use super::exit::{Class, Failure};
use crate::rules::cases;
use crate::rules::diagnostic::{Code, Diagnostic, FileReport};
use crate::rules::{Options, Source, load, stock};

#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Load rule files together, in order, and tell every error and warning.
    Check(Check),
    /// Run files of test cases: which events must make which rules fire.
    Test(Test),
}

#[derive(clap::Args)]
struct Check {
    /// Rule files; later ones may refer to earlier ones. Without any, the rules that come with falconet.
    files: Vec<PathBuf>,
    /// How to report.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(clap::Args)]
struct Test {
    /// Files of test cases (`*.cases.yaml`); each names its rule files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people, as `falco -V` prints.
    Text,
    /// Falco's `falco_load_results`.
    Json,
}

pub fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Check(check) => self::check(check),
        Command::Test(test) => self::test(test),
    }
}

fn check(args: &Check) -> Result<(), Failure> {
    let mut sources = if args.files.is_empty() { stock() } else { Vec::new() };
    let mut unreadable = None;
    for path in &args.files {
        match read(path) {
            Ok(source) => sources.push(source),
            Err(error) => {
                unreadable = Some(unread(path, &error));
                break;
            }
        }
    }
    let mut loaded = load(&sources, &Options::default());
    if let Some(report) = unreadable
        && loaded.files.iter().all(FileReport::is_ok)
    {
        loaded.files.push(report);
        loaded.rules = None;
    }
    match args.output {
        Format::Json => println!("{}", loaded.json()),
        Format::Text => {
            for file in &loaded.files {
                print!("{file}");
            }
            for note in loaded.rules.iter().flat_map(crate::rules::RuleSet::notes) {
                println!("note: {note}");
            }
        }
    }
    match loaded.files.iter().find(|file| !file.is_ok()) {
        None => Ok(()),
        Some(file) => Err(Failure::new(Class::Failed, anyhow::anyhow!("{} does not load", file.name))),
    }
}

fn read(path: &Path) -> std::io::Result<Source> {
    let text = std::fs::read(path)?;
    let text = String::from_utf8(text)
        .map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, "the file is not UTF-8"))?;
    Ok(Source::new(path.display().to_string(), text))
}

/// The report about a file that cannot be read.
fn unread(path: &Path, error: &std::io::Error) -> FileReport {
    let name = path.display().to_string();
    let diagnostic = Diagnostic::unread(Code::FileRead, &name, error.to_string());
    FileReport { name, errors: vec![diagnostic], warnings: Vec::new() }
}

fn test(args: &Test) -> Result<(), Failure> {
    let mut failed = 0;
    let mut passed = 0;
    for path in &args.files {
        let source = read(path)
            .map_err(|error| Failure::new(Class::Failed, anyhow::anyhow!("{}: {error}", path.display())))?;
        let file = cases::parse(&source).map_err(|error| Failure::new(Class::Failed, error))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut sources = Vec::new();
        for name in &file.rules {
            let rules = folder.join(name);
            let source = read(&rules).map_err(|error| {
                Failure::new(Class::Failed, anyhow::anyhow!("{}: {error}", rules.display()))
            })?;
            sources.push(source);
        }
        let loaded = load(&sources, &Options::default());
        let Some(rules) = loaded.rules else {
            for file in loaded.files.iter().filter(|file| !file.is_ok()) {
                print!("{file}");
            }
            let error = anyhow::anyhow!("the rules of {} do not load", path.display());
            return Err(Failure::new(Class::Rules, error));
        };
        let failures = cases::run(&rules, &file);
        for failure in &failures {
            println!("{}:{}: {}: {}", path.display(), failure.line, failure.case, failure.message);
        }
        let wrong: std::collections::BTreeSet<usize> = failures.iter().map(|failure| failure.line).collect();
        failed += wrong.len();
        passed += file.cases.len() - wrong.len();
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::new(Class::Failed, anyhow::anyhow!("{failed} test case(s) failed")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_and_test_end_with_their_verdict() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let good = write(
            "good.yaml",
            "- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=open\n",
        );
        let bad = write("bad.yaml", "- rule: r\n");
        let check = |files: &[&PathBuf], output| {
            super::check(&Check { files: files.iter().map(|path| (*path).clone()).collect(), output })
        };
        assert!(check(&[&good], Format::Text).is_ok());
        assert!(check(&[], Format::Json).is_ok());
        assert_eq!(check(&[&good, &bad], Format::Json).unwrap_err().class, Class::Failed);
        let missing = folder.path().join("missing.yaml");
        assert_eq!(check(&[&good, &missing], Format::Text).unwrap_err().class, Class::Failed);
        let passes = write(
            "a.cases.yaml",
            "rules: [good.yaml]\ncases:\n- {name: n, event: {evt.type: open}, fires: [r]}\n",
        );
        let fails = write(
            "b.cases.yaml",
            "rules: [good.yaml]\ncases:\n- {name: n, event: {evt.type: open}, silent: [r]}\n",
        );
        assert!(super::test(&Test { files: vec![passes.clone()] }).is_ok());
        assert_eq!(super::test(&Test { files: vec![passes, fails] }).unwrap_err().class, Class::Failed);
    }
}

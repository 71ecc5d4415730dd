//! `falconet rules check`: load rule files and tell every error and warning.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::read;
use crate::cli::exit::{Class, Failure};
use crate::rules::diagnostic::{Diagnostic, FileReport};
use crate::rules::{Options, RuleSet, load, stock};

#[derive(clap::Args)]
pub struct Args {
    /// Rule files; later ones may refer to earlier ones. Without any, the rules that come with falconet.
    files: Vec<PathBuf>,
    /// How to report.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people, as `falco -V` prints.
    Text,
    /// Falco's `falco_load_results`.
    Json,
}

pub fn run(args: &Args) -> Result<(), Failure> {
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
            for note in loaded.rules.iter().flat_map(RuleSet::notes) {
                println!("note: {note}");
            }
        }
    }
    match loaded.files.iter().find(|file| !file.is_ok()) {
        None => Ok(()),
        Some(file) => Err(Failure::new(Class::Failed, anyhow::anyhow!("{} does not load", file.name))),
    }
}

/// The report about a file that cannot be read.
fn unread(path: &Path, error: &std::io::Error) -> FileReport {
    let name = path.display().to_string();
    let diagnostic = Diagnostic::unread(&name, error.to_string());
    FileReport { name, errors: vec![diagnostic], ..FileReport::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_with_its_verdict() {
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
            run(&Args { files: files.iter().map(|path| (*path).clone()).collect(), output })
        };
        assert!(check(&[&good], Format::Text).is_ok());
        assert!(check(&[], Format::Json).is_ok());
        assert_eq!(check(&[&good, &bad], Format::Json).unwrap_err().class, Class::Failed);
        let missing = folder.path().join("missing.yaml");
        assert_eq!(check(&[&good, &missing], Format::Text).unwrap_err().class, Class::Failed);
    }
}

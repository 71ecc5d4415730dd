//! `falconet rules test`: which events must make which rules fire.

use std::path::{Path, PathBuf};

use super::read;
use crate::cli::exit::{Class, Failure};
use crate::rules::{Options, cases, load};

#[derive(clap::Args)]
pub struct Args {
    /// Files of test cases (`*.cases.yaml`); each names its rule files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

pub fn run(args: &Args) -> Result<(), Failure> {
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
    fn ends_with_its_verdict() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        write(
            "good.yaml",
            "- rule: r\n  desc: d\n  output: o\n  priority: INFO\n  condition: evt.type=open\n",
        );
        let passes = write(
            "a.cases.yaml",
            "rules: [good.yaml]\ncases:\n- {name: n, event: {evt.type: open}, fires: [r]}\n",
        );
        let fails = write(
            "b.cases.yaml",
            "rules: [good.yaml]\ncases:\n- {name: n, event: {evt.type: open}, silent: [r]}\n",
        );
        assert!(run(&Args { files: vec![passes.clone()] }).is_ok());
        assert_eq!(run(&Args { files: vec![passes, fails] }).unwrap_err().class, Class::Failed);
    }
}

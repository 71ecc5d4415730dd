//! `cargo xtask fuzz`: the targets of `fuzz/` under libFuzzer, for a few seconds each.
//!
//! It works with the stable compiler: `fuzz/instrument` asks LLVM for the counters that a sanitizer build would add, for the
//! crates of this workspace only, so what was built for the tests is used again. There is no address sanitizer, which needs
//! another compiler; a panic, an abort, a hang or too much memory is what is found.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use crate::setup::{InstallArgs, Setup};
use crate::{process, workspace};

/// The test target of `fuzz/` that is linked with libFuzzer.
const PROGRAM: &str = "fuzzer";
/// Most memory of one target, and longest time for one input.
const MEMORY_MB: u32 = 2048;
const INPUT_SECONDS: u32 = 20;
/// Longest input.
const INPUT_BYTES: u32 = 16 * 1024;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    install: InstallArgs,
    /// Only this target; a folder of fuzz/seeds.
    target: Option<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Give the target this one input, as after a crash.
    #[arg(long, value_name = "FILE", requires = "target")]
    input: Option<PathBuf>,
}

/// `cargo xtask fuzz`.
pub fn task(args: &Args) -> Result<()> {
    let mut setup = Setup::new(args.install);
    if !setup.cxx_compiler()? {
        println!("skipped: fuzz targets: libFuzzer needs a C++ compiler (g++)");
        return Ok(());
    }
    let names = targets(args.target.as_deref())?;
    let program = workspace::phase("fuzz targets", build)?;
    if let (Some(input), [name]) = (&args.input, names.as_slice()) {
        let input = fs::canonicalize(input).with_context(|| format!("cannot find {}", input.display()))?;
        return process::run(fuzzer(&program, name).arg(input));
    }
    let queue = Mutex::new(VecDeque::from(names));
    let failed = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    workspace::phase("fuzzing", || {
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Some(name) = next(&queue) {
                        if let Err(error) = run(&program, &name, args.seconds) {
                            eprintln!("{error:#}");
                            failed.lock().unwrap_or_else(PoisonError::into_inner).push(name);
                        }
                    }
                });
            }
        });
        Ok(())
    })?;
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if failed.is_empty() { Ok(()) } else { bail!("fuzzing failed: {}", failed.join(", ")) }
}

fn next(queue: &Mutex<VecDeque<String>>) -> Option<String> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
}

fn folder() -> PathBuf {
    workspace::root().join("fuzz")
}

/// The targets, which are the folders of seeds; or the one that was asked for.
fn targets(only: Option<&str>) -> Result<Vec<String>> {
    let seeds = folder().join("seeds");
    let mut names = Vec::new();
    for entry in fs::read_dir(&seeds).with_context(|| format!("cannot read {}", seeds.display()))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    match only {
        None => Ok(names),
        Some(name) if names.iter().any(|known| known == name) => Ok(vec![name.to_owned()]),
        Some(name) => bail!("there is no target {name:?}; there are {}", names.join(", ")),
    }
}

/// Builds the program; returns where it is.
fn build() -> Result<PathBuf> {
    let mut cargo = process::cargo();
    // With the whole workspace named, the other crates get the features that they have in `cargo test --workspace`.
    cargo
        .env("RUSTC_WORKSPACE_WRAPPER", folder().join("instrument"))
        .args(["test", "--locked", "--no-run", "--workspace", "--test", PROGRAM])
        .args(["--features", "falconet-fuzz/libfuzzer", "--message-format", "json-render-diagnostics"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = cargo.output().with_context(|| format!("cannot start {}", process::line(&cargo)))?;
    if !output.status.success() {
        bail!("{} ended with {}", process::line(&cargo), output.status);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    executable(&messages).map(PathBuf::from).context("cargo did not say where it put the program")
}

/// The program's path in cargo's messages, one JSON object a line.
fn executable(messages: &str) -> Option<&str> {
    let name = format!("\"name\":\"{PROGRAM}\"");
    let line = messages.lines().rfind(|line| line.contains(&name) && line.contains("\"executable\":\""))?;
    line.split_once("\"executable\":\"")?.1.split('"').next()
}

/// The program, told which target it is.
fn fuzzer(program: &Path, name: &str) -> std::process::Command {
    let mut command = process::command(program);
    command
        .env("FALCONET_FUZZ_TARGET", name)
        .args([format!("-rss_limit_mb={MEMORY_MB}"), format!("-timeout={INPUT_SECONDS}")]);
    command
}

fn run(program: &Path, name: &str, seconds: u32) -> Result<()> {
    let work = workspace::target().join("fuzz").join(name);
    let corpus = work.join("corpus");
    fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
    let log = work.join("log");
    let file = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = fuzzer(program, name);
    command
        .args([
            format!("-max_total_time={seconds}"),
            format!("-max_len={INPUT_BYTES}"),
            format!("-artifact_prefix={}/", work.display()),
            "-print_final_stats=1".to_owned(),
        ])
        // New inputs go to the first folder; the others are only read.
        .arg(&corpus)
        .args(seeds(name))
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file);
    let status = command.status().with_context(|| format!("cannot start {}", process::line(&command)))?;
    let said = fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    if status.success() {
        eprintln!("    {name}: {}", summary(&said));
        return Ok(());
    }
    let lines: Vec<&str> = said.lines().collect();
    let tail = lines[lines.len().saturating_sub(60)..].join("\n");
    let remedy = artifact(&said).map_or_else(String::new, |input| {
        let kept = format!("fuzz/crashes/{name}/");
        format!(
            "\nagain: cargo xtask fuzz {name} --input {input}\nwhen it is repaired, keep the input as a test: mkdir -p {kept} && cp {input} {kept}"
        )
    });
    bail!("target {name} ended with {status}; the end of {}:\n{tail}{remedy}", log.display())
}

/// Folders of inputs to begin with. The upstream rule files are no part of this repository, but good seeds where they are.
fn seeds(name: &str) -> Vec<PathBuf> {
    let mut folders = vec![folder().join("seeds").join(name), folder().join("crashes").join(name)];
    if name == "rules" {
        let root = workspace::root();
        folders.extend(root.ancestors().map(|folder| folder.join("shared/falco-rules")).find(|f| f.is_dir()));
    }
    folders.retain(|folder| Path::is_dir(folder));
    folders
}

/// How much was tried, from libFuzzer's last words.
fn summary(log: &str) -> String {
    let number = |name: &str| {
        let line = log.lines().rev().find_map(|line| line.strip_prefix(&format!("stat::{name}:")));
        line.map_or("?", str::trim)
    };
    let covered = log.lines().rev().find_map(|line| line.split_once(" cov: ")?.1.split(' ').next());
    format!(
        "{} inputs, {} kept as new, {} edges seen, at most {} MB",
        number("number_of_executed_units"),
        number("new_units_added"),
        covered.unwrap_or("?"),
        number("peak_rss_mb")
    )
}

/// The file that libFuzzer wrote the failing input to.
fn artifact(log: &str) -> Option<&str> {
    log.lines().find_map(|line| line.split_once("Test unit written to ").map(|(_, file)| file.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_of_libfuzzer_are_understood() {
        let log = "#12\tNEW    cov: 345 ft: 9 corp: 2/3b\nstat::number_of_executed_units: 678\n\
                   stat::new_units_added:          9\nstat::peak_rss_mb:              55\n";
        assert_eq!(summary(log), "678 inputs, 9 kept as new, 345 edges seen, at most 55 MB");
        let crash = "x\nartifact_prefix='/t/'; Test unit written to /t/crash-1\nBase64: AA==\n";
        assert_eq!(artifact(crash), Some("/t/crash-1"));
        assert_eq!(artifact(log), None);
        let built = "{\"target\":{\"name\":\"x\"},\"executable\":\"/x\"}\n\
                     {\"target\":{\"name\":\"fuzzer\"},\"executable\":\"/t/fuzzer-1\"}\n{\"success\":true}\n";
        assert_eq!(executable(built), Some("/t/fuzzer-1"));
    }

    #[test]
    fn targets_are_the_folders_of_seeds() {
        let all = targets(None).unwrap();
        assert!(all.iter().any(|name| name == "rules") && targets(Some("rules")).is_ok());
        assert!(targets(Some("nothing")).unwrap_err().to_string().contains("rules"));
    }
}

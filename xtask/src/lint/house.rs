//! The rules of this house that no other tool knows. Each finding names the file, the line and the remedy.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::workspace;

/// Lines that a source file may have, without its tests.
const LONGEST: usize = 600;
/// Files that may be longer, and why.
const LONG_FILES: &[(&str, &str)] = &[
    (
        "sensor/src/rules/registry/fields.rs",
        "a table of one repeated shape: a row for each of Falco's fields",
    ),
    ("sensor/src/rules/language_tests.rs", "tables of one repeated shape: a condition, an event, the answer"),
    (
        "sensor/src/rules/language/parse.rs",
        "one recursive descent: a function for each production of the grammar",
    ),
];
/// The folder where one file is one syscall family.
pub const EVENTS: &str = "sensor-ebpf/src/events/";
/// Files of that folder that are not a family.
const NOT_FAMILIES: [&str; 4] = ["mod.rs", "info.rs", "flags.rs", "plain.rs"];

/// Checks all Rust sources.
pub fn check() -> Result<()> {
    let root = workspace::root();
    let mut files = Vec::new();
    workspace::walk(&root, &mut files).context("cannot read the sources")?;
    files.retain(|file| file.extension().is_some_and(|e| e == "rs"));
    files.sort();
    let mut findings = String::new();
    for file in &files {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.strip_prefix(&root).unwrap_or(file).to_string_lossy();
        for (line, finding) in file_findings(&name, &text) {
            writeln!(findings, "{name}:{line}: {finding}")?;
        }
    }
    for (name, _) in LONG_FILES {
        if !root.join(name).is_file() {
            writeln!(findings, "xtask/src/lint/house.rs:1: {name} is gone: take it out of LONG_FILES")?;
        }
    }
    if !findings.is_empty() {
        bail!("the rules of this house:\n{findings}");
    }
    eprintln!("    {} files", files.len());
    Ok(())
}

/// Line and text of everything that is wrong with one file.
fn file_findings(name: &str, text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or(text);
    let length = code.lines().count();
    if length > LONGEST && !LONG_FILES.iter().any(|(long, _)| *long == name) {
        let remedy =
            "split it by job, or, if it is one repeated shape, add it to LONG_FILES with that reason";
        found.push((LONGEST, format!("{length} lines without tests, {LONGEST} are allowed: {remedy}")));
    }
    // Examples and the binary's one-line main may do without; a module may not.
    if !text.starts_with("//!") && !text.starts_with("#![") {
        found.push((1, "no module documentation: say what it is, why, and how it fails".to_owned()));
    }
    // Put together here, so that this file does not find itself.
    let unfinished = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("dbg", "!(")];
    for (index, line) in text.lines().enumerate() {
        for word in unfinished {
            if line.contains(word) {
                found.push((index + 1, format!("`{word}…)`: finish it or take it out")));
            }
        }
        let code = line.trim_start();
        if !code.starts_with("//") && code.contains(concat!("unbounded", "_channel")) {
            found.push((
                index + 1,
                "an unbounded queue: bound it and say what happens when it is full".to_owned(),
            ));
        }
    }
    // A benchmark is no test.
    if (name.starts_with("tests/") || name.starts_with("sensor/src/"))
        && let Some(at) = text.lines().position(|line| line.contains(concat!("\"skip", "ped: ")))
    {
        let remedy = "let the harness ignore it (`needs`, or `cfg_attr(not(has_…), ignore)`)";
        found.push((at + 1, format!("a test that leaves itself out counts as passed: {remedy}")));
    }
    // The list of `tests!` is all that is run there, and nothing would tell of a test beside it.
    let listed = ["tests!", "list!"].iter().any(|list| text.contains(&format!("harness::{list}")));
    if listed && let Some(at) = text.lines().position(|line| line.trim() == "#[test]") {
        found.push((at + 1, "`#[test]` beside `tests!` is never run: put the test into the list".to_owned()));
    }
    if let Some(family) = name.strip_prefix(EVENTS)
        && !NOT_FAMILIES.contains(&family)
    {
        found.extend(family_findings(text).into_iter().map(|finding| (1, finding)));
    }
    if name == "sensor/src/main.rs" && length > 150 {
        found.push((
            150,
            "main.rs parses, builds, runs and drains: move the rest into the library".to_owned(),
        ));
    }
    found
}

/// One syscall family = one file: record, kernel handler and all that is known of it.
fn family_findings(text: &str) -> Vec<String> {
    // Declares a call with its handler and all that is known of it.
    let declares = text.contains("calls! {") || text.contains("calls_of_fd! {");
    let parts = [
        (
            "a record: `record! { … }`, or one of another family",
            text.contains("record! {") || text.contains("use super::"),
        ),
        (
            "a kernel handler: `#[cfg(target_arch = \"bpf\")]`",
            declares || text.contains("#[cfg(target_arch = \"bpf\")]"),
        ),
        ("what is known of it: `pub const EVENT: Info`", declares || text.contains("pub const EVENT: Info")),
        (
            "its test against the running kernel: `pub const SCENARIOS: &[Scenario]`",
            text.contains("pub const SCENARIOS: &[Scenario]"),
        ),
    ];
    parts
        .into_iter()
        .filter(|(_, there)| !there)
        .map(|(part, _)| format!("this family lacks {part}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn texts(name: &str, text: &str) -> Vec<String> {
        file_findings(name, text).into_iter().map(|(_, finding)| finding).collect()
    }

    #[test]
    fn long_files_unfinished_code_and_missing_docs_are_found() {
        assert_eq!(texts("a.rs", "//! A.\nfn a() {}\n"), Vec::<String>::new());
        assert!(texts("a.rs", &format!("//! A.\n{}", "\n".repeat(600)))[0].starts_with("601 lines"));
        let tested = format!("//! A.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "\n".repeat(600));
        assert_eq!(texts("a.rs", &tested), Vec::<String>::new());
        assert!(texts("a.rs", "fn a() {}\n")[0].contains("no module documentation"));
        let unfinished = format!("//! A.\nfn a() {{ {}() }}\n", concat!("todo", "!"));
        assert_eq!(file_findings("a.rs", &unfinished)[0].0, 2);
        assert!(
            texts("a.rs", concat!("//! A.\nlet c = mpsc::unbounded", "_channel();\n"))[0]
                .contains("bound it")
        );
    }

    #[test]
    fn a_test_that_is_never_run_is_found() {
        let listed = concat!("//! T.\nsupport::harness::", "tests! {\n    a;\n}\n\nfn a() {}\n");
        assert_eq!(texts("tests/t.rs", listed), Vec::<String>::new());
        let beside = format!("{listed}\n#[test]\nfn b() {{}}\n");
        assert!(texts("tests/t.rs", &beside)[0].contains("never run"));
        let itself = concat!("//! T.\nfn a() { println!(\"skip", "ped: a: no root\") }\n");
        assert!(texts("tests/t.rs", itself)[0].contains("counts as passed"));
    }

    #[test]
    fn a_syscall_family_has_its_parts() {
        let whole = "//! F.\nrecord! {\n}\npub const EVENT: Info = x;\npub const SCENARIOS: &[Scenario] = &[];\n#[cfg(target_arch = \"bpf\")]\nmod h {}\n";
        assert_eq!(texts("sensor-ebpf/src/events/f.rs", whole), Vec::<String>::new());
        let lacking = texts("sensor-ebpf/src/events/f.rs", "//! F.\n");
        assert_eq!(lacking.len(), 4, "{lacking:?}");
        assert_eq!(texts("sensor-ebpf/src/events/mod.rs", "//! F.\n"), Vec::<String>::new());
    }

    #[test]
    fn every_long_file_has_a_reason() {
        assert!(LONG_FILES.iter().all(|(name, reason)| Path::new(name).is_relative() && reason.len() > 10));
    }
}

//! Files that the documentation names exist. Code moves; a page that sends a reader to a file that is gone is worse than none.
//!
//! Looked at are the pages at the root and in `docs`, and the heads of source files. A name may leave out the folders before it,
//! as people do: `lanes.rs` is any file of that name.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::workspace;

/// Endings of names that are files of this repository.
const ENDINGS: [&str; 7] = [".rs", ".ts", ".svelte", ".mjs", ".md", ".service", "/"];
/// Pages about what was.
const HISTORY: [&str; 1] = ["CHANGELOG.md"];

/// Checks pages and heads.
pub fn check() -> Result<()> {
    let root = workspace::root();
    let mut files = Vec::new();
    workspace::walk(&root, &mut files).context("cannot read the sources")?;
    files.sort();
    let name_of =
        |file: &std::path::Path| file.strip_prefix(&root).unwrap_or(file).to_string_lossy().into_owned();
    let names: Vec<String> = files.iter().map(|file| name_of(file)).collect();
    let (mut findings, mut count) = (String::new(), 0);
    for (file, name) in files.iter().zip(&names) {
        let ending = file.extension().and_then(|e| e.to_str());
        let is_page = ending == Some("md") && (!name.contains('/') || name.starts_with("docs/"));
        if HISTORY.contains(&name.as_str()) || !(is_page || ending == Some("rs")) {
            continue;
        }
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
        for (line, text) in text.lines().enumerate() {
            let Some(prose) = (if is_page { Some(text) } else { text.strip_prefix("//!") }) else { continue };
            // A head may name folders that are made while something runs.
            for span in spans(prose).filter(|span| is_file(span) && (is_page || !span.ends_with('/'))) {
                count += 1;
                if !exists(span, &names) {
                    writeln!(findings, "{name}:{}: there is no `{span}`", line + 1)?;
                }
            }
        }
    }
    if !findings.is_empty() {
        bail!("files that are named and gone:\n{findings}");
    }
    eprintln!("    {count} names");
    Ok(())
}

/// What stands between backticks.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// True for the name of a file or folder here: no absolute path, pattern, placeholder or address.
fn is_file(span: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    // `proc.pid.ts` is a field.
    let is_name = |stem: &str| !stem.is_empty() && (stem.contains('/') || !stem.contains('.'));
    ENDINGS.iter().any(|ending| span.strip_suffix(ending).is_some_and(is_name))
        && !span.starts_with(['/', '~', '.'])
        && span.chars().all(plain)
}

fn exists(span: &str, names: &[String]) -> bool {
    let folder = span.strip_suffix('/');
    names.iter().any(|name| match folder {
        Some(folder) => name.starts_with(span) || name.contains(&format!("/{folder}/")),
        None => name == span || name.strip_suffix(span).is_some_and(|before| before.ends_with('/')),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_leave_out_the_folders_before_them() {
        let names = ["sensor/src/probe/lanes.rs".to_owned(), "docs/rules.md".to_owned()];
        for there in
            ["lanes.rs", "probe/lanes.rs", "sensor/src/probe/lanes.rs", "probe/", "docs/", "docs/rules.md"]
        {
            assert!(exists(there, &names), "{there}");
        }
        for gone in ["anes.rs", "state/lanes.rs", "rob/", "rules.rs"] {
            assert!(!exists(gone, &names), "{gone}");
        }
    }

    #[test]
    fn only_files_of_this_repository_are_looked_for() {
        let found = |text| spans(text).filter(|span| is_file(span)).collect::<Vec<_>>();
        assert_eq!(found("`a.rs` and b.rs, `c.md` in `d/`"), ["a.rs", "c.md", "d/"]);
        assert_eq!(found("`/etc/x.md` `*.rs` `NAME/` `<x>.rs` `fn x()` `.rs` `http://x/`"), ["NAME/"]);
    }
}

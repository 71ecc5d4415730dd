//! The upstream rule files, where they are at hand: they must load without a word.

use crate::rules::*;

/// A file of the folder `shared` that lies beside the workspace (or beside a folder above it).
pub fn shared(path: &str) -> Option<String> {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().find_map(|folder| std::fs::read_to_string(folder.join("shared").join(path)).ok())
}

pub fn upstream(test: &str) -> Option<Vec<Source>> {
    let files = ["falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml"];
    let read = |name: &&str| {
        let text = shared(&format!("falco-rules/{name}"))?;
        Some(Source::new(*name, text))
    };
    let sources: Option<Vec<Source>> = files.iter().map(read).collect();
    if sources.is_none() {
        println!("skipped: {test}: shared/falco-rules is not here");
    }
    sources
}

fn check(sources: &[Source], rules: usize) -> RuleSet {
    let loaded = load(sources, &Options::default());
    for file in &loaded.files {
        assert!(file.errors.is_empty() && file.warnings.is_empty(), "{file}");
    }
    let set = loaded.rules.unwrap();
    assert_eq!(set.rules().len(), rules);
    set
}

#[test]
fn upstream_files_load_alone_and_together_without_a_warning() {
    let Some(sources) = upstream("upstream_files_load_alone_and_together_without_a_warning") else { return };
    for (source, rules) in sources.iter().zip([25, 31, 37]) {
        check(std::slice::from_ref(source), rules);
    }
    let set = check(&sources, 93);
    let types = set.event_types();
    assert!(
        types.contains("execve") && types.contains("openat") && !types.contains("container"),
        "{types:?}"
    );
}

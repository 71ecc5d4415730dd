//! The upstream rule files, where they are at hand: they must load without a word.

use crate::rules::*;

/// A file of the folder `shared` that lies beside the workspace (or beside a folder above it). Tests that read one are ignored
/// where the folder is not.
pub fn shared(path: &str) -> String {
    String::from_utf8(shared_bytes(path)).unwrap()
}

/// [`shared`], for a file that is no text.
pub fn shared_bytes(path: &str) -> Vec<u8> {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |folder: &std::path::Path| std::fs::read(folder.join("shared").join(path)).ok();
    here.ancestors().find_map(read).unwrap_or_else(|| panic!("shared/{path} is not here"))
}

pub fn upstream() -> Vec<Source> {
    let files = ["falco_rules.yaml", "falco-incubating_rules.yaml", "falco-sandbox_rules.yaml"];
    files.map(|name| Source::new(name, shared(&format!("falco-rules/{name}")))).into()
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
#[cfg_attr(not(has_shared), ignore = "needs ../shared")]
fn upstream_files_load_alone_and_together_without_a_warning() {
    let sources = upstream();
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

//! What is fuzzed: for each reader of foreign bytes a function that takes any bytes and must not panic.
//!
//! `cargo xtask fuzz` runs them under libFuzzer (`main.rs`), guided by coverage. Inputs worth starting from are in `seeds/`;
//! inputs that once ended in a panic, took too long or too much memory are kept in `crashes/`. The test below runs all
//! of them without libFuzzer, with every other test.

mod records;
mod texts;

/// A reader under test.
pub struct Target {
    /// Its name, that of its folders in `seeds/` and `crashes/` too.
    pub name: &'static str,
    pub run: fn(&[u8]),
}

/// All readers of foreign bytes.
pub const TARGETS: &[Target] = &[
    Target { name: "rules", run: texts::rules },
    Target { name: "condition", run: texts::condition },
    Target { name: "output", run: texts::output },
    Target { name: "cases", run: texts::cases },
    Target { name: "alerts", run: texts::alerts },
    Target { name: "events", run: records::events },
    Target { name: "capture", run: records::capture },
];

/// The target called `name`.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn seeds_and_inputs_that_once_crashed_are_read() {
        for target in TARGETS {
            let mut seen = 0;
            for folder in ["seeds", "crashes"] {
                let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(target.name);
                let Ok(files) = std::fs::read_dir(&folder) else { continue };
                for file in files {
                    let file = file.unwrap().path();
                    println!("{}", file.display());
                    (target.run)(&std::fs::read(&file).unwrap());
                    seen += 1;
                }
            }
            assert!(seen > 0, "{} has no seeds", target.name);
        }
    }
}

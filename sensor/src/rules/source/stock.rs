//! The rules that come with the program, each file beside its test cases in the folder `rules`.

use crate::rules::report::source::Source;

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        /// Name, rules, test cases.
        static FILES: &[(&str, &str, &str)] = &[$((
            concat!("falconet:", $name, ".yaml"),
            include_str!(concat!("../../../../rules/", $name, ".yaml")),
            include_str!(concat!("../../../../rules/", $name, ".cases.yaml")),
        )),*];
    };
}

files!["container", "shell", "files", "network", "process"];

/// The stock rule files in load order.
pub fn stock() -> Vec<Source> {
    FILES.iter().map(|(name, text, _)| Source::new(*name, *text)).collect()
}

/// The test cases of the stock rules, as [`crate::rules::cases::parse`] reads them.
pub fn stock_cases() -> Vec<Source> {
    FILES.iter().map(|(name, _, text)| Source::new(name.replace(".yaml", ".cases.yaml"), *text)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::options::{Options, Sight};
    use super::*;
    use crate::rules::registry::event_types;
    use crate::rules::status::Status;
    use crate::rules::{cases, load};

    /// What the probe and the container state make events of.
    fn captured() -> Options {
        let sight = Sight { events: Some(event_types::captured()), ..Sight::default() };
        Options { sight, ..Options::default() }
    }

    #[test]
    fn they_load_together_and_alone_without_a_word_and_can_all_fire() {
        let options = captured();
        let sources = stock();
        for sources in sources.chunks(1).chain([sources.as_slice()]) {
            let loaded = load(sources, &options);
            for file in &loaded.files {
                assert!(file.errors.is_empty() && file.warnings.is_empty(), "{file}");
            }
            for rule in loaded.rules.unwrap().rules() {
                assert_eq!(rule.status, Status::Active, "{}", rule.name);
            }
        }
    }

    #[test]
    fn each_passes_its_cases_with_a_firing_and_a_silent_one() {
        let rules = load(&stock(), &captured()).rules.unwrap();
        let mut fires = std::collections::BTreeSet::new();
        let mut silent = std::collections::BTreeSet::new();
        for source in stock_cases() {
            let file = cases::parse(&source).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(cases::run(&rules, &file), [], "{}", source.name);
            for case in &file.cases {
                fires.extend(case.fires.clone());
                silent.extend(case.silent.clone());
            }
        }
        for rule in rules.rules() {
            assert!(fires.contains(&rule.name), "no case fires {:?}", rule.name);
            assert!(silent.contains(&rule.name), "no case is silent of {:?}", rule.name);
        }
    }
}

//! The checks of configuration and rules: would `run` take them, and which of the rules cannot fire on this machine.

use std::sync::Arc;

use super::check::Check;
use super::machine::Machine;
use crate::app::names::HostNames;
use crate::app::settings::Settings;
use crate::app::{ruleset, sight};
use crate::probe::btf::{KERNEL_BTF, KernelTypes};
use crate::rules::RuleSet;

/// As far as they can be had one after the other.
pub fn all(machine: &Machine, settings: &Settings) -> Vec<Check> {
    let config = match settings.load() {
        Ok(config) => config,
        Err(error) => {
            let remedy = "mend the configuration; `falconet run` says the same";
            return vec![Check::missing("configuration", error.to_string(), "everything", remedy)];
        }
    };
    // A kernel that says nothing of its types has a check of its own.
    let types = KernelTypes::open(&machine.path(KERNEL_BTF)).ok();
    let sight = types.map_or_else(sight::anywhere, |types| sight::on(&types));
    let loaded = ruleset::read(&config.rules).map_err(|error| error.to_string()).and_then(|sources| {
        let rules =
            ruleset::load(&config.rules, &sources, &sight, Arc::new(HostNames::default())).into_rules();
        let origin = ruleset::origin(&config.rules, sources.len());
        rules.map(|rules| (rules, origin)).map_err(|error| error.to_string())
    });
    vec![match loaded {
        Ok((rules, origin)) => able(&rules, &origin),
        Err(error) => {
            let (first, more) = error.split_once('\n').unwrap_or((&error, ""));
            let remedy = "mend the files; `falconet rules check` says more";
            let details = more.lines().map(str::to_owned).collect();
            Check { details, ..Check::missing("rules", first, "everything: no rule is judged", remedy) }
        }
    }]
}

/// Which rules can fire.
fn able(rules: &RuleSet, origin: &str) -> Check {
    let details = rules.notes(usize::MAX);
    let found = format!("{} ({origin})", rules.tally());
    if details.is_empty() {
        return Check::ok("rules", found);
    }
    let remedy =
        "use what `falconet fields` lists as filled and events that are captured, or disable these rules";
    Check { details, ..Check::limited("rules", found, "what these rules are to detect", remedy) }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::check::State;
    use super::*;

    fn of(rules: &str) -> Check {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("r.yaml");
        std::fs::write(&file, rules).unwrap();
        // Without types the kernel hides nothing.
        let machine = Machine { root: dir.path().to_owned(), ..Machine::this(PathBuf::new()) };
        // No file: what the machine of this test has configured is its own.
        let empty = dir.path().join("falconet.yaml");
        std::fs::write(&empty, "").unwrap();
        let settings = Settings { config: Some(empty), options: Vec::new(), rules: vec![file] };
        all(&machine, &settings).remove(0)
    }

    fn rule(name: &str, condition: &str) -> String {
        format!("- rule: {name}\n  desc: d\n  output: o\n  priority: INFO\n  condition: {condition}\n")
    }

    #[test]
    fn rules_that_cannot_fire_are_listed_with_what_they_lack() {
        let good = rule("good", "evt.type = open");
        assert_eq!(of(&good), Check::ok("rules", "1 of 1 rules can fire (1 files)"));
        let check = of(&(good.clone() + &rule("blind", "evt.type = open and proc.stdin.type = ipv4")));
        assert_eq!(
            (check.state, check.found.as_str()),
            (State::Limited, "1 of 2 rules can fire; 1 cannot (1 files)")
        );
        assert_eq!(
            check.details,
            [r#"rule "blind" is inactive: it needs proc.stdin.type, which this sensor cannot fill"#]
        );
    }

    #[test]
    fn rules_and_configurations_that_do_not_load_keep_the_sensor_from_starting() {
        let check = of(&rule("bad", "evt.type = nothing"));
        assert_eq!(check.state, State::Missing);
        assert!(check.details.iter().any(|line| line.contains("nothing")), "{check:?}");
        let machine = Machine::this(PathBuf::new());
        let config = Some("/nonexistent/falconet.yaml".into());
        let settings = Settings { config, options: Vec::new(), rules: Vec::new() };
        let check = all(&machine, &settings).remove(0);
        assert_eq!((check.name, check.state), ("configuration", State::Missing));
    }
}

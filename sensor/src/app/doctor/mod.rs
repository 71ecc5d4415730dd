//! Would `falconet run` work on this machine, and how much would it see?
//!
//! Where `run` would work it loads the programs, fires each hook and takes them out again. It keeps no port and leaves no file. Each line says what is there, and where something is missing,
//! what that costs and how to mend it; at the end, which of the configured rules cannot fire here. Exit code 0 when `run` would work, 77 when only a privilege is missing, 69 otherwise.

mod check;
mod checks;
mod hooks;
mod machine;
mod rules;

use anyhow::anyhow;
use check::{Check, State};
use machine::Machine;
use serde::Serialize;

use super::exit::{Class, Failure};
use super::settings::Settings;

/// Fails at once, with the remedy, where the kernel would refuse the programs for want of a privilege.
pub fn privileged() -> Result<(), Failure> {
    let check = checks::privileges(&Machine::this(std::path::PathBuf::new()));
    match (check.state, check.remedy) {
        (State::Missing, remedy) => {
            let remedy = remedy.unwrap_or_default();
            Err(Failure::new(
                Class::Permission,
                anyhow!("this process {}, which eBPF needs: {remedy}", check.found),
            ))
        }
        _ => Ok(()),
    }
}

/// The whole answer.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether `falconet run` would work.
    usable: bool,
    checks: Vec<Check>,
}

impl Report {
    /// Runs every check on this machine; `state` is the directory that the alert log will be in, `settings` are those that `run`
    /// would be given.
    pub fn this_machine(state: std::path::PathBuf, settings: &Settings) -> Self {
        let mut report = Self::of(&Machine::this(state), settings);
        if report.usable {
            let check = hooks::check(settings);
            report.usable = check.state != State::Missing;
            report.checks.push(check);
        }
        report
    }

    fn of(machine: &Machine, settings: &Settings) -> Self {
        let mut checks = checks::all(machine);
        checks.extend(rules::all(machine, settings));
        Self { usable: checks.iter().all(|check| check.state != State::Missing), checks }
    }

    /// An error when `falconet run` would not work.
    pub fn outcome(&self) -> Result<(), Failure> {
        let missing: Vec<&Check> = self.checks.iter().filter(|c| c.state == State::Missing).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let only_privileges = missing.iter().all(|check| check.privilege);
        let class = if only_privileges { Class::Permission } else { Class::Unavailable };
        let names: Vec<&str> = missing.iter().map(|check| check.name).collect();
        Err(Failure::new(class, anyhow!("`falconet run` would not work here: {}", names.join(", "))))
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for check in &self.checks {
            let state = match check.state {
                State::Ok => "ok",
                State::Limited => "limited",
                State::Missing => "missing",
            };
            writeln!(f, "{state:<8} {:<14} {}", check.name, check.found)?;
            if let Some(text) = &check.costs {
                writeln!(f, "{:23} costs: {text}", "")?;
            }
            for line in &check.details {
                writeln!(f, "{:25} {line}", "")?;
            }
            if let Some(text) = &check.remedy {
                writeln!(f, "{:23} remedy: {text}", "")?;
            }
        }
        if self.usable { writeln!(f, "\n`falconet run` works here.") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(checks: Vec<Check>) -> Report {
        Report { usable: checks.iter().all(|c| c.state != State::Missing), checks }
    }

    fn class(report: &Report) -> Option<Class> {
        report.outcome().err().map(|failure| failure.class)
    }

    #[test]
    fn exit_codes_tell_privileges_from_the_machine() {
        let limited = Check::limited("cgroups", "none", "container fields", "mount one");
        let privilege = Check { privilege: true, ..Check::missing("privileges", "none", "all", "be root") };
        let kernel = Check::missing("kernel", "4.4", "all", "a newer one");
        assert_eq!(class(&report(vec![limited.clone()])), None);
        assert_eq!(class(&report(vec![limited, privilege.clone()])), Some(Class::Permission));
        assert_eq!(class(&report(vec![privilege, kernel])), Some(Class::Unavailable));
    }

    #[test]
    fn text_and_json_say_the_same() {
        let report =
            report(vec![Check::ok("a", "fine"), Check::missing("b", "gone", "everything", "get it")]);
        let text = report.to_string();
        assert!(text.contains("ok       a              fine\n"), "{text}");
        assert!(text.contains("costs: everything\n") && text.contains("remedy: get it\n"), "{text}");
        assert!(!text.contains("works here"), "{text}");
        let json = serde_json::to_value(&report).unwrap();
        let expected = serde_json::json!({
            "usable": false,
            "checks": [
                { "name": "a", "state": "ok", "found": "fine" },
                { "name": "b", "state": "missing", "found": "gone", "costs": "everything", "remedy": "get it" },
            ],
        });
        assert_eq!(json, expected);
    }
}

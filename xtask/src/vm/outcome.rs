//! What the suite said on each kernel, and the table of it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Before the kernel's release, in what a machine says.
pub const KERNEL: &str = "kernel ";
/// Before a program's name and how many instructions the verifier followed, and before the attach mode.
const VERIFIED: &str = "verified ";
const MODE: &str = "attach mode ";

/// How the suite fared on one kernel.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    name: String,
    kernel: String,
    mode: String,
    /// Instructions that the verifier followed, by program; in the suite's order.
    verified: Vec<(String, u64)>,
    passed: u64,
    failed: u64,
    ignored: u64,
    /// The suite has come to its end.
    ended: bool,
    /// Names of tests that failed.
    failures: Vec<String>,
    took: Duration,
}

impl Outcome {
    /// Out of what the console or the suite has said.
    pub fn read(name: &str, said: &str, took: Duration) -> Self {
        let mut outcome = Self { name: name.to_owned(), took, ..Self::default() };
        let mut test = "";
        for line in said.lines().map(|line| line.trim_end_matches('\r')) {
            // What a test prints comes behind its name, and its end behind that.
            let mut text = line;
            if let Some((name, rest)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ")) {
                (test, text) = (name.trim_end(), rest);
            }
            if text == "FAILED" {
                outcome.failures.push(test.to_owned());
            } else if let Some(release) = text.strip_prefix(KERNEL) {
                release.clone_into(&mut outcome.kernel);
            } else if let Some(mode) = text.strip_prefix(MODE) {
                mode.clone_into(&mut outcome.mode);
            } else if let Some((program, count)) = text.strip_prefix(VERIFIED).and_then(|t| t.split_once(' '))
            {
                if let Ok(count) = count.parse() {
                    outcome.verified.push((program.to_owned(), count));
                }
            } else if let Some(counts) = text.strip_prefix("test result: ") {
                let count = |word: &str| -> u64 {
                    let found = counts.split([';', '.']).find_map(|part| part.trim().strip_suffix(word));
                    found.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
                };
                (outcome.passed, outcome.failed) = (count("passed"), count("failed"));
                outcome.ignored = count("ignored");
                outcome.ended = true;
            }
        }
        outcome
    }

    /// With the kernel's release, where no machine says it.
    pub fn on(self, release: &str) -> Self {
        Self { kernel: release.to_owned(), ..self }
    }

    fn failed(&self) -> bool {
        !self.ended || self.failed > 0 || self.passed == 0
    }

    /// The program that costs the verifier most.
    fn dearest(&self) -> Option<&(String, u64)> {
        self.verified.iter().max_by_key(|(_, count)| *count)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, passed, failed, ignored, .. } = self;
        write!(
            f,
            "{name}: {passed} passed; {failed} failed; {ignored} ignored, in {} s",
            self.took.as_secs()
        )?;
        if self.ended { Ok(()) } else { f.write_str("; it did not come to its end") }
    }
}

/// All kernels that were tried, and those that were not.
#[derive(Debug, Default)]
pub struct Table {
    outcomes: Vec<Outcome>,
    skipped: Vec<String>,
}

impl Table {
    pub fn add(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }

    /// Notes what was not tried, and why.
    pub fn skip(&mut self, what: String) {
        self.skipped.push(what);
    }

    /// True when a suite failed, or a program costs the verifier more than `most` instructions.
    pub fn failed(&self, most: u64) -> bool {
        let dear = |outcome: &Outcome| outcome.dearest().is_some_and(|(_, count)| *count > most);
        self.outcomes.iter().any(|outcome| outcome.failed() || dear(outcome))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.outcomes.is_empty() {
            writeln!(
                f,
                "\n{:<26} {:<12} {:>8} {:>9} {:>7} {:>7} {:>7}",
                "kernel", "attach mode", "programs", "verified", "passed", "failed", "ignored"
            )?;
        }
        for outcome in &self.outcomes {
            let Outcome { kernel, mode, verified, passed, failed, ignored, .. } = outcome;
            let sum: u64 = verified.iter().map(|(_, count)| count).sum();
            let programs = verified.len();
            let kernel = if kernel.is_empty() { &outcome.name } else { kernel };
            writeln!(
                f,
                "{kernel:<26} {mode:<12} {programs:>8} {sum:>9} {passed:>7} {failed:>7} {ignored:>7}"
            )?;
        }
        let mut programs: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (at, outcome) in self.outcomes.iter().enumerate() {
            for (program, count) in &outcome.verified {
                let row =
                    programs.entry(program).or_insert_with(|| vec![String::from("-"); self.outcomes.len()]);
                row[at] = count.to_string();
            }
        }
        if !programs.is_empty() {
            let names: Vec<&str> = self.outcomes.iter().map(|outcome| outcome.name.as_str()).collect();
            writeln!(f, "\n{:<26}{}", "verified instructions", row(&names))?;
        }
        for (program, counts) in programs {
            writeln!(f, "{program:<26}{}", row(&counts))?;
        }
        for outcome in self.outcomes.iter().filter(|outcome| outcome.failed()) {
            writeln!(f, "\nfailed: {outcome}: {}", outcome.failures.join(", "))?;
        }
        for what in &self.skipped {
            writeln!(f, "\nskipped: {what}")?;
        }
        Ok(())
    }
}

fn row(cells: &[impl AsRef<str>]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| format!("{:>12}", cell.as_ref())).collect();
    format!(" {}", cells.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "SeaBIOS\r\nkernel 6.1.0-57\r\n\r\nrunning 3 tests\r\n\
        test open::open     ... open: a file\r\nok\r\ntest a::b ... ignored (no socket)\r\n\
        test no_program_costs_the_verifier_much ... attach mode tracepoint\r\nverified open 700\r\nverified exec 64000\r\nok\r\n\
        test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 6.02s\r\n\
        [   70.1] Kernel panic - not syncing: Attempted to kill init!\r\n";

    fn read(said: &str) -> Outcome {
        Outcome::read("bookworm", said, Duration::from_secs(9))
    }

    #[test]
    fn what_a_machine_says_is_a_row() {
        let outcome = read(SAID);
        assert_eq!((outcome.kernel.as_str(), outcome.mode.as_str()), ("6.1.0-57", "tracepoint"));
        assert_eq!((outcome.passed, outcome.failed, outcome.ignored, outcome.failed()), (2, 0, 1, false));
        assert_eq!(outcome.dearest(), Some(&("exec".to_owned(), 64000)));
        let mut table = Table::default();
        table.add(outcome);
        table.skip("the kernel of sid: no network".to_owned());
        let text = table.to_string();
        assert!(
            text.contains(
                "6.1.0-57                   tracepoint          2     64700       2       0       1\n"
            ),
            "{text}"
        );
        assert!(text.contains("exec                              64000\n"), "{text}");
        assert!(text.ends_with("\nskipped: the kernel of sid: no network\n"), "{text}");
        assert!(!table.failed(64000));
        assert!(table.failed(63999), "a program is too dear");
    }

    #[test]
    fn a_machine_that_fails_or_stops_is_told() {
        let failed = read(
            "test open::open ... open: a file\nFAILED\ntest result: FAILED. 1 passed; 1 failed; 0 ignored\n",
        );
        assert_eq!(failed.failures, ["open::open"]);
        assert!(failed.failed());
        let stopped = read(SAID.split_once("test result").unwrap().0);
        assert!(stopped.failed() && stopped.to_string().ends_with("did not come to its end"), "{stopped}");
        // Nothing but ignored tests shows nothing.
        assert!(read("test result: ok. 0 passed; 0 failed; 9 ignored\n").failed());
    }
}

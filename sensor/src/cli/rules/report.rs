//! What came of running test cases.

use std::time::Duration;

/// Everything that was tested.
pub struct Report {
    pub suites: Vec<Suite>,
}

/// One file of cases.
pub struct Suite {
    pub name: String,
    pub tests: Vec<Test>,
    pub notes: Vec<String>,
    pub took: Duration,
}

/// One case.
pub struct Test {
    pub name: String,
    /// In the file of the suite.
    pub line: Option<usize>,
    pub outcome: Outcome,
    pub took: Duration,
}

/// What came of a case.
pub enum Outcome {
    Passed,
    /// What was not as expected, and why.
    Failed(Vec<String>),
    /// Rules or cases do not load.
    Unjudged(String),
}

/// How many came out how.
#[derive(Default)]
pub struct Count {
    pub passed: usize,
    pub failed: usize,
    pub unjudged: usize,
}

impl Report {
    pub fn count(&self) -> Count {
        self.suites.iter().map(Suite::count).fold(Count::default(), |all, one| Count {
            passed: all.passed + one.passed,
            failed: all.failed + one.failed,
            unjudged: all.unjudged + one.unjudged,
        })
    }
}

impl Suite {
    pub fn count(&self) -> Count {
        let mut count = Count::default();
        for test in &self.tests {
            match test.outcome {
                Outcome::Passed => count.passed += 1,
                Outcome::Failed(_) => count.failed += 1,
                Outcome::Unjudged(_) => count.unjudged += 1,
            }
        }
        count
    }
}

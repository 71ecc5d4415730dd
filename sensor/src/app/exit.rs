//! Exit codes: one per class of failure, after `sysexits.h`.

use std::fmt;
use std::process::ExitCode;

/// Why the process ends with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    /// A check found what it looks for (`rules check`, `rules test`), or an unclassified error.
    Failed = 1,
    /// `rules test`, `replay`: nothing could be judged, for rules or test cases do not load.
    Unjudged = 2,
    /// The command line is wrong.
    Usage = 64,
    /// A rule file does not load.
    Rules = 65,
    /// A file that was given cannot be read.
    NoInput = 66,
    /// The machine lacks what is needed: kernel feature, port in use.
    Unavailable = 69,
    /// A directory or file cannot be made or written.
    CantCreate = 73,
    /// Root or a capability is missing.
    Permission = 77,
    /// The configuration is wrong.
    Config = 78,
}

impl From<Class> for ExitCode {
    fn from(class: Class) -> Self {
        Self::from(class as u8)
    }
}

/// An error that is shown to the user as `falconet: error: …`, with its exit code.
#[derive(Debug)]
pub struct Failure {
    pub class: Class,
    pub error: anyhow::Error,
}

impl Failure {
    pub fn new(class: Class, error: impl Into<anyhow::Error>) -> Self {
        Self { class, error: error.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.error)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self { class: Class::Failed, error }
    }
}

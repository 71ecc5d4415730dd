//! Falco's eight alert priorities.

use std::fmt;
use std::str::FromStr;

/// Severity of a rule, most severe first; the discriminant is Falco's number (0..=7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Priority {
    Emergency = 0,
    Alert = 1,
    Critical = 2,
    Error = 3,
    Warning = 4,
    Notice = 5,
    Informational = 6,
    Debug = 7,
}

impl Priority {
    /// All priorities, most severe first.
    pub const ALL: [Self; 8] = [
        Self::Emergency,
        Self::Alert,
        Self::Critical,
        Self::Error,
        Self::Warning,
        Self::Notice,
        Self::Informational,
        Self::Debug,
    ];

    /// The word Falco prints, e.g. `Informational`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Emergency => "Emergency",
            Self::Alert => "Alert",
            Self::Critical => "Critical",
            Self::Error => "Error",
            Self::Warning => "Warning",
            Self::Notice => "Notice",
            Self::Informational => "Informational",
            Self::Debug => "Debug",
        }
    }

    /// The priority with Falco's number `n` (0 = Emergency).
    pub fn from_number(n: u8) -> Option<Self> {
        Self::ALL.get(usize::from(n)).copied()
    }

    /// True when this priority is as severe as `threshold` or more.
    pub fn at_least(self, threshold: Self) -> bool {
        self <= threshold
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is not one of Falco's priority words.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "unknown priority {0:?}; one of emergency, alert, critical, error, warning, notice, informational, debug"
)]
pub struct ParsePriorityError(pub String);

impl FromStr for Priority {
    type Err = ParsePriorityError;

    /// Case-insensitive; `info` is an alias of `informational`.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        if s.eq_ignore_ascii_case("info") {
            return Ok(Self::Informational);
        }
        Self::ALL
            .into_iter()
            .find(|p| p.as_str().eq_ignore_ascii_case(s))
            .ok_or_else(|| ParsePriorityError(s.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip_without_case() {
        for (n, priority) in Priority::ALL.into_iter().enumerate() {
            assert_eq!(priority.as_str().to_lowercase().parse(), Ok(priority));
            assert_eq!(Priority::from_number(u8::try_from(n).unwrap()), Some(priority));
        }
        assert_eq!("INFO".parse(), Ok(Priority::Informational));
        assert!("high".parse::<Priority>().is_err());
    }

    #[test]
    fn severity_orders_downwards() {
        assert!(Priority::Critical.at_least(Priority::Warning));
        assert!(!Priority::Notice.at_least(Priority::Warning));
    }
}

//! Falco's eight alert priorities.

use std::fmt;
use std::str::FromStr;

macro_rules! priorities {
    ($($name:ident = $number:literal: $lower:literal $upper:literal $(, also $other:literal $file:literal)?;)*) => {
        /// Severity of a rule, most severe first; the discriminant is Falco's number (0..=7).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Priority {
            $($name = $number,)*
        }

        impl Priority {
            /// All priorities, most severe first.
            pub const ALL: [Self; 8] = [$(Self::$name),*];
            /// The words for priorities in rule files, as Falco's schema has them.
            pub const IN_FILES: &[&str] = &[$($upper, $($file,)?)*];
            /// Other words for a priority.
            const ALSO: &[(&str, Self)] = &[$($(($other, Self::$name),)?)*];

            /// The word Falco prints, e.g. `Informational`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)*
                }
            }

            /// The word in small letters, as in queries and metrics.
            pub const fn lower(self) -> &'static str {
                match self {
                    $(Self::$name => $lower,)*
                }
            }
        }
    };
}

priorities! {
    Emergency = 0: "emergency" "EMERGENCY";
    Alert = 1: "alert" "ALERT";
    Critical = 2: "critical" "CRITICAL";
    Error = 3: "error" "ERROR";
    Warning = 4: "warning" "WARNING";
    Notice = 5: "notice" "NOTICE";
    Informational = 6: "informational" "INFORMATIONAL", also "info" "INFO";
    Debug = 7: "debug" "DEBUG";
}

impl Priority {
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
#[error("unknown priority {0:?}; one of {words}", words = Priority::ALL.map(Priority::lower).join(", "))]
pub struct ParsePriorityError(pub String);

impl FromStr for Priority {
    type Err = ParsePriorityError;

    /// Case-insensitive; `info` is an alias of `informational`.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        let mut words = Self::ALL.iter().map(|p| (p.lower(), *p)).chain(Self::ALSO.iter().copied());
        words
            .find(|(word, _)| word.eq_ignore_ascii_case(s))
            .map(|(_, priority)| priority)
            .ok_or_else(|| ParsePriorityError(s.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip_without_case() {
        for (n, priority) in Priority::ALL.into_iter().enumerate() {
            assert_eq!(priority.as_str().to_lowercase(), priority.lower());
            assert_eq!(priority.as_str().parse(), Ok(priority));
            assert_eq!(Priority::from_number(u8::try_from(n).unwrap()), Some(priority));
        }
        assert_eq!("INFO".parse(), Ok(Priority::Informational));
        assert_eq!(
            "high".parse::<Priority>().unwrap_err().to_string(),
            "unknown priority \"high\"; one of emergency, alert, critical, error, warning, notice, informational, debug"
        );
        for word in Priority::IN_FILES {
            assert_eq!(word.parse::<Priority>().unwrap().as_str().to_uppercase().find(word), Some(0));
        }
    }

    #[test]
    fn severity_orders_downwards() {
        assert!(Priority::Critical.at_least(Priority::Warning));
        assert!(!Priority::Notice.at_least(Priority::Warning));
    }
}

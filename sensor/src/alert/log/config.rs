//! `alert_log` of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use crate::alert::query::time;

/// Where alerts are kept and how many.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// The database file. Its directory is made when it is missing, for this user only. Beside it stand
    /// `-wal` and `-shm` files of SQLite and a `.lock` file.
    pub path: PathBuf,
    /// Largest size of the database: bytes, or a number with `KiB`, `MiB`, `GiB`. The oldest alerts go first; above
    /// nine tenths those that every output has passed, at the limit any.
    #[serde(deserialize_with = "size")]
    pub max_size: u64,
    /// How long an alert is kept after its arrival, e.g. `7d`; `0s` keeps alerts until the size limit. An alert that
    /// an output still waits for is kept longer.
    #[serde(deserialize_with = "duration")]
    pub max_age: Duration,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/var/lib/falconet/alerts.db"),
            max_size: 1 << 30,
            max_age: Duration::from_hours(30 * 24),
        }
    }
}

impl LogConfig {
    /// The defaults, at `path`.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), ..Self::default() }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Text(String),
}

fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = match Written::deserialize(deserializer)? {
        Written::Number(bytes) => return Ok(bytes),
        Written::Text(text) => text,
    };
    size_of_text(&text).ok_or_else(|| {
        de::Error::custom(format!("not a size: {text:?}; write bytes or e.g. `512MiB`, `1GiB`"))
    })
}

/// Bytes of a size such as `512MiB`; `None` when it is none or does not fit.
pub fn size_of_text(text: &str) -> Option<u64> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text.get(number.len()..)?.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "ki" | "kib" => 10,
        "m" | "mb" | "mi" | "mib" => 20,
        "g" | "gb" | "gi" | "gib" => 30,
        _ => return None,
    };
    number.trim().parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = match Written::deserialize(deserializer)? {
        Written::Number(seconds) => return Ok(Duration::from_secs(seconds)),
        Written::Text(text) => text,
    };
    time::span(&text)
        .and_then(|ns| u64::try_from(ns).ok())
        .map(Duration::from_nanos)
        .ok_or_else(|| de::Error::custom(format!("not a duration: {text:?}; write e.g. `12h`, `7d`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_read() {
        let config: LogConfig = serde_json::from_str(r#"{"max_size": "512MiB", "max_age": "7d"}"#).unwrap();
        assert_eq!(config.max_size, 512 << 20);
        assert_eq!(config.max_age, Duration::from_hours(7 * 24));
        let config: LogConfig = serde_json::from_str(r#"{"max_size": 1000}"#).unwrap();
        assert_eq!(config.max_size, 1000);
        for (bad, says) in [
            (r#"{"max_size": "1 potato"}"#, "512MiB"),
            (r#"{"max_size": "99999999999GiB"}"#, "not a size"),
            (r#"{"max_age": "soon"}"#, "7d"),
            (r#"{"size": 1}"#, "unknown field"),
        ] {
            let error = serde_json::from_str::<LogConfig>(bad).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}

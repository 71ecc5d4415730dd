//! Kinds of values that the keys of several outputs have.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

use crate::rules::Priority;

/// Text that may hold a secret: it is never printed by `Debug`.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for sending, not for logging.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "\"\"" } else { "\"***\"" })
    }
}

/// `minimumpriority`: empty means all alerts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MinimumPriority(pub Option<Priority>);

impl<'de> Deserialize<'de> for MinimumPriority {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self(None));
        }
        text.parse().map(|p| Self(Some(p))).map_err(serde::de::Error::custom)
    }
}

/// For `deserialize_with`: empty text is no path.
pub fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let path = PathBuf::deserialize(deserializer)?;
    Ok(Some(path).filter(|p| !p.as_os_str().is_empty()))
}

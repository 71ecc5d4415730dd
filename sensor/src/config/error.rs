//! What can be wrong with a configuration, told with its place and the likely remedy.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::document::YamlError;
use super::overrides::OverrideError;
use crate::rules::nearest;
use crate::yaml::Place;

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}: {cause}", .path.display())]
    Read { path: PathBuf, cause: std::io::Error },
    #[error("{}:{mistake}", .path.display())]
    Yaml { path: PathBuf, mistake: YamlError },
    #[error(transparent)]
    Override(#[from] OverrideError),
    #[error("{origin}: {key}: {message}")]
    Value { origin: Origin, key: String, message: String },
}

/// Where a value came from.
#[derive(Debug, Clone)]
pub enum Origin {
    File(PathBuf, Place),
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, place) => write!(f, "{}:{}:{}", path.display(), place.line, place.column),
            Self::CommandLine => f.write_str("command line (-o)"),
        }
    }
}

/// Turns `value`, which stands at `below` (empty: the top level), into `T`; the error of an unknown key or a wrong value names its place.
pub fn typed<T: DeserializeOwned>(
    file: Option<&PathBuf>,
    places: &BTreeMap<String, Place>,
    below: &str,
    value: Value,
) -> Result<T, ConfigError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let key = match (below, path.as_str()) {
            ("", _) => path,
            (_, "" | ".") => below.to_owned(),
            _ => format!("{below}.{path}"),
        };
        value_error(file, places, &key, &error.inner().to_string())
    })
}

/// An error about `key`, placed where the key stands in the file.
pub fn value_error(
    file: Option<&PathBuf>,
    places: &BTreeMap<String, Place>,
    key: &str,
    message: &str,
) -> ConfigError {
    let origin = match (file, places.get(key)) {
        (Some(path), Some(place)) => Origin::File(path.clone(), *place),
        _ => Origin::CommandLine,
    };
    ConfigError::Value { origin, key: key.to_owned(), message: with_suggestion(message) }
}

/// Adds the likely name to serde's "unknown field `x`, expected one of `a`, `b`", in place of the list.
fn with_suggestion(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let kind = if message.starts_with("unknown field") {
        "unknown key"
    } else if message.starts_with("unknown variant") {
        "unknown value"
    } else {
        return message.to_owned();
    };
    let name = quoted.next().unwrap_or_default();
    let known: Vec<&str> = quoted.collect();
    match nearest(name, known.iter().copied()) {
        Some(k) => format!("{kind}; did you mean `{k}`?"),
        None if known.is_empty() => kind.to_owned(),
        None => format!("{kind}; known here: {}", known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its reading is tested")]
    struct Section {
        webhookurl: Option<String>,
        retries: Option<u8>,
    }

    fn error(text: &str) -> String {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only its reading is tested")]
        struct Root {
            teams: Option<Section>,
        }
        let document = crate::config::document::Document::parse(text).unwrap();
        let error = typed::<Root>(Some(&"f.yaml".into()), &document.places, "", document.value);
        error.unwrap_err().to_string()
    }

    #[test]
    fn unknown_keys_are_placed_and_corrected() {
        assert_eq!(
            error("teams:\n  webhokurl: x\n"),
            "f.yaml:2:3: teams.webhokurl: unknown key; did you mean `webhookurl`?"
        );
        assert_eq!(error("zzz: 1\n"), "f.yaml:1:1: zzz: unknown key; known here: teams");
    }

    #[test]
    fn wrong_values_are_placed() {
        let text = error("teams:\n  retries: many\n");
        assert!(text.starts_with("f.yaml:2:3: teams.retries: invalid type: string \"many\""), "{text}");
    }
}

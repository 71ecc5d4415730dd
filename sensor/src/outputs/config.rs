//! The configuration of outputs: Falco's keys for what Falco has, falcosidekick's for the rest. All stand at the top level
//! of the file; the keys of one output are described with that output.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

use crate::alert::json::JsonKeys;
use crate::rules::Priority;

use super::file::FileConfig;
use super::http::Tls;
use super::line::LineFormat;
use super::stdout::StdoutConfig;
use super::teams::TeamsConfig;
use super::webhook::{HttpOutputConfig, WebhookConfig};

/// Every key that concerns outputs.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutputsConfig {
    /// JSON lines instead of text on standard output, in the file and for `http_output`.
    pub json_output: bool,
    /// The `output` key of JSON lines.
    pub json_include_output_property: bool,
    /// The `output_fields` key of JSON lines.
    pub json_include_output_fields_property: bool,
    /// The `tags` key of JSON lines.
    pub json_include_tags_property: bool,
    /// The `message` key of JSON lines: `output` without time and priority.
    pub json_include_message_property: bool,
    pub stdout_output: StdoutConfig,
    pub file_output: FileConfig,
    pub http_output: HttpOutputConfig,
    pub webhook: WebhookConfig,
    pub teams: TeamsConfig,
    pub tlsclient: TlsClientConfig,
    pub mutualtlsclient: MutualTlsClientConfig,
    /// Directory with `client.crt`, `client.key` and `ca.crt`, used where `mutualtlsclient` names no file.
    pub mutualtlsfilespath: PathBuf,
}

impl Default for OutputsConfig {
    fn default() -> Self {
        Self {
            json_output: false,
            json_include_output_property: true,
            json_include_output_fields_property: true,
            json_include_tags_property: true,
            json_include_message_property: false,
            stdout_output: StdoutConfig::default(),
            file_output: FileConfig::default(),
            http_output: HttpOutputConfig::default(),
            webhook: WebhookConfig::default(),
            teams: TeamsConfig::default(),
            tlsclient: TlsClientConfig::default(),
            mutualtlsclient: MutualTlsClientConfig::default(),
            mutualtlsfilespath: "/etc/certs".into(),
        }
    }
}

impl OutputsConfig {
    /// The form of lines that `json_output` and `json_include_*` ask for.
    pub fn line_format(&self) -> LineFormat {
        if !self.json_output {
            return LineFormat::Text;
        }
        LineFormat::Json(JsonKeys {
            message: self.json_include_message_property,
            output: self.json_include_output_property,
            output_fields: self.json_include_output_fields_property,
            tags: self.json_include_tags_property,
        })
    }

    /// The certificate files that falcosidekick's outputs share.
    pub fn tls(&self) -> Tls {
        let or_in_directory =
            |path: &Option<PathBuf>, name| path.clone().unwrap_or_else(|| self.mutualtlsfilespath.join(name));
        Tls {
            ca: self.tlsclient.cacertfile.clone(),
            client_cert: or_in_directory(&self.mutualtlsclient.certfile, "client.crt"),
            client_key: or_in_directory(&self.mutualtlsclient.keyfile, "client.key"),
            mutual_ca: or_in_directory(&self.mutualtlsclient.cacertfile, "ca.crt"),
        }
    }
}

/// `tlsclient`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsClientConfig {
    /// PEM file of authorities trusted in addition to those of the system.
    #[serde(deserialize_with = "path")]
    pub cacertfile: Option<PathBuf>,
}

/// `mutualtlsclient`: files for outputs with `mutualtls: true`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MutualTlsClientConfig {
    #[serde(deserialize_with = "path")]
    pub certfile: Option<PathBuf>,
    #[serde(deserialize_with = "path")]
    pub keyfile: Option<PathBuf>,
    #[serde(deserialize_with = "path")]
    pub cacertfile: Option<PathBuf>,
}

/// Empty text is no path.
pub(super) fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let path = PathBuf::deserialize(deserializer)?;
    Ok(Some(path).filter(|p| !p.as_os_str().is_empty()))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: serde_json::Value) -> Result<OutputsConfig, serde_json::Error> {
        serde_json::from_value(value)
    }

    #[test]
    fn falcos_and_falcosidekicks_keys_are_read() {
        let config = read(json!({
            "json_output": true,
            "json_include_tags_property": false,
            "file_output": {"enabled": true, "keep_alive": true, "filename": "/var/log/falco.txt"},
            "http_output": {"enabled": true, "url": "http://hub:2801/", "user_agent": "falcosecurity/falco", "insecure": false,
                "ca_cert": "", "ca_bundle": "", "ca_path": "/etc/ssl/certs", "mtls": false,
                "client_cert": "/etc/ssl/certs/client.crt", "client_key": "/etc/ssl/certs/client.key", "echo": false,
                "compress_uploads": false, "keep_alive": false, "max_consecutive_timeouts": 5},
            "webhook": {"address": "https://example.org/x", "method": "PUT", "customheaders": {"Authorization": "Bearer abc"},
                "minimumpriority": "warning", "mutualtls": false, "checkcert": true, "maxconcurrentrequests": 2},
            "teams": {"webhookurl": "https://x.example/?sig=abc", "activityimage": "", "outputformat": "all",
                "minimumpriority": "", "mutualtls": false, "checkcert": true, "maxconcurrentrequests": 1},
            "tlsclient": {"cacertfile": ""},
            "mutualtlsclient": {"certfile": "", "keyfile": "/k", "cacertfile": ""},
            "mutualtlsfilespath": "/certs",
        }))
        .unwrap();
        assert_eq!(config.webhook.minimumpriority.0, Some(Priority::Warning));
        assert_eq!(config.teams.minimumpriority.0, None);
        let tls = config.tls();
        assert_eq!(
            (tls.ca, tls.client_cert, tls.client_key),
            (None, "/certs/client.crt".into(), "/k".into())
        );
        assert!(matches!(config.line_format(), LineFormat::Json(keys) if keys.output && !keys.tags));
        let printed = format!("{config:?}");
        assert!(!printed.contains("abc"), "{printed}");
    }

    #[test]
    fn mistakes_are_refused() {
        for bad in [
            json!({"webhook": {"minimumpriority": "xwarningx"}}),
            json!({"webhook": {"adress": "http://x"}}),
            json!({"teams": {"format": "card"}}),
            json!({"teams": {"outputformat": "fields"}}),
        ] {
            assert!(read(bad.clone()).is_err(), "{bad}");
        }
    }
}

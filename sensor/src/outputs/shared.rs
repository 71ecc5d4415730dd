//! Keys that several outputs share: Falco's form of alert lines and falcosidekick's certificates. They stand at the top
//! level of the configuration.

use std::path::PathBuf;

use serde::Deserialize;

use super::http::Tls;
use super::line::LineFormat;
use super::values;
use crate::alert::json::JsonKeys;

/// What concerns more than one output.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SharedConfig {
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
    pub tlsclient: TlsClientConfig,
    pub mutualtlsclient: MutualTlsClientConfig,
    /// Directory with `client.crt`, `client.key` and `ca.crt`, used where `mutualtlsclient` names no file.
    pub mutualtlsfilespath: PathBuf,
}

impl Default for SharedConfig {
    fn default() -> Self {
        Self {
            json_output: false,
            json_include_output_property: true,
            json_include_output_fields_property: true,
            json_include_tags_property: true,
            json_include_message_property: false,
            tlsclient: TlsClientConfig::default(),
            mutualtlsclient: MutualTlsClientConfig::default(),
            mutualtlsfilespath: "/etc/certs".into(),
        }
    }
}

/// The keys of [`SharedConfig`] with their defaults, for the page of outputs.
pub const DOCS: &str = "\
# Lines as Falco's JSON instead of its text: standard output, file_output, http_output.
json_output: false
json_include_output_property: true
json_include_output_fields_property: true
json_include_tags_property: true
json_include_message_property: false   # `output` without time and priority

# A PEM file of authorities that are trusted in addition to those of the system.
tlsclient:
  cacertfile: \"\"

# The client's certificate for outputs with `mutualtls: true`, and the authority of their servers.
# A file that is not named here is client.crt, client.key or ca.crt in the directory below.
mutualtlsclient:
  certfile: \"\"
  keyfile: \"\"
  cacertfile: \"\"
mutualtlsfilespath: /etc/certs
";

impl SharedConfig {
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
    #[serde(deserialize_with = "values::path")]
    pub cacertfile: Option<PathBuf>,
}

/// `mutualtlsclient`: files for outputs with `mutualtls: true`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MutualTlsClientConfig {
    #[serde(deserialize_with = "values::path")]
    pub certfile: Option<PathBuf>,
    #[serde(deserialize_with = "values::path")]
    pub keyfile: Option<PathBuf>,
    #[serde(deserialize_with = "values::path")]
    pub cacertfile: Option<PathBuf>,
}

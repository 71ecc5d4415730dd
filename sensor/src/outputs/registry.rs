//! Every output there is: its key in the configuration, and what is behind it. The configuration, what is built from it and
//! `docs/outputs.md` all come from this list.

use serde::Deserialize;

use super::destination::Destination;
use super::line::LineFormat;
use super::output::{Output, OutputError};
use super::shared::{self, SharedConfig};
use super::{file, http_output, stdout, teams, webhook};

macro_rules! destinations {
    ($($key:ident: $config:ty,)*) => {
        /// The section of each output.
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Destinations {
            $(pub $key: $config,)*
        }

        impl Destinations {
            /// Every output that is enabled.
            fn build(&self, shared: &SharedConfig) -> Result<Vec<Box<dyn Output>>, OutputError> {
                let outputs = [$(self.$key.output(shared)?),*];
                Ok(outputs.into_iter().flatten().collect())
            }
        }

        /// The outputs as the page of outputs shows them.
        const SECTIONS: &[Section] = &[$(Section { key: stringify!($key), docs: <$config>::DOCS }),*];
    };
}

destinations! {
    stdout_output: stdout::StdoutConfig,
    file_output: file::FileConfig,
    http_output: http_output::HttpOutputConfig,
    webhook: webhook::WebhookConfig,
    teams: teams::TeamsConfig,
}

/// A part of the configuration and its description.
#[derive(Debug, Clone, Copy)]
pub struct Section {
    /// Its key at the top level; empty for keys that stand there themselves.
    pub key: &'static str,
    /// YAML with all keys, their defaults, and comments.
    pub docs: &'static str,
}

/// All that the configuration can say about outputs, what they share last.
pub fn sections() -> impl Iterator<Item = Section> {
    SECTIONS.iter().copied().chain([Section { key: "", docs: shared::DOCS }])
}

/// Every key that concerns outputs: Falco's for what Falco has, falcosidekick's for the rest.
#[derive(Debug, Clone, Default)]
pub struct OutputsConfig {
    pub shared: SharedConfig,
    pub destinations: Destinations,
}

impl OutputsConfig {
    /// The form of lines that `json_output` and `json_include_*` ask for.
    pub fn line_format(&self) -> LineFormat {
        self.shared.line_format()
    }

    /// Builds every enabled output, so that a mistake in the configuration shows before anything is sent.
    pub fn build(&self) -> Result<Vec<Box<dyn Output>>, OutputError> {
        self.destinations.build(&self.shared)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rules::Priority;

    fn read(shared: serde_json::Value, destinations: serde_json::Value) -> serde_json::Result<OutputsConfig> {
        Ok(OutputsConfig {
            shared: serde_json::from_value(shared)?,
            destinations: serde_json::from_value(destinations)?,
        })
    }

    #[test]
    fn falcos_and_falcosidekicks_keys_are_read() {
        let shared = json!({
            "json_output": true,
            "json_include_tags_property": false,
            "tlsclient": {"cacertfile": ""},
            "mutualtlsclient": {"certfile": "", "keyfile": "/k", "cacertfile": ""},
            "mutualtlsfilespath": "/certs",
        });
        let destinations = json!({
            "file_output": {"enabled": true, "keep_alive": true, "filename": "/var/log/falco.txt"},
            "http_output": {"enabled": true, "url": "http://hub:2801/", "user_agent": "falcosecurity/falco", "insecure": false,
                "ca_cert": "", "ca_bundle": "", "ca_path": "/etc/ssl/certs", "mtls": false,
                "client_cert": "/etc/ssl/certs/client.crt", "client_key": "/etc/ssl/certs/client.key", "echo": false,
                "compress_uploads": false, "keep_alive": false, "max_consecutive_timeouts": 5},
            "webhook": {"address": "https://example.org/x", "method": "PUT", "customheaders": {"Authorization": "Bearer abc"},
                "minimumpriority": "warning", "mutualtls": false, "checkcert": true, "maxconcurrentrequests": 2},
            "teams": {"webhookurl": "https://x.example/?sig=abc", "activityimage": "", "outputformat": "all",
                "minimumpriority": "", "mutualtls": false, "checkcert": true, "maxconcurrentrequests": 1},
        });
        let config = read(shared, destinations).unwrap();
        assert_eq!(config.destinations.webhook.minimumpriority.0, Some(Priority::Warning));
        assert_eq!(config.destinations.teams.minimumpriority.0, None);
        let tls = config.shared.tls();
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
            assert!(read(json!({}), bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_wrong_output_is_told_before_anything_starts() {
        let config = read(json!({}), json!({"teams": {"webhookurl": "teams"}})).unwrap();
        let error = config.build().err().unwrap().to_string();
        assert!(error.starts_with("teams.webhookurl: not a URL"), "{error}");
        let outputs = OutputsConfig::default().build().unwrap();
        assert_eq!(outputs.len(), 1, "standard output is on by itself");
    }
}

//! `http_output` of Falco: its alert line, posted to any HTTP server.

use std::fs;
use std::path::{Path, PathBuf};

use reqwest::header::HeaderValue;
use serde::Deserialize;

use super::destination::Destination;
use super::http::{self, ClientOptions};
use super::output::{Output, OutputError};
use super::post::Post;
use super::shared::SharedConfig;
use super::values::{self, Secret};

/// `http_output` of Falco.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpOutputConfig {
    pub enabled: bool,
    pub url: Secret,
    pub user_agent: String,
    /// Do not verify the server's certificate.
    pub insecure: bool,
    /// PEM file of the authority of the server.
    #[serde(deserialize_with = "values::path")]
    pub ca_cert: Option<PathBuf>,
    /// PEM file of authorities.
    #[serde(deserialize_with = "values::path")]
    pub ca_bundle: Option<PathBuf>,
    /// Directory of PEM files of authorities. Those of the system are trusted anyway.
    #[serde(deserialize_with = "values::path")]
    pub ca_path: Option<PathBuf>,
    /// Show the client's certificate.
    pub mtls: bool,
    pub client_cert: PathBuf,
    pub client_key: PathBuf,
    /// Log what the server answers.
    pub echo: bool,
    /// Accepted; Falco sends no compressed body either.
    pub compress_uploads: bool,
    /// Accepted; connections are always kept.
    pub keep_alive: bool,
    /// Accepted; a timeout is tried again until it succeeds.
    pub max_consecutive_timeouts: u32,
}

impl Default for HttpOutputConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            url: Secret::default(),
            user_agent: "falcosecurity/falco".into(),
            insecure: false,
            ca_cert: None,
            ca_bundle: None,
            ca_path: Some(SYSTEM_CERTS.into()),
            mtls: false,
            client_cert: "/etc/ssl/certs/client.crt".into(),
            client_key: "/etc/ssl/certs/client.key".into(),
            echo: false,
            compress_uploads: false,
            keep_alive: false,
            max_consecutive_timeouts: 5,
        }
    }
}

const SYSTEM_CERTS: &str = "/etc/ssl/certs";

impl Destination for HttpOutputConfig {
    const DOCS: &'static str = "\
# Falco's alert line, text or JSON, posted to an HTTP server: another hub, or whatever Falco posts to.
http_output:
  enabled: false
  url: \"\"
  user_agent: falcosecurity/falco
  insecure: false            # true: the server's certificate is not verified
  ca_cert: \"\"                # PEM file of the server's authority
  ca_bundle: \"\"              # PEM file of authorities
  ca_path: /etc/ssl/certs    # directory of PEM files; those of the system are trusted anyway
  mtls: false                # show the client's certificate
  client_cert: /etc/ssl/certs/client.crt
  client_key: /etc/ssl/certs/client.key
  echo: false                # log what the server answers
  # Falco's, without an effect: bodies are sent as they are, connections are kept, a timeout is tried again.
  compress_uploads: false
  keep_alive: false
  max_consecutive_timeouts: 5
";

    fn output(&self, shared: &SharedConfig) -> Result<Option<Box<dyn Output>>, OutputError> {
        if !self.enabled {
            return Ok(None);
        }
        let mut options = ClientOptions::new("http_output", &self.user_agent);
        if HeaderValue::from_str(&self.user_agent).is_err() {
            let problem = "cannot stand in a header";
            return Err(OutputError::new("http_output.user_agent", problem, "use printable ASCII"));
        }
        options.verify = !self.insecure;
        options.authorities = [&self.ca_cert, &self.ca_bundle].into_iter().flatten().cloned().collect();
        if let Some(directory) = self.ca_path.as_ref().filter(|p| p.as_os_str() != SYSTEM_CERTS) {
            options.authorities.extend(certificates_in(directory)?);
        }
        options.identity = self.mtls.then(|| (self.client_cert.clone(), self.client_key.clone()));
        let url = http::endpoint("http_output.url", &self.url)?;
        let format = shared.line_format();
        let line = Box::new(move |alert: &_| format.line(alert));
        let post = Post::new("http", (options.client(&url)?, url), format.content_type(), line);
        Ok(Some(Box::new(post.echo(self.echo))))
    }
}

fn certificates_in(directory: &Path) -> Result<Vec<PathBuf>, OutputError> {
    let entries = fs::read_dir(directory).map_err(|error| {
        OutputError::new(
            "http_output.ca_path",
            format!("cannot list {}: {error}", directory.display()),
            "name a directory with PEM files",
        )
    })?;
    let is_pem = |p: &PathBuf| p.extension().is_some_and(|e| e == "pem" || e == "crt" || e == "0");
    Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_pem).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outputs::testing::{Memory, Server, alert, answer, drive};

    #[tokio::test]
    async fn the_line_is_posted() {
        let server = Server::start(|_, _| answer(200, "")).await;
        let config = HttpOutputConfig { enabled: true, url: server.url("/"), ..HttpOutputConfig::default() };
        for (json_output, content_type) in [(false, "text/plain; charset=utf-8"), (true, "application/json")]
        {
            let shared = SharedConfig { json_output, ..SharedConfig::default() };
            let memory = Memory::with(1);
            drive(config.output(&shared).unwrap().unwrap(), &memory).finish(&memory, 1).await;
            let last = server.received().pop().unwrap();
            assert_eq!(last.body, shared.line_format().line(&alert(1)).into_bytes());
            assert_eq!(last.headers["content-type"], content_type);
            assert_eq!(last.headers["user-agent"], "falcosecurity/falco");
        }
    }

    #[test]
    fn wrong_settings_name_their_key() {
        let base = HttpOutputConfig {
            enabled: true,
            url: Secret::new("http://127.0.0.1/"),
            ..HttpOutputConfig::default()
        };
        for (config, key) in [
            (HttpOutputConfig { url: Secret::new("hub"), ..base.clone() }, "http_output.url: "),
            (
                HttpOutputConfig { user_agent: "two\nlines".into(), ..base.clone() },
                "http_output.user_agent: ",
            ),
            (HttpOutputConfig { ca_path: Some("/nowhere".into()), ..base }, "http_output.ca_path: "),
        ] {
            let error = config.output(&SharedConfig::default()).err().unwrap().to_string();
            assert!(error.starts_with(key), "{error}");
        }
    }
}

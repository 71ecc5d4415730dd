//! One POST per alert to any HTTP server: falcosidekick's `webhook` (its event JSON) and Falco's `http_output` (its alert line).

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url};
use serde::Deserialize;

use super::config::{MinimumPriority, Secret};
use super::http::{self, ClientOptions, Tls};
use super::line::LineFormat;
use super::{Output, OutputError, Plan, SendError};
use crate::alert::{Alert, json};
use crate::rules::Priority;

/// `webhook`: enabled when `address` is set.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    pub address: Secret,
    /// `POST` or `PUT`.
    pub method: String,
    /// Added to each request.
    pub customheaders: BTreeMap<String, Secret>,
    pub minimumpriority: MinimumPriority,
    /// Show the client's certificate.
    pub mutualtls: bool,
    /// Verify the server's certificate.
    pub checkcert: bool,
    /// Requests at the same time; 0 = as many as are useful (64).
    pub maxconcurrentrequests: usize,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            address: Secret::default(),
            method: "POST".into(),
            customheaders: BTreeMap::new(),
            minimumpriority: MinimumPriority::default(),
            mutualtls: false,
            checkcert: true,
            maxconcurrentrequests: 1,
        }
    }
}

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
    #[serde(deserialize_with = "super::config::path")]
    pub ca_cert: Option<PathBuf>,
    /// PEM file of authorities.
    #[serde(deserialize_with = "super::config::path")]
    pub ca_bundle: Option<PathBuf>,
    /// Directory of PEM files of authorities. Those of the system are trusted anyway.
    #[serde(deserialize_with = "super::config::path")]
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

/// What a request carries.
enum Body {
    /// falcosidekick's event.
    Event,
    /// Falco's alert line, without newline.
    Line(LineFormat),
}

/// Posts each alert to one address.
pub struct Webhook {
    name: &'static str,
    client: Client,
    method: Method,
    url: Url,
    headers: HeaderMap,
    minimum: Option<Priority>,
    requests: usize,
    body: Body,
    echo: bool,
}

impl Webhook {
    /// The output `webhook`.
    pub fn falcosidekick(config: &WebhookConfig, tls: &Tls) -> Result<Self, OutputError> {
        let options = ClientOptions::falcosidekick("webhook", tls, config.mutualtls, config.checkcert);
        Self::with_options(config, &options)
    }

    pub(super) fn with_options(config: &WebhookConfig, options: &ClientOptions) -> Result<Self, OutputError> {
        let url = http::endpoint("webhook.address", &config.address)?;
        let method = match config.method.to_ascii_uppercase().as_str() {
            "POST" => Method::POST,
            "PUT" => Method::PUT,
            other => {
                return Err(OutputError::new(
                    "webhook.method",
                    format!("`{other}` cannot carry an alert"),
                    "use POST or PUT",
                ));
            }
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        for (name, value) in &config.customheaders {
            let key = || format!("webhook.customheaders.{name}");
            let wrong = |what: &str| OutputError::new(key(), what, "use printable ASCII without line breaks");
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("not a header name"))?;
            let mut value = HeaderValue::from_str(value.reveal())
                .map_err(|_| wrong("the value cannot stand in a header"))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(Self {
            name: "webhook",
            client: options.client(&url)?,
            method,
            url,
            headers,
            minimum: config.minimumpriority.0,
            requests: http::requests(config.maxconcurrentrequests),
            body: Body::Event,
            echo: false,
        })
    }

    /// The output `http`: Falco's `http_output`.
    pub fn falco(config: &HttpOutputConfig, format: LineFormat) -> Result<Self, OutputError> {
        let mut options = ClientOptions::new("http_output", &config.user_agent);
        if HeaderValue::from_str(&config.user_agent).is_err() {
            let problem = "cannot stand in a header";
            return Err(OutputError::new("http_output.user_agent", problem, "use printable ASCII"));
        }
        options.verify = !config.insecure;
        options.authorities = [&config.ca_cert, &config.ca_bundle].into_iter().flatten().cloned().collect();
        if let Some(directory) = config.ca_path.as_ref().filter(|p| p.as_os_str() != SYSTEM_CERTS) {
            options.authorities.extend(certificates_in(directory)?);
        }
        options.identity = config.mtls.then(|| (config.client_cert.clone(), config.client_key.clone()));
        let url = http::endpoint("http_output.url", &config.url)?;
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
        Ok(Self {
            name: "http",
            client: options.client(&url)?,
            method: Method::POST,
            url,
            headers,
            minimum: None,
            requests: 1,
            body: Body::Line(format),
            echo: config.echo,
        })
    }
}

fn certificates_in(directory: &PathBuf) -> Result<Vec<PathBuf>, OutputError> {
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

impl Output for Webhook {
    fn name(&self) -> &str {
        self.name
    }

    fn minimum_priority(&self) -> Option<Priority> {
        self.minimum
    }

    fn plan(&self, _waiting: usize) -> Plan {
        Plan { requests: self.requests, alerts: 1 }
    }

    fn send<'a>(&'a self, batch: &'a [Arc<Alert>]) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(async move {
            for alert in batch {
                let body = match self.body {
                    Body::Event => json::event(alert).to_string(),
                    Body::Line(format) => format.line(alert),
                };
                let answer =
                    http::send(&self.client, &self.method, &self.url, &self.headers, body.into_bytes())
                        .await?;
                if self.echo {
                    tracing::info!(output = self.name, status = %answer.status, body = ?answer.body, "answer");
                }
                answer.verdict()?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;

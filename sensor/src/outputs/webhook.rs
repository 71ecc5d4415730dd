//! `webhook` of falcosidekick: its event JSON, posted to any HTTP server.

use std::collections::BTreeMap;

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::destination::Destination;
use super::http::{self, ClientOptions};
use super::output::{Output, OutputError};
use super::post::Post;
use super::shared::SharedConfig;
use super::values::{MinimumPriority, Secret};
use crate::alert::json;

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

impl Destination for WebhookConfig {
    const DOCS: &'static str = "\
# falcosidekick's event JSON, posted to any HTTP server. Enabled by an address.
webhook:
  address: \"\"
  method: POST               # or PUT
  customheaders: {}          # e.g. {Authorization: \"Bearer ${TOKEN}\"}
  minimumpriority: \"\"        # e.g. warning; empty: all alerts
  mutualtls: false           # show the client's certificate
  checkcert: true            # verify the server's certificate
  maxconcurrentrequests: 1   # 0: as many as are useful (64)
";

    fn output(&self, shared: &SharedConfig) -> Result<Option<Box<dyn Output>>, OutputError> {
        if self.address.is_empty() {
            return Ok(None);
        }
        let tls = shared.tls();
        let options = ClientOptions::falcosidekick("webhook", &tls, self.mutualtls, self.checkcert);
        Ok(Some(Box::new(self.post(&options)?)))
    }
}

impl WebhookConfig {
    fn post(&self, options: &ClientOptions) -> Result<Post, OutputError> {
        let url = http::endpoint("webhook.address", &self.address)?;
        let method = match self.method.to_ascii_uppercase().as_str() {
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
        for (name, value) in &self.customheaders {
            let key = || format!("webhook.customheaders.{name}");
            let wrong = |what: &str| OutputError::new(key(), what, "use printable ASCII without line breaks");
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("not a header name"))?;
            let mut value = HeaderValue::from_str(value.reveal())
                .map_err(|_| wrong("the value cannot stand in a header"))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let event = Box::new(|alert: &_| json::event(alert).to_string());
        Ok(Post::new("webhook", (options.client(&url)?, url), "application/json; charset=utf-8", event)
            .method(method)
            .headers(headers)
            .minimum(self.minimumpriority.0)
            .requests(http::requests(self.maxconcurrentrequests)))
    }
}

#[cfg(test)]
mod tests;

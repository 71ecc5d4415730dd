//! One request per alert to one address: what `webhook` and `http_output` have in common.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Method, Url};

use super::http;
use super::output::{Output, Plan, SendError};
use crate::alert::Alert;
use crate::rules::Priority;

/// Sends each alert to one address.
pub struct Post {
    name: &'static str,
    client: Client,
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Body,
    minimum: Option<Priority>,
    requests: usize,
    echo: bool,
}

/// Makes the body of an alert's request.
pub type Body = Box<dyn Fn(&Alert) -> String + Send + Sync>;

impl Post {
    /// A POST per alert, one after another, all alerts.
    pub fn new(
        name: &'static str,
        (client, url): (Client, Url),
        content_type: &'static str,
        body: Body,
    ) -> Self {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        Self {
            name,
            client,
            method: Method::POST,
            url,
            headers,
            body,
            minimum: None,
            requests: 1,
            echo: false,
        }
    }

    /// With another method.
    #[must_use]
    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// With these headers in addition, or instead of its own.
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers.extend(headers);
        self
    }

    /// Only alerts that are at least this severe.
    #[must_use]
    pub fn minimum(mut self, minimum: Option<Priority>) -> Self {
        self.minimum = minimum;
        self
    }

    /// Up to `requests` at the same time.
    #[must_use]
    pub fn requests(mut self, requests: usize) -> Self {
        self.requests = requests;
        self
    }

    /// Whether the log shows what the server answers.
    #[must_use]
    pub fn echo(mut self, echo: bool) -> Self {
        self.echo = echo;
        self
    }
}

impl Output for Post {
    fn name(&self) -> &'static str {
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
                let body = Bytes::from((self.body)(alert));
                let answer = http::send(&self.client, &self.method, &self.url, &self.headers, body).await?;
                if self.echo {
                    tracing::info!(output = self.name, status = %answer.status, body = ?answer.body, "answer");
                }
                answer.verdict()?;
            }
            Ok(())
        })
    }
}

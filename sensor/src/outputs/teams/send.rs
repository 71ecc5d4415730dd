//! Sending cards: at Teams' pace, and reading its answers, of which some say 200 and mean 429.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Method, Url};

use super::bucket::Bucket;
use super::config::{Card, TeamsConfig, is_connector};
use super::message::{Message, SIZE, SIZE_AFTER_413};
use super::{card, digest, message_card};
use crate::alert::Alert;
use crate::outputs::http::{self, Answer, ClientOptions};
use crate::outputs::output::{Output, OutputError, Plan, SendError};
use crate::rules::Priority;

/// Posts cards to one webhook.
pub struct Teams {
    config: TeamsConfig,
    client: Client,
    url: Url,
    headers: HeaderMap,
    card: Card,
    bucket: Bucket,
}

/// What an answer means.
enum Taken {
    Yes,
    /// 413, in whichever place.
    TooLarge(String),
}

impl Teams {
    /// Checks the configuration and makes the client; sends nothing.
    pub fn new(config: &TeamsConfig, options: &ClientOptions) -> Result<Self, OutputError> {
        config.check()?;
        let url = http::endpoint("teams.webhookurl", &config.webhookurl)?;
        if is_connector(&url) {
            tracing::warn!(
                host = url.host_str(),
                "teams.webhookurl is an Office 365 connector, which Microsoft has retired; \
                 make a workflow \"Post to a channel when a webhook request is received\" and use its address"
            );
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        Ok(Self {
            client: options.client(&url)?,
            card: config.card(&url),
            bucket: Bucket::new(config.rate, config.burst),
            config: config.clone(),
            url,
            headers,
        })
    }

    fn body(&self, batch: &[Arc<Alert>], size: usize) -> Bytes {
        body(&self.config, self.card, batch, size).into()
    }

    async fn post(&self, body: Bytes) -> Result<Taken, SendError> {
        self.bucket.take().await;
        let answer = http::send(&self.client, &Method::POST, &self.url, &self.headers, body).await?;
        understand(&answer)
    }
}

/// The request body for `batch`, at most `size` bytes.
pub(super) fn body(config: &TeamsConfig, card: Card, batch: &[Arc<Alert>], size: usize) -> Vec<u8> {
    let message = match batch {
        [alert] => Message::of(alert, config.outputformat),
        many => digest::of(many),
    };
    message.fit(size, |message| match card {
        Card::Adaptive => card::render(message),
        Card::Message => message_card::render(message, &config.activityimage),
    })
}

/// A connector answers 200 and tells in the body what Teams answered itself.
fn understand(answer: &Answer) -> Result<Taken, SendError> {
    if answer.status.as_u16() == 413 {
        return Ok(Taken::TooLarge(answer.reason()));
    }
    answer.verdict()?;
    let reason = || format!("hidden in an answer of {}", answer.reason());
    match hidden_status(&answer.body) {
        None => Ok(Taken::Yes),
        Some(413) => Ok(Taken::TooLarge(reason())),
        Some(408 | 425 | 429) => {
            Err(SendError::Retry { after: answer.after, suspect: false, reason: reason() })
        }
        Some(500..) => Err(SendError::Retry { after: answer.after, suspect: true, reason: reason() }),
        Some(_) => Err(SendError::Permanent { reason: reason() }),
    }
}

/// The status in `Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with ...`.
fn hidden_status(body: &str) -> Option<u16> {
    let (_, rest) = body.split_once("HTTP error ")?;
    let status = rest.get(..3)?.parse().ok()?;
    (400..600).contains(&status).then_some(status)
}

impl Output for Teams {
    fn name(&self) -> &'static str {
        "teams"
    }

    fn minimum_priority(&self) -> Option<Priority> {
        self.config.minimumpriority.0
    }

    fn plan(&self, waiting: usize) -> Plan {
        let above = self.config.digestabove;
        Plan { requests: 1, alerts: if above > 0 && waiting > above { waiting } else { 1 } }
    }

    fn window(&self) -> usize {
        // A digest covers at most this many.
        1000
    }

    fn send<'a>(&'a self, batch: &'a [Arc<Alert>]) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(async move {
            if let Taken::TooLarge(_) = self.post(self.body(batch, SIZE)).await?
                && let Taken::TooLarge(reason) = self.post(self.body(batch, SIZE_AFTER_413)).await?
            {
                return Err(SendError::Permanent {
                    reason: format!("too large even when shortened: {reason}"),
                });
            }
            Ok(())
        })
    }
}

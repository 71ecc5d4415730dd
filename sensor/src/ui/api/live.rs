//! Alerts as they come, by server-sent events.
//!
//! A stream reads the log at its own pace: nothing is queued for a client, so a slow one costs nothing and misses
//! nothing that is still kept. Each message carries what came since the last one, at most [`MAX_ALERTS`] of it in full
//! and the rest as a number, and there are at most four messages per second; so a page can follow any rate. The id of
//! a message is the position in the log up to which it tells; a client that comes back sends it as `Last-Event-ID`.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, watch};
use utoipa::{IntoParams, ToSchema};

use super::ApiError;
use super::alerts::Summary;
use super::error::Params;
use super::query::parse;
use crate::alert::log::{Entry, Seq};
use crate::alert::query::Query;
use crate::ui::App;
use crate::ui::guard::LoggedIn;

/// Time between two messages.
const PACE: Duration = Duration::from_millis(250);
/// How often a quiet stream checks that its session still runs.
const CHECK: Duration = Duration::from_secs(15);
/// Alerts in one message; the newest of what came.
const MAX_ALERTS: usize = 100;
/// Alerts read at a time.
const READ: usize = 2000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LiveParams {
    /// Only alerts that match; all without it.
    #[serde(default)]
    query: String,
    /// Begin after this position; `Last-Event-ID` goes before it; without both the stream begins now.
    after: Option<i64>,
}

/// One message of the stream.
#[derive(Serialize, ToSchema)]
pub struct Batch {
    /// Newest last. Fewer than `count` when more came than one message carries.
    pub alerts: Vec<Summary>,
    /// Alerts that matched since the last message.
    pub count: usize,
}

/// Watches alerts live: a stream of server-sent events, each `data` a `Batch`, each `id` a position in the log.
#[utoipa::path(get, path = "/api/v1/live", tag = "alerts", params(LiveParams), responses(
    (status = 200, content_type = "text/event-stream", body = Batch),
    (status = 400, body = ApiError), (status = 401, body = ApiError),
    (status = 503, description = "Too many streams are open", body = ApiError),
))]
pub async fn live(
    State(app): State<App>,
    Extension(who): Extension<LoggedIn>,
    headers: HeaderMap,
    Params(params): Params<LiveParams>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let query = parse(&params.query)?;
    let permit = app.streams.clone().try_acquire_owned().map_err(|_| {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many live streams are open; close a window or try later",
        )
    })?;
    let resumed = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let position = resumed.or(params.after).unwrap_or_else(|| app.log.head());
    let follower = Follower {
        head: app.log.subscribe(),
        closing: app.closing.clone(),
        app,
        who,
        query,
        position,
        greeted: false,
        _permit: permit,
    };
    let stream = futures_util::stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(CHECK)))
}

struct Follower {
    app: App,
    who: LoggedIn,
    query: Query,
    /// Told up to here.
    position: Seq,
    head: watch::Receiver<Seq>,
    closing: watch::Receiver<bool>,
    greeted: bool,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    /// The next message; `None` ends the stream: logged out, shut down, or the log fails.
    async fn next(&mut self) -> Option<Event> {
        if !self.greeted {
            self.greeted = true;
            // Tells the client at once that it is connected, and from where to resume.
            return Some(Event::default().event("hello").id(self.position.to_string()).data("{}"));
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep(PACE) => {}
                _ = self.closing.wait_for(|closing| *closing) => return None,
            }
            let position = self.position;
            tokio::select! {
                changed = self.head.wait_for(|head| *head > position) => { changed.ok()?; }
                _ = self.closing.wait_for(|closing| *closing) => return None,
                () = tokio::time::sleep(CHECK) => {}
            }
            if self.who.token.as_ref().is_some_and(|token| !self.app.auth.still_valid(token)) {
                return None;
            }
            let query = self.query.clone();
            let show = move |entry: Entry| query.matches(&entry.alert).then(|| Summary::of(&entry));
            let new = self.app.log.list_after(self.position, READ, show).await;
            let new = new.inspect_err(|error| tracing::warn!(%error, "a live stream ends")).ok()?;
            self.position = new.last.unwrap_or(self.position);
            if let Some(event) = self.message(new.shown) {
                return Some(event);
            }
        }
    }

    fn message(&self, mut alerts: Vec<Summary>) -> Option<Event> {
        let count = alerts.len();
        if count == 0 {
            return None;
        }
        let batch = Batch { alerts: alerts.split_off(count.saturating_sub(MAX_ALERTS)), count };
        Event::default().event("alerts").id(self.position.to_string()).json_data(batch).ok()
    }
}

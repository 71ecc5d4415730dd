//! Bodies of requests within limits, and what becomes of a body that nobody wants.
//!
//! A server that refuses a body and closes makes the kernel send a reset as long as bytes arrive, and the reset takes away the answer
//! that is under way. So what is left of a body is read and thrown away while the answer goes out, up to [`REST_BYTES`] and
//! [`REST_TIME`].

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use super::places::Busy;
use super::{Counters, Limits, Refusal};

/// Most that is read of a body nobody wants.
const REST_BYTES: usize = 64 << 20;
/// Longest time for that, and when the client may be waiting for the word to send it.
const REST_TIME: Duration = Duration::from_secs(10);
const EXPECTED_TIME: Duration = Duration::from_secs(1);

/// Why a body cannot be read to its end.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BodyError {
    #[error("the body is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the body did not come within {} seconds", limit.as_secs())]
    TooSlow { limit: Duration },
    #[error("the body is incomplete: {0}")]
    Broken(Arc<dyn std::error::Error + Send + Sync>),
}

impl BodyError {
    /// The one that caused `error`.
    pub fn behind(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        std::iter::successors(Some(error), |error| error.source())
            .find_map(|error| error.downcast_ref::<Self>().cloned())
    }

    /// The status that says so.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) => StatusCode::BAD_REQUEST,
        }
    }
}

impl From<axum::Error> for BodyError {
    /// The error of a body that this server gave to a handler.
    fn from(error: axum::Error) -> Self {
        Self::behind(&error).unwrap_or_else(|| Self::Broken(Arc::new(error)))
    }
}

/// One request on its way through: what is left of its body waits here until its answer is under way.
///
/// The two sides are dropped in any order. Before the answer's head is out, reading on would ask a client that sent
/// `Expect: 100-continue` for the very body that is refused.
pub(super) struct Exchange {
    /// How long the rest of the body is read.
    time: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rest: Option<Incoming>,
    answering: bool,
}

impl Exchange {
    /// `expects`: the client waits for `100 Continue`, perhaps for ever.
    pub fn new(expects: bool) -> Arc<Self> {
        Arc::new(Self { time: if expects { EXPECTED_TIME } else { REST_TIME }, state: Mutex::default() })
    }

    /// The handler wants no more of the body.
    fn leave(&self, rest: Incoming) {
        let mut state = self.lock();
        if state.answering {
            throw_away(rest, self.time);
        } else {
            state.rest = Some(rest);
        }
    }

    /// The answer's head is out, or its body is done with.
    fn answering(&self) {
        let mut state = self.lock();
        state.answering = true;
        if let Some(rest) = state.rest.take() {
            throw_away(rest, self.time);
        }
    }

    /// Whether the handler left something of the body.
    pub fn left(&self) -> bool {
        self.lock().rest.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the rest of a body, within bounds. When it is dropped before its end, the connection closes.
fn throw_away(mut rest: Incoming, time: Duration) {
    // Outside of a runtime the connection is gone as well.
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(async move {
        let mut left = REST_BYTES;
        let drained = async {
            loop {
                match std::future::poll_fn(|context| Pin::new(&mut rest).poll_frame(context)).await {
                    Some(Ok(frame)) => {
                        let length = frame.data_ref().map_or(0, Bytes::len);
                        match left.checked_sub(length) {
                            Some(less) => left = less,
                            None => return,
                        }
                    }
                    Some(Err(_)) | None => return,
                }
            }
        };
        // Late or not: the rest is dropped now.
        let _ = tokio::time::timeout(time, drained).await;
    });
}

/// A request's body within the server's limits.
pub(super) struct Limited {
    /// `None` after the end.
    inner: Option<Incoming>,
    /// Bytes that may still come.
    left: usize,
    limit: usize,
    time: Duration,
    deadline: Instant,
    /// Set up when the body has to be waited for.
    timer: Option<Pin<Box<Sleep>>>,
    failed: bool,
    exchange: Option<Arc<Exchange>>,
    counters: Arc<Counters>,
}

impl Limited {
    /// `exchange` is given where a body that is left must be read on, i.e. not with HTTP/2.
    pub fn new(
        body: Incoming,
        limits: &Limits,
        exchange: Option<Arc<Exchange>>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            left: limits.body_bytes,
            limit: limits.body_bytes,
            time: limits.body_time,
            deadline: Instant::now() + limits.body_time,
            timer: None,
            failed: false,
            inner: (!body.is_end_stream()).then_some(body),
            exchange,
            counters,
        }
    }

    fn fail(&mut self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.failed = true;
        match error {
            BodyError::TooLarge { .. } => self.counters.refuse(Refusal::BodyBytes),
            BodyError::TooSlow { .. } => self.counters.refuse(Refusal::BodyTime),
            BodyError::Broken(_) => {}
        }
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for Limited {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let (false, Some(inner)) = (this.failed, &mut this.inner) else { return Poll::Ready(None) };
        // Announced too large: refused before it is asked for.
        if inner.size_hint().lower() > u64::try_from(this.left).unwrap_or(u64::MAX) {
            return this.fail(BodyError::TooLarge { limit: this.limit });
        }
        match Pin::new(inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                match this.left.checked_sub(length) {
                    Some(left) => this.left = left,
                    None => return this.fail(BodyError::TooLarge { limit: this.limit }),
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.inner = None;
                this.fail(BodyError::Broken(Arc::new(error)))
            }
            Poll::Ready(None) => {
                this.inner = None;
                Poll::Ready(None)
            }
            Poll::Pending => {
                let deadline = this.deadline;
                let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
                ready!(timer.as_mut().poll(context));
                this.fail(BodyError::TooSlow { limit: this.time })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.failed || self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        if let (Some(rest), Some(exchange)) = (self.inner.take(), &self.exchange)
            && !rest.is_end_stream()
        {
            exchange.leave(rest);
        }
    }
}

/// An answer's body; the request is done when it is dropped.
pub(super) struct Answering {
    inner: axum::body::Body,
    exchange: Option<Arc<Exchange>>,
    _busy: Busy,
}

impl Answering {
    pub fn new(body: axum::body::Body, exchange: Option<Arc<Exchange>>, busy: Busy) -> Self {
        Self { inner: body, exchange, _busy: busy }
    }
}

impl Body for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // Asked for the body, so the head is written.
        if let Some(exchange) = self.exchange.take() {
            exchange.answering();
        }
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            exchange.answering();
        }
    }
}

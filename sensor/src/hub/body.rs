//! Bodies of requests and answers. What clients can make the hub keep in memory has a bound over all connections:
//! [`SMALL`] bytes each, [`LARGE`] large bodies, and as many answers in [`Pieces`] as there are permits.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::net::body::BodyError;

/// A body of so many bytes is read at once. Falco's are smaller.
const SMALL: usize = 64 << 10;
/// Larger bodies that are read at a time; more wait.
pub const LARGE: usize = 32;

/// A body in memory.
pub struct Read<'a> {
    pub bytes: Bytes,
    /// A large body's place; free when it is dropped.
    pub place: Option<SemaphorePermit<'a>>,
}

/// Reads `body`, within the limits of the server. A large one waits at most `patience` for one of `places`.
pub async fn read(body: Body, places: &Semaphore, patience: Duration) -> Result<Read<'_>, BodyError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut parts = body.into_data_stream();
    let mut place = None;
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    let mut length = 0;
    while let Some(part) = parts.next().await {
        let part = part?;
        length += part.len();
        if length > SMALL && place.is_none() {
            // It is never closed.
            place = match tokio::time::timeout(patience, places.acquire()).await {
                Ok(free) => free.ok(),
                Err(_) => return Err(BodyError::TooSlow { limit: patience }),
            };
        }
        if length == part.len() {
            first = part;
            continue;
        }
        if all.is_empty() {
            // What is announced is within the limit, or there would be no first part; but it need not come.
            all.reserve(announced.min(SMALL).max(length));
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&part);
    }
    // Most bodies come in one part, which is not copied.
    let bytes = if all.is_empty() { first } else { all.freeze() };
    Ok(Read { bytes, place })
}

/// A long answer that keeps its permit until the client has taken all but the last piece.
pub struct Pieces {
    text: Bytes,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Pieces {
    pub fn new(text: impl Into<Bytes>, permit: Option<OwnedSemaphorePermit>) -> Self {
        Self { text: text.into(), _permit: permit }
    }
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.text.len().min(SMALL);
        let piece = self.text.split_to(length);
        Poll::Ready((length > 0).then(|| Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.text.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(pieces: &[&'static [u8]]) -> Body {
        let pieces: Vec<_> =
            pieces.iter().map(|piece| Ok::<_, Infallible>(Bytes::from_static(piece))).collect();
        Body::from_stream(futures_util::stream::iter(pieces))
    }

    #[tokio::test(start_paused = true)]
    async fn large_bodies_take_turns_and_small_ones_do_not() {
        static HALF: [u8; SMALL] = [b'x'; SMALL];
        let places = Semaphore::new(1);
        let patience = Duration::from_secs(1);
        let first = read(body(&[&HALF, b"y"]), &places, patience).await.unwrap();
        assert_eq!((first.bytes.len(), first.bytes.last()), (SMALL + 1, Some(&b'y')));
        assert!(matches!(
            read(body(&[&HALF, b"y"]), &places, patience).await,
            Err(BodyError::TooSlow { .. })
        ));
        let small = read(body(&[&HALF]), &places, patience).await.unwrap();
        assert_eq!(small.bytes.as_ptr(), HALF.as_ptr(), "one part is not copied");
        assert!(small.place.is_none());
        drop(first);
        assert!(read(body(&[b"y", &HALF]), &places, patience).await.unwrap().place.is_some());
        assert!(read(body(&[]), &places, patience).await.unwrap().bytes.is_empty());
    }

    #[tokio::test]
    async fn a_long_answer_comes_whole() {
        let text: Bytes = (0..200_000).map(|n: u32| n.to_le_bytes()[0]).collect();
        let body = Body::new(Pieces::new(text.clone(), None));
        assert_eq!(axum::body::to_bytes(body, usize::MAX).await.unwrap(), text);
    }
}

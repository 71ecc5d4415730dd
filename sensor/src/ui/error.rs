//! The one form of an error in the API.

use axum::Json;
use axum::extract::FromRequestParts;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use crate::alert::log::LogError;
use crate::alert::query::QueryError;
use crate::net::body::BodyError;

/// Why a request was refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApiError {
    #[serde(skip)]
    status: StatusCode,
    pub message: String,
    /// Where in the query it went wrong: offset in UTF-16 code units, as JavaScript counts.
    pub at: Option<usize>,
    /// Length of the part that is wrong, counted the same way.
    pub len: Option<usize>,
}

impl ApiError {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), at: None, len: None }
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// The query `text` does not parse.
    pub fn query(text: &str, error: &QueryError) -> Self {
        let (at, len) = utf16_span(text, error.at, error.len);
        Self { status: StatusCode::BAD_REQUEST, message: error.message.clone(), at: Some(at), len: Some(len) }
    }
}

/// Byte offset and length in `text` as UTF-16 offset and length.
pub fn utf16_span(text: &str, at: usize, len: usize) -> (usize, usize) {
    let (start, end) = (utf16_offset(text, at), utf16_offset(text, at.saturating_add(len)));
    (start, end.saturating_sub(start))
}

/// Byte offset in `text` as UTF-16 offset; an offset inside a character counts it as before.
pub fn utf16_offset(text: &str, at: usize) -> usize {
    text.char_indices().take_while(|(i, _)| *i < at).map(|(_, c)| c.len_utf16()).sum()
}

/// The inverse of [`utf16_offset`].
pub fn byte_offset(text: &str, at: usize) -> usize {
    let mut units = 0;
    for (i, c) in text.char_indices() {
        if units >= at {
            return i;
        }
        units += c.len_utf16();
    }
    text.len()
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}

impl From<LogError> for ApiError {
    fn from(error: LogError) -> Self {
        let status = match error {
            // These two are the query's fault, and their text says what to do.
            LogError::TooSlow => StatusCode::SERVICE_UNAVAILABLE,
            LogError::Range(_) => StatusCode::BAD_REQUEST,
            _ => {
                tracing::warn!(%error, "the alert log does not answer the web app");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        Self::new(status, error.to_string())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(StatusCode::BAD_REQUEST, rejection.body_text())
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        match BodyError::behind(&rejection) {
            Some(error) => Self::new(error.status(), error.to_string()),
            None => Self::new(rejection.status(), rejection.body_text()),
        }
    }
}

/// The parameters of the address, with an [`ApiError`] when they do not fit.
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let axum::extract::Query(params) =
            axum::extract::Query::<T>::from_request_parts(parts, state).await?;
        Ok(Self(params))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_count_as_javascript_does() {
        let text = "a\u{1F600}ü:x";
        let colon = text.find(':').unwrap();
        assert_eq!(utf16_span(text, colon, 2), (4, 2));
        assert_eq!(byte_offset(text, 4), colon);
        assert_eq!(byte_offset(text, 99), text.len());
        assert_eq!(utf16_span(text, 99, 3), (6, 0));
    }
}

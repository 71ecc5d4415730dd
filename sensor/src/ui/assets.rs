//! The web app's files, embedded by `build.rs` from `sensor/ui/dist`.
//!
//! They are kept compressed (brotli and gzip, made when the app is built); a client that takes neither gets the
//! inflated file. Names under `assets/` carry a hash of their content and are cached for ever; the page itself is
//! revalidated by its `ETag`. Every path that is no file gets the page: the app does its own routing.

use std::io::Read as _;

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse as _, Response};

/// One embedded file.
pub struct Asset {
    /// Path below the root, e.g. `assets/index-Bx3k.js`.
    pub path: &'static str,
    pub content_type: &'static str,
    /// Quoted hash of the content.
    pub etag: &'static str,
    pub gzip: &'static [u8],
    /// Empty when brotli was not made.
    pub brotli: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/ui_assets.rs"));

const NOT_BUILT: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>falconet</title>\
<p>This build of falconet has no web app. Run <code>cargo xtask build-ui</code> and build again; \
the API under <code>/api/v1</code> works without it.";

/// Whether this build has the web app.
pub fn built() -> bool {
    !ASSETS.is_empty()
}

/// Serves the file that the path names, or the page.
pub async fn serve(request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let path = request.uri().path().trim_start_matches('/');
    let hashed = path.starts_with("assets/");
    let found = ASSETS.iter().find(|a| a.path == path);
    let asset = if hashed { found } else { found.or_else(|| ASSETS.iter().find(|a| a.path == "index.html")) };
    match asset {
        Some(asset) => answer(asset, request.headers(), hashed),
        None if built() => (StatusCode::NOT_FOUND, "no such file\n").into_response(),
        None => ([(CONTENT_TYPE, "text/html; charset=utf-8")], NOT_BUILT).into_response(),
    }
}

fn answer(asset: &Asset, headers: &HeaderMap, hashed: bool) -> Response {
    let cache = if hashed { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut response = if headers.get(IF_NONE_MATCH).is_some_and(|tag| tag == asset.etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let takes = |coding: &str| accepts(headers, coding);
        let (coding, body) = if !asset.brotli.is_empty() && takes("br") {
            (Some("br"), Body::from(asset.brotli))
        } else if takes("gzip") {
            (Some("gzip"), Body::from(asset.gzip))
        } else {
            let mut plain = Vec::new();
            if flate2::read::GzDecoder::new(asset.gzip).read_to_end(&mut plain).is_err() {
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            }
            (None, Body::from(plain))
        };
        let mut response = body.into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
        if let Some(coding) = coding {
            response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        response
    };
    let headers = response.headers_mut();
    headers.insert(ETAG, HeaderValue::from_static(asset.etag));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

/// Whether `Accept-Encoding` names the coding and does not weigh it 0.
fn accepts(headers: &HeaderMap, coding: &str) -> bool {
    headers.get_all(ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).any(
        |item| {
            let (name, weight) = item.split_once(';').unwrap_or((item, ""));
            let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0f32));
            name.trim().eq_ignore_ascii_case(coding) && !refused
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_encoding_is_read_with_weights() {
        let mut headers = HeaderMap::new();
        assert!(!accepts(&headers, "gzip"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip;q=0.5, BR , deflate;q=0"));
        assert!(accepts(&headers, "gzip") && accepts(&headers, "br"));
        assert!(!accepts(&headers, "deflate") && !accepts(&headers, "zstd"));
    }
}

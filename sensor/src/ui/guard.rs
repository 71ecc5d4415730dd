//! What stands before every request: the headers of every answer, the check of `Host` and `Origin`, the login.
//!
//! - **Rebinding**: while the server listens on loopback only, a `Host` that is no loopback name is refused, and a request without
//!   one; so a foreign page cannot reach it through a DNS name that it points here.
//! - **Forgery**: a request that changes something must come from this very origin (`Origin`, `Sec-Fetch-Site`); the
//!   cookie is `SameSite=Strict` besides.
//! - **Injection**: the Content-Security-Policy allows nothing but the app's own files.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, ORIGIN, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::App;
use super::auth::Refused;
use super::error::ApiError;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Outermost layer: refuses foreign hosts and origins, and sets the headers that every answer carries.
pub async fn outer(State(app): State<App>, request: Request, next: Next) -> Response {
    let secure = header(request.headers(), &HeaderName::from_static("x-forwarded-proto")) == Some("https");
    let mut response = match foreign(&app, &request) {
        Some(error) => error.into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert(
        "permissions-policy",
        HeaderValue::from_static("camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    );
    if secure {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Layer of all routes that need a login.
pub async fn login_needed(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    if let Some(token) = session_token(&app, request.headers()).filter(|token| app.auth.valid(token)) {
        let session = LoggedIn { token: Some(token.to_owned()) };
        request.extensions_mut().insert(session);
        return next.run(request).await;
    }
    let Some((user, password)) = basic(request.headers()) else {
        return ApiError::new(StatusCode::UNAUTHORIZED, "log in first").into_response();
    };
    match app.auth.basic(peer.ip(), &user, &password).await {
        Ok(()) => {
            request.extensions_mut().insert(LoggedIn { token: None });
            next.run(request).await
        }
        Err(refused) => refused.into_response(),
    }
}

/// Marks a request whose sender is logged in; without a token it came with HTTP Basic.
#[derive(Clone)]
pub struct LoggedIn {
    pub token: Option<String>,
}

impl axum::response::IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Wrong => {
                ApiError::new(StatusCode::UNAUTHORIZED, "user or password is wrong").into_response()
            }
            Self::Wait(wait) => {
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                let message = format!("too many failed logins; try again in {seconds} s");
                let mut response = ApiError::new(StatusCode::TOO_MANY_REQUESTS, message).into_response();
                response.headers_mut().insert("retry-after", HeaderValue::from(seconds));
                response
            }
        }
    }
}

/// The token of the session cookie, if the request has one.
pub fn session_token<'a>(app: &App, headers: &'a HeaderMap) -> Option<&'a str> {
    cookie(headers, &app.cookie)
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let encoded = header(headers, &AUTHORIZATION)?.strip_prefix("Basic ")?;
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Why the request is refused, if it comes from elsewhere.
fn foreign(app: &App, request: &Request) -> Option<ApiError> {
    // HTTP/2 carries the name in the URI.
    let host = request.uri().authority().map(axum::http::uri::Authority::as_str);
    let host = host.or_else(|| header(request.headers(), &HOST));
    let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    // HTTP/1.0 can do without a name, and then neither check below says anything.
    let Some(host) = host else {
        return (app.loopback || !reads).then(|| {
            ApiError::new(StatusCode::BAD_REQUEST, "the request does not say which `Host` it is for")
        });
    };
    if app.loopback
        && !is_local(host)
        && !app.allowed_hosts.iter().any(|a| a.eq_ignore_ascii_case(name(host)))
    {
        return Some(ApiError::new(
            StatusCode::MISDIRECTED_REQUEST,
            "this server answers to loopback names only; list the name in `ui.allowedhosts` to allow it",
        ));
    }
    if reads {
        return None;
    }
    let site = header(request.headers(), &HeaderName::from_static("sec-fetch-site"));
    let same_site = matches!(site, None | Some("same-origin" | "none"));
    let same_origin = header(request.headers(), &ORIGIN)
        .is_none_or(|origin| origin.split_once("://").is_some_and(|(_, o)| o.eq_ignore_ascii_case(host)));
    (!same_site || !same_origin)
        .then(|| ApiError::new(StatusCode::FORBIDDEN, "the request comes from another web page"))
}

/// `host` without its port, IPv6 brackets kept off.
fn name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(ip, _)| ip);
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

fn is_local(host: &str) -> bool {
    let name = name(host);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_names_are_told_from_others() {
        for host in ["localhost", "LOCALHOST:2802", "127.0.0.1:1", "127.9.9.9", "[::1]:2802", "[::1]"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:2802", "10.0.0.1", "", "127.0.0.1.evil:80", "["]
        {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn the_session_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=b; falconet_12=T-1; c=d"));
        assert_eq!(cookie(&headers, "falconet_12"), Some("T-1"));
        assert_eq!(cookie(&headers, "falconet_1"), None);
    }
}

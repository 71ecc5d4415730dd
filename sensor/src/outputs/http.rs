//! HTTP client shared by outputs: strict about where it sends, bounded in time and in what it reads, and silent about secrets.
//!
//! - One client per output, with its own trust settings; connections are reused.
//! - A redirect is followed only on the same host and only if it keeps method and body (307, 308).
//! - Of an answer at most [`ANSWER_LIMIT`] bytes are read.
//! - Error texts never hold the URL: the secret of a webhook is its path or query.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Client, Identity, Method, StatusCode, Url, redirect};

use super::backoff::retry_after;
use super::escape;
use super::output::{OutputError, SendError};
use super::values::Secret;

/// Bytes of an answer that are read: enough for any error text.
pub const ANSWER_LIMIT: usize = 4096;
/// Characters of an answer that are quoted in an error.
const QUOTE: usize = 200;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// From the first byte sent to the last byte read.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const REDIRECTS: usize = 3;
/// What `maxconcurrentrequests: 0` (no limit) means.
const MOST_REQUESTS: usize = 64;

/// Certificate files that falcosidekick's outputs share.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Authorities trusted in addition to those of the system.
    pub ca: Option<PathBuf>,
    /// The client's certificate and key, and the authorities trusted with `mutualtls: true`.
    pub client_cert: PathBuf,
    pub client_key: PathBuf,
    pub mutual_ca: PathBuf,
}

/// How to reach one destination.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Configuration key of the output, for error messages.
    pub key: &'static str,
    pub user_agent: String,
    /// PEM files of authorities trusted in addition to those of the system.
    pub authorities: Vec<PathBuf>,
    /// Certificate and key of the client.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whether the server's certificate is verified.
    pub verify: bool,
    pub timeout: Duration,
}

impl ClientOptions {
    /// Options in falcosidekick's terms: with `mutualtls` the client's certificate is shown and `checkcert` has no effect.
    pub fn falcosidekick(key: &'static str, tls: &Tls, mutualtls: bool, checkcert: bool) -> Self {
        let mut authorities: Vec<PathBuf> = tls.ca.iter().cloned().collect();
        if mutualtls {
            authorities.push(tls.mutual_ca.clone());
        }
        Self {
            key,
            user_agent: "Falcosidekick".into(),
            authorities,
            identity: mutualtls.then(|| (tls.client_cert.clone(), tls.client_key.clone())),
            verify: mutualtls || checkcert,
            timeout: REQUEST_TIMEOUT,
        }
    }

    /// Options of a plain client.
    pub fn new(key: &'static str, user_agent: &str) -> Self {
        Self {
            key,
            user_agent: user_agent.into(),
            authorities: Vec::new(),
            identity: None,
            verify: true,
            timeout: REQUEST_TIMEOUT,
        }
    }

    /// Builds the client for `url`.
    pub fn client(&self, url: &Url) -> Result<Client, OutputError> {
        // Fails only if a provider is set already, which is as good.
        _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(&self.user_agent)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(self.timeout)
            .redirect(redirect::Policy::custom(follow));
        if is_loopback(url) {
            builder = builder.no_proxy();
        }
        if url.scheme() == "https" {
            let mut authorities = Vec::new();
            for path in &self.authorities {
                let pem = self.read(path)?;
                authorities.extend(
                    Certificate::from_pem_bundle(&pem).map_err(|e| self.bad_pem(path, &e.to_string()))?,
                );
            }
            builder = builder.tls_certs_merge(authorities);
            if let Some((certificate, key)) = &self.identity {
                let mut pem = self.read(certificate)?;
                pem.push(b'\n');
                pem.extend(self.read(key)?);
                let identity =
                    Identity::from_pem(&pem).map_err(|e| self.bad_pem(certificate, &e.to_string()))?;
                builder = builder.identity(identity);
            }
            if !self.verify {
                tracing::warn!(
                    key = self.key,
                    "the server's certificate is not verified: anyone in between can read and forge"
                );
                builder = builder.tls_danger_accept_invalid_certs(true);
            }
        } else {
            // Plain HTTP needs no authorities, and a minimal image has none.
            builder = builder.tls_certs_only([]);
        }
        builder.build().map_err(|error| {
            OutputError::new(
                self.key,
                format!("no HTTP client can be made: {}", causes(&error)),
                "install the system's CA certificates, or name a CA file",
            )
        })
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, OutputError> {
        fs::read(path).map_err(|error| {
            OutputError::new(
                self.key,
                format!("cannot read {}: {error}", path.display()),
                "name a readable PEM file, or switch off the option that needs it",
            )
        })
    }

    fn bad_pem(&self, path: &Path, error: &str) -> OutputError {
        OutputError::new(
            self.key,
            format!("{} is not usable: {error}", path.display()),
            "a PEM file with certificates (and for the client a private key) is needed",
        )
    }
}

/// Follows a redirect that stays on the host and repeats the request as it was.
fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let same_host = attempt.previous().last().is_some_and(|from| from.origin() == attempt.url().origin());
    let repeats = matches!(attempt.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
    if same_host && repeats && attempt.previous().len() <= REDIRECTS {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

/// Requests at the same time for a `maxconcurrentrequests`.
pub fn requests(configured: usize) -> usize {
    if configured == 0 { MOST_REQUESTS } else { configured.min(MOST_REQUESTS) }
}

const EXAMPLE: &str = "write it as https://host[:port]/path";

/// Checks the address under `key`. What is sent later is the text as written: path, port and query byte for byte.
pub fn endpoint(key: &str, address: &Secret) -> Result<Url, OutputError> {
    let text = address.reveal();
    let wrong = |problem: String, remedy: &str| Err(OutputError::new(key, problem, remedy));
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => return wrong(format!("not a URL: {error}"), EXAMPLE),
    };
    if !matches!(url.scheme(), "http" | "https") {
        return wrong(format!("the scheme `{}` is not supported", url.scheme()), EXAMPLE);
    }
    if url.fragment().is_some() {
        return wrong(
            "a fragment (`#…`) is never sent to a server".into(),
            "write `%23` if the address has a `#`",
        );
    }
    // The path begins at the first `/` or `?` after the authority.
    let after_scheme = text.split_once("//").map_or("", |(_, rest)| rest);
    let written = after_scheme.find(['/', '?']).map_or("", |at| after_scheme.split_at(at).1);
    let sent = url.query().map_or_else(|| url.path().to_owned(), |q| format!("{}?{q}", url.path()));
    let same = sent == written || sent.strip_prefix('/') == Some(written);
    if !same {
        return wrong(
            "the path or query has characters that may not stand in a URL and would be changed on the way"
                .into(),
            "copy the address exactly as it was given, and percent-encode blanks, quotes and letters outside ASCII",
        );
    }
    Ok(url)
}

/// `url` without what may be secret.
pub fn masked(url: &Url) -> String {
    let port = url.port().map_or_else(String::new, |p| format!(":{p}"));
    format!("{}://{}{port}/…", url.scheme(), url.host_str().unwrap_or_default())
}

/// What a server said.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    /// `Retry-After`.
    pub after: Option<Duration>,
    /// The first [`ANSWER_LIMIT`] bytes.
    pub body: String,
    /// Where a redirect points, without secrets.
    location: Option<String>,
}

/// Sends `body`, and reads the beginning of the answer. A redirect and a second try on a new connection share the body's bytes.
pub async fn send(
    client: &Client,
    method: &Method,
    url: &Url,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Answer, SendError> {
    let request = client.request(method.clone(), url.clone()).headers(headers.clone()).body(body);
    let mut response = request.send().await.map_err(|e| failure(&e))?;
    let status = response.status();
    let header = |name| response.headers().get(name).and_then(|v: &HeaderValue| v.to_str().ok());
    let after = header(RETRY_AFTER).and_then(|v| retry_after(v, Timestamp::now()));
    let location = header(reqwest::header::LOCATION).and_then(|l| url.join(l).ok()).map(|u| masked(&u));
    let mut body = Vec::new();
    while body.len() < ANSWER_LIMIT {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                body.extend_from_slice(chunk.get(..ANSWER_LIMIT - body.len()).unwrap_or(&chunk));
            }
            Ok(None) => break,
            // The status has arrived, and decides alone.
            Err(error) => {
                tracing::debug!(error = causes(&error.without_url()), "answer broke off");
                break;
            }
        }
    }
    Ok(Answer { status, after, body: String::from_utf8_lossy(&body).into_owned(), location })
}

impl Answer {
    /// Success is any 2xx. 408, 425, 429 and 5xx are worth another try; every other status means that this request will never be taken.
    pub fn verdict(&self) -> Result<(), SendError> {
        let status = self.status;
        if status.is_success() {
            return Ok(());
        }
        let retry = |suspect| SendError::Retry { after: self.after, suspect, reason: self.reason() };
        Err(match status.as_u16() {
            408 | 425 | 429 => retry(false),
            500..=599 => retry(true),
            _ => SendError::Permanent { reason: self.reason() },
        })
    }

    /// `answered 404 Not Found: <first line of the body>`.
    pub fn reason(&self) -> String {
        let mut reason = format!("answered {}", self.status);
        if let Some(location) = &self.location {
            _ = write!(reason, ", a redirect to {location} that is not followed; configure the new address");
        }
        let body: String = self.body.trim().chars().take(QUOTE).collect();
        if !body.is_empty() {
            reason += ": ";
            reason += &escape::visible(&body);
        }
        reason
    }
}

fn failure(error: &reqwest::Error) -> SendError {
    if error.is_builder() {
        return SendError::Permanent { reason: format!("the request cannot be made: {}", causes(error)) };
    }
    // Once connected, the request may have been the cause.
    let suspect = !error.is_connect();
    let what = if error.is_timeout() && suspect { "no answer in time" } else { "not reached" };
    SendError::Retry { after: None, suspect, reason: format!("{what}: {}", causes(error)) }
}

/// The innermost causes in words; the outer text of reqwest holds the URL.
fn causes(error: &reqwest::Error) -> String {
    let mut texts = Vec::new();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        texts.push(cause.to_string());
        source = cause.source();
    }
    if texts.is_empty() {
        return if error.is_timeout() { "timed out".into() } else { "request failed".into() };
    }
    texts.join(": ")
}

#[cfg(test)]
mod tests;

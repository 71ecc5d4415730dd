//! Log in and out.

use std::net::SocketAddr;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ApiError;
use crate::ui::App;
use crate::ui::guard::{COOKIE_NAME, session_token};

/// Who logs in.
#[derive(Deserialize, ToSchema)]
pub struct Credentials {
    pub user: String,
    pub password: String,
}

/// Who is logged in.
#[derive(Serialize, ToSchema)]
pub struct Session {
    pub user: String,
}

/// Logs in: the answer sets the session cookie.
#[utoipa::path(post, path = "/api/v1/session", tag = "session", request_body = Credentials, responses(
    (status = 200, body = Session),
    (status = 401, description = "User or password is wrong", body = ApiError),
    (status = 429, description = "Too many failures; see `Retry-After`", body = ApiError),
))]
pub async fn log_in(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Result<Json<Credentials>, JsonRejection>,
) -> Result<Response, ApiError> {
    let Json(credentials) = body?;
    let token = match app.auth.login(peer.ip(), &credentials.user, &credentials.password).await {
        Ok(token) => token,
        Err(refused) => return Ok(refused.into_response()),
    };
    let secure = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    let user = app.auth.user().to_owned();
    Ok(([(SET_COOKIE, cookie(&token, secure))], Json(Session { user })).into_response())
}

/// Logs out: ends the session on the server and removes the cookie.
#[utoipa::path(delete, path = "/api/v1/session", tag = "session", responses((status = 204, description = "Logged out")))]
pub async fn log_out(State(app): State<App>, headers: HeaderMap) -> Response {
    if let Some(token) = session_token(&headers) {
        app.auth.logout(token);
    }
    let gone = format!("{}; Max-Age=0", cookie("", false));
    (StatusCode::NO_CONTENT, [(SET_COOKIE, gone)]).into_response()
}

/// Who is logged in.
#[utoipa::path(get, path = "/api/v1/session", tag = "session", responses(
    (status = 200, body = Session),
    (status = 401, description = "Nobody", body = ApiError),
))]
pub async fn who(State(app): State<App>) -> Json<Session> {
    Json(Session { user: app.auth.user().to_owned() })
}

fn cookie(token: &str, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{COOKIE_NAME}={token}; Path=/; HttpOnly; SameSite=Strict{secure}")
}

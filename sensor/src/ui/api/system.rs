//! The process around the alerts: its state, and a test alert.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::ApiError;
use crate::alert::json::utc;
use crate::alert::now;
use crate::alert::trial::test_alert;
use crate::telemetry::Status;
use crate::ui::App;

/// How the process does.
#[derive(Serialize, ToSchema)]
pub struct SystemStatus {
    #[serde(flatten)]
    pub process: Status,
    pub log: LogStatus,
    /// The server's clock, RFC 3339.
    pub now: String,
}

/// The alert log.
#[derive(Serialize, ToSchema)]
pub struct LogStatus {
    /// Position of the newest alert.
    pub head: i64,
    /// Alerts that are kept.
    pub entries: u64,
    /// Size on disk.
    pub bytes: u64,
    /// Limit of the size.
    pub max_bytes: u64,
    /// When the oldest alert that is kept arrived, RFC 3339.
    pub oldest: Option<String>,
    /// Stored since the start.
    pub appended: u64,
    /// Lost since the start because the log's queue was full.
    pub refused: u64,
    /// Came twice since the start and were stored once.
    pub duplicates: u64,
    /// Removed since the start because of the size limit.
    pub removed_by_size: u64,
    /// Removed since the start because of the age limit.
    pub removed_by_age: u64,
    /// Removed since the start because of the size limit before every output had them.
    pub lost_by_size: u64,
    /// Why the last write failed; `null` while writing works.
    pub error: Option<String>,
    /// Since when writing fails, RFC 3339.
    pub failing_since: Option<String>,
}

/// Version, what is watched, counters, outputs, alert log.
#[utoipa::path(get, path = "/api/v1/status", tag = "system", responses(
    (status = 200, body = SystemStatus), (status = 401, body = ApiError),
))]
pub async fn status(State(app): State<App>) -> Json<SystemStatus> {
    let stats = app.log.stats();
    Json(SystemStatus {
        process: app.status.status(),
        log: LogStatus {
            head: app.log.head(),
            entries: stats.entries,
            bytes: stats.bytes,
            max_bytes: stats.max_bytes,
            oldest: stats.oldest.map(utc),
            appended: stats.appended,
            refused: stats.refused,
            duplicates: stats.duplicates,
            removed_by_size: stats.removed_by_size,
            removed_by_age: stats.removed_by_age,
            lost_by_size: stats.lost_by_size,
            failing_since: stats.failing.as_ref().map(|(_, since)| utc(*since)),
            error: stats.failing.map(|(reason, _)| reason),
        },
        now: utc(now()),
    })
}

/// Where the test alert went.
#[derive(Serialize, ToSchema)]
pub struct TestAlert {
    pub uuid: String,
    /// Position in the alert log, at least.
    pub seq: i64,
}

/// Makes a test alert: it is stored and goes to every output, as a real one.
#[utoipa::path(post, path = "/api/v1/test", tag = "system", responses(
    (status = 200, body = TestAlert), (status = 401, body = ApiError),
))]
pub async fn test(State(app): State<App>) -> Result<Json<TestAlert>, ApiError> {
    let alert = test_alert(app.status.status().hostname, app.auth.user());
    let uuid = alert.uuid.to_string();
    let seq = app.log.append(vec![alert]).await?;
    Ok(Json(TestAlert { uuid, seq }))
}

//! What the web app shows of the process around it. The integrator fills it in behind [`StatusSource`].

use serde::Serialize;
use utoipa::ToSchema;

/// Tells how the process does; called for each `GET /api/v1/status`, so it must be quick.
pub trait StatusSource: Send + Sync + 'static {
    fn status(&self) -> Status;
}

/// The process as a whole.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct Status {
    /// Version of falconet.
    pub version: String,
    /// Host this process runs on.
    pub hostname: String,
    /// Kernel release; `null` where no sensor runs.
    pub kernel: Option<String>,
    /// When the process started: nanoseconds since the epoch, as RFC 3339.
    pub started: Option<String>,
    pub watching: Watching,
    /// `null` when this process is a hub without a sensor.
    pub sensor: Option<SensorStatus>,
    pub outputs: Vec<OutputStatus>,
}

/// What an alert can come from.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct Watching {
    /// Rules that are loaded and enabled.
    pub rules: u64,
    /// Event types that those rules look at, sorted.
    pub event_types: Vec<String>,
    /// Address at which alerts of other sensors are taken in, if at all.
    pub intake: Option<String>,
}

/// The sensor's counters since its start.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct SensorStatus {
    /// `running`, or why it does not, in words.
    pub state: String,
    /// Events that reached the rules.
    pub seen: u64,
    /// Events that the kernel program dropped because no rule could match them.
    pub filtered: u64,
    /// Events lost, all reasons together.
    pub lost: u64,
    pub losses: Vec<Loss>,
    /// Time of the newest event, RFC 3339.
    pub last_event: Option<String>,
}

/// Events lost for one reason.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct Loss {
    /// Event type, e.g. `openat`.
    pub event: String,
    pub reason: String,
    pub count: u64,
}

/// How far an output is behind the alert log.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct OutputStatus {
    pub name: String,
    pub delivered: u64,
    pub waiting: u64,
    /// Time of the oldest alert that waits, RFC 3339.
    pub oldest_waiting: Option<String>,
    /// Failed tries.
    pub failed: u64,
    /// Alerts given up, kept as dead letters.
    pub dead: u64,
    pub last_error: Option<String>,
    /// Since when it fails, RFC 3339; `null` while it works.
    pub failing_since: Option<String>,
}

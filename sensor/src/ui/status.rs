//! What the web app shows of the process around it. The integrator fills it in behind [`StatusSource`].

use serde::Serialize;
use utoipa::ToSchema;

use super::api::PriorityName;

/// Tells how the process does; called for each `GET /api/v1/status`, so it must be quick.
pub trait StatusSource: Send + Sync + 'static {
    fn status(&self) -> Status;

    /// The rules in use; `None` where no sensor runs.
    fn rules(&self) -> Option<Rules>;

    /// All about the first rule of that name.
    fn rule(&self, name: &str) -> Option<RuleDetail>;
}

/// The rules in use, and how the last load went.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Rules {
    /// In order of definition.
    pub rules: Vec<RuleRow>,
    /// Where they come from, in words.
    pub origin: String,
    /// When they were loaded, RFC 3339.
    pub loaded: String,
    /// Loads since the start, the first included.
    pub loads: u64,
    /// Loads that failed since the start.
    pub failures: u64,
    /// Why what is in the files now is not in use; `null` when it is.
    pub failed: Option<FailedLoad>,
}

/// Rules that do not load.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FailedLoad {
    /// RFC 3339.
    pub time: String,
    /// In one line.
    pub reason: String,
    /// The error with its place and text, as `falconet rules check` prints it.
    pub diagnostics: Option<String>,
}

/// A rule and its counters.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RuleRow {
    pub name: String,
    pub priority: PriorityName,
    pub source: String,
    pub tags: Vec<String>,
    pub desc: String,
    pub status: RuleState,
    /// Why the rule does not do all that it says, in words.
    pub reason: Option<String>,
    /// Events on which it fired, since the start.
    pub matched: u64,
    /// Events of the types that it looks at, since the start.
    pub evaluated: u64,
    /// What it costs per event of those types, estimated from samples; `null` as long as there are too few.
    pub ns_per_event: Option<f64>,
}

/// Whether a rule can fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleState {
    Active,
    /// It fires, but part of its condition cannot be seen.
    Limited,
    /// The sensor cannot see what it needs.
    Inactive,
    /// By the rule file or the configuration.
    Disabled,
    BelowPriority,
}

/// All about a rule.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RuleDetail {
    pub row: RuleRow,
    /// As written, appended parts included.
    pub condition: String,
    /// In canonical form with lists and macros put in.
    pub effective: String,
    /// Where it is defined, `file:line`.
    pub place: Option<String>,
    /// Event types on which it can fire.
    pub event_types: Vec<String>,
    /// Of these, the ones of which the kernel must tell every event, for the condition says nothing that the kernel could check.
    pub unfiltered: Vec<String>,
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

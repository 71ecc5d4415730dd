//! The state of the process in types that serialize as the web app's API and the control socket send them. Times are nanoseconds
//! since the Unix epoch here and RFC 3339 in JSON.

use serde::{Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::alert::json::utc;
use crate::rules::{self, Priority};

/// Knows the state of the process. Called for each `GET /api/v1/status`, so it must be quick.
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
    /// Of these, the ones that raised no alert because there were too many, see the configuration's `storms`.
    pub left_out: u64,
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

impl RuleState {
    /// The state of a rule, and why it does not do all that it says.
    pub fn of(status: &rules::Status) -> (Self, Option<&str>) {
        match status {
            rules::Status::Active => (Self::Active, None),
            rules::Status::Limited(why) => (Self::Limited, Some(&why.words)),
            rules::Status::Inactive(why) => (Self::Inactive, Some(&why.words)),
            rules::Status::Disabled => (Self::Disabled, None),
            rules::Status::BelowPriority => (Self::BelowPriority, None),
        }
    }
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
    /// Rules that can fire.
    pub rules: u64,
    /// Of these, the ones that can in part only: the sensor does not see all that they ask for.
    pub limited: u64,
    /// Rules that cannot fire, though they are enabled.
    pub inactive: u64,
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
    /// Hooks that do not work, though their programs are attached.
    pub dead_hooks: Vec<DeadHook>,
    /// Time of the newest event, RFC 3339.
    pub last_event: Option<String>,
}

/// A hook that was fired at the start and did not come back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeadHook {
    /// Name of the eBPF program.
    pub hook: String,
    /// Rules that do not see what it would tell.
    pub rules: Vec<String>,
}

impl DeadHook {
    /// In one line.
    pub fn words(&self) -> String {
        let rules = if self.rules.is_empty() { "no rule".to_owned() } else { self.rules.join(", ") };
        format!(
            "the hook {} is dead: it was fired and did not come back; blind because of it: {rules}",
            self.hook
        )
    }
}

/// Events lost for one reason.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct Loss {
    /// Event type, e.g. `openat`.
    pub event: String,
    pub reason: String,
    pub count: u64,
}

/// How an output fares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutputState {
    /// The last try succeeded, or nothing has been sent yet.
    #[default]
    Healthy,
    /// The last tries failed; few enough to be a hiccup.
    Retrying,
    /// Many tries in a row failed.
    Failing,
    /// It sends nothing more until the next start.
    Stopped,
}

/// State and counters of one output since the process began.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct OutputStatus {
    pub name: String,
    pub state: OutputState,
    /// When it became healthy, stopped, or began to fail, RFC 3339.
    #[serde(serialize_with = "time")]
    #[schema(value_type = String)]
    pub since: i64,
    /// Alerts that the destination took.
    pub delivered: u64,
    /// Alerts below the output's minimum priority.
    pub filtered: u64,
    /// Alerts given up, now in the dead-letter list.
    pub dead: u64,
    /// Alerts that the log removed by its size or age limit before this output could send them.
    pub lost: u64,
    /// Alerts in the log that this output has not dealt with.
    pub waiting: u64,
    /// When the oldest waiting alert was received, RFC 3339.
    #[serde(serialize_with = "maybe_time")]
    #[schema(value_type = Option<String>)]
    pub oldest_waiting: Option<i64>,
    /// Requests that failed, and were or will be tried again.
    pub failed_tries: u64,
    pub last_error: Option<String>,
    /// When that was, RFC 3339.
    #[serde(serialize_with = "maybe_time")]
    #[schema(value_type = Option<String>)]
    pub last_error_at: Option<i64>,
    /// When the destination last took something, RFC 3339.
    #[serde(serialize_with = "maybe_time")]
    #[schema(value_type = Option<String>)]
    pub last_delivery: Option<i64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's form")]
fn time<S: Serializer>(ns: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&utc(*ns))
}

#[expect(clippy::ref_option, reason = "serde's form")]
fn maybe_time<S: Serializer>(ns: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    match ns {
        Some(ns) => time(ns, serializer),
        None => serializer.serialize_none(),
    }
}

/// The word for a priority.
#[derive(Debug, Clone, Copy)]
pub struct PriorityName(Priority);

impl From<Priority> for PriorityName {
    fn from(priority: Priority) -> Self {
        Self(priority)
    }
}

impl Serialize for PriorityName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

impl PartialSchema for PriorityName {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("The word for a priority."))
            .enum_values(Some(Priority::ALL.map(Priority::as_str)))
            .into()
    }
}

impl ToSchema for PriorityName {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_json() {
        let status = OutputStatus { since: 1_763_994_162_070_202_000, ..OutputStatus::default() };
        let json = serde_json::to_value(&status).unwrap();
        assert_eq!(json["since"], "2025-11-24T14:22:42.070202000Z");
        assert_eq!(json["state"], "healthy");
        assert!(json["oldest_waiting"].is_null());
    }
}

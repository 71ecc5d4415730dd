//! Alerts: the list, and one with everything around it.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::ApiError;
use super::condition::{self, ConditionPart};
use super::error::Params;
use super::facts::Facts;
use super::query::parse;
use crate::alert::Alert;
use crate::alert::json::utc;
use crate::alert::log::{DeliveryState, Entry};
use crate::alert::query::{Query, value_text};
use crate::telemetry::status::PriorityName;
use crate::ui::App;

/// Alerts in one page of the list at most.
const MAX_PAGE: usize = 1000;
/// Alerts before and after one that are looked at for its neighbours.
const NEIGHBOURHOOD: usize = 300;
/// Characters of a message in a row.
const MAX_MESSAGE: usize = 1000;
/// Neighbours shown on each side at most.
const MAX_NEIGHBOURS: usize = 25;

/// An alert as a row of the list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Summary {
    /// Position in the alert log.
    pub seq: i64,
    pub uuid: String,
    /// When the event happened, by the sensor's clock: RFC 3339 with nanoseconds.
    pub time: String,
    /// When this process took the alert in.
    pub received: String,
    pub priority: PriorityName,
    pub rule: String,
    pub source: String,
    pub hostname: String,
    /// The output without time and priority, cut after some 1000 characters; `raw` of the detail has it whole.
    pub message: String,
    pub user: Option<String>,
    pub process: Option<String>,
    pub container: Option<String>,
    pub image: Option<String>,
    pub pod: Option<String>,
    pub namespace: Option<String>,
    pub tags: Vec<String>,
}

impl Summary {
    pub fn of(entry: &Entry) -> Self {
        let Facts { process, container, .. } = Facts::of(&entry.alert);
        let alert = &entry.alert;
        Self {
            seq: entry.seq,
            uuid: alert.uuid.to_string(),
            time: utc(alert.time),
            received: utc(alert.received),
            priority: alert.priority.into(),
            rule: alert.rule.clone(),
            source: alert.source.clone(),
            hostname: alert.hostname.clone(),
            message: cut(alert.message()),
            user: process.user,
            process: process.name,
            container: container.name.or(container.id),
            image: container.image,
            pod: container.pod,
            namespace: container.namespace,
            tags: alert.tags.clone(),
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SearchParams {
    /// What to look for, in the query language; all alerts without it.
    #[serde(default)]
    query: String,
    /// Only alerts before this position: the `next` of the page before.
    before: Option<i64>,
    /// Alerts in the page, 1 to 1000; 100 without it.
    limit: Option<usize>,
}

/// One page of the list.
#[derive(Serialize, ToSchema)]
pub struct Page {
    /// Newest first.
    pub alerts: Vec<Summary>,
    /// `before` of the next page; `null` at the end.
    pub next: Option<i64>,
    /// Position of the newest alert of the log when the page was read: where a live stream goes on.
    pub head: i64,
}

/// Searches alerts, newest first.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alerts", params(SearchParams), responses(
    (status = 200, body = Page), (status = 400, body = ApiError), (status = 401, body = ApiError),
))]
pub async fn search(
    State(app): State<App>,
    Params(params): Params<SearchParams>,
) -> Result<Json<Page>, ApiError> {
    let query = parse(&params.query)?;
    let limit = params.limit.unwrap_or(100).clamp(1, MAX_PAGE);
    // Read before the search: an alert between the two comes twice, by list and by stream, rather than never.
    let head = app.log.head();
    let page = app.log.search(&query, params.before, limit, |entry| Some(Summary::of(&entry))).await?;
    Ok(Json(Page { next: page.last.filter(|_| page.more), alerts: page.shown, head }))
}

/// `message` as a row shows it: an event's arguments can make it very long.
fn cut(message: &str) -> String {
    match message.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", message.get(..end).unwrap_or_default()),
        None => message.to_owned(),
    }
}

/// What became of an alert at one output.
#[derive(Serialize, ToSchema)]
pub struct DeliveryReport {
    pub output: String,
    pub state: DeliveryState,
    /// RFC 3339.
    pub at: String,
    pub tries: u32,
    pub error: Option<String>,
}

/// Another alert near this one.
#[derive(Serialize, ToSchema)]
pub struct Neighbour {
    pub relation: Relation,
    pub alert: Summary,
}

#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// Shares a process or an ancestor other than those all processes share.
    Process,
    /// Same container.
    Container,
}

/// An alert with everything around it.
#[derive(Serialize, ToSchema)]
pub struct Detail {
    pub alert: Summary,
    pub facts: Facts,
    /// Why: the rule's condition with the values that it saw. Only for alerts of our own sensor.
    pub condition: Option<ConditionPart>,
    /// The output fields as text, so that integers beyond 2^53 stay exact; `null` where Falco says `<NA>`.
    pub fields: BTreeMap<String, Option<String>>,
    /// The alert as Falco and falcosidekick write it, pretty-printed, with its `context` if it has one.
    pub raw: String,
    pub deliveries: Vec<DeliveryReport>,
    /// Oldest first.
    pub neighbours: Vec<Neighbour>,
}

/// One alert with everything that is known around it.
#[utoipa::path(get, path = "/api/v1/alerts/{uuid}", tag = "alerts",
    params(("uuid" = String, Path, description = "`uuid` of the alert")),
    responses(
        (status = 200, body = Detail), (status = 401, body = ApiError),
        (status = 404, description = "No such alert, or it was removed by the limits of the log", body = ApiError),
))]
pub async fn get(State(app): State<App>, Path(uuid): Path<String>) -> Result<Json<Detail>, ApiError> {
    let uuid = Uuid::parse_str(&uuid)
        .map_err(|_| ApiError::new(StatusCode::BAD_REQUEST, "the id of an alert is a UUID"))?;
    let entry = app.log.get(uuid).await?.ok_or_else(|| {
        ApiError::not_found(
            "no such alert; it may have been removed by the age or size limit of the alert log",
        )
    })?;
    let deliveries = app.log.deliveries(entry.seq).await?;
    let neighbours = neighbours(&app, &entry).await?;
    let mut raw = crate::alert::json::event(&entry.alert);
    if let (Some(context), Some(object)) = (&entry.alert.context, raw.as_object_mut()) {
        object.insert("context".into(), json!(context));
    }
    let fields = &entry.alert.output_fields;
    Ok(Json(Detail {
        alert: Summary::of(&entry),
        facts: Facts::of(&entry.alert),
        condition: condition::of(&entry.alert),
        fields: fields
            .iter()
            .map(|(name, value)| (name.clone(), value_text(value).map(Cow::into_owned)))
            .collect(),
        raw: serde_json::to_string_pretty(&raw).unwrap_or_default(),
        deliveries: deliveries
            .into_iter()
            .map(|(output, delivery)| DeliveryReport {
                output,
                state: delivery.state,
                at: utc(delivery.at),
                tries: delivery.tries,
                error: delivery.error,
            })
            .collect(),
        neighbours,
    }))
}

/// Alerts of the same container or process tree, nearest first on each side, then put in order.
async fn neighbours(app: &App, entry: &Entry) -> Result<Vec<Neighbour>, ApiError> {
    let own = Kin::of(&entry.alert);
    if own.is_alone() {
        return Ok(Vec::new());
    }
    let before = app.log.search(&Query::all(), Some(entry.seq), NEIGHBOURHOOD, own.clone().looks()).await?;
    let after = app.log.list_after(entry.seq, NEIGHBOURHOOD, own.looks()).await?;
    let mut found = before.shown;
    found.reverse();
    found.extend(after.shown);
    Ok(found)
}

/// What makes two alerts kin: host, container, process and ancestors.
#[derive(Clone)]
struct Kin {
    hostname: String,
    container: Option<String>,
    /// Pid and start of the process and of its ancestors up to the one before init.
    processes: HashSet<(i64, Option<String>)>,
}

impl Kin {
    fn of(alert: &Alert) -> Self {
        let facts = Facts::of(alert);
        let processes = std::iter::once(&facts.process)
            .chain(facts.ancestors.iter().take(2))
            .filter_map(|p| Some((p.pid.filter(|pid| *pid > 1)?, p.start.clone())))
            .collect();
        let container = facts.container.id.filter(|id| id != "host");
        Self { hostname: alert.hostname.clone(), container, processes }
    }

    /// Picks the first of its kin among the alerts that it is shown.
    fn looks(self) -> impl FnMut(Entry) -> Option<Neighbour> {
        let mut left = MAX_NEIGHBOURS;
        move |entry| {
            let relation = self.relation(&Kin::of(&entry.alert)).filter(|_| left > 0)?;
            left -= 1;
            Some(Neighbour { relation, alert: Summary::of(&entry) })
        }
    }

    fn is_alone(&self) -> bool {
        self.container.is_none() && self.processes.is_empty()
    }

    fn relation(&self, other: &Self) -> Option<Relation> {
        if self.hostname != other.hostname {
            return None;
        }
        if !self.processes.is_disjoint(&other.processes) {
            return Some(Relation::Process);
        }
        (self.container.is_some() && self.container == other.container).then_some(Relation::Container)
    }
}

//! Numbers about alerts: how many, by what, over time.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::ApiError;
use super::error::Params;
use super::query::parse;
use crate::alert::log::LogError;
use crate::alert::now;
use crate::alert::query::{Facet, Order, Query, Test};
use crate::ui::App;

const MAX_VALUES: usize = 1000;
const MAX_BUCKETS: i64 = 500;
const SECOND: i64 = 1_000_000_000;
const MILLISECOND: i64 = 1_000_000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct CountParams {
    /// Which alerts; all without it.
    #[serde(default)]
    query: String,
    /// Comma-separated names of what to count by; only the total without it.
    #[serde(default)]
    by: String,
    /// Values per name, the most frequent first, 1 to 1000; 10 without it.
    limit: Option<usize>,
}

/// How many alerts match, and how they spread.
#[derive(Serialize, ToSchema)]
pub struct Counts {
    pub total: u64,
    /// In the order of `by`.
    pub groups: Vec<Group>,
}

/// The most frequent values of one group.
#[derive(Serialize, ToSchema)]
pub struct Group {
    pub by: Facet,
    /// The most frequent first.
    pub values: Vec<ValueCount>,
}

#[derive(Serialize, ToSchema)]
pub struct ValueCount {
    pub value: String,
    pub count: u64,
}

/// Counts the alerts that match, in total and by the values of what `by` names.
#[utoipa::path(get, path = "/api/v1/counts", tag = "alerts", params(CountParams), responses(
    (status = 200, body = Counts), (status = 400, body = ApiError), (status = 401, body = ApiError),
))]
pub async fn counts(
    State(app): State<App>,
    Params(params): Params<CountParams>,
) -> Result<Json<Counts>, ApiError> {
    let query = parse(&params.query)?;
    let limit = params.limit.unwrap_or(10).clamp(1, MAX_VALUES);
    let mut wanted = Vec::new();
    for word in params.by.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let group = Facet::named(word).ok_or_else(|| {
            let names: Vec<_> = Facet::ALL.iter().map(|facet| facet.word()).collect();
            let names = names.join(", ");
            ApiError::new(StatusCode::BAD_REQUEST, format!("cannot count by `{word}`; one of {names}"))
        })?;
        if !wanted.contains(&group) {
            wanted.push(group);
        }
    }
    let log = &app.log;
    let total = log.count(&query).await?;
    let groups = wanted.into_iter().map(async |by| {
        let values = log.count_by(&query, by, limit).await?;
        let values = values.into_iter().map(|(value, count)| ValueCount { value, count }).collect();
        Ok::<_, LogError>(Group { by, values })
    });
    let groups = try_join_all(groups).await?;
    Ok(Json(Counts { total, groups }))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct TimelineParams {
    /// Which alerts; its `since` and `until` are the ends. Without them: from the oldest alert, to now.
    #[serde(default)]
    query: String,
    /// About how many buckets, 1 to 500; 100 without it.
    buckets: Option<i64>,
}

/// Alerts over time.
#[derive(Serialize, ToSchema)]
pub struct Timeline {
    /// Milliseconds since the epoch.
    pub from: i64,
    pub to: i64,
    /// Width of a bucket in milliseconds: a round one.
    pub step: i64,
    pub buckets: Vec<TimelineBucket>,
}

#[derive(Serialize, ToSchema)]
pub struct TimelineBucket {
    /// Milliseconds since the epoch.
    pub start: i64,
    /// By Falco's number of the priority: 0 is Emergency, 7 is Debug.
    pub counts: Vec<u64>,
}

/// Counts alerts over time, by priority.
#[utoipa::path(get, path = "/api/v1/timeline", tag = "alerts", params(TimelineParams), responses(
    (status = 200, body = Timeline), (status = 400, body = ApiError), (status = 401, body = ApiError),
))]
pub async fn timeline(
    State(app): State<App>,
    Params(params): Params<TimelineParams>,
) -> Result<Json<Timeline>, ApiError> {
    let query = parse(&params.query)?;
    let (from, to) = ends(&query, app.log.stats().oldest, now());
    let step = step(to.saturating_sub(from), params.buckets.unwrap_or(100).clamp(1, MAX_BUCKETS));
    // Buckets begin at multiples of the step, so that they stay the same while time goes on.
    let start = from.div_euclid(step).saturating_mul(step);
    let end = to.div_euclid(step).saturating_add(1).saturating_mul(step);
    let counted = app.log.timeline(&query, start, end, step).await?;
    let buckets = counted
        .into_iter()
        .map(|bucket| TimelineBucket { start: bucket.start / MILLISECOND, counts: bucket.counts.to_vec() })
        .collect();
    Ok(Json(Timeline { from: start / MILLISECOND, to: end / MILLISECOND, step: step / MILLISECOND, buckets }))
}

/// The ends of the time that `query` is about.
fn ends(query: &Query, oldest: Option<i64>, now: i64) -> (i64, i64) {
    let (mut since, mut until) = (None, None);
    for term in query.terms().iter().filter(|term| !term.negated) {
        if let Test::Time { order, at, .. } = term.test {
            match order {
                Order::Greater | Order::GreaterOrEqual => since = since.max(Some(at)),
                Order::Less | Order::LessOrEqual => until = Some(until.map_or(at, |u: i64| u.min(at))),
            }
        }
    }
    let to = until.unwrap_or(now).clamp(0, now.saturating_add(3600 * SECOND));
    let from = since.or(oldest).unwrap_or(to).clamp(0, to);
    // A moment is shown as a minute: a chart needs some width.
    (from.min(to.saturating_sub(60 * SECOND)).max(0), to.max(60 * SECOND))
}

/// The smallest round step (ns) that cuts `width` into at most `buckets`.
fn step(width: i64, buckets: i64) -> i64 {
    const ROUND: [i64; 19] = [
        1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
        604_800,
    ];
    let least = width / buckets.max(1);
    ROUND
        .into_iter()
        .map(|seconds| seconds * SECOND)
        .find(|step| *step >= least)
        .unwrap_or_else(|| (least / (86_400 * SECOND) + 1).saturating_mul(86_400 * SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_bounded() {
        assert_eq!(step(60 * SECOND, 100), SECOND);
        assert_eq!(step(24 * 3600 * SECOND, 96), 900 * SECOND);
        for width in [0, 1, 3600 * SECOND, 40 * 365 * 86_400 * SECOND, i64::MAX] {
            let step = step(width, 100);
            assert!(step >= SECOND && width / step <= 100, "{width} {step}");
        }
    }

    #[test]
    fn ends_never_cross() {
        let now = 1_800_000_000 * SECOND;
        for text in
            ["", "since:2h", "since:2h until:3h", "until:10m", "since:2h since:1h -until:3h time<=1970-01-01"]
        {
            let query = Query::parse(text, now).unwrap();
            for oldest in [None, Some(0), Some(now), Some(now * 2)] {
                let (from, to) = ends(&query, oldest, now);
                assert!(from < to, "{text}: {from} {to}");
            }
        }
    }
}

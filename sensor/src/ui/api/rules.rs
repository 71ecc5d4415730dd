//! The rules in use: what they are, whether they can fire, what they cost and yield.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::ApiError;
use super::error::Params;
use crate::telemetry::status::{RuleDetail, Rules};
use crate::ui::App;

/// All rules with their counters, and how the last load went.
#[utoipa::path(get, path = "/api/v1/rules", tag = "rules", responses(
    (status = 200, body = Rules), (status = 401, body = ApiError),
    (status = 404, body = ApiError, description = "No sensor runs here, so there are no rules."),
))]
pub async fn all(State(app): State<App>) -> Result<Json<Rules>, ApiError> {
    app.status.rules().map(Json).ok_or_else(|| ApiError::not_found("no sensor runs here"))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct RuleParams {
    /// Its name, in full.
    name: String,
}

/// One rule with its condition.
#[utoipa::path(get, path = "/api/v1/rules/one", tag = "rules", params(RuleParams), responses(
    (status = 200, body = RuleDetail), (status = 401, body = ApiError), (status = 404, body = ApiError),
))]
pub async fn one(
    State(app): State<App>,
    Params(params): Params<RuleParams>,
) -> Result<Json<RuleDetail>, ApiError> {
    app.status
        .rule(&params.name)
        .map(Json)
        .ok_or_else(|| ApiError::not_found("no rule of this name is in use"))
}

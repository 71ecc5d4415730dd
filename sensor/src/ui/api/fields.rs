//! The registry of fields, for the web app to explain what a condition compares. It is the same for the life of the
//! process; the web app asks once.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

use super::ApiError;
use crate::engine::extract::UNFILLED;
use crate::rules::registry::fields::{FIELDS, FieldInfo};

/// A field that conditions and outputs can name.
#[derive(Serialize, ToSchema)]
pub struct FieldHelp {
    pub name: &'static str,
    /// Falco's name of the type.
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub doc: &'static str,
    /// False: this sensor cannot fill it yet.
    pub available: bool,
}

impl From<&'static FieldInfo> for FieldHelp {
    fn from(info: &'static FieldInfo) -> Self {
        Self {
            name: info.name,
            kind: info.kind.as_str(),
            doc: info.doc,
            available: !UNFILLED.contains(info.field),
        }
    }
}

/// All fields that rules can name.
#[utoipa::path(get, path = "/api/v1/fields", tag = "rules", responses(
    (status = 200, body = Vec<FieldHelp>), (status = 401, body = ApiError),
))]
pub async fn fields() -> Json<Vec<FieldHelp>> {
    Json(FIELDS.iter().map(FieldHelp::from).collect())
}

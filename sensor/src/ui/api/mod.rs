//! The API under `/api/v1`. Its OpenAPI description is generated from these types; the web app's client is generated
//! from that description, so a field is named in one place only.

mod alerts;
mod condition;
mod counts;
mod facts;
mod fields;
mod live;
mod query;
mod rules;
mod session;
mod system;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::IntoResponse as _;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use super::error::ApiError;

use super::{App, error, guard};

#[derive(OpenApi)]
#[openapi(info(
    title = "falconet",
    version = "1",
    description = "Alerts of this falconet: search, count, watch live. Log in with `POST /api/v1/session` or send HTTP Basic.",
    license(name = "Apache-2.0", identifier = "Apache-2.0")
))]
struct Document;

fn routes() -> (OpenApiRouter<App>, OpenApiRouter<App>) {
    let open = OpenApiRouter::new().routes(routes!(session::log_in, session::log_out));
    let guarded = OpenApiRouter::new()
        .routes(routes!(session::who))
        .routes(routes!(alerts::search))
        .routes(routes!(alerts::get))
        .routes(routes!(counts::counts))
        .routes(routes!(counts::timeline))
        .routes(routes!(live::live))
        .routes(routes!(query::help))
        .routes(routes!(fields::fields))
        .routes(routes!(rules::all))
        .routes(routes!(rules::one))
        .routes(routes!(system::status))
        .routes(routes!(system::test));
    (open, guarded)
}

/// The OpenAPI document of the API.
pub fn openapi() -> utoipa::openapi::OpenApi {
    let (open, guarded) = routes();
    OpenApiRouter::<App>::with_openapi(Document::openapi()).merge(open).merge(guarded).into_openapi()
}

/// All routes of the API.
pub(crate) fn router(app: &App) -> Router {
    let (open, guarded) = routes();
    let guarded: Router<App> = guarded.into();
    let open: Router<App> = open.into();
    guarded
        .route("/api/v1/openapi.json", axum::routing::get(async || axum::Json(openapi()).into_response()))
        .layer(axum::middleware::from_fn_with_state(app.clone(), guard::login_needed))
        .merge(open)
        .route(
            "/api/{*rest}",
            axum::routing::any(async || ApiError::not_found("no such address in this API")),
        )
        // The server has a limit of its own.
        .layer(DefaultBodyLimit::disable())
        .with_state(app.clone())
}

#[cfg(test)]
mod tests {
    /// `sensor/ui/openapi.json` is what the web app's client is generated from.
    #[test]
    fn the_committed_description_is_current() {
        let now = openapi_text();
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/ui/openapi.json");
        if std::env::var_os("FALCONET_UPDATE_OPENAPI").is_some() {
            std::fs::write(path, &now).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == now,
            "sensor/ui/openapi.json is old: run `FALCONET_UPDATE_OPENAPI=1 cargo test -p falconet committed_description`"
        );
    }

    fn openapi_text() -> String {
        super::openapi().to_pretty_json().unwrap() + "\n"
    }
}

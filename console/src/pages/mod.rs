//! The pages, one file for each.

mod activity;
mod blueprint;
mod blueprint_actions;
mod blueprint_parts;
mod blueprints;
mod events;
mod issue;
mod issues;
mod overview;
pub(crate) mod problem;
mod reviews;
mod settings;
pub(crate) mod sign_in;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use proto::v1;
use tokio::time::timeout;

use crate::app::App;
use crate::assets;
use crate::edge::guard::guard;
use crate::failure::Failure;

/// Time limit of a page. Every call to intake has a shorter one.
const PAGE_WITHIN: Duration = Duration::from_secs(40);
/// Rows of a list.
const ROWS: i32 = 50;

/// Returns all routes, behind the guard.
pub(crate) fn routes(app: &Arc<App>) -> Router {
    let pages = Router::new()
        .route("/", get(overview::show))
        .route("/pause", post(overview::pause))
        .route("/resume", post(overview::resume))
        .route("/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/issues", get(issues::show).post(issues::file))
        .route("/issues/{id}", get(issue::show))
        .route("/issues/{id}/cancel", post(issue::cancel))
        .route("/issues/{id}/retry", post(issue::retry))
        .route("/issues/{id}/approve", post(reviews::approve))
        .route("/issues/{id}/decline", post(reviews::decline))
        .route("/reviews", get(reviews::show))
        .route("/blueprints", get(blueprints::show).post(blueprints::put))
        .route("/blueprints/{id}", get(blueprint::show))
        .route("/blueprints/{id}/promote", post(blueprint_actions::promote))
        .route(
            "/blueprints/{id}/rollback",
            post(blueprint_actions::rollback),
        )
        .route("/blueprints/{id}/revert", post(blueprint_actions::revert))
        .route("/blueprints/{id}/archive", post(blueprint_actions::archive))
        .route(
            "/blueprints/{id}/unarchive",
            post(blueprint_actions::unarchive),
        )
        .route("/settings", get(settings::show))
        .route("/settings/{id}/check", post(settings::check))
        .route("/settings/{id}", post(settings::save))
        .route("/workers", get(workers::show))
        .merge(assets::routes())
        .layer(middleware::from_fn_with_state(Arc::clone(app), bounded));
    // These last longer, and have limits of their own.
    let long = Router::new()
        .route("/events", get(events::overview))
        .route("/issues/{id}/events", get(events::issue))
        .route("/blueprints/{id}/preview", post(blueprint_actions::preview));
    pages
        .merge(long)
        .fallback(|| async { Failure::NotFound("This page does not exist.".to_owned()) })
        .method_not_allowed_fallback(|| async { Failure::Method })
        .layer(middleware::from_fn_with_state(Arc::clone(app), guard))
        .with_state(Arc::clone(app))
}

/// Limits the number and the time of pages.
async fn bounded(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let _turn = match app.page_turn().await {
        Ok(turn) => turn,
        Err(busy) => return busy.into_response(),
    };
    match timeout(PAGE_WITHIN, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Failure::Away.into_response(),
    }
}

/// Returns the field of an answer, which intake always sends.
fn given<T>(field: Option<T>) -> Result<T, Failure> {
    field.ok_or(Failure::Broken(
        "An answer of intake lacks a field. Use the same version of intake and the console.",
    ))
}

/// Selects a version by itself.
fn fixed(version: &str) -> v1::VersionSelector {
    v1::VersionSelector {
        selector: Some(v1::version_selector::Selector::Fixed(version.to_owned())),
    }
}

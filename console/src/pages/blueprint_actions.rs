//! The actions on a Blueprint.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, State};
use axum::response::Response;
use proto::v1;

use crate::app::App;
use crate::edge::fields::{Fields, segment};
use crate::edge::guard::{Viewer, see_other};
use crate::failure::Failure;
use crate::pages::blueprint;
use crate::pages::given;
use crate::view::layout::Page;

/// Moves looked at to find the version before the last one.
const MOVES: i32 = 1;

fn back(id: &str, done: &str) -> Response {
    see_other(&format!("/blueprints/{}?done={done}", segment(id)))
}

/// Moves a channel to a version.
pub(crate) async fn promote(
    Extension(viewer): Extension<Viewer>,
    Path(id): Path<String>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    let request = v1::SetChannelRequest {
        blueprint_id: id.clone(),
        channel: fields.needed("channel")?,
        version: fields.needed("version")?,
        expected_revision: fields.number("revision")?,
        reason: fields.trimmed("reason"),
    };
    let moved = viewer.asker()?.set_channel(request).await?.moved;
    Ok(back(&id, if moved { "promoted" } else { "unmoved" }))
}

/// Moves a channel back to the version before its last move.
pub(crate) async fn rollback(
    Extension(viewer): Extension<Viewer>,
    Path(id): Path<String>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    let asker = viewer.asker()?;
    let channel = fields.needed("channel")?;
    let revision = fields.number("revision")?;
    let request = v1::ListChannelMovesRequest {
        blueprint_id: id.clone(),
        channel: Some(channel.clone()),
        page_size: MOVES,
        page_token: String::new(),
    };
    let moves = asker.list_channel_moves(request).await?.moves;
    let last = given(moves.into_iter().next())?;
    if last.from_version.is_empty() {
        let text = format!("Channel {channel} has no version before its last move.");
        return Err(Failure::Field(text));
    }
    let request = v1::SetChannelRequest {
        blueprint_id: id.clone(),
        channel,
        version: last.from_version,
        // The page has shown this revision; a move in the meantime is refused.
        expected_revision: revision,
        reason: Some("rollback".to_owned()),
    };
    asker.set_channel(request).await?;
    Ok(back(&id, "rolled-back"))
}

/// Makes an earlier version the head again.
pub(crate) async fn revert(
    Extension(viewer): Extension<Viewer>,
    Path(id): Path<String>,
    Extension(fields): Extension<Fields>,
) -> Result<Response, Failure> {
    let request = v1::RevertBlueprintRequest {
        blueprint_id: id.clone(),
        version: fields.needed("version")?,
        rationale: fields.trimmed("rationale"),
    };
    viewer.asker()?.revert_blueprint(request).await?;
    Ok(back(&id, "reverted"))
}

/// Archives the Blueprint.
pub(crate) async fn archive(
    Extension(viewer): Extension<Viewer>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let request = v1::ArchiveBlueprintRequest {
        blueprint_id: id.clone(),
    };
    viewer.asker()?.archive_blueprint(request).await?;
    Ok(back(&id, "archived"))
}

/// Unarchives the Blueprint.
pub(crate) async fn unarchive(
    Extension(viewer): Extension<Viewer>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let request = v1::UnarchiveBlueprintRequest {
        blueprint_id: id.clone(),
    };
    viewer.asker()?.unarchive_blueprint(request).await?;
    Ok(back(&id, "unarchived"))
}

/// Shows what an issue would change.
pub(crate) async fn preview(
    State(app): State<Arc<App>>,
    Extension(viewer): Extension<Viewer>,
    Path(id): Path<String>,
    Extension(fields): Extension<Fields>,
) -> Result<Page, Failure> {
    let _turn = app.preview_turn()?;
    let asker = viewer.asker()?;
    let intent = fields.text("intent");
    let request = v1::PreviewIssueRequest {
        blueprint_id: id.clone(),
        intent: intent.clone(),
    };
    let answer = asker.preview_issue(request).await?;
    let subject = blueprint::subject(&asker, &id).await?;
    Ok(blueprint::previewed(&viewer, &subject, &intent, &answer))
}

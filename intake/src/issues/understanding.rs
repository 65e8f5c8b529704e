//! Refuses an intent that the bundled spawner cannot parse, before it enters the log.
//!
//! The parser is native code that the bundled script of the spawner calls, too. So intake needs no
//! Lua and no running worker, and agrees with the workers. Only the form of the intent counts: an
//! agent or a tag that is missing now may exist when it is the intent's turn.
//!
//! An intent that is understood costs no call to Redis. For any other, the setting and its orbit
//! tell whether the spawner is the bundled one. A worker whose `DRAFTSMAN_LUA_DIR` replaces the
//! script is not known here.

use shared::blueprint::Doc;
use shared::domain::bundled::DEFAULT_SETTING;
use shared::domain::issue::NewIssue;
use shared::domain::setting::choose;
use shared::ids::SettingId;
use shared::intent;
use shared::store::{Store, StoreError};

use crate::backend::Backend;
use crate::error::request_error::RequestError;

/// The agent that writes the patches, and the name of its bundled script.
const SPAWNER: &str = "patch-spawner";
const SCRIPT: &str = "patch_spawner";
/// The length of an intent that is parsed on this thread, in bytes. A longer one may take
/// milliseconds.
const SHORT: usize = 4 * 1024;

/// Checks that the spawner of the issue's setting understands its intent.
///
/// # Errors
/// [`RequestError::NotUnderstood`]. An error of Redis is not an error here: the submission that
/// follows reports it.
pub(super) async fn check(backend: &Backend, issue: &NewIssue) -> Result<(), RequestError> {
    let text = issue.intent().to_owned();
    let parsed = if text.len() <= SHORT {
        Ok(intent::problem(&text))
    } else {
        tokio::task::spawn_blocking(move || intent::problem(&text)).await
    };
    // Only a shutdown or a panic prevents the parsing; a worker then decides.
    let Ok(Some(problem)) = parsed else {
        return Ok(());
    };
    let Ok(store) = backend.store() else {
        return Ok(());
    };
    match has_bundled_spawner(store, issue).await {
        Ok(true) => Err(RequestError::NotUnderstood { problem }),
        Ok(false) | Err(_) => Ok(()),
    }
}

/// Returns true if the setting of the issue's Blueprint uses the bundled spawner.
async fn has_bundled_spawner(store: &Store, issue: &NewIssue) -> Result<bool, StoreError> {
    let home = store.home();
    let settings = home.list_settings().await?;
    let own = SettingId::parse(DEFAULT_SETTING).expect("the bundled setting has a valid id");
    let Some(setting) = choose(&settings, &own, issue.blueprint_id()) else {
        return Ok(false);
    };
    if let Some(spawner) = &setting.spawner {
        return Ok(is_bundled(spawner));
    }
    let shard = store.of(&setting.blueprint_id);
    let orbit = shard
        .blueprint(&setting.blueprint_id, &setting.selector)
        .await?;
    let Some(orbit) = orbit else {
        return Ok(false);
    };
    let agents = orbit.blueprint.doc().get("agents").and_then(Doc::as_array);
    let mut agents = agents.into_iter().flatten();
    Ok(agents.any(|agent| text(agent, "name") == Some(SPAWNER) && is_bundled(agent)))
}

fn is_bundled(agent: &Doc) -> bool {
    let script = agent.get("spec").and_then(|spec| text(spec, "fn_id"));
    text(agent, "kind") == Some("lua") && script == Some(SCRIPT)
}

fn text<'a>(doc: &'a Doc, field: &str) -> Option<&'a str> {
    doc.get(field).and_then(Doc::as_str)
}

//! Compares two versions, and reverts to an earlier version.

use proto::v1;
use shared::blueprint::{Blueprint, diff as difference, json};
use shared::domain::actor::Actor;
use shared::domain::version_selector::VersionSelector;
use shared::ids::{BlueprintId, Version};
use shared::store::{ExpectedHead, Store, StoredBlueprint};

use crate::blueprints::convert::commit_to_wire;
use crate::blueprints::write::write;
use crate::convert;
use crate::error::request_error::RequestError;
use crate::error::violations::Violations;

/// Maximum size of patch and diff together: 3 MiB.
const MAX_DIFF_BYTES: usize = 3 * 1024 * 1024;
/// Length of a shortened version, in characters.
const SHORT_VERSION: usize = 12;

/// Implements `DiffBlueprint`.
///
/// # Errors
/// A version is not found, or the response is too large.
pub(crate) async fn diff(
    store: &Store,
    request: v1::DiffBlueprintRequest,
) -> Result<v1::DiffBlueprintResponse, RequestError> {
    let mut violations = Violations::default();
    let blueprint_id = violations.merge(convert::blueprint_id(&request.blueprint_id));
    let from = violations.check("from_version", Version::parse(&request.from_version));
    let to = violations.check("to_version", Version::parse(&request.to_version));
    let (Some(blueprint_id), Some(from), Some(to)) = (blueprint_id, from, to) else {
        return Err(violations.into());
    };
    let from = find(store, &blueprint_id, from, "from_version").await?;
    let to = find(store, &blueprint_id, to, "to_version").await?;
    // Comparing large documents would block the other calls of this thread.
    let compared = tokio::task::spawn_blocking(move || {
        let (from, to) = (&from.blueprint, &to.blueprint);
        v1::DiffBlueprintResponse {
            json_patch: json::emit(&difference::json_patch(from.doc(), to.doc())),
            unified_diff: difference::unified(
                from.canonical_yaml(),
                to.canonical_yaml(),
                &format!("{blueprint_id} {}", from.version()),
                &format!("{blueprint_id} {}", to.version()),
            ),
        }
    });
    let answer = compared.await.expect("comparing documents does not panic");
    let bytes = answer.json_patch.len() + answer.unified_diff.len();
    if bytes > MAX_DIFF_BYTES {
        return Err(RequestError::AnswerTooLarge {
            bytes,
            limit: MAX_DIFF_BYTES,
        });
    }
    Ok(answer)
}

/// Implements `RevertBlueprint` for `author`.
///
/// # Errors
/// The version is not found, its content is no longer valid, or the Blueprint is archived.
pub(crate) async fn revert(
    store: &Store,
    request: v1::RevertBlueprintRequest,
    author: &Actor,
) -> Result<v1::RevertBlueprintResponse, RequestError> {
    let mut violations = Violations::default();
    let blueprint_id = violations.merge(convert::blueprint_id(&request.blueprint_id));
    let version = violations.check("version", Version::parse(&request.version));
    let rationale = violations.check(
        "rationale",
        crate::blueprints::convert::rationale(request.rationale),
    );
    let (Some(blueprint_id), Some(version), Some(rationale)) = (blueprint_id, version, rationale)
    else {
        return Err(violations.into());
    };
    let found = find(store, &blueprint_id, version, "version").await?;
    let rationale = match rationale.as_str() {
        "" => format!(
            "revert to version {} of commit {}",
            &found.commit.version.as_str()[..SHORT_VERSION],
            found.commit.seq
        ),
        _ => rationale,
    };
    // The content is validated again: its label may be older than the present rule for labels.
    let blueprint = Blueprint::from_doc(found.blueprint.doc().clone())
        .map_err(|error| RequestError::field("version", error))?;
    let any = ExpectedHead::Any;
    let written = write(store, &blueprint, any, &rationale, author, None).await?;
    let (trial, trial_detail) = written.trial.into_wire();
    Ok(v1::RevertBlueprintResponse {
        commit: Some(commit_to_wire(written.commit)),
        trial,
        trial_detail,
    })
}

async fn find(
    store: &Store,
    blueprint_id: &BlueprintId,
    version: Version,
    field: &'static str,
) -> Result<StoredBlueprint, RequestError> {
    let shard = store.of(blueprint_id);
    let selector = VersionSelector::Fixed(version.clone());
    if let Some(found) = shard.blueprint(blueprint_id, &selector).await? {
        return Ok(found);
    }
    let blueprint_id = blueprint_id.clone();
    Err(match shard.head_seq(&blueprint_id).await? {
        None => RequestError::BlueprintNotFound(blueprint_id),
        Some(_) => RequestError::NoSuchVersion {
            blueprint_id,
            version,
            field,
        },
    })
}

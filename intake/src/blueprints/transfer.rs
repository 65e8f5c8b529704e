//! Exports and imports whole histories commit by commit. Neither side holds more than a few commits
//! at a time.

use std::pin::Pin;
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use prost_types::Timestamp;
use proto::v1;
use shared::domain::commit::{Commit, Epoch};
use shared::domain::history::{Chain, HistoryEntry};
use shared::ids::{BlueprintId, IssueId, Version};
use shared::store::{Import, ImportOutcome, StageOutcome, Store};
use tonic::{Status, Streaming};

use crate::blueprints::convert::commit_to_wire;
use crate::convert;
use crate::error::request_error::RequestError;
use crate::error::status::refuse;
use crate::error::violations::Violations;
use crate::rpc::Rpc;

/// Maximum number of commits in one read or one stage.
const BATCH: usize = 16;
/// Time limit for the next message of an import.
const NEXT_WITHIN: Duration = Duration::from_secs(600);
/// Maximum size of the documents in one stage, in bytes. It keeps the script of Redis short.
const BATCH_BYTES: usize = 1024 * 1024;

/// The response stream of `ExportBlueprint`.
pub(crate) type ExportStream =
    Pin<Box<dyn Stream<Item = Result<v1::ExportBlueprintResponse, Status>> + Send>>;

/// Returns the history up to the present head, oldest commit first.
///
/// # Errors
/// The Blueprint is not found. A later error ends the stream.
pub(crate) async fn export(
    store: &Store,
    blueprint_id: &str,
) -> Result<ExportStream, RequestError> {
    let blueprint_id = convert::blueprint_id(blueprint_id)?;
    let shard = store.of(&blueprint_id).clone();
    let Some(head) = shard.head_seq(&blueprint_id).await? else {
        return Err(RequestError::BlueprintNotFound(blueprint_id));
    };
    let batches = stream::try_unfold(1, move |from| {
        let (shard, blueprint_id) = (shard.clone(), blueprint_id.clone());
        async move {
            if from > head {
                return Ok::<_, Status>(None);
            }
            let to = head.min(from + BATCH as u64 - 1);
            let entries = shard.history(&blueprint_id, from, to).await;
            let entries = entries.map_err(|error| refuse(Rpc::ExportBlueprint, error.into()))?;
            Ok(Some((stream::iter(entries).map(Ok), to + 1)))
        }
    });
    let messages = batches
        .try_flatten()
        .map_ok(move |entry| v1::ExportBlueprintResponse {
            last: entry.commit.seq == head,
            commit: Some(commit_to_wire(entry.commit)),
            document_yaml: entry.document,
        });
    Ok(Box::pin(messages))
}

/// Imports a history.
///
/// Cancel safety: a dropped call leaves staged data, which expires.
///
/// # Errors
/// The Blueprint exists, or a message differs from what an export sends.
pub(crate) async fn import(
    store: &Store,
    mut messages: Streaming<v1::ImportBlueprintRequest>,
) -> Result<v1::ImportBlueprintResponse, RequestError> {
    let Some(first) = next(&mut messages).await? else {
        return Err(RequestError::field("last", "there is no message"));
    };
    let first_commit = first.commit.as_ref();
    let blueprint_id = first_commit.map_or("", |commit| commit.blueprint_id.as_str());
    let blueprint_id = BlueprintId::parse(blueprint_id)
        .map_err(|error| RequestError::field("commit.blueprint_id", error))?;
    let Some(mut import) = store.of(&blueprint_id).begin_import(&blueprint_id).await? else {
        return Err(RequestError::BlueprintExists(blueprint_id));
    };
    let taken = take(&mut import, first, messages).await;
    let head = match taken {
        Ok(head) => head,
        Err(error) => {
            // Frees the staged data now; it would expire after ten minutes. If Redis is
            // unavailable, it expires.
            let _ = import.give_up().await;
            return Err(error);
        }
    };
    match import.finish().await? {
        ImportOutcome::Imported => Ok(v1::ImportBlueprintResponse {
            commit: Some(commit_to_wire(head)),
        }),
        ImportOutcome::Expired => Err(RequestError::ImportExpired),
        ImportOutcome::Exists => {
            let _ = import.give_up().await;
            Err(RequestError::BlueprintExists(blueprint_id))
        }
    }
}

/// Checks and stages every message up to the last. Returns the newest commit.
async fn take(
    import: &mut Import,
    first: v1::ImportBlueprintRequest,
    mut messages: Streaming<v1::ImportBlueprintRequest>,
) -> Result<Commit, RequestError> {
    let mut chain = Chain::default();
    let mut batch: Vec<HistoryEntry> = Vec::with_capacity(BATCH);
    let mut bytes = 0;
    let mut message = first;
    let mut number: u64 = 1;
    loop {
        let last = message.last;
        let entry = entry(message, number)?;
        chain.take(&entry).map_err(|problem| {
            RequestError::field(problem.field(), format!("{problem}, in message {number}"))
        })?;
        bytes += entry.document.len() + entry.commit.rationale.len();
        batch.push(entry);
        if last || batch.len() == BATCH || bytes >= BATCH_BYTES {
            match import.stage(&batch).await? {
                StageOutcome::Staged => {}
                StageOutcome::MemoryFull { used, max } => {
                    return Err(RequestError::MemoryFull { used, max });
                }
                StageOutcome::Expired => return Err(RequestError::ImportExpired),
            }
            let newest = batch.drain(..).next_back();
            bytes = 0;
            if let (true, Some(newest)) = (last, newest) {
                return match next(&mut messages).await? {
                    None => Ok(newest.commit),
                    Some(_) => Err(RequestError::field(
                        "last",
                        format!("is true in message {number}, which another one follows"),
                    )),
                };
            }
        }
        message = next(&mut messages).await?.ok_or_else(|| {
            RequestError::field(
                "last",
                format!(
                    "is not true in message {number}, after which the stream ended: it was cut"
                ),
            )
        })?;
        number += 1;
    }
}

async fn next(
    messages: &mut Streaming<v1::ImportBlueprintRequest>,
) -> Result<Option<v1::ImportBlueprintRequest>, RequestError> {
    let next = tokio::time::timeout(NEXT_WITHIN, messages.message());
    let next = next.await.map_err(|_| RequestError::ImportExpired)?;
    next.map_err(|status| RequestError::StreamBroken(Box::new(status)))
}

/// Parses one message. Does not check that it follows from the previous one.
fn entry(message: v1::ImportBlueprintRequest, number: u64) -> Result<HistoryEntry, RequestError> {
    let Some(commit) = message.commit else {
        return Err(RequestError::field(
            "commit",
            format!("is missing in message {number}"),
        ));
    };
    let mut violations = Violations::default();
    let blueprint_id = violations.check(
        "commit.blueprint_id",
        BlueprintId::parse(&commit.blueprint_id),
    );
    let version = violations.check("commit.version", Version::parse(&commit.version));
    let parents: Result<Vec<Version>, _> =
        commit.parents.iter().map(|p| Version::parse(p)).collect();
    let parents = violations.check("commit.parents", parents);
    let issue_id = match commit.issue_id.as_str() {
        "" => Some(None),
        id => violations
            .check("commit.issue_id", IssueId::parse(id))
            .map(Some),
    };
    let epoch = match commit.epoch {
        None => Some(None),
        Some(epoch) => violations
            .check("commit.epoch", read_epoch(&epoch))
            .map(Some),
    };
    let at = violations.check("commit.committed_at", ms(commit.committed_at.as_ref()));
    let (Some(blueprint_id), Some(version), Some(parents), Some(issue_id), Some(epoch), Some(at)) =
        (blueprint_id, version, parents, issue_id, epoch, at)
    else {
        return Err(violations.into());
    };
    Ok(HistoryEntry {
        commit: Commit {
            blueprint_id,
            seq: commit.seq,
            version,
            parents,
            version_label: commit.version_label,
            rationale: commit.rationale,
            patch_hash: commit.patch_hash,
            issue_id,
            epoch,
            committed_at_ms: at,
        },
        document: message.document_yaml,
    })
}

fn read_epoch(epoch: &v1::Epoch) -> Result<Epoch, String> {
    Ok(Epoch {
        blueprint_id: BlueprintId::parse(&epoch.blueprint_id).map_err(|e| e.to_string())?,
        start_version: Version::parse(&epoch.start_version).map_err(|e| e.to_string())?,
        started_at_ms: ms(epoch.started_at.as_ref())?,
    })
}

/// Converts a timestamp to milliseconds since the Unix epoch. Accepts exactly what
/// [`convert::timestamp`] produces.
fn ms(timestamp: Option<&Timestamp>) -> Result<u64, String> {
    let read = || {
        let timestamp = timestamp?;
        let seconds = u64::try_from(timestamp.seconds).ok()?;
        let nanos = u64::try_from(timestamp.nanos).ok()?;
        (nanos < 1_000_000_000 && nanos % 1_000_000 == 0)
            .then(|| seconds.checked_mul(1_000)?.checked_add(nanos / 1_000_000))?
    };
    read().ok_or_else(|| "is no time since 1970 in whole milliseconds".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_comes_back_as_it_went() {
        for at in [0, 1, 999, 1_000, 1_763_900_000_123] {
            assert_eq!(ms(Some(&convert::timestamp(at))), Ok(at));
        }
        for (seconds, nanos) in [(-1, 0), (1, -1), (1, 1), (1, 1_000_000_000), (i64::MAX, 0)] {
            assert!(ms(Some(&Timestamp { seconds, nanos })).is_err());
        }
        assert!(ms(None).is_err());
    }
}

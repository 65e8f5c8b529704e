//! Exports and imports whole histories: commit by commit, and then the moves of channels. Neither
//! side holds more than a few of them at a time.

use std::pin::Pin;
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use prost_types::Timestamp;
use proto::v1;
use shared::domain::actor::Actor;
use shared::domain::channel::ChannelMove;
use shared::domain::channel_history::ChannelChain;
use shared::domain::commit::{Commit, Epoch};
use shared::domain::history::{Chain, HistoryEntry, NotNext};
use shared::domain::proposal::MAX_REVIEW_TEXT_BYTES;
use shared::ids::{BlueprintId, IssueId, Version};
use shared::store::{Import, ImportOutcome, Shard, StageOutcome, Store, StoreError};
use tonic::{Status, Streaming};

use crate::blueprints::channels::move_to_wire;
use crate::blueprints::convert::commit_to_wire;
use crate::blueprints::write;
use crate::convert;
use crate::error::request_error::RequestError;
use crate::error::status::refuse;
use crate::error::violations::Violations;
use crate::rpc::Rpc;

/// Maximum number of commits, or of moves, in one read or one stage.
const BATCH: usize = 16;
/// Time limit for the next message of an import.
const NEXT_WITHIN: Duration = Duration::from_secs(600);
/// Maximum size of the documents in one stage, in bytes. It keeps the script of Redis short.
const BATCH_BYTES: usize = 1024 * 1024;

/// The response stream of `ExportBlueprint`.
pub(crate) type ExportStream =
    Pin<Box<dyn Stream<Item = Result<v1::ExportBlueprintResponse, Status>> + Send>>;

/// Returns the history up to the present head, oldest commit first, and then the moves of channels.
///
/// # Errors
/// The Blueprint is not found. A later error ends the stream.
pub(crate) async fn export(
    store: &Store,
    blueprint_id: &str,
) -> Result<ExportStream, RequestError> {
    let blueprint_id = convert::blueprint_id(blueprint_id)?;
    let shard = store.of(&blueprint_id).clone();
    // The moves first: each then points to a commit up to the head.
    let n_moves = shard.n_channel_moves(&blueprint_id).await?;
    let (Some(n_moves), Some(head)) = (n_moves, shard.head_seq(&blueprint_id).await?) else {
        return Err(RequestError::BlueprintNotFound(blueprint_id));
    };
    // The number of messages sent so far: first the commits, then the moves.
    let batches = stream::try_unfold(0, move |sent| {
        let (shard, id) = (shard.clone(), blueprint_id.clone());
        async move {
            if sent == head + n_moves {
                return Ok::<_, Status>(None);
            }
            let (to, batch) = if sent < head {
                let to = head.min(sent + BATCH as u64);
                (to, commits(&shard, &id, sent + 1, to).await)
            } else {
                let to = (head + n_moves).min(sent + BATCH as u64);
                (to, moves(&shard, &id, sent - head, to - head).await)
            };
            let mut batch = batch.map_err(|error| refuse(Rpc::ExportBlueprint, error.into()))?;
            if let Some(newest) = batch.last_mut() {
                newest.last = to == head + n_moves;
            }
            Ok(Some((stream::iter(batch).map(Ok), to)))
        }
    });
    Ok(Box::pin(batches.try_flatten()))
}

/// Returns the messages of these commits.
async fn commits(
    shard: &Shard,
    id: &BlueprintId,
    from: u64,
    to: u64,
) -> Result<Vec<v1::ExportBlueprintResponse>, StoreError> {
    let entries = shard.history(id, from, to).await?.into_iter();
    let messages = entries.map(|entry| v1::ExportBlueprintResponse {
        commit: Some(commit_to_wire(entry.commit)),
        document_yaml: entry.document,
        ..Default::default()
    });
    Ok(messages.collect())
}

/// Returns the messages of these moves of channels.
async fn moves(
    shard: &Shard,
    id: &BlueprintId,
    from: u64,
    to: u64,
) -> Result<Vec<v1::ExportBlueprintResponse>, StoreError> {
    let moves = shard.channel_moves(id, from, to).await?.into_iter();
    let messages = moves.map(|moved| v1::ExportBlueprintResponse {
        channel_move: Some(move_to_wire(moved)),
        ..Default::default()
    });
    Ok(messages.collect())
}

/// Imports a history. A commit keeps its author; `importer` becomes the author of a commit without
/// one.
///
/// Cancel safety: a dropped call leaves staged data, which expires.
///
/// # Errors
/// The Blueprint exists, or a message differs from what an export sends.
pub(crate) async fn import(
    store: &Store,
    mut messages: Streaming<v1::ImportBlueprintRequest>,
    importer: &Actor,
) -> Result<v1::ImportBlueprintResponse, RequestError> {
    let Some(first) = next(&mut messages).await? else {
        return Err(RequestError::field("last", "the stream has no message"));
    };
    let first_commit = first.commit.as_ref();
    let blueprint_id = first_commit.map_or("", |commit| commit.blueprint_id.as_str());
    let blueprint_id = BlueprintId::parse(blueprint_id)
        .map_err(|error| RequestError::field("commit.blueprint_id", error))?;
    let shard = store.of(&blueprint_id);
    let import = if first.replace_bundled {
        shard.begin_replacement(&blueprint_id).await?
    } else {
        shard.begin_import(&blueprint_id).await?
    };
    let Some(mut import) = import else {
        return Err(RequestError::BlueprintExists(blueprint_id));
    };
    let taken = take(&mut import, first, messages, importer).await;
    let head = match taken {
        Ok(head) => head,
        Err(error) => {
            // Frees the staged data now; it would expire after ten minutes. If Redis is
            // unavailable, it expires.
            let _ = import.give_up().await;
            return Err(error);
        }
    };
    let outcome = match write::finish_import(store, &import, &head).await {
        Ok(outcome) => outcome,
        Err(error) => {
            let _ = import.give_up().await;
            return Err(error);
        }
    };
    match outcome {
        ImportOutcome::Imported => Ok(v1::ImportBlueprintResponse {
            commit: Some(commit_to_wire(head.commit)),
        }),
        ImportOutcome::OrbitInUse => {
            let _ = import.give_up().await;
            Err(RequestError::HeadMoved {
                blueprint_id,
                actual: None,
            })
        }
        ImportOutcome::Expired => Err(RequestError::ImportExpired),
        ImportOutcome::Exists => {
            let _ = import.give_up().await;
            Err(RequestError::BlueprintExists(blueprint_id))
        }
    }
}

/// Checks and stages every message up to the last. Returns the newest commit and its content.
async fn take(
    import: &mut Import,
    first: v1::ImportBlueprintRequest,
    mut messages: Streaming<v1::ImportBlueprintRequest>,
    importer: &Actor,
) -> Result<HistoryEntry, RequestError> {
    let mut number: u64 = 1;
    let (newest, first_move) =
        take_commits(import, first, &mut messages, importer, &mut number).await?;
    if let Some(first_move) = first_move {
        let chain = ChannelChain::of(newest.commit.blueprint_id.clone());
        take_moves(import, chain, first_move, &mut messages, number + 1).await?;
    }
    Ok(newest)
}

/// Checks and stages the commits. `number` is that of the last message. Returns the newest commit
/// with its content, and the message with the first move, if any.
async fn take_commits(
    import: &mut Import,
    first: v1::ImportBlueprintRequest,
    messages: &mut Streaming<v1::ImportBlueprintRequest>,
    importer: &Actor,
    number: &mut u64,
) -> Result<(HistoryEntry, Option<v1::ImportBlueprintRequest>), RequestError> {
    let mut chain = Chain::default();
    let mut batch: Vec<HistoryEntry> = Vec::with_capacity(BATCH);
    let mut bytes = 0;
    let mut message = first;
    loop {
        let last = message.last;
        let mut entry = entry(message, *number)?;
        chain
            .take(&entry)
            .map_err(|problem| not_next(&problem, *number))?;
        entry.commit.author.get_or_insert_with(|| importer.clone());
        bytes += entry.document.len() + entry.commit.rationale.len();
        batch.push(entry);
        let following = following(messages, last, *number).await?;
        let is_newest = following.as_ref().is_none_or(|m| m.channel_move.is_some());
        if is_newest || batch.len() == BATCH || bytes >= BATCH_BYTES {
            staged(import.stage(&batch).await?)?;
            if !is_newest {
                batch.clear();
            }
            bytes = 0;
        }
        match following {
            Some(following) if !is_newest => message = following,
            first_move => {
                let newest = batch.pop().expect("it was pushed in this round");
                return Ok((newest, first_move));
            }
        }
        *number += 1;
    }
}

/// Checks and stages the moves of channels. `number` is that of the message `first`.
async fn take_moves(
    import: &mut Import,
    mut chain: ChannelChain,
    first: v1::ImportBlueprintRequest,
    messages: &mut Streaming<v1::ImportBlueprintRequest>,
    mut number: u64,
) -> Result<(), RequestError> {
    let mut batch: Vec<ChannelMove> = Vec::with_capacity(BATCH);
    let mut message = first;
    loop {
        let last = message.last;
        let moved = channel_move(message, number)?;
        chain
            .take(&moved)
            .map_err(|problem| not_next(&problem, number))?;
        batch.push(moved);
        let following = following(messages, last, number).await?;
        if following.is_none() || batch.len() == BATCH {
            staged(import.stage_moves(&batch).await?)?;
            batch.clear();
        }
        match following {
            Some(following) => message = following,
            None => return Ok(()),
        }
        number += 1;
    }
}

fn not_next(problem: &NotNext, number: u64) -> RequestError {
    RequestError::field(problem.field(), format!("{problem}, in message {number}"))
}

fn staged(outcome: StageOutcome) -> Result<(), RequestError> {
    match outcome {
        StageOutcome::Staged => Ok(()),
        StageOutcome::MemoryFull { used, max } => Err(RequestError::MemoryFull { used, max }),
        StageOutcome::Expired => Err(RequestError::ImportExpired),
        StageOutcome::NotACommit(seq) => Err(RequestError::field(
            "channel_move.seq",
            format!("is {seq}, which is not the number of a commit of to_version"),
        )),
    }
}

/// Returns the message after message `number`; `None` if that one is the last.
async fn following(
    messages: &mut Streaming<v1::ImportBlueprintRequest>,
    last: bool,
    number: u64,
) -> Result<Option<v1::ImportBlueprintRequest>, RequestError> {
    match (next(messages).await?, last) {
        (None, false) => Err(RequestError::field(
            "last",
            format!("is false in message {number}, the last one: the stream was cut off"),
        )),
        (Some(_), true) => Err(RequestError::field(
            "last",
            format!("is true in message {number}, but more messages follow"),
        )),
        (following, _) => Ok(following),
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
    if message.channel_move.is_some() {
        return Err(RequestError::field(
            "channel_move",
            format!("is set beside the commit in message {number}"),
        ));
    }
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
    let author = violations.merge(convert::optional_actor(
        "commit.author",
        Some(&commit.author),
    ));
    let decided_by = violations.merge(convert::optional_actor(
        "commit.decided_by",
        Some(&commit.decided_by),
    ));
    let comment = violations.check("commit.comment", comment(commit.comment));
    let at = violations.check("commit.committed_at", ms(commit.committed_at.as_ref()));
    let (
        Some(blueprint_id),
        Some(version),
        Some(parents),
        Some(issue_id),
        Some(epoch),
        Some(author),
        Some(decided_by),
        Some(comment),
        Some(at),
    ) = (
        blueprint_id,
        version,
        parents,
        issue_id,
        epoch,
        author,
        decided_by,
        comment,
        at,
    )
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
            author,
            decided_by,
            comment,
            committed_at_ms: at,
        },
        document: message.document_yaml,
    })
}

/// Parses the comment of an approval.
fn comment(given: String) -> Result<String, String> {
    match given.len() {
        bytes if bytes > MAX_REVIEW_TEXT_BYTES => Err(format!(
            "has {bytes} bytes; the limit is {MAX_REVIEW_TEXT_BYTES} (4 KiB)"
        )),
        _ => Ok(given),
    }
}

/// Parses one message with a move. Does not check that it follows from the previous ones.
fn channel_move(
    message: v1::ImportBlueprintRequest,
    number: u64,
) -> Result<ChannelMove, RequestError> {
    let moved = match message.channel_move {
        Some(moved) if message.commit.is_none() => moved,
        _ => {
            return Err(RequestError::field(
                "channel_move",
                format!("is not the only content of message {number}, which follows another move"),
            ));
        }
    };
    let mut violations = Violations::default();
    let blueprint_id = violations.check(
        "channel_move.blueprint_id",
        BlueprintId::parse(&moved.blueprint_id),
    );
    let channel = violations.merge(convert::channel("channel_move.channel", &moved.channel));
    let version = |text: &str| match text {
        "" => Ok(None),
        text => Version::parse(text).map(Some),
    };
    let from = violations.check("channel_move.from_version", version(&moved.from_version));
    let to = violations.check("channel_move.to_version", version(&moved.to_version));
    let actor = violations.check("channel_move.actor", Actor::parse(&moved.actor));
    let at = violations.check("channel_move.moved_at", ms(moved.moved_at.as_ref()));
    let (Some(blueprint_id), Some(channel), Some(from), Some(to), Some(actor), Some(at)) =
        (blueprint_id, channel, from, to, actor, at)
    else {
        return Err(violations.into());
    };
    Ok(ChannelMove {
        blueprint_id,
        channel,
        from,
        to,
        seq: moved.seq,
        revision: moved.revision,
        actor,
        reason: moved.reason,
        moved_at_ms: at,
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
    read().ok_or_else(|| "must be a time since 1970 in whole milliseconds".to_owned())
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

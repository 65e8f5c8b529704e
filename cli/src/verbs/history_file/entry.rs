//! The entries of a history: commits and moves of channels, in the form of a file and of the wire.

use proto::v1::{ChannelMove, Commit, Epoch, ExportBlueprintResponse, ImportBlueprintRequest};
use serde::{Deserialize, Serialize};

use crate::client::CliError;

/// The entry of every other line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::verbs) struct Entry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) commit: Option<CommitForm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) document_yaml: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) channel_move: Option<MoveForm>,
    pub(super) last: bool,
}

impl Entry {
    /// Returns true for a commit, and false for a move of a channel.
    pub(in crate::verbs) fn is_commit(&self) -> bool {
        self.commit.is_some()
    }
}

/// A move as in `channels --moves --output json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MoveForm {
    pub(super) blueprint_id: String,
    pub(super) channel: String,
    pub(super) from_version: String,
    pub(super) to_version: String,
    pub(super) seq: u64,
    pub(super) revision: u64,
    pub(super) actor: String,
    pub(super) reason: String,
    pub(super) moved_at: String,
}

/// A commit as in `history --output json`; times are RFC 3339.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CommitForm {
    pub(super) blueprint_id: String,
    pub(super) seq: u64,
    pub(super) version: String,
    pub(super) parents: Vec<String>,
    pub(super) version_label: String,
    pub(super) rationale: String,
    pub(super) patch_hash: String,
    pub(super) issue_id: String,
    pub(super) epoch: Option<EpochForm>,
    /// Absent in files of releases without actors.
    #[serde(default)]
    pub(super) author: String,
    /// Absent if no review was needed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) decided_by: String,
    /// Absent without a comment.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) comment: String,
    pub(super) committed_at: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EpochForm {
    pub(super) blueprint_id: String,
    pub(super) start_version: String,
    pub(super) started_at: String,
}

/// Returns the entry of a message.
///
/// # Errors
/// [`CliError::Answer`] if a field is missing.
pub(in crate::verbs) fn to_entry(message: ExportBlueprintResponse) -> Result<Entry, CliError> {
    let (last, moved) = (message.last, message.channel_move);
    let Some(moved) = moved else {
        let commit = message.commit.ok_or(CliError::Answer { field: "commit" })?;
        return Ok(Entry {
            commit: Some(to_form(commit)?),
            document_yaml: Some(message.document_yaml),
            channel_move: None,
            last,
        });
    };
    let moved_at = moved
        .moved_at
        .ok_or(CliError::Answer { field: "moved_at" })?;
    Ok(Entry {
        commit: None,
        document_yaml: None,
        channel_move: Some(MoveForm {
            blueprint_id: moved.blueprint_id,
            channel: moved.channel,
            from_version: moved.from_version,
            to_version: moved.to_version,
            seq: moved.seq,
            revision: moved.revision,
            actor: moved.actor,
            reason: moved.reason,
            moved_at: moved_at.to_string(),
        }),
        last,
    })
}

pub(in crate::verbs) fn from_entry(entry: Entry) -> Result<ImportBlueprintRequest, String> {
    let last = entry.last;
    match (entry.commit, entry.document_yaml, entry.channel_move) {
        (Some(commit), Some(document_yaml), None) => Ok(ImportBlueprintRequest {
            commit: Some(from_form(commit)?),
            document_yaml,
            last,
            ..ImportBlueprintRequest::default()
        }),
        (None, None, Some(moved)) => Ok(ImportBlueprintRequest {
            channel_move: Some(ChannelMove {
                moved_at: Some(time(&moved.moved_at)?),
                blueprint_id: moved.blueprint_id,
                channel: moved.channel,
                from_version: moved.from_version,
                to_version: moved.to_version,
                seq: moved.seq,
                revision: moved.revision,
                actor: moved.actor,
                reason: moved.reason,
            }),
            last,
            ..ImportBlueprintRequest::default()
        }),
        _ => Err("has neither a commit with its document, nor a move alone".to_owned()),
    }
}

fn time(text: &str) -> Result<prost_types::Timestamp, String> {
    let time = text.parse::<prost_types::Timestamp>();
    time.map_err(|error| format!("has the time {text:?}: {error}"))
}

fn to_form(commit: Commit) -> Result<CommitForm, CliError> {
    let time = |time: Option<_>, field| {
        time.map(|time: prost_types::Timestamp| time.to_string())
            .ok_or(CliError::Answer { field })
    };
    let epoch = match commit.epoch {
        None => None,
        Some(epoch) => Some(EpochForm {
            blueprint_id: epoch.blueprint_id,
            start_version: epoch.start_version,
            started_at: time(epoch.started_at, "started_at")?,
        }),
    };
    Ok(CommitForm {
        blueprint_id: commit.blueprint_id,
        seq: commit.seq,
        version: commit.version,
        parents: commit.parents,
        version_label: commit.version_label,
        rationale: commit.rationale,
        patch_hash: commit.patch_hash,
        issue_id: commit.issue_id,
        epoch,
        author: commit.author,
        decided_by: commit.decided_by,
        comment: commit.comment,
        committed_at: time(commit.committed_at, "committed_at")?,
    })
}

fn from_form(form: CommitForm) -> Result<Commit, String> {
    let epoch = match form.epoch {
        None => None,
        Some(epoch) => Some(Epoch {
            started_at: Some(time(&epoch.started_at)?),
            blueprint_id: epoch.blueprint_id,
            start_version: epoch.start_version,
        }),
    };
    Ok(Commit {
        blueprint_id: form.blueprint_id,
        seq: form.seq,
        version: form.version,
        parents: form.parents,
        version_label: form.version_label,
        rationale: form.rationale,
        patch_hash: form.patch_hash,
        issue_id: form.issue_id,
        epoch,
        author: form.author,
        decided_by: form.decided_by,
        comment: form.comment,
        committed_at: Some(time(&form.committed_at)?),
    })
}

//! The stored form of commits.

use serde::{Deserialize, Serialize};

use crate::domain::actor::Actor;
use crate::domain::commit::{Commit, Epoch};
use crate::ids::{BlueprintId, IssueId, Version};
use crate::store::codec::format::{FORMAT, check_format, damaged, from_json, read_actor, to_json};
use crate::store::redis::error::StoreError;

#[derive(Serialize, Deserialize)]
struct StoredEpoch {
    start_version: String,
    started_at: u64,
}

/// The fields of a commit from its writer. The script adds `seq`, `parents` and `at`. The script of
/// a decision also adds `author`, the submitter of the issue, and that of an approval `decided_by`
/// and `comment`.
#[derive(Serialize)]
struct CommitDraft<'a> {
    pub(crate) v: u32,
    pub(crate) version: &'a str,
    label: &'a str,
    pub(crate) rationale: &'a str,
    patch_hash: &'a str,
    pub(crate) issue_id: &'a str,
    epoch: Option<StoredEpoch>,
    #[serde(skip_serializing_if = "str::is_empty")]
    author: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    decided_by: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    comment: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredCommit {
    pub(crate) v: u32,
    pub(crate) version: String,
    label: String,
    pub(crate) rationale: String,
    patch_hash: String,
    pub(crate) issue_id: String,
    epoch: Option<StoredEpoch>,
    /// Absent in data of releases without this field.
    #[serde(default)]
    author: String,
    /// Absent if no review was needed.
    #[serde(default)]
    decided_by: String,
    /// Absent without a comment.
    #[serde(default)]
    comment: String,
    seq: u64,
    parents: Vec<String>,
    at: u64,
}

/// Returns the JSON of a commit without its position in the history.
pub(crate) fn commit_draft(
    version: &Version,
    label: &str,
    rationale: &str,
    patch_hash: &str,
    issue_id: Option<&IssueId>,
    epoch: Option<&Epoch>,
    author: Option<&Actor>,
) -> String {
    to_json(&draft(
        version, label, rationale, patch_hash, issue_id, epoch, author,
    ))
}

fn draft<'a>(
    version: &'a Version,
    label: &'a str,
    rationale: &'a str,
    patch_hash: &'a str,
    issue_id: Option<&'a IssueId>,
    epoch: Option<&Epoch>,
    author: Option<&'a Actor>,
) -> CommitDraft<'a> {
    CommitDraft {
        v: FORMAT,
        version: version.as_str(),
        label,
        rationale,
        patch_hash,
        issue_id: issue_id.map(IssueId::as_str).unwrap_or_default(),
        epoch: epoch.map(|e| StoredEpoch {
            start_version: e.start_version.to_string(),
            started_at: e.started_at_ms,
        }),
        author: author.map(Actor::as_str).unwrap_or_default(),
        decided_by: "",
        comment: "",
    }
}

/// Returns the JSON of a complete commit: the same bytes as a script stores.
pub(crate) fn commit_whole(commit: &Commit) -> String {
    let decided_by = commit.decided_by.as_ref();
    let mut text = to_json(&CommitDraft {
        decided_by: decided_by.map(Actor::as_str).unwrap_or_default(),
        comment: &commit.comment,
        ..draft(
            &commit.version,
            &commit.version_label,
            &commit.rationale,
            &commit.patch_hash,
            commit.issue_id.as_ref(),
            commit.epoch.as_ref(),
            commit.author.as_ref(),
        )
    });
    text.pop();
    let (seq, at) = (commit.seq, commit.committed_at_ms);
    let parents: Vec<&str> = commit.parents.iter().map(Version::as_str).collect();
    let parents = to_json(&parents);
    text.push_str(&format!(r#","seq":{seq},"parents":{parents},"at":{at}}}"#));
    text
}

/// Reads a commit from its stored JSON.
pub(crate) fn commit(blueprint_id: &BlueprintId, text: &str) -> Result<Commit, StoreError> {
    let id = blueprint_id.as_str();
    let stored: StoredCommit = from_json("commit", id, text)?;
    check_format("commit", id, stored.v)?;
    let version = |text: &str| Version::parse(text).map_err(|e| damaged("commit", id, e));
    let issue_id = match stored.issue_id.as_str() {
        "" => None,
        issue => Some(IssueId::parse(issue).map_err(|e| damaged("commit", id, e))?),
    };
    let epoch = match stored.epoch {
        None => None,
        Some(e) => Some(Epoch {
            blueprint_id: blueprint_id.clone(),
            start_version: version(&e.start_version)?,
            started_at_ms: e.started_at,
        }),
    };
    Ok(Commit {
        blueprint_id: blueprint_id.clone(),
        seq: stored.seq,
        version: version(&stored.version)?,
        parents: stored
            .parents
            .iter()
            .map(|p| version(p))
            .collect::<Result<_, _>>()?,
        version_label: stored.label,
        rationale: stored.rationale,
        patch_hash: stored.patch_hash,
        issue_id,
        epoch,
        author: read_actor("commit", id, &stored.author)?,
        decided_by: read_actor("commit", id, &stored.decided_by)?,
        comment: stored.comment,
        committed_at_ms: stored.at,
    })
}

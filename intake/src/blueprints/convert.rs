//! Converts commits and summaries from and to the wire.

use proto::v1;
use shared::domain::commit::{BlueprintSummary, Commit, Epoch, MAX_RATIONALE_BYTES};
use shared::ids::Version;
use shared::store::ExpectedHead;

use crate::convert::{text, timestamp};

/// Parses the field `expected_head`. Absent means any head, and empty means no head.
pub(crate) fn expected_head(given: Option<&str>) -> Result<ExpectedHead, String> {
    match given {
        None => Ok(ExpectedHead::Any),
        Some("") => Ok(ExpectedHead::Absent),
        Some(version) => Version::parse(version)
            .map(ExpectedHead::At)
            .map_err(|error| error.to_string()),
    }
}

/// Parses the field `rationale`. Absent means empty.
pub(crate) fn rationale(given: Option<String>) -> Result<String, String> {
    let text = given.unwrap_or_default();
    if text.len() > MAX_RATIONALE_BYTES {
        return Err(format!(
            "has {} bytes; the limit is {MAX_RATIONALE_BYTES} (64 KiB)",
            text.len()
        ));
    }
    Ok(text)
}

/// Converts a commit.
pub(crate) fn commit_to_wire(commit: Commit) -> v1::Commit {
    v1::Commit {
        blueprint_id: commit.blueprint_id.to_string(),
        seq: commit.seq,
        version: commit.version.to_string(),
        parents: commit.parents.iter().map(Version::to_string).collect(),
        version_label: commit.version_label,
        rationale: commit.rationale,
        patch_hash: commit.patch_hash,
        issue_id: text(commit.issue_id),
        epoch: commit.epoch.map(epoch_to_wire),
        author: text(commit.author),
        decided_by: text(commit.decided_by),
        comment: commit.comment,
        committed_at: Some(timestamp(commit.committed_at_ms)),
    }
}

fn epoch_to_wire(epoch: Epoch) -> v1::Epoch {
    v1::Epoch {
        blueprint_id: epoch.blueprint_id.to_string(),
        start_version: epoch.start_version.to_string(),
        started_at: Some(timestamp(epoch.started_at_ms)),
    }
}

/// Converts the summary of a Blueprint.
pub(crate) fn summary_to_wire(summary: BlueprintSummary) -> v1::BlueprintSummary {
    v1::BlueprintSummary {
        blueprint_id: summary.blueprint_id.to_string(),
        head: summary.head.to_string(),
        version_label: summary.version_label,
        archived: summary.archived,
        updated_at: Some(timestamp(summary.updated_at_ms)),
    }
}

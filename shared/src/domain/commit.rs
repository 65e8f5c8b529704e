//! A commit: one version of one Blueprint in its history, and its origin.

use crate::domain::actor::Actor;
use crate::ids::{BlueprintId, IssueId, Version};

/// The maximum length of a commit's rationale, in bytes.
pub const MAX_RATIONALE_BYTES: usize = 64 << 10;

/// One attempt at one issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// The target.
    pub blueprint_id: BlueprintId,
    /// The target's head at the start of the attempt.
    pub start_version: Version,
    /// The start of the attempt, Redis time.
    pub started_at_ms: u64,
}

/// An entry of a Blueprint's history. Immutable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The Blueprint of the history.
    pub blueprint_id: BlueprintId,
    /// The number of the commit: 1 for the first one of a Blueprint, then consecutive.
    pub seq: u64,
    /// The version of the content.
    pub version: Version,
    /// The previous head; empty for the first commit.
    pub parents: Vec<Version>,
    /// The `metadata.version_label` of the content; empty if it has none.
    pub version_label: String,
    /// The reason for the change, in words.
    pub rationale: String,
    /// SHA-256 of the patch's canonical JSON; empty for a direct write.
    pub patch_hash: String,
    /// The issue that the commit decides; `None` for a direct write.
    pub issue_id: Option<IssueId>,
    /// The attempt that produced the commit; `None` for a direct write.
    pub epoch: Option<Epoch>,
    /// The submitter of that issue, or the writer; `None` for a bundled document, and in data of
    /// releases without actors.
    pub author: Option<Actor>,
    /// The actor that approved the change; `None` if no review was needed.
    pub decided_by: Option<Actor>,
    /// The comment of the approval; empty without one.
    pub comment: String,
    /// The time of the write, Redis time.
    pub committed_at_ms: u64,
}

/// A Blueprint's entry in a list of Blueprints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlueprintSummary {
    /// Its id.
    pub blueprint_id: BlueprintId,
    /// The version of its newest commit.
    pub head: Version,
    /// The label of that version; empty if it has none.
    pub version_label: String,
    /// True if the Blueprint is archived: kept, hidden from lists, read-only.
    pub archived: bool,
    /// The time of the last change of the head, Redis time.
    pub updated_at_ms: u64,
}

//! A commit: one version of one Blueprint in its history, and where it came from.

use crate::ids::{BlueprintId, IssueId, Version};

/// The longest rationale of a commit, in bytes, whoever writes it.
pub const MAX_RATIONALE_BYTES: usize = 64 << 10;

/// One attempt at one issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// The target.
    pub blueprint_id: BlueprintId,
    /// The target's head when the attempt began.
    pub start_version: Version,
    /// When the attempt began, Redis time.
    pub started_at_ms: u64,
}

/// An entry of a Blueprint's history. Never changed once written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Whose history it is in.
    pub blueprint_id: BlueprintId,
    /// 1 for the first commit of a Blueprint, then one more each.
    pub seq: u64,
    /// The content.
    pub version: Version,
    /// The head it was written on; empty for the first.
    pub parents: Vec<Version>,
    /// `metadata.version_label` of the content; empty if it has none.
    pub version_label: String,
    /// Why, in words.
    pub rationale: String,
    /// SHA-256 of the patch's canonical JSON; empty for a direct write.
    pub patch_hash: String,
    /// The issue that it decides; `None` for a direct write.
    pub issue_id: Option<IssueId>,
    /// The attempt that made it; `None` for a direct write.
    pub epoch: Option<Epoch>,
    /// When it was written, Redis time.
    pub committed_at_ms: u64,
}

/// What a list of Blueprints shows of each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlueprintSummary {
    /// Its id.
    pub blueprint_id: BlueprintId,
    /// The version of its newest commit.
    pub head: Version,
    /// The label of that version; empty if it has none.
    pub version_label: String,
    /// Archived: kept, hidden from lists, not writable.
    pub archived: bool,
    /// When its head last moved, Redis time.
    pub updated_at_ms: u64,
}

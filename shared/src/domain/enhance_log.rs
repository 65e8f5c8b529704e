//! The enhance log: exactly one entry for each decided issue.

use crate::domain::issue::RejectionCause;
use crate::ids::{BlueprintId, IssueId};

/// The most that is kept of a reply that could not be used, in bytes.
pub const MAX_UNUSABLE_REPLY_BYTES: usize = 8 << 10;

/// One verifier's judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The axis that judged.
    pub axis: String,
    /// True for `pass`, false for `deny`.
    pub pass: bool,
    /// The evidence of a pass (JSON unless it is text), the reason of a denial.
    pub detail: String,
}

impl Verdict {
    /// `pass` or `deny`.
    pub fn status(&self) -> &'static str {
        if self.pass { "pass" } else { "deny" }
    }
}

/// What the patch-spawner step cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpawnerUsage {
    /// `lua`, `llm` or `subprocess`; empty if no spawner ran.
    pub agent_kind: String,
    /// The model, for a kind that has one.
    pub model: String,
    /// Tokens sent.
    pub input_tokens: u64,
    /// Tokens received.
    pub output_tokens: u64,
    /// How many calls it took.
    pub calls: u32,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// What became of an issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// The issue.
    pub issue_id: IssueId,
    /// Its target.
    pub blueprint_id: BlueprintId,
    /// The head that it was decided on; empty if the target was never read.
    pub prev_hash: String,
    /// The version it made; empty when rejected.
    pub new_hash: String,
    /// What was asked for.
    pub intent: String,
    /// What the spawner said about its patch.
    pub rationale: String,
    /// What each axis found.
    pub verdicts: Vec<Verdict>,
    /// `None` if applied.
    pub cause: Option<RejectionCause>,
    /// Why it was rejected; empty when applied.
    pub reasons: Vec<String>,
    /// The attempt that decided it.
    pub attempt: u32,
    /// The RFC 6902 array that the spawner proposed, also when denied; empty if there was none.
    pub patch_json: String,
    /// When it was decided, Redis time.
    pub ts_ms: u64,
    /// What the spawner cost.
    pub usage: SpawnerUsage,
    /// The last reply of a model that could not be used, [`MAX_UNUSABLE_REPLY_BYTES`] at most; empty if there was none.
    pub unusable_reply: String,
}

impl LogEntry {
    /// `applied` or `rejected`.
    pub fn status(&self) -> &'static str {
        if self.cause.is_none() {
            "applied"
        } else {
            "rejected"
        }
    }
}

//! The enhance log: exactly one entry for each decided issue.

use crate::domain::actor::Actor;
use crate::domain::issue::RejectionCause;
use crate::ids::{BlueprintId, IssueId, Version};

/// The maximum stored length of an unusable model reply, in bytes.
pub const MAX_UNUSABLE_REPLY_BYTES: usize = 8 << 10;

/// What a verifier decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerdictStatus {
    /// The change may be committed.
    Pass,
    /// The change is rejected.
    Deny,
    /// A person has to decide.
    Review,
}

impl VerdictStatus {
    /// Returns the name on the wire and in verdicts.
    pub fn as_str(self) -> &'static str {
        match self {
            VerdictStatus::Pass => "pass",
            VerdictStatus::Deny => "deny",
            VerdictStatus::Review => "review",
        }
    }

    /// Returns the status with this name.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::Pass, Self::Deny, Self::Review];
        all.into_iter().find(|status| status.as_str() == name)
    }
}

/// The verdict of one verifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The axis of the verifier.
    pub axis: String,
    /// What it decided.
    pub status: VerdictStatus,
    /// The evidence of a pass (JSON unless it is text), or the reason of a denial or a review.
    pub detail: String,
}

impl Verdict {
    /// True for a pass.
    pub fn is_pass(&self) -> bool {
        self.status == VerdictStatus::Pass
    }
}

/// The cost of the patch-spawner step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpawnerUsage {
    /// `lua`, `llm` or `subprocess`; empty if no spawner ran.
    pub agent_kind: String,
    /// The model, for a kind that has one.
    pub model: String,
    /// The number of input tokens.
    pub input_tokens: u64,
    /// The number of output tokens.
    pub output_tokens: u64,
    /// The number of calls.
    pub calls: u32,
    /// The duration in milliseconds.
    pub duration_ms: u64,
}

/// The log entry of a decided issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// The issue.
    pub issue_id: IssueId,
    /// Its target.
    pub blueprint_id: BlueprintId,
    /// The head at the time of the decision; `None` if the target was never read.
    pub prev_hash: Option<Version>,
    /// The new version; `None` when rejected.
    pub new_hash: Option<Version>,
    /// The intent of the issue.
    pub intent: String,
    /// The spawner's rationale for its patch.
    pub rationale: String,
    /// The verdict of each axis.
    pub verdicts: Vec<Verdict>,
    /// The cause of a rejection; `None` if applied.
    pub cause: Option<RejectionCause>,
    /// The reasons of a rejection; empty when applied.
    pub reasons: Vec<String>,
    /// The attempt that decided the issue.
    pub attempt: u32,
    /// The RFC 6902 patch that the spawner proposed, also when denied; empty if it proposed none.
    pub patch_json: String,
    /// The time of the decision, Redis time.
    pub ts_ms: u64,
    /// The cost of the spawner.
    pub usage: SpawnerUsage,
    /// The last unusable reply of a model, at most [`MAX_UNUSABLE_REPLY_BYTES`]; empty if every
    /// reply was usable.
    pub unusable_reply: String,
    /// The actor that submitted the issue; `None` in data of releases without actors.
    pub submitted_by: Option<Actor>,
    /// The actor that decided the issue; `None` if its flow alone decided, or nobody reviewed it in
    /// time.
    pub decided_by: Option<Actor>,
    /// The comment of an approval; empty without one.
    pub comment: String,
}

impl LogEntry {
    /// Returns `applied` or `rejected`.
    pub fn status(&self) -> &'static str {
        if self.cause.is_none() {
            "applied"
        } else {
            "rejected"
        }
    }
}

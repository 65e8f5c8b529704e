//! An issue: somebody asks for a change of one Blueprint.

use thiserror::Error;

use crate::domain::trace_parent::TraceParent;
use crate::ids::{BlueprintId, InvalidId, IssueId, Version};

/// Longest intent, in bytes of UTF-8.
pub const MAX_INTENT_BYTES: usize = 64 * 1024;

/// What is wrong with a submission.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidIssue {
    /// An id that is none.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// An intent of no bytes.
    #[error("intent is empty: say in plain words what should change")]
    EmptyIntent,
    /// An intent above the limit.
    #[error("intent has {bytes} bytes; the limit is {MAX_INTENT_BYTES} (64 KiB)")]
    LongIntent {
        /// How long it is.
        bytes: usize,
    },
}

/// On whose authority an issue is submitted, previewed or cancelled.
///
/// The flow of an orbit decides what is verified, so a change of it is a change of the verification itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// Acts on every Blueprint but orbits.
    Submitter,
    /// Acts on every Blueprint.
    Admin,
}

impl Authority {
    /// The name in stored forms and in the arguments of scripts.
    pub fn as_str(self) -> &'static str {
        match self {
            Authority::Submitter => "submitter",
            Authority::Admin => "admin",
        }
    }
}

/// What is submitted: valid by construction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIssue {
    issue_id: IssueId,
    blueprint_id: BlueprintId,
    intent: String,
    retry_of: Option<IssueId>,
    authority: Authority,
    trace: Option<TraceParent>,
}

impl NewIssue {
    /// Checks the parts and keeps them. The authority is that of a submitter.
    ///
    /// # Errors
    /// [`InvalidIssue`] if the intent is empty or above 64 KiB.
    pub fn new(
        issue_id: IssueId,
        blueprint_id: BlueprintId,
        intent: String,
        retry_of: Option<IssueId>,
    ) -> Result<Self, InvalidIssue> {
        match intent.len() {
            0 => Err(InvalidIssue::EmptyIntent),
            bytes if bytes > MAX_INTENT_BYTES => Err(InvalidIssue::LongIntent { bytes }),
            _ => Ok(Self {
                issue_id,
                blueprint_id,
                intent,
                retry_of,
                authority: Authority::Submitter,
                trace: None,
            }),
        }
    }

    /// The same, as a part of a trace. No part of the content: the same submission again may belong to another.
    pub fn with_trace(self, trace: Option<TraceParent>) -> Self {
        Self { trace, ..self }
    }

    /// The same, on this authority. Not part of the content: an issue keeps the authority with which it was
    /// first accepted, whoever submits the same content again.
    pub fn on_authority(self, authority: Authority) -> Self {
        Self { authority, ..self }
    }

    /// On whose authority it is submitted.
    pub fn authority(&self) -> Authority {
        self.authority
    }

    /// The trace that it is a part of.
    pub fn trace(&self) -> Option<&TraceParent> {
        self.trace.as_ref()
    }

    /// The id it is kept under.
    pub fn issue_id(&self) -> &IssueId {
        &self.issue_id
    }

    /// The Blueprint it is to change.
    pub fn blueprint_id(&self) -> &BlueprintId {
        &self.blueprint_id
    }

    /// What should change, in plain words.
    pub fn intent(&self) -> &str {
        &self.intent
    }

    /// The rejected issue that this one tries again.
    pub fn retry_of(&self) -> Option<&IssueId> {
        self.retry_of.as_ref()
    }
}

/// Where an issue stands. Applied and rejected are terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IssueState {
    /// Waits for a worker.
    Pending,
    /// A worker has it.
    InFlight,
    /// Its change is a commit.
    Applied,
    /// It was turned down; the cause says by whom.
    Rejected,
}

impl IssueState {
    /// The name in stored forms and events.
    pub fn as_str(self) -> &'static str {
        match self {
            IssueState::Pending => "pending",
            IssueState::InFlight => "in_flight",
            IssueState::Applied => "applied",
            IssueState::Rejected => "rejected",
        }
    }

    /// The state of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Pending, Self::InFlight, Self::Applied, Self::Rejected]
            .into_iter()
            .find(|s| s.as_str() == name)
    }

    /// True if it never changes again.
    pub fn is_terminal(self) -> bool {
        matches!(self, IssueState::Applied | IssueState::Rejected)
    }
}

/// Why an issue was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectionCause {
    /// A verifier said no.
    Denied,
    /// It could not be decided.
    Failed,
    /// Somebody called it off.
    Cancelled,
}

impl RejectionCause {
    /// The name in stored forms and events.
    pub fn as_str(self) -> &'static str {
        match self {
            RejectionCause::Denied => "denied",
            RejectionCause::Failed => "failed",
            RejectionCause::Cancelled => "cancelled",
        }
    }

    /// The cause of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Denied, Self::Failed, Self::Cancelled]
            .into_iter()
            .find(|c| c.as_str() == name)
    }
}

/// An issue as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Its id.
    pub issue_id: IssueId,
    /// The Blueprint it is to change (the target).
    pub blueprint_id: BlueprintId,
    /// What should change.
    pub intent: String,
    /// Where it stands.
    pub state: IssueState,
    /// Rejected: why. Pending after a fault: the last error. Else empty.
    pub reason: String,
    /// Rejected: the cause.
    pub cause: Option<RejectionCause>,
    /// Applied: the version it made.
    pub new_version: Option<Version>,
    /// How often a worker has claimed it.
    pub attempt: u32,
    /// The worker that has it, or had it last; empty before the first claim.
    pub worker_id: String,
    /// The rejected issue that this one tries again.
    pub retry_of: Option<IssueId>,
    /// When it was accepted, Redis time.
    pub submitted_at_ms: u64,
    /// When it last changed, Redis time.
    pub updated_at_ms: u64,
    /// Rises by one with every change.
    pub revision: u64,
}

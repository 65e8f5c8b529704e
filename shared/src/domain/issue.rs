//! An issue: a request to change one Blueprint.

use thiserror::Error;

use crate::domain::actor::Actor;
use crate::domain::trace_parent::TraceParent;
use crate::ids::{BlueprintId, InvalidId, IssueId, Version};

/// The maximum length of an intent, in bytes of UTF-8.
pub const MAX_INTENT_BYTES: usize = 64 * 1024;

/// An error in a submission.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidIssue {
    /// An invalid id.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// An empty intent.
    #[error("intent is empty: say in plain words what should change")]
    EmptyIntent,
    /// An intent above the limit.
    #[error("intent has {bytes} bytes; the limit is {MAX_INTENT_BYTES} (64 KiB)")]
    LongIntent {
        /// The length of the intent.
        bytes: usize,
    },
}

/// The authority under which an issue is submitted, previewed or cancelled.
///
/// The flow of an orbit decides the verification. So a change of an orbit changes the verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// Can change every Blueprint except orbits.
    Submitter,
    /// Can change every Blueprint.
    Admin,
}

impl Authority {
    /// Returns the name in stored forms and script arguments.
    pub fn as_str(self) -> &'static str {
        match self {
            Authority::Submitter => "submitter",
            Authority::Admin => "admin",
        }
    }
}

/// The caller of a write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name under which the write is recorded.
    pub actor: Actor,
    /// The authority of the call.
    pub authority: Authority,
}

impl From<Authority> for Caller {
    /// Returns an anonymous caller with this authority.
    fn from(authority: Authority) -> Self {
        Caller {
            actor: Actor::anonymous(),
            authority,
        }
    }
}

/// A new issue, valid by construction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewIssue {
    issue_id: IssueId,
    blueprint_id: BlueprintId,
    intent: String,
    retry_of: Option<IssueId>,
    authority: Authority,
    submitted_by: Actor,
    trace: Option<TraceParent>,
}

impl NewIssue {
    /// Creates an issue of an anonymous caller with the authority of a submitter.
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
                submitted_by: Actor::anonymous(),
                trace: None,
            }),
        }
    }

    /// Adds a trace. The trace is not part of the content: a repeated submission can have another
    /// one.
    pub fn with_trace(self, trace: Option<TraceParent>) -> Self {
        Self { trace, ..self }
    }

    /// Sets the authority. It is not part of the content: an issue keeps the authority of its first
    /// acceptance, even if another caller repeats the submission.
    pub fn on_authority(self, authority: Authority) -> Self {
        Self { authority, ..self }
    }

    /// Sets who submits it. As the authority, it is not part of the content: the actor of the first
    /// acceptance stays.
    pub fn submitted_by(self, submitted_by: Actor) -> Self {
        Self {
            submitted_by,
            ..self
        }
    }

    /// Returns the actor of the submission.
    pub fn submitter(&self) -> &Actor {
        &self.submitted_by
    }

    /// Returns the authority of the submission.
    pub fn authority(&self) -> Authority {
        self.authority
    }

    /// Returns the trace of the submission.
    pub fn trace(&self) -> Option<&TraceParent> {
        self.trace.as_ref()
    }

    /// Returns the id of the issue.
    pub fn issue_id(&self) -> &IssueId {
        &self.issue_id
    }

    /// Returns the target.
    pub fn blueprint_id(&self) -> &BlueprintId {
        &self.blueprint_id
    }

    /// Returns the requested change, in plain words.
    pub fn intent(&self) -> &str {
        &self.intent
    }

    /// Returns the rejected issue that this one retries.
    pub fn retry_of(&self) -> Option<&IssueId> {
        self.retry_of.as_ref()
    }
}

/// The state of an issue. Applied and rejected are terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IssueState {
    /// The issue waits for a worker.
    Pending,
    /// A worker holds the issue.
    InFlight,
    /// The change is verified and waits for the decision of a person.
    InReview,
    /// A commit contains the change.
    Applied,
    /// The issue is rejected. The cause has the details.
    Rejected,
}

impl IssueState {
    /// Returns the name in stored forms and events.
    pub fn as_str(self) -> &'static str {
        match self {
            IssueState::Pending => "pending",
            IssueState::InFlight => "in_flight",
            IssueState::InReview => "in_review",
            IssueState::Applied => "applied",
            IssueState::Rejected => "rejected",
        }
    }

    /// Returns the state with this name.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [
            Self::Pending,
            Self::InFlight,
            Self::InReview,
            Self::Applied,
            Self::Rejected,
        ];
        all.into_iter().find(|s| s.as_str() == name)
    }

    /// Returns true if the state is final.
    pub fn is_terminal(self) -> bool {
        matches!(self, IssueState::Applied | IssueState::Rejected)
    }
}

/// The cause of a rejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectionCause {
    /// A verifier denied the change.
    Denied,
    /// No decision was possible.
    Failed,
    /// A caller cancelled the issue.
    Cancelled,
    /// A reviewer declined the change, or nobody reviewed it in time.
    Declined,
}

impl RejectionCause {
    /// Returns the name in stored forms and events.
    pub fn as_str(self) -> &'static str {
        match self {
            RejectionCause::Denied => "denied",
            RejectionCause::Failed => "failed",
            RejectionCause::Cancelled => "cancelled",
            RejectionCause::Declined => "declined",
        }
    }

    /// Returns the cause with this name.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::Denied, Self::Failed, Self::Cancelled, Self::Declined];
        all.into_iter().find(|c| c.as_str() == name)
    }
}

/// An issue in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Its id.
    pub issue_id: IssueId,
    /// The Blueprint to change (the target).
    pub blueprint_id: BlueprintId,
    /// The requested change.
    pub intent: String,
    /// The state.
    pub state: IssueState,
    /// The reason of a rejection, why a person has to decide, or the last error of a pending issue;
    /// otherwise empty.
    pub reason: String,
    /// The cause of a rejection.
    pub cause: Option<RejectionCause>,
    /// The new version of an applied issue.
    pub new_version: Option<Version>,
    /// The number of claims.
    pub attempt: u32,
    /// The worker that holds the issue, or held it last; empty before the first claim.
    pub worker_id: String,
    /// The rejected issue that this one retries.
    pub retry_of: Option<IssueId>,
    /// The actor that submitted it; `None` in data of releases without actors.
    pub submitted_by: Option<Actor>,
    /// The actor that decided it; `None` if it is undecided or its flow alone decided.
    pub decided_by: Option<Actor>,
    /// The time of acceptance, Redis time.
    pub submitted_at_ms: u64,
    /// The time at which it last joined its queue, Redis time: its acceptance, unless an approval
    /// found another head.
    pub joined_at_ms: u64,
    /// The time of the last change, Redis time.
    pub updated_at_ms: u64,
    /// A counter that rises by one with every change.
    pub revision: u64,
}

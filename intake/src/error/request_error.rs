//! Errors of requests.

use std::fmt::Display;
use std::time::Duration;

use shared::domain::actor::Actor;
use shared::domain::channel::MAX_CHANNELS;
use shared::domain::consumer::MAX_CONSUMERS;
use shared::domain::issue::{IssueState, RejectionCause};
use shared::domain::preview::MAX_PREVIEW_BYTES;
use shared::ids::{BlueprintId, ChannelName, IssueId, SettingId, Version};
use shared::store::{MAX_WAITING_PREVIEWS, StoreError};
use thiserror::Error;
use tonic::Status;

use crate::scope::Scope;

/// Largest request, in bytes. The limit of a Blueprint is 1 MiB. The rest lets a larger Blueprint
/// arrive, so that its error names the field.
pub(crate) const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;

/// Why a request is refused.
#[derive(Debug, Error)]
pub(crate) enum RequestError {
    /// Invalid fields.
    #[error("{}", .0.iter().map(|v| format!("{}: {}", v.field, v.problem)).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Violation>),
    #[error("intent: {problem}")]
    NotUnderstood { problem: String },
    #[error("there is no issue {0}")]
    IssueNotFound(IssueId),
    #[error(
        "issue {0} was decided and pruned; GetLogEntry of {0} (or `draftsman log {0}`) returns the decision"
    )]
    IssueGone(IssueId),
    #[error("there is no Blueprint {0}; write it with PutBlueprint first")]
    BlueprintNotFound(BlueprintId),
    #[error("Blueprint {0} does not exist, or has no such version; ListCommits lists its versions")]
    VersionNotFound(BlueprintId),
    #[error(
        "{field}: Blueprint {blueprint_id} has no version {version}; ListCommits lists its versions"
    )]
    NoSuchVersion {
        blueprint_id: BlueprintId,
        version: Version,
        field: &'static str,
    },
    #[error("Blueprint {blueprint_id} has no channel {channel}; ListChannels shows what there is")]
    ChannelNotFound {
        blueprint_id: BlueprintId,
        channel: ChannelName,
    },
    #[error(
        "the revision of channel {channel} of Blueprint {blueprint_id} is {actual}, not the expected_revision"
    )]
    ChannelMoved {
        blueprint_id: BlueprintId,
        channel: ChannelName,
        actual: u64,
    },
    #[error(
        "the history of Blueprint {blueprint_id} does not have version {version}; ListCommits shows what there is"
    )]
    VersionNotInHistory {
        blueprint_id: BlueprintId,
        version: Version,
    },
    #[error(
        "Blueprint {0} has {MAX_CHANNELS} channels, and no more are accepted; delete one with DeleteChannel first"
    )]
    TooManyChannels(BlueprintId),
    #[error(
        "channel {channel} of Blueprint {blueprint_id} selects the orbit of the setting {}; change its selector first",
        .settings.join(", ")
    )]
    ChannelInUse {
        blueprint_id: BlueprintId,
        channel: ChannelName,
        settings: Vec<String>,
    },
    #[error(
        "channel {channel} of Blueprint {blueprint_id} selects the orbit of a setting, and the version would not run: {problem}"
    )]
    ChannelNotRunnable {
        blueprint_id: BlueprintId,
        channel: ChannelName,
        problem: String,
    },
    #[error(
        "Blueprint {0} has {MAX_CONSUMERS} consumers with a report, and no more are accepted until some are forgotten"
    )]
    TooManyConsumers(BlueprintId),
    #[error("Blueprint {0} exists already; a history can only be imported as a new Blueprint")]
    BlueprintExists(BlueprintId),
    #[error("the import was idle for too long; start it again")]
    ImportExpired,
    #[error("the request stream was interrupted: {}", .0.message())]
    StreamBroken(Box<Status>),
    #[error(
        "the answer has {bytes} bytes; the limit is {limit} (3 MiB); read both versions with GetBlueprint instead"
    )]
    AnswerTooLarge { bytes: usize, limit: usize },
    #[error(
        "Blueprint {blueprint_id} is {}: its flow decides what is verified, so only a token of scope admin acts on it",
        .setting_id.as_ref().map_or("a bundled orbit".to_owned(), |id| format!("the orbit of the setting {id}"))
    )]
    OrbitNeedsAdmin {
        blueprint_id: BlueprintId,
        setting_id: Option<SettingId>,
    },
    /// A decided issue whose target became an orbit.
    #[error("{reason}")]
    BecameOrbit {
        blueprint_id: BlueprintId,
        reason: String,
    },
    #[error("Blueprint {blueprint_id} is the orbit of the setting {}; choose another orbit for it first", .settings.join(", "))]
    OrbitInUse {
        blueprint_id: BlueprintId,
        settings: Vec<String>,
    },
    #[error("there is no setting {0}; ListSettings lists the settings")]
    SettingNotFound(SettingId),
    #[error("there is no log entry of issue {0}: it does not exist or is not decided yet")]
    LogEntryNotFound(IssueId),
    #[error("issue {0} exists with other content; choose another issue_id")]
    IssueTaken(IssueId),
    #[error("issue {0} was decided and pruned; its log entry remains; choose another issue_id")]
    IssuePruned(IssueId),
    #[error("issue {issue_id} is {} already and cannot be cancelled", .state.as_str())]
    IssueDecided {
        issue_id: IssueId,
        state: IssueState,
    },
    #[error("issue {issue_id} is {} already, so there is nothing to review", decided(*.state, *.cause))]
    ReviewDecided {
        issue_id: IssueId,
        state: IssueState,
        cause: Option<RejectionCause>,
    },
    #[error(
        "issue {issue_id} is {} and not in review; WatchIssue tells when it is", .state.as_str().replace('_', " ")
    )]
    IssueNotInReview {
        issue_id: IssueId,
        state: IssueState,
    },
    #[error("nobody reviewed issue {0} in time, so it is declined; RetryIssue submits it again")]
    ProposalExpired(IssueId),
    #[error(
        "the head of Blueprint {blueprint_id} has moved from the base of the proposal, so nothing was committed; the \
         change is verified on the new head and returns as a new proposal, which GetProposal returns"
    )]
    ProposalBaseMoved {
        issue_id: IssueId,
        blueprint_id: BlueprintId,
    },
    #[error(
        "issue {issue_id} proposes version {new_version} on the base {base_version}, not the versions of this call, so \
         nothing was committed; read it with GetProposal"
    )]
    ProposalChanged {
        issue_id: IssueId,
        new_version: Version,
        base_version: Version,
    },
    #[error(
        "{actor} submitted issue {issue_id} and cannot approve it; another actor of scope review can, or the setting \
         allows it with allow_self_review"
    )]
    SelfReview { issue_id: IssueId, actor: Actor },
    #[error(
        "issue {issue_id} is {}; only a rejected issue can be retried", .state.as_str().replace('_', " ")
    )]
    IssueNotRejected {
        issue_id: IssueId,
        state: IssueState,
    },
    #[error("Blueprint {0} is archived; unarchive it first")]
    BlueprintArchived(BlueprintId),
    #[error("the head of Blueprint {blueprint_id} is {}, not the expected_head", .actual.as_ref().map_or("absent", Version::as_str))]
    HeadMoved {
        blueprint_id: BlueprintId,
        actual: Option<Version>,
    },
    #[error("the revision of setting {setting_id} is {actual}, not the expected_revision")]
    RevisionMoved { setting_id: SettingId, actual: u64 },
    #[error("Blueprint {blueprint_id} is the orbit of a setting and would not run: {problem}")]
    NotRunnable {
        blueprint_id: BlueprintId,
        problem: String,
    },
    #[error("the orbit {0} does not exist; write it first or send it as orbit_document")]
    OrbitNotFound(BlueprintId),
    #[error("the orbit {0} is archived; unarchive it, or name another as setting.blueprint_id")]
    OrbitArchived(BlueprintId),
    #[error("{problem}; ListCommits lists the versions; or send one as orbit_document")]
    OrbitVersionNotFound {
        blueprint_id: BlueprintId,
        problem: String,
    },
    #[error("the setting is not usable: {field}: {problem}")]
    SettingNotRunnable {
        field: &'static str,
        blueprint_id: BlueprintId,
        problem: String,
    },
    #[error(
        "no script is known for {}; known axes are {}; a running worker whose DRAFTSMAN_LUA_DIR has \
         verifiers/<axis>.lua makes an axis known", .unknown.join(", "), .known.join(", ")
    )]
    UnknownAxes {
        unknown: Vec<String>,
        known: Vec<String>,
    },
    #[error("the setting default cannot be deleted; edit it, or set DRAFTSMAN_SETTING to another")]
    DefaultSetting,
    #[error(
        "Redis uses {used} of {max} bytes, so new issues and previews are refused; wait for workers or raise maxmemory"
    )]
    MemoryFull { used: u64, max: u64 },
    #[error(
        "Redis was unavailable for too long; it is safe to repeat the call with the id {issue_id}"
    )]
    SubmitUndecided {
        issue_id: IssueId,
        executed: Executed,
        source: Option<StoreError>,
    },
    #[error("no worker is running; start one and try again")]
    NoWorker,
    #[error("{reason}")]
    PreviewFailed { reason: String },
    #[error("the preview failed with a temporary error: {problem}")]
    PreviewFault {
        problem: String,
        retry_after: Option<Duration>,
    },
    #[error(
        "no worker has answered the preview within {} s; try again, or look at the workers' logs", .waited.as_secs()
    )]
    PreviewLate { waited: Duration },
    #[error(
        "the preview has {bytes} bytes; the limit is {MAX_PREVIEW_BYTES} (3 MiB); submit the issue and read its commit"
    )]
    PreviewTooLarge { bytes: usize },
    #[error(
        "{MAX_WAITING_PREVIEWS} previews wait for a worker, and no more are accepted; try again, or start more workers"
    )]
    TooManyPreviews,
    #[error("Redis is unavailable or not ready yet; try again")]
    NotReady,
    #[error("this server is shutting down; connect again")]
    ShuttingDown,
    #[error("this server requires a token: send `authorization: Bearer <token>`")]
    NoToken,
    #[error("the token is unknown to this server")]
    UnknownToken,
    #[error("this call needs a token of scope {}, and this one has {}", .needed.as_str(), .scope.as_str())]
    ScopeTooNarrow { needed: Scope, scope: Scope },
    #[error("the call exceeded its time limit; it is unknown whether it was executed")]
    TooSlow,
    #[error("the request is larger than {MAX_REQUEST_BYTES} bytes")]
    TooLarge,
    #[error(
        "{max} watches are open through this server, which is its limit; try another server, or poll with GetIssue or GetBlueprint"
    )]
    TooManyWatchers { max: usize },
    #[error(
        "the watch ended after its maximum duration of {} s; watch again", .lived.as_secs()
    )]
    WatchOver { lived: Duration },
    #[error(transparent)]
    Store(#[from] StoreError),
    /// As [`RequestError::Store`], after a part of the request was written.
    #[error(
        "{0}; a part of the request was written; read the current state and send the request again"
    )]
    StoreHalfway(#[source] StoreError),
}

/// Describes a decision: the cause of a rejection, else the state.
fn decided(state: IssueState, cause: Option<RejectionCause>) -> &'static str {
    cause.map_or(state.as_str(), RejectionCause::as_str)
}

/// An invalid field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The path of the field in the request, e.g. `setting.ttl_secs`.
    pub(crate) field: String,
    /// The problem, with the limit.
    pub(crate) problem: String,
}

/// Whether an unconfirmed write was executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Executed {
    /// It was certainly not executed.
    No,
    /// Unknown. A read, or the same call again, shows it.
    Unknown,
}

impl Executed {
    /// Returns the value of the metadata `executed`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Executed::No => "no",
            Executed::Unknown => "unknown",
        }
    }
}

impl RequestError {
    /// Creates the error of one invalid field.
    pub(crate) fn field(field: impl Into<String>, problem: impl Display) -> Self {
        Self::Invalid(vec![Violation {
            field: field.into(),
            problem: problem.to_string(),
        }])
    }

    /// Returns whether a write that ended with this error may have been executed. `None` if the
    /// error itself means that the write was refused. A read that failed before the write also
    /// counts as unknown, which is always safe.
    pub(crate) fn executed(&self) -> Option<Executed> {
        match self {
            Self::NotReady => Some(Executed::No),
            Self::Store(store) if store.certainly_not_executed() => Some(Executed::No),
            Self::Store(_) | Self::StoreHalfway(_) | Self::ShuttingDown => Some(Executed::Unknown),
            _ => None,
        }
    }
}

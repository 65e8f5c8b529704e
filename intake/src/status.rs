//! What can go wrong with a request, and the only place that says which gRPC status that is.
//!
//! Every refusal carries `google.rpc` details: an `ErrorInfo` with a reason that clients may
//! match on (domain `draftsman`), a `BadRequest` with the fields at fault, and a `RetryInfo`
//! where the same request may succeed later.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Display;
use std::time::Duration;

use shared::error::ErrorKind;
use shared::ids::{BlueprintId, IssueId, SettingId, Version};
use shared::issue::IssueState;
use shared::preview::MAX_PREVIEW_BYTES;
use shared::store::{MAX_WAITING_PREVIEWS, StoreError};
use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::tokens::Scope;

/// The domain of every `ErrorInfo`.
const DOMAIN: &str = "draftsman";
/// Largest request: a Blueprint of 1 MiB with room to be told that a larger one is too large.
pub(crate) const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;
/// Details travel in HTTP/2 trailers, of which common clients take 8 KiB; base64 takes a third.
const MAX_TEXT_BYTES: usize = 1024;
const MAX_VIOLATIONS: usize = 8;

/// Why a request is refused.
#[derive(Debug, Error)]
pub(crate) enum RequestError {
    /// Fields that cannot be used.
    #[error("{}", .0.iter().map(|v| format!("{}: {}", v.field, v.problem)).collect::<Vec<_>>().join("; "))]
    Invalid(Vec<Violation>),
    #[error("there is no issue {0}")]
    IssueNotFound(IssueId),
    #[error(
        "issue {0} was decided and pruned; GetLogEntry of {0} (or `draftsman log {0}`) tells how"
    )]
    IssueGone(IssueId),
    #[error("there is no Blueprint {0}; write it with PutBlueprint first")]
    BlueprintNotFound(BlueprintId),
    #[error(
        "Blueprint {0} does not exist, or has no such version; ListCommits shows what there is"
    )]
    VersionNotFound(BlueprintId),
    #[error(
        "{field}: Blueprint {blueprint_id} has no version {version}; ListCommits shows what there is"
    )]
    NoSuchVersion {
        blueprint_id: BlueprintId,
        version: Version,
        field: &'static str,
    },
    #[error("there is a Blueprint {0} already; a history is imported where there is none")]
    BlueprintExists(BlueprintId),
    #[error("the import stood still for too long; begin it again")]
    ImportExpired,
    #[error("the stream of requests broke off: {}", .0.message())]
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
    #[error("Blueprint {blueprint_id} is the orbit of the setting {}; let it name another one first", .settings.join(", "))]
    OrbitInUse {
        blueprint_id: BlueprintId,
        settings: Vec<String>,
    },
    #[error("there is no setting {0}; ListSettings shows what there is")]
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
    #[error(
        "there is no Blueprint {0} to be the orbit; write it first or send it as orbit_document"
    )]
    OrbitNotFound(BlueprintId),
    #[error("the orbit {0} is archived; unarchive it, or name another as setting.blueprint_id")]
    OrbitArchived(BlueprintId),
    #[error("{problem}; ListCommits shows what there is, or send the version as orbit_document")]
    OrbitVersionNotFound {
        blueprint_id: BlueprintId,
        problem: String,
    },
    #[error("the setting cannot be worked by: {field}: {problem}")]
    SettingNotRunnable {
        field: &'static str,
        blueprint_id: BlueprintId,
        problem: String,
    },
    #[error(
        "no script is known for {}: there are {}; a running worker whose DRAFTSMAN_LUA_DIR has \
         verifiers/<axis>.lua makes an axis known", .unknown.join(", "), .known.join(", ")
    )]
    UnknownAxes {
        unknown: Vec<String>,
        known: Vec<String>,
    },
    #[error("the setting default cannot be deleted; edit it, or set DRAFTSMAN_SETTING to another")]
    DefaultSetting,
    #[error(
        "Redis uses {used} of {max} bytes and takes no new issues and previews; wait for workers or raise maxmemory"
    )]
    MemoryFull { used: u64, max: u64 },
    #[error("Redis was away for too long; repeat the call with the id {issue_id}, that is safe")]
    SubmitUndecided {
        issue_id: IssueId,
        executed: Executed,
        source: Option<StoreError>,
    },
    #[error("no worker is there to run the flow; start one and try again")]
    NoWorker,
    #[error("{reason}")]
    PreviewFailed { reason: String },
    #[error("the preview met a fault that may pass: {problem}")]
    PreviewFault {
        problem: String,
        retry_after: Option<Duration>,
    },
    #[error(
        "no worker has answered the preview within {} s; try again, or look at what the workers do", .waited.as_secs()
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
    #[error("Redis is away or not ready yet; try again")]
    NotReady,
    #[error("this server is shutting down; connect again")]
    ShuttingDown,
    #[error("this server wants a token: send `authorization: Bearer <token>`")]
    NoToken,
    #[error("this token is not one that this server knows")]
    UnknownToken,
    #[error("this call needs a token of scope {}, and this one has {}", .needed.as_str(), .scope.as_str())]
    ScopeTooNarrow { needed: Scope, scope: Scope },
    #[error(
        "no answer within the time that a call may take; whether it was carried out is not known"
    )]
    TooSlow,
    #[error("the request is larger than {MAX_REQUEST_BYTES} bytes")]
    TooLarge,
    #[error(
        "{max} issues are watched through this server, and it takes no more; try another one, or ask with GetIssue"
    )]
    TooManyWatchers { max: usize },
    #[error(
        "the issue was watched for {} s, and a watch lasts no longer; watch it again", .lived.as_secs()
    )]
    WatchOver { lived: Duration },
    #[error(transparent)]
    Store(#[from] StoreError),
    /// As [`RequestError::Store`], after a part of the request was carried out already.
    #[error("{0}; a part of the request is written: read what is there and send the request again")]
    StoreHalfway(#[source] StoreError),
}

/// One field that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Its path in the request, e.g. `setting.ttl_secs`.
    pub(crate) field: String,
    /// What is wrong with it, and the limit.
    pub(crate) problem: String,
}

/// Whether a write that could not be confirmed was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Executed {
    /// Certainly not.
    No,
    /// Nobody knows. Looking at what is there, or making the same call again, finds out.
    Unknown,
}

impl Executed {
    /// Its word in the metadata `executed`.
    fn as_str(self) -> &'static str {
        match self {
            Executed::No => "no",
            Executed::Unknown => "unknown",
        }
    }
}

/// The RPCs that change something besides SubmitIssue, which knows for itself. When one of them is answered
/// UNAVAILABLE, the metadata `executed` says whether it may have happened all the same.
const WRITES: [&str; 11] = [
    "CancelIssue",
    "RetryIssue",
    "PauseQueue",
    "ResumeQueue",
    "PutBlueprint",
    "RevertBlueprint",
    "ArchiveBlueprint",
    "UnarchiveBlueprint",
    "ImportBlueprint",
    "PutSetting",
    "DeleteSetting",
];

impl RequestError {
    /// One field that cannot be used.
    pub(crate) fn field(field: impl Into<String>, problem: impl Display) -> Self {
        Self::Invalid(vec![Violation {
            field: field.into(),
            problem: problem.to_string(),
        }])
    }

    /// Whether a write that ended with this may have been carried out; `None` if the error itself says that
    /// it was refused. A read that failed before the write counts as unknown too, which is always safe.
    fn executed(&self) -> Option<Executed> {
        match self {
            Self::NotReady => Some(Executed::No),
            Self::Store(store) if store.certainly_not_executed() => Some(Executed::No),
            Self::Store(_) | Self::StoreHalfway(_) | Self::ShuttingDown => Some(Executed::Unknown),
            _ => None,
        }
    }
}

/// Collects the fields that cannot be used, so that a caller reads about all of them at once.
#[derive(Debug, Default)]
pub(crate) struct Violations(Vec<Violation>);

impl Violations {
    /// Nothing was noted.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value, or `None` after noting what is wrong with it.
    pub(crate) fn check<T, E: Display>(&mut self, field: &str, parsed: Result<T, E>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(problem) => {
                self.0.push(Violation {
                    field: field.to_owned(),
                    problem: problem.to_string(),
                });
                None
            }
        }
    }

    /// As [`Violations::check`], for a parser that names the field itself. An error that is about
    /// no field counts as one about the whole request.
    pub(crate) fn merge<T>(&mut self, parsed: Result<T, RequestError>) -> Option<T> {
        match parsed {
            Ok(value) => Some(value),
            Err(RequestError::Invalid(violations)) => {
                self.0.extend(violations);
                None
            }
            Err(other) => self.check("", Err(other)),
        }
    }
}

impl From<Violations> for RequestError {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations.0)
    }
}

/// The status for `error`. Defects are logged here, once; an outage is logged by `readiness.rs`.
pub(crate) fn refuse(rpc: &'static str, error: RequestError) -> Status {
    let status = if WRITES.contains(&rpc) {
        let executed = error.executed();
        error.into_status(executed)
    } else {
        error.into_status(None)
    };
    match status.code() {
        Code::Internal => {
            let cause = status.source().map(chain).unwrap_or_default();
            tracing::error!(rpc, answer = status.message(), cause, "request failed");
        }
        // Not the message: it may quote what a person wrote.
        code => {
            let info = status.get_details_error_info();
            let reason = info.map(|info| info.reason).unwrap_or_default();
            tracing::debug!(rpc, ?code, reason, "request refused");
        }
    }
    status
}

/// An error and its sources, outermost first.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut texts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        texts.push(cause.to_string());
        next = cause.source();
    }
    texts.join(": ")
}

/// What a client is told besides the message.
struct Answer {
    code: Code,
    reason: &'static str,
    retry_after: Option<Duration>,
    metadata: Vec<(&'static str, String)>,
    violations: Vec<Violation>,
}

impl Answer {
    fn new(code: Code, reason: &'static str) -> Self {
        Self {
            code,
            reason,
            retry_after: None,
            metadata: Vec::new(),
            violations: Vec::new(),
        }
    }

    fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    fn with(mut self, key: &'static str, value: impl Display) -> Self {
        self.metadata.push((key, value.to_string()));
        self
    }

    fn field(mut self, field: &str, problem: impl Display) -> Self {
        self.violations.push(Violation {
            field: field.to_owned(),
            problem: problem.to_string(),
        });
        self
    }
}

const SOON: Duration = Duration::from_secs(1);
const LATER: Duration = Duration::from_secs(5);

fn answer(error: &RequestError) -> Answer {
    use RequestError as E;
    match error {
        E::Invalid(violations) => {
            let mut answer = Answer::new(Code::InvalidArgument, "INVALID_FIELD");
            answer.violations.clone_from(violations);
            answer
        }
        E::IssueNotFound(id) => Answer::new(Code::NotFound, "ISSUE_NOT_FOUND").with("issue_id", id),
        E::IssueGone(id) => Answer::new(Code::NotFound, "ISSUE_PRUNED").with("issue_id", id),
        E::BlueprintNotFound(id) => {
            Answer::new(Code::NotFound, "BLUEPRINT_NOT_FOUND").with("blueprint_id", id)
        }
        E::VersionNotFound(id) => {
            Answer::new(Code::NotFound, "VERSION_NOT_FOUND").with("blueprint_id", id)
        }
        E::NoSuchVersion {
            blueprint_id,
            version,
            field,
        } => Answer::new(Code::NotFound, "VERSION_NOT_FOUND")
            .with("blueprint_id", blueprint_id)
            .with("version", version)
            .with("field", field)
            .field(field, error),
        E::BlueprintExists(id) => {
            Answer::new(Code::AlreadyExists, "BLUEPRINT_EXISTS").with("blueprint_id", id)
        }
        E::ImportExpired => Answer::new(Code::Aborted, "IMPORT_EXPIRED"),
        E::StreamBroken(status) => Answer::new(status.code(), "STREAM_BROKEN"),
        E::AnswerTooLarge { bytes, limit } => {
            Answer::new(Code::FailedPrecondition, "ANSWER_TOO_LARGE")
                .with("bytes", bytes)
                .with("limit", limit)
        }
        E::OrbitNeedsAdmin {
            blueprint_id,
            setting_id,
        } => {
            let answer = Answer::new(Code::PermissionDenied, "ORBIT_NEEDS_ADMIN")
                .with("blueprint_id", blueprint_id);
            match setting_id {
                Some(setting_id) => answer.with("setting_id", setting_id),
                None => answer,
            }
        }
        E::OrbitInUse {
            blueprint_id,
            settings,
        } => Answer::new(Code::FailedPrecondition, "ORBIT_IN_USE")
            .with("blueprint_id", blueprint_id)
            .with("setting_ids", settings.join(",")),
        E::SettingNotFound(id) => {
            Answer::new(Code::NotFound, "SETTING_NOT_FOUND").with("setting_id", id)
        }
        E::LogEntryNotFound(id) => {
            Answer::new(Code::NotFound, "LOG_ENTRY_NOT_FOUND").with("issue_id", id)
        }
        E::IssueTaken(id) => {
            Answer::new(Code::AlreadyExists, "ISSUE_ID_TAKEN").with("issue_id", id)
        }
        E::IssuePruned(id) => {
            Answer::new(Code::AlreadyExists, "ISSUE_ID_TAKEN").with("issue_id", id)
        }
        E::IssueDecided { issue_id, state } => {
            Answer::new(Code::FailedPrecondition, "ISSUE_DECIDED")
                .with("issue_id", issue_id)
                .with("state", state.as_str())
        }
        E::IssueNotRejected { issue_id, state } => {
            Answer::new(Code::FailedPrecondition, "ISSUE_NOT_REJECTED")
                .with("issue_id", issue_id)
                .with("state", state.as_str())
        }
        E::BlueprintArchived(id) => {
            Answer::new(Code::FailedPrecondition, "BLUEPRINT_ARCHIVED").with("blueprint_id", id)
        }
        E::HeadMoved {
            blueprint_id,
            actual,
        } => Answer::new(Code::Aborted, "HEAD_MOVED")
            .with("blueprint_id", blueprint_id)
            .with("actual_head", actual.as_ref().map_or("", Version::as_str)),
        E::RevisionMoved { setting_id, actual } => Answer::new(Code::Aborted, "REVISION_MOVED")
            .with("setting_id", setting_id)
            .with("actual_revision", actual),
        E::NotRunnable {
            blueprint_id,
            problem,
        } => Answer::new(Code::FailedPrecondition, "ORBIT_NOT_RUNNABLE")
            .with("blueprint_id", blueprint_id)
            .field("document", problem),
        E::OrbitNotFound(id) => Answer::new(Code::FailedPrecondition, "ORBIT_NOT_FOUND")
            .with("blueprint_id", id)
            .field("setting.blueprint_id", error),
        E::OrbitArchived(id) => Answer::new(Code::FailedPrecondition, "ORBIT_ARCHIVED")
            .with("blueprint_id", id)
            .field("setting.blueprint_id", error),
        E::OrbitVersionNotFound { blueprint_id, .. } => {
            Answer::new(Code::FailedPrecondition, "ORBIT_VERSION_NOT_FOUND")
                .with("blueprint_id", blueprint_id)
                .field("setting.selector", error)
        }
        E::SettingNotRunnable {
            field,
            blueprint_id,
            problem,
        } => Answer::new(Code::FailedPrecondition, "ORBIT_NOT_RUNNABLE")
            .with("blueprint_id", blueprint_id)
            .field(field, problem),
        E::UnknownAxes { unknown, .. } => Answer::new(Code::FailedPrecondition, "AXIS_UNKNOWN")
            .with("axes", cut(&unknown.join(",")))
            .field("setting.verifier_axes", error),
        E::DefaultSetting => {
            Answer::new(Code::FailedPrecondition, "SETTING_DEFAULT").field("setting_id", error)
        }
        E::MemoryFull { .. } => {
            Answer::new(Code::ResourceExhausted, "MEMORY_FULL").retry_after(LATER)
        }
        E::SubmitUndecided {
            issue_id, executed, ..
        } => Answer::new(Code::Unavailable, "STORE_UNAVAILABLE")
            .retry_after(SOON)
            .with("issue_id", issue_id)
            .with("executed", executed.as_str()),
        E::NoWorker => Answer::new(Code::Unavailable, "NO_WORKER").retry_after(LATER),
        E::PreviewFailed { .. } => Answer::new(Code::FailedPrecondition, "PREVIEW_FAILED"),
        E::PreviewFault { retry_after, .. } => {
            Answer::new(Code::Unavailable, "PREVIEW_INTERRUPTED")
                .retry_after(retry_after.unwrap_or(SOON))
        }
        E::PreviewLate { .. } => Answer::new(Code::DeadlineExceeded, "PREVIEW_LATE"),
        E::PreviewTooLarge { bytes } => {
            Answer::new(Code::FailedPrecondition, "ANSWER_TOO_LARGE").with("bytes", bytes)
        }
        E::TooManyPreviews => {
            Answer::new(Code::ResourceExhausted, "TOO_MANY_PREVIEWS").retry_after(LATER)
        }
        E::NotReady => Answer::new(Code::Unavailable, "STORE_UNAVAILABLE").retry_after(SOON),
        E::ShuttingDown => Answer::new(Code::Unavailable, "SHUTTING_DOWN").retry_after(SOON),
        E::WatchOver { .. } => {
            Answer::new(Code::Unavailable, "WATCH_OVER").retry_after(Duration::ZERO)
        }
        E::NoToken => Answer::new(Code::Unauthenticated, "TOKEN_MISSING"),
        E::UnknownToken => Answer::new(Code::Unauthenticated, "TOKEN_UNKNOWN"),
        E::ScopeTooNarrow { needed, scope } => {
            Answer::new(Code::PermissionDenied, "SCOPE_TOO_NARROW")
                .with("needed", needed.as_str())
                .with("scope", scope.as_str())
        }
        E::TooSlow => Answer::new(Code::DeadlineExceeded, "TOO_SLOW"),
        E::TooLarge => Answer::new(Code::InvalidArgument, "REQUEST_TOO_LARGE")
            .with("limit_bytes", MAX_REQUEST_BYTES),
        E::TooManyWatchers { max } => Answer::new(Code::ResourceExhausted, "TOO_MANY_WATCHERS")
            .retry_after(LATER)
            .with("max", max),
        E::Store(store) | E::StoreHalfway(store) => store_answer(store),
    }
}

fn store_answer(error: &StoreError) -> Answer {
    let reason = match error {
        StoreError::Cursor(_) => "INVALID_FIELD",
        StoreError::NoMatchingVersion { .. } => "NO_MATCHING_VERSION",
        StoreError::InvalidSemver { .. } => "INVALID_SEMVER",
        StoreError::Damaged { .. } | StoreError::Document { .. } => "STORED_DATA_DAMAGED",
        _ if error.is_retryable() => "STORE_UNAVAILABLE",
        StoreError::Redis { .. }
        | StoreError::Replica { .. }
        | StoreError::NotReplicated { .. }
        | StoreError::Unfit(_)
        | StoreError::Contract { .. }
        | StoreError::Url(_) => "STORE_INTERNAL",
    };
    let code = match error.kind() {
        ErrorKind::InvalidInput => Code::InvalidArgument,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Conflict => Code::Aborted,
        ErrorKind::Precondition => Code::FailedPrecondition,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Internal => Code::Internal,
    };
    let answer = Answer::new(code, reason);
    match error {
        StoreError::Cursor(_) => answer.field("page_token", error),
        _ if code == Code::Unavailable => answer.retry_after(SOON),
        _ => answer,
    }
}

impl From<RequestError> for Status {
    fn from(error: RequestError) -> Self {
        error.into_status(None)
    }
}

impl RequestError {
    /// The status; if it is UNAVAILABLE, with what is known about a write.
    fn into_status(self, executed: Option<Executed>) -> Status {
        let mut answer = answer(&self);
        if let (Code::Unavailable, Some(executed)) = (answer.code, executed) {
            answer = answer.with("executed", executed.as_str());
        }
        let metadata: HashMap<String, String> = answer
            .metadata
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect();
        let mut details = ErrorDetails::new();
        details.set_error_info(answer.reason, DOMAIN, metadata);
        for violation in answer.violations.iter().take(MAX_VIOLATIONS) {
            details.add_bad_request_violation(violation.field.as_str(), cut(&violation.problem));
        }
        if answer.retry_after.is_some() {
            details.set_retry_info(answer.retry_after);
        }
        let mut status = Status::with_error_details(answer.code, cut(&self.to_string()), details);
        if let Self::Store(source)
        | Self::StoreHalfway(source)
        | Self::SubmitUndecided {
            source: Some(source),
            ..
        } = self
        {
            status.set_source(std::sync::Arc::new(source));
        }
        status
    }
}

/// `text`, or as much of it as fits a trailer.
fn cut(text: &str) -> String {
    if text.len() <= MAX_TEXT_BYTES {
        return text.to_owned();
    }
    let end = (0..=MAX_TEXT_BYTES)
        .rev()
        .find(|&end| text.is_char_boundary(end))
        .unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests;

//! Maps each request error to its gRPC status. No other file does.
//!
//! Every error has `google.rpc` details. `ErrorInfo` has the domain `draftsman` and a stable reason
//! that clients may match. `BadRequest` names the invalid fields. `RetryInfo` is present if the
//! same request may succeed later.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Display;
use std::time::Duration;

use shared::domain::issue::RejectionCause;
use shared::error::{ErrorKind, chain};
use shared::ids::Version;
use shared::store::StoreError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::error::request_error::{Executed, MAX_REQUEST_BYTES, RequestError, Violation};
use crate::rpc::{Effect, Rpc};

/// The domain of every `ErrorInfo`.
const DOMAIN: &str = "draftsman";

/// Longest text of a detail, in bytes. Details are HTTP/2 trailers, which common clients limit to 8
/// KiB after base64 has added a third.
const MAX_TEXT_BYTES: usize = 1024;
const MAX_VIOLATIONS: usize = 8;

/// Returns the status of `error`. Logs internal errors once; `readiness.rs` logs outages.
pub(crate) fn refuse(rpc: Rpc, error: RequestError) -> Status {
    let status = if rpc.effect() == Effect::Writes {
        let executed = error.executed();
        error.into_status(executed)
    } else {
        error.into_status(None)
    };
    match status.code() {
        Code::Internal => {
            let cause = status.source().map(chain).unwrap_or_default();
            tracing::error!(
                rpc = rpc.name(),
                answer = status.message(),
                cause,
                "request failed"
            );
        }
        // The message is not logged: it may quote user input.
        code => {
            let info = status.get_details_error_info();
            let reason = info.map(|info| info.reason).unwrap_or_default();
            tracing::debug!(rpc = rpc.name(), ?code, reason, "request refused");
        }
    }
    status
}

/// The status details besides the message.
struct Answer {
    code: Code,
    pub(crate) reason: &'static str,
    pub(crate) retry_after: Option<Duration>,
    metadata: Vec<(&'static str, String)>,
    pub(crate) violations: Vec<Violation>,
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

    pub(crate) fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    fn with(mut self, key: &'static str, value: impl Display) -> Self {
        self.metadata.push((key, value.to_string()));
        self
    }

    pub(crate) fn field(mut self, field: &str, problem: impl Display) -> Self {
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
        E::NotUnderstood { problem } => {
            Answer::new(Code::InvalidArgument, "NOT_UNDERSTOOD").field("intent", problem)
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
        E::ChannelNotFound {
            blueprint_id,
            channel,
        } => Answer::new(Code::NotFound, "CHANNEL_NOT_FOUND")
            .with("blueprint_id", blueprint_id)
            .with("channel", channel),
        E::ChannelMoved {
            blueprint_id,
            channel,
            actual,
        } => Answer::new(Code::Aborted, "CHANNEL_MOVED")
            .with("blueprint_id", blueprint_id)
            .with("channel", channel)
            .with("actual_revision", actual),
        E::VersionNotInHistory {
            blueprint_id,
            version,
        } => Answer::new(Code::FailedPrecondition, "VERSION_NOT_IN_HISTORY")
            .with("blueprint_id", blueprint_id)
            .with("version", version)
            .field("version", error),
        E::TooManyChannels(id) => {
            Answer::new(Code::FailedPrecondition, "TOO_MANY_CHANNELS").with("blueprint_id", id)
        }
        E::ChannelInUse {
            blueprint_id,
            channel,
            settings,
        } => Answer::new(Code::FailedPrecondition, "CHANNEL_IN_USE")
            .with("blueprint_id", blueprint_id)
            .with("channel", channel)
            .with("setting_ids", settings.join(",")),
        E::ChannelNotRunnable {
            blueprint_id,
            channel,
            problem,
        } => Answer::new(Code::FailedPrecondition, "ORBIT_NOT_RUNNABLE")
            .with("blueprint_id", blueprint_id)
            .with("channel", channel)
            .field("version", problem),
        E::TooManyConsumers(id) => Answer::new(Code::ResourceExhausted, "TOO_MANY_CONSUMERS")
            .retry_after(LATER)
            .with("blueprint_id", id),
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
        E::BecameOrbit { blueprint_id, .. } => {
            Answer::new(Code::PermissionDenied, "ORBIT_NEEDS_ADMIN")
                .with("blueprint_id", blueprint_id)
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
        E::ReviewDecided {
            issue_id,
            state,
            cause,
        } => Answer::new(Code::FailedPrecondition, "ISSUE_DECIDED")
            .with("issue_id", issue_id)
            .with("state", state.as_str())
            .with("cause", cause.map_or("", RejectionCause::as_str)),
        E::IssueNotInReview { issue_id, state } => {
            Answer::new(Code::FailedPrecondition, "ISSUE_NOT_IN_REVIEW")
                .with("issue_id", issue_id)
                .with("state", state.as_str())
        }
        E::ProposalExpired(id) => {
            Answer::new(Code::FailedPrecondition, "PROPOSAL_EXPIRED").with("issue_id", id)
        }
        E::ProposalBaseMoved {
            issue_id,
            blueprint_id,
        } => Answer::new(Code::Aborted, "PROPOSAL_STALE")
            .with("issue_id", issue_id)
            .with("blueprint_id", blueprint_id),
        E::ProposalChanged {
            issue_id,
            new_version,
            base_version,
        } => Answer::new(Code::Aborted, "PROPOSAL_STALE")
            .with("issue_id", issue_id)
            .with("new_version", new_version)
            .with("base_version", base_version),
        E::SelfReview { issue_id, actor } => Answer::new(Code::PermissionDenied, "SELF_REVIEW")
            .with("issue_id", issue_id)
            .with("actor", actor),
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
    /// Returns the status. If it is UNAVAILABLE, the metadata has `executed`.
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

/// Returns `text`, cut to [`MAX_TEXT_BYTES`].
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

//! Converts issues, previews and statistics from and to the wire.

use proto::v1;
use shared::domain::issue::{
    InvalidIssue, Issue, IssueState, MAX_INTENT_BYTES, NewIssue, RejectionCause,
};
use shared::domain::preview::Preview;
use shared::domain::progress::{StepProgress, StepStatus};
use shared::ids::{BlueprintId, IssueId};
use shared::store::{QueueStats, WorkerStats};
use shared::whole_ms::whole_ms;

use crate::convert::{blueprint_id, text, timestamp};
use crate::error::request_error::RequestError;
use crate::error::violations::Violations;
use crate::log::convert::verdict_to_wire;

/// Parses a submission. The flag is true if the server generated the id.
pub(crate) fn new_issue(request: v1::SubmitIssueRequest) -> Result<(NewIssue, bool), RequestError> {
    let mut violations = Violations::default();
    let blueprint_id = violations.check("blueprint_id", BlueprintId::parse(&request.blueprint_id));
    let intent = violations.check("intent", intent(request.intent));
    let generated = request.issue_id.is_none();
    // An empty id is invalid, not absent. Otherwise a client with an empty id would get a new issue
    // for each repeated submission.
    let issue_id = match request.issue_id {
        Some(given) => violations.check("issue_id", IssueId::parse(&given)),
        None => Some(IssueId::generate()),
    };
    let (Some(blueprint_id), Some(intent), Some(issue_id)) = (blueprint_id, intent, issue_id)
    else {
        return Err(violations.into());
    };
    let issue = NewIssue::new(issue_id, blueprint_id, intent, None)
        .map_err(|error| RequestError::field("intent", error))?;
    Ok((issue, generated))
}

fn intent(given: String) -> Result<String, InvalidIssue> {
    match given.len() {
        0 => Err(InvalidIssue::EmptyIntent),
        bytes if bytes > MAX_INTENT_BYTES => Err(InvalidIssue::LongIntent { bytes }),
        _ => Ok(given),
    }
}

/// Parses the id of the issue to retry and the id of the new issue.
pub(crate) fn retry(request: &v1::RetryIssueRequest) -> Result<(IssueId, IssueId), RequestError> {
    let mut violations = Violations::default();
    let issue_id = violations.check("issue_id", IssueId::parse(&request.issue_id));
    let new_id = match &request.new_issue_id {
        Some(given) => violations.check("new_issue_id", IssueId::parse(given)),
        None => Some(IssueId::generate()),
    };
    match (issue_id, new_id) {
        (Some(issue_id), Some(new_id)) => Ok((issue_id, new_id)),
        _ => Err(violations.into()),
    }
}

/// Parses the target and the intent of a preview.
pub(crate) fn preview(
    request: v1::PreviewIssueRequest,
) -> Result<(BlueprintId, String), RequestError> {
    let mut violations = Violations::default();
    let blueprint_id = violations.check("blueprint_id", BlueprintId::parse(&request.blueprint_id));
    let intent = violations.check("intent", intent(request.intent));
    match (blueprint_id, intent) {
        (Some(blueprint_id), Some(intent)) => Ok((blueprint_id, intent)),
        _ => Err(violations.into()),
    }
}

/// Parses the field `blueprint_id` of a pause. Absent means all. An empty id is invalid: otherwise
/// a client with an empty id would pause everything.
pub(crate) fn paused_blueprint(given: Option<&str>) -> Result<Option<BlueprintId>, RequestError> {
    given.map(blueprint_id).transpose()
}

/// Parses the field `state` of a filter. Absent or unspecified means any.
pub(crate) fn state_filter(given: Option<i32>) -> Result<Option<IssueState>, RequestError> {
    let Some(number) = given else { return Ok(None) };
    match v1::IssueState::try_from(number) {
        Ok(v1::IssueState::Unspecified) => Ok(None),
        Ok(v1::IssueState::Pending) => Ok(Some(IssueState::Pending)),
        Ok(v1::IssueState::InFlight) => Ok(Some(IssueState::InFlight)),
        Ok(v1::IssueState::InReview) => Ok(Some(IssueState::InReview)),
        Ok(v1::IssueState::Applied) => Ok(Some(IssueState::Applied)),
        Ok(v1::IssueState::Rejected) => Ok(Some(IssueState::Rejected)),
        Err(_) => Err(RequestError::field(
            "state",
            format!("{number} is not a valid IssueState"),
        )),
    }
}

/// Parses the field `cause` of a filter. Absent or unspecified means any.
pub(crate) fn cause_filter(given: Option<i32>) -> Result<Option<RejectionCause>, RequestError> {
    let Some(number) = given else { return Ok(None) };
    match v1::RejectionCause::try_from(number) {
        Ok(v1::RejectionCause::Unspecified) => Ok(None),
        Ok(v1::RejectionCause::Denied) => Ok(Some(RejectionCause::Denied)),
        Ok(v1::RejectionCause::Failed) => Ok(Some(RejectionCause::Failed)),
        Ok(v1::RejectionCause::Cancelled) => Ok(Some(RejectionCause::Cancelled)),
        Ok(v1::RejectionCause::Declined) => Ok(Some(RejectionCause::Declined)),
        Err(_) => Err(RequestError::field(
            "cause",
            format!("{number} is not a valid RejectionCause"),
        )),
    }
}

/// Converts the progress of a step.
pub(crate) fn step_to_wire(step: StepProgress) -> v1::StepProgress {
    let status = match step.status {
        StepStatus::Started => v1::StepStatus::Started,
        StepStatus::Finished => v1::StepStatus::Finished,
        StepStatus::Failed => v1::StepStatus::Failed,
    };
    v1::StepProgress {
        step: step.step,
        axis: step.axis,
        status: status.into(),
        duration_ms: whole_ms(step.duration),
        attempt: step.attempt,
    }
}

/// Converts an issue.
pub(crate) fn issue_to_wire(issue: Issue) -> v1::Issue {
    let state = match issue.state {
        IssueState::Pending => v1::IssueState::Pending,
        IssueState::InFlight => v1::IssueState::InFlight,
        IssueState::InReview => v1::IssueState::InReview,
        IssueState::Applied => v1::IssueState::Applied,
        IssueState::Rejected => v1::IssueState::Rejected,
    };
    let cause = match issue.cause {
        None => v1::RejectionCause::Unspecified,
        Some(RejectionCause::Denied) => v1::RejectionCause::Denied,
        Some(RejectionCause::Failed) => v1::RejectionCause::Failed,
        Some(RejectionCause::Cancelled) => v1::RejectionCause::Cancelled,
        Some(RejectionCause::Declined) => v1::RejectionCause::Declined,
    };
    v1::Issue {
        issue_id: issue.issue_id.to_string(),
        blueprint_id: issue.blueprint_id.to_string(),
        intent: issue.intent,
        state: state.into(),
        reason: issue.reason,
        cause: cause.into(),
        new_version: text(issue.new_version),
        attempt: issue.attempt,
        worker_id: issue.worker_id,
        retry_of: text(issue.retry_of),
        submitted_by: text(issue.submitted_by),
        decided_by: text(issue.decided_by),
        submitted_at: Some(timestamp(issue.submitted_at_ms)),
        updated_at: Some(timestamp(issue.updated_at_ms)),
        revision: issue.revision,
        // Read separately, and only for the responses that have it.
        waiting_for: None,
    }
}

/// Converts the queue statistics.
pub(crate) fn stats_to_wire(stats: QueueStats) -> v1::GetQueueStatsResponse {
    v1::GetQueueStatsResponse {
        warnings: stats.warnings(),
        now: Some(timestamp(stats.now_ms)),
        pending: stats.pending,
        ready: stats.ready,
        delayed: stats.delayed,
        in_flight: stats.in_flight,
        dead: stats.dead,
        oldest_pending_at: stats.oldest_pending_at_ms.map(timestamp),
        paused: stats.paused,
        paused_blueprint_ids: stats
            .paused_blueprint_ids
            .iter()
            .map(BlueprintId::to_string)
            .collect(),
        workers: stats.workers.into_iter().map(worker_to_wire).collect(),
        used_memory: stats.used_memory,
        max_memory: stats.max_memory,
        in_review: stats.in_review,
        oldest_in_review_at: stats.oldest_in_review_at_ms.map(timestamp),
    }
}

/// Converts the outcome of a preview.
pub(crate) fn preview_to_wire(preview: Preview) -> v1::PreviewIssueResponse {
    v1::PreviewIssueResponse {
        would_apply: preview.would_apply,
        json_patch: preview.json_patch,
        unified_diff: preview.unified_diff,
        rationale: preview.rationale,
        verdicts: preview.verdicts.into_iter().map(verdict_to_wire).collect(),
        reasons: preview.reasons,
        needs_review: preview.needs_review,
    }
}

fn worker_to_wire(worker: WorkerStats) -> v1::WorkerStats {
    v1::WorkerStats {
        worker_id: worker.worker_id,
        in_flight: worker.in_flight,
        last_seen: Some(timestamp(worker.last_seen_ms)),
        version: worker.version,
    }
}

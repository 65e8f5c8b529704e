//! Between the wire and the domain, both ways. Requests are checked here, at the door: what
//! leaves this file towards the store is valid by construction, and every wrong field of a
//! request is named at once.

use std::sync::Arc;

use prost_types::value::Kind;
use prost_types::{Struct, Timestamp, Value};
use proto::v1;
use shared::blueprint::{Doc, Num};
use shared::commit::{BlueprintSummary, Commit, Epoch, MAX_RATIONALE_BYTES};
use shared::id_pattern::IdPattern;
use shared::ids::{BlueprintId, IssueId, SettingId, Version};
use shared::issue::{InvalidIssue, Issue, IssueState, MAX_INTENT_BYTES, NewIssue, RejectionCause};
use shared::preview::Preview;
use shared::setting::EnhanceSetting;
use shared::step::{StepProgress, StepStatus};
use shared::store::{ExpectedHead, QueueStats, WorkerStats};
use shared::version_selector::VersionSelector;
use shared::whole_ms::whole_ms;

pub(crate) use self::log::entry_to_wire;
use self::log::verdict_to_wire;
use crate::status::{RequestError, Violations};

pub(crate) use self::setting::setting;

/// Deepest nesting of a spawner: that of a Blueprint.
const MAX_LEVELS: usize = 64;
/// Integers up to here are exact in the doubles of a `google.protobuf.Struct`.
const MAX_EXACT: f64 = 9_007_199_254_740_992.0;

// Requests.

/// A submission, and whether its id was made here.
pub(crate) fn new_issue(request: v1::SubmitIssueRequest) -> Result<(NewIssue, bool), RequestError> {
    let mut violations = Violations::default();
    let blueprint_id = violations.check("blueprint_id", BlueprintId::parse(&request.blueprint_id));
    let intent = violations.check("intent", intent(request.intent));
    let generated = request.issue_id.is_none();
    // Present but empty is refused like any other text that is no id: a client that meant to give
    // one would otherwise lose the safety of submitting again.
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

/// The issue to try again, and the id of the new one.
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

/// The target and the intent of what is to be tried out.
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

/// The field `blueprint_id` of a pause: absent means all. Empty is refused like any other text that
/// is no id: who meant to give one would otherwise pause everything.
pub(crate) fn paused_blueprint(given: Option<&str>) -> Result<Option<BlueprintId>, RequestError> {
    given.map(blueprint_id).transpose()
}

/// The field `issue_id`.
pub(crate) fn issue_id(given: &str) -> Result<IssueId, RequestError> {
    IssueId::parse(given).map_err(|error| RequestError::field("issue_id", error))
}

/// The field `blueprint_id`.
pub(crate) fn blueprint_id(given: &str) -> Result<BlueprintId, RequestError> {
    BlueprintId::parse(given).map_err(|error| RequestError::field("blueprint_id", error))
}

/// The field `setting_id`.
pub(crate) fn setting_id(given: &str) -> Result<SettingId, RequestError> {
    SettingId::parse(given).map_err(|error| RequestError::field("setting_id", error))
}

/// The field `blueprint_id` of a filter: absent or empty means all.
pub(crate) fn blueprint_filter(given: Option<&str>) -> Result<Option<BlueprintId>, RequestError> {
    given
        .filter(|id| !id.is_empty())
        .map(blueprint_id)
        .transpose()
}

/// The field `state` of a filter: absent or unspecified means any.
pub(crate) fn state_filter(given: Option<i32>) -> Result<Option<IssueState>, RequestError> {
    let Some(number) = given else { return Ok(None) };
    match v1::IssueState::try_from(number) {
        Ok(v1::IssueState::Unspecified) => Ok(None),
        Ok(v1::IssueState::Pending) => Ok(Some(IssueState::Pending)),
        Ok(v1::IssueState::InFlight) => Ok(Some(IssueState::InFlight)),
        Ok(v1::IssueState::Applied) => Ok(Some(IssueState::Applied)),
        Ok(v1::IssueState::Rejected) => Ok(Some(IssueState::Rejected)),
        Err(_) => Err(RequestError::field(
            "state",
            format!("{number} is no IssueState"),
        )),
    }
}

/// The field `cause` of a filter: absent or unspecified means any.
pub(crate) fn cause_filter(given: Option<i32>) -> Result<Option<RejectionCause>, RequestError> {
    let Some(number) = given else { return Ok(None) };
    match v1::RejectionCause::try_from(number) {
        Ok(v1::RejectionCause::Unspecified) => Ok(None),
        Ok(v1::RejectionCause::Denied) => Ok(Some(RejectionCause::Denied)),
        Ok(v1::RejectionCause::Failed) => Ok(Some(RejectionCause::Failed)),
        Ok(v1::RejectionCause::Cancelled) => Ok(Some(RejectionCause::Cancelled)),
        Err(_) => Err(RequestError::field(
            "cause",
            format!("{number} is no RejectionCause"),
        )),
    }
}

/// The field `expected_head`: absent means any, empty that there must be none.
pub(crate) fn expected_head(given: Option<&str>) -> Result<ExpectedHead, String> {
    match given {
        None => Ok(ExpectedHead::Any),
        Some("") => Ok(ExpectedHead::Absent),
        Some(version) => Version::parse(version)
            .map(ExpectedHead::At)
            .map_err(|error| error.to_string()),
    }
}

/// The field `rationale`: absent means none.
pub(crate) fn rationale(given: Option<String>) -> Result<String, String> {
    let text = given.unwrap_or_default();
    if text.len() > MAX_RATIONALE_BYTES {
        return Err(format!(
            "has {} bytes; the limit is {MAX_RATIONALE_BYTES} (64 KiB)",
            text.len()
        ));
    }
    Ok(text)
}

/// A version selector in the field `field`: absent or without a choice means latest.
pub(crate) fn selector(
    field: &str,
    given: Option<&v1::VersionSelector>,
) -> Result<VersionSelector, RequestError> {
    use v1::version_selector::Selector;
    match given.and_then(|selector| selector.selector.as_ref()) {
        None | Some(Selector::Latest(true)) => Ok(VersionSelector::Latest),
        Some(Selector::Latest(false)) => Err(RequestError::field(
            format!("{field}.latest"),
            "is false, which chooses nothing; set it to true, or choose fixed or semver_req",
        )),
        Some(Selector::Fixed(version)) => Version::parse(version)
            .map(VersionSelector::Fixed)
            .map_err(|error| RequestError::field(format!("{field}.fixed"), error)),
        Some(Selector::SemverReq(requirement)) => semver_req(requirement)
            .map_err(|problem| RequestError::field(format!("{field}.semver_req"), problem)),
    }
}

fn semver_req(text: &str) -> Result<VersionSelector, String> {
    let shown: String = text.chars().take(80).collect();
    text.parse()
        .map(VersionSelector::SemverReq)
        .map_err(|error| {
            format!("{shown:?} is no semver requirement such as ^1.2 or >=1.0, <2.0: {error}")
        })
}

fn struct_to_doc(spawner: Struct) -> Result<Doc, String> {
    value_to_doc(
        Value {
            kind: Some(Kind::StructValue(spawner)),
        },
        "",
        1,
    )
}

fn value_to_doc(value: Value, pointer: &str, level: usize) -> Result<Doc, String> {
    if level > MAX_LEVELS && matches!(value.kind, Some(Kind::StructValue(_) | Kind::ListValue(_))) {
        return Err(format!("is nested deeper than {MAX_LEVELS} levels"));
    }
    match value.kind {
        None => Err(format!("the value at {pointer:?} has no kind")),
        Some(Kind::NullValue(_)) => Ok(Doc::Null),
        Some(Kind::BoolValue(bool)) => Ok(Doc::Bool(bool)),
        Some(Kind::StringValue(text)) => Ok(Doc::from(text)),
        Some(Kind::NumberValue(number)) => number_to_doc(number, pointer),
        Some(Kind::ListValue(list)) => {
            let items = list.values.into_iter().enumerate();
            items
                .map(|(index, item)| value_to_doc(item, &format!("{pointer}/{index}"), level + 1))
                .collect::<Result<_, _>>()
                .map(Doc::array)
        }
        Some(Kind::StructValue(object)) => object
            .fields
            .into_iter()
            .map(|(key, value)| {
                let doc = value_to_doc(value, &format!("{pointer}/{key}"), level + 1)?;
                Ok((key, doc))
            })
            .collect::<Result<Vec<_>, String>>()
            .map(Doc::object),
    }
}

fn number_to_doc(number: f64, pointer: &str) -> Result<Doc, String> {
    if !number.is_finite() {
        return Err(format!("the number at {pointer:?} is not finite"));
    }
    if number.fract() != 0.0 {
        return Ok(Doc::Num(Num::Float(number)));
    }
    if number.abs() > MAX_EXACT {
        return Err(format!(
            "the integer at {pointer:?} is outside -2^53 to 2^53 and not exact here; send it as text"
        ));
    }
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a whole number within 2^53"
    )]
    Ok(Doc::from(number as i64))
}

// Answers.

/// Milliseconds since the Unix epoch as a timestamp.
pub(crate) fn timestamp(ms: u64) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(ms / 1_000).unwrap_or(i64::MAX),
        nanos: i32::try_from(ms % 1_000).unwrap_or(0) * 1_000_000,
    }
}

/// What a step has done, as a watcher that asked for steps is told.
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

/// An issue.
pub(crate) fn issue_to_wire(issue: Issue) -> v1::Issue {
    let state = match issue.state {
        IssueState::Pending => v1::IssueState::Pending,
        IssueState::InFlight => v1::IssueState::InFlight,
        IssueState::Applied => v1::IssueState::Applied,
        IssueState::Rejected => v1::IssueState::Rejected,
    };
    let cause = match issue.cause {
        None => v1::RejectionCause::Unspecified,
        Some(RejectionCause::Denied) => v1::RejectionCause::Denied,
        Some(RejectionCause::Failed) => v1::RejectionCause::Failed,
        Some(RejectionCause::Cancelled) => v1::RejectionCause::Cancelled,
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
        submitted_at: Some(timestamp(issue.submitted_at_ms)),
        updated_at: Some(timestamp(issue.updated_at_ms)),
        revision: issue.revision,
    }
}

/// The queue's numbers.
pub(crate) fn stats_to_wire(stats: QueueStats) -> v1::GetQueueStatsResponse {
    v1::GetQueueStatsResponse {
        warnings: stats.warnings(),
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
    }
}

/// The queue's numbers, as a pause answers them.
pub(crate) fn paused_stats_to_wire(stats: QueueStats) -> v1::QueueStats {
    let stats = stats_to_wire(stats);
    v1::QueueStats {
        pending: stats.pending,
        ready: stats.ready,
        delayed: stats.delayed,
        in_flight: stats.in_flight,
        dead: stats.dead,
        oldest_pending_at: stats.oldest_pending_at,
        paused: stats.paused,
        paused_blueprint_ids: stats.paused_blueprint_ids,
        workers: stats.workers,
        used_memory: stats.used_memory,
        max_memory: stats.max_memory,
        warnings: stats.warnings,
    }
}

/// What an issue would come to.
pub(crate) fn preview_to_wire(preview: Preview) -> v1::PreviewIssueResponse {
    v1::PreviewIssueResponse {
        would_apply: preview.would_apply,
        json_patch: preview.json_patch,
        unified_diff: preview.unified_diff,
        rationale: preview.rationale,
        verdicts: preview.verdicts.into_iter().map(verdict_to_wire).collect(),
        reasons: preview.reasons,
    }
}

fn worker_to_wire(worker: WorkerStats) -> v1::WorkerStats {
    v1::WorkerStats {
        worker_id: worker.worker_id,
        in_flight: worker.in_flight,
        last_seen: Some(timestamp(worker.last_seen_ms)),
    }
}

/// A commit.
pub(crate) fn commit_to_wire(commit: Commit) -> v1::Commit {
    v1::Commit {
        blueprint_id: commit.blueprint_id.to_string(),
        seq: commit.seq,
        version: commit.version.to_string(),
        parents: commit.parents.iter().map(Version::to_string).collect(),
        version_label: commit.version_label,
        rationale: commit.rationale,
        patch_hash: commit.patch_hash,
        issue_id: text(commit.issue_id),
        epoch: commit.epoch.map(epoch_to_wire),
        committed_at: Some(timestamp(commit.committed_at_ms)),
    }
}

fn epoch_to_wire(epoch: Epoch) -> v1::Epoch {
    v1::Epoch {
        blueprint_id: epoch.blueprint_id.to_string(),
        start_version: epoch.start_version.to_string(),
        started_at: Some(timestamp(epoch.started_at_ms)),
    }
}

/// What a list shows of a Blueprint.
pub(crate) fn summary_to_wire(summary: BlueprintSummary) -> v1::BlueprintSummary {
    v1::BlueprintSummary {
        blueprint_id: summary.blueprint_id.to_string(),
        head: summary.head.to_string(),
        version_label: summary.version_label,
        archived: summary.archived,
        updated_at: Some(timestamp(summary.updated_at_ms)),
    }
}

/// A setting.
pub(crate) fn setting_to_wire(setting: EnhanceSetting) -> v1::EnhanceSetting {
    use v1::version_selector::Selector;
    let selector = match setting.selector {
        VersionSelector::Latest => Selector::Latest(true),
        VersionSelector::Fixed(version) => Selector::Fixed(version.to_string()),
        VersionSelector::SemverReq(requirement) => Selector::SemverReq(requirement.to_string()),
    };
    v1::EnhanceSetting {
        id: setting.id.to_string(),
        blueprint_id: setting.blueprint_id.to_string(),
        selector: Some(v1::VersionSelector {
            selector: Some(selector),
        }),
        verifier_axes: setting.verifier_axes,
        no_verification: setting.no_verification,
        ttl_secs: setting.ttl_secs,
        spawner: setting.spawner.as_ref().map(doc_to_struct),
        applies_to: setting
            .applies_to
            .iter()
            .map(IdPattern::to_string)
            .collect(),
        axis_options: (!setting.axis_options.is_empty())
            .then(|| doc_to_struct(&Doc::Object(Arc::new(setting.axis_options)))),
        revision: setting.revision,
    }
}

fn doc_to_struct(doc: &Doc) -> Struct {
    let members = doc.as_object().into_iter().flatten();
    Struct {
        fields: members
            .map(|(key, value)| (key.to_string(), doc_to_value(value)))
            .collect(),
    }
}

fn doc_to_value(doc: &Doc) -> Value {
    let kind = match doc {
        Doc::Null => Kind::NullValue(0),
        Doc::Bool(bool) => Kind::BoolValue(*bool),
        // Exact: an integer came in through `number_to_doc`.
        Doc::Num(Num::Int(integer)) => Kind::NumberValue(*integer as f64),
        Doc::Num(Num::Float(float)) => Kind::NumberValue(*float),
        Doc::Str(text) => Kind::StringValue(text.to_string()),
        Doc::Array(items) => Kind::ListValue(prost_types::ListValue {
            values: items.iter().map(doc_to_value).collect(),
        }),
        Doc::Object(_) => Kind::StructValue(doc_to_struct(doc)),
    };
    Value { kind: Some(kind) }
}

fn text(id: Option<impl ToString>) -> String {
    id.map_or_else(String::new, |id| id.to_string())
}

mod log;
mod options;
mod setting;
#[cfg(test)]
mod tests;

//! The JSON of records.
//!
//! JSON has the fields of the gRPC response. States and causes are written as in the published
//! events (`in_flight`, `denied`), times as RFC 3339, numbers as numbers, and JSON as JSON. Unset
//! fields are `null` or `""`, as in the response.

use std::path::Path;

use prost_types::Timestamp;
use proto::v1::{
    BlueprintSummary, Commit, GetQueueStatsResponse, Issue, LogEntry, SpawnerUsage, Verdict,
};
use serde_json::{Value, json};
use shared::blueprint::json;

use super::issue::{cause_name, state_name};
use super::time::from_ms;

/// Returns a time as RFC 3339; `null` if it is unset.
pub(crate) fn time_json(at: Option<&Timestamp>) -> Value {
    at.map(ToString::to_string).into()
}

/// Returns a path as JSON text, in which bytes that are not UTF-8 are replaced.
pub(crate) fn path_json(path: &Path) -> Value {
    path.to_string_lossy().into()
}

/// Returns the value of JSON text. Empty text is `null`; other text that is not JSON stays text.
pub(crate) fn nested_json(text: &str) -> Value {
    match json::parse(text) {
        Ok(doc) => Value::from(&doc),
        Err(_) if text.is_empty() => Value::Null,
        Err(_) => text.into(),
    }
}

/// Returns an issue as JSON.
pub(crate) fn issue_json(issue: &Issue) -> Value {
    json!({
        "issue_id": issue.issue_id,
        "blueprint_id": issue.blueprint_id,
        "intent": issue.intent,
        "state": state_name(issue),
        "reason": issue.reason,
        "cause": cause_name(issue),
        "new_version": issue.new_version,
        "attempt": issue.attempt,
        "worker_id": issue.worker_id,
        "retry_of": issue.retry_of,
        "submitted_by": issue.submitted_by,
        "decided_by": issue.decided_by,
        "submitted_at": time_json(issue.submitted_at.as_ref()),
        "updated_at": time_json(issue.updated_at.as_ref()),
        "revision": issue.revision,
        "waiting_for": issue.waiting_for.as_ref().map(crate::verbs::waiting::json),
    })
}

/// Returns a commit as JSON.
pub(crate) fn commit_json(commit: &Commit) -> Value {
    json!({
        "blueprint_id": commit.blueprint_id,
        "seq": commit.seq,
        "version": commit.version,
        "parents": commit.parents,
        "version_label": commit.version_label,
        "rationale": commit.rationale,
        "patch_hash": commit.patch_hash,
        "issue_id": commit.issue_id,
        "epoch": commit.epoch.as_ref().map(|epoch| json!({
            "blueprint_id": epoch.blueprint_id,
            "start_version": epoch.start_version,
            "started_at": time_json(epoch.started_at.as_ref()),
        })),
        "author": commit.author,
        "decided_by": commit.decided_by,
        "comment": commit.comment,
        "committed_at": time_json(commit.committed_at.as_ref()),
    })
}

/// Returns the summary of a Blueprint as JSON.
pub(crate) fn summary_json(summary: &BlueprintSummary) -> Value {
    json!({
        "blueprint_id": summary.blueprint_id,
        "head": summary.head,
        "version_label": summary.version_label,
        "archived": summary.archived,
        "updated_at": time_json(summary.updated_at.as_ref()),
    })
}

/// Returns a log entry as JSON.
pub(crate) fn entry_json(entry: &LogEntry) -> Value {
    json!({
        "issue_id": entry.issue_id,
        "blueprint_id": entry.blueprint_id,
        "prev_hash": entry.prev_hash,
        "new_hash": entry.new_hash,
        "intent": entry.intent,
        "rationale": entry.rationale,
        "verdicts": entry.verdicts.iter().map(verdict_json).collect::<Vec<_>>(),
        "status": entry.status,
        "cause": entry.cause,
        "reasons": entry.reasons,
        "attempt": entry.attempt,
        "patch_json": nested_json(&entry.patch_json),
        "decided_at": time_json(Some(&from_ms(entry.ts_ms))),
        "usage": entry.usage.as_ref().map(usage_json),
        "unusable_reply": entry.unusable_reply,
        "submitted_by": entry.submitted_by,
        "decided_by": entry.decided_by,
        "comment": entry.comment,
    })
}

/// Returns the cost of a spawner as JSON.
pub(crate) fn usage_json(usage: &SpawnerUsage) -> Value {
    json!({
        "agent_kind": usage.agent_kind,
        "model": usage.model,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "calls": usage.calls,
        "duration_ms": usage.duration_ms,
    })
}

/// Returns a verdict as JSON.
pub(crate) fn verdict_json(verdict: &Verdict) -> Value {
    json!({ "axis": verdict.axis, "status": verdict.status, "detail": verdict.detail })
}

/// Returns the queue statistics as JSON.
pub(crate) fn stats_json(stats: &GetQueueStatsResponse) -> Value {
    json!({
        "pending": stats.pending,
        "ready": stats.ready,
        "delayed": stats.delayed,
        "in_flight": stats.in_flight,
        "dead": stats.dead,
        "oldest_pending_at": time_json(stats.oldest_pending_at.as_ref()),
        "paused": stats.paused,
        "paused_blueprint_ids": stats.paused_blueprint_ids,
        "workers": stats.workers.iter().map(|worker| json!({
            "worker_id": worker.worker_id,
            "in_flight": worker.in_flight,
            "last_seen": time_json(worker.last_seen.as_ref()),
            "version": worker.version,
        })).collect::<Vec<_>>(),
        "used_memory": stats.used_memory,
        "max_memory": stats.max_memory,
        "warnings": stats.warnings,
        "now": time_json(stats.now.as_ref()),
        "in_review": stats.in_review,
        "oldest_in_review_at": time_json(stats.oldest_in_review_at.as_ref()),
    })
}

#[cfg(test)]
mod tests {
    use proto::v1::{IssueState, RejectionCause};

    use super::*;

    #[test]
    fn an_issue_in_json_uses_the_names_of_the_events() {
        let issue = Issue {
            issue_id: "i-1".to_owned(),
            state: IssueState::Rejected.into(),
            cause: RejectionCause::Denied.into(),
            revision: u64::MAX,
            ..Issue::default()
        };
        let value = issue_json(&issue);
        assert_eq!(
            (&value["state"], &value["cause"]),
            (&json!("rejected"), &json!("denied"))
        );
        assert_eq!(value["revision"], json!(u64::MAX));
        assert_eq!(value["submitted_at"], Value::Null);
    }
}

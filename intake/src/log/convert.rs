//! Converts log entries and verdicts to the wire.

use proto::v1;
use shared::domain::enhance_log::{LogEntry, SpawnerUsage, Verdict};
use shared::ids::Version;

use crate::convert::text;

/// Converts a log entry.
pub(crate) fn entry_to_wire(entry: LogEntry) -> v1::LogEntry {
    v1::LogEntry {
        status: entry.status().to_owned(),
        cause: entry
            .cause
            .map_or_else(String::new, |cause| cause.as_str().to_owned()),
        issue_id: entry.issue_id.to_string(),
        blueprint_id: entry.blueprint_id.to_string(),
        prev_hash: version_to_wire(entry.prev_hash),
        new_hash: version_to_wire(entry.new_hash),
        intent: entry.intent,
        rationale: entry.rationale,
        verdicts: entry.verdicts.into_iter().map(verdict_to_wire).collect(),
        reasons: entry.reasons,
        attempt: entry.attempt,
        patch_json: entry.patch_json,
        ts_ms: i64::try_from(entry.ts_ms).unwrap_or(i64::MAX),
        usage: Some(usage_to_wire(entry.usage)),
        unusable_reply: entry.unusable_reply,
        submitted_by: text(entry.submitted_by),
        decided_by: text(entry.decided_by),
        comment: entry.comment,
    }
}

/// Converts a version; empty without one.
fn version_to_wire(version: Option<Version>) -> String {
    version
        .map(|version| version.to_string())
        .unwrap_or_default()
}

/// Converts a verdict.
pub(crate) fn verdict_to_wire(verdict: Verdict) -> v1::Verdict {
    v1::Verdict {
        status: verdict.status.as_str().to_owned(),
        axis: verdict.axis,
        detail: verdict.detail,
    }
}

/// Converts the cost of a spawner.
pub(crate) fn usage_to_wire(usage: SpawnerUsage) -> v1::SpawnerUsage {
    v1::SpawnerUsage {
        agent_kind: usage.agent_kind,
        model: usage.model,
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        calls: usage.calls,
        duration_ms: usage.duration_ms,
    }
}

//! The stored form of log entries, verdicts and costs.

use serde::{Deserialize, Serialize};

use crate::domain::enhance_log::{LogEntry, SpawnerUsage, Verdict, VerdictStatus};
use crate::domain::issue::RejectionCause;
use crate::ids::{BlueprintId, IssueId, Version};
use crate::store::codec::format::{FORMAT, check_format, damaged, from_json, read_actor, to_json};
use crate::store::redis::error::StoreError;

#[derive(Serialize, Deserialize)]
pub(crate) struct StoredVerdict {
    axis: String,
    pass: bool,
    /// True for a review; `pass` is false then. Absent in data of releases without reviews.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    review: bool,
    detail: String,
}

impl From<Verdict> for StoredVerdict {
    fn from(verdict: Verdict) -> Self {
        StoredVerdict {
            axis: verdict.axis,
            pass: verdict.status == VerdictStatus::Pass,
            review: verdict.status == VerdictStatus::Review,
            detail: verdict.detail,
        }
    }
}

impl From<StoredVerdict> for Verdict {
    fn from(stored: StoredVerdict) -> Self {
        Verdict {
            axis: stored.axis,
            status: match (stored.pass, stored.review) {
                (true, _) => VerdictStatus::Pass,
                (false, true) => VerdictStatus::Review,
                (false, false) => VerdictStatus::Deny,
            },
            detail: stored.detail,
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StoredUsage {
    kind: String,
    model: String,
    tokens_in: u64,
    tokens_out: u64,
    calls: u32,
    ms: u64,
}

impl From<&SpawnerUsage> for StoredUsage {
    fn from(usage: &SpawnerUsage) -> Self {
        StoredUsage {
            kind: usage.agent_kind.clone(),
            model: usage.model.clone(),
            tokens_in: usage.input_tokens,
            tokens_out: usage.output_tokens,
            calls: usage.calls,
            ms: usage.duration_ms,
        }
    }
}

impl From<StoredUsage> for SpawnerUsage {
    fn from(stored: StoredUsage) -> Self {
        SpawnerUsage {
            agent_kind: stored.kind,
            model: stored.model,
            input_tokens: stored.tokens_in,
            output_tokens: stored.tokens_out,
            calls: stored.calls,
            duration_ms: stored.ms,
        }
    }
}

/// The fields of a log entry from the decider. The script adds `attempt`, `ts_ms`, the actors and
/// the comment, and `reasons` and `intent` where only it has them. For a proposal, a script of the
/// review also adds `new_hash`, `cause` and `reasons`.
#[derive(Serialize)]
struct LogDraft<'a> {
    pub(crate) v: u32,
    pub(crate) blueprint_id: &'a str,
    prev_hash: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_hash: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) intent: Option<&'a str>,
    pub(crate) rationale: &'a str,
    verdicts: Vec<StoredVerdict>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cause: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasons: Option<&'a [String]>,
    patch: &'a str,
    usage: StoredUsage,
    #[serde(skip_serializing_if = "str::is_empty")]
    unusable_reply: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredLogEntry {
    pub(crate) v: u32,
    pub(crate) blueprint_id: String,
    prev_hash: String,
    new_hash: String,
    pub(crate) intent: String,
    pub(crate) rationale: String,
    verdicts: Vec<StoredVerdict>,
    pub(crate) cause: String,
    reasons: Vec<String>,
    patch: String,
    usage: StoredUsage,
    /// Absent in entries without an unusable reply.
    #[serde(default)]
    unusable_reply: String,
    pub(crate) attempt: u32,
    ts_ms: u64,
    /// Absent in data of releases without actors.
    #[serde(default)]
    submitted_by: String,
    /// Absent if the flow alone decided.
    #[serde(default)]
    decided_by: String,
    /// Absent without a comment.
    #[serde(default)]
    comment: String,
}

/// Returns the JSON of a log entry, without the fields that the script adds.
pub(crate) fn log_draft(entry: &LogEntry) -> String {
    to_json(&draft(entry, Some(&entry.reasons), Some(&entry.intent)))
}

/// Returns the JSON of a proposal's log entry, without the fields that the review decides.
pub(crate) fn proposed_log_draft(entry: &LogEntry) -> String {
    to_json(&LogDraft {
        new_hash: None,
        cause: None,
        ..draft(entry, None, Some(&entry.intent))
    })
}

/// Reads the log entry of a proposal: one that a review would reject without a reason.
pub(crate) fn proposed_log(issue_id: &IssueId, text: &str) -> Result<LogEntry, StoreError> {
    let decided = r#","new_hash":"","cause":"declined","reasons":[],"attempt":0,"ts_ms":0}"#;
    let whole = text.strip_suffix('}').unwrap_or(text).to_owned() + decided;
    log_entry(issue_id, &whole)
}

/// Returns the log entry of an issue that was decided without a flow. The script adds `reasons`,
/// and `intent` if it is `None`.
pub(crate) fn failed_log_draft(
    issue_id: &IssueId,
    blueprint_id: &BlueprintId,
    intent: Option<&str>,
    prev_hash: Option<&Version>,
) -> String {
    let entry = LogEntry {
        issue_id: issue_id.clone(),
        blueprint_id: blueprint_id.clone(),
        prev_hash: prev_hash.cloned(),
        new_hash: None,
        intent: String::new(),
        rationale: String::new(),
        verdicts: Vec::new(),
        cause: Some(RejectionCause::Failed),
        reasons: Vec::new(),
        attempt: 0,
        patch_json: String::new(),
        ts_ms: 0,
        usage: SpawnerUsage::default(),
        unusable_reply: String::new(),
        submitted_by: None,
        decided_by: None,
        comment: String::new(),
    };
    to_json(&draft(&entry, None, intent))
}

fn draft<'a>(
    entry: &'a LogEntry,
    reasons: Option<&'a [String]>,
    intent: Option<&'a str>,
) -> LogDraft<'a> {
    // Empty without a version.
    fn text(version: &Option<Version>) -> &str {
        version.as_ref().map(Version::as_str).unwrap_or_default()
    }
    LogDraft {
        v: FORMAT,
        blueprint_id: entry.blueprint_id.as_str(),
        prev_hash: text(&entry.prev_hash),
        new_hash: Some(text(&entry.new_hash)),
        intent,
        rationale: &entry.rationale,
        verdicts: entry.verdicts.iter().cloned().map(Into::into).collect(),
        cause: Some(entry.cause.map(RejectionCause::as_str).unwrap_or_default()),
        reasons,
        patch: &entry.patch_json,
        usage: (&entry.usage).into(),
        unusable_reply: &entry.unusable_reply,
    }
}

/// Reads a log entry from its stored JSON.
pub(crate) fn log_entry(issue_id: &IssueId, text: &str) -> Result<LogEntry, StoreError> {
    let id = issue_id.as_str();
    let stored: StoredLogEntry = from_json("log entry", id, text)?;
    check_format("log entry", id, stored.v)?;
    let cause = match stored.cause.as_str() {
        "" => None,
        name => Some(
            RejectionCause::parse(name).ok_or_else(|| damaged("log entry", id, "unknown cause"))?,
        ),
    };
    let version = |text: &str| match text {
        "" => Ok(None),
        text => Version::parse(text)
            .map(Some)
            .map_err(|e| damaged("log entry", id, e)),
    };
    Ok(LogEntry {
        issue_id: issue_id.clone(),
        blueprint_id: BlueprintId::parse(&stored.blueprint_id)
            .map_err(|e| damaged("log entry", id, e))?,
        prev_hash: version(&stored.prev_hash)?,
        new_hash: version(&stored.new_hash)?,
        intent: stored.intent,
        rationale: stored.rationale,
        verdicts: stored.verdicts.into_iter().map(Into::into).collect(),
        cause,
        reasons: stored.reasons,
        attempt: stored.attempt,
        patch_json: stored.patch,
        ts_ms: stored.ts_ms,
        usage: stored.usage.into(),
        unusable_reply: stored.unusable_reply,
        submitted_by: read_actor("log entry", id, &stored.submitted_by)?,
        decided_by: read_actor("log entry", id, &stored.decided_by)?,
        comment: stored.comment,
    })
}

//! The stored forms: what is written as JSON or as hash fields, with its version, and how it
//! becomes the domain's types again. Decoding is strict: a missing or mistyped field is an
//! error that names it, never a default.

mod settings;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::error::StoreError;
use crate::commit::{Commit, Epoch};
use crate::enhance_log::{LogEntry, SpawnerUsage, Verdict};
use crate::ids::{BlueprintId, IssueId, Version};
use crate::issue::{Issue, IssueState, RejectionCause};

pub(super) use settings::{setting, setting_draft};

/// The version of the stored forms that this release writes.
pub(super) const FORMAT: u32 = 1;

pub(super) fn damaged(what: &'static str, id: &str, problem: impl ToString) -> StoreError {
    StoreError::Damaged {
        what,
        id: id.to_owned(),
        problem: problem.to_string(),
    }
}

pub(super) fn to_json<T: Serialize>(form: &T) -> String {
    serde_json::to_string(form).expect("stored forms have string keys and finite numbers only")
}

pub(super) fn from_json<'a, T: Deserialize<'a>>(
    what: &'static str,
    id: &str,
    text: &'a str,
) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| damaged(what, id, e))
}

pub(super) fn check_format(what: &'static str, id: &str, v: u32) -> Result<(), StoreError> {
    if v == FORMAT {
        Ok(())
    } else {
        Err(damaged(
            what,
            id,
            format!("format {v} is newer than this release knows"),
        ))
    }
}

// ---- issues: fields of a hash -------------------------------------------------------------

/// An issue from the fields of its hash and its intent.
pub(super) fn issue(
    id: &IssueId,
    fields: &HashMap<String, String>,
    intent: String,
) -> Result<Issue, StoreError> {
    let bad = |field: &str| {
        damaged(
            "issue",
            id.as_str(),
            format!("field {field} is missing or mistyped"),
        )
    };
    let text = |field: &str| fields.get(field).map(String::as_str).unwrap_or_default();
    let number = |field: &str| text(field).parse::<u64>().map_err(|_| bad(field));
    let cause = match text("cause") {
        "" => None,
        name => Some(RejectionCause::parse(name).ok_or_else(|| bad("cause"))?),
    };
    let new_version = match text("new_version") {
        "" => None,
        version => Some(Version::parse(version).map_err(|_| bad("new_version"))?),
    };
    let retry_of = match text("retry_of") {
        "" => None,
        issue => Some(IssueId::parse(issue).map_err(|_| bad("retry_of"))?),
    };
    Ok(Issue {
        issue_id: id.clone(),
        blueprint_id: BlueprintId::parse(text("blueprint_id")).map_err(|_| bad("blueprint_id"))?,
        intent,
        state: IssueState::parse(text("state")).ok_or_else(|| bad("state"))?,
        reason: text("reason").to_owned(),
        cause,
        new_version,
        attempt: u32::try_from(number("attempt")?).map_err(|_| bad("attempt"))?,
        worker_id: text("worker_id").to_owned(),
        retry_of,
        submitted_at_ms: number("submitted_at")?,
        updated_at_ms: number("updated_at")?,
        revision: number("revision")?,
    })
}

// ---- commits ------------------------------------------------------------------------------

#[derive(Serialize, Deserialize)]
struct StoredEpoch {
    start_version: String,
    started_at: u64,
}

/// What the writer of a commit knows; the script stamps `seq`, `parents` and `at`.
#[derive(Serialize)]
struct CommitDraft<'a> {
    v: u32,
    version: &'a str,
    label: &'a str,
    rationale: &'a str,
    patch_hash: &'a str,
    issue_id: &'a str,
    epoch: Option<StoredEpoch>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredCommit {
    v: u32,
    version: String,
    label: String,
    rationale: String,
    patch_hash: String,
    issue_id: String,
    epoch: Option<StoredEpoch>,
    seq: u64,
    parents: Vec<String>,
    at: u64,
}

/// The JSON of a commit that has no place in the history yet.
pub(super) fn commit_draft(
    version: &Version,
    label: &str,
    rationale: &str,
    patch_hash: &str,
    issue_id: Option<&IssueId>,
    epoch: Option<&Epoch>,
) -> String {
    to_json(&CommitDraft {
        v: FORMAT,
        version: version.as_str(),
        label,
        rationale,
        patch_hash,
        issue_id: issue_id.map(IssueId::as_str).unwrap_or_default(),
        epoch: epoch.map(|e| StoredEpoch {
            start_version: e.start_version.to_string(),
            started_at: e.started_at_ms,
        }),
    })
}

/// The JSON of a commit that has its place: the bytes that a script would have stored.
pub(super) fn commit_whole(commit: &Commit) -> String {
    let mut text = commit_draft(
        &commit.version,
        &commit.version_label,
        &commit.rationale,
        &commit.patch_hash,
        commit.issue_id.as_ref(),
        commit.epoch.as_ref(),
    );
    text.pop();
    let (seq, at) = (commit.seq, commit.committed_at_ms);
    let parents: Vec<&str> = commit.parents.iter().map(Version::as_str).collect();
    let parents = to_json(&parents);
    text.push_str(&format!(r#","seq":{seq},"parents":{parents},"at":{at}}}"#));
    text
}

/// A commit from its stored JSON.
pub(super) fn commit(blueprint_id: &BlueprintId, text: &str) -> Result<Commit, StoreError> {
    let id = blueprint_id.as_str();
    let stored: StoredCommit = from_json("commit", id, text)?;
    check_format("commit", id, stored.v)?;
    let version = |text: &str| Version::parse(text).map_err(|e| damaged("commit", id, e));
    let issue_id = match stored.issue_id.as_str() {
        "" => None,
        issue => Some(IssueId::parse(issue).map_err(|e| damaged("commit", id, e))?),
    };
    let epoch = match stored.epoch {
        None => None,
        Some(e) => Some(Epoch {
            blueprint_id: blueprint_id.clone(),
            start_version: version(&e.start_version)?,
            started_at_ms: e.started_at,
        }),
    };
    Ok(Commit {
        blueprint_id: blueprint_id.clone(),
        seq: stored.seq,
        version: version(&stored.version)?,
        parents: stored
            .parents
            .iter()
            .map(|p| version(p))
            .collect::<Result<_, _>>()?,
        version_label: stored.label,
        rationale: stored.rationale,
        patch_hash: stored.patch_hash,
        issue_id,
        epoch,
        committed_at_ms: stored.at,
    })
}

// ---- the log ------------------------------------------------------------------------------

#[derive(Serialize, Deserialize)]
pub(super) struct StoredVerdict {
    axis: String,
    pass: bool,
    detail: String,
}

impl From<Verdict> for StoredVerdict {
    fn from(verdict: Verdict) -> Self {
        StoredVerdict {
            axis: verdict.axis,
            pass: verdict.pass,
            detail: verdict.detail,
        }
    }
}

impl From<StoredVerdict> for Verdict {
    fn from(stored: StoredVerdict) -> Self {
        Verdict {
            axis: stored.axis,
            pass: stored.pass,
            detail: stored.detail,
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredUsage {
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

/// What the decider knows; the script stamps `attempt` and `ts_ms`, and `reasons` and `intent`
/// where only it has them.
#[derive(Serialize)]
struct LogDraft<'a> {
    v: u32,
    blueprint_id: &'a str,
    prev_hash: &'a str,
    new_hash: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    intent: Option<&'a str>,
    rationale: &'a str,
    verdicts: Vec<StoredVerdict>,
    cause: &'a str,
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
    v: u32,
    blueprint_id: String,
    prev_hash: String,
    new_hash: String,
    intent: String,
    rationale: String,
    verdicts: Vec<StoredVerdict>,
    cause: String,
    reasons: Vec<String>,
    patch: String,
    usage: StoredUsage,
    /// Not in entries without one.
    #[serde(default)]
    unusable_reply: String,
    attempt: u32,
    ts_ms: u64,
}

/// The JSON of a log entry, without what the script stamps.
pub(super) fn log_draft(entry: &LogEntry) -> String {
    draft(entry, Some(&entry.reasons), Some(&entry.intent))
}

/// The entry of an issue that no flow decided, without `reasons`, and without `intent` if that is
/// `None`: the script writes them.
pub(super) fn failed_log_draft(
    issue_id: &IssueId,
    blueprint_id: &BlueprintId,
    intent: Option<&str>,
    prev_hash: &str,
) -> String {
    let entry = LogEntry {
        issue_id: issue_id.clone(),
        blueprint_id: blueprint_id.clone(),
        prev_hash: prev_hash.to_owned(),
        new_hash: String::new(),
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
    };
    draft(&entry, None, intent)
}

fn draft(entry: &LogEntry, reasons: Option<&[String]>, intent: Option<&str>) -> String {
    to_json(&LogDraft {
        v: FORMAT,
        blueprint_id: entry.blueprint_id.as_str(),
        prev_hash: &entry.prev_hash,
        new_hash: &entry.new_hash,
        intent,
        rationale: &entry.rationale,
        verdicts: entry.verdicts.iter().cloned().map(Into::into).collect(),
        cause: entry.cause.map(RejectionCause::as_str).unwrap_or_default(),
        reasons,
        patch: &entry.patch_json,
        usage: (&entry.usage).into(),
        unusable_reply: &entry.unusable_reply,
    })
}

/// A log entry from its stored JSON.
pub(super) fn log_entry(issue_id: &IssueId, text: &str) -> Result<LogEntry, StoreError> {
    let id = issue_id.as_str();
    let stored: StoredLogEntry = from_json("log entry", id, text)?;
    check_format("log entry", id, stored.v)?;
    let cause = match stored.cause.as_str() {
        "" => None,
        name => Some(
            RejectionCause::parse(name).ok_or_else(|| damaged("log entry", id, "unknown cause"))?,
        ),
    };
    Ok(LogEntry {
        issue_id: issue_id.clone(),
        blueprint_id: BlueprintId::parse(&stored.blueprint_id)
            .map_err(|e| damaged("log entry", id, e))?,
        prev_hash: stored.prev_hash,
        new_hash: stored.new_hash,
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
    })
}

//! Output formats: tables and sentences for people, JSON for programs.
//!
//! JSON has the fields of the gRPC response. States and causes are written as in the published
//! events (`in_flight`, `denied`), times as RFC 3339, and numbers as numbers. Unset fields are
//! `null` or `""`, as in the response.

use std::fmt::Display;
use std::io::{self, Write};

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use proto::v1::{
    BlueprintSummary, Commit, GetQueueStatsResponse, Issue, IssueState, LogEntry, RejectionCause,
    Verdict,
};
use serde_json::{Value, json};

/// Number of characters of a version in a table.
const SHORT_VERSION: usize = 12;
/// Number of characters of an intent or a rationale in a table.
const SHORT_TEXT: usize = 60;

/// The columns that may wrap on a narrow terminal. Values to copy, such as ids, must not wrap.
const BREAKABLE: [&str; 6] = ["BY", "INTENT", "REASON", "WHY", "RATIONALE", "DETAIL"];

/// Writes one or several lines to standard output.
///
/// # Errors
/// The error of the operating system. Callers pass on a closed pipe; `main` then exits with status
/// 0.
pub(crate) fn line(text: impl Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Writes text without adding a newline.
///
/// # Errors
/// As [`line`].
pub(crate) fn exact(text: &str) -> io::Result<()> {
    io::stdout().lock().write_all(text.as_bytes())
}

/// Writes a value as indented JSON.
///
/// # Errors
/// As [`line`].
pub(crate) fn json_document(value: &Value) -> io::Result<()> {
    line(format_args!("{value:#}"))
}

/// Writes a value as one line of JSON.
///
/// # Errors
/// As [`line`].
pub(crate) fn json_line(value: &Value) -> io::Result<()> {
    line(value)
}

/// Formats a table without borders or trailing blanks. On a terminal it has at most the terminal's
/// width.
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for (column, name) in table.column_iter_mut().zip(header) {
        column.set_padding((0, 2));
        if !BREAKABLE.contains(&name) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    table.trim_fmt()
}

/// Returns the first characters of a version.
pub(crate) fn short(version: &str) -> &str {
    version.get(..SHORT_VERSION).unwrap_or(version)
}

/// Formats a number of things: `1 issue`, `2 issues`.
pub(crate) fn count(n: u64, noun: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {noun}{plural}")
}

/// Shortens text to one line of at most [`SHORT_TEXT`] characters.
pub(crate) fn brief(text: &str) -> String {
    let one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if one_line.chars().count() <= SHORT_TEXT {
        return one_line;
    }
    one_line.chars().take(SHORT_TEXT - 1).chain(['…']).collect()
}

/// Formats a time to the second; `-` if it is unset.
pub(crate) fn time(at: Option<&impl Display>) -> String {
    let Some(at) = at else { return "-".to_owned() };
    let text = at.to_string();
    match text.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => text,
    }
}

/// Returns the name of the state as in the published events.
pub(crate) fn state_name(issue: &Issue) -> &'static str {
    match issue.state() {
        IssueState::Unspecified => "unspecified",
        IssueState::Pending => "pending",
        IssueState::InFlight => "in_flight",
        IssueState::Applied => "applied",
        IssueState::Rejected => "rejected",
    }
}

/// Returns the name of the cause as in the published events; empty if the issue is not rejected.
pub(crate) fn cause_name(issue: &Issue) -> &'static str {
    match issue.cause() {
        RejectionCause::Unspecified => "",
        RejectionCause::Denied => "denied",
        RejectionCause::Failed => "failed",
        RejectionCause::Cancelled => "cancelled",
    }
}

/// Describes the state of an issue in one line.
pub(crate) fn standing(issue: &Issue) -> String {
    match issue.state() {
        IssueState::Pending if issue.reason.is_empty() => "pending".to_owned(),
        IssueState::Pending => format!("pending, will be retried: {}", issue.reason),
        IssueState::InFlight => format!(
            "in flight, attempt {} by {}",
            issue.attempt, issue.worker_id
        ),
        IssueState::Applied => format!("applied, version {}", short(&issue.new_version)),
        IssueState::Rejected => format!("rejected ({}): {}", cause_name(issue), issue.reason),
        IssueState::Unspecified => "in an unknown state".to_owned(),
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
        "submitted_at": issue.submitted_at.as_ref().map(ToString::to_string),
        "updated_at": issue.updated_at.as_ref().map(ToString::to_string),
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
            "started_at": epoch.started_at.as_ref().map(ToString::to_string),
        })),
        "author": commit.author,
        "committed_at": commit.committed_at.as_ref().map(ToString::to_string),
    })
}

/// Returns the summary of a Blueprint as JSON.
pub(crate) fn summary_json(summary: &BlueprintSummary) -> Value {
    json!({
        "blueprint_id": summary.blueprint_id,
        "head": summary.head,
        "version_label": summary.version_label,
        "archived": summary.archived,
        "updated_at": summary.updated_at.as_ref().map(ToString::to_string),
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
        "patch_json": entry.patch_json,
        "ts_ms": entry.ts_ms,
        "usage": entry.usage.as_ref().map(|usage| json!({
            "agent_kind": usage.agent_kind,
            "model": usage.model,
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "calls": usage.calls,
            "duration_ms": usage.duration_ms,
        })),
        "unusable_reply": entry.unusable_reply,
        "submitted_by": entry.submitted_by,
        "decided_by": entry.decided_by,
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
        "oldest_pending_at": stats.oldest_pending_at.as_ref().map(ToString::to_string),
        "paused": stats.paused,
        "paused_blueprint_ids": stats.paused_blueprint_ids,
        "workers": stats.workers.iter().map(|worker| json!({
            "worker_id": worker.worker_id,
            "in_flight": worker.in_flight,
            "last_seen": worker.last_seen.as_ref().map(ToString::to_string),
            "version": worker.version,
        })).collect::<Vec<_>>(),
        "used_memory": stats.used_memory,
        "max_memory": stats.max_memory,
        "warnings": stats.warnings,
        "now": stats.now.as_ref().map(ToString::to_string),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_between_characters_and_put_on_one_line() {
        assert_eq!(brief("set prompt\n of  agent"), "set prompt of agent");
        let cut = brief(&"ä".repeat(200));
        assert_eq!(
            (cut.chars().count(), cut.ends_with('…')),
            (SHORT_TEXT, true)
        );
    }

    #[test]
    fn a_table_has_its_header_and_rows() {
        let text = table(
            ["ISSUE", "STATE"],
            [["i-1".to_owned(), "applied".to_owned()]],
        )
        .to_string();
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(lines, [["ISSUE", "STATE"], ["i-1", "applied"]]);
    }

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

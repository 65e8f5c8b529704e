//! `log`: prints decisions and their reasons.

use prost_types::Timestamp;
use proto::v1::{GetLogEntryRequest, ListLogEntriesRequest, LogEntry, Verdict};
use serde_json::json;

use super::page_size;
use crate::args::{LogArgs, Output};
use crate::client::{CliError, Client};
use crate::output;

/// Prints one log entry in full, or a list of them.
///
/// # Errors
/// Errors of intake or standard output.
pub(crate) async fn log(mut client: Client, args: LogArgs, format: Output) -> Result<(), CliError> {
    if let Some(issue_id) = args.issue_id {
        let entry = fetch(&mut client, &issue_id).await?;
        return match format {
            Output::Json => Ok(output::json_document(
                &json!({ "entry": output::entry_json(&entry) }),
            )?),
            Output::Text => print_entry(&entry),
        };
    }

    let mut entries: Vec<LogEntry> = Vec::new();
    let mut page_token = String::new();
    while entries.len() < args.limit {
        let page = client
            .log
            .list_log_entries(ListLogEntriesRequest {
                blueprint_id: args.blueprint.clone(),
                newest_first: !args.oldest_first,
                page_size: page_size(args.limit - entries.len()),
                page_token,
                submitted_by: args.actor.clone(),
            })
            .await?
            .into_inner();
        entries.extend(page.entries);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    entries.truncate(args.limit);

    if format == Output::Json {
        let entries: Vec<_> = entries.iter().map(output::entry_json).collect();
        return Ok(output::json_document(&json!({ "entries": entries }))?);
    }
    let rows = entries.iter().map(|entry| {
        let outcome = if entry.cause.is_empty() {
            &entry.status
        } else {
            &entry.cause
        };
        let why = if entry.reasons.is_empty() {
            entry.rationale.clone()
        } else {
            entry.reasons.join("; ")
        };
        [
            output::time(Some(&decided_at(entry))),
            entry.issue_id.clone(),
            entry.blueprint_id.clone(),
            outcome.clone(),
            output::short(&entry.new_hash).to_owned(),
            entry.submitted_by.clone(),
            output::brief(&entry.intent),
            output::brief(&why),
        ]
    });
    let header = [
        "WHEN",
        "ISSUE",
        "BLUEPRINT",
        "OUTCOME",
        "VERSION",
        "BY",
        "INTENT",
        "WHY",
    ];
    Ok(output::line(output::table(header, rows))?)
}

/// Returns the log entry of a decided issue.
///
/// # Errors
/// Errors of intake.
async fn fetch(client: &mut Client, issue_id: &str) -> Result<LogEntry, CliError> {
    let request = GetLogEntryRequest {
        issue_id: issue_id.to_owned(),
    };
    client
        .log
        .get_log_entry(request)
        .await?
        .into_inner()
        .entry
        .ok_or(CliError::Answer { field: "entry" })
}

/// Returns the time of the decision.
fn decided_at(entry: &LogEntry) -> Timestamp {
    Timestamp {
        seconds: entry.ts_ms.div_euclid(1000),
        nanos: 0,
    }
}

/// Prints every field of an entry.
fn print_entry(entry: &LogEntry) -> Result<(), CliError> {
    output::line(format_args!(
        "issue      {} against {}",
        entry.issue_id, entry.blueprint_id
    ))?;
    if !entry.submitted_by.is_empty() {
        output::line(format_args!("submitted  by {}", entry.submitted_by))?;
    }
    output::line(format_args!("intent     {}", entry.intent))?;
    let outcome = if entry.cause.is_empty() {
        String::new()
    } else {
        format!(" ({})", entry.cause)
    };
    output::line(format_args!(
        "outcome    {}{outcome}, attempt {}",
        entry.status, entry.attempt
    ))?;
    if !entry.decided_by.is_empty() {
        output::line(format_args!("decided by {}", entry.decided_by))?;
    }
    if !entry.comment.is_empty() {
        output::line(format_args!("comment    {}", entry.comment))?;
    }
    output::line(format_args!(
        "when       {}",
        output::time(Some(&decided_at(entry)))
    ))?;
    if !entry.prev_hash.is_empty() {
        output::line(format_args!("decided on {}", entry.prev_hash))?;
    }
    if !entry.new_hash.is_empty() {
        output::line(format_args!("version    {}", entry.new_hash))?;
    }
    for reason in &entry.reasons {
        output::line(format_args!("reason     {reason}"))?;
    }
    print_judgement(&entry.rationale, &entry.verdicts, str::to_owned)?;
    if !entry.patch_json.is_empty() {
        output::line(format_args!("patch      {}", entry.patch_json))?;
    }
    if !entry.unusable_reply.is_empty() {
        output::line(format_args!("replied    {:?}", entry.unusable_reply))?;
    }
    if let Some(usage) = entry
        .usage
        .as_ref()
        .filter(|usage| !usage.agent_kind.is_empty())
    {
        output::line(format_args!(
            "spawner    {}{}{}, {}, {} ms, {} tokens in, {} out",
            usage.agent_kind,
            if usage.model.is_empty() { "" } else { " " },
            usage.model,
            output::count(usage.calls.into(), "call"),
            usage.duration_ms,
            usage.input_tokens,
            usage.output_tokens
        ))?;
    }
    Ok(())
}

/// Prints the rationale and the verdicts.
///
/// # Errors
/// Errors of standard output.
pub(super) fn print_judgement(
    rationale: &str,
    verdicts: &[Verdict],
    shown: impl Fn(&str) -> String,
) -> Result<(), CliError> {
    if !rationale.is_empty() {
        output::line(format_args!("rationale  {}", shown(rationale)))?;
    }
    if !verdicts.is_empty() {
        let rows = verdicts.iter().map(|verdict| {
            [
                verdict.axis.clone(),
                verdict.status.clone(),
                shown(&verdict.detail),
            ]
        });
        output::line(output::table(["AXIS", "VERDICT", "DETAIL"], rows))?;
    }
    Ok(())
}

/// Prints rationale and verdicts of a decided issue, shortened to one line each. The state of the
/// issue already has its reasons.
///
/// # Errors
/// Errors of intake or standard output.
pub(crate) async fn print_brief(client: &mut Client, issue_id: &str) -> Result<(), CliError> {
    let entry = fetch(client, issue_id).await?;
    print_judgement(&entry.rationale, &entry.verdicts, output::brief)
}

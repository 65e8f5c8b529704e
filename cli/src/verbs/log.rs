//! `log`: prints decisions and their reasons.

use proto::v1::{GetLogEntryRequest, ListLogEntriesRequest, LogEntry, Verdict};
use serde_json::json;

use super::issue_lookup::find_logged;
use super::{near_miss, page_size};
use crate::args::{LogArgs, Output};
use crate::client::{CliError, Client};
use crate::output::{self, Cell, Column, Paint, Styled};

/// The name of the field before a rationale.
const RATIONALE: &str = "rationale  ";

/// Prints one log entry in full, or a list of them.
///
/// # Errors
/// Errors of intake or standard output.
pub(crate) async fn log(mut client: Client, args: LogArgs, format: Output) -> Result<(), CliError> {
    if let Some(given) = args.issue_id {
        let issue_id = find_logged(&mut client, given).await?;
        let entry = fetch(&mut client, &issue_id).await?;
        return match format {
            Output::Json => Ok(output::json_document(
                &json!({ "entry": output::entry_json(&entry) }),
            )?),
            Output::Text => print_entry(&entry),
        };
    }

    let limit = args.list.limit.number();
    let mut entries: Vec<LogEntry> = Vec::new();
    let mut page_token = String::new();
    let since = args.list.since_ms();
    let mut is_over = false;
    while entries.len() < limit && !is_over {
        let page = client
            .log
            .list_log_entries(ListLogEntriesRequest {
                blueprint_id: args.list.blueprint.clone(),
                newest_first: !args.oldest_first,
                page_size: page_size(limit - entries.len()),
                page_token,
                submitted_by: args.list.actor.clone(),
                ..Default::default()
            })
            .await?
            .into_inner();
        // Entries of several shards are in the order of their times, to within the clocks.
        is_over = !args.oldest_first && page.entries.iter().any(|entry| entry.ts_ms < since);
        entries.extend(
            page.entries
                .into_iter()
                .filter(|entry| entry.ts_ms >= since),
        );
        page_token = page.next_page_token;
        is_over |= page_token.is_empty();
    }
    let has_more = !is_over || entries.len() > limit;
    entries.truncate(limit);
    if entries.is_empty() {
        near_miss::check_filter(&mut client, args.list.blueprint.as_deref()).await?;
    }

    if format == Output::Json {
        let entries: Vec<_> = entries.iter().map(output::entry_json).collect();
        let value = json!({ "entries": entries, "has_more": has_more });
        return Ok(output::json_document(&value)?);
    }
    let issue_ids: Vec<&str> = entries.iter().map(|e| e.issue_id.as_str()).collect();
    let short_ids = output::short_ids(&issue_ids);
    let rows = entries.iter().zip(short_ids).map(|(entry, short_id)| {
        let outcome = outcome(entry);
        let why = if entry.reasons.is_empty() {
            entry.rationale.clone()
        } else {
            entry.reasons.join("; ")
        };
        [
            Cell::time(Some(&output::from_ms(entry.ts_ms))),
            Cell::short(short_id, &entry.issue_id),
            Cell::from(&entry.blueprint_id),
            Cell::from(outcome).painted(output::status_paint(outcome)),
            Cell::version(&entry.new_hash),
            Cell::from(&entry.submitted_by),
            Cell::from(&entry.intent),
            Cell::from(why),
        ]
    });
    let columns = [
        Column::time("WHEN"),
        Column::value("ISSUE"),
        Column::value("BLUEPRINT").omitted(2),
        Column::value("OUTCOME"),
        Column::value("VERSION").omitted(4),
        Column::text("BY").omitted(3),
        Column::text("INTENT"),
        Column::text("WHY").omitted(1),
    ];
    output::list(columns, &rows.collect::<Vec<_>>(), "log entries")?;
    if has_more {
        output::note(output::left_out(entries.len(), None))?;
    }
    Ok(())
}

/// Returns the cause of a rejection, or else the status.
fn outcome(entry: &LogEntry) -> &str {
    match entry.cause.as_str() {
        "" => &entry.status,
        cause => cause,
    }
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

/// Prints every field of an entry.
fn print_entry(entry: &LogEntry) -> Result<(), CliError> {
    output::field(
        "issue",
        format_args!("{} against {}", entry.issue_id, entry.blueprint_id),
    )?;
    if !entry.submitted_by.is_empty() {
        output::field("submitted", format_args!("by {}", entry.submitted_by))?;
    }
    output::field("intent", &entry.intent)?;
    let cause = match entry.cause.as_str() {
        "" => String::new(),
        cause => format!(" ({cause})"),
    };
    let paint = output::status_paint(outcome(entry));
    output::field(
        "outcome",
        Styled::of(paint, format_args!("{}{cause}", entry.status))
            .plain(format_args!(", attempt {}", entry.attempt)),
    )?;
    if !entry.decided_by.is_empty() {
        output::field("decided by", &entry.decided_by)?;
    }
    if !entry.comment.is_empty() {
        output::field("comment", &entry.comment)?;
    }
    output::field("when", output::both(Some(&output::from_ms(entry.ts_ms))))?;
    if !entry.prev_hash.is_empty() {
        output::field("decided on", &entry.prev_hash)?;
    }
    if !entry.new_hash.is_empty() {
        output::field("version", &entry.new_hash)?;
    }
    for reason in &entry.reasons {
        output::field("reason", reason)?;
    }
    print_judgement(&entry.rationale, &entry.verdicts)?;
    if !entry.patch_json.is_empty() {
        output::field("patch", output::escape_json(&entry.patch_json))?;
    }
    if !entry.unusable_reply.is_empty() {
        output::field("replied", &entry.unusable_reply)?;
    }
    if let Some(usage) = entry
        .usage
        .as_ref()
        .filter(|usage| !usage.agent_kind.is_empty())
    {
        let model = match usage.model.as_str() {
            "" => String::new(),
            model => format!(" {model}"),
        };
        let usage = format!(
            "{}{model}, {}, {} ms, {} tokens in, {} out",
            usage.agent_kind,
            output::count(usage.calls.into(), "call"),
            output::thousands(usage.duration_ms),
            output::thousands(usage.input_tokens),
            output::thousands(usage.output_tokens)
        );
        output::field("spawner", usage)?;
    }
    Ok(())
}

/// Prints the rationale and the verdicts in full.
///
/// # Errors
/// Errors of standard output.
pub(super) fn print_judgement(rationale: &str, verdicts: &[Verdict]) -> Result<(), CliError> {
    if !rationale.is_empty() {
        output::field("rationale", rationale)?;
    }
    for verdict in verdicts {
        let paint = output::status_paint(&verdict.status);
        let mut line =
            Styled::from(format_args!("{} ", verdict.axis)).paint(paint, &verdict.status);
        if !verdict.detail.is_empty() {
            line = line.plain(format_args!(": {}", verdict.detail));
        }
        output::field("verdict", line)?;
    }
    Ok(())
}

/// Prints rationale and verdicts of a decided issue, one line each. The state of the issue already
/// has its reasons.
///
/// # Errors
/// Errors of intake or standard output.
pub(crate) async fn print_brief(client: &mut Client, issue_id: &str) -> Result<(), CliError> {
    let entry = fetch(client, issue_id).await?;
    if !entry.rationale.is_empty() {
        let rationale = output::one_line(&entry.rationale, RATIONALE.len());
        let label = Styled::of(Paint::Muted, RATIONALE);
        output::line(label.plain(rationale))?;
    }
    print_verdicts(&entry.verdicts)
}

/// Prints verdicts, one line each.
///
/// # Errors
/// Errors of standard output.
pub(super) fn print_verdicts(verdicts: &[Verdict]) -> Result<(), CliError> {
    let rows = verdicts.iter().map(|verdict| {
        [
            Cell::from(&verdict.axis),
            Cell::from(&verdict.status).painted(output::status_paint(&verdict.status)),
            Cell::from(&verdict.detail),
        ]
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return Ok(());
    }
    let columns = [
        Column::value("AXIS"),
        Column::value("VERDICT"),
        Column::text("DETAIL"),
    ];
    Ok(output::list(columns, &rows, "verdicts")?)
}

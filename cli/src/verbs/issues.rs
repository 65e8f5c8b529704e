//! `submit`, `watch`, `issues` and `cancel`.

use std::io::{self, Read};
use std::time::SystemTime;

use proto::v1::{CancelIssueRequest, GetIssueRequest, Issue, SubmitIssueRequest};
use serde_json::json;

use super::decision::Decision;
use super::issue_list;
use super::issue_lookup::find;
use super::issue_progress::{Progress, follow, note_if_slow, show_judgement};
use super::waiting::describe;
use crate::args::{IssueArg, IssuesArgs, Output, SubmitArgs, WatchArgs};
use crate::client::{CliError, Client};
use crate::output;

/// Submits an issue and, unless detached, waits for the decision. Returns the decision, or `None`
/// if detached.
///
/// # Errors
/// Errors of intake, standard input or standard output.
pub(crate) async fn submit(
    mut client: Client,
    args: SubmitArgs,
    format: Output,
) -> Result<Option<Decision>, CliError> {
    let request = SubmitIssueRequest {
        blueprint_id: args.blueprint_id,
        intent: read_intent(&args.intent)?,
        issue_id: args.issue_id,
        must_be_understood: !args.unchecked,
    };
    let answer = note_if_slow(client.intake.submit_issue(request)).await?;
    let answer = answer.into_inner();
    let issue = answer.issue.ok_or(CliError::Answer { field: "issue" })?;

    if args.detach {
        match format {
            Output::Json => output::json_document(
                &json!({ "issue": output::issue_json(&issue), "already_existed": answer.already_existed }),
            )?,
            Output::Text => output::line(&issue.issue_id)?,
        }
        return Ok(None);
    }
    let known = if answer.already_existed {
        " (was submitted before)"
    } else {
        ""
    };
    let waiting = wait_for_decision(&mut client, &issue, known, args.detach_on_review, format);
    let (last, decision) = waiting.await?;
    if format == Output::Json {
        output::json_document(
            &json!({ "issue": output::issue_json(&last), "already_existed": answer.already_existed }),
        )?;
    }
    Ok(Some(decision))
}

/// Returns the intent from the command line or standard input.
pub(super) fn read_intent(words: &[String]) -> Result<String, CliError> {
    let typed = words.join(" ");
    if typed != "-" {
        return Ok(typed);
    }
    let mut intent = String::new();
    let read = io::stdin().read_to_string(&mut intent);
    read.map_err(|source| CliError::Read {
        path: "-".into(),
        source,
    })?;
    Ok(intent)
}

/// Prints the id of an issue and follows it to its decision. Text output has every state, the steps
/// of a slow flow, and the judgement. The caller prints JSON. Returns the last state and the
/// decision.
pub(super) async fn wait_for_decision(
    client: &mut Client,
    issue: &Issue,
    note: &str,
    detach_on_review: bool,
    format: Output,
) -> Result<(Issue, Decision), CliError> {
    if format == Output::Text {
        output::line(format_args!(
            "issue {} against {}{note}",
            issue.issue_id, issue.blueprint_id
        ))?;
    }
    let progress = Progress::new(format);
    let (id, known) = (&issue.issue_id, Some(issue));
    let following = follow(client, id, known, &progress, detach_on_review, |_| Ok(()));
    let (last, decision) = following.await?;
    print_judgement(client, &last, decision, format).await?;
    Ok((last, decision))
}

/// Prints how a decided issue was judged, as text.
async fn print_judgement(
    client: &mut Client,
    issue: &Issue,
    decision: Decision,
    format: Output,
) -> Result<(), CliError> {
    // An undecided issue has no log entry.
    match (format, decision) {
        (Output::Json, _) | (Output::Text, Decision::InReview) => Ok(()),
        (Output::Text, _) => show_judgement(client, &issue.issue_id).await,
    }
}

/// Follows an issue until it is decided, and returns the decision.
///
/// # Errors
/// Errors of intake or standard output.
pub(crate) async fn watch(
    mut client: Client,
    args: WatchArgs,
    format: Output,
) -> Result<Decision, CliError> {
    let progress = Progress::new(format);
    let print = |issue: &Issue| match format {
        Output::Text => Ok(()),
        Output::Json => Ok(output::json_line(
            &json!({ "issue": output::issue_json(issue) }),
        )?),
    };
    let issue_id = find(&mut client, args.issue_id).await?;
    let (id, detach_on_review) = (&issue_id, args.detach_on_review);
    let following = follow(&mut client, id, None, &progress, detach_on_review, print);
    let (last, decision) = following.await?;
    print_judgement(&mut client, &last, decision, format).await?;
    Ok(decision)
}

/// Prints one issue in full, or a list.
///
/// # Errors
/// Errors of intake or standard output.
pub(crate) async fn issues(
    mut client: Client,
    args: IssuesArgs,
    format: Output,
) -> Result<(), CliError> {
    let Some(given) = args.issue_id else {
        return issue_list::issues(client, args, format).await;
    };
    let issue_id = find(&mut client, given).await?;
    let answer = client
        .intake
        .get_issue(GetIssueRequest { issue_id })
        .await?
        .into_inner();
    print_issue(
        &answer.issue.ok_or(CliError::Answer { field: "issue" })?,
        format,
    )
}

/// Cancels an issue.
///
/// # Errors
/// Errors of intake or standard output.
pub(crate) async fn cancel(
    mut client: Client,
    args: IssueArg,
    format: Output,
) -> Result<(), CliError> {
    let issue_id = find(&mut client, args.issue_id).await?;
    let answer = client
        .intake
        .cancel_issue(CancelIssueRequest { issue_id })
        .await?
        .into_inner();
    print_issue(
        &answer.issue.ok_or(CliError::Answer { field: "issue" })?,
        format,
    )
}

/// Prints an issue in full.
///
/// # Errors
/// Errors of standard output.
pub(super) fn print_issue(issue: &Issue, format: Output) -> Result<(), CliError> {
    if format == Output::Json {
        return Ok(output::json_document(
            &json!({ "issue": output::issue_json(issue) }),
        )?);
    }
    output::field(
        "issue",
        format_args!("{} against {}", issue.issue_id, issue.blueprint_id),
    )?;
    output::field("intent", &issue.intent)?;
    output::field("state", output::standing(issue))?;
    let waiting = issue.waiting_for.as_ref();
    if let Some(waits) = waiting.and_then(|w| describe(w, &issue.blueprint_id, SystemTime::now())) {
        output::field("waiting", waits)?;
    }
    let submitted = output::both(issue.submitted_at.as_ref());
    output::field("submitted", submitted + &by(&issue.submitted_by))?;
    let updated = output::both(issue.updated_at.as_ref());
    output::field(
        "updated",
        format_args!("{updated}, revision {}", issue.revision),
    )?;
    if !issue.decided_by.is_empty() {
        output::field("decided", format_args!("by {}", issue.decided_by))?;
    }
    output::field("attempts", issue.attempt)?;
    if !issue.retry_of.is_empty() {
        output::field("retry of", &issue.retry_of)?;
    }
    Ok(())
}

/// Returns ` by <actor>`; empty without an actor.
fn by(actor: &str) -> String {
    match actor {
        "" => String::new(),
        actor => format!(" by {actor}"),
    }
}

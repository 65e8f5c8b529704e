//! `retry`: submits a rejected issue again as a new one.

use proto::v1::RetryIssueRequest;
use serde_json::json;

use super::decision::Decision;
use super::issue_lookup::find;
use super::issue_progress::note_if_slow;
use super::issues::wait_for_decision;
use crate::args::{Output, RetryArgs};
use crate::client::{CliError, Client};
use crate::output;

/// Submits a rejected issue again and, unless detached, waits for the decision. Returns the
/// decision, or `None` if detached.
///
/// # Errors
/// Errors of intake or standard output.
pub(crate) async fn retry(
    mut client: Client,
    args: RetryArgs,
    format: Output,
) -> Result<Option<Decision>, CliError> {
    let request = RetryIssueRequest {
        issue_id: find(&mut client, args.issue_id).await?,
        new_issue_id: args.new_issue_id,
    };
    let answer = note_if_slow(client.intake.retry_issue(request)).await?;
    let answer = answer.into_inner();
    let issue = answer.issue.ok_or(CliError::Answer { field: "issue" })?;
    let (last, decision) = if args.detach {
        if format == Output::Text {
            output::line(&issue.issue_id)?;
        }
        (issue, None)
    } else {
        let note = format!(", a retry of {}", issue.retry_of);
        let detach_on_review = args.detach_on_review;
        let waiting = wait_for_decision(&mut client, &issue, &note, detach_on_review, format);
        let (last, decision) = waiting.await?;
        (last, Some(decision))
    };
    if format == Output::Json {
        output::json_document(&json!({ "issue": output::issue_json(&last) }))?;
    }
    Ok(decision)
}

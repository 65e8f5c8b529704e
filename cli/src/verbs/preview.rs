//! `preview`: shows what an issue would change, without submitting it.

use proto::v1::{PreviewIssueRequest, PreviewIssueResponse};
use serde_json::json;
use tokio::signal::ctrl_c;
use tonic::Status;
use tonic_types::StatusExt;

use super::issue_progress::spinner;
use super::issues::read_intent;
use super::log::print_judgement;
use crate::args::{Output, PreviewArgs};
use crate::client::{CliError, Client};
use crate::output::{self, Paint, Styled};

/// The error reason when the flow itself failed, as it would for an issue.
const FLOW_FAILED: &str = "PREVIEW_FAILED";

/// Previews an issue and prints the outcome. Returns the exit status of an issue with the same
/// outcome.
///
/// # Errors
/// Errors of intake, standard input or standard output. A failed flow is an outcome, not an error.
pub(crate) async fn preview(
    mut client: Client,
    args: PreviewArgs,
    format: Output,
) -> Result<u8, CliError> {
    let request = PreviewIssueRequest {
        blueprint_id: args.blueprint_id,
        intent: read_intent(&args.intent)?,
    };
    let spinner = spinner("drafting and verifying; Ctrl-C calls it off");
    // A dropped call withdraws the preview, and stops the worker that runs it.
    let previewed = tokio::select! {
        previewed = client.intake.preview_issue(request) => previewed,
        interrupted = ctrl_c() => {
            spinner.finish_and_clear();
            interrupted?;
            return Err(CliError::PreviewInterrupted);
        }
    };
    spinner.finish_and_clear();
    let preview = match previewed {
        Ok(answer) => answer.into_inner(),
        Err(status) if has_failed(&status) => {
            match format {
                Output::Json => output::json_document(&json!({ "failed": status.message() }))?,
                Output::Text => {
                    let outcome = Styled::of(Paint::Bad, "would be rejected");
                    output::line(outcome.plain(format_args!(": {}", status.message())))?;
                }
            }
            return Ok(3);
        }
        Err(status) => return Err(status.into()),
    };
    match format {
        Output::Json => output::json_document(&json!({
            "would_apply": preview.would_apply,
            "json_patch": output::nested_json(&preview.json_patch),
            "unified_diff": preview.unified_diff,
            "rationale": preview.rationale,
            "verdicts": preview.verdicts.iter().map(output::verdict_json).collect::<Vec<_>>(),
            "reasons": preview.reasons,
            "needs_review": preview.needs_review,
        }))?,
        Output::Text => print(&preview)?,
    }
    Ok(match (preview.would_apply, preview.needs_review) {
        (_, true) => 5,
        (true, false) => 0,
        (false, false) => 2,
    })
}

fn has_failed(status: &Status) -> bool {
    let info = status.get_details_error_info();
    info.is_some_and(|info| info.reason == FLOW_FAILED)
}

fn print(preview: &PreviewIssueResponse) -> Result<(), CliError> {
    if !preview.unified_diff.is_empty() {
        output::show_diff(&preview.unified_diff)?;
    }
    print_judgement(&preview.rationale, &preview.verdicts)?;
    let outcome = if preview.needs_review {
        let reasons = preview.reasons.join("; ");
        Styled::of(Paint::Warn, "would need a review").plain(format_args!(": {reasons}"))
    } else if preview.would_apply {
        Styled::of(Paint::Good, "would be applied")
    } else {
        let reasons = preview.reasons.join("; ");
        Styled::of(Paint::Bad, "would be denied").plain(format_args!(": {reasons}"))
    };
    output::line(outcome.wrap(0, output::wrap_width()))?;
    Ok(())
}

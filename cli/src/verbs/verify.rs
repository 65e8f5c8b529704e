//! `verify`: runs a verifier on two files, without intake.

use std::path::Path;

use serde_json::{Value, json};
use shared::domain::enhance_log::VerdictStatus;
use worker::flow::Trial;

use crate::args::{DocumentFormat, Output, VerifyArgs};
use crate::client::CliError;
use crate::output::{self, Styled};

/// The exit status of a verdict that denies; the same as that of a denied issue.
const DENIED: u8 = 2;
/// The exit status of a verdict that needs a review; the same as that of `submit
/// --detach-on-review`.
const NEEDS_REVIEW: u8 = 5;

/// Runs the script and prints its verdict. Returns the exit status.
///
/// # Errors
/// [`CliError`] if a file cannot be read, or the script returns no verdict.
pub(crate) async fn verify(args: VerifyArgs, format: Output) -> Result<u8, CliError> {
    let (before, after) = (read(&args.before)?, read(&args.after)?);
    let options = args.options.as_deref().map(read).transpose()?;
    let judgement = worker::flow::try_axis(Trial {
        script: &args.script,
        options: options.as_deref(),
        before: &before,
        after: &after,
        format: DocumentFormat::to_reader(args.format),
        intent: &args.intent,
        time_limit: args.time_limit,
        llm_base_url: args.llm_base_url.filter(|url| !url.is_empty()),
    })
    .await?;
    let status = judgement.status.as_str();
    let detail = Value::from(&judgement.detail);
    match format {
        Output::Json => output::json_document(&json!({"status": status, "detail": detail}))?,
        Output::Text => {
            let line = Styled::of(output::status_paint(status), status);
            match detail.as_str() {
                Some(text) => output::line(line.plain(format_args!(": {text}")))?,
                None => output::line(line.plain(format_args!(": {detail}")))?,
            }
        }
    }
    Ok(match judgement.status {
        VerdictStatus::Pass => 0,
        VerdictStatus::Deny => DENIED,
        VerdictStatus::Review => NEEDS_REVIEW,
    })
}

fn read(path: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|source| CliError::Read {
        path: path.to_owned(),
        source,
    })
}

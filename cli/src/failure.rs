//! Reports the error of a verb on standard error: text for a person, one line of JSON for a
//! program.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;

use serde_json::{Value, json};
use tonic::Status;
use tonic_types::StatusExt;

use crate::args::Output;
use crate::client::{CliError, code_name};
use crate::output::{self, Paint, Styled};

/// Prints an error and its sources. Returns the exit status.
pub(crate) fn fail(status: u8, error: &(dyn Error + 'static), format: Output) -> ExitCode {
    // A failed write to standard error has no other place to be reported.
    let _ = match format {
        Output::Text => output::note(text(error)),
        Output::Json => output::note_json(&to_json(status, error)),
    };
    status.into()
}

/// Prints invalid arguments. Returns the exit status.
pub(crate) fn fail_usage(status: u8, refusal: &clap::Error) -> ExitCode {
    let _ = match asked_format() {
        Output::Text => refusal.print(),
        Output::Json => {
            let text = refusal.render().to_string();
            let message = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
            output::note_json(&json!({
                "reason": "USAGE",
                "message": message,
                "exit_status": status,
            }))
        }
    };
    status.into()
}

/// Returns the format that the arguments ask for, although they are invalid.
fn asked_format() -> Output {
    // Without `env::args`, which panics if one of them is not UTF-8.
    let arguments: Vec<OsString> = env::args_os().collect();
    let is_json = arguments
        .windows(2)
        .any(|pair| pair[0] == "--output" && pair[1] == "json")
        || arguments.iter().any(|argument| argument == "--output=json");
    if is_json { Output::Json } else { Output::Text }
}

impl CliError {
    /// Returns a name of the error for programs, in the style of the reasons of intake.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Address { .. } | Self::ProbeAddress { .. } => "INVALID_ADDRESS",
            Self::Token => "INVALID_TOKEN",
            Self::Connect { .. } => "NOT_CONNECTED",
            Self::Status(_) | Self::Answer { .. } => "UNEXPECTED_ANSWER",
            Self::Read { .. } => "UNREADABLE_FILE",
            Self::Write(_) | Self::WriteFile { .. } => "UNWRITABLE_FILE",
            Self::Setting { .. } => "INVALID_SETTING",
            Self::Model { .. } => "UNKNOWN_PROVIDER",
            Self::TryAxis(_) => "NO_VERDICT",
            Self::DamagedExport { .. } | Self::ImportRefused { .. } => "DAMAGED_EXPORT",
            Self::NoSuchVersion { .. } | Self::NoVersionBefore { .. } => "VERSION_NOT_FOUND",
            Self::NoSuchBlueprint { .. } => "BLUEPRINT_NOT_FOUND",
            Self::AmbiguousVersion { .. } => "AMBIGUOUS_VERSION",
            Self::AmbiguousIssue { .. } => "AMBIGUOUS_ISSUE",
            Self::NotConfirmed | Self::NoReason => "NOT_CONFIRMED",
            Self::OtherProposal { .. } | Self::BaseMoved { .. } | Self::ProposalChanged { .. } => {
                "PROPOSAL_STALE"
            }
            Self::FolderInUse { .. } | Self::Folder { .. } => "UNUSABLE_FOLDER",
            Self::Run { .. } => "COMMAND_FAILED",
            Self::PublicHost(_) => "INVALID_HOST",
            Self::Console(_) | Self::Signals(_) => "CONSOLE_FAILED",
            Self::Up(_) => "UP_FAILED",
            Self::Interrupted { .. } | Self::NotShown { .. } | Self::PreviewInterrupted => {
                "INTERRUPTED"
            }
            Self::NotDecided { .. } => "NOT_DECIDED",
            Self::Certificate(_) => "CERTIFICATE_FAILED",
            Self::Exists { .. } => "FILE_EXISTS",
            Self::Context(_) => "INVALID_CONTEXT",
            Self::Edit(_) => "NOT_EDITED",
            Self::Backup(_) => "NOT_COPIED",
            Self::NewId { .. } => "INVALID_ID",
        }
    }
}

fn text(error: &dyn Error) -> Styled {
    let mut text = error.to_string();
    for cause in causes(error) {
        text.push_str(&format!("\n  because: {cause}"));
    }
    Styled::of(Paint::Bad, "error:").plain(format_args!(" {text}"))
}

/// Returns the messages of the sources. Some error types repeat the message of their source.
fn causes(error: &dyn Error) -> Vec<String> {
    let (mut causes, mut last) = (Vec::new(), error.to_string());
    let mut source = error.source();
    while let Some(cause) = source {
        let message = cause.to_string();
        // What says only where in this program the error was.
        let says_nothing = message == "transport error";
        if !says_nothing && !last.ends_with(&message) {
            causes.push(message.clone());
        }
        last = message;
        source = cause.source();
    }
    causes
}

fn to_json(exit_status: u8, error: &(dyn Error + 'static)) -> Value {
    let Some(own) = error.downcast_ref::<CliError>() else {
        return json!({
            "reason": "ERROR",
            "message": error.to_string(),
            "causes": causes(error),
            "exit_status": exit_status,
        });
    };
    let mut value = match own {
        CliError::Status(status) => status_json(status),
        CliError::ImportRefused { source, .. } => match &**source {
            CliError::Status(status) => status_json(status),
            _ => json!({ "reason": own.reason(), "message": own.to_string() }),
        },
        _ => json!({
            "reason": own.reason(),
            "message": own.to_string(),
            "causes": causes(error),
        }),
    };
    value["exit_status"] = exit_status.into();
    value
}

/// Returns a status of intake with its details. `field` is the first invalid field.
fn status_json(status: &Status) -> Value {
    let details = status.get_error_details();
    let violations = details.bad_request().map(|bad| &bad.field_violations);
    let fields = violations
        .into_iter()
        .flatten()
        .map(|violation| json!({ "field": violation.field, "problem": violation.description }));
    let fields: Vec<Value> = fields.collect();
    let info = details.error_info();
    let retry_after = details.retry_info().and_then(|info| info.retry_delay);
    json!({
        "code": code_name(status.code()),
        "reason": info.map_or(code_name(status.code()), |info| info.reason.as_str()),
        "message": status.message(),
        "field": fields.first().map(|first| first["field"].clone()),
        "fields": fields,
        "metadata": info.map(|info| &info.metadata),
        "retry_after_seconds": retry_after.map(|delay| delay.as_secs_f64()),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic::Code;
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn an_error_of_intake_has_its_details_in_json() {
        let mut details = ErrorDetails::with_bad_request_violation("intent", "is empty");
        details.set_error_info(
            "INVALID_FIELD",
            "draftsman",
            [("issue_id".to_owned(), "i-1".to_owned())],
        );
        details.set_retry_info(Some(Duration::from_millis(1500)));
        let status = Status::with_error_details(Code::InvalidArgument, "intent is empty", details);
        assert_eq!(
            to_json(1, &CliError::from(status)),
            json!({
                "code": "INVALID_ARGUMENT",
                "reason": "INVALID_FIELD",
                "message": "intent is empty",
                "field": "intent",
                "fields": [{ "field": "intent", "problem": "is empty" }],
                "metadata": { "issue_id": "i-1" },
                "retry_after_seconds": 1.5,
                "exit_status": 1,
            })
        );
    }

    #[test]
    fn other_errors_have_a_reason_and_their_causes() {
        let error = CliError::Read {
            path: "x.yaml".into(),
            source: std::io::Error::other("broken"),
        };
        assert_eq!(
            to_json(1, &error),
            json!({
                "reason": "UNREADABLE_FILE",
                "message": "cannot read x.yaml",
                "causes": ["broken"],
                "exit_status": 1,
            })
        );
        assert_eq!(
            text(&error).text(),
            "error: cannot read x.yaml\n  because: broken"
        );
    }
}

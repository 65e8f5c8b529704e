//! Follows an issue until it is decided, across interruptions of intake and its streams.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use proto::v1::{Issue, StepProgress, StepStatus, WatchIssueRequest};
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::decision::Decision;
use crate::args::Output;
use crate::client::{CliError, Client};
use crate::output::{self, Styled};

/// How long a watch is retried while intake is unavailable.
const REJOIN_FOR: Duration = Duration::from_secs(60);
/// Pause between two attempts.
const REJOIN_EVERY: Duration = Duration::from_millis(500);

/// Progress output of an issue: one line per state and per finished step. On a terminal a spinner
/// below shows the running step. Prints nothing for JSON output.
pub(super) struct Progress {
    spinner: ProgressBar,
    format: Output,
}

impl Progress {
    /// Creates the progress output and prints nothing yet.
    pub(super) fn new(format: Output) -> Self {
        let spinner = if io::stderr().is_terminal() {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::hidden()
        };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            spinner.set_style(style);
        }
        spinner.enable_steady_tick(Duration::from_millis(100));
        Self { spinner, format }
    }

    /// Prints the state of the issue above the spinner.
    fn state(&self, issue: &Issue) -> Result<(), CliError> {
        if self.format == Output::Text {
            self.line(Styled::from("  ").then(output::standing(issue)))?;
        }
        self.spinner
            .set_message(output::state_name(issue).replace('_', " "));
        Ok(())
    }

    /// Prints a finished step; shows a started step in the spinner.
    fn step(&self, step: &StepProgress) -> Result<(), CliError> {
        match ended(step) {
            Some(text) => self.line(format_args!("    {text}")),
            None => {
                self.spinner.set_message(named(step));
                Ok(())
            }
        }
    }

    fn line(&self, text: impl Into<Styled>) -> Result<(), CliError> {
        Ok(self.spinner.suspend(|| output::line(text))?)
    }
}

/// Formats the name of a step, with the axis of a verifier. Both are untrusted text of a document.
fn named(step: &StepProgress) -> String {
    // The spinner and the duration need about 30 columns.
    output::one_line(&format!("{} {}", step.step, step.axis), 30)
}

/// Describes how a step ended; `None` if it still runs.
fn ended(step: &StepProgress) -> Option<String> {
    let took = match step.duration_ms {
        ms @ ..1_000 => format!("{ms} ms"),
        ms => format!("{:.1} s", Duration::from_millis(ms).as_secs_f64()),
    };
    match step.status() {
        StepStatus::Finished => Some(format!("{}  {took}", named(step))),
        StepStatus::Failed => Some(format!("{}  failed after {took}", named(step))),
        StepStatus::Started | StepStatus::Unspecified => None,
    }
}

/// Follows an issue, prints its progress and passes every state to `each`, starting with `known`.
/// Returns the last state and the decision.
///
/// If intake becomes unavailable or ends the watch at its maximum duration, the watch is repeated.
/// No state is passed twice.
pub(super) async fn follow(
    client: &mut Client,
    issue_id: &str,
    known: Option<&Issue>,
    progress: &Progress,
    each: impl Fn(&Issue) -> Result<(), CliError>,
) -> Result<(Issue, Decision), CliError> {
    let mut seen_revision = known.map(|issue| issue.revision);
    if let Some(issue) = known {
        progress.state(issue)?;
        each(issue)?;
    }
    let mut give_up_at = None;
    loop {
        let request = WatchIssueRequest {
            issue_id: issue_id.to_owned(),
            include_steps: progress.format == Output::Text,
        };
        let ended = match client.intake.watch_issue(request).await {
            Err(status) => status,
            Ok(stream) => {
                let mut stream = stream.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(message)) => {
                            give_up_at = None;
                            if let Some(step) = &message.step {
                                progress.step(step)?;
                                continue;
                            }
                            let issue = message.issue.ok_or(CliError::Answer { field: "issue" })?;
                            if seen_revision.is_none_or(|seen| issue.revision > seen) {
                                seen_revision = Some(issue.revision);
                                progress.state(&issue)?;
                                each(&issue)?;
                            }
                            if let Some(decision) = Decision::of(&issue) {
                                progress.spinner.finish_and_clear();
                                return Ok((issue, decision));
                            }
                        }
                        Ok(None) => {
                            break Status::unavailable(
                                "the stream ended before the issue was decided",
                            );
                        }
                        Err(status) => break status,
                    }
                }
            }
        };
        // The watch lasted at least one second, so this loop does not spin.
        if is_over(&ended) {
            continue;
        }
        // A connection that breaks under a stream yields UNKNOWN or CANCELLED, depending on where
        // it broke.
        let passing = match ended.code() {
            Code::Unavailable => true,
            Code::Unknown | Code::Cancelled | Code::Internal => seen_revision.is_some(),
            _ => false,
        };
        let deadline = *give_up_at.get_or_insert_with(|| Instant::now() + REJOIN_FOR);
        if !passing || Instant::now() >= deadline {
            progress.spinner.finish_and_clear();
            return Err(ended.into());
        }
        progress.spinner.set_message("intake is away, trying again");
        tokio::time::sleep(REJOIN_EVERY).await;
    }
}

/// Returns whether a stream ended because the watch reached its maximum duration.
pub(super) fn is_over(status: &Status) -> bool {
    let info = status.get_details_error_info();
    info.is_some_and(|info| info.reason == "WATCH_OVER")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_has_ended_is_a_line() {
        let step = |axis: &str, status: StepStatus, duration_ms| StepProgress {
            step: "verifier-router".to_owned(),
            axis: axis.to_owned(),
            status: status.into(),
            duration_ms,
            attempt: 1,
        };
        let cases = [
            (
                "des",
                StepStatus::Finished,
                12,
                Some("verifier-router des  12 ms"),
            ),
            (
                "",
                StepStatus::Finished,
                999,
                Some("verifier-router  999 ms"),
            ),
            (
                "",
                StepStatus::Failed,
                61_250,
                Some("verifier-router  failed after 61.2 s"),
            ),
            ("des", StepStatus::Started, 0, None),
        ];
        for (axis, status, ms, line) in cases {
            assert_eq!(ended(&step(axis, status, ms)).as_deref(), line);
        }
    }
}

//! Follows an issue until it is decided, across interruptions of intake and its streams.

use std::cell::RefCell;
use std::io::{self, IsTerminal};
use std::time::{Duration, SystemTime};

use indicatif::{ProgressBar, ProgressStyle};
use proto::v1::{
    Issue, IssueState, StepProgress, StepStatus, WaitingFor, WaitingReason, WatchIssueRequest,
};
use tokio::signal::ctrl_c;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::decision::Decision;
use super::log;
use super::waiting::describe;
use crate::args::Output;
use crate::client::{CliError, Client};
use crate::output::{self, Styled};

/// How long a watch is retried while intake is unavailable.
const REJOIN_FOR: Duration = Duration::from_secs(60);
/// How long a submission normally takes at most.
const SLOW: Duration = Duration::from_secs(1);
/// Pause between two attempts.
const REJOIN_EVERY: Duration = Duration::from_millis(500);

/// Progress output of an issue: one line per state and per finished step. On a terminal a spinner
/// below shows the running step. Prints nothing for JSON output.
pub(super) struct Progress {
    spinner: ProgressBar,
    format: Output,
    /// What the last line about waiting says, without what changes all the time.
    waiting: RefCell<Option<WaitingKey>>,
}

/// The part of what an issue waits for whose change is a new line: the reason, the actor of a
/// pause, and the time of the next attempt.
type WaitingKey = (i32, String, Option<prost_types::Timestamp>);

impl Progress {
    /// Creates the progress output and prints nothing yet.
    pub(super) fn new(format: Output) -> Self {
        Self {
            spinner: spinner(""),
            format,
            waiting: RefCell::new(None),
        }
    }

    /// Prints the state of the issue above the spinner; in review also who can decide it.
    fn state(&self, issue: &Issue) -> Result<(), CliError> {
        if self.format == Output::Text {
            let standing = output::standing(issue).wrap(2, output::wrap_width());
            self.line(Styled::from("  ").then(standing))?;
            if issue.state() == IssueState::InReview {
                let who = Styled::from(who_decides(issue)).wrap(4, output::wrap_width());
                self.line(Styled::from("    ").then(who))?;
            }
        }
        self.spinner
            .set_message(output::state_name(issue).replace('_', " "));
        if issue.waiting_for.is_none() {
            self.waiting.take();
        }
        Ok(())
    }

    /// Prints what the issue waits for if it is another reason, and shows it in the spinner. A wait
    /// for a free worker usually ends at once, so it is printed only if it `lasts`.
    fn waiting(
        &self,
        waiting: &WaitingFor,
        blueprint_id: &str,
        lasts: bool,
    ) -> Result<(), CliError> {
        let Some(text) = describe(waiting, blueprint_id, SystemTime::now()) else {
            self.waiting.take();
            return Ok(());
        };
        let key = (
            waiting.reason,
            waiting.paused_by.clone(),
            waiting.next_attempt_at,
        );
        let is_new = self.waiting.borrow().as_ref() != Some(&key);
        if is_new && (lasts || waiting.reason() != WaitingReason::Worker) {
            self.waiting.replace(Some(key));
            if self.format == Output::Text {
                let text = Styled::from(&text).wrap(4, output::wrap_width());
                self.line(Styled::from("    ").then(text))?;
            }
        }
        self.spinner.set_message(output::escape(&text).into_owned());
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

/// Creates a spinner with the elapsed time on a terminal, and a hidden one elsewhere.
pub(super) fn spinner(message: &'static str) -> ProgressBar {
    let spinner = if io::stderr().is_terminal() && output::moves_cursor() {
        ProgressBar::new_spinner()
    } else {
        ProgressBar::hidden()
    };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
        spinner.set_style(style);
    }
    spinner.set_message(message);
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
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

/// Says who can decide an issue in review, and with which verb.
fn who_decides(issue: &Issue) -> String {
    let who = match issue.submitted_by.as_str() {
        "" | "anonymous" => String::new(),
        submitter => format!(", not {submitter}"),
    };
    let id = output::short_ids(&[&issue.issue_id])[0];
    format!("`draftsman review {id}` decides it (a token of scope review{who})")
}

/// Follows an issue, prints its progress and passes every state to `each`, starting with `known`.
/// A state is passed again if only what the issue waits for has changed. Returns the last state and
/// the decision. An issue in review also ends it if `detach_on_review`.
///
/// If intake becomes unavailable or ends the watch at its maximum duration, the watch is repeated.
///
/// # Errors
/// [`CliError::Interrupted`] after Ctrl-C, and [`CliError::NotDecided`] after `--timeout`. Errors
/// of intake that do not pass, and those of `each`.
pub(super) async fn follow(
    client: &mut Client,
    issue_id: &str,
    known: Option<&Issue>,
    progress: &Progress,
    detach_on_review: bool,
    each: impl Fn(&Issue) -> Result<(), CliError>,
) -> Result<(Issue, Decision), CliError> {
    let limit = client.limits.wait();
    let told = Told {
        progress,
        detach_on_review,
        each,
        last: None,
    };
    let followed = tokio::select! {
        followed = follow_to_the_end(client, issue_id, known, told) => followed,
        interrupted = ctrl_c() => {
            interrupted?;
            Err(CliError::Interrupted { issue_id: issue_id.to_owned() })
        }
        waited = passes(limit) => Err(CliError::NotDecided {
            issue_id: issue_id.to_owned(),
            waited,
        }),
    };
    progress.spinner.finish_and_clear();
    followed
}

/// Waits for a submission. Notes on standard error that it takes long: intake repeats it for some
/// seconds while Redis is unavailable.
pub(super) async fn note_if_slow<T>(
    submitting: impl Future<Output = Result<T, Status>>,
) -> Result<T, CliError> {
    let mut submitting = std::pin::pin!(submitting);
    match timeout(SLOW, submitting.as_mut()).await {
        Ok(submitted) => Ok(submitted?),
        Err(_) => {
            output::note("intake has not accepted the issue yet; Redis may be unavailable")?;
            Ok(submitting.await?)
        }
    }
}

/// Prints the judgement of a decided issue. Repeats it for a minute while intake is unavailable, as
/// right after the return of Redis.
///
/// # Errors
/// Errors of intake or standard output, and [`CliError::NotShown`] after Ctrl-C.
pub(super) async fn show_judgement(client: &mut Client, issue_id: &str) -> Result<(), CliError> {
    let deadline = Instant::now() + REJOIN_FOR;
    let printing = async {
        loop {
            match log::print_brief(client, issue_id).await {
                Err(CliError::Status(status))
                    if status.code() == Code::Unavailable && Instant::now() < deadline =>
                {
                    sleep(REJOIN_EVERY).await;
                }
                done => return done,
            }
        }
    };
    // The wait for the decision has taken Ctrl-C from the system, for the rest of the process.
    tokio::select! {
        printed = printing => printed,
        interrupted = ctrl_c() => {
            interrupted?;
            Err(CliError::NotShown { issue_id: issue_id.to_owned() })
        }
    }
}

/// Returns the limit after it has passed; never returns without one.
async fn passes(limit: Option<Duration>) -> Duration {
    match limit {
        Some(limit) => {
            sleep(limit).await;
            limit
        }
        None => std::future::pending().await,
    }
}

/// The issue as it was last told.
struct Told<'a, E> {
    progress: &'a Progress,
    detach_on_review: bool,
    each: E,
    last: Option<Issue>,
}

impl<E: Fn(&Issue) -> Result<(), CliError>> Told<'_, E> {
    /// Passes a state on, unless it is older than the last one. Returns the decision.
    fn issue(&mut self, issue: Issue) -> Result<Option<Decision>, CliError> {
        let decision = Decision::or_review(&issue, self.detach_on_review);
        let last = self.last.as_ref();
        if last.is_none_or(|last| issue.revision > last.revision) {
            self.progress.state(&issue)?;
        } else if last.is_some_and(|last| issue.revision < last.revision || issue == *last) {
            return Ok(decision);
        }
        if let Some(waiting) = &issue.waiting_for {
            self.progress.waiting(waiting, &issue.blueprint_id, false)?;
        }
        (self.each)(&issue)?;
        self.last = Some(issue);
        Ok(decision)
    }

    /// Passes the last state on with what the issue waits for now.
    fn waiting(&mut self, waiting: WaitingFor) -> Result<(), CliError> {
        let Some(last) = &mut self.last else {
            return Ok(());
        };
        self.progress.waiting(&waiting, &last.blueprint_id, true)?;
        let is_waiting = waiting.reason() != WaitingReason::Unspecified;
        last.waiting_for = is_waiting.then_some(waiting);
        (self.each)(last)
    }
}

async fn follow_to_the_end<E: Fn(&Issue) -> Result<(), CliError>>(
    client: &mut Client,
    issue_id: &str,
    known: Option<&Issue>,
    mut told: Told<'_, E>,
) -> Result<(Issue, Decision), CliError> {
    let progress = told.progress;
    if let Some(issue) = known {
        told.issue(issue.clone())?;
    }
    let mut give_up_at = None;
    loop {
        let request = WatchIssueRequest {
            issue_id: issue_id.to_owned(),
            include_steps: progress.format == Output::Text,
            include_waiting: true,
        };
        let opening = client.intake.watch_issue(request);
        let opened = match client.limits.call() {
            Some(limit) => timeout(limit, opening)
                .await
                .unwrap_or_else(|_| Err(Status::unavailable("intake does not answer"))),
            None => opening.await,
        };
        let ended = match opened {
            Err(status) => status,
            Ok(stream) => {
                let mut stream = stream.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(message)) => {
                            if give_up_at.take().is_some() {
                                output::note("intake is available again")?;
                            }
                            if let Some(step) = &message.step {
                                progress.step(step)?;
                                continue;
                            }
                            if let Some(waiting) = message.waiting_for {
                                told.waiting(waiting)?;
                                continue;
                            }
                            let issue = message.issue.ok_or(CliError::Answer { field: "issue" })?;
                            if let Some(decision) = told.issue(issue.clone())? {
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
            Code::Unknown | Code::Cancelled | Code::Internal => told.last.is_some(),
            _ => false,
        };
        let is_first = give_up_at.is_none();
        let deadline = *give_up_at.get_or_insert_with(|| Instant::now() + REJOIN_FOR);
        if !passing || Instant::now() >= deadline {
            return Err(ended.into());
        }
        if is_first {
            let away = format_args!("intake is unavailable, trying again: {}", ended.message());
            let away = output::warning(away);
            progress.spinner.suspend(|| output::note(away))?;
        }
        progress
            .spinner
            .set_message("intake is unavailable, trying again");
        sleep(REJOIN_EVERY).await;
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

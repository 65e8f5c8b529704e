//! The words and colours for issues and decisions.

use proto::v1::{Issue, IssueState, RejectionCause};

use super::styled::{Paint, Styled};
use super::table::short_version;

/// Returns the name of the state as in the published events.
pub(crate) fn state_name(issue: &Issue) -> &'static str {
    match issue.state() {
        IssueState::Unspecified => "unspecified",
        IssueState::Pending => "pending",
        IssueState::InFlight => "in_flight",
        IssueState::InReview => "in_review",
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
        RejectionCause::Declined => "declined",
    }
}

/// Returns the state or, for a rejected issue, the cause, as tables show it. `issues --state`
/// accepts these words.
pub(crate) fn state_word(issue: &Issue) -> &'static str {
    match cause_name(issue) {
        "" => state_name(issue),
        cause => cause,
    }
}

/// Returns the colour of an issue's state.
pub(crate) fn state_paint(issue: &Issue) -> Paint {
    status_paint(state_word(issue))
}

/// Returns the colour of a word: a state, a cause, the status of a verdict or a log entry, or a
/// finding.
pub(crate) fn status_paint(word: &str) -> Paint {
    match word {
        "applied" | "committed" | "pass" | "ok" => Paint::Good,
        "rejected" | "denied" | "declined" | "failed" | "deny" | "bad" => Paint::Bad,
        "cancelled" | "warn" | "review" | "in_review" | "behind" | "paused" => Paint::Warn,
        "in_flight" | "applying" => Paint::Active,
        _ => Paint::Plain,
    }
}

/// Describes the state of an issue in one line.
pub(crate) fn standing(issue: &Issue) -> Styled {
    let paint = state_paint(issue);
    match issue.state() {
        IssueState::Pending if issue.reason.is_empty() => "pending".into(),
        IssueState::Pending => {
            Styled::of(paint, "pending").plain(format_args!(", will be retried: {}", issue.reason))
        }
        IssueState::InFlight => Styled::of(paint, "in flight").plain(format_args!(
            ", attempt {} by {}",
            issue.attempt, issue.worker_id
        )),
        IssueState::InReview => {
            // The reason repeats the state.
            let reason = issue.reason.trim_start_matches("needs a review: ");
            Styled::of(paint, "in review").plain(format_args!(": {reason}"))
        }
        IssueState::Applied => Styled::of(paint, "applied").plain(format_args!(
            ", version {}",
            short_version(&issue.new_version)
        )),
        IssueState::Rejected => Styled::of(paint, format_args!("rejected ({})", cause_name(issue)))
            .plain(format_args!(": {}", issue.reason)),
        IssueState::Unspecified => "in an unknown state".into(),
    }
}

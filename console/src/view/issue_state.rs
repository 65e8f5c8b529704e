//! The state of an issue, in a word with a mark.

use maud::{Markup, html};
use proto::v1;
use proto::v1::{Issue, IssueState, RejectionCause};

/// Returns the word of a state, and its class in the style sheet.
pub(crate) fn word(issue: &Issue) -> (&'static str, &'static str) {
    match issue.state() {
        IssueState::Pending if issue.attempt > 0 => ("waiting to retry", "waiting"),
        IssueState::Pending => ("waiting", "waiting"),
        IssueState::InFlight => ("in flight", "running"),
        IssueState::InReview => ("in review", "review"),
        IssueState::Applied => ("applied", "applied"),
        IssueState::Rejected => match issue.cause() {
            RejectionCause::Denied => ("denied", "denied"),
            RejectionCause::Cancelled => ("cancelled", "cancelled"),
            RejectionCause::Declined => ("declined", "denied"),
            _ => ("failed", "failed"),
        },
        IssueState::Unspecified => ("unknown", "waiting"),
    }
}

/// Returns the word and the class of a decision in the log.
pub(crate) fn decided(entry: &v1::LogEntry) -> (&str, &'static str) {
    match (entry.status.as_str(), entry.cause.as_str()) {
        ("applied", _) => ("applied", "applied"),
        (_, "denied") => ("denied", "denied"),
        (_, "cancelled") => ("cancelled", "cancelled"),
        (_, "declined") => ("declined", "denied"),
        _ => ("failed", "failed"),
    }
}

/// Returns the mark with its word. The shape of the mark differs too, not only its colour.
pub(crate) fn mark(word: &str, class: &str) -> Markup {
    html! { span.state.(class) { span.dot aria-hidden="true" {} (word) } }
}

/// Returns true if the state is final.
pub(crate) fn is_final(issue: &Issue) -> bool {
    matches!(issue.state(), IssueState::Applied | IssueState::Rejected)
}

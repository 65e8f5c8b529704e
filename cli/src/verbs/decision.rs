//! The outcome of an issue for the shell, and its exit status.

use proto::v1::{Issue, IssueState, RejectionCause};

/// What ends a verb that waits for an issue, which determines the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Its change was committed.
    Applied,
    /// A verifier denied it, or a reviewer declined it.
    Denied,
    /// It could not be decided.
    Failed,
    /// A user cancelled it.
    Cancelled,
    /// It waits for a review, and the caller does not.
    InReview,
}

impl Decision {
    /// Returns the decision of an issue; `None` if it is undecided.
    pub(super) fn of(issue: &Issue) -> Option<Self> {
        match (issue.state(), issue.cause()) {
            (IssueState::Applied, _) => Some(Self::Applied),
            (IssueState::Rejected, RejectionCause::Denied | RejectionCause::Declined) => {
                Some(Self::Denied)
            }
            (IssueState::Rejected, RejectionCause::Cancelled) => Some(Self::Cancelled),
            (IssueState::Rejected, _) => Some(Self::Failed),
            _ => None,
        }
    }

    /// As [`Decision::of`]; [`Decision::InReview`] for an issue in review if `detach_on_review`.
    pub(super) fn or_review(issue: &Issue, detach_on_review: bool) -> Option<Self> {
        let detaches = detach_on_review && issue.state() == IssueState::InReview;
        Self::of(issue).or(detaches.then_some(Self::InReview))
    }

    /// Returns the exit status of `submit`, `watch` and `retry`.
    pub(crate) fn exit_status(self) -> u8 {
        match self {
            Self::Applied => 0,
            Self::Denied => 2,
            Self::Failed => 3,
            Self::Cancelled => 4,
            Self::InReview => 5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_its_exit_status() {
        let status = |state: IssueState, cause: RejectionCause, detach_on_review| {
            let issue = Issue {
                state: state.into(),
                cause: cause.into(),
                ..Issue::default()
            };
            Decision::or_review(&issue, detach_on_review).map(Decision::exit_status)
        };
        use RejectionCause as Cause;
        for (state, cause, expected, detached) in [
            (IssueState::Pending, Cause::Unspecified, None, None),
            (IssueState::InFlight, Cause::Unspecified, None, None),
            (IssueState::InReview, Cause::Unspecified, None, Some(5)),
            (IssueState::Applied, Cause::Unspecified, Some(0), Some(0)),
            (IssueState::Rejected, Cause::Denied, Some(2), Some(2)),
            (IssueState::Rejected, Cause::Declined, Some(2), Some(2)),
            (IssueState::Rejected, Cause::Failed, Some(3), Some(3)),
            (IssueState::Rejected, Cause::Cancelled, Some(4), Some(4)),
        ] {
            assert_eq!(status(state, cause, false), expected, "{state:?} {cause:?}");
            assert_eq!(status(state, cause, true), detached, "{state:?} {cause:?}");
        }
    }
}

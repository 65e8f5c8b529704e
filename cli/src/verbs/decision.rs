//! The decision of an issue, and its exit status.

use proto::v1::{Issue, IssueState, RejectionCause};

/// The decision of an issue, which determines the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Its change was committed.
    Applied,
    /// A verifier denied it.
    Denied,
    /// It could not be decided.
    Failed,
    /// A user cancelled it.
    Cancelled,
}

impl Decision {
    /// Returns the decision of an issue; `None` if it is undecided.
    pub(super) fn of(issue: &Issue) -> Option<Self> {
        match (issue.state(), issue.cause()) {
            (IssueState::Applied, _) => Some(Self::Applied),
            (IssueState::Rejected, RejectionCause::Denied) => Some(Self::Denied),
            (IssueState::Rejected, RejectionCause::Cancelled) => Some(Self::Cancelled),
            (IssueState::Rejected, _) => Some(Self::Failed),
            _ => None,
        }
    }

    /// Returns the exit status of `submit`, `watch` and `retry`.
    pub(crate) fn exit_status(self) -> u8 {
        match self {
            Self::Applied => 0,
            Self::Denied => 2,
            Self::Failed => 3,
            Self::Cancelled => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_decision_has_its_exit_status() {
        let decided = |state: IssueState, cause: RejectionCause| {
            Decision::of(&Issue {
                state: state.into(),
                cause: cause.into(),
                ..Issue::default()
            })
            .map(Decision::exit_status)
        };
        assert_eq!(
            decided(IssueState::Pending, RejectionCause::Unspecified),
            None
        );
        assert_eq!(
            decided(IssueState::InFlight, RejectionCause::Unspecified),
            None
        );
        assert_eq!(
            decided(IssueState::Applied, RejectionCause::Unspecified),
            Some(0)
        );
        assert_eq!(
            decided(IssueState::Rejected, RejectionCause::Denied),
            Some(2)
        );
        assert_eq!(
            decided(IssueState::Rejected, RejectionCause::Failed),
            Some(3)
        );
        assert_eq!(
            decided(IssueState::Rejected, RejectionCause::Cancelled),
            Some(4)
        );
    }
}

//! The scripts of a review: a proposal is approved, declined, or expires.

use crate::model::mistakes::Mistake;
use crate::model::requests::{Held, Reply};
use crate::model::rules::Rule;
use crate::model::scripts::Scripts;
use crate::model::state::{Commit, IssueNo, IssueState};

impl Scripts<'_> {
    /// Stores the result of a run that needs a review: a part of settle. The caller places the next
    /// head, if `leaves_next`.
    pub(super) fn propose(&mut self, held: Held, base: u8, leaves_next: bool) {
        let issue = held.issue;
        self.leave_queue(issue, Some(held.worker), leaves_next);
        if self.makes(Mistake::ReviewKeepsQueue) {
            self.queue_of(issue).backlog.insert(0, issue);
        }
        let f = self.issue(issue);
        f.state = IssueState::InReview;
        f.round += 1;
        f.base = Some(base);
        self.redis.proposals[issue as usize] = Some(base);
    }

    pub(super) fn approve(&mut self, issue: IssueNo, seen: u8, is_submitter: bool) -> Reply {
        let f = self.issue(issue).clone();
        let is_seen = f.base == Some(seen);
        if f.state != IssueState::InReview && !self.makes(Mistake::ApproveAnyState) {
            let remembers = !self.makes(Mistake::ApproveForgets);
            return match f.state {
                IssueState::Applied if f.round > 0 && is_seen && remembers => {
                    Reply::Approved { again: true }
                }
                IssueState::Pending | IssueState::InFlight if f.round > 0 && is_seen => {
                    Reply::JoinedAgain { again: true }
                }
                _ => Reply::NotInReview,
            };
        }
        if is_submitter {
            if !self.makes(Mistake::ApproveIgnoresSubmitter) {
                return Reply::SelfReview;
            }
            self.truth.broken.add(Rule::SelfReview);
        }
        if self.redis.due[issue as usize] {
            self.decide(issue, IssueState::Declined, None, false);
            return Reply::NotInReview;
        }
        if !is_seen && !self.makes(Mistake::ApproveAnyProposal) {
            return Reply::OtherProposal;
        }
        if self.orbit_forbids(issue, Mistake::ApproveIgnoresOrbit) {
            self.decide(issue, IssueState::Refused, None, false);
            return Reply::OrbitNeedsAdmin;
        }

        let base = self.redis.proposals[issue as usize].unwrap_or(seen);
        let head = self.queue_of(issue).head;
        if head != base && !self.makes(Mistake::ApproveOverAnyHead) {
            self.verify_again(issue);
            return Reply::JoinedAgain { again: false };
        }
        let queue = self.queue_of(issue);
        queue.commits.push(Commit {
            seq: base + 1,
            parent: base,
            base,
            by: Some(issue),
        });
        queue.head = base + 1;
        self.decide(issue, IssueState::Applied, None, false);
        Reply::Approved { again: false }
    }

    /// Returns an issue to its queue, with its stored patch.
    fn verify_again(&mut self, issue: IssueNo) {
        let attempt = self.issue(issue).attempt;
        self.truth.earlier[issue as usize] = attempt;
        self.truth.decided_by[issue as usize] = None;
        self.forget_lease(issue);
        let f = self.issue(issue);
        f.deaths = 0;
        f.retries = 0;
        if !self.makes(Mistake::ApproveForgetsQueue) {
            self.join_queue(issue, false);
        }
    }

    pub(super) fn decline(&mut self, issue: IssueNo) -> Reply {
        let state = self.issue(issue).state;
        if state != IssueState::InReview && !self.makes(Mistake::DeclineAnyState) {
            return match state {
                IssueState::Declined => Reply::Declined { again: true },
                _ => Reply::NotInReview,
            };
        }

        self.decide(issue, IssueState::Declined, None, false);
        Reply::Declined { again: false }
    }

    pub(super) fn expire(&mut self, issue: IssueNo) -> Reply {
        if self.issue(issue).state != IssueState::InReview {
            return Reply::Gone;
        }
        if !self.redis.due[issue as usize] {
            return Reply::Waits;
        }

        self.decide(issue, IssueState::Declined, None, false);
        Reply::Expired
    }
}

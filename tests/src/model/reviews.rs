//! Reviewers: what they call, and what they are told.
//!
//! A reviewer approves the proposal that they have seen. They call again after each answer, as long
//! as the scenario allows, and repeat an unanswered call unchanged.

use crate::model::Protocol;
use crate::model::requests::{Reply, Request};
use crate::model::rules::Rule;
use crate::model::state::{Caller, IssueNo, IssueState, Review, Reviewer, State};

/// The call of a review.
fn call_of(issue: IssueNo, review: Review) -> Request {
    match review {
        Review::Approve { base, is_submitter } => Request::Approve {
            issue,
            base,
            is_submitter,
        },
        Review::Decline => Request::Decline(issue),
    }
}

/// The review of a call; `None` for a call of another kind.
fn review_of(request: &Request) -> Option<(IssueNo, Review)> {
    match *request {
        Request::Approve {
            issue,
            base,
            is_submitter,
        } => Some((issue, Review::Approve { base, is_submitter })),
        Request::Decline(issue) => Some((issue, Review::Decline)),
        _ => None,
    }
}

/// Collects the repeated calls of reviewers.
pub(super) fn repeated_calls(state: &State, call: &mut impl FnMut(Request)) {
    for (issue, reviewer) in state.reviewers.iter().enumerate() {
        let unsure = reviewer
            .review
            .filter(|_| reviewer.caller == Caller::Unsure);
        if let Some(review) = unsure {
            call(call_of(issue as IssueNo, review));
        }
    }
}

/// Collects the first calls of reviewers.
pub(super) fn first_calls(model: &Protocol, state: &State, call: &mut impl FnMut(Request)) {
    let faults = &state.faults;
    for (i, issue) in state.redis.issues.iter().enumerate() {
        let is_free = state.reviewers[i].caller != Caller::Unsure;
        let Some(base) = issue
            .base
            .filter(|_| is_free && issue.state == IssueState::InReview)
        else {
            continue;
        };
        let i = i as IssueNo;
        if faults.approvals > 0 {
            for is_submitter in [false, true] {
                if !is_submitter || model.scenario.self_reviews {
                    call(call_of(i, Review::Approve { base, is_submitter }));
                }
            }
        }
        if faults.declines > 0 {
            call(call_of(i, Review::Decline));
        }
    }
}

/// Collects the calls of the role that ends expired reviews.
pub(super) fn background_calls(state: &State, call: &mut impl FnMut(Request)) {
    for (issue, is_due) in state.redis.due.iter().enumerate() {
        if *is_due {
            call(Request::Expire(issue as IssueNo));
        }
    }
}

/// Records the first call of a reviewer.
pub(super) fn spend(state: &mut State, request: &Request) {
    let Some((issue, review)) = review_of(request) else {
        return;
    };
    let reviewer = &mut state.reviewers[issue as usize];
    if reviewer.caller == Caller::Unsure {
        return;
    }
    // Until it is answered, the call counts as unanswered.
    *reviewer = Reviewer {
        caller: Caller::Unsure,
        review: Some(review),
    };
    match review {
        Review::Approve { base, is_submitter } => {
            state.faults.approvals -= 1;
            if !is_submitter {
                state.truth.approved[issue as usize] |= 1 << base;
            }
        }
        Review::Decline => state.faults.declines -= 1,
    }
}

/// Updates the reviewer after an answer.
pub(super) fn deliver(state: &mut State, request: &Request, reply: &Reply) {
    let Some((issue, review)) = review_of(request) else {
        return;
    };
    state.reviewers[issue as usize].caller = Caller::Answered;
    if let Review::Approve { base, .. } = review {
        let mut commits = state.redis.queues.iter().flat_map(|queue| &queue.commits);
        let has = commits.any(|commit| commit.by == Some(issue) && commit.base == base);
        if matches!(reply, Reply::Approved { .. }) != has {
            state.truth.broken.add(Rule::Told);
        }
    }
}

//! Reviews: a reviewer who approves what they have read some time ago, or declines it; the clock
//! that ends reviews, and the role that declines what expired.

use std::collections::BTreeMap;

use shared::domain::actor::Actor;
use shared::domain::issue::{IssueState, RejectionCause};
use shared::domain::proposal::Approval;
use shared::ids::IssueId;
use shared::store::{ApproveOutcome, DeclineOutcome, ExpireOutcome, IssueRef, ProposalLookup};

use crate::simulation::calls::{Seen, about};
use crate::simulation::judge::rejected;
use crate::simulation::ledger::{Ledger, Place};
use crate::simulation::world::World;

/// Whether the change of this issue needs a review.
pub(super) fn needs_review(id: &IssueId) -> bool {
    id.as_str().ends_with('3')
}

/// The memory of the reviewer.
#[derive(Debug, Default)]
pub(super) struct Reviewer {
    /// What the reviewer has read of each issue, maybe some time ago.
    read: BTreeMap<IssueId, (IssueRef, Approval)>,
}

impl Reviewer {
    /// Reads a proposal, approves what was read, or declines.
    pub(super) async fn step(&mut self, world: &mut World) -> Seen<()> {
        if world.rng.one_in(3) || self.read.is_empty() {
            return self.look(world).await;
        }
        let known: Vec<IssueId> = self.read.keys().cloned().collect();
        let Some(id) = world.rng.pick(&known) else {
            return Ok(());
        };
        let (issue, approval) = self.read[&id].clone();
        let is_answered = match world.rng.roll(4) {
            0 => world.decline(&issue).await?.is_some(),
            _ => world.approve(&issue, &approval).await?.is_some(),
        };
        // An unanswered call is repeated, and sometimes an answered one too.
        if is_answered && !world.rng.one_in(3) {
            self.read.remove(&id);
        }
        Ok(())
    }

    async fn look(&mut self, world: &mut World) -> Seen<()> {
        let waiting = world.ledger.in_review();
        let Some(issue) = world.rng.pick(&waiting) else {
            return Ok(());
        };
        let found = world.fixture.whole.proposal(&issue.issue_id).await;
        let found = found.map_err(|error| vec![format!("error: proposal: {error:?}")])?;
        let ProposalLookup::Found(proposal) = found else {
            return Err(vec![format!(
                "review: {issue:?} has no proposal: {found:?}"
            )]);
        };
        world.trace.note("read", &issue.element(), "ok");
        let approval = Approval {
            new_version: proposal.version,
            base_version: proposal.base_version,
            comment: String::new(),
            by: Actor::parse("reviewer").expect("an actor"),
            is_authenticated: true,
        };
        self.read.insert(issue.issue_id.clone(), (issue, approval));
        Ok(())
    }
}

impl World {
    async fn approve(
        &mut self,
        issue: &IssueRef,
        approval: &Approval,
    ) -> Seen<Option<ApproveOutcome>> {
        self.call(
            "approve",
            &issue.element(),
            about(issue),
            async |fixture| fixture.whole.approve_issue(&issue.issue_id, approval).await,
            |ledger, outcome| ledger.approved(issue, approval, outcome),
        )
        .await
    }

    async fn decline(&mut self, issue: &IssueRef) -> Seen<Option<DeclineOutcome>> {
        let by = Actor::parse("reviewer").expect("an actor");
        self.call(
            "decline",
            &issue.element(),
            about(issue),
            async |fixture| {
                let declining = fixture.whole.decline_issue(&issue.issue_id, "no", &by);
                declining.await
            },
            |ledger, outcome| ledger.declined(issue, outcome),
        )
        .await
    }

    pub(super) async fn expire(&mut self, issue: &IssueRef) -> Seen<Option<ExpireOutcome>> {
        self.call(
            "expire",
            &issue.element(),
            about(issue),
            async |fixture| fixture.store.expire_review(issue).await,
            |ledger, outcome| ledger.expired(issue, *outcome),
        )
        .await
    }

    /// Lets one review fall due.
    pub(super) async fn end_review(&mut self) -> Seen<()> {
        let waiting = self.ledger.in_review();
        let Some(issue) = self.rng.pick(&waiting) else {
            return Ok(());
        };
        let keys = self.fixture.store.keys();
        let (due, proposal) = (keys.review_due(), keys.proposal(&issue.issue_id));
        let _: i64 = self
            .fixture
            .raw(&["HSET", &proposal, "expires_at", "1"])
            .await;
        self.strike(&due, &issue).await
    }
}

/// Each function returns the outcome's name for the trace.
impl Ledger {
    /// Every issue in review.
    pub(super) fn in_review(&self) -> Vec<IssueRef> {
        let waits = |place: &Place| matches!(place, Place::InReview { .. });
        let found = self.issues.values().filter(|record| waits(&record.place));
        found.map(|record| record.issue.clone()).collect()
    }

    /// Records a proposal on the present head.
    pub(super) fn proposed(&mut self, issue: &IssueRef, token: &str) {
        let base_seq = self.queues[&issue.blueprint_id].head_seq;
        self.has_placed |= self.is_front(issue);
        let record = self.record(issue);
        record.rounds += 1;
        record.place = Place::InReview {
            token: token.to_owned(),
            base_seq,
            is_due: false,
        };
        let id = &issue.issue_id;
        let queue = self.queue(&issue.blueprint_id);
        queue.open.retain(|open| open != id);
        self.count("proposed");
    }

    fn approved(
        &mut self,
        issue: &IssueRef,
        approval: &Approval,
        outcome: &ApproveOutcome,
    ) -> &'static str {
        let before = self.record(issue).place.clone();
        let authority = self.record(issue).authority;
        let is_forbidden = self.orbit_forbids(issue, authority);
        let queue = &self.queues[&issue.blueprint_id];
        let (seq, is_archived, is_orbit) = (queue.head_seq, queue.is_archived, queue.is_orbit);
        let is_known = self.record(issue).approvals.contains(approval);
        let Place::InReview {
            token,
            base_seq,
            is_due,
        } = before.clone()
        else {
            let is_right = match outcome {
                ApproveOutcome::Approved(found) => {
                    let is_applied = matches!(
                        &before,
                        Place::Decided { state, .. } if *state == IssueState::Applied
                    );
                    is_applied
                        && is_known
                        && found.new_version.as_ref() == Some(&approval.new_version)
                }
                ApproveOutcome::HeadMoved(_) => !matches!(before, Place::Decided { .. }),
                ApproveOutcome::NotInReview(_) => true,
                _ => false,
            };
            self.hold(is_right, || {
                format!("review: {issue:?}, {before:?}: {outcome:?}")
            });
            return match outcome {
                ApproveOutcome::Approved(_) => "again",
                ApproveOutcome::HeadMoved(_) => "moved_head again",
                _ => "not_in_review",
            };
        };
        let ends = |state, cause| Place::Decided {
            state,
            cause,
            token: Some(token.clone()),
        };
        let (is_right, name) = match outcome {
            ApproveOutcome::Approved(_) => {
                let is_right = !is_due && base_seq == seq && !is_archived && !is_forbidden;
                let queue = self.queue(&issue.blueprint_id);
                queue.head_seq += 1;
                queue.head_by_hand = None;
                self.record(issue).approvals.push(approval.clone());
                let how = ends(IssueState::Applied, None);
                self.decide(issue, how, "applied", false);
                (is_right, "ok")
            }
            ApproveOutcome::HeadMoved(_) => {
                // An orbit is tried again after any change of settings, which the ledger does not
                // count.
                let is_right = !is_due && !is_archived && (base_seq != seq || is_orbit);
                let record = self.record(issue);
                record.place = Place::Waiting;
                (record.deaths, record.retries) = (0, 0);
                let queue = self.queue(&issue.blueprint_id);
                let is_first = queue.open.is_empty();
                queue.open.push_back(issue.issue_id.clone());
                self.has_placed |= is_first;
                (is_right, "moved_head")
            }
            ApproveOutcome::NotInReview(_) => {
                let how = ends(IssueState::Rejected, Some(RejectionCause::Declined));
                self.decide(issue, how, "declined", false);
                (is_due, "expired")
            }
            ApproveOutcome::OrbitNeedsAdmin(_) => {
                let how = rejected(RejectionCause::Failed, Some(token.clone()));
                self.decide(issue, how, "failed", false);
                (is_forbidden && !is_due, "orbit_needs_admin")
            }
            ApproveOutcome::OtherProposal(_) => (!is_due && self.record(issue).rounds > 1, "other"),
            ApproveOutcome::Archived => (is_archived && !is_due, "archived"),
            ApproveOutcome::SelfReview | ApproveOutcome::NotFound => (false, "wrong"),
        };
        self.hold(is_right, || {
            format!("review: {issue:?} at {base_seq}, {seq}: {outcome:?}")
        });
        name
    }

    fn declined(&mut self, issue: &IssueRef, outcome: &DeclineOutcome) -> &'static str {
        let before = self.record(issue).place.clone();
        let Place::InReview { token, .. } = &before else {
            let was_declined = matches!(
                &before,
                Place::Decided { cause, .. } if *cause == Some(RejectionCause::Declined)
            );
            let is_told = matches!(outcome, DeclineOutcome::Declined(_));
            self.hold(was_declined == is_told, || {
                format!("review: {issue:?}, {before:?}: {outcome:?}")
            });
            return if is_told { "again" } else { "not_in_review" };
        };
        let is_right = matches!(outcome, DeclineOutcome::Declined(_));
        self.hold(is_right, || format!("review: {issue:?}: {outcome:?}"));
        let how = rejected(RejectionCause::Declined, Some(token.clone()));
        self.decide(issue, how, "declined", false);
        "ok"
    }

    fn expired(&mut self, issue: &IssueRef, outcome: ExpireOutcome) -> &'static str {
        let before = self.record(issue).place.clone();
        let (is_right, name) = match (&before, outcome) {
            (Place::InReview { is_due, token, .. }, ExpireOutcome::Expired) => {
                let how = rejected(RejectionCause::Declined, Some(token.clone()));
                self.decide(issue, how, "declined", false);
                (*is_due, "expired")
            }
            (Place::InReview { is_due, .. }, ExpireOutcome::Waits) => (!is_due, "waits"),
            (Place::InReview { .. }, ExpireOutcome::Gone) => (false, "gone"),
            (_, ExpireOutcome::Gone) => (true, "gone"),
            _ => (false, "wrong"),
        };
        self.hold(is_right, || {
            format!("review: {issue:?}, {before:?}: {outcome:?}")
        });
        name
    }
}

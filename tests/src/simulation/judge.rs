//! Compares each outcome of a call with the ledger and records it there. An outcome that the
//! protocol does not allow violates the rule that the finding starts with.

use shared::domain::issue::{IssueState, RejectionCause};
use shared::ids::BlueprintId;
use shared::store::{
    CancelOutcome, ClaimMode, ClaimOutcome, Claimed, ExpectedHead, IssueRef, Lease, PutOutcome,
    SettleOutcome, SubmitOutcome,
};

use crate::simulation::calls::{AskedNext, CANCELLER, Claim, authority_of};
use crate::simulation::ledger::{Ledger, Place, Record};
use crate::store_fixture::How;

/// Each function returns the outcome's name for the trace.
impl Ledger {
    pub(super) fn submitted(&mut self, issue: &IssueRef, outcome: &SubmitOutcome) -> &'static str {
        let is_known = self.issues.contains_key(&issue.issue_id);
        let is_archived = self.queue(&issue.blueprint_id).is_archived;
        let authority = authority_of(&issue.issue_id);
        let is_forbidden = self.orbit_forbids(issue, authority);
        match outcome {
            SubmitOutcome::Accepted(_) => {
                self.hold(!is_forbidden, || format!("orbit: {issue:?} is accepted"));
                self.hold(!is_known, || {
                    format!("once: {issue:?} is accepted a second time")
                });
                self.hold(!is_archived, || format!("archived: {issue:?} is accepted"));
                let queue = self.queue(&issue.blueprint_id);
                let is_first = queue.open.is_empty();
                queue.accepted.push(issue.issue_id.clone());
                queue.open.push_back(issue.issue_id.clone());
                let (issue, place) = (issue.clone(), Place::Waiting);
                let record = Record {
                    issue: issue.clone(),
                    authority,
                    place,
                    attempts: 0,
                    retries: 0,
                    deaths: 0,
                    rounds: 0,
                    approvals: Vec::new(),
                };
                self.issues.insert(issue.issue_id, record);
                self.has_placed |= is_first;
                self.count("submitted");
                "accepted"
            }
            SubmitOutcome::Existed(_) => {
                self.hold(is_known, || {
                    format!("once: {issue:?} exists and was never accepted")
                });
                "existed"
            }
            SubmitOutcome::Archived => {
                self.hold(is_archived, || format!("archived: {issue:?} is refused"));
                "archived"
            }
            SubmitOutcome::OrbitNeedsAdmin { .. } => {
                self.hold(is_forbidden && !is_known, || {
                    format!("orbit: {issue:?} is refused")
                });
                "orbit_needs_admin"
            }
            _ => {
                self.hold(false, || {
                    format!("outcome: submit of {issue:?}: {outcome:?}")
                });
                "other"
            }
        }
    }

    pub(super) fn was_paused(&mut self, name: &str, is_known: bool) -> &'static str {
        self.hold(is_known, || format!("paused: {name} is not known"));
        if self.paused.insert(name.to_owned()) {
            "ok"
        } else {
            "again"
        }
    }

    pub(super) fn was_resumed(&mut self, name: &str, is_known: bool) -> &'static str {
        self.hold(is_known, || format!("paused: {name} is not known"));
        if self.paused.remove(name) {
            "ok"
        } else {
            "again"
        }
    }

    pub(super) fn claimed(&mut self, claim: &Claim, outcome: &ClaimOutcome) -> &'static str {
        let Claim {
            issue,
            worker,
            nonce,
            is_short,
            claim_mode,
        } = claim;
        let before = self.record(issue).place.clone();
        let authority = self.record(issue).authority;
        let is_forbidden = self.orbit_forbids(issue, authority);
        let is_within_limit = match claim_mode {
            ClaimMode::Shared { shared_run_limit } => {
                self.record(issue).deaths <= *shared_run_limit
            }
            ClaimMode::Exclusive => true,
        };
        let keeps = matches!(
            outcome,
            ClaimOutcome::Claimed(_) | ClaimOutcome::Held | ClaimOutcome::MustBeAlone
        );
        if !keeps {
            self.dropped_by = Some(worker.clone());
        }
        match outcome {
            ClaimOutcome::Claimed(claimed) => {
                let lease = claimed.lease.clone();
                if let Place::Leased {
                    lease: known,
                    nonce: known_nonce,
                    ..
                } = &before
                {
                    let is_again = *known == lease && known_nonce == nonce;
                    self.hold(is_again, || {
                        format!("one holder: {lease:?} besides {known:?}")
                    });
                    return "again";
                }
                let is_free = before == Place::Waiting && self.is_front(issue);
                self.hold(is_free, || {
                    format!("one holder: {issue:?} is claimed, {before:?}")
                });
                let is_stopped = self.is_paused(&issue.blueprint_id);
                self.hold(!is_stopped, || format!("paused: {issue:?} is claimed"));
                self.hold(!is_forbidden, || format!("orbit: {issue:?} is claimed"));
                self.hold(is_within_limit, || {
                    format!("alone: {issue:?} is claimed beside others")
                });
                self.grant(
                    claimed,
                    nonce,
                    *is_short,
                    *claim_mode == ClaimMode::Exclusive,
                );
                "ok"
            }
            ClaimOutcome::Held => {
                let is_held = matches!(&before, Place::Leased { lease, nonce: known, .. }
                    if lease.worker_id == *worker && known != nonce);
                self.hold(is_held, || {
                    format!("one holder: {issue:?} is held, {before:?}")
                });
                "held"
            }
            ClaimOutcome::Parked => {
                let is_paused = self.is_paused(&issue.blueprint_id);
                let is_paused = is_paused && before == Place::Waiting;
                self.hold(is_paused, || {
                    format!("paused: {issue:?} is parked, {before:?}")
                });
                "parked"
            }
            ClaimOutcome::Archived => {
                let is_archived = self.queue(&issue.blueprint_id).is_archived;
                self.hold(is_archived, || {
                    format!("archived: {issue:?} is turned down")
                });
                self.hold(before == Place::Waiting, || {
                    format!("once: {issue:?} was {before:?}")
                });
                self.decide(
                    issue,
                    rejected(RejectionCause::Failed, None),
                    "failed",
                    true,
                );
                "archived"
            }
            ClaimOutcome::OrbitNeedsAdmin => {
                self.hold(is_forbidden && before == Place::Waiting, || {
                    format!("orbit: {issue:?} is turned down, {before:?}")
                });
                let how = rejected(RejectionCause::Failed, None);
                self.decide(issue, how, "failed", true);
                "orbit_needs_admin"
            }
            ClaimOutcome::MustBeAlone => {
                let is_free = before == Place::Waiting && self.is_front(issue);
                self.hold(is_free && !is_within_limit, || {
                    format!("alone: {issue:?} has to be claimed alone, {before:?}")
                });
                "alone"
            }
            ClaimOutcome::Gone => "gone",
            ClaimOutcome::NotMine => "not_mine",
        }
    }

    /// Records a new lease of a worker.
    fn grant(&mut self, claimed: &Claimed, nonce: &str, is_over: bool, is_alone: bool) {
        let lease = claimed.lease.clone();
        let issue = lease.issue.clone();
        let is_new = self.tokens.insert(lease.token.clone());
        self.hold(is_new, || format!("fencing: {lease:?} has an old token"));
        let record = self.record(&issue);
        record.attempts += 1;
        record.place = Place::Leased {
            lease,
            nonce: nonce.to_owned(),
            is_over,
            is_alone,
        };
        let counted = (record.attempts, record.retries);
        let told = (claimed.attempt, claimed.retries);
        self.hold(counted == told, || {
            format!(
                "attempts: {issue:?} has had {counted:?} attempts and retries, told are {told:?}"
            )
        });
    }

    /// Compares the hand-over of a settle with its request, after [`Ledger::settled`]. `is_first`:
    /// the call has decided. Returns whether it handed an issue over.
    pub(super) fn handed_over(
        &mut self,
        lease: &Lease,
        outcome: &SettleOutcome,
        asked: Option<&AskedNext>,
        handed: Option<&Claimed>,
        is_first: bool,
    ) -> bool {
        let blueprint = &lease.issue.blueprint_id;
        let (name, is_archived) = {
            let queue = self.queue(blueprint);
            (queue.open.front().cloned(), queue.is_archived)
        };
        let next = name.map(|issue_id| IssueRef {
            blueprint_id: blueprint.clone(),
            issue_id,
        });
        let is_settled = matches!(outcome, SettleOutcome::Settled(_));
        let expected = match (&next, asked) {
            (Some(next), Some(asked)) if is_settled => {
                let authority = self.record(next).authority;
                match &self.record(next).place {
                    Place::Waiting if is_first => {
                        !self.is_paused(blueprint)
                            && !is_archived
                            && !self.orbit_forbids(next, authority)
                    }
                    Place::Leased { nonce, .. } if !is_first => *nonce == asked.nonce,
                    _ => false,
                }
            }
            _ => false,
        };
        let found = handed.map(|claimed| &claimed.lease.issue);
        // The ledger does not know which queues wait in `pending`.
        let may_yield = is_first && found.is_none() && asked.is_some_and(|asked| asked.yields);
        let is_right = may_yield || found == next.as_ref().filter(|_| expected);
        self.hold(is_right, || {
            format!("hand-over: {lease:?} gets {found:?}, with {next:?} behind it")
        });
        let (Some(claimed), Some(asked)) = (handed, asked) else {
            return false;
        };
        if is_first {
            self.hold(claimed.lease.worker_id == lease.worker_id, || {
                format!("hand-over: {claimed:?} is not that of {lease:?}")
            });
            self.grant(claimed, &asked.nonce, asked.is_short, false);
        } else {
            let token = self.token(&claimed.lease.issue).map(str::to_owned);
            self.hold(token.as_ref() == Some(&claimed.lease.token), || {
                format!("fencing: {claimed:?} is handed over again, the token is {token:?}")
            });
        }
        true
    }

    pub(super) fn settled(
        &mut self,
        lease: &Lease,
        how: How,
        expected_seq: u64,
        outcome: &SettleOutcome,
    ) -> &'static str {
        let issue = &lease.issue;
        let before = self.record(issue).place.clone();
        let is_holder = self.token(issue) == Some(&lease.token);
        let was_decided_so =
            matches!(&before, Place::Decided { token, .. } if token.as_ref() == Some(&lease.token));
        let is_in_review =
            matches!(&before, Place::InReview { token, .. } if *token == lease.token);
        let blueprint = &issue.blueprint_id;
        let (seq, is_archived) = (
            self.queues[blueprint].head_seq,
            self.queues[blueprint].is_archived,
        );
        let authority = self.record(issue).authority;
        let has_change = matches!(how, How::Applied | How::Review);
        let is_forbidden = has_change && self.orbit_forbids(issue, authority);
        let uses_head = has_change || how == How::Denied;
        let decided = |state| Place::Decided {
            state,
            cause: how.cause(),
            token: Some(lease.token.clone()),
        };
        match outcome {
            SettleOutcome::Settled(state) if is_in_review => {
                self.hold(*state == IssueState::InReview, || {
                    format!("once: {lease:?} settled {state:?}, {before:?}")
                });
                "proposed again"
            }
            SettleOutcome::Settled(state) if was_decided_so => {
                // The ledger does not know which call under this token decided: a late one may have
                // had another result.
                let is_same =
                    matches!(&before, Place::Decided { state: known, .. } if known == state);
                self.hold(is_same, || {
                    format!("once: {lease:?} settled {state:?}, {before:?}")
                });
                "again"
            }
            SettleOutcome::Settled(state) => {
                self.hold(is_holder, || {
                    format!("fencing: {lease:?} settled, {before:?}")
                });
                let is_as_judged = !uses_head || (expected_seq == seq && !is_archived);
                self.hold(is_as_judged, || {
                    format!("compare-and-set: {issue:?} settled against {expected_seq}, the head is {seq}")
                });
                self.hold(!is_forbidden, || format!("orbit: {lease:?} settled"));
                let is_told = (*state == IssueState::Applied) == (how == How::Applied)
                    && (*state == IssueState::InReview) == (how == How::Review);
                self.hold(is_told, || {
                    format!("outcome: {issue:?}, {how:?} is {state:?}")
                });
                if how == How::Applied {
                    let queue = self.queue(blueprint);
                    queue.head_seq += 1;
                    queue.head_by_hand = None;
                }
                self.dropped_by = Some(lease.worker_id.clone());
                if how == How::Review {
                    self.proposed(issue, &lease.token);
                    return "proposed";
                }
                let (count, name) = match how {
                    How::Applied => ("applied", "applied"),
                    How::Denied => ("denied", "denied"),
                    How::Failed => ("failed", "failed"),
                    How::Review => unreachable!("it is not decided"),
                    How::Dead => ("failed", "dead"),
                };
                self.decide(issue, decided(*state), count, true);
                name
            }
            SettleOutcome::Stale => {
                self.hold(!is_holder && !was_decided_so && !is_in_review, || {
                    format!("fencing: {lease:?} is refused")
                });
                "stale"
            }
            SettleOutcome::MovedHead { head, .. } => {
                // The settings of an orbit may have changed.
                let settings_moved = has_change && self.queues[blueprint].is_orbit;
                let is_moved = is_holder
                    && uses_head
                    && head.seq == seq
                    && (seq != expected_seq || settings_moved);
                self.hold(is_moved, || {
                    format!(
                        "compare-and-set: {issue:?} at {expected_seq}, the head is {seq}: {head:?}"
                    )
                });
                "moved_head"
            }
            SettleOutcome::OrbitNeedsAdmin if was_decided_so => "orbit_needs_admin again",
            SettleOutcome::OrbitNeedsAdmin => {
                self.hold(is_holder && is_forbidden, || {
                    format!("orbit: {lease:?} is turned down, {before:?}")
                });
                let how = rejected(RejectionCause::Failed, Some(lease.token.clone()));
                self.decide(issue, how, "failed", true);
                "orbit_needs_admin"
            }
            SettleOutcome::Archived if was_decided_so => "archived again",
            SettleOutcome::Archived => {
                let is_right = is_holder && is_archived && uses_head;
                self.hold(is_right, || {
                    format!("archived: {lease:?} is turned down, {before:?}")
                });
                let token = Some(lease.token.clone());
                self.decide(
                    issue,
                    rejected(RejectionCause::Failed, token),
                    "failed",
                    true,
                );
                "archived"
            }
        }
    }

    pub(super) fn cancelled(&mut self, issue: &IssueRef, outcome: &CancelOutcome) -> &'static str {
        let before = self.record(issue).place.clone();
        let cause = match &before {
            Place::Decided { cause, .. } => Some(*cause),
            _ => None,
        };
        let is_forbidden = self.orbit_forbids(issue, CANCELLER);
        match outcome {
            CancelOutcome::Cancelled(_) if cause.is_none() => {
                self.hold(!is_forbidden, || format!("orbit: {issue:?} is cancelled"));
                let how = rejected(RejectionCause::Cancelled, None);
                self.decide(issue, how, "cancelled", false);
                "cancelled"
            }
            CancelOutcome::Cancelled(_) => {
                let was_so = cause == Some(Some(RejectionCause::Cancelled));
                self.hold(was_so, || {
                    format!("once: {issue:?} is cancelled, {before:?}")
                });
                "again"
            }
            CancelOutcome::Decided(_) => {
                let is_so = cause.is_some_and(|cause| cause != Some(RejectionCause::Cancelled));
                self.hold(is_so, || {
                    format!("once: {issue:?} cannot be cancelled, {before:?}")
                });
                "decided"
            }
            CancelOutcome::OrbitNeedsAdmin { .. } => {
                self.hold(is_forbidden && cause.is_none(), || {
                    format!("orbit: {issue:?} is not cancelled, {before:?}")
                });
                "orbit_needs_admin"
            }
            CancelOutcome::NotFound => {
                self.hold(false, || format!("lost: {issue:?}"));
                "not_found"
            }
        }
    }

    pub(super) fn put(
        &mut self,
        blueprint: &BlueprintId,
        expected_head: &ExpectedHead,
        outcome: &PutOutcome,
    ) -> &'static str {
        let queue = self.queue(blueprint);
        let (seq, is_archived) = (queue.head_seq, queue.is_archived);
        let (expected, name) = match outcome {
            PutOutcome::Created(commit) => {
                let is_as_expected = match expected_head {
                    ExpectedHead::At(version) => queue.head_by_hand.as_ref() == Some(version),
                    _ => true,
                };
                queue.head_seq += 1;
                queue.head_by_hand = Some(commit.version.clone());
                (
                    commit.seq == seq + 1 && !is_archived && is_as_expected,
                    "created",
                )
            }
            PutOutcome::Unchanged(commit) => (commit.seq == seq, "unchanged"),
            PutOutcome::HeadMoved { .. } => (true, "head_moved"),
            PutOutcome::Archived => (is_archived, "archived"),
            PutOutcome::NotRunnable(_) => (false, "not_runnable"),
        };
        self.hold(expected, || {
            format!("compare-and-set: {blueprint} is at {seq}: {outcome:?}")
        });
        name
    }
}

pub(super) fn rejected(cause: RejectionCause, token: Option<String>) -> Place {
    Place::Decided {
        state: IssueState::Rejected,
        cause: Some(cause),
        token,
    }
}

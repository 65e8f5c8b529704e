//! As `judge`, for the calls that release an issue, or take it from a silent worker.

use shared::domain::issue::RejectionCause;
use shared::ids::WorkerId;
use shared::store::{
    Beat, CacheOutcome, IssueRef, Lease, PromoteOutcome, ReapOutcome, Release, ReleaseOutcome,
    ReturnOutcome,
};

use crate::simulation::judge::rejected;
use crate::simulation::ledger::{Ledger, MAX_ATTEMPTS, Place};

/// Each function returns the outcome's name for the trace.
impl Ledger {
    pub(super) fn released(
        &mut self,
        lease: &Lease,
        how: &Release,
        outcome: ReleaseOutcome,
    ) -> &'static str {
        let is_holder = self.token(&lease.issue) == Some(&lease.token);
        if outcome == ReleaseOutcome::Stale {
            self.hold(!is_holder, || {
                format!("fencing: {lease:?} is not given back")
            });
            return "stale";
        }
        self.hold(is_holder, || format!("fencing: {lease:?} is given back"));
        self.dropped_by = Some(lease.worker_id.clone());
        let record = self.record(&lease.issue);
        match how {
            Release::Fault { delay_ms, .. } => {
                record.retries += 1;
                record.place = Place::Delayed {
                    is_due: *delay_ms == 0,
                };
                self.count("retries");
                "to delayed"
            }
            Release::Busy { delay_ms, .. } => {
                record.place = Place::Delayed {
                    is_due: *delay_ms == 0,
                };
                "to delayed, busy"
            }
            Release::Shutdown => {
                record.attempts -= 1;
                record.place = Place::Waiting;
                self.has_placed = true;
                "at once"
            }
        }
    }

    pub(super) fn remembered(&mut self, lease: &Lease, outcome: CacheOutcome) -> &'static str {
        let is_holder = self.token(&lease.issue) == Some(&lease.token);
        let is_kept = outcome == CacheOutcome::Kept;
        self.hold(is_holder == is_kept, || {
            format!("fencing: {lease:?} and {outcome:?} for what was to be kept")
        });
        if is_kept { "kept" } else { "stale" }
    }

    pub(super) fn returned(
        &mut self,
        issue: &IssueRef,
        holder: &WorkerId,
        outcome: ReturnOutcome,
    ) -> &'static str {
        if outcome != ReturnOutcome::Leased {
            self.dropped_by = Some(holder.clone());
        }
        match outcome {
            ReturnOutcome::Leased => {
                let is_holder = matches!(self.place(issue), Some(Place::Leased { lease, .. })
                    if lease.worker_id == *holder);
                self.hold(is_holder, || {
                    format!("one holder: {issue:?} stays in the list of {holder}")
                });
                "leased"
            }
            ReturnOutcome::Returned => {
                let is_free = self.place(issue) == Some(&Place::Waiting) && self.is_front(issue);
                self.hold(is_free, || {
                    format!("one holder: {issue:?} goes back to pending")
                });
                self.has_placed = true;
                "returned"
            }
            ReturnOutcome::Gone => "gone",
            ReturnOutcome::NotMine => "not_mine",
        }
    }

    pub(super) fn promoted(&mut self, issue: &IssueRef, outcome: PromoteOutcome) -> &'static str {
        let before = self.record(issue).place.clone();
        let (expected, name) = match outcome {
            PromoteOutcome::Promoted => (before == Place::Delayed { is_due: true }, "promoted"),
            PromoteOutcome::NotDue => (before == Place::Delayed { is_due: false }, "not_due"),
            PromoteOutcome::Gone => (!matches!(before, Place::Delayed { .. }), "gone"),
        };
        self.hold(expected, || {
            format!("delay: {issue:?} is {name}, {before:?}")
        });
        if outcome == PromoteOutcome::Promoted {
            self.record(issue).place = Place::Waiting;
            self.has_placed = true;
        }
        name
    }

    pub(super) fn reaped(&mut self, issue: &IssueRef, outcome: &ReapOutcome) -> &'static str {
        let before = self.record(issue).place.clone();
        let (is_over, was_alone) = match before {
            Place::Leased {
                is_over, is_alone, ..
            } => (Some(is_over), is_alone),
            _ => (None, false),
        };
        let (expected, name) = match outcome {
            ReapOutcome::Delayed(_) => (is_over == Some(true), "delayed"),
            ReapOutcome::Dead => (is_over == Some(true), "dead"),
            ReapOutcome::Alive => (is_over == Some(false), "alive"),
            ReapOutcome::Gone => (is_over.is_none(), "gone"),
            ReapOutcome::Moved => (false, "moved"),
        };
        self.hold(expected, || {
            format!("expiry: {issue:?} is {name}, {before:?}")
        });
        let record = self.record(issue);
        let is_used_up = was_alone && record.deaths + 1 >= MAX_ATTEMPTS;
        match outcome {
            ReapOutcome::Delayed(_) => {
                record.place = Place::Delayed { is_due: true };
                record.deaths += 1;
                self.hold(!is_used_up, || {
                    format!("attempts: {issue:?} gets another one")
                });
                self.count("reaped");
            }
            ReapOutcome::Dead => {
                self.hold(is_used_up, || {
                    format!("attempts: {issue:?} is given up too early")
                });
                self.count("reaped");
                self.decide(
                    issue,
                    rejected(RejectionCause::Failed, None),
                    "failed",
                    true,
                );
            }
            _ => {}
        }
        name
    }

    pub(super) fn beaten(&mut self, held: &[Lease], lease_ms: u64, beat: &Beat) -> &'static str {
        for lease in held {
            let is_dropped =
                beat.lost.contains(&lease.issue) || beat.cancelled.contains(&lease.issue);
            let is_holder = self.token(&lease.issue) == Some(&lease.token);
            self.hold(is_dropped != is_holder, || {
                format!(
                    "fencing: {lease:?} is kept by the heartbeat: {}",
                    !is_dropped
                )
            });
            if let Place::Leased { is_over, .. } = &mut self.record(&lease.issue).place
                && !is_dropped
            {
                *is_over = lease_ms == 0;
            }
        }
        match (
            beat.lost.is_empty(),
            beat.cancelled.is_empty(),
            beat.unleased.is_empty(),
        ) {
            (true, true, true) => "ok",
            (false, _, _) => "lost",
            (_, false, _) => "cancelled",
            (_, _, false) => "unleased",
        }
    }
}

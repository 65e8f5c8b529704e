//! The expected state after all calls so far, kept without Redis.
//!
//! It has the holders and tokens of leases, expired leases and due issues, the order of acceptance,
//! and the decisions. It sees the real effect of every call, also if the caller's reply was lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use shared::domain::issue::{Authority, IssueState, RejectionCause};
use shared::domain::proposal::Approval;
use shared::ids::{BlueprintId, IssueId, Version, WorkerId};
use shared::store::{IssueRef, Lease};

/// The number of crashes after which an issue is dead, if the last run was exclusive.
pub(super) const MAX_ATTEMPTS: u32 = 3;

/// The number of crashes up to which an issue is still claimed beside others.
pub(super) const SHARED_RUN_LIMIT: u32 = 1;

/// The position of an issue.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Place {
    /// In its queue, ready or parked.
    Waiting,
    /// Leased to a worker. `is_over`: the lease has expired and is not reaped yet.
    Leased {
        lease: Lease,
        nonce: String,
        is_over: bool,
        is_alone: bool,
    },
    /// Delayed until it is due.
    Delayed { is_due: bool },
    /// Waits for a review. `token`: the one under which it was proposed.
    InReview {
        token: String,
        base_seq: u64,
        is_due: bool,
    },
    /// Decided. `token`: the one under which it was settled.
    Decided {
        state: IssueState,
        cause: Option<RejectionCause>,
        token: Option<String>,
    },
}

/// An accepted issue.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) issue: IssueRef,
    pub(super) authority: Authority,
    pub(super) place: Place,
    pub(super) attempts: u32,
    pub(super) retries: u32,
    pub(super) deaths: u32,
    /// The number of its proposals.
    pub(super) rounds: u32,
    /// The approvals that were committed; at most one.
    pub(super) approvals: Vec<Approval>,
}

/// A Blueprint.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Every issue ever accepted, in order.
    pub(super) accepted: Vec<IssueId>,
    /// The undecided ones, in order.
    pub(super) open: VecDeque<IssueId>,
    pub(super) head_seq: u64,
    /// The head, if an operator wrote it.
    pub(super) head_by_hand: Option<Version>,
    pub(super) is_archived: bool,
    /// Whether a setting names the Blueprint as its orbit.
    pub(super) is_orbit: bool,
}

/// The reference with which the scripts are compared.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) queues: BTreeMap<BlueprintId, Queue>,
    pub(super) issues: BTreeMap<IssueId, Record>,
    /// The expected value of each counter of the store.
    pub(super) counts: BTreeMap<&'static str, u64>,
    pub(super) n_decided: usize,
    pub(super) last_decided: Option<IssueId>,
    /// Paused Blueprints; `*`: all.
    pub(super) paused: BTreeSet<String>,
    /// The worker from which the last call has taken the issue: its list no longer has it.
    pub(super) dropped_by: Option<WorkerId>,
    /// Whether the last call has placed a queue's head.
    pub(super) has_placed: bool,
    pub(super) tokens: BTreeSet<String>,
    broken: Vec<String>,
}

impl Ledger {
    /// Creates the ledger for Blueprints with one version and no issue each.
    pub(super) fn new(blueprints: &[BlueprintId]) -> Self {
        let mut ledger = Self::default();
        for name in blueprints {
            ledger.queue(name).head_seq = 1;
        }
        ledger
    }

    /// Whether the target is an orbit that this authority may not change.
    pub(super) fn orbit_forbids(&self, issue: &IssueRef, authority: Authority) -> bool {
        self.queues[&issue.blueprint_id].is_orbit && authority != Authority::Admin
    }

    /// Returns the violations since the last call, and clears them.
    pub(super) fn take_broken(&mut self) -> Vec<String> {
        std::mem::take(&mut self.broken)
    }

    pub(super) fn hold(&mut self, is_true: bool, finding: impl FnOnce() -> String) {
        if !is_true {
            self.broken.push(finding());
        }
    }

    pub(super) fn count(&mut self, name: &'static str) {
        *self.counts.entry(name).or_default() += 1;
    }

    pub(super) fn is_paused(&self, blueprint: &BlueprintId) -> bool {
        self.paused.contains("*") || self.paused.contains(blueprint.as_str())
    }

    /// Whether the last call has placed the head of this queue while it is paused. Such a head is
    /// parked.
    pub(super) fn take_parked(&mut self, blueprint: &BlueprintId) -> bool {
        std::mem::take(&mut self.has_placed) && self.is_paused(blueprint)
    }

    /// The worker whose list no longer has the last call's issue.
    pub(super) fn take_dropped_by(&mut self) -> Option<WorkerId> {
        self.dropped_by.take()
    }

    /// The number of expired leases, and the number of due delayed issues.
    pub(super) fn n_over_and_due(&self) -> (usize, usize) {
        let is_over =
            |record: &&Record| matches!(record.place, Place::Leased { is_over, .. } if is_over);
        let n_over = self.open_issues().filter(is_over).count();
        (n_over, self.delayed(true).len())
    }

    pub(super) fn place(&self, issue: &IssueRef) -> Option<&Place> {
        Some(&self.issues.get(&issue.issue_id)?.place)
    }

    pub(super) fn record(&mut self, issue: &IssueRef) -> &mut Record {
        let record = self.issues.get_mut(&issue.issue_id);
        record.expect("only accepted issues are ever called about")
    }

    pub(super) fn queue(&mut self, blueprint: &BlueprintId) -> &mut Queue {
        self.queues.entry(blueprint.clone()).or_default()
    }

    pub(super) fn is_front(&self, issue: &IssueRef) -> bool {
        self.queues[&issue.blueprint_id].open.front() == Some(&issue.issue_id)
    }

    /// The token of an issue's present holder.
    pub(super) fn token(&self, issue: &IssueRef) -> Option<&str> {
        match self.place(issue)? {
            Place::Leased { lease, .. } => Some(&lease.token),
            _ => None,
        }
    }

    /// Every lease that has not expired.
    pub(super) fn running_leases(&self) -> Vec<Lease> {
        let places = self.open_issues().map(|record| &record.place);
        let running = places.filter_map(|place| match place {
            Place::Leased {
                lease,
                is_over: false,
                ..
            } => Some(lease.clone()),
            _ => None,
        });
        running.collect()
    }

    /// Every delayed issue that is due, or, without `is_due`, that is not.
    pub(super) fn delayed(&self, is_due: bool) -> Vec<IssueRef> {
        let wanted = Place::Delayed { is_due };
        let found = self.open_issues().filter(|record| record.place == wanted);
        found.map(|record| record.issue.clone()).collect()
    }

    /// Every undecided issue.
    pub(super) fn open_issues(&self) -> impl Iterator<Item = &Record> {
        let open = self.queues.values().flat_map(|queue| &queue.open);
        open.map(|id| &self.issues[id])
    }

    pub(super) fn decide(
        &mut self,
        issue: &IssueRef,
        how: Place,
        count: &'static str,
        in_order: bool,
    ) {
        let is_front = self.is_front(issue);
        self.has_placed |= is_front;
        if in_order {
            self.hold(is_front, || {
                format!("order: {issue:?} is decided before its turn")
            });
        }
        self.record(issue).place = how;
        let id = &issue.issue_id;
        self.queue(&issue.blueprint_id)
            .open
            .retain(|open| open != id);
        self.n_decided += 1;
        self.last_decided = Some(id.clone());
        self.count(count);
    }

    /// Records that a lease has expired, or that a delayed issue is due.
    pub(super) fn struck(&mut self, issue: &IssueRef) {
        match &mut self.record(issue).place {
            Place::Leased { is_over, .. } => *is_over = true,
            Place::Delayed { is_due } | Place::InReview { is_due, .. } => *is_due = true,
            _ => {}
        }
    }
}

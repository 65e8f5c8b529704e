//! What must be true by all that was called so far, kept without Redis: who holds what under which
//! token, what is over or due, in which order issues were accepted, how each was decided.
//!
//! It sees what every call really did, also where the caller's reply was lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use shared::domain::issue::{Authority, IssueState, RejectionCause};
use shared::ids::{BlueprintId, IssueId, Version, WorkerId};
use shared::store::{IssueRef, Lease};

/// After as many crashes of its worker, the last one alone, an issue is given up.
pub(super) const MAX_ATTEMPTS: u32 = 3;

/// How often an issue may have crashed its worker and still be claimed beside others.
pub(super) const SHARED_RUN_LIMIT: u32 = 1;

/// Where an issue is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Place {
    /// In its queue, free or parked.
    Waiting,
    /// A worker has the right to decide it; `is_over`: the lease has run out and nobody reaped it
    /// yet.
    Leased {
        lease: Lease,
        nonce: String,
        is_over: bool,
        is_alone: bool,
    },
    /// It may not be tried before it is due.
    Delayed { is_due: bool },
    /// For good. `token`: the one under which it was settled.
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
}

/// A Blueprint.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Every issue ever accepted, in order.
    pub(super) accepted: Vec<IssueId>,
    /// Those that are not decided, in order.
    pub(super) open: VecDeque<IssueId>,
    pub(super) head_seq: u64,
    /// The head, if a call by hand made it.
    pub(super) head_by_hand: Option<Version>,
    pub(super) is_archived: bool,
    /// A setting names the Blueprint as its orbit.
    pub(super) is_orbit: bool,
}

/// The reference that the scripts are held against.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) queues: BTreeMap<BlueprintId, Queue>,
    pub(super) issues: BTreeMap<IssueId, Record>,
    /// How often each counter of the store should have been raised.
    pub(super) counts: BTreeMap<&'static str, u64>,
    pub(super) n_decided: usize,
    pub(super) last_decided: Option<IssueId>,
    /// Blueprints that are paused; `*`: all.
    pub(super) paused: BTreeSet<String>,
    /// The worker that the last call has taken the issue from: its list does not have it.
    pub(super) dropped_by: Option<WorkerId>,
    /// The last call has put a queue's head in its place.
    pub(super) has_placed: bool,
    pub(super) tokens: BTreeSet<String>,
    broken: Vec<String>,
}

impl Ledger {
    /// Each of these has one version and no issue.
    pub(super) fn new(blueprints: &[BlueprintId]) -> Self {
        let mut ledger = Self::default();
        for name in blueprints {
            ledger.queue(name).head_seq = 1;
        }
        ledger
    }

    /// Whether the target is an orbit that this authority does not act on.
    pub(super) fn orbit_forbids(&self, issue: &IssueRef, authority: Authority) -> bool {
        self.queues[&issue.blueprint_id].is_orbit && authority != Authority::Admin
    }

    /// What was found since the last call, and no more of it.
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

    /// Whether the last call has placed the head of this queue while it is paused: then it is
    /// parked.
    pub(super) fn take_parked(&mut self, blueprint: &BlueprintId) -> bool {
        std::mem::take(&mut self.has_placed) && self.is_paused(blueprint)
    }

    /// The worker whose list does not have the last call's issue any more.
    pub(super) fn take_dropped_by(&mut self) -> Option<WorkerId> {
        self.dropped_by.take()
    }

    /// How many leases are over, and how many delayed issues are due.
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

    /// The token that an issue's present holder has.
    pub(super) fn token(&self, issue: &IssueRef) -> Option<&str> {
        match self.place(issue)? {
            Place::Leased { lease, .. } => Some(&lease.token),
            _ => None,
        }
    }

    /// Every lease that is not over.
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

    /// Every delayed issue; `is_due`: those whose time has come, or else the others.
    pub(super) fn delayed(&self, is_due: bool) -> Vec<IssueRef> {
        let wanted = Place::Delayed { is_due };
        let found = self.open_issues().filter(|record| record.place == wanted);
        found.map(|record| record.issue.clone()).collect()
    }

    /// Every issue that is not decided.
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

    /// Time has passed: a lease is over, or a delayed issue is due.
    pub(super) fn struck(&mut self, issue: &IssueRef) {
        match &mut self.record(issue).place {
            Place::Leased { is_over, .. } => *is_over = true,
            Place::Delayed { is_due } => *is_due = true,
            _ => {}
        }
    }
}

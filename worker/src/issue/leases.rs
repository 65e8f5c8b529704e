//! The leases of this process, and how long it trusts them.
//!
//! A lease is trusted until *start of the last successful heartbeat (or claim) + lease − margin* on
//! the monotonic clock of this process. Redis counts from the execution of the heartbeat, which is
//! later. A trusted lease is therefore always valid in Redis. After that time the process stops the
//! work itself, whether or not another worker has taken the issue.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use shared::ids::IssueId;
use shared::store::{IssueRef, Lease};
use tokio_util::sync::CancellationToken;

/// The reason for stopping work on an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The issue was cancelled.
    Cancelled = 1,
    /// The lease is lost, or no longer trusted.
    Lost = 2,
    /// The worker is shutting down.
    Shutdown = 3,
}

/// A stop signal to a running dispatch.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    why: AtomicU8,
    token: CancellationToken,
}

impl Signal {
    fn stop(&self, why: Stop) {
        // Keeps the first reason.
        let _ = self
            .why
            .compare_exchange(0, why as u8, Ordering::AcqRel, Ordering::Acquire);
        self.token.cancel();
    }

    /// Returns the token that is cancelled when the work must stop.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Returns the reason for the stop, if the work must stop.
    pub(crate) fn why(&self) -> Option<Stop> {
        match self.why.load(Ordering::Acquire) {
            1 => Some(Stop::Cancelled),
            2 => Some(Stop::Lost),
            3 => Some(Stop::Shutdown),
            _ => None,
        }
    }
}

struct Entry {
    lease: Lease,
    signal: std::sync::Arc<Signal>,
    trusted_from: Instant,
    named_until: Instant,
}

#[derive(Default)]
struct Inner {
    leases: HashMap<IssueId, Entry>,
    /// Elements that were popped and are not complete.
    open: HashSet<IssueRef>,
    /// The reason if all work was stopped; a later claim is stopped immediately.
    stopped: Option<Stop>,
}

/// The leases of this process.
pub(crate) struct Leases {
    trust: Duration,
    inner: Mutex<Inner>,
}

/// Time past the time limit after which a hung task is no longer named in heartbeats, so that its
/// lease expires.
const PAST_TIME_LIMIT: Duration = Duration::from_secs(30);

impl Leases {
    pub(crate) fn new(lease: Duration) -> Leases {
        // The margin of one fifth covers clock drift and slow calls.
        Leases {
            trust: lease - lease / 5,
            inner: Mutex::default(),
        }
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock panics")
    }

    /// Marks an element as open; returns false if it is already open.
    pub(crate) fn open(&self, issue: &IssueRef) -> bool {
        self.inner().open.insert(issue.clone())
    }

    /// Marks an element as complete and removes its lease.
    pub(crate) fn close(&self, issue: &IssueRef) {
        let mut inner = self.inner();
        inner.open.remove(issue);
        inner.leases.remove(&issue.issue_id);
    }

    /// True if the element is open.
    pub(crate) fn is_open(&self, issue: &IssueRef) -> bool {
        self.inner().open.contains(issue)
    }

    /// Returns the number of open elements.
    pub(crate) fn n_open(&self) -> usize {
        self.inner().open.len()
    }

    /// Extends a lease that was requested at `asked` until it is closed, or its task hangs past
    /// `time_limit`.
    pub(crate) fn keep(
        &self,
        lease: &Lease,
        asked: Instant,
        time_limit: Duration,
    ) -> std::sync::Arc<Signal> {
        let signal = std::sync::Arc::new(Signal::default());
        let mut inner = self.inner();
        if let Some(why) = inner.stopped {
            signal.stop(why);
        }
        let entry = Entry {
            lease: lease.clone(),
            signal: std::sync::Arc::clone(&signal),
            trusted_from: asked,
            named_until: asked + time_limit + PAST_TIME_LIMIT,
        };
        inner.leases.insert(lease.issue.issue_id.clone(), entry);
        signal
    }

    /// Replaces the default time limit with the limit of the setting, which is read after the
    /// claim.
    pub(crate) fn set_time_limit(&self, issue: &IssueId, time_limit: Duration) {
        if let Some(entry) = self.inner().leases.get_mut(issue) {
            entry.named_until = Instant::now() + time_limit + PAST_TIME_LIMIT;
        }
    }

    /// True while Redis certainly still holds the lease.
    pub(crate) fn is_trusted(&self, issue: &IssueId) -> bool {
        self.inner()
            .leases
            .get(issue)
            .is_some_and(|e| e.trusted_from.elapsed() < self.trust)
    }

    /// Returns the leases for the next heartbeat.
    pub(crate) fn to_name(&self) -> Vec<Lease> {
        let now = Instant::now();
        let inner = self.inner();
        inner
            .leases
            .values()
            .filter(|e| e.named_until > now)
            .map(|e| e.lease.clone())
            .collect()
    }

    /// Records that Redis has extended these leases in a heartbeat that began at `start`.
    pub(crate) fn extended(&self, leases: &[Lease], start: Instant) {
        let mut inner = self.inner();
        for lease in leases {
            if let Some(entry) = inner.leases.get_mut(&lease.issue.issue_id)
                && entry.lease.token == lease.token
            {
                entry.trusted_from = entry.trusted_from.max(start);
            }
        }
    }

    /// Stops the work on one issue.
    pub(crate) fn stop(&self, issue: &IssueId, why: Stop) {
        if let Some(entry) = self.inner().leases.get(issue) {
            entry.signal.stop(why);
        }
    }

    /// Stops the work on a lease, if its token is still the current one.
    pub(crate) fn stop_lease(&self, lease: &Lease, why: Stop) {
        if let Some(entry) = self.inner().leases.get(&lease.issue.issue_id)
            && entry.lease.token == lease.token
        {
            entry.signal.stop(why);
        }
    }

    /// Stops all work, and every later claim, because a claim may be in progress.
    pub(crate) fn stop_all(&self, why: Stop) {
        let mut inner = self.inner();
        inner.stopped = Some(why);
        for entry in inner.leases.values() {
            entry.signal.stop(why);
        }
    }

    /// Stops the work on every lease that is no longer trusted.
    pub(crate) fn stop_untrusted(&self) {
        for entry in self.inner().leases.values() {
            if entry.trusted_from.elapsed() >= self.trust {
                entry.signal.stop(Stop::Lost);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::ids::{BlueprintId, WorkerId};

    fn lease(token: &str) -> Lease {
        Lease {
            issue: IssueRef {
                blueprint_id: BlueprintId::parse("b").unwrap(),
                issue_id: IssueId::parse("i").unwrap(),
            },
            worker_id: WorkerId::generate("w"),
            token: token.to_owned(),
        }
    }

    #[test]
    fn trust_ends_before_the_lease_does() {
        let leases = Leases::new(Duration::from_secs(10));
        let lease = lease("1");
        let now = Instant::now();
        let long_ago = now.checked_sub(Duration::from_secs(8)).unwrap();
        let signal = leases.keep(&lease, long_ago, Duration::from_secs(1));
        assert!(!leases.is_trusted(&lease.issue.issue_id));
        leases.extended(std::slice::from_ref(&lease), now);
        assert!(leases.is_trusted(&lease.issue.issue_id));
        leases.stop_untrusted();
        assert_eq!(signal.why(), None);
    }

    #[test]
    fn a_beat_for_an_older_token_changes_nothing() {
        let leases = Leases::new(Duration::from_secs(10));
        let long_ago = Instant::now().checked_sub(Duration::from_secs(9)).unwrap();
        let signal = leases.keep(&lease("2"), long_ago, Duration::from_secs(1));
        leases.extended(&[lease("1")], Instant::now());
        leases.stop_lease(&lease("1"), Stop::Cancelled);
        assert_eq!(signal.why(), None);
        leases.stop_untrusted();
        assert_eq!(signal.why(), Some(Stop::Lost));
    }

    #[test]
    fn a_claim_that_was_under_way_is_stopped_with_the_rest() {
        let leases = Leases::new(Duration::from_secs(10));
        leases.stop_all(Stop::Shutdown);
        let signal = leases.keep(&lease("1"), Instant::now(), Duration::from_secs(1));
        assert_eq!(signal.why(), Some(Stop::Shutdown));
    }

    #[test]
    fn the_first_reason_stays() {
        let signal = Signal::default();
        signal.stop(Stop::Cancelled);
        signal.stop(Stop::Shutdown);
        assert_eq!(signal.why(), Some(Stop::Cancelled));
        assert!(signal.token().is_cancelled());
    }
}

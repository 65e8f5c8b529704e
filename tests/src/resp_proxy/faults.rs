//! The scheduled faults, the faults that happened, and the counts of calls.
//!
//! Calls are counted by name over all connections of one proxy. A fault is bound to a number of
//! that count, so a test specifies "the third settlement from now" without knowing the connection.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::watch;

use crate::eventually::within_wait_limit;

/// A fault of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The server does not receive the call; the client's connection is closed.
    CutBefore,
    /// The server executes the call; the client's connection is closed instead of the answer.
    CutAfter,
    /// The server executes the call. The connection stays open, without any further answer.
    SilenceAfter,
    /// The server receives the call twice; the client gets the first answer.
    Double,
    /// All traffic stalls. This call is the first that is held.
    StallBefore,
}

/// A fault that waits for its call.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) fault: Fault,
    name: String,
    at: u64,
    fired: watch::Sender<bool>,
}

/// A fault that a test has scheduled.
#[derive(Debug)]
pub struct Ordered {
    what: String,
    fired: watch::Receiver<bool>,
}

impl Ordered {
    /// Waits until the fault has happened.
    ///
    /// # Panics
    /// If it does not happen within the wait limit.
    pub async fn fired(&mut self) {
        let fired = within_wait_limit(&self.what, self.fired.wait_for(|fired| *fired));
        assert!(fired.await.is_ok(), "{}: the proxy is gone", self.what);
    }

    /// Whether the fault has happened.
    pub fn has_fired(&self) -> bool {
        *self.fired.borrow()
    }
}

#[derive(Debug, Default)]
struct Books {
    plans: Vec<Plan>,
    calls: BTreeMap<String, u64>,
    fired: BTreeMap<(Fault, String), u64>,
    outcomes: BTreeMap<String, Vec<String>>,
}

/// The faults and counters of one proxy.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Books>);

impl Faults {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// Schedules `fault` for the `n`-th call of `name` from now, counted from 1.
    pub(super) fn order(&self, fault: Fault, name: &str, n: u64) -> Ordered {
        assert!(n > 0, "calls are counted from 1");
        let (sender, fired) = watch::channel(false);
        let mut books = self.books();
        let at = books.calls.get(name).copied().unwrap_or(0) + n;
        books.plans.push(Plan {
            fault,
            name: name.to_owned(),
            at,
            fired: sender,
        });
        Ordered {
            what: format!("{fault:?} of call {n} of {name}"),
            fired,
        }
    }

    /// Removes every fault that has not reached its call.
    pub(super) fn forget(&self) {
        self.books().plans.clear();
    }

    /// Counts a call and returns its fault.
    pub(super) fn called(&self, name: &str) -> Option<Plan> {
        let mut books = self.books();
        let calls = books.calls.entry(name.to_owned()).or_default();
        *calls += 1;
        let number = *calls;
        let found = books
            .plans
            .iter()
            .position(|plan| plan.name == name && plan.at == number);
        found.map(|at| books.plans.swap_remove(at))
    }

    /// Reverts the count of a call, because the server did not have the script. The next call
    /// counts instead.
    pub(super) fn uncalled(&self, name: &str) {
        if let Some(calls) = self.books().calls.get_mut(name) {
            *calls = calls.saturating_sub(1);
        }
    }

    /// Schedules the fault again for the next call, because this call had no effect.
    pub(super) fn put_back(&self, mut plan: Plan) {
        let mut books = self.books();
        let next = books.calls.get(&plan.name).copied().unwrap_or(0) + 1;
        plan.at = plan.at.max(next);
        books.plans.push(plan);
    }

    /// Records that the fault has happened.
    pub(super) fn fire(&self, plan: Plan) {
        let mut books = self.books();
        *books.fired.entry((plan.fault, plan.name)).or_default() += 1;
        // A test that does not wait for it has dropped the receiver.
        plan.fired.send_replace(true);
    }

    /// Records the outcome that a script returned.
    pub(super) fn answered(&self, name: &str, outcome: String) {
        let mut books = self.books();
        books
            .outcomes
            .entry(name.to_owned())
            .or_default()
            .push(outcome);
    }

    /// The number of times that each fault has happened.
    pub(super) fn fired(&self) -> BTreeMap<(Fault, String), u64> {
        self.books().fired.clone()
    }

    /// The number of calls of `name`.
    pub(super) fn calls(&self, name: &str) -> u64 {
        self.books().calls.get(name).copied().unwrap_or(0)
    }

    /// The outcomes that the script `name` returned.
    pub(super) fn outcomes(&self, name: &str) -> Vec<String> {
        self.books().outcomes.get(name).cloned().unwrap_or_default()
    }
}

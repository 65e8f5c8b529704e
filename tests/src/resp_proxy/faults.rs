//! What is to go wrong with which call, what has gone wrong, and what was called.
//!
//! Calls are counted by name over all connections of one proxy. A fault is bound to a number of
//! that count, so a test says "the third settlement from now" and need not know the connection.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::watch;

use crate::eventually::within_wait_limit;

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The server does not get it; the client's connection is closed.
    CutBefore,
    /// The server carries it out; the client's connection is closed instead of the answer.
    CutAfter,
    /// The server carries it out, and then nothing comes back on that connection, which stays open.
    SilenceAfter,
    /// The server gets it twice; the client sees the first answer.
    Double,
    /// Everything stalls, this call being the first that is held.
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

/// A fault that a test has ordered.
#[derive(Debug)]
pub struct Ordered {
    what: String,
    fired: watch::Receiver<bool>,
}

impl Ordered {
    /// Waits until it has happened.
    ///
    /// # Panics
    /// If it does not.
    pub async fn fired(&mut self) {
        let fired = within_wait_limit(&self.what, self.fired.wait_for(|fired| *fired));
        assert!(fired.await.is_ok(), "{}: the proxy is gone", self.what);
    }

    /// True once it has happened.
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

/// The books of one proxy.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Books>);

impl Faults {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// Orders `fault` for the `n`-th call of `name` from now, counted from 1.
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

    /// Drops every order that has not come to its call.
    pub(super) fn forget(&self) {
        self.books().plans.clear();
    }

    /// Counts a call and returns what is to go wrong with it.
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

    /// The server did not have the script: that was no call, and the next one counts instead.
    pub(super) fn uncalled(&self, name: &str) {
        if let Some(calls) = self.books().calls.get_mut(name) {
            *calls = calls.saturating_sub(1);
        }
    }

    /// The call came to nothing by itself: the fault waits for the next one.
    pub(super) fn put_back(&self, mut plan: Plan) {
        let mut books = self.books();
        let next = books.calls.get(&plan.name).copied().unwrap_or(0) + 1;
        plan.at = plan.at.max(next);
        books.plans.push(plan);
    }

    /// It has happened.
    pub(super) fn fire(&self, plan: Plan) {
        let mut books = self.books();
        *books.fired.entry((plan.fault, plan.name)).or_default() += 1;
        // A test that does not wait for it has dropped the other end.
        plan.fired.send_replace(true);
    }

    /// Notes the outcome that a script answered.
    pub(super) fn answered(&self, name: &str, outcome: String) {
        let mut books = self.books();
        books
            .outcomes
            .entry(name.to_owned())
            .or_default()
            .push(outcome);
    }

    /// How often each fault has happened.
    pub(super) fn fired(&self) -> BTreeMap<(Fault, String), u64> {
        self.books().fired.clone()
    }

    /// How often `name` was called.
    pub(super) fn calls(&self, name: &str) -> u64 {
        self.books().calls.get(name).copied().unwrap_or(0)
    }

    /// The outcomes that the script `name` answered.
    pub(super) fn outcomes(&self, name: &str) -> Vec<String> {
        self.books().outcomes.get(name).cloned().unwrap_or_default()
    }
}

//! The state that all actors share: the store, the random number generator, the ledger, the trace,
//! and late calls.

use std::collections::BTreeSet;

use shared::ids::WorkerId;
use shared::store::{Claimed, IssueRef, Lease, Release};

use crate::rng::SeededRng;
use crate::simulation::calls::{AskedNext, Claim, Seen};
use crate::simulation::invariants::Invariants;
use crate::simulation::ledger::Ledger;
use crate::simulation::trace::Trace;
use crate::store_fixture::{Fixture, How, blueprint_id};

/// The Blueprints; the first is hot.
pub(super) const BLUEPRINTS: [&str; 8] = [
    "bp-0", "bp-1", "bp-2", "bp-3", "bp-4", "bp-5", "bp-6", "bp-7",
];

/// A call that Redis executes after its caller gave up, because it was in a socket's buffer.
#[derive(Debug)]
pub(super) enum Late {
    Pop(WorkerId),
    Claim(Claim),
    Settle(Box<Claimed>, How, Option<AskedNext>),
    Release(Lease, Release),
}

/// A maintenance task read from a list, which may be outdated.
#[derive(Debug)]
pub(super) enum Chore {
    Reap(IssueRef),
    Promote(IssueRef),
    Return(IssueRef, WorkerId),
    Expire(IssueRef),
}

/// The state that all actors share.
#[derive(Debug)]
pub(super) struct World {
    pub(super) fixture: Fixture,
    pub(super) invariants: Invariants,
    pub(super) rng: SeededRng,
    pub(super) ledger: Ledger,
    pub(super) trace: Trace,
    pub(super) late: Vec<Late>,
    pub(super) chores: Vec<Chore>,
    /// Workers that died and are not forgotten yet.
    pub(super) dead: Vec<WorkerId>,
    /// Workers that send nothing at the moment.
    pub(super) silent: BTreeSet<WorkerId>,
    /// Whether all faults have ended.
    pub(super) is_healed: bool,
    n_names: usize,
}

impl World {
    /// Creates a private Redis with a version of each Blueprint.
    ///
    /// # Panics
    /// If Redis does not start.
    pub(super) async fn new(seed: u64) -> Self {
        let fixture = Fixture::with(&BLUEPRINTS).await;
        let names: Vec<_> = BLUEPRINTS.iter().map(|name| blueprint_id(name)).collect();
        Self {
            ledger: Ledger::new(&names),
            invariants: Invariants::load(&fixture.store, names).await,
            fixture,
            rng: SeededRng::new(seed),
            trace: Trace::default(),
            late: Vec::new(),
            chores: Vec::new(),
            dead: Vec::new(),
            silent: BTreeSet::new(),
            is_healed: false,
            n_names: 0,
        }
    }

    /// A new unique name.
    pub(super) fn new_name(&mut self, kind: &str) -> String {
        self.n_names += 1;
        format!("{kind}{}", self.n_names)
    }

    /// Whether the next call is executed only after its caller has given up.
    pub(super) fn is_late(&mut self) -> bool {
        !self.is_healed && self.rng.one_in(16)
    }

    /// Executes one late call.
    pub(super) async fn arrive(&mut self) -> Seen<()> {
        let Some(late) = self.rng.draw(&mut self.late) else {
            return Ok(());
        };
        match late {
            Late::Pop(worker) => {
                self.pop(&worker).await?;
            }
            Late::Claim(claim) => {
                self.claim(&claim).await?;
            }
            Late::Settle(claimed, how, next) => {
                self.settle(&claimed, how, next.as_ref()).await?;
            }
            Late::Release(lease, how) => {
                self.release(&lease, &how).await?;
            }
        }
        Ok(())
    }
}

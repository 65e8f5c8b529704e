//! One issue from claim to settlement: its lease, orbit, run and outcome.

pub(crate) mod attempt;
pub(crate) mod dispatch;
pub(crate) mod documents;
mod hand_back;
pub(crate) mod hand_over;
pub(crate) mod leases;
pub(crate) mod orbits;
pub(crate) mod progress;
pub(crate) mod run_outcome;
pub(crate) mod slots;

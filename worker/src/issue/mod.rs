//! One issue from claim to settlement: its lease, orbit, run and outcome.

mod claim;
mod dispatch;
pub(crate) mod dispatcher;
pub(crate) mod documents;
pub(crate) mod hand_over;
pub(crate) mod launch;
pub(crate) mod leases;
pub(crate) mod orbits;
pub(crate) mod progress;
mod release;
mod settle;
pub(crate) mod settlement;
pub(crate) mod slots;
pub(crate) mod submitter;

//! Runs enhance flows: takes issues from the queue, has them drafted and judged, settles them.
//!
//! One role per file. The consumer pops, `dispatch` takes one issue from claim to settlement
//! and has its flow run on `flow_threads`,
//! the heartbeat keeps leases alive from a thread of its own, the reaper takes issues from
//! workers that died, the promoter moves what is due, the auditor mends what nobody else would, the pruner removes
//! what was decided long ago, the previewer tries issues out, and `progress` tells what the steps of long runs are doing. What they share is in `held`: the
//! leases that this process has. Each is a service of the crate `supervisor`: the first that fails ends the worker.

// A number that does not fit is an error or the largest that does, and is never cut.
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

pub mod flow;

mod config;
mod issue;
mod metrics;
mod pause;
mod roles;
mod run;

pub use self::config::{Args, Config};
pub use self::flow::guard_if_asked;

pub use self::run::{StartError, check, run};

//! Runs enhance flows: takes issues from the queue, runs the flow of each, settles the outcome.
//!
//! Each role has a file of its own in `roles`:
//!
//! - The consumer pops issues.
//! - The heartbeat extends leases, on a thread of its own.
//! - The listener receives cancellations.
//! - The reaper takes issues from dead workers.
//! - The promoter queues delayed issues that are due.
//! - The auditor repairs queues whose record is wrong.
//! - The pruner removes old decided issues.
//! - The previewer runs previews.
//! - The orbit watcher detects edits of settings and orbits.
//!
//! `issue::dispatch` takes one issue from claim to settlement and runs its flow on `flow_threads`.
//! `issue::progress` publishes the steps of long runs. `issue::leases` holds the leases of this
//! process; most roles share it.
//!
//! Each role is a service of the crate `supervisor`: the first failure ends the worker.

// A number out of range is an error or saturates; it is never truncated.
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

//! The simulation of the scripts: one real Redis, and simulated workers, submitters, cancellers,
//! maintenance tasks and an operator. A seeded scheduler steps them over the real functions of the
//! store.
//!
//! | file | |
//! |---|---|
//! | `scheduler` | chooses the actor of the next step; deaths, stalls, the end |
//! | `worker`, `maintenance`, `callers` | the actors: each step of one makes at most one call |
//! | `reviews` | the reviewer, and the outcomes of reviews |
//! | `calls` | every call of the store, with lost requests, lost replies and doubled calls |
//! | `ledger`, `judge` | the expected state after the calls; each outcome is compared with it |
//! | `invariants` | the rules of the queue, checked inside Redis after every call |
//! | `end` | the expected data once everything is decided |
//! | `trace`, `world` | the record, and the state that all actors share |
//!
//! No step waits for time to pass: a step of the clock expires leases and ends delays. So a seed
//! gives the same run again, and a failure is repeated by its seed alone.

mod callers;
mod calls;
mod end;
mod invariants;
mod judge;
mod judge_recovery;
mod ledger;
mod maintenance;
mod reviews;
mod scheduler;
mod trace;
mod worker;
mod world;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::simulation::scheduler::Scheduler;

/// A run without a violation.
#[derive(Debug)]
pub struct Report {
    /// The number of steps, including those after the last fault.
    pub steps: usize,
    /// A hash of every call and its outcome: equal for equal seeds and numbers of steps.
    pub trace_hash: u64,
    /// The number of times that each call had each outcome, by `<call> <outcome>`.
    pub seen: BTreeMap<String, usize>,
    /// The duration of the steps.
    pub took: Duration,
}

/// A run that violated a rule.
#[derive(Debug)]
pub struct Failure {
    /// The seed that repeats the run.
    pub seed: u64,
    /// The step with the violation, counted from 1.
    pub step: usize,
    /// Each violated rule: its name, a colon, and the violation.
    pub broken: Vec<String>,
    /// The last calls, oldest first.
    pub last: Vec<String>,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "step {} of DRAFTSMAN_TEST_SEED={} broke a rule:",
            self.step, self.seed
        )?;
        for broken in &self.broken {
            writeln!(f, "  {broken}")?;
        }
        writeln!(f, "after")?;
        for line in &self.last {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}

/// Makes `steps` steps on a private Redis, then lets everything be decided.
///
/// # Errors
/// [`Failure`] if a rule is violated.
///
/// # Panics
/// If Redis does not start.
pub async fn run(seed: u64, steps: usize) -> Result<Report, Box<Failure>> {
    let mut scheduler = Scheduler::new(seed).await;
    let began = Instant::now();
    let outcome = async {
        scheduler.run(steps).await?;
        scheduler.finish().await?;
        scheduler.world.check_end().await
    };
    let outcome = outcome.await;
    let trace = scheduler.world.trace;
    let step = trace.step();
    match outcome {
        Ok(()) => {
            let took = began.elapsed();
            let (trace_hash, seen) = trace.close();
            Ok(Report {
                steps: step,
                trace_hash,
                seen,
                took,
            })
        }
        Err(broken) => Err(Box::new(Failure {
            seed,
            step,
            broken,
            last: trace.last(),
        })),
    }
}

//! The simulation of the scripts: one real Redis, and simulated workers, submitters, cancellers,
//! keepers and an operator, stepped by a seeded scheduler over the real functions of the store.
//!
//! | file | |
//! |---|---|
//! | `scheduler` | which actor makes the next step; deaths, stalls, the end |
//! | `worker`, `keeper`, `callers` | the actors: each step of one makes at most one call |
//! | `calls` | every call of the store, with lost requests, lost replies and doubled calls |
//! | `ledger`, `judge` | what must be true by what was called; each outcome is held against it |
//! | `invariants` | the rules of the queue, checked inside Redis after every call |
//! | `end` | what must be stored once everything is decided |
//! | `dice`, `trace`, `world` | the choices, the record, and what all actors share |
//!
//! No step waits for time to pass: leases run out and delays end because a step of the clock says
//! so. So a seed gives the same run again, and a failure is repeated by its seed alone.

mod callers;
mod calls;
mod end;
mod invariants;
mod judge;
mod judge_recovery;
mod ledger;
mod maintenance;
mod scheduler;
mod trace;
mod worker;
mod world;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::simulation::scheduler::Scheduler;

/// A run that broke no rule.
#[derive(Debug)]
pub struct Report {
    /// Steps made, with those after the last fault.
    pub steps: usize,
    /// A hash of every call and its outcome: the same for the same seed and number of steps.
    pub trace_hash: u64,
    /// How often each call had each outcome, by `<call> <outcome>`.
    pub seen: BTreeMap<String, usize>,
    /// How long the steps took.
    pub took: Duration,
}

/// A run that broke a rule.
#[derive(Debug)]
pub struct Failure {
    /// The seed that repeats it.
    pub seed: u64,
    /// The step that broke it, from 1.
    pub step: usize,
    /// Each broken rule: its name, a colon, and what breaks it.
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

/// Makes this many steps on a private Redis, then lets everything be decided.
///
/// # Errors
/// [`Failure`] if a rule is broken.
///
/// # Panics
/// If Redis does not come up.
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

//! The record of a run: a hash of all calls, and the last steps as text.
//!
//! It contains nothing that depends on the time of day, so the same seed gives the same hash.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

/// The number of steps that a failure shows.
const SHOWN: usize = 30;

/// The record of a run.
#[derive(Debug, Default)]
pub(super) struct Trace {
    step: usize,
    hash: DefaultHasher,
    last: VecDeque<String>,
    seen: BTreeMap<String, usize>,
}

impl Trace {
    /// Starts a new step.
    pub(super) fn next_step(&mut self) {
        self.step += 1;
    }

    /// Records a call, its subject (`about`) and its outcome.
    pub(super) fn note(&mut self, call: &str, about: &str, outcome: &str) {
        let line = format!("{:>6} {call} {about} -> {outcome}", self.step);
        line.hash(&mut self.hash);
        self.last.push_back(line);
        if self.last.len() > SHOWN {
            self.last.pop_front();
        }
        *self.seen.entry(format!("{call} {outcome}")).or_default() += 1;
    }

    /// The number of the present step, counted from 1.
    pub(super) fn step(&self) -> usize {
        self.step
    }

    /// The last calls, oldest first.
    pub(super) fn last(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }

    /// The hash of every line, and the number of times that each call had each outcome.
    pub(super) fn close(self) -> (u64, BTreeMap<String, usize>) {
        (self.hash.finish(), self.seen)
    }
}

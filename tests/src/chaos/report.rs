//! The report of a run, as a table.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use proto::v1::{IssueState, RejectionCause};

use crate::chaos::Options;
use crate::checker::Snapshot;

/// Counters that are updated during the run.
#[derive(Debug, Default)]
pub struct Tally {
    faults: Mutex<BTreeMap<String, u64>>,
    load: Mutex<BTreeMap<&'static str, u64>>,
}

impl Tally {
    pub(super) fn fault_happened(&self, kind: &str) {
        self.faults_happened(kind.to_owned(), 1);
    }

    pub(super) fn faults_happened(&self, kind: String, count: u64) {
        if count > 0 {
            let mut faults = self.faults.lock().expect("no holder of this lock panics");
            *faults.entry(kind).or_default() += count;
        }
    }

    pub(super) fn loaded(&self, what: &'static str) {
        let mut load = self.load.lock().expect("no holder of this lock panics");
        *load.entry(what).or_default() += 1;
    }

    pub(super) fn faults(&self) -> BTreeMap<String, u64> {
        self.faults
            .lock()
            .expect("no holder of this lock panics")
            .clone()
    }
}

/// The outcome of a run.
#[derive(Debug)]
pub struct Report {
    options: Options,
    took: Duration,
    /// The number of times that each fault happened.
    pub faults: BTreeMap<String, u64>,
    load: BTreeMap<&'static str, u64>,
    /// The number of issues by outcome.
    pub outcomes: BTreeMap<&'static str, u64>,
    most_attempts: u32,
    counted: Vec<(&'static str, u64)>,
    /// Violations; empty after a good run.
    pub violations: Vec<String>,
}

impl Report {
    pub(super) fn new(
        options: &Options,
        took: Duration,
        tally: &Tally,
        snapshot: &Snapshot,
        counted: Vec<(&'static str, u64)>,
        violations: Vec<String>,
    ) -> Self {
        let mut report = Self::stuck(options, took, tally);
        for issue in snapshot.issues.values() {
            let outcome = match (issue.state(), issue.cause()) {
                (IssueState::Applied, _) => "applied",
                (_, RejectionCause::Denied) => "denied",
                (_, RejectionCause::Failed) => "failed",
                (_, RejectionCause::Cancelled) => "cancelled",
                (_, RejectionCause::Declined) => "declined",
                _ => "undecided",
            };
            *report.outcomes.entry(outcome).or_default() += 1;
        }
        let attempts = snapshot.issues.values().map(|i| i.attempt);
        Self {
            most_attempts: attempts.max().unwrap_or(0),
            counted,
            violations,
            ..report
        }
    }

    /// The report of a run whose load did not finish.
    pub(super) fn stuck(options: &Options, took: Duration, tally: &Tally) -> Self {
        let load = tally.load.lock().expect("no holder of this lock panics");
        Self {
            options: options.clone(),
            took,
            faults: tally.faults(),
            load: load.clone(),
            outcomes: BTreeMap::new(),
            most_attempts: 0,
            counted: Vec::new(),
            violations: vec!["somebody still waits for an answer or a decision".to_owned()],
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options {
            seed,
            aof,
            duration,
            ..
        } = &self.options;
        writeln!(
            f,
            "seed {seed}, append-only file {aof:?}, {} s of load, {} s in all\n",
            duration.as_secs(),
            self.took.as_secs()
        )?;
        let mut section = |title: &str, rows: Vec<(&str, u64)>| -> fmt::Result {
            writeln!(
                f,
                "{title:<44}{:>8}",
                rows.iter().map(|(_, n)| n).sum::<u64>()
            )?;
            for (name, count) in rows {
                writeln!(f, "  {name:<42}{count:>8}")?;
            }
            Ok(())
        };
        section(
            "faults",
            self.faults.iter().map(|(k, n)| (k.as_str(), *n)).collect(),
        )?;
        section(
            "issues",
            self.outcomes.iter().map(|(k, n)| (*k, *n)).collect(),
        )?;
        section("load", self.load.iter().map(|(k, n)| (*k, *n)).collect())?;
        for (name, count) in &self.counted {
            writeln!(f, "{name:<44}{count:>8}")?;
        }
        writeln!(
            f,
            "{:<44}{:>8}",
            "most attempts of one issue", self.most_attempts
        )?;
        writeln!(f, "{:<44}{:>8}", "violations", self.violations.len())?;
        for violation in self.violations.iter().take(40) {
            writeln!(f, "  {violation}")?;
        }
        Ok(())
    }
}

//! The cost of one step, recorded by its agent.

use std::sync::{Mutex, MutexGuard, PoisonError};

use shared::domain::enhance_log::SpawnerUsage;

use crate::flow::run_state::{RunState, SPAWNER};
use crate::metrics;

/// Counts the cost of one step. On drop, also after a cancellation, it adds all costs to the
/// metrics and the spawner's cost to the log entry.
#[derive(Debug)]
pub(super) struct Meter<'a> {
    run: &'a RunState,
    is_spawner: bool,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    usage: SpawnerUsage,
    /// True if an earlier attempt has paid the cost.
    is_remembered: bool,
}

impl<'a> Meter<'a> {
    /// Returns a meter for the step of this name.
    pub(super) fn of(step: &str, run: &'a RunState) -> Self {
        Self {
            run,
            is_spawner: step == SPAWNER,
            counted: Mutex::default(),
        }
    }

    /// Adds to the cost of the step.
    pub(super) fn record(&self, add: impl FnOnce(&mut SpawnerUsage)) {
        add(&mut self.counted().usage);
    }

    /// Records a cost that an earlier attempt has paid.
    pub(super) fn remember(&self, usage: &SpawnerUsage) {
        *self.counted() = Counted {
            usage: usage.clone(),
            is_remembered: true,
        };
    }

    /// Returns the cost so far.
    pub(super) fn usage(&self) -> SpawnerUsage {
        self.counted().usage.clone()
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        let counted = self.counted();
        if !counted.is_remembered {
            metrics::used(&counted.usage);
        }
        if self.is_spawner {
            self.run.add_usage(&counted.usage);
        }
    }
}

//! What one step costs, written down by its agent while it runs.

use std::sync::{Mutex, MutexGuard, PoisonError};

use shared::domain::enhance_log::SpawnerUsage;

use crate::flow::run_state::{RunState, SPAWNER};
use crate::metrics;

/// Counts for one step. Dropped, also half-way, it has the costs counted: all in the metrics, the
/// spawner's in the log entry.
#[derive(Debug)]
pub(super) struct Meter<'a> {
    run: &'a RunState,
    is_spawner: bool,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    usage: SpawnerUsage,
    /// An earlier attempt has paid for it.
    is_remembered: bool,
}

impl<'a> Meter<'a> {
    /// A meter for the step of this name.
    pub(super) fn of(step: &str, run: &'a RunState) -> Self {
        Self {
            run,
            is_spawner: step == SPAWNER,
            counted: Mutex::default(),
        }
    }

    /// Adds to what the step costs.
    pub(super) fn record(&self, add: impl FnOnce(&mut SpawnerUsage)) {
        add(&mut self.counted().usage);
    }

    /// The step costs nothing now: an earlier attempt has paid this for it.
    pub(super) fn remember(&self, usage: &SpawnerUsage) {
        *self.counted() = Counted {
            usage: usage.clone(),
            is_remembered: true,
        };
    }

    /// What it costs so far.
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

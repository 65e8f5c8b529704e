//! Records the progress of the steps of one run until a reader takes it.
//!
//! An unwatched run costs a lock and a few dozen bytes for each step. The recorder drops changes
//! beyond [`MAX_KEPT`]: progress is a hint and not a record.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use shared::blueprint::Doc;
use shared::domain::progress::StepStatus;

/// The maximum number of changes; further changes are dropped until the next read.
const MAX_KEPT: usize = 64;

/// The start or the end of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepChange {
    /// The name of the step.
    pub step: Arc<str>,
    /// The axis, if the step is a verifier.
    pub axis: Option<Arc<str>>,
    /// The new status.
    pub status: StepStatus,
    /// The duration of the step; zero at its start.
    pub duration: Duration,
}

/// Records the progress of one run.
#[derive(Debug)]
pub struct StepRecorder {
    axes: Vec<Arc<str>>,
    changes: Mutex<Vec<StepChange>>,
}

impl StepRecorder {
    /// Returns a recorder for a run with these axes.
    pub fn new(axes: &[String]) -> StepRecorder {
        StepRecorder {
            axes: axes.iter().map(|axis| axis.as_str().into()).collect(),
            changes: Mutex::default(),
        }
    }

    /// Returns the changes since the last call, oldest first.
    pub fn take(&self) -> Vec<StepChange> {
        mem::take(&mut *self.changes())
    }

    /// Records the start of a step on `ctx`. Dropping the result records its end: a failure, unless
    /// it was finished before.
    pub(super) fn begin(&self, step: &Arc<str>, ctx: &Doc) -> OpenStep<'_> {
        // Accepts only axis names of the setting, because other values in this field may contain
        // personal text.
        let bound = ctx.get("axis").and_then(Doc::as_str);
        let axis = bound.and_then(|bound| self.axes.iter().find(|axis| ***axis == *bound));
        let open = OpenStep {
            recorder: self,
            step: Arc::clone(step),
            axis: axis.cloned(),
            began: Instant::now(),
            status: StepStatus::Failed,
        };
        open.note(StepStatus::Started, Duration::ZERO);
        open
    }

    fn changes(&self) -> MutexGuard<'_, Vec<StepChange>> {
        // A change of the list cannot panic halfway.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running step.
pub(super) struct OpenStep<'a> {
    recorder: &'a StepRecorder,
    step: Arc<str>,
    axis: Option<Arc<str>>,
    began: Instant,
    status: StepStatus,
}

impl OpenStep<'_> {
    /// Marks the step as successful.
    pub(super) fn finish(mut self) {
        self.status = StepStatus::Finished;
    }

    fn note(&self, status: StepStatus, duration: Duration) {
        let mut changes = self.recorder.changes();
        if changes.len() < MAX_KEPT {
            changes.push(StepChange {
                step: Arc::clone(&self.step),
                axis: self.axis.clone(),
                status,
                duration,
            });
        }
    }
}

impl Drop for OpenStep<'_> {
    fn drop(&mut self) {
        self.note(self.status, self.began.elapsed());
    }
}

//! What the steps of one run have done, kept until somebody asks for it.
//!
//! A run that is not watched from outside pays for a lock and a few dozen bytes for each step, and
//! one that nobody asks for long enough forgets: who looks sees a hint, not a record.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use shared::blueprint::Doc;
use shared::domain::progress::StepStatus;

/// Changes kept at most; what a flow does beyond that before anybody looks is not told.
const MAX_KEPT: usize = 64;

/// A step that has begun or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepChange {
    /// Its name.
    pub step: Arc<str>,
    /// The axis that it judges by, if it is a verifier's.
    pub axis: Option<Arc<str>>,
    /// What it has just done.
    pub status: StepStatus,
    /// How long it ran; zero when it has just begun.
    pub duration: Duration,
}

/// What the steps of one run have done.
#[derive(Debug)]
pub struct StepRecorder {
    axes: Vec<Arc<str>>,
    changes: Mutex<Vec<StepChange>>,
}

impl StepRecorder {
    /// For a run that judges by these axes.
    pub fn new(axes: &[String]) -> StepRecorder {
        StepRecorder {
            axes: axes.iter().map(|axis| axis.as_str().into()).collect(),
            changes: Mutex::default(),
        }
    }

    /// What was done since the last call, oldest first.
    pub fn take(&self) -> Vec<StepChange> {
        mem::take(&mut *self.changes())
    }

    /// A step begins on `ctx`. It ends when the result is dropped, as a failure unless it is finished before.
    pub(super) fn begin(&self, step: &Arc<str>, ctx: &Doc) -> OpenStep<'_> {
        // Only a name that the setting has: whatever else a flow binds there may hold what a person wrote.
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
        // Nothing can panic halfway through a change of the list.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A step that runs.
pub(super) struct OpenStep<'a> {
    recorder: &'a StepRecorder,
    step: Arc<str>,
    axis: Option<Arc<str>>,
    began: Instant,
    status: StepStatus,
}

impl OpenStep<'_> {
    /// It has come to a result.
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

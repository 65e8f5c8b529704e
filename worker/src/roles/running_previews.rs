//! The previews that this worker runs, so that each can be stopped when its caller is gone.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::ids::IssueId;
use tokio_util::sync::CancellationToken;

/// The running previews by id. Cloning is cheap; all clones share everything.
#[derive(Clone, Default)]
pub(crate) struct RunningPreviews(Arc<Mutex<HashMap<IssueId, CancellationToken>>>);

impl RunningPreviews {
    /// Adds a preview until the result is dropped. It is stopped with `all`, too.
    pub(crate) fn begin(&self, id: &IssueId, all: &CancellationToken) -> RunningPreview {
        let stop = all.child_token();
        self.tokens().insert(id.clone(), stop.clone());
        RunningPreview {
            previews: self.clone(),
            id: id.clone(),
            stop,
        }
    }

    /// Stops the preview with this id, if this worker runs it.
    pub(crate) fn stop(&self, id: &IssueId) {
        if let Some(stop) = self.tokens().get(id) {
            stop.cancel();
        }
    }

    fn tokens(&self) -> MutexGuard<'_, HashMap<IssueId, CancellationToken>> {
        // A poisoned map is still consistent: no change of it can panic halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running preview.
pub(crate) struct RunningPreview {
    previews: RunningPreviews,
    id: IssueId,
    stop: CancellationToken,
}

impl RunningPreview {
    /// Returns the token that is cancelled when the preview must stop.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.stop
    }
}

impl Drop for RunningPreview {
    fn drop(&mut self) {
        self.previews.tokens().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_preview_is_stopped_and_the_others_continue() {
        let (previews, all) = (RunningPreviews::default(), CancellationToken::new());
        let [a, b] = ["a", "b"].map(|id| IssueId::parse(id).unwrap());
        let (first, second) = (previews.begin(&a, &all), previews.begin(&b, &all));
        previews.stop(&a);
        assert!(first.token().is_cancelled() && !second.token().is_cancelled());
        all.cancel();
        assert!(second.token().is_cancelled());
        drop((first, second));
        assert!(previews.tokens().is_empty());
    }
}

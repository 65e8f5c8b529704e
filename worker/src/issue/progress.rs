//! Publishes the progress of the steps of long runs to watchers.
//!
//! Messages are sent over pub/sub and may be lost; nothing depends on them. A run of a few
//! milliseconds causes no call of Redis. One task publishes the steps of all longer runs a few
//! times a second, in one round trip. The last steps of a long run are published before the issue
//! is settled, so that a watcher sees them before the decision.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use shared::domain::progress::{MAX_NAME_CHARS, StepProgress};
use shared::error::chain;
use shared::ids::IssueId;
use shared::store::{IssueSteps, Store};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::flow::StepRecorder;

/// Runs shorter than this are not published.
const LONG: Duration = Duration::from_millis(100);
/// The interval between publications.
const EVERY: Duration = Duration::from_millis(75);
/// The maximum time that a decision waits for the publication of its last steps.
const LAST_WITHIN: Duration = Duration::from_millis(50);

/// The current runs of this worker.
pub(crate) struct Progress {
    store: Store,
    runs: Mutex<HashMap<u64, Run>>,
    run_added: Notify,
}

struct Run {
    issue_id: IssueId,
    attempt: u32,
    began: Instant,
    recorder: Arc<StepRecorder>,
}

impl Run {
    /// Returns the unpublished changes of the steps, if any.
    fn unpublished(&self) -> Option<IssueSteps> {
        if self.began.elapsed() < LONG {
            return None;
        }
        let name = |name: &str| name.chars().take(MAX_NAME_CHARS).collect();
        let steps = self.recorder.take().into_iter().map(|change| StepProgress {
            step: name(&change.step),
            axis: name(change.axis.as_deref().unwrap_or_default()),
            status: change.status,
            duration: change.duration,
            attempt: self.attempt,
        });
        let steps: Vec<StepProgress> = steps.collect();
        (!steps.is_empty()).then(|| IssueSteps {
            issue_id: self.issue_id.clone(),
            steps,
        })
    }
}

impl Progress {
    /// Returns a registry without runs.
    pub(crate) fn new(store: Store) -> Progress {
        Progress {
            store,
            runs: Mutex::default(),
            run_added: Notify::new(),
        }
    }

    /// Registers a run whose steps are recorded in `recorder`. The run is published until the
    /// result is dropped.
    pub(crate) fn follow(
        &self,
        issue_id: &IssueId,
        attempt: u32,
        recorder: &Arc<StepRecorder>,
    ) -> Followed<'_> {
        let run = Run {
            issue_id: issue_id.clone(),
            attempt,
            began: Instant::now(),
            recorder: Arc::clone(recorder),
        };
        let mut runs = self.runs();
        let key = loop {
            let key = fastrand::u64(..);
            if !runs.contains_key(&key) {
                break key;
            }
        };
        if runs.is_empty() {
            self.run_added.notify_one();
        }
        runs.insert(key, run);
        Followed {
            progress: self,
            key,
        }
    }

    /// Publishes long runs until `stop`.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let forever = async {
            loop {
                if self.runs().is_empty() {
                    self.run_added.notified().await;
                }
                sleep(EVERY).await;
                let news: Vec<IssueSteps> =
                    self.runs().values().filter_map(Run::unpublished).collect();
                self.publish(&news).await;
            }
        };
        // The result is always `None`, because `forever` never returns.
        stop.run_until_cancelled(forever).await;
    }

    async fn publish(&self, news: &[IssueSteps]) {
        if let Err(error) = self.store.home().publish_steps(news).await {
            tracing::debug!(error = chain(&error), "these steps could not be published");
        }
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<u64, Run>> {
        // A change of the map cannot panic halfway.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The registration of a run; dropping it ends the publication.
pub(crate) struct Followed<'a> {
    progress: &'a Progress,
    key: u64,
}

impl Followed<'_> {
    /// Ends the run and publishes its last steps. Waits for Redis at most `LAST_WITHIN`, and not at
    /// all after a short run.
    pub(crate) async fn end(self) {
        let last = self
            .progress
            .runs()
            .get(&self.key)
            .and_then(Run::unpublished);
        if let Some(last) = last {
            // A timeout is ignored: progress is only a hint.
            let _ = timeout(LAST_WITHIN, self.progress.publish(&[last])).await;
        }
    }
}

impl Drop for Followed<'_> {
    fn drop(&mut self) {
        self.progress.runs().remove(&self.key);
    }
}

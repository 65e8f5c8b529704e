//! Tells whoever watches what the steps of long runs are doing.
//!
//! A hint over pub/sub that may be lost: nothing depends on it. It costs a run that is over in a few
//! milliseconds no call of Redis: what steps did is published for runs that have lasted a while only,
//! by one task for all of them, a few times a second, in one round trip. What a long run did last is
//! told before the issue is settled, so that a watcher hears of it before the decision.

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

/// A run that is over before this is told nothing of.
const LONG: Duration = Duration::from_millis(100);
/// How often is looked for news.
const EVERY: Duration = Duration::from_millis(75);
/// How long a decision waits until the last steps are told.
const LAST_WITHIN: Duration = Duration::from_millis(50);

/// The runs of this worker.
pub(crate) struct Progress {
    store: Store,
    runs: Mutex<HashMap<u64, Run>>,
    begun: Notify,
}

struct Run {
    issue_id: IssueId,
    attempt: u32,
    began: Instant,
    recorder: Arc<StepRecorder>,
}

impl Run {
    /// What is to be told of it now, if anything.
    fn news(&self) -> Option<IssueSteps> {
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
    /// Nothing runs yet.
    pub(crate) fn new(store: Store) -> Progress {
        Progress {
            store,
            runs: Mutex::default(),
            begun: Notify::new(),
        }
    }

    /// A run begins whose steps `recorder` is told of. It is told of until the result is dropped.
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
            self.begun.notify_one();
        }
        runs.insert(key, run);
        Followed {
            progress: self,
            key,
        }
    }

    /// Tells of long runs until `stop`.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let forever = async {
            loop {
                if self.runs().is_empty() {
                    self.begun.notified().await;
                }
                sleep(EVERY).await;
                let news: Vec<IssueSteps> = self.runs().values().filter_map(Run::news).collect();
                self.publish(&news).await;
            }
        };
        // `None` is how it always ends: `forever` has no other way out.
        stop.run_until_cancelled(forever).await;
    }

    async fn publish(&self, news: &[IssueSteps]) {
        if let Err(error) = self.store.home().publish_steps(news).await {
            tracing::debug!(error = chain(&error), "nobody is told of these steps");
        }
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<u64, Run>> {
        // Nothing can panic halfway through a change of the map.
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A run that is told of while it is long.
pub(crate) struct Followed<'a> {
    progress: &'a Progress,
    key: u64,
}

impl Followed<'_> {
    /// The run is over: tells what was not told yet. Waits for Redis a moment at most, and not at all
    /// after a short run.
    pub(crate) async fn end(self) {
        let last = self.progress.runs().get(&self.key).and_then(Run::news);
        if let Some(last) = last {
            // Late or not at all: it is a hint.
            let _ = timeout(LAST_WITHIN, self.progress.publish(&[last])).await;
        }
    }
}

impl Drop for Followed<'_> {
    fn drop(&mut self) {
        self.progress.runs().remove(&self.key);
    }
}

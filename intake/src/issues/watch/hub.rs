//! The event subscription of this process and the issues watched through it.
//!
//! An event only wakes watchers; the store has the state. Events are lost while the subscription is
//! down. So the hub polls all watched issues after each subscription, and every few seconds. A poll
//! reads the revision and the state of many issues in one round trip. An idle watch therefore costs
//! little, whatever the size of its intent.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared::domain::issue::Issue;
use shared::domain::progress::StepProgress;
use shared::ids::{BlueprintId, IssueId};
use shared::store::{EventStream, IssueEvent, IssueRef, IssueRevision, IssueSteps, News, Store};
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Interval between two polls of all watched issues.
const POLL_EVERY: Duration = Duration::from_secs(3);
/// Pause after a failed poll or subscription.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How long the subscription is kept after the last watcher has ended.
const UNSUBSCRIBE_AFTER: Duration = Duration::from_secs(30);
/// Number of steps buffered for the watchers of one issue.
const STEPS_KEPT: usize = 64;

/// The subscription and its watchers.
#[derive(Clone)]
pub(crate) struct Hub(Arc<Inner>);

struct Inner {
    /// The state shared by the watchers of each issue. An entry exists while the issue has a
    /// watcher.
    issues: Mutex<HashMap<IssueId, Watched>>,
    /// Number of watched issues.
    watched: watch::Sender<usize>,
    /// Number of subscriptions so far; each new one triggers a poll.
    subscribed: watch::Sender<u64>,
}

/// A watched issue.
struct Watched {
    /// The target; set once a watcher has read the issue.
    blueprint_id: Option<BlueprintId>,
    /// The last known revision, from an event, a poll, or the read of a watcher.
    sight: watch::Sender<Sight>,
    /// Progress of its steps; set once a watcher has requested steps.
    steps: Option<broadcast::Sender<StepProgress>>,
}

/// The last known revision of an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// Not read yet.
    Unknown,
    /// The issue has this revision.
    Seen(IssueRevision),
    /// The issue no longer exists.
    Gone,
}

impl Sight {
    fn revision(self) -> u64 {
        match self {
            Sight::Seen(sight) => sight.revision,
            Sight::Unknown | Sight::Gone => 0,
        }
    }
}

impl Hub {
    /// Creates a hub without watchers.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            issues: Mutex::new(HashMap::new()),
            watched: watch::Sender::new(0),
            subscribed: watch::Sender::new(0),
        }))
    }

    /// Runs until `stopping`. Keeps the subscription while watchers exist, and polls the watched
    /// issues.
    pub(crate) async fn run(&self, store: Store, stopping: CancellationToken) {
        let forever = async {
            tokio::join!(self.subscribe(&store), self.poll(&store));
        };
        // Always `None`, because `forever` does not end.
        stopping.run_until_cancelled(forever).await;
    }

    /// Subscribes, and subscribes again after each loss. Never returns.
    async fn subscribe(&self, store: &Store) {
        let mut watched = self.0.watched.subscribe();
        loop {
            // Cannot fail: the hub holds the sender.
            let _ = watched.wait_for(|watched| *watched > 0).await;
            match store.subscribe().await {
                Ok(events) => self.follow(events).await,
                Err(error) => {
                    tracing::debug!(%error, "cannot subscribe to events");
                    sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    /// Wakes watchers until the subscription is lost, or no issue was watched for
    /// [`UNSUBSCRIBE_AFTER`].
    async fn follow(&self, mut events: EventStream) {
        self.0.subscribed.send_modify(|times| *times += 1);
        let mut watched = self.0.watched.subscribe();
        let unwatched = async {
            loop {
                // Neither wait can fail: the hub holds the sender.
                let _ = watched.wait_for(|watched| *watched == 0).await;
                tokio::select! {
                    () = sleep(UNSUBSCRIBE_AFTER) => return,
                    _ = watched.wait_for(|watched| *watched > 0) => {}
                }
            }
        };
        let broken = async {
            loop {
                match events.next().await {
                    Ok(News::Changed(event)) => self.announce(&event),
                    Ok(News::Steps(news)) => self.tell(news),
                    Err(error) => return error,
                }
            }
        };
        tokio::select! {
            () = unwatched => tracing::debug!("no watchers, unsubscribed"),
            error = broken => tracing::debug!(%error, "event subscription lost"),
        }
    }

    /// Polls all watched issues every [`POLL_EVERY`]. Never returns.
    async fn poll(&self, store: &Store) {
        let mut watched = self.0.watched.subscribe();
        let mut subscribed = self.0.subscribed.subscribe();
        let mut pause = POLL_EVERY;
        loop {
            // Neither wait can fail: the hub holds both senders.
            let _ = watched.wait_for(|watched| *watched > 0).await;
            tokio::select! {
                () = sleep(pause) => {}
                _ = subscribed.changed() => {}
            }
            subscribed.borrow_and_update();
            pause = match self.poll_once(store).await {
                Ok(()) => POLL_EVERY,
                Err(error) => {
                    tracing::debug!(%error, "cannot poll the watched issues");
                    RETRY_AFTER
                }
            };
        }
    }

    async fn poll_once(&self, store: &Store) -> Result<(), shared::store::StoreError> {
        let known: Vec<IssueRef> = {
            let issues = self.issues();
            let refs = issues.iter().filter_map(|(id, watched)| {
                Some(IssueRef {
                    blueprint_id: watched.blueprint_id.clone()?,
                    issue_id: id.clone(),
                })
            });
            refs.collect()
        };
        let (seen, failed) = store.revisions(&known).await;
        for (issue, sight) in seen {
            let sight = sight.map_or(Sight::Gone, Sight::Seen);
            self.see(&issue.issue_id, |_| sight);
        }
        failed.map_or(Ok(()), Err)
    }

    fn announce(&self, event: &IssueEvent) {
        self.see(&event.issue_id, |last| {
            if event.revision > last.revision() {
                Sight::Seen(IssueRevision {
                    revision: event.revision,
                    is_terminal: false,
                })
            } else {
                last
            }
        });
    }

    /// Updates the last known revision of an issue, and wakes its watchers if it differs.
    fn see(&self, issue_id: &IssueId, now: impl FnOnce(Sight) -> Sight) {
        if let Some(watched) = self.issues().get(issue_id) {
            watched.sight.send_if_modified(|last| {
                let now = now(*last);
                let differs = now != *last;
                *last = now;
                differs
            });
        }
    }

    fn tell(&self, news: IssueSteps) {
        let issues = self.issues();
        let told = issues.get(&news.issue_id).and_then(|w| w.steps.as_ref());
        if let Some(told) = told {
            for step in news.steps {
                // Fails if no watcher with steps is left, which is fine.
                let _ = told.send(step);
            }
        }
    }

    /// Registers a watcher.
    pub(super) fn register(&self, issue_id: &IssueId, include_steps: bool) -> Registration {
        let mut issues = self.issues();
        let watched = issues.entry(issue_id.clone()).or_insert_with(|| Watched {
            blueprint_id: None,
            sight: watch::Sender::new(Sight::Unknown),
            steps: None,
        });
        let sight = watched.sight.subscribe();
        let steps = include_steps.then(|| {
            let told = watched
                .steps
                .get_or_insert_with(|| broadcast::Sender::new(STEPS_KEPT));
            told.subscribe()
        });
        self.0.watched.send_replace(issues.len());
        Registration {
            hub: self.clone(),
            issue_id: issue_id.clone(),
            sight: Some(sight),
            last: Sight::Unknown,
            steps,
        }
    }

    fn issues(&self) -> MutexGuard<'_, HashMap<IssueId, Watched>> {
        // A poisoned map is still consistent: no change of it can panic halfway.
        self.0.issues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The registration of a watcher; dropping it removes the watcher.
pub(super) struct Registration {
    hub: Hub,
    issue_id: IssueId,
    /// `None` only during drop.
    sight: Option<watch::Receiver<Sight>>,
    /// The revision that this watcher last read.
    last: Sight,
    /// `None` if steps were not requested.
    steps: Option<broadcast::Receiver<StepProgress>>,
}

impl Registration {
    /// Returns the watched issue.
    pub(super) fn issue_id(&self) -> &IssueId {
        &self.issue_id
    }

    /// Clears earlier wake-ups. The read that follows includes every change that they announced.
    pub(super) fn about_to_read(&mut self) {
        if let Some(sight) = &mut self.sight {
            sight.borrow_and_update();
        }
    }

    /// Notes that the watcher has read `issue`, so that this revision does not wake it again.
    pub(super) fn has_read(&mut self, issue: &Issue) {
        let read = IssueRevision {
            revision: issue.revision,
            is_terminal: issue.state.is_terminal(),
        };
        self.last = Sight::Seen(read);
        let mut issues = self.hub.issues();
        if let Some(watched) = issues.get_mut(&self.issue_id) {
            watched
                .blueprint_id
                .get_or_insert_with(|| issue.blueprint_id.clone());
            let last = self.last;
            watched.sight.send_if_modified(|seen| {
                let newer = read.revision > seen.revision();
                if newer {
                    *seen = last;
                }
                newer
            });
        }
    }

    /// Waits until the issue may differ from the last read. Returns the step if a step woke the
    /// watcher. Cancel safe.
    pub(super) async fn woken(&mut self) -> Option<StepProgress> {
        loop {
            let sight = self.sight.as_mut()?;
            tokio::select! {
                _ = sight.changed() => {
                    if *sight.borrow_and_update() != self.last {
                        return None;
                    }
                }
                step = next_step(self.steps.as_mut()) => return Some(step),
            }
        }
    }

    /// Returns the buffered steps that were not sent yet.
    pub(super) fn steps_so_far(&mut self) -> VecDeque<StepProgress> {
        let mut so_far = VecDeque::new();
        let Some(steps) = &mut self.steps else {
            return so_far;
        };
        loop {
            match steps.try_recv() {
                // At most as many as the buffer holds, because new steps may arrive meanwhile.
                Ok(step) if so_far.len() < STEPS_KEPT => so_far.push_back(step),
                Err(TryRecvError::Lagged(_)) => {}
                Ok(_) | Err(TryRecvError::Empty | TryRecvError::Closed) => return so_far,
            }
        }
    }
}

/// Returns the next step; never returns if steps were not requested. Cancel safe.
async fn next_step(steps: Option<&mut broadcast::Receiver<StepProgress>>) -> StepProgress {
    if let Some(steps) = steps {
        loop {
            match steps.recv().await {
                Ok(step) => return step,
                // A slow watcher misses the oldest steps.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                // Unreachable: the registration keeps the sender.
                Err(broadcast::error::RecvError::Closed) => break,
            }
        }
    }
    std::future::pending().await
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.sight = None;
        self.steps = None;
        let mut issues = self.hub.issues();
        if issues
            .get(&self.issue_id)
            .is_some_and(|watched| watched.sight.receiver_count() == 0)
        {
            issues.remove(&self.issue_id);
        }
        self.hub.0.watched.send_replace(issues.len());
    }
}

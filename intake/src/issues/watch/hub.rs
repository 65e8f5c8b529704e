//! The subscription of this process, and the issues that are watched through it.
//!
//! An event is a wake-up and not the truth. What was lost (events are, while the subscription is
//! down) is found by looking at all watched issues: when the subscription is up again, and every few
//! seconds besides. A look reads the revision and the state of each, in one round trip for many, so
//! that a watch on which nothing happens costs next to nothing, however long its intent is.

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

/// Between two looks at all watched issues.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// After a failed look or subscription before the next.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(500);
/// The subscription stays this long after the last watcher went.
const LINGER: Duration = Duration::from_secs(30);
/// Steps that are kept for the watchers of one issue.
const STEPS_KEPT: usize = 64;

/// The subscription and who waits for it.
#[derive(Clone)]
pub(crate) struct Hub(Arc<Inner>);

struct Inner {
    /// What is told to the watchers of each issue. An entry lives as long as a watcher.
    issues: Mutex<HashMap<IssueId, Watched>>,
    /// How many issues are watched.
    watched: watch::Sender<usize>,
    /// Rises whenever the subscription came up.
    subscribed: watch::Sender<u64>,
}

/// An issue that is watched.
struct Watched {
    /// The target; known once a watcher has read the issue.
    blueprint_id: Option<BlueprintId>,
    /// What was seen of the issue last, by an event, a look, or the read of a watcher.
    sight: watch::Sender<Sight>,
    /// What its steps do; there once a watcher has asked for it.
    steps: Option<broadcast::Sender<StepProgress>>,
}

/// What was seen of an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// Nothing yet.
    Unknown,
    /// It is this far.
    Seen(IssueRevision),
    /// It is not there any more.
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
    /// A hub without watchers.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            issues: Mutex::new(HashMap::new()),
            watched: watch::Sender::new(0),
            subscribed: watch::Sender::new(0),
        }))
    }

    /// Keeps the subscription while somebody watches, and looks at what is watched, until `stopping`.
    pub(crate) async fn run(&self, store: Store, stopping: CancellationToken) {
        let forever = async {
            tokio::join!(self.subscribe(&store), self.look(&store));
        };
        // `None` is how it always ends: `forever` has no other way out.
        stopping.run_until_cancelled(forever).await;
    }

    /// Subscribes again and again. Never returns.
    async fn subscribe(&self, store: &Store) {
        let mut watched = self.0.watched.subscribe();
        loop {
            // The hub holds the sender, so this cannot end otherwise.
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

    /// Wakes watchers until the subscription breaks or nobody has watched for a while.
    async fn follow(&self, mut events: EventStream) {
        self.0.subscribed.send_modify(|times| *times += 1);
        let mut watched = self.0.watched.subscribe();
        let unwanted = async {
            loop {
                // The hub holds the sender, so neither wait can end otherwise.
                let _ = watched.wait_for(|watched| *watched == 0).await;
                tokio::select! {
                    () = sleep(LINGER) => return,
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
            () = unwanted => tracing::debug!("nobody watches, unsubscribed"),
            error = broken => tracing::debug!(%error, "event subscription lost"),
        }
    }

    /// Looks at all watched issues now and then. Never returns.
    async fn look(&self, store: &Store) {
        let mut watched = self.0.watched.subscribe();
        let mut subscribed = self.0.subscribed.subscribe();
        let mut pause = LOOK_EVERY;
        loop {
            // The hub holds both senders, so neither wait can end otherwise.
            let _ = watched.wait_for(|watched| *watched > 0).await;
            tokio::select! {
                () = sleep(pause) => {}
                _ = subscribed.changed() => {}
            }
            subscribed.borrow_and_update();
            pause = match self.look_once(store).await {
                Ok(()) => LOOK_EVERY,
                Err(error) => {
                    tracing::debug!(%error, "cannot look at the watched issues");
                    RETRY_AFTER
                }
            };
        }
    }

    async fn look_once(&self, store: &Store) -> Result<(), shared::store::StoreError> {
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

    /// Wakes the watchers of an issue if what is seen of it now differs from what was seen last.
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
                // Nobody may be left who asked for steps.
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
        // Nothing can panic halfway through a change of the map.
        self.0.issues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A watcher's place in the hub; dropping it gives the place up.
pub(super) struct Registration {
    hub: Hub,
    issue_id: IssueId,
    /// `None` only while it is dropped.
    sight: Option<watch::Receiver<Sight>>,
    /// What this watcher read last.
    last: Sight,
    /// `None` if steps were not asked for.
    steps: Option<broadcast::Receiver<StepProgress>>,
}

impl Registration {
    /// The issue that is watched.
    pub(super) fn issue_id(&self) -> &IssueId {
        &self.issue_id
    }

    /// Forgets the wake-ups so far: the read that follows sees all they announced.
    pub(super) fn about_to_read(&mut self) {
        if let Some(sight) = &mut self.sight {
            sight.borrow_and_update();
        }
    }

    /// The watcher has read the issue: it is not woken again for what it knows.
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

    /// Returns when the issue may differ from what was read last; with a step if it was one that
    /// woke. Cancel safe.
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

    /// The steps that were heard of and not told yet.
    pub(super) fn steps_so_far(&mut self) -> VecDeque<StepProgress> {
        let mut so_far = VecDeque::new();
        let Some(steps) = &mut self.steps else {
            return so_far;
        };
        loop {
            match steps.try_recv() {
                // As many as are kept: others may be told meanwhile.
                Ok(step) if so_far.len() < STEPS_KEPT => so_far.push_back(step),
                Err(TryRecvError::Lagged(_)) => {}
                Ok(_) | Err(TryRecvError::Empty | TryRecvError::Closed) => return so_far,
            }
        }
    }
}

/// The next step; never if steps were not asked for. Cancel safe.
async fn next_step(steps: Option<&mut broadcast::Receiver<StepProgress>>) -> StepProgress {
    if let Some(steps) = steps {
        loop {
            match steps.recv().await {
                Ok(step) => return step,
                // A slow watcher misses the oldest.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                // The registration keeps the sender, so this cannot be.
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

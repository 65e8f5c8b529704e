//! The watched issues.
//!
//! A poll reads the revision and the state of many issues in one round trip. An idle watch
//! therefore costs little, whatever the size of its intent.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::domain::issue::{Issue, IssueState};
use shared::domain::progress::StepProgress;
use shared::domain::waiting::Waiting;
use shared::ids::{BlueprintId, IssueId};
use shared::store::{
    IssueEvent, IssueRef, IssueRevision, IssueSteps, PendingIssue, REVISIONS_PER_CALL, Store,
    StoreError,
};
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{broadcast, watch};

use crate::issues::watch::Include;
use crate::watching::demand::Demand;

/// Number of steps buffered for the watchers of one issue.
const STEPS_KEPT: usize = 64;
/// Number of pending issues of which a poll reads what they wait for. So the cost of a poll is
/// bounded. With more such issues, each is read less often.
const WAITING_PER_POLL: usize = 100;
/// The calls of such a reading, as [`Demand::poll`] counts them.
const CALLS_PER_WAITING: usize = 2;

/// The watched issues and their watchers.
#[derive(Clone)]
pub(crate) struct Hub(Arc<Inner>);

struct Inner {
    /// The state shared by the watchers of each issue. An entry exists while the issue has a
    /// watcher.
    issues: Mutex<HashMap<IssueId, Watched>>,
    /// Counts the watched issues.
    demand: Demand,
    /// Number of polls so far.
    polls: AtomicU64,
}

/// A watched issue.
struct Watched {
    /// The target; set once a watcher has read the issue.
    blueprint_id: Option<BlueprintId>,
    /// The last known revision, from an event, a poll, or the read of a watcher.
    sight: watch::Sender<Sight>,
    /// Progress of its steps; set once a watcher has requested steps.
    steps: Option<broadcast::Sender<StepProgress>>,
    /// What it waits for; set once a watcher has requested it.
    waiting: Option<WatchedWaiting>,
}

/// What a watched issue waits for.
struct WatchedWaiting {
    /// The last known value; `None` before it was read, and after the wait has ended.
    last: watch::Sender<Option<Waiting>>,
    /// The issue while it is pending, as a watcher has read it.
    pending: Option<PendingIssue>,
    /// The number of the poll that read it last.
    poll: u64,
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
            demand: Demand::new(),
            polls: AtomicU64::new(0),
        }))
    }

    /// Returns the demand for events.
    pub(crate) fn demand(&self) -> &Demand {
        &self.0.demand
    }

    /// Polls the watched issues. Never returns.
    pub(crate) async fn run(&self, store: &Store) {
        self.0.demand.poll(|_| self.poll_once(store)).await;
    }

    /// Reads the revisions of all watched issues. Returns the number of calls.
    async fn poll_once(&self, store: &Store) -> Result<usize, StoreError> {
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
        if let Some(failed) = failed {
            return Err(failed);
        }
        let n_waiting_calls = self.poll_waiting(store).await?;
        Ok(known.len().div_ceil(REVISIONS_PER_CALL) + n_waiting_calls)
    }

    /// Reads what some pending issues wait for: those that were not read for the longest time.
    /// Returns the number of calls.
    async fn poll_waiting(&self, store: &Store) -> Result<usize, StoreError> {
        let poll = self.0.polls.fetch_add(1, Ordering::Relaxed) + 1;
        let pending: Vec<PendingIssue> = {
            let mut issues = self.issues();
            let watched = issues.values_mut();
            let mut waiting: Vec<&mut WatchedWaiting> = watched
                .filter_map(|watched| watched.waiting.as_mut())
                .filter(|waiting| waiting.pending.is_some())
                .collect();
            waiting.sort_by_key(|waiting| waiting.poll);
            waiting.truncate(WAITING_PER_POLL);
            let chosen = waiting.into_iter().filter_map(|waiting| {
                waiting.poll = poll;
                waiting.pending.clone()
            });
            chosen.collect()
        };
        if pending.is_empty() {
            return Ok(0);
        }
        for (issue_id, now) in store.waiting(&pending).await? {
            let issues = self.issues();
            let watched = issues.get(&issue_id).and_then(|w| w.waiting.as_ref());
            // An issue that left its queue has a new revision, which wakes its watchers.
            if let (Some(waiting), Some(_)) = (watched, &now) {
                waiting.last.send_if_modified(|last| {
                    let differs = *last != now;
                    *last = now;
                    differs
                });
            }
        }
        Ok(CALLS_PER_WAITING)
    }

    /// Wakes the watchers of a changed issue.
    pub(crate) fn announce(&self, event: &IssueEvent) {
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

    /// Passes steps to the watchers of their issue.
    pub(crate) fn tell(&self, news: IssueSteps) {
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
    pub(super) fn register(&self, issue_id: &IssueId, include: Include) -> Registration {
        let mut issues = self.issues();
        let watched = issues.entry(issue_id.clone()).or_insert_with(|| Watched {
            blueprint_id: None,
            sight: watch::Sender::new(Sight::Unknown),
            steps: None,
            waiting: None,
        });
        let sight = watched.sight.subscribe();
        let waiting = include.waiting.then(|| {
            let waiting = watched.waiting.get_or_insert_with(|| WatchedWaiting {
                last: watch::Sender::new(None),
                pending: None,
                poll: 0,
            });
            waiting.last.subscribe()
        });
        let steps = include.steps.then(|| {
            let told = watched
                .steps
                .get_or_insert_with(|| broadcast::Sender::new(STEPS_KEPT));
            told.subscribe()
        });
        self.0.demand.set(issues.len());
        Registration {
            hub: self.clone(),
            issue_id: issue_id.clone(),
            sight: Some(sight),
            last: Sight::Unknown,
            steps,
            waiting,
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
    /// `None` if it was not requested.
    waiting: Option<watch::Receiver<Option<Waiting>>>,
}

/// What wakes a watcher.
pub(super) enum Wake {
    /// The issue may differ from the last read.
    Changed,
    /// A step started or ended.
    Step(StepProgress),
    /// The issue waits for this now.
    Waiting(Waiting),
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
    /// `waiting` is what the watcher has read with it.
    pub(super) fn has_read(&mut self, issue: &Issue, waiting: Option<&Waiting>) {
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
            // A watcher without the option has read nothing about it.
            if let (Some(_), Some(shared)) = (&self.waiting, &mut watched.waiting) {
                let is_pending = issue.state == IssueState::Pending;
                shared.pending = is_pending.then(|| PendingIssue::of(issue));
                shared.last.send_if_modified(|last| {
                    let differs = last.as_ref() != waiting;
                    *last = waiting.cloned();
                    differs
                });
            }
        }
        // This watcher knows it already.
        if let Some(waiting) = &mut self.waiting {
            waiting.borrow_and_update();
        }
    }

    /// Waits until the issue may differ from the last read, or for one of the requested messages.
    /// Cancel safe.
    pub(super) async fn woken(&mut self) -> Wake {
        loop {
            let Some(sight) = &mut self.sight else {
                return Wake::Changed;
            };
            tokio::select! {
                _ = sight.changed() => {
                    if *sight.borrow_and_update() != self.last {
                        return Wake::Changed;
                    }
                }
                step = next_step(self.steps.as_mut()) => return Wake::Step(step),
                waiting = next_waiting(self.waiting.as_mut()) => return Wake::Waiting(waiting),
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

/// Returns the next thing that the issue waits for; never returns if it was not requested. Cancel
/// safe.
async fn next_waiting(waiting: Option<&mut watch::Receiver<Option<Waiting>>>) -> Waiting {
    if let Some(waiting) = waiting {
        // Fails only if the registration keeps no sender, which cannot be.
        while waiting.changed().await.is_ok() {
            if let Some(now) = waiting.borrow_and_update().clone() {
                return now;
            }
        }
    }
    std::future::pending().await
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.sight = None;
        self.steps = None;
        self.waiting = None;
        let mut issues = self.hub.issues();
        if issues
            .get(&self.issue_id)
            .is_some_and(|watched| watched.sight.receiver_count() == 0)
        {
            issues.remove(&self.issue_id);
        }
        self.hub.0.demand.set(issues.len());
    }
}

//! Watching issues: one Redis subscription for the whole process, however many watchers.
//!
//! The [`Hub`] reads the events of all issues and keeps, for each watched issue, the newest
//! revision that was announced. An event is a wake-up and not the truth: a watcher that wakes
//! reads the issue from the store and sends it on if it is newer than what it sent before. It
//! registers first and reads then, so a change in between wakes it. Whatever was lost (events
//! are, while the subscription is down) is found by reading again: whenever the subscription is
//! up again, and every few seconds besides.
//!
//! A watcher is a stream that is polled only when its client can take more. A slow one therefore
//! skips states, always gets the latest, and holds no more memory than one issue.
//!
//! Who asks for steps is told of them as they are heard of, from a short queue of the issue's that all its
//! watchers share: a slow one misses the oldest. Steps that were heard of before a state are sent before it.
//!
//! A watch ends after a while, undecided or not: a client that is still there watches again, and one that
//! only looks as if it were does not hold its place for ever.
//!
//! The hub subscribes when the first watcher comes and lets go some time after the last one went:
//! an intake that nobody watches through does not pay for the events of a busy queue.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::Stream;
use proto::v1;
use shared::ids::IssueId;
use shared::issue::Issue;
use shared::step::StepProgress;
use shared::store::{EventStream, IssueEvent, IssueSteps, News, Store, StoreError};
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::backend::{Backend, no_issue};
use crate::convert;
use crate::metrics::Watching;
use crate::status::{RequestError, refuse};

/// A watcher reads again after this time without a wake-up.
const REREAD_EVERY: Duration = Duration::from_secs(3);
/// And after this time if reading failed.
const RETRY_AFTER: Duration = Duration::from_millis(500);
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
    /// The newest announced revision.
    revision: watch::Sender<u64>,
    /// What its steps do; there once a watcher has asked for it.
    steps: Option<broadcast::Sender<StepProgress>>,
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

    /// Keeps the subscription while somebody watches, until `stopping`.
    pub(crate) async fn run(&self, store: Store, stopping: CancellationToken) {
        let forever = async {
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
        };
        // `None` is how it always ends: `forever` has no other way out.
        stopping.run_until_cancelled(forever).await;
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

    fn announce(&self, event: &IssueEvent) {
        if let Some(watched) = self.issues().get(&event.issue_id) {
            watched.revision.send_if_modified(|newest| {
                let newer = event.revision > *newest;
                *newest = (*newest).max(event.revision);
                newer
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

    fn register(&self, issue_id: &IssueId, include_steps: bool) -> Registration {
        let mut issues = self.issues();
        let watched = issues.entry(issue_id.clone()).or_insert_with(|| Watched {
            revision: watch::Sender::new(0),
            steps: None,
        });
        let announced = watched.revision.subscribe();
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
            announced: Some(announced),
            steps,
            subscribed: self.0.subscribed.subscribe(),
        }
    }

    fn issues(&self) -> MutexGuard<'_, HashMap<IssueId, Watched>> {
        // Nothing can panic halfway through a change of the map.
        self.0.issues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A watcher's place in the hub; dropping it gives the place up.
struct Registration {
    hub: Hub,
    issue_id: IssueId,
    /// `None` only while it is dropped.
    announced: Option<watch::Receiver<u64>>,
    /// `None` if steps were not asked for.
    steps: Option<broadcast::Receiver<StepProgress>>,
    subscribed: watch::Receiver<u64>,
}

impl Registration {
    /// Forgets the wake-ups so far: the read that follows sees all they announced.
    fn about_to_read(&mut self) {
        if let Some(announced) = &mut self.announced {
            announced.borrow_and_update();
        }
        self.subscribed.borrow_and_update();
    }

    /// Returns at the next wake-up, or after `at_most`; with a step if it was one that woke.
    async fn woken(&mut self, at_most: Duration) -> Option<StepProgress> {
        let announced = self.announced.as_mut()?;
        tokio::select! {
            _ = announced.changed() => None,
            _ = self.subscribed.changed() => None,
            step = next_step(self.steps.as_mut()) => Some(step),
            () = sleep(at_most) => None,
        }
    }

    /// The steps that were heard of and not told yet.
    fn steps_so_far(&mut self) -> VecDeque<StepProgress> {
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
        self.announced = None;
        self.steps = None;
        let mut issues = self.hub.issues();
        if issues
            .get(&self.issue_id)
            .is_some_and(|watched| watched.revision.receiver_count() == 0)
        {
            issues.remove(&self.issue_id);
        }
        self.hub.0.watched.send_replace(issues.len());
    }
}

/// How an issue is watched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Steps are told, too.
    pub(crate) include_steps: bool,
    /// How long at most.
    pub(crate) at_most: Duration,
}

/// Reads the issue and goes on watching it.
///
/// # Errors
/// If there is no such issue, or the first read fails.
pub(crate) async fn watch(
    hub: &Hub,
    backend: &Backend,
    issue_id: IssueId,
    manner: Manner,
    stopping: CancellationToken,
) -> Result<impl Stream<Item = Result<v1::WatchIssueResponse, Status>> + Send + use<>, RequestError>
{
    let store = backend.store()?;
    let counted = backend.watching()?;
    let ends = Instant::now() + manner.at_most;
    let mut registration = hub.register(&issue_id, manner.include_steps);
    registration.about_to_read();
    let Some(first) = store.issue(&issue_id).await? else {
        return Err(no_issue(store, issue_id).await);
    };
    let mut watcher = Watcher {
        registration,
        store: store.clone(),
        _counted: counted,
        stopping,
        ends,
        lived: manner.at_most,
        seen: 0,
        ready: VecDeque::new(),
    };
    watcher.put_ready(first);
    Ok(futures::stream::unfold(
        Some(Box::new(watcher)),
        |watcher| async {
            let mut watcher = watcher?;
            Some(match watcher.next().await {
                Ok(told) => {
                    let is_last = told.is_last();
                    (Ok(told.into_wire()), (!is_last).then_some(watcher))
                }
                Err(error) => (Err(refuse("WatchIssue", error)), None),
            })
        },
    ))
}

/// What is told to a client.
enum Told {
    Issue(Box<Issue>),
    Step(StepProgress),
}

impl Told {
    fn is_last(&self) -> bool {
        matches!(self, Told::Issue(issue) if issue.state.is_terminal())
    }

    fn into_wire(self) -> v1::WatchIssueResponse {
        match self {
            Told::Issue(issue) => v1::WatchIssueResponse {
                issue: Some(convert::issue_to_wire(*issue)),
                step: None,
            },
            Told::Step(step) => v1::WatchIssueResponse {
                issue: None,
                step: Some(convert::step_to_wire(step)),
            },
        }
    }
}

struct Watcher {
    registration: Registration,
    store: Store,
    _counted: Watching,
    stopping: CancellationToken,
    /// When it ends, decided or not.
    ends: Instant,
    /// How long that is from its beginning.
    lived: Duration,
    /// The revision that was sent last.
    seen: u64,
    /// What is to be told next: a state, and the steps that were heard of before it.
    ready: VecDeque<Told>,
}

impl Watcher {
    /// A state is to be told.
    fn put_ready(&mut self, issue: Issue) {
        self.seen = issue.revision;
        let steps = self.registration.steps_so_far();
        self.ready.extend(steps.into_iter().map(Told::Step));
        self.ready.push_back(Told::Issue(Box::new(issue)));
    }

    /// The next state that is newer than what was sent, or the next step.
    async fn next(&mut self) -> Result<Told, RequestError> {
        let mut patience = REREAD_EVERY;
        let stopping = self.stopping.clone();
        loop {
            if let Some(told) = self.ready.pop_front() {
                return Ok(told);
            }
            let newer = async {
                if let Some(step) = self.registration.woken(patience).await {
                    return Woken::Step(step);
                }
                self.registration.about_to_read();
                Woken::Read(self.store.issue(&self.registration.issue_id).await)
            };
            let woken = tokio::select! {
                woken = stopping.run_until_cancelled(newer) => woken.ok_or(RequestError::ShuttingDown)?,
                () = sleep_until(self.ends) => return Err(RequestError::WatchOver { lived: self.lived }),
            };
            patience = match woken {
                Woken::Step(step) => return Ok(Told::Step(step)),
                // A decision is told whatever its number: it may have been made again after Redis lost one.
                Woken::Read(Ok(Some(issue)))
                    if issue.revision > self.seen || issue.state.is_terminal() =>
                {
                    self.put_ready(issue);
                    continue;
                }
                Woken::Read(Ok(Some(_))) => REREAD_EVERY,
                Woken::Read(Ok(None)) => {
                    return Err(RequestError::IssueNotFound(
                        self.registration.issue_id.clone(),
                    ));
                }
                Woken::Read(Err(error)) if error.is_retryable() => RETRY_AFTER,
                Woken::Read(Err(error)) => return Err(error.into()),
            };
        }
    }
}

/// Why a watcher looks up.
enum Woken {
    Step(StepProgress),
    Read(Result<Option<Issue>, StoreError>),
}

#[cfg(test)]
mod tests {
    use shared::step::StepStatus;

    use super::*;

    fn id(text: &str) -> IssueId {
        IssueId::parse(text).unwrap()
    }

    fn event(issue_id: &str, revision: u64) -> IssueEvent {
        IssueEvent {
            issue_id: id(issue_id),
            revision,
            json: String::new(),
        }
    }

    fn is_woken(registration: &Registration) -> bool {
        registration
            .announced
            .as_ref()
            .unwrap()
            .has_changed()
            .unwrap()
            || registration.subscribed.has_changed().unwrap()
    }

    #[tokio::test]
    async fn only_newer_revisions_of_the_own_issue_wake() {
        let hub = Hub::new();
        let mut watcher = hub.register(&id("a"), false);
        watcher.about_to_read();
        hub.announce(&event("b", 9));
        assert!(!is_woken(&watcher));
        hub.announce(&event("a", 2));
        assert!(is_woken(&watcher));
        watcher.about_to_read();
        hub.announce(&event("a", 2));
        hub.announce(&event("a", 1));
        assert!(!is_woken(&watcher));
        hub.0.subscribed.send_modify(|times| *times += 1);
        assert!(is_woken(&watcher));
        watcher.woken(Duration::from_secs(3600)).await;
    }

    #[test]
    fn a_place_is_kept_as_long_as_somebody_watches() {
        let hub = Hub::new();
        let (first, second, other) = (
            hub.register(&id("a"), false),
            hub.register(&id("a"), false),
            hub.register(&id("b"), false),
        );
        assert_eq!(*hub.0.watched.borrow(), 2);
        drop(first);
        assert_eq!(*hub.0.watched.borrow(), 2);
        hub.announce(&event("a", 1));
        assert!(is_woken(&second));
        drop(second);
        drop(other);
        assert_eq!(*hub.0.watched.borrow(), 0);
        assert!(hub.issues().is_empty());
    }

    #[tokio::test]
    async fn a_slow_watcher_misses_the_oldest_steps_and_others_get_none() {
        let hub = Hub::new();
        let mut plain = hub.register(&id("a"), false);
        let mut slow = hub.register(&id("a"), true);
        let step = |n: usize| StepProgress {
            step: n.to_string(),
            axis: String::new(),
            status: StepStatus::Started,
            duration: Duration::ZERO,
            attempt: 1,
        };
        for n in 0..10 * STEPS_KEPT {
            hub.tell(IssueSteps {
                issue_id: id("a"),
                steps: vec![step(n)],
            });
        }
        hub.tell(IssueSteps {
            issue_id: id("b"),
            steps: vec![step(0)],
        });
        assert!(plain.steps_so_far().is_empty());
        let newest: Vec<StepProgress> = (9 * STEPS_KEPT..10 * STEPS_KEPT).map(step).collect();
        assert_eq!(Vec::from(slow.steps_so_far()), newest);
        hub.tell(IssueSteps {
            issue_id: id("a"),
            steps: vec![step(7)],
        });
        assert_eq!(slow.woken(Duration::from_secs(3600)).await, Some(step(7)));
    }
}

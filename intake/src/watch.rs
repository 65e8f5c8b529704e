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
//! The hub subscribes when the first watcher comes and lets go some time after the last one went:
//! an intake that nobody watches through does not pay for the events of a busy queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::Stream;
use proto::v1;
use shared::ids::IssueId;
use shared::issue::Issue;
use shared::store::{EventStream, IssueEvent, Store, StoreError};
use tokio::sync::watch;
use tokio::time::sleep;
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

/// The subscription and who waits for it.
#[derive(Clone)]
pub(crate) struct Hub(Arc<Inner>);

struct Inner {
    /// The newest announced revision of each watched issue. An entry lives as long as a watcher.
    issues: Mutex<HashMap<IssueId, watch::Sender<u64>>>,
    /// How many issues are watched.
    watched: watch::Sender<usize>,
    /// Rises whenever the subscription came up.
    subscribed: watch::Sender<u64>,
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
                    Ok(event) => self.announce(&event),
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
        if let Some(revision) = self.issues().get(&event.issue_id) {
            revision.send_if_modified(|newest| {
                let newer = event.revision > *newest;
                *newest = (*newest).max(event.revision);
                newer
            });
        }
    }

    fn register(&self, issue_id: &IssueId) -> Registration {
        let mut issues = self.issues();
        let announced = issues
            .entry(issue_id.clone())
            .or_insert_with(|| watch::Sender::new(0))
            .subscribe();
        self.0.watched.send_replace(issues.len());
        Registration {
            hub: self.clone(),
            issue_id: issue_id.clone(),
            announced: Some(announced),
            subscribed: self.0.subscribed.subscribe(),
        }
    }

    fn issues(&self) -> MutexGuard<'_, HashMap<IssueId, watch::Sender<u64>>> {
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

    /// Returns at the next wake-up, or after `at_most`.
    async fn woken(&mut self, at_most: Duration) {
        let Some(announced) = &mut self.announced else {
            return;
        };
        tokio::select! {
            _ = announced.changed() => {}
            _ = self.subscribed.changed() => {}
            () = sleep(at_most) => {}
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.announced = None;
        let mut issues = self.hub.issues();
        if issues
            .get(&self.issue_id)
            .is_some_and(|revision| revision.receiver_count() == 0)
        {
            issues.remove(&self.issue_id);
        }
        self.hub.0.watched.send_replace(issues.len());
    }
}

/// Reads the issue and goes on watching it.
///
/// # Errors
/// If there is no such issue, or the first read fails.
pub(crate) async fn watch(
    hub: &Hub,
    backend: &Backend,
    issue_id: IssueId,
    stopping: CancellationToken,
) -> Result<impl Stream<Item = Result<v1::WatchIssueResponse, Status>> + Send + use<>, RequestError>
{
    let store = backend.store()?;
    let counted = backend.watching()?;
    let mut registration = hub.register(&issue_id);
    registration.about_to_read();
    let Some(first) = store.issue(&issue_id).await? else {
        return Err(no_issue(store, issue_id).await);
    };
    let watcher = Watcher {
        registration,
        store: store.clone(),
        _counted: counted,
        stopping,
        seen: 0,
    };
    Ok(futures::stream::unfold(
        Step::First(Box::new(watcher), first),
        |step| async {
            let (watcher, result) = match step {
                Step::First(watcher, issue) => (watcher, Ok(issue)),
                Step::Next(mut watcher) => {
                    let result = watcher.next().await;
                    (watcher, result)
                }
                Step::End => return None,
            };
            match result {
                Ok(issue) => {
                    let step = watcher.after(&issue);
                    let response = v1::WatchIssueResponse {
                        issue: Some(convert::issue_to_wire(issue)),
                    };
                    Some((Ok(response), step))
                }
                Err(error) => Some((Err(refuse("WatchIssue", error)), Step::End)),
            }
        },
    ))
}

enum Step {
    First(Box<Watcher>, Issue),
    Next(Box<Watcher>),
    End,
}

struct Watcher {
    registration: Registration,
    store: Store,
    _counted: Watching,
    stopping: CancellationToken,
    /// The revision that was sent last.
    seen: u64,
}

impl Watcher {
    /// What follows once `issue` was sent.
    fn after(mut self: Box<Self>, issue: &Issue) -> Step {
        self.seen = issue.revision;
        if issue.state.is_terminal() {
            Step::End
        } else {
            Step::Next(self)
        }
    }

    /// The next state that is newer than what was sent.
    async fn next(&mut self) -> Result<Issue, RequestError> {
        let mut patience = REREAD_EVERY;
        let stopping = self.stopping.clone();
        loop {
            let newer = async {
                self.registration.woken(patience).await;
                self.registration.about_to_read();
                self.store.issue(&self.registration.issue_id).await
            };
            let read: Result<Option<Issue>, StoreError> = stopping
                .run_until_cancelled(newer)
                .await
                .ok_or(RequestError::ShuttingDown)?;
            patience = match read {
                // A decision is told whatever its number: it may have been made again after Redis lost one.
                Ok(Some(issue)) if issue.revision > self.seen || issue.state.is_terminal() => {
                    return Ok(issue);
                }
                Ok(Some(_)) => REREAD_EVERY,
                Ok(None) => {
                    return Err(RequestError::IssueNotFound(
                        self.registration.issue_id.clone(),
                    ));
                }
                Err(error) if error.is_retryable() => RETRY_AFTER,
                Err(error) => return Err(error.into()),
            };
        }
    }
}

#[cfg(test)]
mod tests {
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
        let mut watcher = hub.register(&id("a"));
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
            hub.register(&id("a")),
            hub.register(&id("a")),
            hub.register(&id("b")),
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
}

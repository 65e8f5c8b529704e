//! Watches issues.
//!
//! The [`Hub`] receives the events of all issues and polls the watched ones. It wakes the watchers
//! of a changed issue. A watcher then reads the issue from the store, and sends it if its revision
//! is newer than the last one sent. A watcher registers before it reads, so a change in between
//! wakes it. An idle watch reads nothing.
//!
//! A watcher is a stream that is polled only when its client can receive more. So a slow watcher
//! skips states, always sends the latest, and buffers only one issue.
//!
//! A watcher that requests steps receives them from a short queue that all watchers of the issue
//! share. A slow watcher misses the oldest steps. Steps received before a state are sent before it.
//!
//! A watcher that requests what the issue waits for receives it with each pending state. The poll
//! of the hub reads it again, and a change is a message of its own. Only such watchers have this
//! cost.

mod hub;

use std::collections::VecDeque;

use futures::Stream;
use proto::v1;
use shared::domain::issue::Issue;
use shared::domain::progress::StepProgress;
use shared::domain::waiting::Waiting;
use shared::ids::{BlueprintId, IssueId};
use shared::store::{Store, StoreError};
use tokio::sync::watch;
use tokio::time::sleep;
use tonic::Status;

use crate::backend::{Backend, no_issue};
use crate::error::request_error::RequestError;
use crate::error::status::refuse;
use crate::issues::convert::step_to_wire;
use crate::issues::waiting;
use crate::issues::watch::hub::{Registration, Wake};
use crate::rpc::Rpc;
use crate::watching::RETRY_AFTER;
use crate::watching::lifetime::{Lifetime, WatchLimits};

pub(crate) use self::hub::Hub;

/// What a watch has besides the states of the issue.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Include {
    /// The steps of the flow.
    pub(crate) steps: bool,
    /// What the issue waits for.
    pub(crate) waiting: bool,
}

/// Returns the stream of an issue's states, starting with its present state.
///
/// # Errors
/// The issue is not found, or the first read fails.
pub(crate) async fn watch(
    hub: &Hub,
    backend: &Backend,
    issue_id: IssueId,
    include: Include,
    limits: WatchLimits,
) -> Result<impl Stream<Item = Result<v1::WatchIssueResponse, Status>> + Send + use<>, RequestError>
{
    let store = backend.store()?;
    let lifetime = Lifetime::begin(backend, limits)?;
    let mut registration = hub.register(&issue_id, include);
    registration.about_to_read();
    let Some(first) = store.issue(&issue_id).await? else {
        return Err(no_issue(store, issue_id).await);
    };
    let mut watcher = Watcher {
        registration,
        store: store.clone(),
        ready: include.waiting.then(|| backend.ready()),
        blueprint_id: first.blueprint_id.clone(),
        lifetime,
        seen: 0,
        queue: VecDeque::new(),
        must_read: false,
        must_tell: false,
    };
    watcher.put_ready(first).await;
    Ok(futures::stream::unfold(
        Some(Box::new(watcher)),
        |watcher| async {
            let mut watcher = watcher?;
            Some(match watcher.next().await {
                Ok(told) => {
                    let is_last = told.is_last();
                    (Ok(told.into_wire()), (!is_last).then_some(watcher))
                }
                Err(error) => (Err(refuse(Rpc::WatchIssue, error)), None),
            })
        },
    ))
}

/// A message to the client.
enum Told {
    Issue(Box<Issue>, Option<Waiting>),
    Step(StepProgress),
    Waiting(v1::WaitingFor),
}

impl Told {
    fn is_last(&self) -> bool {
        matches!(self, Told::Issue(issue, _) if issue.state.is_terminal())
    }

    fn into_wire(self) -> v1::WatchIssueResponse {
        match self {
            Told::Issue(issue, waiting) => v1::WatchIssueResponse {
                issue: Some(waiting::issue_to_wire(*issue, waiting.as_ref())),
                ..Default::default()
            },
            Told::Step(step) => v1::WatchIssueResponse {
                step: Some(step_to_wire(step)),
                ..Default::default()
            },
            Told::Waiting(waiting) => v1::WatchIssueResponse {
                waiting_for: Some(waiting),
                ..Default::default()
            },
        }
    }
}

struct Watcher {
    registration: Registration,
    store: Store,
    /// Whether Redis answers; `None` if the client did not request what the issue waits for.
    ready: Option<watch::Receiver<bool>>,
    blueprint_id: BlueprintId,
    lifetime: Lifetime,
    /// The last revision that was sent.
    seen: u64,
    /// Messages to send next: a state, after the steps received before it.
    queue: VecDeque<Told>,
    /// Set after a failed read, which must be repeated.
    must_read: bool,
    /// Set when Redis answers again: the client must be told what the issue waits for now.
    must_tell: bool,
}

impl Watcher {
    /// Queues a state, after the buffered steps.
    async fn put_ready(&mut self, issue: Issue) {
        self.seen = issue.revision;
        let waiting = self.waiting_of(&issue).await;
        self.registration.has_read(&issue, waiting.as_ref());
        let steps = self.registration.steps_so_far();
        self.queue.extend(steps.into_iter().map(Told::Step));
        self.queue.push_back(Told::Issue(Box::new(issue), waiting));
    }

    /// Returns what the issue waits for, if the client requested it.
    async fn waiting_of(&self, issue: &Issue) -> Option<Waiting> {
        self.ready.as_ref()?;
        // A poll repeats a failed read.
        let read = waiting::read(&self.store, issue).await;
        read.unwrap_or_default()
    }

    /// Returns the next newer state, or the next message besides the states.
    async fn next(&mut self) -> Result<Told, RequestError> {
        loop {
            if let Some(told) = self.queue.pop_front() {
                return Ok(told);
            }
            let newer = async {
                if self.must_read {
                    sleep(RETRY_AFTER).await;
                } else {
                    tokio::select! {
                        wake = self.registration.woken() => match wake {
                            Wake::Changed => {}
                            Wake::Step(step) => return Woken::Tell(Told::Step(step)),
                            Wake::Waiting(waiting) => {
                                let id = self.blueprint_id.as_str();
                                return Woken::Tell(Told::Waiting(waiting::to_wire(&waiting, id)));
                            }
                        },
                        is_ready = turns(self.ready.as_mut()) => {
                            if !is_ready {
                                return Woken::Tell(Told::Waiting(waiting::store_unavailable()));
                            }
                            self.must_tell = true;
                        }
                    }
                }
                self.registration.about_to_read();
                Woken::Read(self.store.issue(self.registration.issue_id()).await)
            };
            let woken = self.lifetime.limit(newer).await?;
            self.must_read = false;
            match woken {
                Woken::Tell(told) => return Ok(told),
                // A terminal state is sent whatever its revision: an issue may be decided again
                // after Redis lost writes.
                Woken::Read(Ok(Some(issue)))
                    if issue.revision > self.seen || issue.state.is_terminal() =>
                {
                    self.must_tell = false;
                    self.put_ready(issue).await;
                }
                Woken::Read(Ok(Some(issue))) => {
                    let is_told = std::mem::take(&mut self.must_tell);
                    let waiting = self.waiting_of(&issue).await;
                    self.registration.has_read(&issue, waiting.as_ref());
                    if is_told {
                        let id = self.blueprint_id.as_str();
                        let now = waiting.map(|waiting| waiting::to_wire(&waiting, id));
                        return Ok(Told::Waiting(now.unwrap_or_default()));
                    }
                }
                Woken::Read(Ok(None)) => {
                    return Err(RequestError::IssueNotFound(
                        self.registration.issue_id().clone(),
                    ));
                }
                Woken::Read(Err(error)) if error.is_retryable() => self.must_read = true,
                Woken::Read(Err(error)) => return Err(error.into()),
            }
        }
    }
}

/// Why a watcher woke.
enum Woken {
    Tell(Told),
    Read(Result<Option<Issue>, StoreError>),
}

/// Returns whether Redis answers, after that has changed; never returns without a receiver. Cancel
/// safe.
async fn turns(ready: Option<&mut watch::Receiver<bool>>) -> bool {
    if let Some(ready) = ready
        && ready.changed().await.is_ok()
    {
        return *ready.borrow_and_update();
    }
    // The readiness probe has ended, so the server is stopping.
    std::future::pending().await
}

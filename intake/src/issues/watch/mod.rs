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

mod hub;

use std::collections::VecDeque;

use futures::Stream;
use proto::v1;
use shared::domain::issue::Issue;
use shared::domain::progress::StepProgress;
use shared::ids::IssueId;
use shared::store::{Store, StoreError};
use tokio::time::sleep;
use tonic::Status;

use crate::backend::{Backend, no_issue};
use crate::error::request_error::RequestError;
use crate::error::status::refuse;
use crate::issues::convert::{issue_to_wire, step_to_wire};
use crate::issues::watch::hub::Registration;
use crate::rpc::Rpc;
use crate::watching::RETRY_AFTER;
use crate::watching::lifetime::{Lifetime, WatchLimits};

pub(crate) use self::hub::Hub;

/// Returns the stream of an issue's states, starting with its present state.
///
/// # Errors
/// The issue is not found, or the first read fails.
pub(crate) async fn watch(
    hub: &Hub,
    backend: &Backend,
    issue_id: IssueId,
    include_steps: bool,
    limits: WatchLimits,
) -> Result<impl Stream<Item = Result<v1::WatchIssueResponse, Status>> + Send + use<>, RequestError>
{
    let store = backend.store()?;
    let lifetime = Lifetime::begin(backend, limits)?;
    let mut registration = hub.register(&issue_id, include_steps);
    registration.about_to_read();
    let Some(first) = store.issue(&issue_id).await? else {
        return Err(no_issue(store, issue_id).await);
    };
    let mut watcher = Watcher {
        registration,
        store: store.clone(),
        lifetime,
        seen: 0,
        ready: VecDeque::new(),
        must_read: false,
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
                Err(error) => (Err(refuse(Rpc::WatchIssue, error)), None),
            })
        },
    ))
}

/// A message to the client.
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
                issue: Some(issue_to_wire(*issue)),
                step: None,
            },
            Told::Step(step) => v1::WatchIssueResponse {
                issue: None,
                step: Some(step_to_wire(step)),
            },
        }
    }
}

struct Watcher {
    registration: Registration,
    store: Store,
    lifetime: Lifetime,
    /// The last revision that was sent.
    seen: u64,
    /// Messages to send next: a state, after the steps received before it.
    ready: VecDeque<Told>,
    /// Set after a failed read, which must be repeated.
    must_read: bool,
}

impl Watcher {
    /// Queues a state, after the buffered steps.
    fn put_ready(&mut self, issue: Issue) {
        self.seen = issue.revision;
        self.registration.has_read(&issue);
        let steps = self.registration.steps_so_far();
        self.ready.extend(steps.into_iter().map(Told::Step));
        self.ready.push_back(Told::Issue(Box::new(issue)));
    }

    /// Returns the next newer state, or the next step.
    async fn next(&mut self) -> Result<Told, RequestError> {
        loop {
            if let Some(told) = self.ready.pop_front() {
                return Ok(told);
            }
            let newer = async {
                if self.must_read {
                    sleep(RETRY_AFTER).await;
                } else if let Some(step) = self.registration.woken().await {
                    return Woken::Step(step);
                }
                self.registration.about_to_read();
                Woken::Read(self.store.issue(self.registration.issue_id()).await)
            };
            let woken = self.lifetime.limit(newer).await?;
            self.must_read = false;
            match woken {
                Woken::Step(step) => return Ok(Told::Step(step)),
                // A terminal state is sent whatever its revision: an issue may be decided again
                // after Redis lost writes.
                Woken::Read(Ok(Some(issue)))
                    if issue.revision > self.seen || issue.state.is_terminal() =>
                {
                    self.put_ready(issue);
                }
                Woken::Read(Ok(Some(issue))) => self.registration.has_read(&issue),
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
    Step(StepProgress),
    Read(Result<Option<Issue>, StoreError>),
}

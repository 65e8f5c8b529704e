//! Watching issues: one Redis subscription for the whole process, however many watchers.
//!
//! The [`Hub`] hears the events of all issues and looks at those that are watched now and then. It
//! wakes the watchers of an issue that has changed; they read it from the store and send it on if it
//! is newer than what they sent before. A watcher registers first and reads then, so a change in
//! between wakes it. A watch on which nothing happens reads nothing.
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

mod hub;

use std::collections::VecDeque;
use std::time::Duration;

use futures::Stream;
use proto::v1;
use shared::domain::issue::Issue;
use shared::domain::progress::StepProgress;
use shared::ids::IssueId;
use shared::store::{Store, StoreError};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::backend::{Backend, no_issue};
use crate::edge::rpc::Rpc;
use crate::error::request_error::RequestError;
use crate::error::status::refuse;
use crate::issues::convert::{issue_to_wire, step_to_wire};
use crate::issues::watch::hub::{RETRY_AFTER, Registration};
use crate::metrics::Watching;

pub(crate) use self::hub::Hub;

/// How an issue is watched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WatchOptions {
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
    watch_options: WatchOptions,
    stopping: CancellationToken,
) -> Result<impl Stream<Item = Result<v1::WatchIssueResponse, Status>> + Send + use<>, RequestError>
{
    let store = backend.store()?;
    let counted = backend.watching()?;
    let ends = Instant::now() + watch_options.at_most;
    let mut registration = hub.register(&issue_id, watch_options.include_steps);
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
        lived: watch_options.at_most,
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
    /// The last read failed, so what woke the watcher is still to be read.
    must_read: bool,
}

impl Watcher {
    /// A state is to be told.
    fn put_ready(&mut self, issue: Issue) {
        self.seen = issue.revision;
        self.registration.has_read(&issue);
        let steps = self.registration.steps_so_far();
        self.ready.extend(steps.into_iter().map(Told::Step));
        self.ready.push_back(Told::Issue(Box::new(issue)));
    }

    /// The next state that is newer than what was sent, or the next step.
    async fn next(&mut self) -> Result<Told, RequestError> {
        let stopping = self.stopping.clone();
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
            let woken = tokio::select! {
                woken = stopping.run_until_cancelled(newer) => woken.ok_or(RequestError::ShuttingDown)?,
                () = sleep_until(self.ends) => return Err(RequestError::WatchOver { lived: self.lived }),
            };
            self.must_read = false;
            match woken {
                Woken::Step(step) => return Ok(Told::Step(step)),
                // A decision is told whatever its number: it may have been made again after Redis lost one.
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

/// Why a watcher looks up.
enum Woken {
    Step(StepProgress),
    Read(Result<Option<Issue>, StoreError>),
}

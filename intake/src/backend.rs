//! State shared by every service: the store, its readiness and the count of watches.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use shared::ids::IssueId;
use shared::store::Store;
use tokio::sync::watch;
use tonic::{Code, Response, Status};

use crate::error::request_error::RequestError;
use crate::error::status::refuse;
use crate::metrics::{self, Watching};
use crate::rpc::Rpc;

/// The state behind the services. Cloning is cheap; all clones share everything.
#[derive(Clone)]
pub(crate) struct Backend {
    store: Store,
    ready: watch::Receiver<bool>,
    watching: Arc<AtomicUsize>,
    max_watches: usize,
}

impl Backend {
    /// Creates a backend over `store`. It refuses calls while `ready` is false, and watches above
    /// `max_watches`.
    pub(crate) fn new(store: Store, ready: watch::Receiver<bool>, max_watches: usize) -> Self {
        Self {
            store,
            ready,
            watching: Arc::default(),
            max_watches,
        }
    }

    /// Returns the store if Redis is ready.
    ///
    /// # Errors
    /// [`RequestError::NotReady`] otherwise, at once instead of after a timeout of each call.
    pub(crate) fn store(&self) -> Result<&Store, RequestError> {
        if self.is_ready() {
            Ok(&self.store)
        } else {
            Err(RequestError::NotReady)
        }
    }

    /// Returns true while Redis answers and is prepared.
    pub(crate) fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Returns a receiver of the next changes of [`Backend::is_ready`].
    pub(crate) fn ready(&self) -> watch::Receiver<bool> {
        let mut ready = self.ready.clone();
        // A clone would report the changes of the past.
        ready.mark_unchanged();
        ready
    }

    /// Waits until Redis answers and is prepared, and returns the store. Never returns if Redis
    /// stays unavailable.
    pub(crate) async fn store_when_ready(&self) -> &Store {
        if self.ready.clone().wait_for(|ready| *ready).await.is_err() {
            // The readiness probe has ended, so the server is stopping.
            std::future::pending::<()>().await;
        }
        &self.store
    }

    /// Wraps every handler: runs `work`, counts the call, and converts result or error.
    pub(crate) async fn answer<T>(
        &self,
        rpc: Rpc,
        work: impl Future<Output = Result<T, RequestError>>,
    ) -> Result<Response<T>, Status> {
        let began = Instant::now();
        let result = work
            .await
            .map(Response::new)
            .map_err(|error| refuse(rpc, error));
        let code = result.as_ref().map_or_else(Status::code, |_| Code::Ok);
        metrics::count(rpc.name(), code, began.elapsed());
        result
    }

    /// Returns the number of open watch streams.
    pub(crate) fn n_watches(&self) -> usize {
        self.watching.load(Ordering::Relaxed)
    }

    /// Counts an open watch stream until the result is dropped.
    ///
    /// # Errors
    /// [`RequestError::TooManyWatchers`] at the limit.
    pub(crate) fn watching(&self) -> Result<Watching, RequestError> {
        Watching::begin(&self.watching, self.max_watches).ok_or(RequestError::TooManyWatchers {
            max: self.max_watches,
        })
    }
}

/// Returns the error for a missing issue: it never existed, or it was pruned.
pub(crate) async fn no_issue(store: &Store, issue_id: IssueId) -> RequestError {
    match store.is_pruned(&issue_id).await {
        Ok(true) => RequestError::IssueGone(issue_id),
        Ok(false) => RequestError::IssueNotFound(issue_id),
        Err(error) => error.into(),
    }
}

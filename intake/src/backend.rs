//! What every service stands on: the store, whether it may be used now, and the counters.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use shared::ids::IssueId;
use shared::store::Store;
use tokio::sync::watch;
use tonic::{Code, Response, Status};

use crate::edge::rpc::Rpc;
use crate::error::request_error::RequestError;
use crate::error::status::refuse;
use crate::metrics::{self, Watching};

/// The room behind the services. Cloning is cheap; all clones share everything.
#[derive(Clone)]
pub(crate) struct Backend {
    store: Store,
    ready: watch::Receiver<bool>,
    watching: Arc<AtomicUsize>,
    max_watches: usize,
}

impl Backend {
    /// A backend over `store` that refuses calls while `ready` is false, and more than `max_watches` watchers.
    pub(crate) fn new(store: Store, ready: watch::Receiver<bool>, max_watches: usize) -> Self {
        Self {
            store,
            ready,
            watching: Arc::default(),
            max_watches,
        }
    }

    /// The store, if Redis answered when it was looked at last.
    ///
    /// # Errors
    /// [`RequestError::NotReady`] otherwise: better at once than after a timeout for each call.
    pub(crate) fn store(&self) -> Result<&Store, RequestError> {
        if self.is_ready() {
            Ok(&self.store)
        } else {
            Err(RequestError::NotReady)
        }
    }

    /// True while Redis answers and is prepared.
    pub(crate) fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// The store, as soon as Redis answers and is prepared. Waits for ever if it never does.
    pub(crate) async fn store_when_ready(&self) -> &Store {
        if self.ready.clone().wait_for(|ready| *ready).await.is_err() {
            // Nobody looks after Redis any more: the server is ending.
            std::future::pending::<()>().await;
        }
        &self.store
    }

    /// The outer half of every handler: runs `work`, counts it, and wraps its answer or translates
    /// its error.
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

    /// Counts an open watch stream until it is dropped.
    ///
    /// # Errors
    /// [`RequestError::TooManyWatchers`] if there are as many as there may be.
    pub(crate) fn watching(&self) -> Result<Watching, RequestError> {
        Watching::begin(&self.watching, self.max_watches).ok_or(RequestError::TooManyWatchers {
            max: self.max_watches,
        })
    }
}

/// Why there is no issue of that id: there never was, or it was pruned.
pub(crate) async fn no_issue(store: &Store, issue_id: IssueId) -> RequestError {
    match store.is_pruned(&issue_id).await {
        Ok(true) => RequestError::IssueGone(issue_id),
        Ok(false) => RequestError::IssueNotFound(issue_id),
        Err(error) => error.into(),
    }
}

//! The end of a watch stream: the shutdown of the server, or the maximum duration.
//!
//! A watch has a maximum duration. A live client watches again, and a dead connection does not use
//! up the watch limit forever.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::backend::Backend;
use crate::error::request_error::RequestError;
use crate::metrics::Watching;

/// The limits of all watches.
#[derive(Clone)]
pub(crate) struct WatchLimits {
    /// Maximum duration of a watch.
    pub(crate) at_most: Duration,
    /// Cancelled when the server stops.
    pub(crate) stopping: CancellationToken,
}

/// An open watch. It counts as one until it is dropped.
pub(crate) struct Lifetime {
    limits: WatchLimits,
    ends: Instant,
    _counted: Watching,
}

impl Lifetime {
    /// Begins a watch.
    ///
    /// # Errors
    /// [`RequestError::TooManyWatchers`] at the limit.
    pub(crate) fn begin(backend: &Backend, limits: WatchLimits) -> Result<Self, RequestError> {
        Ok(Self {
            _counted: backend.watching()?,
            ends: Instant::now() + limits.at_most,
            limits,
        })
    }

    /// Runs `work`, unless the watch ends before.
    ///
    /// # Errors
    /// [`RequestError::ShuttingDown`] or [`RequestError::WatchOver`].
    pub(crate) async fn limit<T>(&self, work: impl Future<Output = T>) -> Result<T, RequestError> {
        tokio::select! {
            done = self.limits.stopping.run_until_cancelled(work) => {
                done.ok_or(RequestError::ShuttingDown)
            }
            () = sleep_until(self.ends) => Err(RequestError::WatchOver {
                lived: self.limits.at_most,
            }),
        }
    }
}

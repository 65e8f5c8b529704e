//! The shared connection to the node of one shard.
//!
//! It is multiplexed: any number of tasks have calls in flight on it. It is dropped when it breaks,
//! when a call times out, or when Redis redirects or reports that it is a replica. The next call
//! connects again, to the node that [`Locator`] finds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use futures::FutureExt;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisError};
use tokio::runtime::Handle;
use tokio_util::context::TokioContext;

use crate::single_flight::SingleFlight;
use crate::store::redis::error::StoreError;
use crate::store::redis::locator::Locator;

/// The maximum duration of a call. Redis answers in well under a millisecond; after this time it
/// counts as unavailable.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// The maximum duration of a connection attempt.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum number of calls queued for the socket. Further callers wait.
const PIPELINE: usize = 512;
/// How long a failed connection attempt answers further callers.
const FAILURE_HOLDS: Duration = Duration::from_millis(100);

/// The shared connection to the node of one shard. Clones share it.
#[derive(Clone)]
pub(super) struct SharedConnection {
    locator: Arc<Locator>,
    call_timeout: Duration,
    current: Arc<Current>,
}

/// The state of a connection. Every call reads it, so a read must not wait.
#[derive(Default)]
struct Current {
    connected: RwLock<Option<Arc<MultiplexedConnection>>>,
    connecting: SingleFlight<u64, Result<Arc<MultiplexedConnection>, RedisError>>,
    /// Rises when the node was the wrong one. A connection attempt from before is then discarded.
    searches: AtomicU64,
    /// The runtime that first connected. Connections are driven there, independent of the
    /// caller's runtime: elsewhere they could wait behind a flow.
    home: OnceLock<Handle>,
    /// The time and the error of the last failed connection attempt. Callers shortly afterwards
    /// receive the same error.
    failed: Mutex<Option<(Instant, RedisError)>>,
}

impl Current {
    fn connected(&self) -> Option<Arc<MultiplexedConnection>> {
        self.connected
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Replaces the connection with `next` if `is_due` returns true for the current one.
    fn replace(
        &self,
        next: Option<Arc<MultiplexedConnection>>,
        is_due: impl FnOnce(Option<&Arc<MultiplexedConnection>>) -> bool,
    ) {
        let mut connected = self
            .connected
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if is_due(connected.as_ref()) {
            *connected = next;
        }
    }

    fn failed(&self) -> std::sync::MutexGuard<'_, Option<(Instant, RedisError)>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SharedConnection {
    /// Returns a connection to the node that has keys of this slot, if Redis is a cluster. The
    /// first call connects.
    pub(super) fn open(url: &str, slot: u16) -> Result<SharedConnection, StoreError> {
        Ok(SharedConnection {
            locator: Arc::new(Locator::open(url, slot)?),
            call_timeout: CALL_TIMEOUT,
            current: Arc::default(),
        })
    }

    /// Returns another connection to the same node, whose calls take at most `call_timeout`. It
    /// shares only the locator.
    pub(super) fn fresh(&self, call_timeout: Duration) -> SharedConnection {
        SharedConnection {
            locator: Arc::clone(&self.locator),
            call_timeout: call_timeout.min(CALL_TIMEOUT),
            current: Arc::default(),
        }
    }

    /// Returns the locator of the node.
    pub(super) fn locator(&self) -> &Arc<Locator> {
        &self.locator
    }

    /// Returns the connection. If it is missing, one caller connects and concurrent callers wait
    /// for it.
    pub(super) async fn get(&self) -> Result<Arc<MultiplexedConnection>, RedisError> {
        if let Some(connected) = self.current.connected() {
            return Ok(connected);
        }
        let (connection, search) = (self.clone(), self.current.searches.load(Ordering::Acquire));
        let connecting = || connection.connect_anew(search).boxed();
        self.current.connecting.join(search, connecting).await
    }

    async fn connect_anew(self, search: u64) -> Result<Arc<MultiplexedConnection>, RedisError> {
        // Another caller may have connected in the meantime.
        if let Some(connected) = self.current.connected() {
            return Ok(connected);
        }
        if let Some((at, error)) = self.current.failed().as_ref()
            && at.elapsed() < FAILURE_HOLDS
        {
            return Err(error.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT.min(self.call_timeout)))
            .set_response_timeout(Some(self.call_timeout))
            .set_pipeline_buffer_size(PIPELINE);
        let home = self.current.home.get_or_init(Handle::current).clone();
        let connected = TokioContext::new(self.connect(&config), home).await;
        let connected = connected.inspect_err(|error| {
            *self.current.failed() = Some((Instant::now(), error.clone()));
        })?;
        let connected = Arc::new(connected);
        self.current.replace(Some(Arc::clone(&connected)), |_| {
            self.current.searches.load(Ordering::Acquire) == search
        });
        Ok(connected)
    }

    /// Opens a new connection to the current node.
    pub(super) async fn connect(
        &self,
        config: &AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, RedisError> {
        let client = self.locator.find().await?;
        let connecting = client.get_multiplexed_async_connection_with_config(config);
        connecting.await.inspect_err(|error| {
            self.locator.note_redirect(error);
        })
    }

    /// Drops the connection if the error makes it unusable.
    pub(super) fn look_at(&self, failed: &Arc<MultiplexedConnection>, error: &RedisError) {
        self.current.replace(None, |present| {
            // A late error belongs to a connection that is already replaced.
            present.is_some_and(|present| Arc::ptr_eq(present, failed))
                && self.locator.note_redirect(error)
        });
    }

    /// Drops the connection because its node is not the master. The locator searches for the master
    /// again.
    pub(super) fn look_elsewhere(&self) {
        self.current.replace(None, |_| {
            self.current.searches.fetch_add(1, Ordering::AcqRel);
            true
        });
        self.locator.look_elsewhere();
    }
}

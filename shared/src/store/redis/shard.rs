//! One shard: all data of its Blueprints under one hash tag, so on one node of a cluster.
//!
//! Each script runs within one shard. [`Store::of`](crate::store::redis::store::Store::of) returns
//! the shard of a Blueprint.

use std::time::Duration;

use crate::store::redis::error::StoreError;
use crate::store::redis::handle::RedisHandle;
use crate::store::redis::keys::Keys;
use crate::store::redis::memory_reading::MemoryReading;

/// A handle on one shard. Cheap to clone; clones share one connection. The first call connects, and
/// a later call reconnects after a failure.
#[derive(Clone)]
pub struct Shard {
    pub(crate) handle: RedisHandle,
    pub(crate) keys: Keys,
    pub(crate) memory: std::sync::Arc<MemoryReading>,
}

impl std::fmt::Debug for Shard {
    // Without the URL, which can contain a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard")
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

impl Shard {
    /// Returns a handle with its own connection, whose calls take at most `call_timeout`. The
    /// timeout of the shared connection is an upper limit.
    pub fn with_own_connection(&self, call_timeout: Duration) -> Shard {
        Shard {
            handle: self.handle.fresh(call_timeout),
            keys: self.keys.clone(),
            memory: Default::default(),
        }
    }

    /// Returns the connection.
    pub fn handle(&self) -> &RedisHandle {
        &self.handle
    }

    /// Returns the names of all keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Returns the number of the shard, from 0.
    pub fn number(&self) -> usize {
        self.keys.shard()
    }

    /// Checks that Redis responds.
    ///
    /// # Errors
    /// [`StoreError`] if Redis does not respond or is still loading its data.
    pub async fn ping(&self) -> Result<(), StoreError> {
        // Redis answers PING while it loads, but not a read.
        self.handle
            .command::<Option<String>>("ping", ::redis::cmd("GET").arg(self.keys.fence()))
            .await?;
        Ok(())
    }
}

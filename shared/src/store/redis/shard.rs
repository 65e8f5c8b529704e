//! One shard: everything that its Blueprints have, under one hash tag, so on one node of a cluster.
//!
//! All scripts run within a shard. What the store as a whole is asked for, [`crate::store::redis::store::Store`] asks the shard
//! that has it, or all of them.

use std::time::Duration;

use crate::store::redis::error::StoreError;
use crate::store::redis::handle::RedisHandle;
use crate::store::redis::keys::Keys;
use crate::store::redis::memory_reading::MemoryReading;

/// A handle on one shard. Cheap to clone; all clones share one connection, which is made when it is
/// first needed and made again after it broke.
#[derive(Clone)]
pub struct Shard {
    pub(crate) handle: RedisHandle,
    pub(crate) keys: Keys,
    pub(crate) memory: std::sync::Arc<MemoryReading>,
}

impl std::fmt::Debug for Shard {
    // Without the URL: it may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard")
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

impl Shard {
    /// The same shard over a connection of its own, shared with nothing, whose calls take no longer
    /// than `call_timeout` (and never longer than those of the shared one).
    pub fn with_own_connection(&self, call_timeout: Duration) -> Shard {
        Shard {
            handle: self.handle.fresh(call_timeout),
            keys: self.keys.clone(),
            memory: Default::default(),
        }
    }

    /// The connection.
    pub fn handle(&self) -> &RedisHandle {
        &self.handle
    }

    /// The names of all keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Its number, from 0.
    pub fn number(&self) -> usize {
        self.keys.shard()
    }

    /// Asks Redis for a sign of life.
    ///
    /// # Errors
    /// [`StoreError`] if there is none, or if Redis is still loading its data.
    pub async fn ping(&self) -> Result<(), StoreError> {
        // PING is answered while Redis loads; a read is not.
        self.handle
            .command::<Option<String>>("ping", ::redis::cmd("GET").arg(self.keys.fence()))
            .await?;
        Ok(())
    }
}

//! One shard: everything that its Blueprints have, under one hash tag, so on one node of a cluster.
//!
//! All scripts run within a shard. What the store as a whole is asked for, [`super::Store`] asks the shard
//! that has it, or all of them.

use std::time::Duration;

use super::connection::Link;
use super::error::StoreError;
use super::keys::Keys;
use super::stats::MemoryReading;

/// A handle on one shard. Cheap to clone; all clones share one connection, which is made when it is
/// first needed and made again after it broke.
#[derive(Clone)]
pub struct Shard {
    pub(super) link: Link,
    pub(super) keys: Keys,
    pub(super) memory: std::sync::Arc<MemoryReading>,
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
            link: self.link.fresh(call_timeout),
            keys: self.keys.clone(),
            memory: Default::default(),
        }
    }

    /// The connection.
    pub fn link(&self) -> &Link {
        &self.link
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
        self.link
            .command::<Option<String>>("ping", ::redis::cmd("GET").arg(self.keys.fence()))
            .await?;
        Ok(())
    }
}

//! The Redis store: keys, scripts, and one file for each thing that is kept.
//!
//! Nothing outside this folder issues a Redis command, and no key is spelled outside
//! [`keys`]. Everything that changes more than one key is a script, so it happens whole or
//! not at all; everything that is immutable (a document under its hash, a commit under its
//! number, a log entry under its issue) is written once.

pub mod acceptance;
pub mod archive;
pub mod audit;
pub mod blueprints;
pub mod connection;
pub mod error;
pub mod events;
pub mod issues;
pub mod keys;
mod label_rank;
pub mod log;
pub mod pause;
pub mod previews;
pub mod prune;
pub mod queue;
mod reply;
pub mod script;
pub mod seed;
pub mod server_check;
pub mod setting_check;
pub mod settings;
pub mod stats;
pub mod steps;
mod stored;
pub mod transfer;
pub mod workers;

use std::time::Duration;

use connection::Link;
use error::StoreError;
use keys::Keys;

/// A handle on the store. Cheap to clone; all clones share one connection, which is made
/// when it is first needed and made again after it broke.
#[derive(Clone)]
pub struct Store {
    link: Link,
    keys: Keys,
    memory: std::sync::Arc<stats::MemoryReading>,
}

impl std::fmt::Debug for Store {
    // Without the URL: it may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// A store at this URL (`redis://` or `rediss://`). Does not connect yet.
    ///
    /// # Errors
    /// [`StoreError::Url`] if the URL is none.
    pub fn open(redis_url: &str) -> Result<Store, StoreError> {
        Ok(Store {
            link: Link::open(redis_url)?,
            keys: Keys::single(),
            memory: Default::default(),
        })
    }

    /// The same store over a connection of its own, shared with nothing, whose calls take no longer
    /// than `call_timeout` (and never longer than those of the shared one).
    pub fn with_own_connection(&self, call_timeout: Duration) -> Store {
        Store {
            link: self.link.fresh(call_timeout),
            keys: self.keys.clone(),
            memory: Default::default(),
        }
    }

    /// The connection, for the scripts' own tests.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// The names of all keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
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

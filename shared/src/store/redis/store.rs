//! The store of all shards.
//!
//! Only `shared/src/store` issues Redis commands, and only [`keys`](crate::store::redis::keys)
//! builds key names. Every change of several keys is one script, so it is atomic. Immutable data is
//! written once: a document under its hash, a commit under its number, a log entry under its issue.
//!
//! # Shards
//!
//! All data of a Blueprint (documents, commits, queue, issues, log entries) is in one *shard*,
//! chosen by its id. All keys of a shard carry one hash tag. So a script finds all of its keys on
//! one node, on a single Redis and on a cluster. [`Shard`] is a handle on one shard. [`Store`] is
//! the set of all shards:
//!
//! * [`Store::of`] returns the shard of a Blueprint, and [`Store::home`] that of the settings.
//! * `issues/pointers.rs` finds the shard of an issue by its id alone.
//! * `all_shards.rs` merges the lists, pages and counts of all shards.
//! * `settings/orbit_mirror.rs` copies the orbits of the settings to each shard. The settings are
//!   in shard 0, the *home*.
//!
//! With one shard, the default, each of these is a plain call of that shard.

use std::sync::Arc;

use crate::ids::BlueprintId;
use crate::store::redis::error::StoreError;
use crate::store::redis::handle::RedisHandle;
use crate::store::redis::keys::Keys;

pub use crate::store::redis::shard::Shard;

/// A handle on the store with all its shards. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) shards: Arc<[Shard]>,
}

impl Store {
    /// Creates a store at this URL (see [`crate::config::parse_redis_url`]) with this number of
    /// shards, at least one. It does not connect yet.
    ///
    /// # Errors
    /// [`StoreError::Url`] if the URL is invalid.
    pub fn open(redis_url: &str, n_shards: usize) -> Result<Store, StoreError> {
        let shard = |number| -> Result<Shard, StoreError> {
            let keys = Keys::of_shard(number);
            Ok(Shard {
                handle: RedisHandle::open(redis_url, keys.slot())?,
                keys,
                memory: Default::default(),
            })
        };
        let shards: Result<Arc<[Shard]>, StoreError> = (0..n_shards.max(1)).map(shard).collect();
        Ok(Store { shards: shards? })
    }

    /// Returns the same store with writes that wait for this number of replicas (`WAIT`).
    /// Acknowledged writes then survive the loss of the master. All calls on the same connection
    /// wait, too.
    pub fn waiting_for(&self, replicas: u32) -> Store {
        let shards = self.shards.iter().map(|shard| Shard {
            handle: shard.handle.waiting_for(replicas),
            ..shard.clone()
        });
        Store {
            shards: shards.collect(),
        }
    }

    /// Returns all shards in the order of their numbers.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// Returns the shard of this Blueprint.
    pub fn of(&self, blueprint: &BlueprintId) -> &Shard {
        &self.shards[crate::store::redis::keys::shard_of(blueprint.as_str(), self.shards.len())]
    }

    /// Returns the shard of the settings.
    pub fn home(&self) -> &Shard {
        &self.shards[0]
    }

    pub(crate) fn is_sharded(&self) -> bool {
        self.shards.len() > 1
    }
}

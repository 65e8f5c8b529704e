//! The Redis store: keys, scripts, and one file for each thing that is kept.
//!
//! Nothing outside this folder issues a Redis command, and no key is spelled outside
//! [`keys`](crate::store::redis::keys). Everything that changes more than one key is a script, so it happens whole or
//! not at all; everything that is immutable (a document under its hash, a commit under its
//! number, a log entry under its issue) is written once.
//!
//! # Shards
//!
//! All that belongs to a Blueprint (its documents, commits, queue, issues, log entries) lies in one
//! *shard*, chosen by its id: all keys of a shard carry one hash tag, so a script finds all of its keys on one
//! node, whether there is one Redis or a cluster of them. [`Shard`] is a handle on one of them, and
//! has everything that happens within one. [`Store`] is all of them:
//!
//! * `routing.rs` asks the shard that a Blueprint is in;
//! * `pointers.rs` finds the shard of an issue by its id alone;
//! * `lists.rs` merges what all shards have: lists, pages, numbers;
//! * `orbits.rs` keeps what each shard must know of the settings, which lie in shard 0, the *home*.
//!
//! With one shard, which is the default, each of these is a call of that shard and nothing more.

use std::sync::Arc;

use crate::ids::BlueprintId;
use crate::store::redis::error::StoreError;
use crate::store::redis::handle::RedisHandle;
use crate::store::redis::keys::Keys;

pub use crate::store::redis::shard::Shard;

/// A handle on the store: all its shards. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) shards: Arc<[Shard]>,
}

impl Store {
    /// A store at this URL (see [`crate::config::parse_redis_url`]) of so many shards, at least one.
    /// Does not connect yet.
    ///
    /// # Errors
    /// [`StoreError::Url`] if the URL is none.
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

    /// The same store, in which a write counts as done once so many replicas have it (`WAIT`): what is
    /// acknowledged then outlives the master that it was written to. Until they have it, all calls over
    /// the same connection wait.
    pub fn waiting_for(&self, replicas: u32) -> Store {
        let shards = self.shards.iter().map(|shard| Shard {
            handle: shard.handle.waiting_for(replicas),
            ..shard.clone()
        });
        Store {
            shards: shards.collect(),
        }
    }

    /// All shards, in the order of their numbers.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// The shard that all of this Blueprint lies in.
    pub fn shard_of(&self, blueprint: &BlueprintId) -> &Shard {
        &self.shards[crate::store::redis::keys::shard_of(blueprint.as_str(), self.shards.len())]
    }

    /// The shard of the settings.
    pub fn home(&self) -> &Shard {
        &self.shards[0]
    }

    pub(crate) fn is_sharded(&self) -> bool {
        self.shards.len() > 1
    }
}

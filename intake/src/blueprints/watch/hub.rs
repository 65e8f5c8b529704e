//! Reads the watched Blueprints, one read at a time for each shard.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use shared::ids::{BlueprintId, ChannelName, ConsumerId, Version};
use shared::single_flight::SingleFlight;
use shared::store::{Shard, Store, StoreError};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::sleep;

use crate::blueprints::watch::inbox::Inbox;
use crate::blueprints::watch::index::{BATCH, Index, Look, Pattern};
use crate::blueprints::watch::state::KeptDocuments;
use crate::watching::RETRY_AFTER;
use crate::watching::demand::Demand;

/// Interval between two notes of the consumers with an open stream.
const NOTE_CONSUMERS_EVERY: Duration = Duration::from_secs(60);
/// Pause between the notes of two Blueprints.
const NOTE_PAUSE: Duration = Duration::from_millis(500);

/// The watched Blueprints of this process. Clones share them.
#[derive(Clone)]
pub(crate) struct Hub(Arc<Inner>);

struct Inner {
    store: Store,
    index: Mutex<Index>,
    /// Wakes the reader of each shard.
    due: Vec<Notify>,
    demand: Demand,
    documents: KeptDocuments,
    /// The run that looks for new Blueprints for new watchers; true if it succeeded.
    listing: SingleFlight<(), bool>,
}

impl Hub {
    /// Creates a hub without watchers.
    pub(crate) fn new(store: Store) -> Self {
        Self(Arc::new(Inner {
            index: Mutex::new(Index::new(store.clone())),
            due: store.shards().iter().map(|_| Notify::new()).collect(),
            store,
            demand: Demand::new(),
            documents: KeptDocuments::default(),
            listing: SingleFlight::default(),
        }))
    }

    /// Returns the demand for events.
    pub(crate) fn demand(&self) -> &Demand {
        &self.0.demand
    }

    pub(super) fn documents(&self) -> &KeptDocuments {
        &self.0.documents
    }

    /// Reads what is due, and polls everything that is watched. Never returns.
    pub(crate) async fn run(&self) {
        let readers = self.0.store.shards().iter().map(|shard| self.read(shard));
        let poll = |is_subscribed_anew| async move {
            // Events before the subscription are lost.
            let look = if is_subscribed_anew {
                Look::List
            } else {
                Look::Count
            };
            let calls = self.index().ask_all(look);
            self.wake_all();
            Ok(calls)
        };
        tokio::join!(
            join_all(readers),
            self.0.demand.poll(poll),
            self.note_consumers()
        );
    }

    /// Notes the consumers with an open stream, so that their reports are kept. Never returns.
    async fn note_consumers(&self) {
        loop {
            sleep(NOTE_CONSUMERS_EVERY).await;
            let watched = self.index().watched();
            for id in watched {
                let consumers = self.index().consumers(&id);
                yield_now().await;
                for part in consumers.chunks(BATCH) {
                    let noted = self.0.store.of(&id).seen_consumers(&id, part).await;
                    if let Err(error) = noted {
                        tracing::debug!(%error, "cannot note the consumers with a stream");
                    }
                    sleep(NOTE_PAUSE).await;
                }
            }
        }
    }

    /// Notes that a Blueprint may have moved.
    pub(crate) fn note_move(&self, id: &BlueprintId) {
        let shard = self.index().ask_if_watched(id);
        if let Some(shard) = shard {
            self.0.due[shard].notify_one();
        }
    }

    fn wake_all(&self) {
        for due in &self.0.due {
            due.notify_one();
        }
    }

    /// Reads what is due in one shard. Never returns.
    async fn read(&self, shard: &Shard) {
        let number = shard.number();
        loop {
            let batch = self.index().take(number);
            let Some(batch) = batch else {
                self.0.due[number].notified().await;
                continue;
            };
            match shard.heads(&batch.ids).await {
                Ok(page) => {
                    let look = batch.look;
                    // One Blueprint can have thousands of watchers, and this task also serves the
                    // watchers of issues.
                    for read in batch.read(page.heads) {
                        self.index().apply(read);
                        yield_now().await;
                    }
                    let n_blueprints = page.n_blueprints;
                    let must_list = self.index().must_list(number, look, n_blueprints);
                    if must_list && let Err(error) = self.list(shard).await {
                        tracing::debug!(%error, "cannot list the Blueprints");
                        self.index().look_again(number, look);
                        sleep(RETRY_AFTER).await;
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot read the watched Blueprints");
                    self.index().put_back(number, batch);
                    sleep(RETRY_AFTER).await;
                }
            }
        }
    }

    /// Looks for Blueprints that are not listed yet. Concurrent calls share a run that begins after
    /// each of them.
    async fn list_new(&self) -> Result<(), StoreError> {
        // A run in progress may have counted the Blueprints before this call; the next one has not.
        for _ in 0..2 {
            let mut is_own = false;
            let run = || {
                is_own = true;
                let hub = self.clone();
                async move { hub.list_changed().await.is_ok() }.boxed()
            };
            if !self.0.listing.join((), run).await {
                // For the error.
                return self.list_changed().await;
            }
            if is_own {
                break;
            }
        }
        Ok(())
    }

    /// Lists the Blueprints of each shard that has another number of them than are known.
    async fn list_changed(&self) -> Result<(), StoreError> {
        for shard in self.0.store.shards() {
            let n_blueprints = shard.heads(&[]).await?.n_blueprints;
            let has_new = self.index().has_other_number(shard.number(), n_blueprints);
            if has_new {
                self.list(shard).await?;
            }
        }
        Ok(())
    }

    async fn list(&self, shard: &Shard) -> Result<(), StoreError> {
        let ids = shard.blueprint_ids().await?;
        self.index().list(shard.number(), ids);
        Ok(())
    }

    /// Registers a watcher. For wildcards, lists the Blueprints first if there are new ones.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub(super) async fn register(
        &self,
        patterns: Vec<Pattern>,
        channel: Option<ChannelName>,
        consumer_id: Option<ConsumerId>,
        known: HashMap<BlueprintId, Version>,
    ) -> Result<Registration, StoreError> {
        let is_wildcard = |pattern: &Pattern| matches!(pattern, Pattern::Wildcard(_));
        if patterns.iter().any(is_wildcard) {
            self.list_new().await?;
        }
        let mut index = self.index();
        let (number, inbox) = index.register(&patterns, channel, consumer_id, known);
        self.0.demand.set(index.n_watchers());
        drop(index);
        self.wake_all();
        Ok(Registration {
            hub: self.clone(),
            number,
            patterns,
            inbox,
        })
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        // A poisoned index is still consistent: no change of it can panic halfway.
        self.0.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The registration of a watcher; dropping it removes the watcher.
pub(super) struct Registration {
    hub: Hub,
    number: u64,
    patterns: Vec<Pattern>,
    inbox: Arc<Inbox>,
}

impl Registration {
    pub(super) fn hub(&self) -> &Hub {
        &self.hub
    }

    pub(super) fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// Returns the shard of a Blueprint.
    pub(super) fn shard_of(&self, id: &BlueprintId) -> &Shard {
        self.hub.0.store.of(id)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut index = self.hub.index();
        index.remove(self.number, &self.patterns);
        self.hub.0.demand.set(index.n_watchers());
    }
}

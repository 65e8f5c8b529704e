//! What one watcher has not sent yet: at most one state of each Blueprint, always the newest.
//!
//! A slow reader therefore costs bounded memory and skips versions.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shared::ids::{BlueprintId, ChannelName, ConsumerId, Version};
use tokio::sync::Notify;

use crate::blueprints::watch::state::{Content, State};

/// The unsent states of a watcher.
#[derive(Debug)]
pub(super) struct Inbox {
    channel: Option<ChannelName>,
    consumer_id: Option<ConsumerId>,
    changes: Mutex<Changes>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Changes {
    /// The Blueprints of the start whose state was not read yet, with what the consumer has.
    unread: BTreeMap<BlueprintId, Option<Version>>,
    /// The states to send.
    moved: BTreeMap<BlueprintId, Move>,
    /// The number of states to send that are from the start.
    n_first: usize,
    /// The Blueprint that was taken last. The next one follows it in the order of ids, so that a
    /// busy Blueprint does not delay the others.
    last: Option<BlueprintId>,
    has_synced: bool,
}

/// A state to send.
#[derive(Debug)]
pub(super) struct Move {
    /// The version that the consumer has.
    before: Option<Version>,
    /// Whether the state is from the start.
    is_first: bool,
    /// The content that could not be read, with an error that does not pass by itself.
    pub(super) failed: Option<Arc<Content>>,
    /// The newest state.
    pub(super) state: Arc<State>,
}

/// What a watcher sends next.
#[derive(Debug)]
pub(super) enum Next {
    /// A state with another version than the consumer has.
    Moved(Move),
    /// The states of the start were sent.
    Synced,
    /// Nothing.
    Nothing,
}

impl Inbox {
    /// Creates the inbox of a watcher of `channel`, or of the heads. `unread` is what the consumer
    /// has of each Blueprint that matches at the start.
    pub(super) fn new(
        channel: Option<ChannelName>,
        consumer_id: Option<ConsumerId>,
        unread: BTreeMap<BlueprintId, Option<Version>>,
    ) -> Self {
        Self {
            channel,
            consumer_id,
            changes: Mutex::new(Changes {
                unread,
                ..Changes::default()
            }),
            wake: Notify::new(),
        }
    }

    /// Returns the followed channel; `None`: the head.
    pub(super) fn channel(&self) -> Option<&ChannelName> {
        self.channel.as_ref()
    }

    /// Returns the consumer, if it named itself.
    pub(super) fn consumer_id(&self) -> Option<&ConsumerId> {
        self.consumer_id.as_ref()
    }

    /// Waits until [`Inbox::next`] may have something. Cancel safe.
    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Notes the first read of a Blueprint; without a state if that is damaged.
    pub(super) fn begin(&self, blueprint_id: &BlueprintId, state: Option<&Arc<State>>) {
        let mut changes = self.changes();
        let Some(before) = changes.unread.remove(blueprint_id) else {
            return;
        };
        if let Some(state) = state
            && state.version(self.channel()) != before.as_ref()
        {
            let first = Move {
                before,
                is_first: true,
                failed: None,
                state: Arc::clone(state),
            };
            changes.n_first += 1;
            changes.moved.insert(blueprint_id.clone(), first);
        }
        self.wake.notify_one();
    }

    /// Notes a change from `old` to `new`.
    pub(super) fn change(&self, old: Option<&State>, new: &Arc<State>) {
        let before = old.and_then(|old| old.version(self.channel()));
        let mut changes = self.changes();
        // The first read follows.
        if changes.unread.contains_key(&new.blueprint_id) {
            return;
        }
        match changes.moved.entry(new.blueprint_id.clone()) {
            Entry::Occupied(mut waiting) => waiting.get_mut().state = Arc::clone(new),
            Entry::Vacant(_) if before == new.version(self.channel()) => return,
            Entry::Vacant(free) => {
                free.insert(Move {
                    before: before.cloned(),
                    is_first: false,
                    failed: None,
                    state: Arc::clone(new),
                });
            }
        }
        self.wake.notify_one();
    }

    /// Takes what is sent next.
    pub(super) fn next(&self) -> Next {
        let mut changes = self.changes();
        loop {
            if !changes.has_synced && changes.unread.is_empty() && changes.n_first == 0 {
                changes.has_synced = true;
                return Next::Synced;
            }
            let Some(next) = changes.take() else {
                return Next::Nothing;
            };
            if next.state.version(self.channel()) != next.before.as_ref() {
                return Next::Moved(next);
            }
        }
    }

    /// Returns a state that could not be sent. A newer one replaces it.
    pub(super) fn put_back(&self, unsent: Move) {
        let mut changes = self.changes();
        changes.n_first += usize::from(unsent.is_first);
        match changes.moved.entry(unsent.state.blueprint_id.clone()) {
            Entry::Occupied(mut newer) => {
                let newer = newer.get_mut();
                newer.before = unsent.before;
                newer.is_first = unsent.is_first;
                newer.failed = unsent.failed;
            }
            Entry::Vacant(free) => {
                free.insert(unsent);
            }
        }
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        // A poisoned set is still consistent: no change of it can panic halfway.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changes {
    fn take(&mut self) -> Option<Move> {
        let behind = self.last.as_ref().and_then(|last| {
            let behind = (Bound::Excluded(last), Bound::Unbounded);
            self.moved.range::<BlueprintId, _>(behind).next()
        });
        let (id, _) = behind.or_else(|| self.moved.first_key_value())?;
        let id = id.clone();
        let taken = self.moved.remove(&id)?;
        self.last = Some(id);
        self.n_first -= usize::from(taken.is_first);
        Some(taken)
    }
}

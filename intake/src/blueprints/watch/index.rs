//! The watched Blueprints, their states, and who watches them.
//!
//! The states of all shards are in one index. What must be read is a set of ids for each shard, so
//! a Blueprint is read once, however many events and watchers ask for it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use shared::domain::id_pattern::IdPattern;
use shared::ids::{BlueprintId, ChannelName, ConsumerId, Version};
use shared::store::{Heads, Store, StoreError};

use crate::blueprints::watch::inbox::Inbox;
use crate::blueprints::watch::state::State;

/// Maximum number of Blueprints in one read.
pub(super) const BATCH: usize = 1_000;

/// What a watcher watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    /// One Blueprint.
    Exact(BlueprintId),
    /// Those that match.
    Wildcard(IdPattern),
}

impl Pattern {
    fn matches(&self, id: &BlueprintId) -> bool {
        match self {
            Pattern::Exact(exact) => exact == id,
            Pattern::Wildcard(pattern) => pattern.matches(id),
        }
    }
}

/// Watchers by their number.
type Watchers = HashMap<u64, Arc<Inbox>>;

/// The watched Blueprints and their watchers.
pub(super) struct Index {
    store: Store,
    blueprints: HashMap<BlueprintId, Watched>,
    exact: HashMap<BlueprintId, Watchers>,
    wildcards: HashMap<IdPattern, Watchers>,
    shards: Vec<ShardPart>,
    n_watchers: usize,
    next_number: u64,
}

/// A watched Blueprint.
#[derive(Default)]
struct Watched {
    /// The state; `None` until the first read.
    state: Option<Arc<State>>,
    /// The watchers that wait for a read which begins after their registration.
    newcomers: Vec<Arc<Inbox>>,
}

/// The part of one shard.
#[derive(Default)]
struct ShardPart {
    /// The Blueprints to read.
    due: HashSet<BlueprintId>,
    /// How the next read looks for Blueprints that no event named.
    look: Look,
    /// The ids of all Blueprints, as last listed and read since.
    ids: HashSet<BlueprintId>,
}

/// How a read looks for Blueprints that no event named, for the wildcards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Look {
    /// It does not look.
    #[default]
    Away,
    /// It lists the ids if their number has changed.
    Count,
    /// It lists the ids. Events may be lost, and a Blueprint may have replaced another one.
    List,
}

/// A read in progress: the Blueprints, each with the watchers that wait for it.
pub(super) struct Batch {
    pub(super) ids: Vec<BlueprintId>,
    pub(super) look: Look,
    newcomers: Vec<Vec<Arc<Inbox>>>,
}

/// What was read of one Blueprint of a batch.
pub(super) struct Read {
    id: BlueprintId,
    newcomers: Vec<Arc<Inbox>>,
    heads: Result<Heads, StoreError>,
}

impl Batch {
    /// Joins the batch with what was read of each of its Blueprints.
    pub(super) fn read(self, heads: Vec<Result<Heads, StoreError>>) -> impl Iterator<Item = Read> {
        let read = self.ids.into_iter().zip(self.newcomers).zip(heads);
        read.map(|((id, newcomers), heads)| Read {
            id,
            newcomers,
            heads,
        })
    }
}

impl Index {
    /// Creates an index without watchers.
    pub(super) fn new(store: Store) -> Self {
        let shards = store.shards().iter().map(|_| ShardPart::default());
        Self {
            shards: shards.collect(),
            store,
            blueprints: HashMap::new(),
            exact: HashMap::new(),
            wildcards: HashMap::new(),
            n_watchers: 0,
            next_number: 0,
        }
    }

    /// Returns the number of watchers.
    pub(super) fn n_watchers(&self) -> usize {
        self.n_watchers
    }

    /// Registers a watcher. Each Blueprint that matches is read again.
    pub(super) fn register(
        &mut self,
        patterns: &[Pattern],
        channel: Option<ChannelName>,
        consumer_id: Option<ConsumerId>,
        known: HashMap<BlueprintId, Version>,
    ) -> (u64, Arc<Inbox>) {
        let unread = self.matching(patterns, known);
        let inbox = Arc::new(Inbox::new(channel, consumer_id, unread.clone()));
        for id in unread.into_keys() {
            let newcomers = &mut self.blueprints.entry(id.clone()).or_default().newcomers;
            newcomers.push(Arc::clone(&inbox));
            self.ask(id);
        }
        let number = self.next_number;
        self.next_number += 1;
        self.n_watchers += 1;
        for pattern in patterns {
            let watchers = match pattern {
                Pattern::Exact(id) => self.exact.entry(id.clone()).or_default(),
                Pattern::Wildcard(pattern) => {
                    for shard in &mut self.shards {
                        shard.look = shard.look.max(Look::Count);
                    }
                    self.wildcards.entry(pattern.clone()).or_default()
                }
            };
            watchers.insert(number, Arc::clone(&inbox));
        }
        (number, inbox)
    }

    /// Returns the Blueprints that match, with the known version of each.
    fn matching(
        &self,
        patterns: &[Pattern],
        known: HashMap<BlueprintId, Version>,
    ) -> BTreeMap<BlueprintId, Option<Version>> {
        let known = known.into_iter();
        let known = known.filter(|(id, _)| patterns.iter().any(|pattern| pattern.matches(id)));
        let mut all: BTreeMap<_, _> = known.map(|(id, version)| (id, Some(version))).collect();
        for pattern in patterns {
            match pattern {
                Pattern::Exact(id) => {
                    all.entry(id.clone()).or_insert(None);
                }
                Pattern::Wildcard(pattern) => {
                    let listed = self.shards.iter().flat_map(|shard| &shard.ids);
                    let ids = listed.chain(self.blueprints.keys());
                    for id in ids.filter(|id| pattern.matches(id)) {
                        all.entry(id.clone()).or_insert(None);
                    }
                }
            }
        }
        all
    }

    /// Removes a watcher, and the Blueprints that nobody else watches.
    pub(super) fn remove(&mut self, number: u64, patterns: &[Pattern]) {
        self.n_watchers -= 1;
        for pattern in patterns {
            match pattern {
                Pattern::Exact(id) => {
                    if leave(&mut self.exact, id, number) && !self.is_watched(id) {
                        self.forget(id);
                    }
                }
                Pattern::Wildcard(pattern) => {
                    if leave(&mut self.wildcards, pattern, number) {
                        let matched = self.blueprints.keys().filter(|id| pattern.matches(id));
                        let matched: Vec<BlueprintId> = matched.cloned().collect();
                        for id in matched {
                            if !self.is_watched(&id) {
                                self.forget(&id);
                            }
                        }
                    }
                }
            }
        }
    }

    fn forget(&mut self, id: &BlueprintId) {
        self.blueprints.remove(id);
        let shard = self.store.of(id).number();
        self.shards[shard].due.remove(id);
    }

    fn is_watched(&self, id: &BlueprintId) -> bool {
        self.exact.contains_key(id) || self.wildcards.keys().any(|pattern| pattern.matches(id))
    }

    /// Asks for a read of a Blueprint if it is watched. Returns its shard.
    pub(super) fn ask_if_watched(&mut self, id: &BlueprintId) -> Option<usize> {
        if !self.blueprints.contains_key(id) {
            if !self.is_watched(id) {
                return None;
            }
            self.blueprints.insert(id.clone(), Watched::default());
        }
        Some(self.ask(id.clone()))
    }

    fn ask(&mut self, id: BlueprintId) -> usize {
        let shard = self.store.of(&id).number();
        self.shards[shard].due.insert(id);
        shard
    }

    /// Asks for a read of everything that is watched. Returns the number of calls that it takes.
    pub(super) fn ask_all(&mut self, look: Look) -> usize {
        let look = if self.wildcards.is_empty() {
            Look::Away
        } else {
            look
        };
        for id in self.blueprints.keys() {
            let shard = self.store.of(id).number();
            self.shards[shard].due.insert(id.clone());
        }
        let calls = self.shards.iter_mut().map(|shard| {
            shard.look = shard.look.max(look);
            let least = usize::from(shard.look > Look::Away);
            shard.due.len().div_ceil(BATCH).max(least)
        });
        calls.sum()
    }

    /// Takes the next Blueprints to read; `None` if nothing is due.
    pub(super) fn take(&mut self, shard: usize) -> Option<Batch> {
        let part = &mut self.shards[shard];
        if part.due.is_empty() && part.look == Look::Away {
            return None;
        }
        let look = std::mem::take(&mut part.look);
        let ids: Vec<BlueprintId> = part.due.iter().take(BATCH).cloned().collect();
        let newcomers = ids.iter().map(|id| {
            part.due.remove(id);
            let watched = self.blueprints.get_mut(id);
            watched.map_or_else(Vec::new, |watched| std::mem::take(&mut watched.newcomers))
        });
        let newcomers = newcomers.collect();
        Some(Batch {
            ids,
            look,
            newcomers,
        })
    }

    /// Returns Blueprints that could not be read.
    pub(super) fn put_back(&mut self, shard: usize, batch: Batch) {
        self.look_again(shard, batch.look);
        for (id, newcomers) in batch.ids.into_iter().zip(batch.newcomers) {
            if let Some(watched) = self.blueprints.get_mut(&id) {
                watched.newcomers.extend(newcomers);
                self.shards[shard].due.insert(id);
            }
        }
    }

    /// Takes over what was read of one Blueprint, and tells its watchers.
    pub(super) fn apply(&mut self, read: Read) {
        let Read {
            id,
            newcomers,
            heads,
        } = read;
        match heads {
            Ok(heads) => self.apply_heads(&id, newcomers, heads),
            Err(error) => {
                tracing::error!(blueprint_id = %id, %error, "watchers are not told of it");
                for inbox in newcomers {
                    inbox.begin(&id, None);
                }
            }
        }
    }

    fn apply_heads(&mut self, id: &BlueprintId, newcomers: Vec<Arc<Inbox>>, heads: Heads) {
        let Some(watched) = self.blueprints.get_mut(id) else {
            return;
        };
        let old = watched.state.take();
        let state = match &old {
            Some(old) if old.is(&heads) => Arc::clone(old),
            _ => Arc::new(State::new(id.clone(), heads, old.as_deref())),
        };
        watched.state = Some(Arc::clone(&state));
        let ids = &mut self.shards[self.store.of(id).number()].ids;
        if !state.exists() {
            ids.remove(id);
        } else if !self.wildcards.is_empty() {
            // So that the next count does not list it.
            ids.insert(id.clone());
        }
        // A missing Blueprint is kept only for those who name it, or wait for another read.
        let is_due = self.shards[self.store.of(id).number()].due.contains(id);
        let is_kept = state.exists() || is_due || self.exact.contains_key(id);
        let is_changed = old.as_ref().is_none_or(|old| !Arc::ptr_eq(old, &state));
        if is_changed {
            for inbox in self.watchers(id) {
                inbox.change(old.as_deref(), &state);
            }
        }
        for inbox in newcomers {
            inbox.begin(id, Some(&state));
        }
        if !is_kept {
            self.forget(id);
        }
    }

    /// Returns the watched Blueprints.
    pub(super) fn watched(&self) -> Vec<BlueprintId> {
        self.blueprints.keys().cloned().collect()
    }

    /// Returns the consumers that watch this Blueprint.
    pub(super) fn consumers(&self, id: &BlueprintId) -> Vec<ConsumerId> {
        let named = self.watchers(id);
        let named = named.filter_map(|inbox| inbox.consumer_id().cloned());
        let consumers: BTreeSet<ConsumerId> = named.collect();
        consumers.into_iter().collect()
    }

    /// Returns each watcher of a Blueprint once, however many of its patterns match. A watcher may
    /// take a change at once: a second note of the same change would be another one for it.
    pub(super) fn watchers<'a>(
        &'a self,
        id: &'a BlueprintId,
    ) -> impl Iterator<Item = &'a Arc<Inbox>> {
        let groups: Vec<&Watchers> = self.groups(id).collect();
        let may_repeat = groups.len() > 1;
        let mut known = HashSet::new();
        let watchers = groups.into_iter().flatten();
        let watchers = watchers.filter(move |(number, _)| !may_repeat || known.insert(**number));
        watchers.map(|(_, inbox)| inbox)
    }

    /// Returns the groups of watchers whose pattern matches.
    fn groups<'a>(&'a self, id: &'a BlueprintId) -> impl Iterator<Item = &'a Watchers> {
        let wildcards = self.wildcards.iter();
        let matching = wildcards.filter(move |(pattern, _)| pattern.matches(id));
        let matching = matching.map(|(_, watchers)| watchers);
        matching.chain(self.exact.get(id))
    }

    /// Returns true if the ids of this shard must be listed after a read that looked like this.
    pub(super) fn must_list(&self, shard: usize, look: Look, n_blueprints: usize) -> bool {
        let is_due = match look {
            Look::Away => false,
            Look::Count => self.has_other_number(shard, n_blueprints),
            Look::List => true,
        };
        is_due && !self.wildcards.is_empty()
    }

    /// Asks for another look, after one that failed.
    pub(super) fn look_again(&mut self, shard: usize, look: Look) {
        let look = if self.wildcards.is_empty() {
            Look::Away
        } else {
            look
        };
        let part = &mut self.shards[shard];
        part.look = part.look.max(look);
    }

    /// Returns true if the number of known ids of the shard differs from this one.
    pub(super) fn has_other_number(&self, shard: usize, n_blueprints: usize) -> bool {
        self.shards[shard].ids.len() != n_blueprints
    }

    /// Takes over the ids of all Blueprints of a shard. New ones are read if they are watched.
    pub(super) fn list(&mut self, shard: usize, ids: Vec<BlueprintId>) {
        for id in &ids {
            if !self.shards[shard].ids.contains(id) && !self.blueprints.contains_key(id) {
                self.ask_if_watched(id);
            }
        }
        self.shards[shard].ids = ids.into_iter().collect();
    }
}

/// Removes a watcher from its group. Returns true if the group is then gone.
fn leave<K: std::hash::Hash + Eq>(groups: &mut HashMap<K, Watchers>, key: &K, number: u64) -> bool {
    let Some(watchers) = groups.get_mut(key) else {
        return false;
    };
    watchers.remove(&number);
    let is_empty = watchers.is_empty();
    if is_empty {
        groups.remove(key);
    }
    is_empty
}

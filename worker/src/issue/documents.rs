//! A cache of the newest document of each Blueprint that this worker has seen. It avoids the
//! transfer, parsing and hashing of a frequently changed Blueprint for every issue.
//!
//! Cached documents are immutable. A stale entry costs a transfer and is never used, because the
//! claim contains the version of the head.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use shared::blueprint::Blueprint;
use shared::ids::BlueprintId;

/// Limit of each half, in bytes of canonical YAML; the parsed trees take a few times as much
/// memory.
const HALF_BYTES: usize = 8 * 1024 * 1024;

/// Documents by Blueprint, in two halves.
///
/// When the young half is full it becomes the old half, and the previous old half is dropped. A
/// document of the old half moves to the young half on use.
#[derive(Default)]
pub(crate) struct DocumentCache(Mutex<Halves>);

#[derive(Default)]
struct Halves {
    young: HashMap<BlueprintId, Arc<Blueprint>>,
    old: HashMap<BlueprintId, Arc<Blueprint>>,
    young_bytes: usize,
}

/// Documents that left the cache. The caller drops them after it releases the lock, because
/// dropping a tree takes long.
#[must_use]
struct Evicted {
    _half: HashMap<BlueprintId, Arc<Blueprint>>,
    _replaced: Option<Arc<Blueprint>>,
}

impl DocumentCache {
    /// Returns the cached document of this Blueprint.
    pub(crate) fn get(&self, id: &BlueprintId) -> Option<Arc<Blueprint>> {
        let (found, _evicted) = {
            let mut halves = self.halves();
            if let Some(found) = halves.young.get(id) {
                return Some(Arc::clone(found));
            }
            let found = halves.old.remove(id)?;
            let evicted = halves.insert(Arc::clone(&found));
            (found, evicted)
        };
        Some(found)
    }

    /// Stores a document as the newest one of its Blueprint.
    pub(crate) fn put(&self, blueprint: Arc<Blueprint>) {
        let _evicted = self.halves().insert(blueprint);
    }

    fn halves(&self) -> MutexGuard<'_, Halves> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

impl Halves {
    fn insert(&mut self, blueprint: Arc<Blueprint>) -> Evicted {
        let size = blueprint.canonical_yaml().len();
        let mut half = HashMap::new();
        if self.young_bytes + size > HALF_BYTES {
            half = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
            self.young_bytes = 0;
        }
        self.young_bytes += size;
        let replaced = self.young.insert(blueprint.id().clone(), blueprint);
        if let Some(replaced) = &replaced {
            self.young_bytes -= replaced.canonical_yaml().len();
        }
        Evicted {
            _half: half,
            _replaced: replaced,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blueprint(id: &str, note: &str) -> Arc<Blueprint> {
        let text =
            format!("{{\"id\": \"{id}\", \"flow\": {{}}, \"agents\": [], \"note\": \"{note}\"}}");
        Arc::new(Blueprint::parse(&text).unwrap())
    }

    #[test]
    fn what_is_used_stays_and_the_rest_is_evicted() {
        let cache = DocumentCache::default();
        let used = blueprint("used", "x");
        cache.put(Arc::clone(&used));
        let filler = "y".repeat(900_000);
        for n in 0..40 {
            cache.put(blueprint(&format!("filler-{n}"), &filler));
            assert!(cache.get(used.id()).is_some(), "after {n}");
        }
        assert!(cache.get(blueprint("filler-0", "").id()).is_none());
    }
}

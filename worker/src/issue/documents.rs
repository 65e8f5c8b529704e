//! The newest document of each Blueprint that this worker has seen, so that a hot Blueprint is
//! not sent, parsed and hashed again for every issue.
//!
//! What is kept is immutable: a stale entry costs a transfer and is never wrong, because the
//! claim says which version the head is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use shared::blueprint::Blueprint;
use shared::ids::BlueprintId;

/// Bytes of canonical YAML kept in each of the two halves; the trees take a few times that.
const HALF_BYTES: usize = 8 * 1024 * 1024;

/// Documents by Blueprint, in two halves: when the young one is full it becomes the old one and
/// what the old one held is forgotten, unless it was used meanwhile.
#[derive(Default)]
pub(crate) struct DocumentCache(Mutex<Halves>);

#[derive(Default)]
struct Halves {
    young: HashMap<BlueprintId, Arc<Blueprint>>,
    old: HashMap<BlueprintId, Arc<Blueprint>>,
    young_bytes: usize,
}

/// Documents that are forgotten. Whoever gets them lets go of the lock first: a tree takes time to take apart.
#[must_use]
struct Forgotten {
    _half: HashMap<BlueprintId, Arc<Blueprint>>,
    _replaced: Option<Arc<Blueprint>>,
}

impl DocumentCache {
    /// The document of this Blueprint that was seen last.
    pub(crate) fn get(&self, id: &BlueprintId) -> Option<Arc<Blueprint>> {
        let (found, _forgotten) = {
            let mut halves = self.halves();
            if let Some(found) = halves.young.get(id) {
                return Some(Arc::clone(found));
            }
            let found = halves.old.remove(id)?;
            let forgotten = halves.insert(Arc::clone(&found));
            (found, forgotten)
        };
        Some(found)
    }

    /// Keeps a document as the newest of its Blueprint.
    pub(crate) fn put(&self, blueprint: Arc<Blueprint>) {
        let _forgotten = self.halves().insert(blueprint);
    }

    fn halves(&self) -> MutexGuard<'_, Halves> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

impl Halves {
    fn insert(&mut self, blueprint: Arc<Blueprint>) -> Forgotten {
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
        Forgotten {
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
    fn what_is_used_stays_and_the_rest_is_forgotten() {
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

//! Reads figures of activity.

use std::collections::{BTreeMap, HashMap};

use crate::domain::activity::{Activity, Level};
use crate::ids::BlueprintId;
use crate::store::activity::figures;
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;
use crate::store::redis::store::Store;

/// The number of hashes in one round trip.
const BATCH: usize = 64;

impl Store {
    /// Returns the figures of all parts of a level from `from_secs` to `to_secs` (excluded), by the
    /// number of the part since the Unix epoch; parts without decisions are absent.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub async fn activity(
        &self,
        level: Level,
        from_secs: u64,
        to_secs: u64,
        blueprint: Option<&BlueprintId>,
    ) -> Result<BTreeMap<u64, Activity>, StoreError> {
        let mut all = BTreeMap::new();
        let shards = match blueprint {
            Some(blueprint) => std::slice::from_ref(self.of(blueprint)),
            None => self.shards(),
        };
        for shard in shards {
            shard
                .read_activity(level, from_secs, to_secs, blueprint, &mut all)
                .await?;
        }
        Ok(all)
    }
}

impl Shard {
    async fn read_activity(
        &self,
        level: Level,
        from_secs: u64,
        to_secs: u64,
        blueprint: Option<&BlueprintId>,
        into: &mut BTreeMap<u64, Activity>,
    ) -> Result<(), StoreError> {
        let parts = figures::parts(level);
        let first = from_secs / level.part_secs();
        let end = to_secs.div_ceil(level.part_secs());
        let spans: Vec<u64> = (first / parts..end.div_ceil(parts)).collect();
        for spans in spans.chunks(BATCH) {
            let mut read = redis::pipe();
            for span in spans {
                let key = self.keys.activity(figures::name(level), *span, blueprint);
                read.cmd("HGETALL").arg(key);
            }
            let hashes: Vec<HashMap<String, u64>> =
                self.handle.pipeline("read activity", &read).await?;
            for (span, hash) in spans.iter().zip(hashes) {
                for (field, n) in hash {
                    let Some((part, figure)) = field.split_once('|') else {
                        continue;
                    };
                    let Ok(part) = part.parse::<u64>() else {
                        continue;
                    };
                    let part = span * parts + part;
                    if (first..end).contains(&part) {
                        figures::add(into.entry(part).or_default(), figure, n);
                    }
                }
            }
        }
        Ok(())
    }
}

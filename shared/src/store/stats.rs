//! What the queue looks like now, and whether Redis has room.

use std::collections::HashMap;

use redis::cmd;

use crate::ids::{BlueprintId, SettingId};
use crate::store::redis::error::StoreError;
use crate::store::redis::memory::ADMISSION_PERCENT;
use crate::store::redis::shard::Shard;
use crate::store::workers::registry::GONE_MS;
use crate::whole_ms::score_ms;

/// The queue in numbers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueueStats {
    /// When this was read, Redis time.
    pub now_ms: u64,
    /// Issues that wait, delayed and parked ones too.
    pub pending: u64,
    /// Elements of the pending list: issues that a worker could pop now.
    pub ready: u64,
    /// Issues put off after a fault.
    pub delayed: u64,
    /// Issues that a worker has.
    pub in_flight: u64,
    /// Issues on the dead list.
    pub dead: u64,
    /// When the oldest waiting issue was submitted, Redis time; `None` if none waits.
    pub oldest_pending_at_ms: Option<u64>,
    /// True if everything is paused.
    pub paused: bool,
    /// The Blueprints that are paused one by one.
    pub paused_blueprint_ids: Vec<BlueprintId>,
    /// The workers, by name.
    pub workers: Vec<WorkerStats>,
    /// Bytes that Redis uses.
    pub used_memory: u64,
    /// Bytes that Redis may use; 0: no limit.
    pub max_memory: u64,
    /// The settings without verifier axes.
    pub unverified_settings: Vec<SettingId>,
}

/// One worker.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerStats {
    /// Its id.
    pub worker_id: String,
    /// How many issues it had at its last heartbeat.
    pub in_flight: u32,
    /// When that was, Redis time.
    pub last_seen_ms: u64,
}

/// From this part of `maxmemory` on a person should know.
const WARNING_PERCENT: u64 = 70;

impl QueueStats {
    /// What a person should look at, in sentences.
    pub fn warnings(&self) -> Vec<String> {
        let memory = memory_warning(self.used_memory, self.max_memory);
        let unverified = self.unverified_settings.iter().map(|setting| {
            format!(
                "the setting {setting} has no verifier_axes: whatever a spawner proposes is committed unverified; \
                 give it axes unless that is meant"
            )
        });
        memory.into_iter().chain(unverified).collect()
    }
}

/// The sentence for a Redis that fills up; `None` while there is room, or no limit.
pub(crate) fn memory_warning(used: u64, max: u64) -> Option<String> {
    (max > 0 && used >= max / 100 * WARNING_PERCENT).then(|| {
        let percent = u128::from(used) * 100 / u128::from(max);
        format!(
            "Redis uses {percent} % of its maxmemory ({used} of {max} bytes); from {ADMISSION_PERCENT} % on no new issues \
             are taken; raise maxmemory, or find out why workers do not keep up"
        )
    })
}

impl Shard {
    /// The queue in numbers, without the settings.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away.
    pub async fn queue_stats(&self) -> Result<QueueStats, StoreError> {
        let k = &self.keys;
        let mut pipeline = redis::pipe();
        pipeline
            .cmd("HGET")
            .arg(k.counts())
            .arg("pending")
            .cmd("LLEN")
            .arg(k.pending())
            .cmd("ZCARD")
            .arg(k.delayed())
            .cmd("ZCARD")
            .arg(k.leases())
            .cmd("ZCARD")
            .arg(k.dead())
            .cmd("ZRANGE")
            .arg(k.waiting())
            .arg(0)
            .arg(0)
            .arg("WITHSCORES")
            .cmd("HKEYS")
            .arg(k.paused())
            .cmd("ZRANGE")
            .arg(k.workers())
            .arg(0)
            .arg(-1)
            .arg("WITHSCORES")
            .cmd("HGETALL")
            .arg(k.worker_load())
            .cmd("TIME");
        type Row = (
            Option<u64>,
            u64,
            u64,
            u64,
            u64,
            Vec<(String, f64)>,
            Vec<String>,
            Vec<(String, f64)>,
            HashMap<String, u32>,
            (u64, u64),
        );
        let (
            pending,
            ready,
            delayed,
            in_flight,
            dead,
            oldest,
            paused,
            workers,
            load,
            (secs, micros),
        ): Row = self.handle.pipeline("queue stats", &pipeline).await?;
        let now = secs * 1000 + micros / 1000;
        let (used_memory, max_memory) = self.memory().await?;
        let mut workers: Vec<WorkerStats> = workers
            .into_iter()
            .map(|(id, seen)| WorkerStats {
                in_flight: load.get(&id).copied().unwrap_or(0),
                worker_id: id,
                last_seen_ms: score_ms(seen),
            })
            .filter(|w| w.last_seen_ms + GONE_MS >= now)
            .collect();
        workers.sort_by(|a, b| a.worker_id.cmp(&b.worker_id));
        Ok(QueueStats {
            now_ms: now,
            pending: pending.unwrap_or(0),
            ready,
            delayed,
            in_flight,
            dead,
            oldest_pending_at_ms: oldest.first().map(|(_, score)| score_ms(*score)),
            paused: paused.iter().any(|p| p == "*"),
            paused_blueprint_ids: paused
                .iter()
                .filter_map(|p| BlueprintId::parse(p).ok())
                .collect(),
            workers,
            used_memory,
            max_memory,
            unverified_settings: Vec::new(),
        })
    }

    /// What the scripts have counted since the store was made, whoever did it: `submitted`, and decisions by the state or
    /// cause they ended in (`applied`, `denied`, `failed`, `cancelled`).
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away.
    pub async fn totals(&self) -> Result<HashMap<String, u64>, StoreError> {
        let counts: HashMap<String, i64> = self
            .handle
            .command("totals", cmd("HGETALL").arg(self.keys.counts()))
            .await?;
        let whole = |(name, count): (String, i64)| Some((name, u64::try_from(count).ok()?));
        Ok(counts.into_iter().filter_map(whole).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::memory_warning;

    #[test]
    fn a_redis_that_fills_up_is_warned_of_from_seven_tenths_on() {
        assert_eq!(memory_warning(699, 1000), None);
        assert_eq!(memory_warning(700, 0), None, "there is no limit");
        let warning = memory_warning(700, 1000).unwrap();
        assert!(
            warning.contains("70 %") && warning.contains("700 of 1000"),
            "{warning}"
        );
    }
}

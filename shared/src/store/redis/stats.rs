//! What the queue looks like now, and whether Redis has room.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use redis::cmd;

use super::Shard;
use super::error::StoreError;
use super::workers::GONE_MS;
use crate::ids::{BlueprintId, SettingId};
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

/// From this part of `maxmemory` on nothing is taken in.
const ADMISSION_PERCENT: u64 = 90;
/// From this part of `maxmemory` on a person should know.
const WARNING_PERCENT: u64 = 70;
/// How long a reading of Redis's memory holds.
const MEMORY_POLL: Duration = Duration::from_secs(1);

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
pub(super) fn memory_warning(used: u64, max: u64) -> Option<String> {
    (max > 0 && used >= max / 100 * WARNING_PERCENT).then(|| {
        let percent = u128::from(used) * 100 / u128::from(max);
        format!(
            "Redis uses {percent} % of its maxmemory ({used} of {max} bytes); from {ADMISSION_PERCENT} % on no new issues \
             are taken; raise maxmemory, or find out why workers do not keep up"
        )
    })
}

/// The last reading of Redis's memory, shared by clones of a store.
#[derive(Default)]
pub(super) struct MemoryReading(std::sync::Mutex<Option<(Instant, u64, u64)>>);

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
        ): Row = self.link.pipeline("queue stats", &pipeline).await?;
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
            .link
            .command("totals", cmd("HGETALL").arg(self.keys.counts()))
            .await?;
        let whole = |(name, count): (String, i64)| Some((name, u64::try_from(count).ok()?));
        Ok(counts.into_iter().filter_map(whole).collect())
    }

    /// Bytes that Redis uses and may use.
    pub(super) async fn memory(&self) -> Result<(u64, u64), StoreError> {
        let info: String = self
            .link
            .command("memory", cmd("INFO").arg("memory"))
            .await?;
        let number = |name: &str| {
            let line = info
                .lines()
                .find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
        };
        Ok((number("used_memory"), number("maxmemory")))
    }

    /// Bytes used and allowed, if so much is used that nothing more is to be taken in.
    /// Looks once a second at most.
    pub(super) async fn memory_pressure(&self) -> Result<Option<(u64, u64)>, StoreError> {
        let last = {
            let mut last = self.memory.0.lock().expect("no holder of this lock panics");
            let fresh = |(at, _, _): &(Instant, _, _)| at.elapsed() < MEMORY_POLL;
            let found = last.filter(fresh);
            // Who finds it old reads it anew; the others go by the old one until that is done.
            if let (None, Some((at, _, _))) = (found, last.as_mut()) {
                *at = Instant::now();
            }
            found
        };
        let (used, max) = match last {
            Some((_, used, max)) => (used, max),
            None => {
                let (used, max) = self.memory().await?;
                *self.memory.0.lock().expect("no holder of this lock panics") =
                    Some((Instant::now(), used, max));
                (used, max)
            }
        };
        Ok((max > 0 && used >= max / 100 * ADMISSION_PERCENT).then_some((used, max)))
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

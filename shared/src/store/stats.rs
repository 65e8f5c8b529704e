//! The current state of the queue and of Redis's memory.

use std::collections::HashMap;
use std::fmt;

use redis::cmd;

use crate::ids::{BlueprintId, SettingId};
use crate::store::redis::error::StoreError;
use crate::store::redis::memory::ADMISSION_PERCENT;
use crate::store::redis::shard::Shard;
use crate::store::workers::registry::GONE_MS;
use crate::whole_ms::score_ms;

/// Statistics of the queue.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueueStats {
    /// The time of the reading, Redis time.
    pub now_ms: u64,
    /// The number of waiting issues, including delayed and parked ones.
    pub pending: u64,
    /// The number of elements in the pending list: issues that a worker can pop now.
    pub ready: u64,
    /// The number of issues delayed after a fault.
    pub delayed: u64,
    /// The number of issues that workers hold.
    pub in_flight: u64,
    /// The number of issues on the dead list.
    pub dead: u64,
    /// The number of issues that wait for a review.
    pub in_review: u64,
    /// The time of the oldest proposal that waits for a review, Redis time; `None` without one.
    pub oldest_in_review_at_ms: Option<u64>,
    /// The submit time of the oldest waiting issue, Redis time; `None` without one.
    pub oldest_pending_at_ms: Option<u64>,
    /// As `oldest_pending_at_ms`, without the issues of paused queues.
    pub oldest_active_at_ms: Option<u64>,
    /// True if all queues are paused.
    pub paused: bool,
    /// The Blueprints that are paused individually.
    pub paused_blueprint_ids: Vec<BlueprintId>,
    /// The workers, sorted by name.
    pub workers: Vec<WorkerStats>,
    /// Bytes that Redis uses.
    pub used_memory: u64,
    /// The memory limit of Redis in bytes; 0 without a limit.
    pub max_memory: u64,
    /// The settings without verifier axes.
    pub unverified_settings: Vec<SettingId>,
}

/// Statistics of one worker.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerStats {
    /// Its id.
    pub worker_id: String,
    /// The number of issues in flight at its last heartbeat.
    pub in_flight: u32,
    /// The time of the last heartbeat, Redis time.
    pub last_seen_ms: u64,
    /// The version of its program; empty before it has registered.
    pub version: String,
}

/// The name of the pause of all queues.
const ALL: &str = "*";
/// The share of `maxmemory`, in percent, from which a warning is issued.
const WARNING_PERCENT: u64 = 70;

impl QueueStats {
    /// Returns warnings for the operator, as sentences.
    pub fn warnings(&self) -> Vec<String> {
        let unverified: Vec<&str> = self
            .unverified_settings
            .iter()
            .map(SettingId::as_str)
            .collect();
        let memory = memory_warning(self.used_memory, self.max_memory);
        let all = memory.into_iter().chain(unverified_warning(&unverified));
        all.map(|warning| warning.to_string()).collect()
    }
}

/// True if `paused` has this queue, or all queues.
fn is_paused(paused: &[String], queue: &str) -> bool {
    paused.iter().any(|name| name == queue || name == ALL)
}

/// A warning for the operator. `draftsman stats` and `draftsman doctor` show the same ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// What is wrong.
    pub found: String,
    /// What to do.
    pub remedy: &'static str,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.found, self.remedy)
    }
}

/// Returns the warning for an almost full Redis; `None` below the threshold or without a limit.
pub fn memory_warning(used: u64, max: u64) -> Option<Warning> {
    (max > 0 && used >= max / 100 * WARNING_PERCENT).then(|| {
        let percent = u128::from(used) * 100 / u128::from(max);
        Warning {
            found: format!(
                "Redis uses {percent} % of its maxmemory ({used} of {max} bytes); from {ADMISSION_PERCENT} % on \
                 no new issues are accepted"
            ),
            remedy: "raise maxmemory, or find out why workers do not keep up",
        }
    })
}

/// Returns the warning for settings that verify nothing; `None` without such a setting.
pub fn unverified_warning(settings: &[&str]) -> Option<Warning> {
    (!settings.is_empty()).then(|| Warning {
        found: format!(
            "no verifier_axes in the setting {}: every patch of a spawner is committed unverified",
            settings.join(", ")
        ),
        remedy: "write it again with verifier_axes, unless that is intended",
    })
}

impl Shard {
    /// Returns the statistics of the queue, without the settings.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
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
            .cmd("HGETALL")
            .arg(k.worker_versions())
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
            HashMap<String, String>,
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
            versions,
            (secs, micros),
        ): Row = self.handle.pipeline("queue stats", &pipeline).await?;
        let now = secs * 1000 + micros / 1000;
        let oldest_active_at_ms = match oldest.first() {
            Some((queue, score)) if !is_paused(&paused, queue) => Some(score_ms(*score)),
            Some(_) => self.oldest_active(&paused).await?,
            None => None,
        };
        let (in_review, oldest_in_review_at_ms) = self.waiting_reviews().await?;
        let (used_memory, max_memory) = self.memory().await?;
        let mut workers: Vec<WorkerStats> = workers
            .into_iter()
            .map(|(id, seen)| WorkerStats {
                in_flight: load.get(&id).copied().unwrap_or(0),
                version: versions.get(&id).cloned().unwrap_or_default(),
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
            in_review,
            oldest_in_review_at_ms,
            oldest_pending_at_ms: oldest.first().map(|(_, score)| score_ms(*score)),
            oldest_active_at_ms,
            paused: paused.iter().any(|p| p == ALL),
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

    /// Returns the submit time of the oldest waiting issue of a queue that is not paused.
    async fn oldest_active(&self, paused: &[String]) -> Result<Option<u64>, StoreError> {
        if paused.iter().any(|name| name == ALL) {
            return Ok(None);
        }
        // At most all paused queues are older than it.
        let mut read = cmd("ZRANGE");
        read.arg(self.keys.waiting()).arg(0).arg(paused.len());
        let read = read.arg("WITHSCORES");
        let oldest: Vec<(String, f64)> = self.handle.command("oldest active", read).await?;
        let active = oldest.iter().find(|(queue, _)| !is_paused(paused, queue));
        Ok(active.map(|(_, score)| score_ms(*score)))
    }

    /// Returns the total counts of the scripts since the store was created, over all programs. They
    /// are `submitted` and the decisions by state or cause: `applied`, `denied`, `failed`,
    /// `cancelled`, `declined`. `proposed` counts the proposals.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
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
        let warning = memory_warning(700, 1000).unwrap().to_string();
        assert!(
            warning.contains("70 %") && warning.contains("700 of 1000"),
            "{warning}"
        );
    }
}

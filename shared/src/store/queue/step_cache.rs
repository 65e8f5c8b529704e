//! Caches paid steps with their issue until the issue is decided.
//!
//! Each issue with paid steps has a hash: request key → output and cost. The caller computes the
//! key, because it knows which requests are equal. A write needs the issue's lease, so a worker
//! without the lease cannot write. Every decision deletes the hash, so no entry remains and none
//! needs to expire. The number and the size of entries are limited.
//!
//! The hash also holds the total cost of the issue's spawner over all attempts, including outputs
//! that are not cached.

use redis::cmd;
use serde::{Deserialize, Serialize};

use crate::domain::enhance_log::SpawnerUsage;
use crate::domain::issue_ref::IssueRef;
use crate::store::codec::{self, StoredUsage};
use crate::store::queue::issue_block::Lease;
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// The maximum number of cached outputs for one issue.
pub const MAX_STEPS: usize = 32;
/// The maximum size of a cached output, in bytes. Models stay below it; programs can exceed it.
pub const MAX_STEP_BYTES: usize = 256 << 10;

/// The result of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedStep {
    /// The output as JSON.
    pub output: String,
    /// The cost.
    pub usage: SpawnerUsage,
}

/// The outcome of caching an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheOutcome {
    /// The output is cached.
    Kept,
    /// The output is longer than [`MAX_STEP_BYTES`].
    TooLong,
    /// The cache already has [`MAX_STEPS`] outputs.
    Full,
    /// The caller no longer holds the issue.
    Stale,
}

/// The outcome of recording a cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CostOutcome {
    /// The cost is recorded.
    Noted,
    /// The caller no longer holds the issue.
    Stale,
}

impl Shard {
    /// Caches a step's output with its issue. Repeating it is safe.
    ///
    /// # Errors
    /// [`StoreError`]. The output may be cached nevertheless.
    pub async fn cache_step(
        &self,
        lease: &Lease,
        asked: &str,
        step: &CachedStep,
    ) -> Result<CacheOutcome, StoreError> {
        if step.output.len() > MAX_STEP_BYTES {
            return Ok(CacheOutcome::TooLong);
        }
        let issue = &lease.issue.issue_id;
        let keys = [self.keys.issue(issue), self.keys.steps(issue)];
        let kept = paid_step_json(step);
        let reply = self
            .handle
            .script(&script::CACHE_STEP, &keys, |call| {
                call.arg(&lease.token).arg(asked).arg(&kept).arg(MAX_STEPS);
            })
            .await?;
        match reply.outcome() {
            "ok" => Ok(CacheOutcome::Kept),
            "full" => Ok(CacheOutcome::Full),
            "stale" => Ok(CacheOutcome::Stale),
            _ => Err(reply.unknown()),
        }
    }

    /// Returns the cached result of a step, if any, and the spawner's total cost so far.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable or the stored form is damaged.
    pub async fn cached_step(
        &self,
        issue: &IssueRef,
        asked: &str,
    ) -> Result<(Option<CachedStep>, SpawnerUsage), StoreError> {
        let key = self.keys.steps(&issue.issue_id);
        let (found, cost): (Option<String>, Option<String>) = self
            .handle
            .command(
                "remembered step",
                cmd("HMGET").arg(key).arg(asked).arg(COST_FIELD),
            )
            .await?;
        let id = issue.issue_id.as_str();
        let step = found.map(|text| paid_step(id, &text)).transpose()?;
        let cost: Option<StoredUsage> = cost
            .map(|text| codec::from_json("cost of the spawner", id, &text))
            .transpose()?;
        Ok((step, cost.map(Into::into).unwrap_or_default()))
    }

    /// Records the total cost of the issue's spawner over all attempts. A call with fewer calls
    /// than recorded changes nothing, so repeating it is safe.
    ///
    /// # Errors
    /// [`StoreError`]. The cost may be recorded nevertheless.
    pub async fn note_cost(
        &self,
        lease: &Lease,
        cost: &SpawnerUsage,
    ) -> Result<CostOutcome, StoreError> {
        let issue = &lease.issue.issue_id;
        let keys = [self.keys.issue(issue), self.keys.steps(issue)];
        let json = codec::to_json(&StoredUsage::from(cost));
        let reply = self
            .handle
            .script(&script::NOTE_COST, &keys, |call| {
                call.arg(&lease.token).arg(&json).arg(cost.calls);
            })
            .await?;
        match reply.outcome() {
            "ok" => Ok(CostOutcome::Noted),
            "stale" => Ok(CostOutcome::Stale),
            _ => Err(reply.unknown()),
        }
    }
}

/// The field of the cost. No step has this name: see `note_cost.lua`.
const COST_FIELD: &str = "cost";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredStep {
    v: u32,
    output: String,
    usage: StoredUsage,
}

/// Returns the stored JSON of a paid step.
fn paid_step_json(step: &CachedStep) -> String {
    codec::to_json(&StoredStep {
        v: codec::FORMAT,
        output: step.output.clone(),
        usage: (&step.usage).into(),
    })
}

/// Reads a paid step from its stored JSON. `issue_id` is for the error.
fn paid_step(issue_id: &str, text: &str) -> Result<CachedStep, StoreError> {
    let stored: StoredStep = codec::from_json("remembered step", issue_id, text)?;
    codec::check_format("remembered step", issue_id, stored.v)?;
    Ok(CachedStep {
        output: stored.output,
        usage: stored.usage.into(),
    })
}

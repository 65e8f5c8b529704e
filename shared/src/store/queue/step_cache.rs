//! Steps that were paid for: kept with their issue until it is decided.
//!
//! A hash for each issue that has such steps: what was asked (made by the caller, who knows what
//! makes two questions the same) → output and cost. It is written under the issue's lease, so a
//! worker that lost it writes nothing, and taken off by the block that every decision goes through:
//! nothing can be left over, and nothing need expire before. It is bounded in number and in bytes.
//!
//! Beside them stands what the issue's spawner has cost so far, over all attempts, whether its outputs were kept or not.

use redis::cmd;
use serde::{Deserialize, Serialize};

use crate::domain::enhance_log::SpawnerUsage;
use crate::domain::issue_ref::IssueRef;
use crate::store::codec::{self, StoredUsage};
use crate::store::queue::issue_block::Lease;
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// How many outputs are kept with one issue.
pub const MAX_STEPS: usize = 32;
/// The longest output that is kept, in bytes. No model writes more in one answer; a program may.
pub const MAX_STEP_BYTES: usize = 256 << 10;

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedStep {
    /// Its output, as JSON.
    pub output: String,
    /// What it cost.
    pub usage: SpawnerUsage,
}

/// What became of an output that was to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheOutcome {
    /// It is kept.
    Kept,
    /// It is longer than [`MAX_STEP_BYTES`].
    TooLong,
    /// [`MAX_STEPS`] are kept already.
    Full,
    /// The issue is not this caller's any more.
    Stale,
}

/// What became of a cost that was to be noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CostOutcome {
    /// It is noted.
    Noted,
    /// The issue is not this caller's any more.
    Stale,
}

impl Shard {
    /// Keeps a step's output with its issue. Repeating it is safe.
    ///
    /// # Errors
    /// [`StoreError`]; it may have been kept all the same.
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

    /// What was kept of a step, `None` if nothing was; and what the issue's spawner has cost so far.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away or the stored form is damaged.
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

    /// Notes what the issue's spawner has cost so far, over all attempts. A smaller number of calls than is noted
    /// changes nothing, so repeating it is safe.
    ///
    /// # Errors
    /// [`StoreError`]; it may have been noted all the same.
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

/// The field of the cost, which no step is called: see `note_cost.lua`.
const COST_FIELD: &str = "cost";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredStep {
    v: u32,
    output: String,
    usage: StoredUsage,
}

/// The JSON of a step that was paid for.
fn paid_step_json(step: &CachedStep) -> String {
    codec::to_json(&StoredStep {
        v: codec::FORMAT,
        output: step.output.clone(),
        usage: (&step.usage).into(),
    })
}

/// A step that was paid for, from its stored JSON. `issue_id` is for the error.
fn paid_step(issue_id: &str, text: &str) -> Result<CachedStep, StoreError> {
    let stored: StoredStep = codec::from_json("remembered step", issue_id, text)?;
    codec::check_format("remembered step", issue_id, stored.v)?;
    Ok(CachedStep {
        output: stored.output,
        usage: stored.usage.into(),
    })
}

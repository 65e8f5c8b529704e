//! Steps that were paid for: kept with their issue until it is decided.
//!
//! A hash for each issue that has such steps: what was asked (made by the caller, who knows what
//! makes two questions the same) → output and cost. It is written under the issue's lease, so a
//! worker that lost it writes nothing, and taken off by the block that every decision goes through:
//! nothing can be left over, and nothing need expire before. It is bounded in number and in bytes.

use redis::cmd;

use super::Shard;
use super::error::StoreError;
use super::queue::{IssueRef, Lease};
use super::{script, stored};
use crate::enhance_log::SpawnerUsage;

/// How many outputs are kept with one issue.
pub const MAX_STEPS: usize = 32;
/// The longest output that is kept, in bytes. No model writes more in one answer; a program may.
pub const MAX_STEP_BYTES: usize = 256 << 10;

/// What a step came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaidStep {
    /// Its output, as JSON.
    pub output: String,
    /// What it cost.
    pub usage: SpawnerUsage,
}

/// What became of an output that was to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RememberOutcome {
    /// It is kept.
    Kept,
    /// It is longer than [`MAX_STEP_BYTES`].
    TooLong,
    /// [`MAX_STEPS`] are kept already.
    Full,
    /// The issue is not this caller's any more.
    Stale,
}

impl Shard {
    /// Keeps a step's output with its issue. Repeating it is safe.
    ///
    /// # Errors
    /// [`StoreError`]; it may have been kept all the same.
    pub async fn remember_step(
        &self,
        lease: &Lease,
        asked: &str,
        step: &PaidStep,
    ) -> Result<RememberOutcome, StoreError> {
        if step.output.len() > MAX_STEP_BYTES {
            return Ok(RememberOutcome::TooLong);
        }
        let issue = &lease.issue.issue_id;
        let keys = [self.keys.issue(issue), self.keys.steps(issue)];
        let kept = stored::paid_step_json(step);
        let reply = self
            .link
            .script(&script::REMEMBER_STEP, &keys, |call| {
                call.arg(&lease.token).arg(asked).arg(&kept).arg(MAX_STEPS);
            })
            .await?;
        match reply.outcome() {
            "ok" => Ok(RememberOutcome::Kept),
            "full" => Ok(RememberOutcome::Full),
            "stale" => Ok(RememberOutcome::Stale),
            _ => Err(reply.unknown()),
        }
    }

    /// What was kept of a step; `None` if nothing was.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is away or the stored form is damaged.
    pub async fn remembered_step(
        &self,
        issue: &IssueRef,
        asked: &str,
    ) -> Result<Option<PaidStep>, StoreError> {
        let key = self.keys.steps(&issue.issue_id);
        let found: Option<String> = self
            .link
            .command("remembered step", cmd("HGET").arg(key).arg(asked))
            .await?;
        let id = issue.issue_id.as_str();
        found.map(|text| stored::paid_step(id, &text)).transpose()
    }
}

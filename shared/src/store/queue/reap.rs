//! Reaping issues whose lease has expired.

use crate::domain::issue_ref::IssueRef;
use crate::store::codec;
use crate::store::queue::issue_block::{NOBODY, head_args};
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// What became of an expired lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReapOutcome {
    /// The issue waits that many milliseconds.
    Delayed(u64),
    /// Its attempts were used up: rejected, on the dead list.
    Dead,
    /// The lease runs.
    Alive,
    /// There is no lease.
    Gone,
    /// Another worker holds it by now.
    Moved,
}

impl Shard {
    /// Takes an issue whose lease ran out from its worker. `jitter` is a random number from 0 to 1.
    ///
    /// # Errors
    /// [`StoreError`]; repeat it.
    pub async fn reap(
        &self,
        issue: &IssueRef,
        max_attempts: u32,
        jitter: f64,
    ) -> Result<ReapOutcome, StoreError> {
        // A lease of an issue that is not there is taken off, too.
        let found = self.issue(&issue.issue_id).await?;
        let (holder, intent) = match &found {
            Some(found) if !found.worker_id.is_empty() => (&*found.worker_id, &*found.intent),
            _ => (NOBODY, ""),
        };
        let log = codec::failed_log_draft(&issue.issue_id, &issue.blueprint_id, Some(intent), "");
        let mut reply = self
            .handle
            .script(&script::REAP_ISSUE, &self.block(issue, holder), |call| {
                head_args(call, issue);
                call.arg(holder).arg(max_attempts).arg(jitter).arg(&log);
            })
            .await?;
        match reply.outcome() {
            "delayed" => Ok(ReapOutcome::Delayed(reply.take()?)),
            "dead" => Ok(ReapOutcome::Dead),
            "alive" => Ok(ReapOutcome::Alive),
            "gone" => Ok(ReapOutcome::Gone),
            "moved" => Ok(ReapOutcome::Moved),
            _ => Err(reply.unknown()),
        }
    }
}

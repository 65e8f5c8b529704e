//! Reaps issues with an expired lease.

use serde::Serialize;

use crate::domain::issue_ref::IssueRef;
use crate::store::codec;
use crate::store::queue::issue_block::NOBODY;
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// The outcome for an expired lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReapOutcome {
    /// The issue is delayed for this time, in milliseconds.
    Delayed(u64),
    /// The issue has no attempts left. It is rejected and on the dead list.
    Dead,
    /// The lease has not expired.
    Alive,
    /// The lease does not exist.
    Gone,
    /// Another worker holds the issue now.
    Moved,
}

#[derive(Serialize)]
struct ReapArg {
    max_attempts: u32,
    jitter: f64,
    log: String,
}

impl Shard {
    /// Takes an issue with an expired lease from its worker. `jitter` is a random number from 0 to
    /// 1.
    ///
    /// # Errors
    /// [`StoreError`]. Repeat the call.
    pub async fn reap(
        &self,
        issue: &IssueRef,
        max_attempts: u32,
        jitter: f64,
    ) -> Result<ReapOutcome, StoreError> {
        // The lease of a missing issue is removed, too.
        let found = self.issue(&issue.issue_id).await?;
        let (holder, intent) = match &found {
            Some(found) if !found.worker_id.is_empty() => (&*found.worker_id, &*found.intent),
            _ => (NOBODY, ""),
        };
        let arg = ReapArg {
            max_attempts,
            jitter,
            log: codec::failed_log_draft(&issue.issue_id, &issue.blueprint_id, Some(intent), None),
        };
        let mut reply = self
            .issue_script(&script::REAP_ISSUE, issue, holder, &arg)
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

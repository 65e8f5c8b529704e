//! What brings an issue back that nobody works on: an element that was popped and not claimed, a delay that is
//! over, a lease that ran out.

use super::Shard;
use super::error::StoreError;
use super::queue::{IssueRef, NOBODY, head_args};
use super::{script, stored};

/// What became of an element that nobody claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturnOutcome {
    /// Back in its place.
    Returned,
    /// That worker has claimed it: its lease decides.
    Leased,
    /// A stale copy, taken out.
    Gone,
    /// Not in that list.
    NotMine,
}

/// What became of a delayed issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromoteOutcome {
    /// In its place.
    Promoted,
    /// Its time has not come.
    NotDue,
    /// Not delayed any more.
    Gone,
}

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
    /// Takes an element that nobody claimed out of `holder`'s list, back to `pending` if it is due there.
    ///
    /// # Errors
    /// [`StoreError`]; repeat it.
    pub async fn return_element(
        &self,
        issue: &IssueRef,
        holder: &str,
    ) -> Result<ReturnOutcome, StoreError> {
        let keys = self.block(issue, holder);
        let reply = self
            .link
            .script(&script::RETURN_ELEMENT, &keys, |call| {
                head_args(call, issue);
                call.arg(holder);
            })
            .await?;
        match reply.outcome() {
            "returned" => Ok(ReturnOutcome::Returned),
            "leased" => Ok(ReturnOutcome::Leased),
            "gone" => Ok(ReturnOutcome::Gone),
            "not_mine" => Ok(ReturnOutcome::NotMine),
            _ => Err(reply.unknown()),
        }
    }

    /// Moves a delayed issue to its place if its time has come.
    ///
    /// # Errors
    /// [`StoreError`]; repeat it.
    pub async fn promote(&self, issue: &IssueRef) -> Result<PromoteOutcome, StoreError> {
        let keys = self.block(issue, NOBODY);
        let reply = self
            .link
            .script(&script::PROMOTE_ISSUE, &keys, |call| head_args(call, issue))
            .await?;
        match reply.outcome() {
            "promoted" => Ok(PromoteOutcome::Promoted),
            "not_due" => Ok(PromoteOutcome::NotDue),
            "gone" => Ok(PromoteOutcome::Gone),
            _ => Err(reply.unknown()),
        }
    }

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
        let log = stored::failed_log_draft(&issue.issue_id, &issue.blueprint_id, Some(intent), "");
        let mut reply = self
            .link
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

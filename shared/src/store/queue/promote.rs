//! Promotes delayed issues that are due.

use crate::domain::issue_ref::IssueRef;
use crate::store::queue::issue_block::NOBODY;
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// The outcome of a promotion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromoteOutcome {
    /// The issue is placed.
    Promoted,
    /// The issue is not due yet.
    NotDue,
    /// The issue is no longer delayed.
    Gone,
}

impl Shard {
    /// Places a delayed issue if it is due.
    ///
    /// # Errors
    /// [`StoreError`]. Repeat the call.
    pub async fn promote(&self, issue: &IssueRef) -> Result<PromoteOutcome, StoreError> {
        let reply = self
            .issue_script(&script::PROMOTE_ISSUE, issue, NOBODY, &())
            .await?;
        match reply.outcome() {
            "promoted" => Ok(PromoteOutcome::Promoted),
            "not_due" => Ok(PromoteOutcome::NotDue),
            "gone" => Ok(PromoteOutcome::Gone),
            _ => Err(reply.unknown()),
        }
    }
}

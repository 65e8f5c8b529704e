//! Promoting delayed issues whose time has come.

use crate::domain::issue_ref::IssueRef;
use crate::store::queue::issue_block::{NOBODY, head_args};
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

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

impl Shard {
    /// Moves a delayed issue to its place if its time has come.
    ///
    /// # Errors
    /// [`StoreError`]; repeat it.
    pub async fn promote(&self, issue: &IssueRef) -> Result<PromoteOutcome, StoreError> {
        let keys = self.block(issue, NOBODY);
        let reply = self
            .handle
            .script(&script::PROMOTE_ISSUE, &keys, |call| head_args(call, issue))
            .await?;
        match reply.outcome() {
            "promoted" => Ok(PromoteOutcome::Promoted),
            "not_due" => Ok(PromoteOutcome::NotDue),
            "gone" => Ok(PromoteOutcome::Gone),
            _ => Err(reply.unknown()),
        }
    }
}

//! Declines proposals that nobody reviewed in time.

use serde::Serialize;

use crate::domain::issue_ref::IssueRef;
use crate::store::queue::issue_block::NOBODY;
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// The outcome of an expiry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpireOutcome {
    /// The issue is declined.
    Expired,
    /// The proposal is not due.
    Waits,
    /// The issue is not in review.
    Gone,
}

/// No fields of its own.
#[derive(Serialize)]
struct ExpireArg {}

impl Shard {
    /// Returns up to `n` issues whose proposals are due.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub async fn due_reviews(&self, n: usize) -> Result<Vec<IssueRef>, StoreError> {
        self.due(self.keys.review_due(), n).await
    }

    /// Declines an issue whose proposal is due. Any number of callers can run it at any time.
    ///
    /// # Errors
    /// [`StoreError`]. The issue may be declined nevertheless.
    pub async fn expire_review(&self, issue: &IssueRef) -> Result<ExpireOutcome, StoreError> {
        let reply = self
            .issue_script(&script::EXPIRE_REVIEW, issue, NOBODY, &ExpireArg {})
            .await?;
        match reply.outcome() {
            "expired" => Ok(ExpireOutcome::Expired),
            "waits" => Ok(ExpireOutcome::Waits),
            "gone" => Ok(ExpireOutcome::Gone),
            _ => Err(reply.unknown()),
        }
    }
}

//! Returns an unclaimed element from a processing list to `pending`.

use crate::domain::issue_ref::IssueRef;
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// The outcome for an unclaimed element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturnOutcome {
    /// The element is back in `pending`.
    Returned,
    /// The worker has claimed the issue. Its lease decides.
    Leased,
    /// The element was a stale copy and is removed.
    Gone,
    /// The element is not in that list.
    NotMine,
}

impl Shard {
    /// Takes an unclaimed element out of `holder`'s list and returns it to `pending` if it belongs
    /// there.
    ///
    /// # Errors
    /// [`StoreError`]. Repeat the call.
    pub async fn return_element(
        &self,
        issue: &IssueRef,
        holder: &str,
    ) -> Result<ReturnOutcome, StoreError> {
        let reply = self
            .issue_script(&script::RETURN_ELEMENT, issue, holder, &())
            .await?;
        match reply.outcome() {
            "returned" => Ok(ReturnOutcome::Returned),
            "leased" => Ok(ReturnOutcome::Leased),
            "gone" => Ok(ReturnOutcome::Gone),
            "not_mine" => Ok(ReturnOutcome::NotMine),
            _ => Err(reply.unknown()),
        }
    }
}

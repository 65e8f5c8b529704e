//! What brings an issue back that nobody works on: an element that was popped and not claimed, a delay that is
//! over, a lease that ran out.

use crate::domain::issue_ref::IssueRef;
use crate::store::queue::issue_block::head_args;
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

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
            .handle
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
}

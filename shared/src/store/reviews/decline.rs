//! Declines the proposal of an issue.

use serde::Serialize;

use crate::domain::actor::Actor;
use crate::domain::issue::Issue;
use crate::domain::issue_ref::IssueRef;
use crate::ids::IssueId;
use crate::store::codec;
use crate::store::queue::issue_block::NOBODY;
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// The outcome of a decline.
#[derive(Debug, PartialEq, Eq)]
pub enum DeclineOutcome {
    /// The issue is declined: by this call, by an earlier one, or because nobody reviewed it in
    /// time.
    Declined(Issue),
    /// The issue is not in review: decided otherwise, or not proposed yet.
    NotInReview(Issue),
    /// The issue does not exist.
    NotFound,
}

#[derive(Serialize)]
struct DeclineArg<'a> {
    reason: &'a str,
    by: &'a str,
}

impl Shard {
    /// Rejects an issue in review. Repeating it is safe: the first decline stays recorded.
    ///
    /// # Errors
    /// [`StoreError`]. The issue may be declined nevertheless.
    pub(crate) async fn decline_issue(
        &self,
        id: &IssueId,
        reason: &str,
        by: &Actor,
    ) -> Result<DeclineOutcome, StoreError> {
        let Some(found) = self.issue(id).await? else {
            return Ok(DeclineOutcome::NotFound);
        };
        let issue = IssueRef {
            blueprint_id: found.blueprint_id,
            issue_id: id.clone(),
        };
        let by = by.as_str();
        let mut reply = self
            .issue_script(
                &script::DECLINE_ISSUE,
                &issue,
                NOBODY,
                &DeclineArg { reason, by },
            )
            .await?;
        let outcome = match reply.outcome() {
            "not_found" => return Ok(DeclineOutcome::NotFound),
            "ok" | "again" => DeclineOutcome::Declined,
            "not_in_review" => DeclineOutcome::NotInReview,
            _ => return Err(reply.unknown()),
        };
        Ok(outcome(codec::issue(
            id,
            &reply.take_fields()?,
            found.intent,
        )?))
    }
}

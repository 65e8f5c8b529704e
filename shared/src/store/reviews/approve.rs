//! Approves the proposal of an issue.

use serde::Serialize;

use crate::domain::issue::Issue;
use crate::domain::issue_ref::IssueRef;
use crate::domain::proposal::Approval;
use crate::ids::IssueId;
use crate::store::codec;
use crate::store::queue::issue_block::NOBODY;
use crate::store::redis::error::StoreError;
use crate::store::redis::script;
use crate::store::redis::shard::Shard;

/// The outcome of an approval.
#[derive(Debug, PartialEq, Eq)]
pub enum ApproveOutcome {
    /// The approved document is committed, now or by an earlier call with the same approval.
    Approved(Issue),
    /// The head has moved. Nothing is committed. The issue is in its queue, and its patch is
    /// verified on the present head.
    HeadMoved(Issue),
    /// The issue is in review with another proposal than the one that the caller names. Nothing is
    /// changed.
    OtherProposal(Issue),
    /// The issue is not in review: decided, expired, or not proposed yet.
    NotInReview(Issue),
    /// The caller submitted the issue, and its setting does not allow self-review.
    SelfReview,
    /// The Blueprint is archived. Nothing is changed.
    Archived,
    /// The Blueprint has become an orbit, and no admin submitted the issue. The issue is decided.
    OrbitNeedsAdmin(Issue),
    /// The issue does not exist.
    NotFound,
}

#[derive(Serialize)]
struct ApproveArg<'a> {
    new_version: &'a str,
    base_version: &'a str,
    by: &'a str,
    comment: &'a str,
    is_authenticated: bool,
    refused_log: String,
}

impl Shard {
    /// Commits the document that the approval names, on the head that it names. If the reply is
    /// lost, repeat the call.
    ///
    /// # Errors
    /// [`StoreError`]. The document may be committed nevertheless.
    pub(crate) async fn approve_issue(
        &self,
        id: &IssueId,
        approval: &Approval,
    ) -> Result<ApproveOutcome, StoreError> {
        let Some(found) = self.issue(id).await? else {
            return Ok(ApproveOutcome::NotFound);
        };
        let issue = IssueRef {
            blueprint_id: found.blueprint_id.clone(),
            issue_id: id.clone(),
        };
        let base = Some(&approval.base_version);
        let arg = ApproveArg {
            new_version: approval.new_version.as_str(),
            base_version: approval.base_version.as_str(),
            by: approval.by.as_str(),
            comment: &approval.comment,
            is_authenticated: approval.is_authenticated,
            refused_log: codec::failed_log_draft(id, &issue.blueprint_id, None, base),
        };
        let mut reply = self
            .issue_script(&script::APPROVE_ISSUE, &issue, NOBODY, &arg)
            .await?;
        let outcome = match reply.outcome() {
            "self_review" => return Ok(ApproveOutcome::SelfReview),
            "archived" => return Ok(ApproveOutcome::Archived),
            "not_found" => return Ok(ApproveOutcome::NotFound),
            "ok" | "again" => ApproveOutcome::Approved,
            "moved_head" => ApproveOutcome::HeadMoved,
            "other" => ApproveOutcome::OtherProposal,
            "not_in_review" => ApproveOutcome::NotInReview,
            "orbit_needs_admin" => ApproveOutcome::OrbitNeedsAdmin,
            _ => return Err(reply.unknown()),
        };
        Ok(outcome(codec::issue(
            id,
            &reply.take_fields()?,
            found.intent,
        )?))
    }
}

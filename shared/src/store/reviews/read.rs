//! Reads the proposal of an issue.

use std::collections::HashMap;

use crate::domain::issue::{Issue, IssueState};
use crate::domain::proposal::Proposal;
use crate::ids::IssueId;
use crate::store::codec;
use crate::store::redis::error::StoreError;
use crate::store::redis::shard::Shard;
use crate::whole_ms::score_ms;

/// The proposal of an issue, or why it has none.
#[derive(Debug, PartialEq, Eq)]
pub enum ProposalLookup {
    /// The issue is in review.
    Found(Box<Proposal>),
    /// The issue is not in review: decided, or not proposed yet.
    NotInReview(Issue),
    /// The issue does not exist.
    NotFound,
}

impl Shard {
    /// Returns the proposal of an issue in review.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable or the stored form is damaged.
    pub(crate) async fn proposal(&self, id: &IssueId) -> Result<ProposalLookup, StoreError> {
        let Some(issue) = self.issue(id).await? else {
            return Ok(ProposalLookup::NotFound);
        };
        // The issue is read once more with its proposal: both are of the same moment.
        let mut pipeline = redis::pipe();
        pipeline.atomic();
        pipeline.cmd("HGETALL").arg(self.keys.issue(id));
        pipeline.cmd("HGETALL").arg(self.keys.proposal(id));
        let head = self.keys.blueprint(&issue.blueprint_id);
        pipeline.cmd("HGET").arg(head).arg("seq");
        type Row = (HashMap<String, String>, HashMap<String, String>, u64);
        let (fields, proposal, head_seq): Row = self.handle.pipeline("proposal", &pipeline).await?;
        if fields.is_empty() {
            return Ok(ProposalLookup::NotFound);
        }
        let issue = codec::issue(id, &fields, issue.intent)?;
        if issue.state != IssueState::InReview {
            return Ok(ProposalLookup::NotInReview(issue));
        }
        let proposal = codec::proposal(&issue, &proposal, head_seq)?;
        Ok(ProposalLookup::Found(Box::new(proposal)))
    }

    /// Returns the number of issues in review, and the time of the oldest proposal among them,
    /// Redis time.
    ///
    /// # Errors
    /// [`StoreError`] if Redis is unavailable.
    pub(crate) async fn waiting_reviews(&self) -> Result<(u64, Option<u64>), StoreError> {
        let list = self.keys.in_review();
        let mut pipeline = redis::pipe();
        pipeline.cmd("ZCARD").arg(&list);
        pipeline.cmd("ZRANGE").arg(&list).arg(0).arg(0);
        pipeline.arg("WITHSCORES");
        let (n, oldest): (u64, Vec<(String, f64)>) =
            self.handle.pipeline("reviews", &pipeline).await?;
        Ok((n, oldest.first().map(|(_, at)| score_ms(*at))))
    }
}

//! The attacks on reviews: a decision about what an issue of another Blueprint proposes.

use proto::v1;
use tests::eventually::eventually;
use tests::factory;
use tonic::Status;

use super::scopes_stage::{ADMIN, SUBMITTER, Stage, with};

/// The Blueprint whose changes need a review.
const GUARDED: &str = "guarded";
/// Its issues in review: one to approve, one to decline.
const APPROVED: &str = "proposed-1";
const DECLINED: &str = "proposed-2";

impl Stage {
    /// Puts two issues of a submitter in review.
    pub(super) async fn propose(&self) {
        self.put(ADMIN, &factory::small(GUARDED))
            .await
            .expect("a Blueprint");
        let setting = factory::setting("reviewed", |setting| {
            setting.verifier_axes.push("human-review".to_owned());
            setting.applies_to = vec![GUARDED.to_owned()];
        });
        let mut settings = self.client.settings.clone();
        let put = settings.put_setting(with(ADMIN, setting)).await;
        put.expect("a setting");
        for id in [APPROVED, DECLINED] {
            let submitted = self.submit(SUBMITTER, GUARDED, "tag proposed", id).await;
            submitted.expect("an issue");
            eventually(&format!("{id} is in review"), async || {
                let issue = self.issue(ADMIN, id).await.map_err(|s| s.to_string())?;
                let is_proposed = issue.state() == v1::IssueState::InReview;
                is_proposed
                    .then_some(())
                    .ok_or_else(|| format!("{issue:?}"))
            })
            .await;
        }
    }

    async fn proposal(&self, token: &str) -> Result<v1::Proposal, Status> {
        let request = v1::GetProposalRequest {
            issue_id: APPROVED.to_owned(),
        };
        let mut intake = self.client.intake.clone();
        let answer = intake.get_proposal(with(token, request)).await?;
        Ok(answer.into_inner().proposal.expect("a proposal"))
    }

    /// Decides by an RPC of reviews.
    pub(super) async fn attack_review(&self, token: &str, rpc: &str) -> Result<(), Status> {
        let mut intake = self.client.intake.clone();
        match rpc {
            "IntakeService/ApproveIssue" => {
                let proposal = self.proposal(ADMIN).await.expect("GetProposal");
                let request = v1::ApproveIssueRequest {
                    issue_id: APPROVED.to_owned(),
                    new_version: proposal.new_version,
                    base_version: proposal.base_version,
                    comment: None,
                };
                intake.approve_issue(with(token, request)).await.map(drop)
            }
            "IntakeService/DeclineIssue" => {
                let request = v1::DeclineIssueRequest {
                    issue_id: DECLINED.to_owned(),
                    reason: "no".to_owned(),
                };
                intake.decline_issue(with(token, request)).await.map(drop)
            }
            _ => self.proposal(token).await.map(drop),
        }
    }
}

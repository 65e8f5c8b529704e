//! Reviews: reads, approves and declines what an issue proposes.

use proto::v1;
use shared::blueprint::diff as difference;
use shared::domain::actor::Actor;
use shared::domain::issue::{Issue, IssueState, RejectionCause};
use shared::domain::proposal::{Approval, MAX_REVIEW_TEXT_BYTES, Proposal};
use shared::domain::version_selector::VersionSelector;
use shared::fail_point;
use shared::ids::{IssueId, Version};
use shared::store::{ApproveOutcome, DeclineOutcome, ProposalLookup, Store};

use crate::backend::no_issue;
use crate::convert::{self, text, timestamp};
use crate::edge::auth_layer::Reviewer;
use crate::error::request_error::RequestError;
use crate::error::violations::Violations;
use crate::issues::convert::issue_to_wire;
use crate::log::convert::{usage_to_wire, verdict_to_wire};

/// Maximum size of a proposal's texts: 3 MiB.
const MAX_PROPOSAL_BYTES: usize = 3 * 1024 * 1024;

/// Implements `GetProposal`.
///
/// # Errors
/// The issue is not found or not in review, or the response is too large.
pub(crate) async fn get(
    store: &Store,
    request: v1::GetProposalRequest,
) -> Result<v1::GetProposalResponse, RequestError> {
    let issue_id = convert::issue_id(&request.issue_id)?;
    let proposal = match store.proposal(&issue_id).await? {
        ProposalLookup::Found(proposal) => *proposal,
        ProposalLookup::NotInReview(issue) => return Err(not_in_review(issue)),
        ProposalLookup::NotFound => return Err(no_issue(store, issue_id).await),
    };
    let unified_diff = diff(store, &proposal).await?;
    let proposal = proposal_to_wire(proposal, unified_diff);
    let bytes = prost::Message::encoded_len(&proposal);
    if bytes > MAX_PROPOSAL_BYTES {
        return Err(RequestError::AnswerTooLarge {
            bytes,
            limit: MAX_PROPOSAL_BYTES,
        });
    }
    Ok(v1::GetProposalResponse {
        proposal: Some(proposal),
    })
}

/// Returns the unified diff of the proposed document against its base.
async fn diff(store: &Store, proposal: &Proposal) -> Result<String, RequestError> {
    let (id, base) = (&proposal.blueprint_id, &proposal.base_version);
    let selector = VersionSelector::Fixed(base.clone());
    let Some(base) = store.of(id).blueprint(id, &selector).await? else {
        return Err(RequestError::NoSuchVersion {
            blueprint_id: id.clone(),
            version: base.clone(),
            field: "base_version",
        });
    };
    let (before, after) = (
        format!("{id} {}", proposal.base_version),
        format!("{id} {}", proposal.version),
    );
    let document = proposal.document.clone();
    // Comparing large documents would block the other calls of this thread.
    let compared = tokio::task::spawn_blocking(move || {
        difference::unified(base.blueprint.canonical_yaml(), &document, &before, &after)
    });
    Ok(compared.await.expect("comparing documents does not panic"))
}

/// Implements `ApproveIssue` for `reviewer`.
///
/// # Errors
/// A field is invalid. The issue is not found, not in review, or proposes something else. The head
/// has moved, or the reviewer submitted the issue.
pub(crate) async fn approve(
    store: &Store,
    request: v1::ApproveIssueRequest,
    reviewer: Reviewer,
) -> Result<v1::ApproveIssueResponse, RequestError> {
    let mut violations = Violations::default();
    let issue_id = violations.merge(convert::issue_id(&request.issue_id));
    let new_version = violations.check("new_version", Version::parse(&request.new_version));
    let base_version = violations.check("base_version", Version::parse(&request.base_version));
    let comment = request.comment.unwrap_or_default();
    let comment = violations.check("comment", within_limit(comment));
    let (Some(issue_id), Some(new_version), Some(base_version), Some(comment)) =
        (issue_id, new_version, base_version, comment)
    else {
        return Err(violations.into());
    };
    let approval = Approval {
        new_version,
        base_version,
        comment,
        by: reviewer.actor,
        is_authenticated: reviewer.is_authenticated,
    };
    let approved = store.approve_issue(&issue_id, &approval).await?;
    fail_point::pass("approve.after");
    Err(match approved {
        ApproveOutcome::Approved(issue) => {
            return Ok(v1::ApproveIssueResponse {
                issue: Some(issue_to_wire(issue)),
            });
        }
        ApproveOutcome::HeadMoved(issue) => RequestError::ProposalBaseMoved {
            issue_id,
            blueprint_id: issue.blueprint_id,
        },
        ApproveOutcome::OtherProposal(_) => changed(store, issue_id).await,
        ApproveOutcome::NotInReview(issue) => not_in_review(issue),
        ApproveOutcome::SelfReview => RequestError::SelfReview {
            issue_id,
            actor: approval.by,
        },
        ApproveOutcome::Archived => archived(store, issue_id).await,
        ApproveOutcome::OrbitNeedsAdmin(issue) => RequestError::BecameOrbit {
            blueprint_id: issue.blueprint_id,
            reason: issue.reason,
        },
        ApproveOutcome::NotFound => no_issue(store, issue_id).await,
    })
}

/// Returns the error for an approval of another proposal than the present one, which it names.
async fn changed(store: &Store, issue_id: IssueId) -> RequestError {
    match store.proposal(&issue_id).await {
        Ok(ProposalLookup::Found(proposal)) => RequestError::ProposalChanged {
            issue_id,
            new_version: proposal.version,
            base_version: proposal.base_version,
        },
        Ok(ProposalLookup::NotInReview(issue)) => not_in_review(issue),
        Ok(ProposalLookup::NotFound) => no_issue(store, issue_id).await,
        Err(error) => error.into(),
    }
}

/// Returns the error for an issue whose Blueprint is archived.
async fn archived(store: &Store, issue_id: IssueId) -> RequestError {
    match store.issue(&issue_id).await {
        Ok(Some(issue)) => RequestError::BlueprintArchived(issue.blueprint_id),
        Ok(None) => no_issue(store, issue_id).await,
        Err(error) => error.into(),
    }
}

/// Implements `DeclineIssue` for `reviewer`.
///
/// # Errors
/// A field is invalid, or the issue is not found or not in review.
pub(crate) async fn decline(
    store: &Store,
    request: v1::DeclineIssueRequest,
    reviewer: &Actor,
) -> Result<v1::DeclineIssueResponse, RequestError> {
    let mut violations = Violations::default();
    let issue_id = violations.merge(convert::issue_id(&request.issue_id));
    let reason = violations.check("reason", reason(request.reason));
    let Some((issue_id, reason)) = issue_id.zip(reason) else {
        return Err(violations.into());
    };
    let declined = store.decline_issue(&issue_id, &reason, reviewer).await?;
    fail_point::pass("decline.after");
    Err(match declined {
        DeclineOutcome::Declined(issue) => {
            return Ok(v1::DeclineIssueResponse {
                issue: Some(issue_to_wire(issue)),
            });
        }
        DeclineOutcome::NotInReview(issue) => not_in_review(issue),
        DeclineOutcome::NotFound => no_issue(store, issue_id).await,
    })
}

/// Returns the error for an issue that proposes nothing.
fn not_in_review(issue: Issue) -> RequestError {
    let issue_id = issue.issue_id;
    match (issue.state, issue.cause, &issue.decided_by) {
        // Only an expiry declines without an actor.
        (IssueState::Rejected, Some(RejectionCause::Declined), None) => {
            RequestError::ProposalExpired(issue_id)
        }
        (state, cause, _) if state.is_terminal() => RequestError::ReviewDecided {
            issue_id,
            state,
            cause,
        },
        (state, _, _) => RequestError::IssueNotInReview { issue_id, state },
    }
}

/// Parses the reason of a decline.
fn reason(given: String) -> Result<String, String> {
    if given.trim().is_empty() {
        return Err("is empty; say in plain words why the change is declined".to_owned());
    }
    within_limit(given)
}

fn within_limit(given: String) -> Result<String, String> {
    match given.len() {
        bytes if bytes > MAX_REVIEW_TEXT_BYTES => Err(format!(
            "has {bytes} bytes; the limit is {MAX_REVIEW_TEXT_BYTES} (4 KiB)"
        )),
        _ => Ok(given),
    }
}

fn proposal_to_wire(proposal: Proposal, unified_diff: String) -> v1::Proposal {
    v1::Proposal {
        issue_id: proposal.issue_id.to_string(),
        blueprint_id: proposal.blueprint_id.to_string(),
        new_version: proposal.version.to_string(),
        base_version: proposal.base_version.to_string(),
        base_seq: proposal.base_seq,
        head_moved: proposal.head_moved,
        json_patch: proposal.patch_json,
        unified_diff,
        document_yaml: proposal.document,
        rationale: proposal.rationale,
        verdicts: proposal.verdicts.into_iter().map(verdict_to_wire).collect(),
        reasons: proposal.reasons,
        usage: Some(usage_to_wire(proposal.usage)),
        intent: proposal.intent,
        submitted_by: text(proposal.submitted_by),
        proposed_at: Some(timestamp(proposal.proposed_at_ms)),
        expires_at: proposal.expires_at_ms.map(timestamp),
        round: proposal.round,
        allow_self_review: proposal.allow_self_review,
    }
}

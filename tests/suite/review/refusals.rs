//! Every other refusal of the RPCs of reviews, with its reason.

use proto::v1;
use proto::v1::{IssueState, RejectionCause};
use tonic::Code;

use super::stage::{ALICE, BOB, OPS, REVIEWER, SUBMITTER, Stage, TARGET, metadata, reason, with};

#[tokio::test]
async fn a_submitter_decides_nothing() {
    let stage = Stage::start().await;
    let proposal = stage.propose(ALICE, "tag calm").await;
    for token in [ALICE, SUBMITTER] {
        let approved = stage.approve(token, &proposal).await;
        let declined = stage.decline(token, &proposal.issue_id, "no").await;
        for answer in [approved, declined] {
            let refused = answer.expect_err("a submitter decides nothing");
            assert_eq!(refused.code(), Code::PermissionDenied);
            assert_eq!(reason(&refused), "SCOPE_TOO_NARROW");
            assert_eq!(metadata(&refused, "needed"), "review");
        }
    }
    let issue = stage.issue(&proposal.issue_id).await;
    assert_eq!(issue.state(), IssueState::InReview);
    // A reviewer submits, and writes nothing past the review.
    let mut blueprints = stage.rig.client.blueprints.clone();
    let put = blueprints
        .put_blueprint(with(BOB, v1::PutBlueprintRequest::default()))
        .await;
    assert_eq!(
        reason(&put.expect_err("a reviewer is no admin")),
        "SCOPE_TOO_NARROW"
    );
    stage.submit(REVIEWER, "tag more").await;
}

#[tokio::test]
async fn what_is_decided_or_not_proposed_is_not_approved() {
    let mut stage = Stage::start().await;
    let refused = |answer: Result<v1::Issue, tonic::Status>| {
        let status = answer.expect_err("a refusal");
        (reason(&status), status)
    };
    // Cancelled, by its submitter.
    let proposal = stage.propose(ALICE, "tag calm").await;
    let cancelled = stage.cancel(ALICE, &proposal.issue_id).await;
    assert_eq!(cancelled.cause(), RejectionCause::Cancelled);
    assert_eq!(cancelled.decided_by, "alice");
    for answer in [
        stage.approve(BOB, &proposal).await,
        stage.decline(BOB, &proposal.issue_id, "no").await,
        stage
            .proposal(&proposal.issue_id)
            .await
            .map(|_| cancelled.clone()),
    ] {
        let (found, status) = refused(answer);
        assert_eq!(
            (found.as_str(), status.code()),
            ("ISSUE_DECIDED", Code::FailedPrecondition)
        );
        assert_eq!(metadata(&status, "cause"), "cancelled");
    }

    // Expired.
    stage
        .put_setting(|setting| setting.review_ttl_secs = Some(1))
        .await;
    let proposal = stage.propose(ALICE, "tag late").await;
    let is_rejected = |issue: &v1::Issue| issue.state() == IssueState::Rejected;
    let expired = stage
        .until(&proposal.issue_id, "declined", is_rejected)
        .await;
    assert_eq!(expired.cause(), RejectionCause::Declined);
    assert_eq!(
        (expired.reason.as_str(), expired.decided_by.as_str()),
        ("no review within 1 second", "")
    );
    let entry = stage.entry(&proposal.issue_id).await;
    assert_eq!(
        (entry.cause.as_str(), entry.decided_by.as_str()),
        ("declined", "")
    );
    let (found, status) = refused(stage.approve(BOB, &proposal).await);
    assert_eq!(
        (found.as_str(), status.code()),
        ("PROPOSAL_EXPIRED", Code::FailedPrecondition)
    );
    let gone = stage
        .proposal(&proposal.issue_id)
        .await
        .expect_err("it is decided");
    assert_eq!(reason(&gone), "PROPOSAL_EXPIRED");

    // Expired, and no worker has declined it yet.
    let proposal = stage.propose(ALICE, "tag later").await;
    stage.rig.workers.clear();
    let at = proposal.expires_at.expect("a time");
    tests::eventually::eventually("the proposal is due", async || {
        let now = stage.stats().await.now.expect("a time");
        let is_due = (now.seconds, now.nanos) > (at.seconds, at.nanos);
        is_due.then_some(()).ok_or_else(|| format!("{now:?}"))
    })
    .await;
    let (found, _) = refused(stage.approve(BOB, &proposal).await);
    assert_eq!(found, "PROPOSAL_EXPIRED");
    assert_eq!(
        stage.issue(&proposal.issue_id).await.cause(),
        RejectionCause::Declined
    );

    // Waiting: nothing is proposed yet.
    let waiting = stage.submit(ALICE, "tag waits").await;
    let not_yet = v1::Proposal {
        issue_id: waiting.clone(),
        ..proposal.clone()
    };
    for answer in [
        stage.approve(BOB, &not_yet).await,
        stage.decline(BOB, &waiting, "no").await,
    ] {
        let (found, status) = refused(answer);
        assert_eq!(
            (found.as_str(), status.code()),
            ("ISSUE_NOT_IN_REVIEW", Code::FailedPrecondition)
        );
        assert_eq!(metadata(&status, "state"), "pending");
    }
    let unknown = v1::Proposal {
        issue_id: "nobody".to_owned(),
        ..proposal
    };
    let (found, status) = refused(stage.approve(BOB, &unknown).await);
    assert_eq!(
        (found.as_str(), status.code()),
        ("ISSUE_NOT_FOUND", Code::NotFound)
    );
}

#[tokio::test]
async fn an_archived_blueprint_takes_no_approval() {
    let stage = Stage::start().await;
    let proposal = stage.propose(ALICE, "tag calm").await;
    let mut blueprints = stage.rig.client.blueprints.clone();
    let archive = v1::ArchiveBlueprintRequest {
        blueprint_id: TARGET.to_owned(),
    };
    let archived = blueprints.archive_blueprint(with(OPS, archive)).await;
    archived.expect("ArchiveBlueprint");
    let refused = stage.approve(BOB, &proposal).await.expect_err("archived");
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::FailedPrecondition, "BLUEPRINT_ARCHIVED")
    );
    let unarchive = v1::UnarchiveBlueprintRequest {
        blueprint_id: TARGET.to_owned(),
    };
    let restored = blueprints.unarchive_blueprint(with(OPS, unarchive)).await;
    restored.expect("UnarchiveBlueprint");
    stage.approve(BOB, &proposal).await.expect("ApproveIssue");
}

//! An approval of a change whose base is no longer the head.

use proto::v1::IssueState;
use tests::factory;
use tonic::Code;

use super::stage::{ALICE, BOB, Stage, TARGET, metadata, reason};

#[tokio::test]
async fn a_stale_approval_returns_as_a_new_proposal() {
    let stage = Stage::start().await;
    let first = stage.propose(ALICE, "tag calm").await;
    // The head moves while bob reads.
    let document = factory::small(TARGET).replace("sample guarded", "another description");
    let moved = stage.put(document).await;
    let seen = stage.proposal(&first.issue_id).await.expect("GetProposal");
    assert!(seen.head_moved);
    assert_eq!(
        (&seen.new_version, &seen.unified_diff),
        (&first.new_version, &first.unified_diff)
    );

    let refused = stage
        .approve(BOB, &first)
        .await
        .expect_err("a stale approval");
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Aborted, "PROPOSAL_STALE")
    );
    assert_eq!(metadata(&refused, "blueprint_id"), TARGET);
    let head = stage.head().await;
    assert_eq!(
        head.commit.expect("a commit").version,
        moved.version,
        "nothing was committed"
    );

    let issue = stage
        .until(&first.issue_id, "in review again", |issue| {
            issue.state() == IssueState::InReview && issue.attempt > 1
        })
        .await;
    assert_eq!(issue.decided_by, "");
    let second = stage.proposal(&first.issue_id).await.expect("GetProposal");
    assert_eq!(
        (second.base_version.as_str(), second.round),
        (moved.version.as_str(), 2)
    );
    assert!(!second.head_moved);
    assert_eq!(second.json_patch, first.json_patch, "the same patch");
    assert_ne!(second.new_version, first.new_version);
    // The diff is that of the change on the new head: what moved the head is not part of it.
    assert!(second.unified_diff.contains("+  - calm\n"), "{second:?}");
    assert!(
        !second.unified_diff.contains("+  description"),
        "{second:?}"
    );
    assert!(
        second.document_yaml.contains("another description"),
        "{second:?}"
    );

    // Whoever read the first proposal approves nothing by it.
    let refused = stage
        .approve(BOB, &first)
        .await
        .expect_err("the first proposal");
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::Aborted, "PROPOSAL_STALE")
    );
    assert_eq!(metadata(&refused, "new_version"), second.new_version);
    assert_eq!(metadata(&refused, "base_version"), second.base_version);
    let approved = stage.approve(BOB, &second).await.expect("ApproveIssue");
    assert_eq!(approved.new_version, second.new_version);
    assert_eq!(stage.head().await.document_yaml, second.document_yaml);
}

/// A call that names another version than the proposal's commits nothing.
#[tokio::test]
async fn an_approval_of_other_versions_commits_nothing() {
    let stage = Stage::start().await;
    let proposal = stage.propose(ALICE, "tag calm").await;
    let before = stage.head().await;
    let mut other_version = proposal.clone();
    other_version.new_version = "0".repeat(64);
    let mut other_base = proposal.clone();
    other_base.base_version = "0".repeat(64);
    for other in [other_version, other_base] {
        let refused = stage
            .approve(BOB, &other)
            .await
            .expect_err("other versions");
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::Aborted, "PROPOSAL_STALE")
        );
        assert_eq!(metadata(&refused, "new_version"), proposal.new_version);
        assert_eq!(stage.head().await, before);
    }
    let issue = stage.issue(&proposal.issue_id).await;
    assert_eq!(issue.state(), IssueState::InReview);
    stage.approve(BOB, &proposal).await.expect("ApproveIssue");
}

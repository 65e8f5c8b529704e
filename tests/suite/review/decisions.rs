//! Approvals and declines: what they commit, and what records them.

use proto::v1;
use proto::v1::{IssueState, RejectionCause};
use tests::events::{ALL_CHANNEL, Events};
use tonic::Code;

use super::stage::{ALICE, BOB, OPS, REVIEWER, Stage, TARGET, reason, with};

#[tokio::test]
async fn an_approval_commits_the_document_that_was_shown() {
    let stage = Stage::start().await;
    let before = stage.head().await;
    let issue_id = stage.submit(ALICE, "tag calm").await;
    let issue = stage.in_review(&issue_id).await;
    assert!(issue.reason.contains("human-review"), "{issue:?}");
    assert_eq!((issue.decided_by.as_str(), issue.cause), ("", 0));

    let proposal = stage.proposal(&issue_id).await.expect("GetProposal");
    let base = before.commit.expect("a commit");
    assert_eq!(
        (proposal.base_version.as_str(), proposal.base_seq),
        (base.version.as_str(), base.seq)
    );
    assert_eq!(
        (proposal.blueprint_id.as_str(), proposal.round),
        (TARGET, 1)
    );
    assert_eq!(
        (proposal.submitted_by.as_str(), proposal.intent.as_str()),
        ("alice", "tag calm")
    );
    assert!(!proposal.head_moved && !proposal.allow_self_review);
    assert!(
        proposal.unified_diff.contains("+  - calm\n"),
        "{proposal:?}"
    );
    assert!(proposal.json_patch.contains("calm"), "{proposal:?}");
    assert!(
        proposal.reasons[0].starts_with("human-review: "),
        "{proposal:?}"
    );
    let asks = proposal.verdicts.iter().filter(|v| v.status == "review");
    let asks: Vec<&str> = asks.map(|verdict| verdict.axis.as_str()).collect();
    assert_eq!(asks, ["human-review"]);
    let (made, ends) = (proposal.proposed_at, proposal.expires_at);
    let (made, ends) = (made.expect("a time"), ends.expect("a time"));
    assert_eq!(ends.seconds - made.seconds, 7 * 24 * 3600);
    assert_eq!(stage.head().await.document_yaml, before.document_yaml);

    let approved = stage.approve(BOB, &proposal).await.expect("ApproveIssue");
    assert_eq!(approved.state(), IssueState::Applied, "{approved:?}");
    assert_eq!(approved.new_version, proposal.new_version);
    assert_eq!(
        (approved.submitted_by.as_str(), approved.decided_by.as_str()),
        ("alice", "bob")
    );
    let head = stage.head().await;
    assert_eq!(head.document_yaml, proposal.document_yaml);
    let commit = head.commit.expect("a commit");
    assert_eq!(commit.version, proposal.new_version);
    assert_eq!(commit.parents, std::slice::from_ref(&proposal.base_version));
    assert_eq!(
        (
            commit.author.as_str(),
            commit.decided_by.as_str(),
            commit.comment.as_str()
        ),
        ("alice", "bob", "read twice")
    );
    let entry = stage.entry(&issue_id).await;
    assert_eq!(
        (
            entry.submitted_by.as_str(),
            entry.decided_by.as_str(),
            entry.comment.as_str()
        ),
        ("alice", "bob", "read twice")
    );
    assert_eq!(
        (entry.status.as_str(), &entry.new_hash),
        ("applied", &proposal.new_version)
    );
    assert_eq!(
        (entry.patch_json, entry.verdicts),
        (proposal.json_patch.clone(), proposal.verdicts.clone())
    );

    // A repeated call has the same answer, by whomever.
    for token in [BOB, OPS] {
        let again = stage.approve(token, &proposal).await;
        assert_eq!(again.expect("ApproveIssue"), approved);
    }
    let other = v1::Proposal {
        new_version: proposal.base_version.clone(),
        ..proposal.clone()
    };
    let refused = stage
        .approve(BOB, &other)
        .await
        .expect_err("another version");
    assert_eq!(reason(&refused), "ISSUE_DECIDED", "{refused:?}");
    let refused = stage.proposal(&issue_id).await.expect_err("it is decided");
    assert_eq!(reason(&refused), "ISSUE_DECIDED", "{refused:?}");
}

#[tokio::test]
async fn a_declined_issue_has_the_reason_of_its_reviewer() {
    let stage = Stage::start().await;
    let proposal = stage.propose(ALICE, "tag calm").await;
    let before = stage.head().await;
    let declined = stage
        .decline(BOB, &proposal.issue_id, "the tag is \"loud\"")
        .await;
    let declined = declined.expect("DeclineIssue");
    assert_eq!(
        (declined.state(), declined.cause()),
        (IssueState::Rejected, RejectionCause::Declined)
    );
    assert_eq!(
        (declined.reason.as_str(), declined.decided_by.as_str()),
        ("the tag is \"loud\"", "bob")
    );
    assert_eq!(stage.head().await, before);
    let entry = stage.entry(&proposal.issue_id).await;
    assert_eq!(
        (
            entry.cause.as_str(),
            entry.reasons,
            entry.decided_by.as_str()
        ),
        ("declined", vec!["the tag is \"loud\"".to_owned()], "bob")
    );
    assert_eq!(entry.patch_json, proposal.json_patch);
    // The first decline stays.
    let again = stage
        .decline(OPS, &proposal.issue_id, "another reason")
        .await;
    assert_eq!(again.expect("DeclineIssue"), declined);
    let refused = stage.approve(BOB, &proposal).await.expect_err("declined");
    assert_eq!(reason(&refused), "ISSUE_DECIDED", "{refused:?}");

    let request = v1::RetryIssueRequest {
        issue_id: proposal.issue_id.clone(),
        new_issue_id: None,
    };
    let mut intake = stage.rig.client.intake.clone();
    let retried = intake.retry_issue(with(ALICE, request)).await;
    let retried = retried.expect("RetryIssue").into_inner().issue;
    let retried = retried.expect("an issue").issue_id;
    stage.in_review(&retried).await;
}

/// Later issues of the Blueprint do not wait for a review, and every watcher sees the state.
#[tokio::test]
async fn a_review_is_seen_by_watchers_and_holds_nothing_up() {
    let stage = Stage::start().await;
    let mut events = Events::subscribe(&stage.rig.redis, ALL_CHANNEL).await;
    let first = stage.propose(ALICE, "tag first").await;
    let request = v1::WatchIssueRequest {
        issue_id: first.issue_id.clone(),
        ..Default::default()
    };
    let mut intake = stage.rig.client.intake.clone();
    let watching = intake.watch_issue(with(ALICE, request)).await;
    let mut watching = watching.expect("WatchIssue").into_inner();
    let mut next = async || {
        let message = watching.message().await.expect("a stream");
        message.map(|message| message.issue.expect("an issue").state())
    };
    assert_eq!(next().await, Some(IssueState::InReview));
    // A change that nobody has to review.
    stage
        .put_setting(|setting| {
            setting.verifier_axes.pop();
        })
        .await;
    let later = stage.submit(ALICE, "tag later").await;
    let later = stage.until(&later, "applied", |i| i.state() == IssueState::Applied);
    later.await;
    stage
        .decline(BOB, &first.issue_id, "no")
        .await
        .expect("DeclineIssue");
    assert_eq!(next().await, Some(IssueState::Rejected));
    assert_eq!(next().await, None, "the stream ends with the decision");
    let events = events.until_decided(&first.issue_id).await;
    let states: Vec<&str> = events
        .iter()
        .filter_map(|event| event["state"].as_str())
        .collect();
    assert_eq!(states, ["pending", "in_flight", "in_review", "rejected"]);
    let review = &events[2];
    assert!(
        review["reason"]
            .as_str()
            .is_some_and(|r| r.contains("human-review")),
        "{review}"
    );
    assert_eq!(events[3]["cause"], "declined");
}

/// Nobody approves their own issue, if intake knows who they are.
#[tokio::test]
async fn nobody_approves_their_own_issue() {
    let stage = Stage::start().await;
    let own = stage.propose(BOB, "tag own").await;
    let refused = stage.approve(BOB, &own).await.expect_err("a self-review");
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::PermissionDenied, "SELF_REVIEW")
    );
    assert!(refused.message().contains("bob"), "{refused:?}");
    stage.approve(OPS, &own).await.expect("ApproveIssue");
    let own = stage.propose(OPS, "tag admin").await;
    let refused = stage.approve(OPS, &own).await.expect_err("a self-review");
    assert_eq!(reason(&refused), "SELF_REVIEW");
    // A token without a name says nothing about its holder.
    stage.approve(REVIEWER, &own).await.expect("ApproveIssue");
    // One's own issue can be declined.
    let own = stage.propose(BOB, "tag mine").await;
    stage
        .decline(BOB, &own.issue_id, "a mistake")
        .await
        .expect("DeclineIssue");

    stage
        .put_setting(|setting| setting.allow_self_review = true)
        .await;
    let own = stage.propose(BOB, "tag allowed").await;
    assert!(own.allow_self_review);
    let approved = stage.approve(BOB, &own).await.expect("ApproveIssue");
    assert_eq!(
        (approved.submitted_by, approved.decided_by),
        ("bob".to_owned(), "bob".to_owned())
    );
}

//! The scripts of a review whose approval finds another head: the issue joins its queue again with
//! its stored patch.

use shared::domain::actor::Actor;
use shared::domain::issue::{Authority, Issue, IssueState};
use shared::domain::proposal::{Approval, StoredPatch};
use shared::store::{
    ApproveOutcome, CancelOutcome, Claimed, IssueRef, NextClaim, PendingIssue, ProposalLookup,
    SettleOutcome,
};
use tests::store_fixture::{
    Fixture, How, LONG, fault, log_of, marked, new_issue, proposed, worker_id,
};

async fn approval(fixture: &Fixture, issue: &IssueRef) -> Approval {
    let found = fixture.whole.proposal(&issue.issue_id).await;
    let ProposalLookup::Found(proposal) = found.expect("the store answers") else {
        panic!("no proposal of {issue:?}");
    };
    Approval {
        new_version: proposal.version,
        base_version: proposal.base_version,
        comment: String::new(),
        by: Actor::parse("Reviewer").expect("an actor"),
        is_authenticated: true,
    }
}

/// Proposes the ready issue.
async fn propose(fixture: &Fixture) -> Claimed {
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    let outcome = fixture.step(fixture.settle(&claimed, How::Review)).await;
    assert_eq!(outcome, SettleOutcome::Settled(IssueState::InReview));
    claimed
}

async fn approve(fixture: &Fixture, issue: &IssueRef, approval: &Approval) -> ApproveOutcome {
    let call = fixture.whole.approve_issue(&issue.issue_id, approval);
    fixture.step(call).await
}

/// Approves after a move of the head.
async fn join_again(fixture: &Fixture, issue: &IssueRef) -> (Approval, Issue) {
    let seen = approval(fixture, issue).await;
    let head = fixture
        .store
        .summary(&issue.blueprint_id)
        .await
        .expect("a head");
    let mark = format!("by hand over {}", head.expect("a head").head);
    fixture.put(&marked("a", &mark, "")).await;
    match approve(fixture, issue, &seen).await {
        ApproveOutcome::HeadMoved(found) => (seen, found),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_moved_head_sends_the_stored_patch_to_the_queue() {
    let fixture = Fixture::with(&["a"]).await;
    let issue = fixture.submit("a", "i").await;
    let first = propose(&fixture).await;
    let (seen, found) = join_again(&fixture, &issue).await;
    assert_eq!(found, fixture.issue(&issue).await);
    assert_eq!(found.state, IssueState::Pending);
    assert!(found.reason.contains("head moved"), "{found:?}");
    let keys = fixture.store.keys();
    for key in [keys.in_review(), keys.review_due()] {
        let is_there: i64 = fixture.raw(&["EXISTS", &key]).await;
        assert_eq!(is_there, 0, "{key}");
    }
    let key = keys.issue(&issue.issue_id);
    let of_runs = [
        "HMGET", &key, "token", "nonce", "alone", "deaths", "retries",
    ];
    let left: Vec<Option<String>> = fixture.raw(&of_runs).await;
    assert!(left.iter().all(Option::is_none), "{left:?}");
    // The reply was lost; the earlier worker is no longer the holder.
    let call = fixture.whole.approve_issue(&issue.issue_id, &seen);
    let again = fixture.refused(call).await;
    assert_eq!(again, ApproveOutcome::HeadMoved(found));
    let outcome = fixture.refused(fixture.settle(&first, How::Review)).await;
    assert_eq!(outcome, SettleOutcome::Stale);

    let log = log_of(&first, How::Review, &proposed("a", "i", 1));
    let patch = StoredPatch {
        reply_json: r#"{"bump":"patch","ops":[],"rationale":"why"}"#.to_owned(),
        usage: log.usage,
    };
    // A fault does not lose the patch.
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    assert_eq!(claimed.stored_patch.as_ref(), Some(&patch));
    assert_eq!((claimed.attempt, claimed.head.seq), (2, 2));
    let later = fault(0);
    let call = fixture.store.release(&claimed.lease, &later);
    fixture.step(call).await;
    fixture.step(fixture.store.promote(&issue)).await;
    let call = fixture.whole.approve_issue(&issue.issue_id, &seen);
    let again = fixture.refused(call).await;
    assert!(matches!(again, ApproveOutcome::HeadMoved(_)), "{again:?}");

    let claimed = propose(&fixture).await;
    assert_eq!(claimed.stored_patch.as_ref(), Some(&patch));
    let outcome = fixture.whole.proposal(&issue.issue_id).await.unwrap();
    let ProposalLookup::Found(proposal) = outcome else {
        panic!("no proposal");
    };
    assert_eq!((proposal.round, proposal.base_seq), (2, 2));
    assert!(!proposal.head_moved);
    let call = fixture.whole.approve_issue(&issue.issue_id, &seen);
    let outcome = fixture.refused(call).await;
    assert!(
        matches!(outcome, ApproveOutcome::OtherProposal(_)),
        "{outcome:?}"
    );
    let seen = approval(&fixture, &issue).await;
    let outcome = approve(&fixture, &issue, &seen).await;
    assert!(
        matches!(outcome, ApproveOutcome::Approved(_)),
        "{outcome:?}"
    );
    let head = fixture.store.summary(&issue.blueprint_id).await.unwrap();
    assert_eq!(head.expect("a head").head, seen.new_version);
}

#[tokio::test]
async fn a_head_that_came_back_has_moved() {
    let fixture = Fixture::with(&["a"]).await;
    let issue = fixture.submit("a", "i").await;
    propose(&fixture).await;
    let seen = approval(&fixture, &issue).await;
    fixture.put(&marked("a", "other", "")).await;
    fixture.put(&marked("a", "first", "1.0.0")).await;
    let head = fixture.store.summary(&issue.blueprint_id).await.unwrap();
    assert_eq!(head.expect("a head").head, seen.base_version);
    let outcome = approve(&fixture, &issue, &seen).await;
    assert!(
        matches!(outcome, ApproveOutcome::HeadMoved(_)),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn an_issue_that_joined_again_is_cancelled_behind_another() {
    let fixture = Fixture::with(&["a"]).await;
    let issue = fixture.submit("a", "i").await;
    propose(&fixture).await;
    fixture.submit("a", "next").await;
    join_again(&fixture, &issue).await;
    assert_eq!(fixture.pending().await, ["a/next"]);
    // It is found where it joined.
    let found = PendingIssue::of(&fixture.issue(&issue).await);
    let waiting = fixture.whole.waiting(&[found]).await.unwrap();
    assert!(matches!(&waiting[..], [(_, Some(_))]), "{waiting:?}");
    let call = fixture
        .store
        .cancel_issue(&issue.issue_id, Authority::Admin);
    let outcome = fixture.step(call).await;
    assert!(
        matches!(outcome, CancelOutcome::Cancelled(_)),
        "{outcome:?}"
    );
    let key = fixture.store.keys().backlog(&issue.blueprint_id);
    let left: i64 = fixture.raw(&["LLEN", &key]).await;
    assert_eq!(left, 1);
}

#[tokio::test]
async fn a_stored_patch_is_handed_over_too() {
    let fixture = Fixture::with(&["a"]).await;
    let issue = fixture.submit("a", "i").await;
    propose(&fixture).await;
    fixture.submit("a", "next").await;
    join_again(&fixture, &issue).await;
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    assert_eq!(claimed.stored_patch, None);
    let next = NextClaim {
        nonce: "n",
        lease_ms: LONG,
        known: None,
        yields: false,
    };
    let settling = fixture.settle_with(&claimed, How::Denied, Some(&next));
    let (_, handed) = fixture.step(settling).await;
    let handed = handed.expect("the issue that joined again");
    assert_eq!(handed.lease.issue, issue);
    assert!(handed.stored_patch.is_some());
}

#[tokio::test]
async fn an_orbit_is_tried_again_after_a_change_of_settings() {
    let fixture = Fixture::with(&["b"]).await;
    fixture.put(&proposed("a", "first", 0)).await;
    fixture.set_orbit("a", true, false).await;
    let new = new_issue("a", "i").on_authority(Authority::Admin);
    fixture.step(fixture.store.submit(&new)).await;
    let claimed = propose(&fixture).await;
    let issue = claimed.lease.issue;
    let seen = approval(&fixture, &issue).await;
    fixture.set_orbit("b", true, false).await;
    let outcome = approve(&fixture, &issue, &seen).await;
    assert!(
        matches!(outcome, ApproveOutcome::HeadMoved(_)),
        "{outcome:?}"
    );
    let counter = fixture.store.settings_counter().await.unwrap();
    let key = fixture.store.keys().blueprint(&issue.blueprint_id);
    let noted: String = fixture.raw(&["HGET", &key, "orbit_as_of"]).await;
    assert_eq!(noted, format!("{counter} names-a"));

    propose(&fixture).await;
    let seen = approval(&fixture, &issue).await;
    let outcome = approve(&fixture, &issue, &seen).await;
    assert!(
        matches!(outcome, ApproveOutcome::Approved(_)),
        "{outcome:?}"
    );
    let after = fixture.store.settings_counter().await.unwrap();
    assert_eq!(after, counter + 1, "the workers read the new orbit");
}

//! The scripts of a review: the settle that proposes, approve, decline and expire. Tests each
//! outcome, and that a refused call changes nothing.

use shared::domain::actor::Actor;
use shared::domain::issue::{IssueState, RejectionCause};
use shared::domain::proposal::{Approval, Proposal, ReviewPolicy};
use shared::domain::version_selector::VersionSelector;
use shared::ids::Version;
use shared::store::{
    ApproveOutcome, Claimed, DeclineOutcome, IssueFilter, IssueRef, NextClaim, PageRequest,
    ProposalLookup, SettleOutcome,
};
use tests::store_fixture::{
    Fixture, How, LONG, PATCH_HASH, REVIEW, epoch_of, log_of, new_issue, proposed, review_of,
    worker_id,
};

pub(super) const COMMENT: &str = "Fine \"as\" it is.\n";

pub(super) fn actor(name: &str) -> Actor {
    Actor::parse(name).expect("an actor")
}

/// An approval of what an issue proposes, by somebody else.
pub(super) async fn approval(fixture: &Fixture, issue: &IssueRef) -> Approval {
    let proposal = proposal(fixture, issue).await;
    Approval {
        new_version: proposal.version,
        base_version: proposal.base_version,
        comment: COMMENT.to_owned(),
        by: actor("Reviewer"),
        is_authenticated: true,
    }
}

pub(super) async fn proposal(fixture: &Fixture, issue: &IssueRef) -> Proposal {
    let found = fixture.whole.proposal(&issue.issue_id).await;
    match found.expect("the store answers") {
        ProposalLookup::Found(proposal) => *proposal,
        other => panic!("no proposal of {issue:?}: {other:?}"),
    }
}

/// An issue in review under this policy.
pub(super) async fn in_review(
    fixture: &Fixture,
    issue: &str,
    policy: ReviewPolicy,
) -> (IssueRef, Claimed) {
    let issue = fixture.submit("a", issue).await;
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    let settlement = review_of(&claimed, policy);
    let settled = fixture.store.settle(&claimed.lease, &settlement);
    let outcome = fixture.step(settled).await;
    assert_eq!(outcome, SettleOutcome::Settled(IssueState::InReview));
    (issue, claimed)
}

pub(super) async fn approve(
    fixture: &Fixture,
    issue: &IssueRef,
    approval: &Approval,
) -> ApproveOutcome {
    let call = fixture.whole.approve_issue(&issue.issue_id, approval);
    fixture.step(call).await
}

pub(super) async fn refused(
    fixture: &Fixture,
    issue: &IssueRef,
    approval: &Approval,
) -> ApproveOutcome {
    let call = fixture.whole.approve_issue(&issue.issue_id, approval);
    fixture.refused(call).await
}

pub(super) async fn decline(fixture: &Fixture, issue: &IssueRef) -> DeclineOutcome {
    let by = actor("Reviewer");
    let call = fixture.whole.decline_issue(&issue.issue_id, "not now", &by);
    fixture.step(call).await
}

/// Moves the end of a review to the past.
pub(super) async fn fall_due(fixture: &Fixture, issue: &IssueRef) {
    let keys = fixture.store.keys();
    let (due, element) = (keys.review_due(), issue.element());
    let moved: i64 = fixture
        .raw(&["ZADD", &due, "XX", "CH", "1", &element])
        .await;
    assert_eq!(moved, 1, "only a proposal with a limit expires");
    let key = keys.proposal(&issue.issue_id);
    let _: i64 = fixture.raw(&["HSET", &key, "expires_at", "1"]).await;
}

pub(super) async fn inbox(fixture: &Fixture) -> Vec<String> {
    let filter = IssueFilter {
        state: Some(IssueState::InReview),
        ..IssueFilter::default()
    };
    let page = PageRequest {
        size: 10,
        after: None,
    };
    let page = fixture.store.list_issues(&filter, &page).await;
    let items = page.expect("the store answers").items.into_iter();
    items.map(|issue| issue.issue_id.to_string()).collect()
}

#[tokio::test]
async fn a_proposal_has_all_that_a_reviewer_needs() {
    let fixture = Fixture::with(&["a"]).await;
    let (issue, claimed) = in_review(&fixture, "i", ReviewPolicy::default()).await;
    let stored = fixture.issue(&issue).await;
    assert_eq!(
        (stored.state, stored.cause, stored.new_version.as_ref()),
        (IssueState::InReview, None, None)
    );
    assert_eq!(stored.reason, format!("needs a review: {REVIEW}"));
    let new = proposed("a", "i", 1);
    let log = log_of(&claimed, How::Review, &new);
    let at = stored.updated_at_ms;
    let expected = Proposal {
        issue_id: issue.issue_id.clone(),
        blueprint_id: issue.blueprint_id.clone(),
        intent: claimed.intent.clone(),
        submitted_by: claimed.submitted_by.clone(),
        version: new.version().clone(),
        document: new.canonical_yaml().to_string(),
        base_version: claimed.head.version.clone(),
        base_seq: 1,
        head_moved: false,
        patch_json: log.patch_json,
        rationale: log.rationale,
        verdicts: log.verdicts,
        reasons: vec![REVIEW.to_owned()],
        usage: log.usage,
        round: 1,
        allow_self_review: false,
        proposed_at_ms: at,
        expires_at_ms: Some(at + 7 * 24 * 3_600_000),
    };
    assert_eq!(proposal(&fixture, &issue).await, expected);
    assert_eq!(inbox(&fixture).await, ["i"]);
    let stats = fixture.store.queue_stats().await.unwrap();
    assert_eq!(
        (stats.in_review, stats.oldest_in_review_at_ms),
        (1, Some(at))
    );
    assert_eq!((stats.pending, stats.in_flight), (0, 0));
    let totals = fixture.store.totals().await.unwrap();
    assert_eq!(totals.get("proposed"), Some(&1));
    let entry = fixture.store.log_entry(&issue.issue_id).await.unwrap();
    assert_eq!(entry, None, "it is not decided");
}

#[tokio::test]
async fn a_settle_that_proposes_is_answered_again() {
    let fixture = Fixture::with(&["a"]).await;
    let (issue, claimed) = in_review(&fixture, "i", ReviewPolicy::default()).await;
    for how in [How::Review, How::Applied, How::Denied, How::Failed] {
        let again = fixture.refused(fixture.settle(&claimed, how)).await;
        assert_eq!(
            again,
            SettleOutcome::Settled(IssueState::InReview),
            "{how:?}"
        );
    }
    let approval = approval(&fixture, &issue).await;
    approve(&fixture, &issue, &approval).await;
    let again = fixture.refused(fixture.settle(&claimed, How::Review)).await;
    assert_eq!(again, SettleOutcome::Settled(IssueState::Applied));
}

#[tokio::test]
async fn later_issues_do_not_wait_for_a_review() {
    let fixture = Fixture::with(&["a"]).await;
    let first = fixture.submit("a", "i").await;
    fixture.submit("a", "next").await;
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    fixture.step(fixture.settle(&claimed, How::Review)).await;
    assert_eq!(fixture.pending().await, ["a/next"]);
    let next = fixture.take(&worker_id("w"), LONG).await;
    let outcome = fixture.step(fixture.settle(&next, How::Applied)).await;
    assert_eq!(outcome, SettleOutcome::Settled(IssueState::Applied));
    assert_eq!(fixture.place("a").await, "none");
    assert_eq!(fixture.issue(&first).await.state, IssueState::InReview);
    assert!(proposal(&fixture, &first).await.head_moved);
}

#[tokio::test]
async fn a_settle_that_proposes_hands_the_next_issue_over() {
    let fixture = Fixture::with(&["a"]).await;
    fixture.submit("a", "i").await;
    let second = fixture.submit("a", "next").await;
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    let next = NextClaim {
        nonce: "n",
        lease_ms: LONG,
        known: None,
        yields: false,
    };
    let settling = fixture.settle_with(&claimed, How::Review, Some(&next));
    let (outcome, handed) = fixture.step(settling).await;
    assert_eq!(outcome, SettleOutcome::Settled(IssueState::InReview));
    let handed = handed.expect("the next issue");
    assert_eq!(handed.lease.issue, second);
    assert_eq!((handed.head.seq, handed.stored_patch.as_ref()), (1, None));
    let settling = fixture.settle_with(&claimed, How::Review, Some(&next));
    let (_, again) = fixture.refused(settling).await;
    assert_eq!(again.expect("the same").lease, handed.lease);
}

#[tokio::test]
async fn the_guards_of_settle_hold_for_a_proposal() {
    let fixture = Fixture::with(&["a", "b", "c"]).await;
    fixture.submit("a", "moved").await;
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    fixture.put(&proposed("a", "other", 1)).await;
    let outcome = fixture.refused(fixture.settle(&claimed, How::Review)).await;
    assert!(
        matches!(outcome, SettleOutcome::MovedHead { .. }),
        "{outcome:?}"
    );

    let archived = fixture.submit("b", "archived").await;
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    fixture.set_archived("b", true).await;
    let outcome = fixture.step(fixture.settle(&claimed, How::Review)).await;
    assert_eq!(outcome, SettleOutcome::Archived);
    assert_eq!(
        fixture.issue(&archived).await.cause,
        Some(RejectionCause::Failed)
    );

    fixture.submit("c", "orbit").await;
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    fixture.set_orbit("c", true, true).await;
    let outcome = fixture.step(fixture.settle(&claimed, How::Review)).await;
    assert_eq!(outcome, SettleOutcome::OrbitNeedsAdmin);
}

#[tokio::test]
async fn an_approval_commits_what_was_seen() {
    let fixture = Fixture::with(&["a", "other"]).await;
    let (issue, claimed) = in_review(&fixture, "i", ReviewPolicy::default()).await;
    // Settings that change meanwhile do not matter for a Blueprint that is not an orbit.
    fixture.set_orbit("other", true, true).await;
    let approval = approval(&fixture, &issue).await;
    let ApproveOutcome::Approved(approved) = approve(&fixture, &issue, &approval).await else {
        panic!("not approved");
    };
    let new = proposed("a", "i", 1);
    assert_eq!(approved, fixture.issue(&issue).await);
    assert_eq!(
        (approved.state, approved.new_version.as_ref()),
        (IssueState::Applied, Some(new.version()))
    );
    assert_eq!(approved.reason, "");
    assert_eq!(approved.decided_by, Some(actor("Reviewer")));
    let mut expected = log_of(&claimed, How::Review, &new);
    (expected.attempt, expected.ts_ms) = (1, approved.updated_at_ms);
    (expected.decided_by, expected.comment) = (Some(actor("Reviewer")), COMMENT.to_owned());
    assert_eq!(fixture.log_entry(&issue).await, expected);
    let latest = VersionSelector::Latest;
    let head = fixture.store.blueprint(&issue.blueprint_id, &latest).await;
    let head = head.unwrap().expect("a head");
    let commit = &head.commit;
    assert_eq!(head.blueprint.canonical_yaml(), new.canonical_yaml());
    assert_eq!((commit.seq, &commit.version), (2, new.version()));
    assert_eq!(commit.parents, std::slice::from_ref(&claimed.head.version));
    assert_eq!(commit.author, claimed.submitted_by);
    assert_eq!(commit.decided_by, Some(actor("Reviewer")));
    assert_eq!(commit.comment, COMMENT);
    assert_eq!(commit.patch_hash, PATCH_HASH);
    assert_eq!(commit.issue_id.as_ref(), Some(&issue.issue_id));
    assert_eq!(commit.epoch, Some(epoch_of(&claimed)));
    assert_eq!(commit.committed_at_ms, approved.updated_at_ms);

    // The reply was lost.
    let again = refused(&fixture, &issue, &approval).await;
    assert_eq!(again, ApproveOutcome::Approved(approved));
}

#[tokio::test]
async fn an_approval_without_a_comment_stores_none() {
    let fixture = Fixture::with(&["a"]).await;
    let (issue, _) = in_review(&fixture, "i", ReviewPolicy::default()).await;
    let approval = Approval {
        comment: String::new(),
        ..approval(&fixture, &issue).await
    };
    approve(&fixture, &issue, &approval).await;
    assert_eq!(fixture.log_entry(&issue).await.comment, "");
    let key = fixture.store.keys().commits(&issue.blueprint_id);
    let commit: String = fixture.raw(&["HGET", &key, "2"]).await;
    assert!(!commit.contains("comment"), "{commit}");
}

#[tokio::test]
async fn an_approval_names_what_was_seen() {
    let fixture = Fixture::with(&["a"]).await;
    let (issue, _) = in_review(&fixture, "i", ReviewPolicy::default()).await;
    let right = approval(&fixture, &issue).await;
    for wrong in [
        Approval {
            new_version: Version::of("other"),
            ..right.clone()
        },
        Approval {
            base_version: Version::of("other"),
            ..right.clone()
        },
    ] {
        let outcome = refused(&fixture, &issue, &wrong).await;
        assert!(
            matches!(outcome, ApproveOutcome::OtherProposal(_)),
            "{outcome:?}"
        );
    }
    let outcome = approve(&fixture, &issue, &right).await;
    assert!(
        matches!(outcome, ApproveOutcome::Approved(_)),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn nobody_approves_their_own_issue() {
    let fixture = Fixture::with(&["a"]).await;
    let author = actor("Alice");
    let own = async |name: &str, policy| {
        let new = new_issue("a", name).submitted_by(author.clone());
        fixture.step(fixture.store.submit(&new)).await;
        let claimed = fixture.take(&worker_id("w"), LONG).await;
        let settlement = review_of(&claimed, policy);
        let settled = fixture.store.settle(&claimed.lease, &settlement);
        fixture.step(settled).await;
        let issue = claimed.lease.issue;
        let approval = approval(&fixture, &issue).await;
        (
            issue,
            Approval {
                by: author.clone(),
                ..approval
            },
        )
    };
    let strict = ReviewPolicy::default();
    let (issue, approval) = own("strict", strict).await;
    let outcome = refused(&fixture, &issue, &approval).await;
    assert_eq!(outcome, ApproveOutcome::SelfReview);
    // An actor that is only claimed proves nothing.
    let claimed = Approval {
        is_authenticated: false,
        ..approval
    };
    let outcome = approve(&fixture, &issue, &claimed).await;
    assert!(
        matches!(outcome, ApproveOutcome::Approved(_)),
        "{outcome:?}"
    );

    let lenient = ReviewPolicy {
        allow_self_review: true,
        ..strict
    };
    let (issue, approval) = own("lenient", lenient).await;
    let outcome = approve(&fixture, &issue, &approval).await;
    assert!(
        matches!(outcome, ApproveOutcome::Approved(_)),
        "{outcome:?}"
    );
}

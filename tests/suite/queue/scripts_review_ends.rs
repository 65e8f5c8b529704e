//! The scripts that end a review: approve, decline, cancel and expire, in any order. Tests each
//! outcome, and that a refused call changes nothing.

use shared::domain::issue::{Authority, Issue, IssueState, RejectionCause};
use shared::domain::proposal::{Approval, ReviewPolicy};
use shared::ids::{IssueId, Version};
use shared::store::{
    ApproveOutcome, CancelOutcome, DeclineOutcome, ExpireOutcome, IssueRef, ProposalLookup,
};
use tests::events::{ALL_CHANNEL, Events};
use tests::store_fixture::{Fixture, How, LONG, blueprint_id, log_of, proposed, worker_id};

use super::scripts_review::{
    actor, approval, approve, decline, fall_due, in_review, inbox, proposal, refused,
};

#[tokio::test]
async fn a_decline_rejects() {
    let fixture = Fixture::with(&["a"]).await;
    let (issue, claimed) = in_review(&fixture, "i", ReviewPolicy::default()).await;
    let DeclineOutcome::Declined(declined) = decline(&fixture, &issue).await else {
        panic!("not declined");
    };
    assert_eq!(declined, fixture.issue(&issue).await);
    assert_eq!(
        (declined.state, declined.cause, declined.reason.as_str()),
        (
            IssueState::Rejected,
            Some(RejectionCause::Declined),
            "not now"
        )
    );
    let mut expected = log_of(&claimed, How::Review, &proposed("a", "i", 1));
    (expected.attempt, expected.ts_ms) = (1, declined.updated_at_ms);
    (expected.new_hash, expected.cause) = (None, Some(RejectionCause::Declined));
    expected.reasons = vec!["not now".to_owned()];
    expected.decided_by = Some(actor("Reviewer"));
    assert_eq!(fixture.log_entry(&issue).await, expected);
    let totals = fixture.store.totals().await.unwrap();
    assert_eq!(totals.get("declined"), Some(&1));
    let by = actor("Another");
    let call = fixture.whole.decline_issue(&issue.issue_id, "again", &by);
    let again = fixture.refused(call).await;
    assert_eq!(again, DeclineOutcome::Declined(declined));
}

/// The issue after each way to end its review.
async fn decided(fixture: &Fixture, how: &str) -> (IssueRef, Approval, Issue) {
    let (issue, _) = in_review(fixture, how, ReviewPolicy::default()).await;
    let approval = approval(fixture, &issue).await;
    match how {
        "approved" => drop(approve(fixture, &issue, &approval).await),
        "declined" => drop(decline(fixture, &issue).await),
        "cancelled" => {
            let call = fixture
                .store
                .cancel_issue(&issue.issue_id, Authority::Admin);
            let outcome = fixture.step(call).await;
            assert!(
                matches!(outcome, CancelOutcome::Cancelled(_)),
                "{outcome:?}"
            );
        }
        _ => {
            fall_due(fixture, &issue).await;
            let outcome = fixture.step(fixture.store.expire_review(&issue)).await;
            assert_eq!(outcome, ExpireOutcome::Expired);
        }
    }
    let found = fixture.issue(&issue).await;
    (issue, approval, found)
}

const WAYS: [&str; 4] = ["approved", "declined", "cancelled", "expired"];

#[tokio::test]
async fn every_decision_ends_the_review() {
    for how in WAYS {
        let fixture = Fixture::with(&["a"]).await;
        let (issue, _, found) = decided(&fixture, how).await;
        assert!(found.state.is_terminal(), "{how}");
        let keys = fixture.store.keys();
        for key in [
            keys.in_review(),
            keys.review_due(),
            keys.proposal(&issue.issue_id),
        ] {
            let is_there: i64 = fixture.raw(&["EXISTS", &key]).await;
            assert_eq!(is_there, 0, "{how}: {key}");
        }
        let lookup = fixture.whole.proposal(&issue.issue_id).await.unwrap();
        assert_eq!(lookup, ProposalLookup::NotInReview(found), "{how}");
        // The queue goes on, and the counters are right.
        let (next, _) = in_review(&fixture, "next", ReviewPolicy::default()).await;
        assert_eq!(inbox(&fixture).await, [next.issue_id.as_str()], "{how}");
    }
}

#[tokio::test]
async fn an_approval_after_a_decision_changes_nothing() {
    for how in WAYS {
        let fixture = Fixture::with(&["a"]).await;
        let (issue, approval, found) = decided(&fixture, how).await;
        let other = Approval {
            new_version: Version::of("other"),
            ..approval.clone()
        };
        let outcome = refused(&fixture, &issue, &other).await;
        assert_eq!(outcome, ApproveOutcome::NotInReview(found.clone()), "{how}");
        if how != "approved" {
            let outcome = refused(&fixture, &issue, &approval).await;
            assert_eq!(outcome, ApproveOutcome::NotInReview(found), "{how}");
        }
    }
    // Applied without a review, and not proposed yet.
    let fixture = Fixture::with(&["a"]).await;
    let issue = fixture.submit("a", "i").await;
    let approval = Approval {
        new_version: Version::of("x"),
        base_version: Version::of("y"),
        comment: String::new(),
        by: actor("Reviewer"),
        is_authenticated: true,
    };
    let pending = refused(&fixture, &issue, &approval).await;
    assert!(
        matches!(pending, ApproveOutcome::NotInReview(_)),
        "{pending:?}"
    );
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    fixture.step(fixture.settle(&claimed, How::Applied)).await;
    let applied = refused(&fixture, &issue, &approval).await;
    assert!(
        matches!(applied, ApproveOutcome::NotInReview(_)),
        "{applied:?}"
    );
}

#[tokio::test]
async fn a_decline_after_a_decision_changes_nothing() {
    for how in WAYS {
        let fixture = Fixture::with(&["a"]).await;
        let (issue, _, found) = decided(&fixture, how).await;
        let by = actor("Late");
        let call = fixture.whole.decline_issue(&issue.issue_id, "late", &by);
        let outcome = fixture.refused(call).await;
        let expected = match how {
            "declined" | "expired" => DeclineOutcome::Declined(found),
            _ => DeclineOutcome::NotInReview(found),
        };
        assert_eq!(outcome, expected, "{how}");
    }
}

#[tokio::test]
async fn a_proposal_expires() {
    let fixture = Fixture::with(&["a"]).await;
    let policy = ReviewPolicy {
        ttl_secs: 3_600,
        ..ReviewPolicy::default()
    };
    let (issue, _) = in_review(&fixture, "i", policy).await;
    assert_eq!(fixture.store.due_reviews(9).await.unwrap(), []);
    let outcome = fixture.refused(fixture.store.expire_review(&issue)).await;
    assert_eq!(outcome, ExpireOutcome::Waits);
    fall_due(&fixture, &issue).await;
    let due = fixture.store.due_reviews(9).await.unwrap();
    assert_eq!(due, std::slice::from_ref(&issue));
    let outcome = fixture.step(fixture.store.expire_review(&issue)).await;
    assert_eq!(outcome, ExpireOutcome::Expired);
    let found = fixture.issue(&issue).await;
    assert_eq!(
        (found.cause, found.reason.as_str(), found.decided_by),
        (
            Some(RejectionCause::Declined),
            "no review within 1 hour",
            None
        )
    );
    let outcome = fixture.refused(fixture.store.expire_review(&issue)).await;
    assert_eq!(outcome, ExpireOutcome::Gone);
    // A leftover of the list is removed.
    let (key, element) = (fixture.store.keys().review_due(), issue.element());
    let _: i64 = fixture.raw(&["ZADD", &key, "1", &element]).await;
    fixture.step(fixture.store.expire_review(&issue)).await;

    // Without a worker, the reviewer finds it expired.
    for by_approval in [true, false] {
        let (issue, _) = in_review(&fixture, &format!("late-{by_approval}"), policy).await;
        let approval = approval(&fixture, &issue).await;
        fall_due(&fixture, &issue).await;
        if by_approval {
            let outcome = approve(&fixture, &issue, &approval).await;
            assert!(
                matches!(outcome, ApproveOutcome::NotInReview(_)),
                "{outcome:?}"
            );
        } else {
            decline(&fixture, &issue).await;
        }
        let found = fixture.issue(&issue).await;
        assert_eq!(found.reason, "no review within 1 hour");
        assert_eq!(found.decided_by, None);
    }

    let forever = ReviewPolicy {
        ttl_secs: 0,
        ..policy
    };
    let (issue, _) = in_review(&fixture, "forever", forever).await;
    assert_eq!(proposal(&fixture, &issue).await.expires_at_ms, None);
    let outcome = fixture.refused(fixture.store.expire_review(&issue)).await;
    assert_eq!(outcome, ExpireOutcome::Waits);
    assert_eq!(fixture.store.due_reviews(9).await.unwrap(), []);
}

#[tokio::test]
async fn an_archived_blueprint_waits_for_its_review() {
    let fixture = Fixture::with(&["a"]).await;
    let (issue, _) = in_review(&fixture, "i", ReviewPolicy::default()).await;
    let approval = approval(&fixture, &issue).await;
    fixture.set_archived("a", true).await;
    let outcome = refused(&fixture, &issue, &approval).await;
    assert_eq!(outcome, ApproveOutcome::Archived);
    fixture.set_archived("a", false).await;
    let outcome = approve(&fixture, &issue, &approval).await;
    assert!(
        matches!(outcome, ApproveOutcome::Approved(_)),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_blueprint_that_became_an_orbit_needs_an_admin() {
    let fixture = Fixture::with(&["a"]).await;
    let (issue, _) = in_review(&fixture, "i", ReviewPolicy::default()).await;
    let approval = approval(&fixture, &issue).await;
    fixture.set_orbit("a", true, true).await;
    let ApproveOutcome::OrbitNeedsAdmin(found) = approve(&fixture, &issue, &approval).await else {
        panic!("another outcome");
    };
    assert_eq!(found.cause, Some(RejectionCause::Failed));
    assert!(found.reason.contains("ORBIT_NEEDS_ADMIN"), "{found:?}");
    let entry = fixture.log_entry(&issue).await;
    assert_eq!(entry.reasons, [found.reason]);
    assert_eq!(entry.intent, found.intent);
    let commits = fixture.store.summary(&blueprint_id("a")).await.unwrap();
    assert_eq!(commits.expect("a head").head, approval.base_version);
}

#[tokio::test]
async fn an_issue_that_is_gone_is_not_found() {
    let fixture = Fixture::with(&["a"]).await;
    let (issue, _) = in_review(&fixture, "i", ReviewPolicy::default()).await;
    let approval = approval(&fixture, &issue).await;
    let unknown = IssueId::parse("unknown").unwrap();
    let call = fixture.whole.approve_issue(&unknown, &approval);
    assert_eq!(fixture.refused(call).await, ApproveOutcome::NotFound);
    let by = actor("Reviewer");
    let call = fixture.whole.decline_issue(&unknown, "no", &by);
    assert_eq!(fixture.refused(call).await, DeclineOutcome::NotFound);
    let found = fixture.whole.proposal(&unknown).await.unwrap();
    assert_eq!(found, ProposalLookup::NotFound);
    // It is pruned between the read and the script.
    for (script, own) in [
        (
            "approve_issue",
            serde_json::json!({ "new_version": "v", "base_version": "b", "by": "r", "comment": "",
                "is_authenticated": false, "refused_log": "{}" }),
        ),
        (
            "decline_issue",
            serde_json::json!({ "reason": "no", "by": "r" }),
        ),
    ] {
        let gone = tests::store_fixture::issue_ref("a", "gone");
        let outcome = tests::raw_script::outcome_for(&fixture.store, script, &gone, "-", own).await;
        assert_eq!(outcome.expect("an answer"), "not_found", "{script}");
    }
}

#[tokio::test]
async fn every_step_of_a_review_is_published() {
    let fixture = Fixture::with(&["a"]).await;
    let issue = fixture.submit("a", "i").await;
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    let mut all = Events::subscribe(&fixture.redis, ALL_CHANNEL).await;
    let mut heads = Events::subscribe(&fixture.redis, "draftsman:heads").await;
    let check = async |all: &mut Events, state: &str| {
        let (event, found) = (all.next().await, fixture.issue(&issue).await);
        assert_eq!(event["state"], state);
        assert_eq!(event["reason"], found.reason);
        assert_eq!(event["revision"], found.revision);
    };
    fixture.step(fixture.settle(&claimed, How::Review)).await;
    check(&mut all, "in_review").await;
    let seen = approval(&fixture, &issue).await;
    fixture.put(&proposed("a", "other", 1)).await;
    heads.next().await;
    approve(&fixture, &issue, &seen).await;
    check(&mut all, "pending").await;
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    check(&mut all, "in_flight").await;
    fixture.step(fixture.settle(&claimed, How::Review)).await;
    check(&mut all, "in_review").await;
    let seen = approval(&fixture, &issue).await;
    approve(&fixture, &issue, &seen).await;
    check(&mut all, "applied").await;
    let moved = heads.next().await;
    assert_eq!(
        (&moved["seq"], &moved["blueprint_id"]),
        (&3.into(), &"a".into())
    );
    assert_eq!(moved["version"], seen.new_version.as_str());

    let (other, _) = in_review(&fixture, "other", ReviewPolicy::default()).await;
    for _ in ["pending", "in_flight", "in_review"] {
        all.next().await;
    }
    decline(&fixture, &other).await;
    let event = all.next().await;
    assert_eq!(
        (&event["state"], &event["cause"]),
        (&"rejected".into(), &"declined".into())
    );
}

//! The settle that hands over the queue's next issue: what it leases, when it does not, and that it
//! repeats its answer.

use serde_json::Value;
use shared::domain::issue::{Authority, IssueState};
use shared::store::{ClaimOutcome, Claimed, IssueRef, NextClaim, ReapOutcome, SettleOutcome};
use tests::events::{Events, issue_channel};
use tests::store_fixture::{
    BESIDE, Fixture, How, LONG, OVER, issue_ref, marked, new_issue, worker_id,
};

/// A request for the next issue under this nonce.
fn next(nonce: &str) -> NextClaim<'_> {
    NextClaim {
        nonce,
        lease_ms: LONG,
        known: None,
        yields: false,
    }
}

/// Settles with a request for the next issue, which decides the issue.
async fn settle(
    fixture: &Fixture,
    claimed: &Claimed,
    how: How,
    next: &NextClaim<'_>,
) -> Option<Claimed> {
    let settling = fixture.settle_with(claimed, how, Some(next));
    let (outcome, handed_over) = fixture.step(settling).await;
    let state = if how == How::Applied {
        IssueState::Applied
    } else {
        IssueState::Rejected
    };
    assert_eq!(outcome, SettleOutcome::Settled(state));
    handed_over.map(|claimed| *claimed)
}

/// Settles again, which changes nothing.
async fn settle_again(
    fixture: &Fixture,
    claimed: &Claimed,
    next: &NextClaim<'_>,
) -> Option<Claimed> {
    let settling = fixture.settle_with(claimed, How::Applied, Some(next));
    let (outcome, handed_over) = fixture.refused(settling).await;
    assert_eq!(outcome, SettleOutcome::Settled(IssueState::Applied));
    handed_over.map(|claimed| *claimed)
}

async fn waits_since(fixture: &Fixture) -> Option<f64> {
    let waiting = fixture.store.keys().waiting();
    fixture.raw(&["ZSCORE", &waiting, "a"]).await
}

#[tokio::test]
async fn the_next_issue_is_leased_to_the_settler() {
    for how in [How::Applied, How::Denied, How::Failed, How::Dead] {
        let fixture = Fixture::with(&["a"]).await;
        let store = &fixture.store;
        let worker = worker_id("w");
        let first = fixture.submit("a", "i-1").await;
        let second = fixture.submit("a", "i-2").await;
        let third = fixture.submit("a", "i-3").await;
        let claimed = fixture.take(&worker, LONG).await;
        let handed = settle(&fixture, &claimed, how, &next("n-2")).await;
        let handed = handed.expect("the next issue");

        assert_eq!(handed.lease.issue, second);
        assert_eq!(handed.lease.worker_id, worker);
        assert_ne!(handed.lease.token, claimed.lease.token);
        assert!(handed.lease.token.ends_with("-n-2"), "{handed:?}");
        assert_eq!((handed.attempt, handed.retries), (1, 0));
        assert_eq!(handed.intent, new_issue("a", "i-2").intent());
        let found = fixture.issue(&second).await;
        assert_eq!(
            (found.state, found.attempt, found.worker_id.as_str()),
            (IssueState::InFlight, 1, "w")
        );
        assert_eq!(handed.submitted_at_ms, found.submitted_at_ms);
        assert_eq!(handed.claimed_at_ms, found.updated_at_ms);
        // The head after the decision.
        let (seq, mark) = match how {
            How::Applied => (2, "i-1"),
            _ => (1, "first"),
        };
        let label = if how == How::Applied {
            "1.0.1"
        } else {
            "1.0.0"
        };
        let head = marked("a", mark, label);
        assert_eq!(
            (handed.head.seq, &handed.head.version),
            (seq, head.version())
        );
        assert_eq!(
            handed.head.document.as_deref(),
            Some(&**head.canonical_yaml())
        );
        assert_eq!(fixture.place("a").await, "leased");
        assert_eq!(fixture.pending().await, [] as [&str; 0]);
        assert_eq!(
            store.processing("w").await.unwrap(),
            std::slice::from_ref(&second)
        );
        let stats = store.queue_stats().await.unwrap();
        assert_eq!((stats.pending, stats.ready, stats.in_flight), (1, 0, 1));
        let third_at = fixture.issue(&third).await.submitted_at_ms;
        assert_eq!(waits_since(&fixture).await, Some(third_at as f64));

        // It is settled like any other issue; the last issue of the queue has no successor.
        let last = settle(&fixture, &handed, How::Applied, &next("n-3")).await;
        let last = last.expect("the last issue");
        assert_eq!(last.lease.issue, third);
        assert_eq!(waits_since(&fixture).await, None);
        let none = settle(&fixture, &last, How::Denied, &next("n-4")).await;
        assert!(none.is_none(), "{none:?}");
        assert_eq!(fixture.place("a").await, "none");
        assert_eq!(store.processing("w").await.unwrap(), []);
        assert!(fixture.issue(&first).await.state.is_terminal());
    }
}

#[tokio::test]
async fn a_document_that_the_settler_has_is_not_sent() {
    let fixture = Fixture::with(&["a"]).await;
    for id in ["i-1", "i-2", "i-3"] {
        fixture.submit("a", id).await;
    }
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    let written = marked("a", "i-1", "1.0.1");
    let known = NextClaim {
        known: Some(written.version()),
        ..next("n-2")
    };
    let handed = settle(&fixture, &claimed, How::Applied, &known).await;
    let handed = handed.expect("the next issue");
    assert_eq!(&handed.head.version, written.version());
    assert_eq!(handed.head.document, None);
    // The document is not sent again either, unless the head has changed.
    let again = settle_again(&fixture, &claimed, &known).await;
    assert_eq!(again.expect("the same").head.document, None);
    let by_hand = marked("a", "by hand", "2.0.0");
    fixture.put(&by_hand).await;
    let again = settle_again(&fixture, &claimed, &known).await;
    let head = again.expect("the same").head;
    assert_eq!((head.seq, &head.version), (3, by_hand.version()));
    assert!(head.document.is_some());
}

#[tokio::test]
async fn what_was_handed_over_is_said_again_while_its_lease_stands() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let worker = worker_id("w");
    for id in ["i-1", "i-2", "i-3"] {
        fixture.submit("a", id).await;
    }
    let first = fixture.take(&worker, LONG).await;
    let asked = NextClaim {
        lease_ms: OVER,
        ..next("n-2")
    };
    let handed = settle(&fixture, &first, How::Applied, &asked).await;
    let handed = handed.expect("the next issue");
    let again = settle_again(&fixture, &first, &asked).await;
    let again = again.expect("the same lease");
    assert_eq!(again.lease, handed.lease);
    assert_eq!((again.attempt, &again.intent), (1, &handed.intent));
    // Another settle has not handed it over.
    assert!(settle_again(&fixture, &first, &next("n-x")).await.is_none());
    let unasked = fixture.refused(fixture.settle(&first, How::Applied)).await;
    assert_eq!(unasked, SettleOutcome::Settled(IssueState::Applied));

    // Once the lease is reaped, no worker holds it, and then another one does.
    let outcome = fixture.step(store.reap(&handed.lease.issue, 5, 0.0)).await;
    assert_eq!(outcome, ReapOutcome::Delayed(0));
    assert!(settle_again(&fixture, &first, &asked).await.is_none());
    fixture.step(store.promote(&handed.lease.issue)).await;
    let claimed = fixture.take(&worker, LONG).await;
    assert_eq!(claimed.lease.issue, handed.lease.issue);
    assert_eq!(claimed.attempt, 2);
    assert!(settle_again(&fixture, &first, &asked).await.is_none());
    let stale = fixture.refused(fixture.settle(&handed, How::Applied)).await;
    assert_eq!(stale, SettleOutcome::Stale);
    // Once it is decided, the queue's head is another issue.
    fixture.step(fixture.settle(&claimed, How::Denied)).await;
    assert!(settle_again(&fixture, &first, &asked).await.is_none());
}

/// Checks that the second of two issues is not handed over, after `before` ran during the first.
async fn is_not_handed_over(
    how: How,
    second: Authority,
    before: impl AsyncFn(&Fixture, &IssueRef),
) {
    let fixture = Fixture::with(&["a"]).await;
    fixture.submit_by_admin("a", "i-1").await;
    let new = new_issue("a", "i-2").on_authority(second);
    let _ = fixture.step(fixture.store.submit(&new)).await;
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    let issue = issue_ref("a", "i-2");
    before(&fixture, &issue).await;
    let handed = settle(&fixture, &claimed, how, &next("n-2")).await;
    assert!(handed.is_none(), "{handed:?}");
    assert_eq!(fixture.issue(&issue).await.attempt, 0);
}

#[tokio::test]
async fn what_a_claim_would_not_grant_is_placed() {
    // Paused: parked as by any decision.
    for name in ["a", "*"] {
        is_not_handed_over(How::Applied, Authority::Submitter, async |fixture, _| {
            fixture.pause(name).await;
        })
        .await;
    }
    // Archived, by a settle that does not check the head.
    is_not_handed_over(How::Failed, Authority::Submitter, async |fixture, _| {
        fixture.set_archived("a", true).await;
    })
    .await;
    // The target is an orbit by now, and the issue is not an admin's.
    is_not_handed_over(How::Denied, Authority::Submitter, async |fixture, _| {
        fixture.set_orbit("a", true, false).await;
    })
    .await;
    // Cancelled before: it is no longer in the queue.
    is_not_handed_over(
        How::Applied,
        Authority::Submitter,
        async |fixture, issue| {
            let cancel = fixture
                .store
                .cancel_issue(&issue.issue_id, Authority::Submitter);
            let _ = fixture.step(cancel).await;
        },
    )
    .await;
}

#[tokio::test]
async fn a_settler_that_yields_takes_nothing_while_another_queue_waits() {
    for (yields, is_waiting) in [(true, true), (true, false), (false, true)] {
        let fixture = Fixture::with(&["a", "b"]).await;
        for id in ["i-1", "i-2"] {
            fixture.submit("a", id).await;
        }
        let claimed = fixture.take(&worker_id("w"), LONG).await;
        if is_waiting {
            fixture.submit("b", "i-3").await;
        }
        let yielding = NextClaim {
            yields,
            ..next("n-2")
        };
        let handed = settle(&fixture, &claimed, How::Applied, &yielding).await;
        let is_placed = yields && is_waiting;
        assert_eq!(handed.is_none(), is_placed);
        if is_placed {
            assert_eq!(fixture.pending().await, ["b/i-3", "a/i-2"]);
        }
    }
}

#[tokio::test]
async fn an_issue_of_an_admin_is_handed_over_though_its_target_is_an_orbit() {
    let fixture = Fixture::with(&["a"]).await;
    for id in ["i-1", "i-2"] {
        fixture.submit_by_admin("a", id).await;
    }
    fixture.set_orbit("a", true, true).await;
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    let counter = fixture.store.settings_counter().await.unwrap();
    let handed = settle(&fixture, &claimed, How::Applied, &next("n-2")).await;
    let handed = handed.expect("the next issue");
    // The first issue has changed the orbit: the worker must read it again.
    assert_eq!(handed.settings_counter, counter + 1);
}

#[tokio::test]
async fn a_next_issue_that_does_not_wait_is_not_handed_over() {
    let fixture = Fixture::with(&["a"]).await;
    fixture.submit("a", "i-1").await;
    let second = fixture.submit("a", "i-2").await;
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    let key = fixture.store.keys().issue(&second.issue_id);
    let _: i64 = fixture.raw(&["HSET", &key, "state", "rejected"]).await;
    let asked = next("n-2");
    let settling = fixture.settle_with(&claimed, How::Applied, Some(&asked));
    let (_, handed) = settling.await.expect("the store answers");
    assert!(handed.is_none(), "{handed:?}");
}

#[tokio::test]
async fn a_moved_head_hands_nothing_over() {
    let fixture = Fixture::with(&["a"]).await;
    for id in ["i-1", "i-2"] {
        fixture.submit("a", id).await;
    }
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    fixture.put(&marked("a", "by hand", "2.0.0")).await;
    let asked = next("n-2");
    let settling = fixture.settle_with(&claimed, How::Applied, Some(&asked));
    let (outcome, handed) = fixture.refused(settling).await;
    assert!(
        matches!(outcome, SettleOutcome::MovedHead { .. }),
        "{outcome:?}"
    );
    assert!(handed.is_none(), "{handed:?}");
}

#[tokio::test]
async fn a_lease_that_was_handed_over_runs_out_as_any_other() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let worker = worker_id("w");
    for id in ["i-1", "i-2"] {
        fixture.submit("a", id).await;
    }
    let first = fixture.take(&worker, LONG).await;
    let handed = settle(&fixture, &first, How::Applied, &next("n-2")).await;
    let handed = handed.expect("the next issue");
    let issue = &handed.lease.issue;
    let reap = store.reap(issue, 5, 0.0);
    assert_eq!(fixture.refused(reap).await, ReapOutcome::Alive);
    let lease_ms: u64 = {
        let key = store.keys().issue(&issue.issue_id);
        fixture.raw(&["HGET", &key, "lease_ms"]).await
    };
    assert_eq!(lease_ms, LONG);
    // The settler may claim it under the same nonce, and gets the same lease.
    let claim = store.claim(issue, &worker, "n-2", LONG, None, BESIDE);
    let outcome = fixture.refused(claim).await;
    assert!(
        matches!(&outcome, ClaimOutcome::Claimed(again) if again.lease == handed.lease),
        "{outcome:?}"
    );
    let beat = store.beat(&worker, LONG, std::slice::from_ref(&handed.lease));
    let beat = beat.await.expect("the store answers");
    assert!(beat.lost.is_empty() && beat.unleased.is_empty(), "{beat:?}");
}

#[tokio::test]
async fn both_changes_are_published() {
    let fixture = Fixture::with(&["a"]).await;
    for id in ["i-1", "i-2"] {
        fixture.submit("a", id).await;
    }
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    let mut first = Events::subscribe(&fixture.redis, &issue_channel("i-1")).await;
    let mut second = Events::subscribe(&fixture.redis, &issue_channel("i-2")).await;
    let handed = settle(&fixture, &claimed, How::Applied, &next("n-2")).await;
    let handed = handed.expect("the next issue");
    let said = |event: &Value| {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        (text("issue_id"), text("state"))
    };
    let event = first.next().await;
    assert_eq!(said(&event), ("i-1".to_owned(), "applied".to_owned()));
    assert_eq!(event["new_version"], handed.head.version.as_str());
    let event = second.next().await;
    assert_eq!(said(&event), ("i-2".to_owned(), "in_flight".to_owned()));
    assert_eq!(
        (&event["worker_id"], &event["attempt"]),
        (&"w".into(), &1.into())
    );
}

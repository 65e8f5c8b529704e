//! Scripts with records that no script leaves, and with callers that read too early: false records
//! are removed or reported, and cause no decision.

use serde_json::json;
use shared::store::{ClaimOutcome, ReapOutcome, ReturnOutcome};
use tests::eventually::eventually;
use tests::raw_script::outcome_for;
use tests::store_audit::dump;
use tests::store_fixture::{BESIDE, Fixture, How, LONG, fault, issue_ref, worker_id};

#[tokio::test]
async fn a_copy_of_an_element_that_is_elsewhere_is_only_taken_out() {
    let fixture = Fixture::with(&["leased", "delayed", "parked", "ready"]).await;
    let store = &fixture.store;
    let worker = worker_id("w");
    for name in ["leased", "delayed", "parked", "ready"] {
        if name == "parked" {
            fixture.pause(name).await;
        }
        let mut copied = fixture.submit(name, &format!("{name}.1")).await;
        match name {
            "leased" => drop(fixture.take(&worker, LONG).await),
            "delayed" => {
                let claimed = fixture.take(&worker, LONG).await;
                fixture
                    .step(store.release(&claimed.lease, &fault(LONG)))
                    .await;
            }
            // Not the head of its queue.
            "ready" => copied = fixture.submit(name, "ready.2").await,
            _ => {}
        }
        let before = dump(store).await;
        let list = store.keys().processing("dead");
        let _: i64 = fixture.raw(&["LPUSH", &list, &copied.element()]).await;
        let outcome = fixture.step(store.return_element(&copied, "dead")).await;
        assert_eq!(outcome, ReturnOutcome::Gone, "{name}");
        assert_eq!(dump(store).await, before, "{name}");
    }
}

#[tokio::test]
async fn a_lease_of_an_issue_that_is_not_in_flight_is_only_taken_off() {
    let fixture = Fixture::with(&["a", "b"]).await;
    let store = &fixture.store;
    let decided = fixture.submit("a", "decided").await;
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    fixture.step(fixture.settle(&claimed, How::Denied)).await;
    let pending = fixture.submit("b", "pending").await;
    for issue in [decided, pending, issue_ref("a", "unknown")] {
        let before = dump(store).await;
        let leases = store.keys().leases();
        let _: i64 = fixture.raw(&["ZADD", &leases, "1", &issue.element()]).await;
        let outcome = fixture.step(store.reap(&issue, 5, 0.0)).await;
        assert_eq!(outcome, ReapOutcome::Gone, "{issue:?}");
        assert_eq!(dump(store).await, before, "{issue:?}");
    }
}

#[tokio::test]
async fn what_has_no_lease_is_not_reaped() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let issue = fixture.submit("a", "i").await;
    fixture.take(&worker_id("w"), LONG).await;
    let leases = store.keys().leases();
    let _: i64 = fixture.raw(&["ZREM", &leases, "a/i"]).await;
    let outcome = fixture.refused(store.reap(&issue, 5, 0.0)).await;
    assert_eq!(outcome, ReapOutcome::Gone);
}

#[tokio::test]
async fn a_delayed_issue_that_is_not_its_queues_head_is_only_taken_out() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    fixture.submit("a", "head").await;
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    fixture
        .step(store.release(&claimed.lease, &fault(LONG)))
        .await;
    let behind = fixture.submit("a", "behind").await;
    let before = dump(store).await;
    let delayed = store.keys().delayed();
    let _: i64 = fixture
        .raw(&["ZADD", &delayed, "1", &behind.element()])
        .await;
    let outcome = outcome_for(store, "promote_issue", &behind, "-", json!({})).await;
    assert_eq!(outcome.expect("an outcome"), "gone");
    assert_eq!(dump(store).await, before);
}

#[tokio::test]
async fn a_head_that_is_not_pending_is_not_claimed() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let worker = worker_id("w");
    let issue = fixture.submit("a", "i").await;
    let popped = fixture.pop(&worker).await;
    assert_eq!(popped, Some(issue.clone()));
    let key = store.keys().issue(&issue.issue_id);
    let _: i64 = fixture.raw(&["HSET", &key, "state", "applied"]).await;
    let claim = store.claim(&issue, &worker, "n", LONG, None, BESIDE).await;
    let outcome = claim.expect("the store answers");
    assert!(matches!(outcome, ClaimOutcome::Gone), "{outcome:?}");
    assert_eq!(store.processing("w").await.expect("an answer"), []);
}

#[tokio::test]
async fn an_issue_that_is_gone_when_it_is_cancelled_is_not_found() {
    let fixture = Fixture::with(&["a"]).await;
    let unknown = issue_ref("a", "unknown");
    let cancel = outcome_for(
        &fixture.store,
        "cancel_issue",
        &unknown,
        "-",
        json!({"log": "{}", "authority": "submitter", "is_bundled": false}),
    );
    assert_eq!(fixture.refused(cancel).await, "not_found");
    let prune = outcome_for(
        &fixture.store,
        "prune_issue",
        &unknown,
        "-",
        json!({"age_ms": 0}),
    );
    assert_eq!(fixture.refused(prune).await, "gone");
}

/// The auditor reads a queue's head and the workers outside the script.
#[tokio::test]
async fn an_audit_of_what_moved_meanwhile_changes_nothing() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let keys = store.keys();
    for name in ["w1", "w2"] {
        fixture.step(store.beat(&worker_id(name), LONG, &[])).await;
    }
    let head = fixture.submit("a", "head").await;
    fixture.pop(&worker_id("w1")).await.expect("an element");
    let behind = fixture.submit("a", "behind").await;
    // A false record, which an audit that is not stopped repairs.
    let _: i64 = fixture.raw(&["HDEL", &keys.places(), "a"]).await;
    for (what, issue, workers) in [
        ("another head", &behind, &["w1", "w2"][..]),
        ("a worker that came", &head, &["w2"][..]),
        ("another worker", &head, &["w2", "w3"][..]),
    ] {
        let before = dump(store).await;
        let own = json!({ "workers": workers });
        let answer = outcome_for(store, "audit_queue", issue, "-", own).await;
        assert_eq!(answer.expect("an outcome"), "moved", "{what}");
        assert_eq!(dump(store).await, before, "{what}");
    }
}

/// The head is an older issue, which has waited since its own submission.
#[tokio::test]
async fn a_submission_to_a_queue_without_a_place_places_its_head() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    fixture.submit("a", "first").await;
    let keys = store.keys();
    let _: i64 = fixture.raw(&["HDEL", &keys.places(), "a"]).await;
    let _: i64 = fixture.raw(&["DEL", &keys.pending()]).await;
    until_the_clock_moves(&fixture).await;
    fixture.submit("a", "second").await;
    assert_eq!(fixture.pending().await, ["a/first"]);
}

#[tokio::test]
async fn what_waits_behind_a_leased_head_is_the_oldest() {
    let fixture = Fixture::with(&["a"]).await;
    fixture.submit("a", "first").await;
    fixture.take(&worker_id("w"), LONG).await;
    let second = fixture.submit("a", "second").await;
    until_the_clock_moves(&fixture).await;
    // Each step checks the record of waiting issues against the queue.
    fixture.submit("a", "third").await;
    let oldest = fixture.store.queue_stats().await.expect("an answer");
    let submitted_at = fixture.issue(&second).await.submitted_at_ms;
    assert_eq!(oldest.oldest_pending_at_ms, Some(submitted_at));
}

/// Waits so that two issues have different times.
async fn until_the_clock_moves(fixture: &Fixture) {
    let now = async || -> u64 {
        let (secs, micros): (u64, u64) = fixture.raw(&["TIME"]).await;
        secs * 1000 + micros / 1000
    };
    let began = now().await;
    eventually("Redis's clock moves", async || {
        let now = now().await;
        (now > began).then_some(()).ok_or_else(|| now.to_string())
    })
    .await;
}

/// A number that is too large is an error, and is not truncated.
#[tokio::test]
async fn an_attempt_beyond_its_range_is_damage() {
    let fixture = Fixture::with(&["a"]).await;
    let issue = fixture.submit("a", "i").await;
    let key = fixture.store.keys().issue(&issue.issue_id);
    for attempt in ["4294967295", "4294967296"] {
        let _: i64 = fixture.raw(&["HSET", &key, "attempt", attempt]).await;
        let read = fixture.store.issue(&issue.issue_id).await;
        if attempt == "4294967295" {
            let read = read.expect("it fits").expect("the issue");
            assert_eq!(read.attempt, u32::MAX);
        } else {
            let refused = read.expect_err("it does not fit").to_string();
            assert!(refused.contains("attempt"), "{refused}");
        }
    }
}

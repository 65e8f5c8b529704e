//! What a pending issue waits for, as the store reads it.

use shared::domain::actor::Actor;
use shared::domain::waiting::{Waiting, WaitingReason};
use shared::store::{IssueRef, PendingIssue};
use tests::store_fixture::{Fixture, How, LONG, fault, worker_id};

async fn waiting(fixture: &Fixture, issue: &IssueRef) -> Option<Waiting> {
    let issue = fixture.issue(issue).await;
    let read = fixture.whole.waiting(&[PendingIssue::of(&issue)]).await;
    let (_, waiting) = read.expect("Redis answers").pop().expect("one answer");
    waiting
}

async fn reason(fixture: &Fixture, issue: &IssueRef) -> WaitingReason {
    waiting(fixture, issue).await.expect("it waits").reason
}

/// Sets the time of a worker's last heartbeat, `ago` milliseconds before now by Redis.
async fn beat(fixture: &Fixture, worker: &str, ago: u64) {
    let (secs, _): (u64, u64) = fixture.raw(&["TIME"]).await;
    let at = (secs * 1000 - ago).to_string();
    let key = fixture.store.keys().workers();
    let _: i64 = fixture.raw(&["ZADD", &key, &at, worker]).await;
}

#[tokio::test]
async fn the_first_cause_that_ends_the_wait_is_named() {
    let fixture = Fixture::with(&["a", "b", "c"]).await;
    let first = fixture.submit("a", "a.1").await;
    assert_eq!(reason(&fixture, &first).await, WaitingReason::NoWorker);
    beat(&fixture, "dead", 30_000).await;
    assert_eq!(reason(&fixture, &first).await, WaitingReason::NoWorker);
    beat(&fixture, "w", 0).await;
    assert_eq!(reason(&fixture, &first).await, WaitingReason::Worker);

    // A place among the queues, and a place within a queue.
    fixture.submit("b", "b.1").await;
    let third = fixture.submit("c", "c.1").await;
    let behind = fixture.submit("c", "c.2").await;
    let last = waiting(&fixture, &third).await.expect("it waits");
    assert_eq!((last.issues_ahead, last.queues_ahead), (0, 2));
    let last = waiting(&fixture, &behind).await.expect("it waits");
    let older = |next_attempt_at_ms| WaitingReason::OlderIssues { next_attempt_at_ms };
    assert_eq!((last.reason, last.issues_ahead), (older(None), 1));

    // The first actor of a pause is named; a pause of everything comes first.
    let [alice, bob] = ["alice of the night shift", "bob"].map(|name| Actor::parse(name).unwrap());
    let a = &first.blueprint_id;
    for by in [&alice, &bob] {
        let paused = fixture.store.pause_queue(Some(a), by);
        assert!(fixture.step(paused).await);
    }
    let WaitingReason::BlueprintPaused(pause) = reason(&fixture, &first).await else {
        panic!("a pause expected");
    };
    assert!(pause.by == Some(alice) && pause.since_ms > 0, "{pause:?}");
    assert!(fixture.step(fixture.store.pause_queue(None, &bob)).await);
    for issue in [&first, &behind] {
        let WaitingReason::QueuePaused(pause) = reason(&fixture, issue).await else {
            panic!("a pause of everything expected");
        };
        assert_eq!(pause.by.as_ref(), Some(&bob));
    }
}

#[tokio::test]
async fn a_delayed_issue_waits_for_its_attempt_and_others_for_it() {
    let fixture = Fixture::with(&["a"]).await;
    beat(&fixture, "w", 0).await;
    let worker = worker_id("w");
    let first = fixture.submit("a", "a.1").await;
    let second = fixture.submit("a", "a.2").await;
    let taken = fixture.take(&worker, LONG).await;
    assert_eq!(
        waiting(&fixture, &second)
            .await
            .expect("it waits")
            .issues_ahead,
        1
    );
    fixture
        .step(fixture.store.release(&taken.lease, &fault(60_000)))
        .await;
    let WaitingReason::NextAttempt { at_ms } = reason(&fixture, &first).await else {
        panic!("a delay expected");
    };
    let older = WaitingReason::OlderIssues {
        next_attempt_at_ms: Some(at_ms),
    };
    assert_eq!(reason(&fixture, &second).await, older);
}

#[tokio::test]
async fn a_decided_issue_waits_for_nothing_and_a_long_queue_is_counted_up_to_a_limit() {
    let fixture = Fixture::with(&["a"]).await;
    beat(&fixture, "w", 0).await;
    let first = fixture.submit("a", "a.1").await;
    let taken = fixture.take(&worker_id("w"), LONG).await;
    fixture.step(fixture.settle(&taken, How::Applied)).await;
    assert_eq!(waiting(&fixture, &first).await, None);

    let mut last = first;
    for n in 0..1_100 {
        last = fixture.submit("a", &format!("n.{n}")).await;
    }
    // Another heartbeat: the submissions may have taken long.
    beat(&fixture, "w", 0).await;
    let far = waiting(&fixture, &last).await.expect("it waits");
    assert_eq!(far.issues_ahead, 1_000);
    let older = WaitingReason::OlderIssues {
        next_attempt_at_ms: None,
    };
    assert_eq!(far.reason, older);
}

//! The clock of Redis is set back by an hour, so that stored times are an hour ahead.

use std::time::Duration;

use shared::ids::WorkerId;
use shared::store::{ReapOutcome, ReturnOutcome, SlotOutcome};
use tests::raw_script::answer;
use tests::store_audit::dump;
use tests::store_fixture::{Fixture, LONG, fault, issue_ref, worker_id};

const HOUR_MS: u64 = 3_600_000;
const LEASE_MS: u64 = 15_000;

/// Moves the times of a sorted set an hour ahead.
async fn put_ahead(fixture: &Fixture, index: &str) {
    let scores: Vec<String> = fixture.raw(&["ZRANGE", index, "0", "-1"]).await;
    for member in scores {
        let by = HOUR_MS.to_string();
        let _: f64 = fixture.raw(&["ZINCRBY", index, &by, &member]).await;
    }
}

#[tokio::test]
async fn delays_leases_and_workers_are_pulled_back() {
    let fixture = Fixture::with(&["delayed", "leased"]).await;
    let (store, keys) = (&fixture.store, fixture.store.keys());
    let worker = worker_id("w");
    fixture.step(store.beat(&worker, LEASE_MS, &[])).await;
    for name in ["delayed", "leased"] {
        fixture.submit(name, &format!("{name}.1")).await;
        let taken = fixture.take(&worker, LEASE_MS).await;
        if name == "delayed" {
            fixture
                .step(store.release(&taken.lease, &fault(5_000)))
                .await;
        }
    }
    assert_eq!(store.audit_queues().await.unwrap(), []);
    for index in [keys.delayed(), keys.leases(), keys.workers()] {
        put_ahead(&fixture, &index).await;
    }
    let silent = async |ms: u64| -> Vec<WorkerId> { store.silent_workers(ms).await.unwrap() };
    assert_eq!(silent(0).await, [], "the dead worker seems to be alive");

    let mut repaired = store.audit_queues().await.unwrap();
    repaired.sort_by(|a, b| a.place.cmp(&b.place));
    let places: Vec<&str> = repaired.iter().map(|r| r.place.as_str()).collect();
    assert_eq!(places, ["delayed", "leased"]);
    let due = store.due_issues(10).await.unwrap();
    assert_eq!(due, [issue_ref("delayed", "delayed.1")]);
    // From now on the lease runs as long as any lease of its worker.
    let (secs, _): (u64, u64) = fixture.raw(&["TIME"]).await;
    let until: f64 = fixture
        .raw(&["ZSCORE", &keys.leases(), "leased/leased.1"])
        .await;
    let now_ms = (secs * 1_000) as f64;
    assert!(
        until <= now_ms + LEASE_MS as f64 + 1_000.0 && until > now_ms,
        "{until}"
    );
    assert_eq!(silent(0).await, [worker], "its time runs");
    let before = dump(store).await;
    assert_eq!(store.audit_queues().await.unwrap(), []);
    assert_eq!(dump(store).await, before);
}

#[tokio::test]
async fn a_lease_and_a_delay_that_may_be_so_long_are_left_alone() {
    let fixture = Fixture::with(&["delayed", "leased"]).await;
    let store = &fixture.store;
    let worker = worker_id("w");
    fixture.step(store.beat(&worker, HOUR_MS, &[])).await;
    fixture.submit("leased", "leased.1").await;
    fixture.take(&worker, HOUR_MS).await;
    fixture.submit("delayed", "delayed.1").await;
    let taken = fixture.take(&worker, LONG).await;
    // No caller may request more than ten minutes.
    fixture
        .step(store.release(&taken.lease, &fault(HOUR_MS)))
        .await;
    assert_eq!(store.audit_queues().await.unwrap(), []);
    let keys = store.keys();
    let due: f64 = fixture
        .raw(&["ZSCORE", &keys.delayed(), "delayed/delayed.1"])
        .await;
    let (secs, _): (u64, u64) = fixture.raw(&["TIME"]).await;
    assert!(due <= ((secs + 1) * 1_000 + LONG) as f64, "{due}");
}

/// The slot of a dead agent run must not stay taken for as long as the clock was set back. A slot
/// whose holder lives is kept.
#[tokio::test]
async fn places_of_agents_are_pulled_back() {
    const PLACE: Duration = Duration::from_secs(15);
    const SOON: Duration = Duration::from_millis(200);
    let fixture = Fixture::start().await;
    let store = &fixture.store;
    let hold =
        async |holder: &str, time| fixture.whole.hold_slot("a", holder, 1, time).await.unwrap();
    assert_eq!(hold("dead", PLACE).await, SlotOutcome::Held);
    let places = store.keys().agent_slots("a");
    // The key expires by the same clock.
    let set_back = async |places: &str| {
        put_ahead(&fixture, places).await;
        let ahead = (15_000 + HOUR_MS).to_string();
        let _: i64 = fixture.raw(&["PEXPIRE", places, &ahead]).await;
    };
    set_back(&places).await;
    // From now on the slot is held as long as the requested one.
    assert_eq!(hold("next", SOON).await, SlotOutcome::Full);
    tests::eventually::eventually("the place of the dead run is free", async || {
        match hold("next", PLACE).await {
            SlotOutcome::Held => Ok(()),
            full => Err(format!("{full:?}")),
        }
    })
    .await;
    set_back(&places).await;
    assert_eq!(hold("other", PLACE).await, SlotOutcome::Full);
    assert_eq!(hold("next", PLACE).await, SlotOutcome::Held, "it renews");
    assert_eq!(hold("other", PLACE).await, SlotOutcome::Full);
    // No caller may request more than ten minutes, so a slot of that length is not changed.
    let hour = Duration::from_millis(HOUR_MS);
    assert_eq!(hold("next", hour).await, SlotOutcome::Held);
    assert_eq!(hold("other", SOON).await, SlotOutcome::Full);
    let until: f64 = fixture.raw(&["ZSCORE", &places, "next"]).await;
    let (secs, _): (u64, u64) = fixture.raw(&["TIME"]).await;
    let left_ms = until - (secs * 1_000) as f64;
    assert!((590_000.0..=601_000.0).contains(&left_ms), "{left_ms}");
}

/// The mark of a turn is a key that expires by the same clock.
#[tokio::test]
async fn a_turn_to_audit_comes_again() {
    let fixture = Fixture::start().await;
    let minute = Duration::from_secs(60);
    assert!(fixture.store.take_audit_turn(minute).await.unwrap());
    let key = fixture.store.keys().audited();
    let ahead = (60_000 + HOUR_MS).to_string();
    let _: i64 = fixture.raw(&["PEXPIRE", &key, &ahead]).await;
    assert!(fixture.store.take_audit_turn(minute).await.unwrap());
    assert!(!fixture.store.take_audit_turn(minute).await.unwrap());
}

/// An element that a worker had popped and not claimed when it died is returned, and its lease is
/// reaped.
#[tokio::test]
async fn what_a_dead_worker_had_goes_to_others() {
    let fixture = Fixture::with(&["popped", "leased"]).await;
    let (store, keys) = (&fixture.store, fixture.store.keys());
    let worker = worker_id("w");
    fixture.step(store.beat(&worker, 1, &[])).await;
    fixture.submit("leased", "leased.1").await;
    fixture.take(&worker, 1).await;
    fixture.submit("popped", "popped.1").await;
    fixture.pop(&worker).await.expect("an element");
    for index in [keys.leases(), keys.workers()] {
        put_ahead(&fixture, &index).await;
    }
    store.audit_queues().await.unwrap();
    tests::eventually::eventually("its lease has run out", async || {
        let expired = store.expired_leases(10).await.unwrap();
        (!expired.is_empty()).then_some(()).ok_or(String::new())
    })
    .await;
    let reaped = store.reap(&issue_ref("leased", "leased.1"), 5, 0.0).await;
    assert_eq!(reaped.unwrap(), ReapOutcome::Delayed(0));
    assert_eq!(
        store.silent_workers(0).await.unwrap(),
        std::slice::from_ref(&worker)
    );
    let popped = issue_ref("popped", "popped.1");
    let returned = store.return_element(&popped, worker.as_str()).await;
    assert_eq!(returned.unwrap(), ReturnOutcome::Returned);
}

/// An interrupted submission must not hold its id for longer than a submission can take.
#[tokio::test]
async fn the_age_of_a_pointer_counts_from_now_on() {
    let fixture = Fixture::start().await;
    let ids = fixture.store.keys().ids();
    let (secs, _): (u64, u64) = fixture.raw(&["TIME"]).await;
    let ahead = format!("first|{}", secs * 1_000 + HOUR_MS);
    let _: i64 = fixture.raw(&["HSET", &ids, "i", &ahead]).await;
    let keys = [ids.clone()];
    let point = answer(&fixture.store, "point_issue", &keys, &["i", "second", ""]).await;
    let point = point.expect("an answer");
    let (outcome, age): (String, u64) = (
        redis::from_redis_value(point[0].clone()).expect("an outcome"),
        redis::from_redis_value(point[2].clone()).expect("an age"),
    );
    assert_eq!((outcome.as_str(), age), ("elsewhere", 0));
    let pointer: String = fixture.raw(&["HGET", &ids, "i"]).await;
    let at = pointer.strip_prefix("first|").expect("the same Blueprint");
    let at: u64 = at.parse().expect("a time");
    let (now, _): (u64, u64) = fixture.raw(&["TIME"]).await;
    assert!(at >= secs * 1_000 && at <= (now + 1) * 1_000, "{at}");
}

//! The audit of the queues: it repairs every kind of false record, and changes nothing else.

use std::time::Duration;

use shared::store::ReapOutcome;
use tests::store_audit::dump;
use tests::store_fixture::{Fixture, LONG, fault, issue_ref, worker_id};

/// Every way in which a queue's record can be false. After the audit the queue progresses again.
#[tokio::test]
async fn the_audit_mends_what_is_untrue_and_nothing_else() {
    let sound = ["empty", "ready", "popped", "leased", "delayed", "parked"];
    // Only placed, and not counted: a resume of everything may be in progress for "not-paused".
    let damaged = [
        "no-place",
        "not-listed",
        "no-lease",
        "not-delayed",
        "not-paused",
        "no-queue",
        "decided",
        "popped-no-place",
        "delayed-ready",
        "listed-no-place",
        "leased-no-place",
        "decided-delayed",
    ];
    let all: Vec<&str> = sound.iter().chain(&damaged).copied().collect();
    let fixture = Fixture::with(&all).await;
    let (store, keys) = (&fixture.store, fixture.store.keys());
    let worker = worker_id("w");
    fixture.step(store.beat(&worker, LONG, &[])).await;
    let submit = async |name: &str| fixture.submit(name, &format!("{name}.1")).await;
    let set = async |command: &[&str]| {
        let _: i64 = fixture.raw(command).await;
    };

    for name in [
        "leased",
        "no-lease",
        "delayed",
        "not-delayed",
        "delayed-ready",
        "decided",
        "leased-no-place",
        "decided-delayed",
    ] {
        submit(name).await;
        let taken = fixture.take(&worker, LONG).await;
        if name.contains("delayed") {
            fixture
                .step(store.release(&taken.lease, &fault(LONG)))
                .await;
        }
    }
    for name in ["popped", "popped-no-place"] {
        submit(name).await;
        fixture.pop(&worker).await.unwrap();
    }
    for name in ["parked", "not-paused"] {
        fixture.pause(name).await;
        submit(name).await;
    }
    for name in ["ready", "no-place", "not-listed", "listed-no-place"] {
        submit(name).await;
    }
    // The audit finds a queue without a place by its waiting issues.
    fixture.submit("leased-no-place", "leased-no-place.2").await;
    let damage_begins = dump(store).await;
    assert_eq!(store.audit_queues().await.unwrap(), []);
    assert_eq!(dump(store).await, damage_begins);

    set(&["HDEL", &keys.places(), "no-place"]).await;
    set(&["LREM", &keys.pending(), "0", "no-place/no-place.1"]).await;
    set(&["LREM", &keys.pending(), "0", "not-listed/not-listed.1"]).await;
    set(&["ZREM", &keys.leases(), "no-lease/no-lease.1"]).await;
    set(&["ZREM", &keys.delayed(), "not-delayed/not-delayed.1"]).await;
    fixture.lift_pause("not-paused").await;
    set(&["HSET", &keys.places(), "no-queue", "ready"]).await;
    set(&["HDEL", &keys.places(), "popped-no-place"]).await;
    set(&["HSET", &keys.places(), "delayed-ready", "ready"]).await;
    set(&["HDEL", &keys.places(), "listed-no-place"]).await;
    set(&["HDEL", &keys.places(), "leased-no-place"]).await;
    let lease_ends = async || -> f64 {
        let element = "leased-no-place/leased-no-place.1";
        fixture.raw(&["ZSCORE", &keys.leases(), element]).await
    };
    let lease_ended = lease_ends().await;
    let decided = issue_ref("decided", "decided.1").issue_id;
    let delayed = issue_ref("decided-delayed", "decided-delayed.1").issue_id;
    for id in [decided, delayed] {
        set(&["HSET", &keys.issue(&id), "state", "applied"]).await;
    }

    let repaired = store.audit_queues().await.unwrap();
    let mut names: Vec<&str> = repaired.iter().map(|r| r.blueprint_id.as_str()).collect();
    names.sort_unstable();
    let mut expected = damaged.to_vec();
    expected.sort_unstable();
    expected.retain(|name| *name != "not-paused");
    assert_eq!(names, expected);
    let count: String = fixture.raw(&["HGET", &keys.counts(), "repaired"]).await;
    assert_eq!(count, expected.len().to_string());
    for (name, place) in [
        ("no-place", "ready"),
        ("not-listed", "ready"),
        ("no-lease", "leased"),
        ("not-delayed", "ready"),
        ("not-paused", "ready"),
        ("no-queue", "none"),
        ("decided", "none"),
        // Neither is pushed: one is in a list, the other is not due.
        ("popped-no-place", "ready"),
        ("delayed-ready", "delayed"),
        ("listed-no-place", "ready"),
        ("leased-no-place", "leased"),
        ("decided-delayed", "none"),
    ] {
        assert_eq!(fixture.place(name).await, place, "{name}");
    }
    assert_eq!(lease_ends().await, lease_ended, "a lease that runs goes on");
    let mut pending = fixture.pending().await;
    pending.sort_unstable();
    assert_eq!(
        pending,
        [
            // Once: it was there before.
            "listed-no-place/listed-no-place.1",
            "no-place/no-place.1",
            "not-delayed/not-delayed.1",
            "not-listed/not-listed.1",
            "not-paused/not-paused.1",
            "ready/ready.1"
        ]
    );
    let lost = issue_ref("no-lease", "no-lease.1");
    assert_eq!(
        store.reap(&lost, 5, 0.0).await.unwrap(),
        ReapOutcome::Delayed(0)
    );
    assert_eq!(store.audit_queues().await.unwrap(), []);
}

#[tokio::test]
async fn one_caller_in_a_while_has_the_turn_to_audit() {
    let fixture = Fixture::with(&[]).await;
    let minute = Duration::from_secs(60);
    assert!(fixture.store.take_audit_turn(minute).await.unwrap());
    assert!(!fixture.store.take_audit_turn(minute).await.unwrap());
}

//! The heartbeats of workers: what they extend and report, and how dead workers are noticed.

use shared::domain::issue::Authority;
use shared::store::{Beat, Lease, ReturnOutcome};
use tests::store_fixture::{BESIDE, Fixture, How, LONG, OVER, claimed, worker_id};

const MAX_ATTEMPTS: u32 = 5;

#[tokio::test]
async fn a_heartbeat_extends_and_tells_what_was_missed() {
    let fixture = Fixture::with(&["kept", "lost", "off", "done", "popped"]).await;
    let store = &fixture.store;
    let (worker, other) = (worker_id("w"), worker_id("other"));
    let mut leases = Vec::new();
    for name in ["kept", "lost", "off", "done"] {
        fixture.submit(name, name).await;
        let lease_ms = if name == "lost" { OVER } else { 1000 };
        leases.push(fixture.take(&worker, lease_ms).await);
    }
    fixture
        .step(store.reap(&leases[1].lease.issue, MAX_ATTEMPTS, 0.0))
        .await;
    fixture
        .step(store.cancel_issue(&leases[2].lease.issue.issue_id, Authority::Admin))
        .await;
    fixture.step(fixture.settle(&leases[3], How::Applied)).await;
    // An element whose pop got no reply, and one that another worker holds.
    let popped = fixture.submit("popped", "popped").await;
    fixture.pop(&worker).await.expect("an element");

    let held: Vec<Lease> = leases.iter().map(|c| c.lease.clone()).collect();
    let expires = async || {
        let score: f64 = fixture
            .raw(&["ZSCORE", &store.keys().leases(), &held[0].issue.element()])
            .await;
        score as u64
    };
    let server_ms = async || -> u64 {
        let (secs, micros): (u64, u64) = fixture.raw(&["TIME"]).await;
        secs * 1000 + micros / 1000
    };
    let sent = server_ms().await;
    let beat = fixture.step(store.beat(&worker, LONG, &held)).await;
    let answered = server_ms().await;
    let expected = Beat {
        lost: vec![held[1].issue.clone(), held[3].issue.clone()],
        cancelled: vec![held[2].issue.clone()],
        unleased: vec![popped.clone()],
        ..Beat::default()
    };
    assert_eq!(beat, expected);
    assert!((sent + LONG..=answered + LONG).contains(&expires().await));
    assert_eq!(
        store.processing("w").await.unwrap(),
        [popped.clone(), held[0].issue.clone()]
    );
    // The found element is claimed like any popped one.
    claimed(
        fixture
            .step(store.claim(&popped, &worker, "n", LONG, None, BESIDE))
            .await,
    );

    // A wrong token extends nothing.
    let wrong = Lease {
        token: "1-wrong".to_owned(),
        ..held[0].clone()
    };
    let before = expires().await;
    let beat = fixture.step(store.beat(&worker, 2 * LONG, &[wrong])).await;
    assert_eq!(
        beat,
        Beat {
            lost: vec![held[0].issue.clone()],
            ..Beat::default()
        }
    );
    assert_eq!(expires().await, before);
    assert_eq!(
        fixture.step(store.beat(&other, LONG, &[])).await,
        Beat::default()
    );
}

#[tokio::test]
async fn workers_are_known_until_they_are_forgotten() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let names = ["dead", "left", "lives"];
    for name in names {
        store.beat(&worker_id(name), LONG, &[]).await.unwrap();
    }
    assert!(store.silent_workers(LONG).await.unwrap().is_empty());
    let two_hours_ago = async |name: &str| {
        let seen: f64 = fixture
            .raw(&["ZSCORE", &store.keys().workers(), name])
            .await;
        let seen = (seen as u64 - 7_200_000).to_string();
        let _: i64 = fixture
            .raw(&["ZADD", &store.keys().workers(), &seen, name])
            .await;
    };
    two_hours_ago("dead").await;
    two_hours_ago("left").await;
    fixture.submit("a", "i").await;
    fixture.pop(&worker_id("left")).await.expect("an element");
    let silent = store.silent_workers(LONG).await.unwrap();
    assert_eq!(silent.len(), 2, "{silent:?}");
    // A worker that left an element is remembered until the element is returned.
    store.forget_old_workers().await.unwrap();
    assert_eq!(
        store.silent_workers(LONG).await.unwrap(),
        [worker_id("left")]
    );
    for issue in store.processing("left").await.unwrap() {
        let outcome = fixture.step(store.return_element(&issue, "left")).await;
        assert_eq!(outcome, ReturnOutcome::Returned);
    }
    store.forget_old_workers().await.unwrap();
    assert!(store.silent_workers(LONG).await.unwrap().is_empty());
    store.forget_worker(&worker_id("lives")).await.unwrap();
    assert!(store.queue_stats().await.unwrap().workers.is_empty());
}

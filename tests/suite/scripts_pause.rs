//! Pausing and resuming: what is parked, what is placed again, and what nobody finished.

use shared::ids::BlueprintId;
use shared::store::ClaimOutcome;
use tests::store_audit::dump;
use tests::store_stand::{BESIDE, How, LONG, OVER, Stand, blueprint_id, fault, worker_id};

async fn pause(stand: &Stand, name: Option<&str>) {
    let id = name.map(blueprint_id);
    assert!(stand.step(stand.store.pause_queue(id.as_ref())).await);
}

async fn resume(stand: &Stand, name: Option<&str>) {
    let id = name.map(blueprint_id);
    assert!(stand.step(stand.store.resume_queue(id.as_ref())).await);
}

async fn paused(stand: &Stand) -> (bool, Vec<BlueprintId>) {
    let stats = stand.store.queue_stats().await.expect("Redis answers");
    (stats.paused, stats.paused_blueprint_ids)
}

#[tokio::test]
async fn a_paused_queue_takes_issues_in_and_lets_go_of_them_in_order() {
    let stand = Stand::with(&["a", "b"]).await;
    let worker = worker_id("w");
    pause(&stand, Some("a")).await;
    stand.submit("a", "a.1").await;
    stand.submit("a", "a.2").await;
    stand.submit("b", "b.1").await;
    assert_eq!(stand.place("a").await, "parked");
    assert_eq!(stand.pending().await, ["b/b.1"]);
    assert_eq!(paused(&stand).await, (false, vec![blueprint_id("a")]));
    stand.take(&worker, LONG).await;

    resume(&stand, Some("a")).await;
    assert_eq!(paused(&stand).await, (false, vec![]));
    for id in ["a.1", "a.2"] {
        let taken = stand.take(&worker, LONG).await;
        assert_eq!(taken.lease.issue.issue_id.as_str(), id);
        stand.step(stand.settle(&taken, How::Applied)).await;
    }
    assert_eq!(stand.place("a").await, "none");
}

#[tokio::test]
async fn what_is_in_flight_goes_on_and_its_successor_is_parked() {
    let stand = Stand::with(&["a"]).await;
    let worker = worker_id("w");
    stand.submit("a", "a.1").await;
    stand.submit("a", "a.2").await;
    let taken = stand.take(&worker, LONG).await;
    pause(&stand, None).await;
    assert_eq!(stand.place("a").await, "leased");
    // Only from `parked`: a leased head is not placed a second time.
    resume(&stand, Some("a")).await;
    resume(&stand, None).await;
    assert_eq!(stand.pending().await, [] as [&str; 0]);
    pause(&stand, None).await;
    stand.step(stand.settle(&taken, How::Applied)).await;
    assert_eq!(stand.place("a").await, "parked");
    resume(&stand, None).await;
    assert_eq!(stand.pending().await, ["a/a.2"]);
}

#[tokio::test]
async fn what_was_popped_when_the_pause_began_is_parked_by_its_claim() {
    let stand = Stand::with(&["a"]).await;
    let worker = worker_id("w");
    stand.submit("a", "a.1").await;
    let popped = stand.pop(&worker).await.expect("a head is ready");
    pause(&stand, Some("a")).await;
    // It lies in the worker's list: resuming places nothing, or it would lie in two.
    resume(&stand, Some("a")).await;
    assert_eq!(stand.pending().await, [] as [&str; 0]);
    pause(&stand, Some("a")).await;
    let claim = stand.store.claim(&popped, &worker, "n", LONG, None, BESIDE);
    assert!(matches!(stand.step(claim).await, ClaimOutcome::Parked));
    resume(&stand, Some("a")).await;
    assert_eq!(stand.pending().await, ["a/a.1"]);
}

#[tokio::test]
async fn a_delayed_head_stays_delayed_and_is_parked_when_it_is_due() {
    let stand = Stand::with(&["a"]).await;
    let worker = worker_id("w");
    stand.submit("a", "a.1").await;
    let taken = stand.take(&worker, LONG).await;
    pause(&stand, Some("a")).await;
    stand
        .step(stand.store.release(&taken.lease, &fault(OVER)))
        .await;
    assert_eq!(stand.place("a").await, "delayed");
    stand.step(stand.store.promote(&taken.lease.issue)).await;
    assert_eq!(stand.place("a").await, "parked");
    resume(&stand, Some("a")).await;
    assert_eq!(stand.pending().await, ["a/a.1"]);
}

#[tokio::test]
async fn two_pauses_end_one_by_one() {
    let stand = Stand::with(&["a", "b"]).await;
    pause(&stand, Some("a")).await;
    pause(&stand, None).await;
    for name in ["a", "b"] {
        stand.submit(name, &format!("{name}.1")).await;
        assert_eq!(stand.place(name).await, "parked");
    }
    assert_eq!(paused(&stand).await, (true, vec![blueprint_id("a")]));
    resume(&stand, None).await;
    assert_eq!(paused(&stand).await, (false, vec![blueprint_id("a")]));
    assert_eq!(
        (stand.place("a").await, stand.place("b").await),
        ("parked".to_owned(), "ready".to_owned()),
        "what was paused by itself stays paused"
    );
    pause(&stand, None).await;
    resume(&stand, Some("a")).await;
    assert_eq!(paused(&stand).await, (true, vec![]));
    assert_eq!(stand.place("a").await, "parked", "everything is paused");
    resume(&stand, None).await;
    assert_eq!(stand.pending().await, ["b/b.1", "a/a.1"]);
}

#[tokio::test]
async fn the_same_again_changes_nothing() {
    let stand = Stand::with(&["a"]).await;
    stand.submit("a", "a.1").await;
    for name in [None, Some(blueprint_id("a"))] {
        let name = name.as_ref();
        assert!(stand.refused(stand.store.resume_queue(name)).await);
        assert!(stand.step(stand.store.pause_queue(name)).await);
        assert!(stand.refused(stand.store.pause_queue(name)).await);
        assert!(stand.step(stand.store.resume_queue(name)).await);
        assert!(stand.refused(stand.store.resume_queue(name)).await);
    }
    let nobody = blueprint_id("nobody");
    assert!(!stand.refused(stand.store.pause_queue(Some(&nobody))).await);
    assert!(!stand.refused(stand.store.resume_queue(Some(&nobody))).await);
}

/// More queues than one script places, and more than one round trip reads.
#[tokio::test]
async fn thousands_of_queues_are_resumed_and_none_is_forgotten() {
    const N: usize = 1_300;
    let names: Vec<String> = (0..N).map(|n| format!("q{n}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let stand = Stand::with(&all).await;
    let store = &stand.store;
    assert!(store.pause_queue(None).await.unwrap());
    for name in &all {
        store
            .submit(&tests::store_stand::new_issue(name, &format!("{name}.1")))
            .await
            .unwrap();
    }
    assert!(store.pause_queue(Some(&blueprint_id("q7"))).await.unwrap());
    resume(&stand, None).await;
    assert_eq!(stand.pending().await.len(), N - 1);
    assert_eq!(stand.place("q7").await, "parked");
    assert_eq!(store.audit_queues().await.unwrap(), []);
}

#[tokio::test]
async fn a_resume_that_died_half_way_is_finished_by_the_next_or_by_the_audit() {
    let stand = Stand::with(&["a", "b"]).await;
    for finished_by in ["resume", "audit"] {
        pause(&stand, None).await;
        for name in ["a", "b"] {
            stand.submit(name, &format!("{name}.{finished_by}")).await;
        }
        // The caller died after it had lifted the mark.
        stand.lift_pause("*").await;
        match finished_by {
            "resume" => resume(&stand, None).await,
            // Placed, and not counted as a repair.
            _ => assert_eq!(stand.store.audit_queues().await.unwrap(), []),
        }
        for _ in 0..2 {
            let taken = stand.take(&worker_id("w"), LONG).await;
            stand.step(stand.settle(&taken, How::Applied)).await;
        }
    }
    let idle = dump(&stand.store).await;
    resume(&stand, None).await;
    assert_eq!(dump(&stand.store).await, idle);
}

//! Pausing and resuming: parked heads, heads that are placed again, and interrupted calls.

use shared::domain::actor::Actor;
use shared::ids::BlueprintId;
use shared::store::ClaimOutcome;
use tests::store_audit::dump;
use tests::store_fixture::{BESIDE, Fixture, How, LONG, OVER, blueprint_id, fault, worker_id};

async fn pause(fixture: &Fixture, name: Option<&str>) {
    let id = name.map(blueprint_id);
    assert!(
        fixture
            .step(fixture.store.pause_queue(id.as_ref(), &Actor::anonymous()))
            .await
    );
}

async fn resume(fixture: &Fixture, name: Option<&str>) {
    let id = name.map(blueprint_id);
    assert!(fixture.step(fixture.store.resume_queue(id.as_ref())).await);
}

async fn paused(fixture: &Fixture) -> (bool, Vec<BlueprintId>) {
    let stats = fixture.store.queue_stats().await.expect("Redis answers");
    (stats.paused, stats.paused_blueprint_ids)
}

#[tokio::test]
async fn a_paused_queue_takes_issues_in_and_lets_go_of_them_in_order() {
    let fixture = Fixture::with(&["a", "b"]).await;
    let worker = worker_id("w");
    pause(&fixture, Some("a")).await;
    fixture.submit("a", "a.1").await;
    fixture.submit("a", "a.2").await;
    fixture.submit("b", "b.1").await;
    assert_eq!(fixture.place("a").await, "parked");
    assert_eq!(fixture.pending().await, ["b/b.1"]);
    assert_eq!(paused(&fixture).await, (false, vec![blueprint_id("a")]));
    fixture.take(&worker, LONG).await;

    resume(&fixture, Some("a")).await;
    assert_eq!(paused(&fixture).await, (false, vec![]));
    for id in ["a.1", "a.2"] {
        let taken = fixture.take(&worker, LONG).await;
        assert_eq!(taken.lease.issue.issue_id.as_str(), id);
        fixture.step(fixture.settle(&taken, How::Applied)).await;
    }
    assert_eq!(fixture.place("a").await, "none");
}

#[tokio::test]
async fn what_is_in_flight_goes_on_and_its_successor_is_parked() {
    let fixture = Fixture::with(&["a"]).await;
    let worker = worker_id("w");
    fixture.submit("a", "a.1").await;
    fixture.submit("a", "a.2").await;
    let taken = fixture.take(&worker, LONG).await;
    pause(&fixture, None).await;
    assert_eq!(fixture.place("a").await, "leased");
    // Only from `parked`: a leased head is not placed a second time.
    resume(&fixture, Some("a")).await;
    resume(&fixture, None).await;
    assert_eq!(fixture.pending().await, [] as [&str; 0]);
    pause(&fixture, None).await;
    fixture.step(fixture.settle(&taken, How::Applied)).await;
    assert_eq!(fixture.place("a").await, "parked");
    resume(&fixture, None).await;
    assert_eq!(fixture.pending().await, ["a/a.2"]);
}

#[tokio::test]
async fn what_was_popped_when_the_pause_began_is_parked_by_its_claim() {
    let fixture = Fixture::with(&["a"]).await;
    let worker = worker_id("w");
    fixture.submit("a", "a.1").await;
    let popped = fixture.pop(&worker).await.expect("a head is ready");
    pause(&fixture, Some("a")).await;
    // The element is in the worker's list: resuming places nothing, or it would be in two lists.
    resume(&fixture, Some("a")).await;
    assert_eq!(fixture.pending().await, [] as [&str; 0]);
    pause(&fixture, Some("a")).await;
    let claim = fixture
        .store
        .claim(&popped, &worker, "n", LONG, None, BESIDE);
    assert!(matches!(fixture.step(claim).await, ClaimOutcome::Parked));
    resume(&fixture, Some("a")).await;
    assert_eq!(fixture.pending().await, ["a/a.1"]);
}

#[tokio::test]
async fn a_delayed_head_stays_delayed_and_is_parked_when_it_is_due() {
    let fixture = Fixture::with(&["a"]).await;
    let worker = worker_id("w");
    fixture.submit("a", "a.1").await;
    let taken = fixture.take(&worker, LONG).await;
    pause(&fixture, Some("a")).await;
    fixture
        .step(fixture.store.release(&taken.lease, &fault(OVER)))
        .await;
    assert_eq!(fixture.place("a").await, "delayed");
    fixture
        .step(fixture.store.promote(&taken.lease.issue))
        .await;
    assert_eq!(fixture.place("a").await, "parked");
    resume(&fixture, Some("a")).await;
    assert_eq!(fixture.pending().await, ["a/a.1"]);
}

#[tokio::test]
async fn two_pauses_end_one_by_one() {
    let fixture = Fixture::with(&["a", "b"]).await;
    pause(&fixture, Some("a")).await;
    pause(&fixture, None).await;
    for name in ["a", "b"] {
        fixture.submit(name, &format!("{name}.1")).await;
        assert_eq!(fixture.place(name).await, "parked");
    }
    assert_eq!(paused(&fixture).await, (true, vec![blueprint_id("a")]));
    resume(&fixture, None).await;
    assert_eq!(paused(&fixture).await, (false, vec![blueprint_id("a")]));
    assert_eq!(
        (fixture.place("a").await, fixture.place("b").await),
        ("parked".to_owned(), "ready".to_owned()),
        "what was paused by itself stays paused"
    );
    pause(&fixture, None).await;
    resume(&fixture, Some("a")).await;
    assert_eq!(paused(&fixture).await, (true, vec![]));
    assert_eq!(fixture.place("a").await, "parked", "everything is paused");
    resume(&fixture, None).await;
    assert_eq!(fixture.pending().await, ["b/b.1", "a/a.1"]);
}

#[tokio::test]
async fn the_same_again_changes_nothing() {
    let fixture = Fixture::with(&["a"]).await;
    fixture.submit("a", "a.1").await;
    for name in [None, Some(blueprint_id("a"))] {
        let name = name.as_ref();
        assert!(fixture.refused(fixture.store.resume_queue(name)).await);
        assert!(
            fixture
                .step(fixture.store.pause_queue(name, &Actor::anonymous()))
                .await
        );
        assert!(
            fixture
                .refused(fixture.store.pause_queue(name, &Actor::anonymous()))
                .await
        );
        assert!(fixture.step(fixture.store.resume_queue(name)).await);
        assert!(fixture.refused(fixture.store.resume_queue(name)).await);
    }
    let nobody = blueprint_id("nobody");
    assert!(
        !fixture
            .refused(
                fixture
                    .store
                    .pause_queue(Some(&nobody), &Actor::anonymous())
            )
            .await
    );
    assert!(
        !fixture
            .refused(fixture.store.resume_queue(Some(&nobody)))
            .await
    );
}

/// More queues than one script places, and more than one round trip reads.
#[tokio::test]
async fn thousands_of_queues_are_resumed_and_none_is_forgotten() {
    const N: usize = 1_300;
    let names: Vec<String> = (0..N).map(|n| format!("q{n}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let fixture = Fixture::with(&all).await;
    let store = &fixture.store;
    assert!(store.pause_queue(None, &Actor::anonymous()).await.unwrap());
    for name in &all {
        store
            .submit(&tests::store_fixture::new_issue(name, &format!("{name}.1")))
            .await
            .unwrap();
    }
    assert!(
        store
            .pause_queue(Some(&blueprint_id("q7")), &Actor::anonymous())
            .await
            .unwrap()
    );
    resume(&fixture, None).await;
    assert_eq!(fixture.pending().await.len(), N - 1);
    assert_eq!(fixture.place("q7").await, "parked");
    assert_eq!(store.audit_queues().await.unwrap(), []);
}

#[tokio::test]
async fn a_resume_that_died_half_way_is_finished_by_the_next_or_by_the_audit() {
    let fixture = Fixture::with(&["a", "b"]).await;
    for finished_by in ["resume", "audit"] {
        pause(&fixture, None).await;
        for name in ["a", "b"] {
            fixture.submit(name, &format!("{name}.{finished_by}")).await;
        }
        // The caller died after it had removed the mark.
        fixture.lift_pause("*").await;
        match finished_by {
            "resume" => resume(&fixture, None).await,
            // Placed, and not counted as a repair.
            _ => assert_eq!(fixture.store.audit_queues().await.unwrap(), []),
        }
        for _ in 0..2 {
            let taken = fixture.take(&worker_id("w"), LONG).await;
            fixture.step(fixture.settle(&taken, How::Applied)).await;
        }
    }
    let idle = dump(&fixture.store).await;
    resume(&fixture, None).await;
    assert_eq!(dump(&fixture.store).await, idle);
}

//! Issues that crash their workers: they are finally claimed alone, and only then given up.

use shared::store::{ClaimMode, ClaimOutcome, ReapOutcome, Release, ReturnOutcome};
use tests::store_fixture::{BESIDE, Fixture, LONG, OVER, claimed, worker_id};

const MAX_ATTEMPTS: u32 = 5;

#[tokio::test]
async fn an_issue_that_crashes_its_workers_is_claimed_alone_and_only_then_given_up() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let worker = worker_id("w");
    let issue = fixture.submit("a", "poison").await;
    for _ in 0..MAX_ATTEMPTS {
        fixture.crash(&worker).await;
    }
    // Beside others it may crash any number of times, because another issue may be the cause. So it
    // is not claimed beside others again.
    let popped = fixture.pop(&worker).await.unwrap();
    let beside = |shared_run_limit| ClaimMode::Shared { shared_run_limit };
    let claim = |claim_mode| store.claim(&popped, &worker, "n", OVER, None, claim_mode);
    for within_limit in 0..MAX_ATTEMPTS {
        let outcome = fixture.refused(claim(beside(within_limit))).await;
        assert!(matches!(outcome, ClaimOutcome::MustBeAlone), "{outcome:?}");
    }
    assert_eq!(fixture.issue(&issue).await.attempt, MAX_ATTEMPTS);
    let alone = claimed(fixture.step(claim(ClaimMode::Exclusive)).await);
    assert_eq!(alone.attempt, MAX_ATTEMPTS + 1);
    assert_eq!(
        fixture.step(store.reap(&issue, MAX_ATTEMPTS, 0.0)).await,
        ReapOutcome::Dead
    );
}

#[tokio::test]
async fn having_run_alone_counts_for_that_lease_only() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let worker = worker_id("w");
    let issue = fixture.submit("a", "i").await;
    let alone = fixture.take_in(&worker, LONG, ClaimMode::Exclusive).await;
    fixture
        .step(store.release(&alone.lease, &Release::Shutdown))
        .await;
    fixture.take(&worker, OVER).await;
    assert_eq!(
        fixture.step(store.reap(&issue, 1, 0.0)).await,
        ReapOutcome::Delayed(0)
    );
}

#[tokio::test]
async fn a_crash_alone_does_not_count_as_one_for_the_next_lease() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let worker = worker_id("w");
    let issue = fixture.submit("a", "i").await;
    fixture.take_in(&worker, OVER, ClaimMode::Exclusive).await;
    assert_eq!(
        fixture.step(store.reap(&issue, 2, 0.0)).await,
        ReapOutcome::Delayed(0)
    );
    fixture.step(store.promote(&issue)).await;
    fixture.take(&worker, OVER).await;
    assert_eq!(
        fixture.step(store.reap(&issue, 2, 0.0)).await,
        ReapOutcome::Delayed(0)
    );
}

#[tokio::test]
async fn what_a_silent_worker_has_claimed_stays_in_its_list() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let worker = worker_id("w");
    fixture.submit("a", "i").await;
    let popped = fixture.pop(&worker).await.unwrap();
    let claim = || store.claim(&popped, &worker, "n", LONG, None, BESIDE);
    let first = claimed(fixture.step(claim()).await);
    assert_eq!(
        fixture.refused(store.return_element(&popped, "w")).await,
        ReturnOutcome::Leased
    );
    // So the claim can be repeated after a lost reply.
    let again = claimed(fixture.refused(claim()).await);
    assert_eq!(again.lease, first.lease);
}

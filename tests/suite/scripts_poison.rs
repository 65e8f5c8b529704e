//! Issues that crash their workers: claimed alone in the end, and given up only then.

use shared::store::{ClaimOutcome, Company, ReapOutcome, Release, ReturnOutcome};
use tests::store_stand::{BESIDE, LONG, OVER, Stand, claimed, worker_id};

const MAX_ATTEMPTS: u32 = 5;

#[tokio::test]
async fn an_issue_that_crashes_its_workers_is_claimed_alone_and_only_then_given_up() {
    let stand = Stand::with(&["a"]).await;
    let store = &stand.store;
    let worker = worker_id("w");
    let issue = stand.submit("a", "poison").await;
    for _ in 0..MAX_ATTEMPTS {
        stand.crash(&worker).await;
    }
    // Beside others it may crash as often as it likes: it may be their fault. So it is not claimed so again.
    let popped = stand.pop(&worker).await.unwrap();
    let beside = |bearable_crashes| Company::Others { bearable_crashes };
    let claim = |company| store.claim(&popped, &worker, "n", OVER, None, company);
    for bearable in 0..MAX_ATTEMPTS {
        let outcome = stand.refused(claim(beside(bearable))).await;
        assert!(matches!(outcome, ClaimOutcome::MustBeAlone), "{outcome:?}");
    }
    assert_eq!(stand.issue(&issue).await.attempt, MAX_ATTEMPTS);
    let alone = claimed(stand.step(claim(Company::Alone)).await);
    assert_eq!(alone.attempt, MAX_ATTEMPTS + 1);
    assert_eq!(
        stand.step(store.reap(&issue, MAX_ATTEMPTS, 0.0)).await,
        ReapOutcome::Dead
    );
}

#[tokio::test]
async fn having_run_alone_counts_for_that_lease_only() {
    let stand = Stand::with(&["a"]).await;
    let store = &stand.store;
    let worker = worker_id("w");
    let issue = stand.submit("a", "i").await;
    let alone = stand.take_in(&worker, LONG, Company::Alone).await;
    stand
        .step(store.release(&alone.lease, &Release::Shutdown))
        .await;
    stand.take(&worker, OVER).await;
    assert_eq!(
        stand.step(store.reap(&issue, 1, 0.0)).await,
        ReapOutcome::Delayed(0)
    );
}

#[tokio::test]
async fn a_crash_alone_does_not_count_as_one_for_the_next_lease() {
    let stand = Stand::with(&["a"]).await;
    let store = &stand.store;
    let worker = worker_id("w");
    let issue = stand.submit("a", "i").await;
    stand.take_in(&worker, OVER, Company::Alone).await;
    assert_eq!(
        stand.step(store.reap(&issue, 2, 0.0)).await,
        ReapOutcome::Delayed(0)
    );
    stand.step(store.promote(&issue)).await;
    stand.take(&worker, OVER).await;
    assert_eq!(
        stand.step(store.reap(&issue, 2, 0.0)).await,
        ReapOutcome::Delayed(0)
    );
}

#[tokio::test]
async fn what_a_silent_worker_has_claimed_stays_in_its_list() {
    let stand = Stand::with(&["a"]).await;
    let store = &stand.store;
    let worker = worker_id("w");
    stand.submit("a", "i").await;
    let popped = stand.pop(&worker).await.unwrap();
    let claim = || store.claim(&popped, &worker, "n", LONG, None, BESIDE);
    let first = claimed(stand.step(claim()).await);
    assert_eq!(
        stand.refused(store.return_element(&popped, "w")).await,
        ReturnOutcome::Leased
    );
    // So the claim can be repeated if its reply was lost.
    let again = claimed(stand.refused(claim()).await);
    assert_eq!(again.lease, first.lease);
}

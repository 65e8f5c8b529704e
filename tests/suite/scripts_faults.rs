//! The scripts when something goes wrong: workers that die, stall and come back, replies that get
//! lost, callers that race, a Redis that forgets scripts or is full.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use shared::issue::{Authority, IssueState, RejectionCause};
use shared::store::{
    Beat, CancelOutcome, ClaimOutcome, Claimed, Company, IssueRef, Lease, PromoteOutcome,
    ReapOutcome, Release, ReleaseOutcome, ReturnOutcome, SettleOutcome, Shard, StoreError,
    SubmitOutcome,
};
use tests::raw_script::outcome_for;
use tests::store_audit::audit;
use tests::store_stand::{
    BESIDE, How, LONG, OVER, Stand, claimed, fault, issue_ref, new_issue, worker_id,
};

const MAX_ATTEMPTS: u32 = 5;

// ---- fencing ------------------------------------------------------------------------------

/// Whatever this worker says of the issue, nothing changes.
async fn assert_fenced(stand: &Stand, late: &Claimed, what: &str) {
    for how in [How::Applied, How::Denied, How::Failed, How::Dead] {
        let outcome = stand.refused(stand.settle(late, how)).await;
        assert_eq!(outcome, SettleOutcome::Stale, "{what}");
    }
    for release in [Release::Shutdown, fault(0)] {
        let outcome = stand
            .refused(stand.store.release(&late.lease, &release))
            .await;
        assert_eq!(outcome, ReleaseOutcome::Stale, "{what}");
    }
}

#[tokio::test]
async fn a_worker_that_comes_back_is_fenced() {
    let stand = Stand::with(&["a"]).await;
    let store = &stand.store;
    let (slow, quick) = (worker_id("slow"), worker_id("quick"));
    let issue = stand.submit("a", "i").await;
    let late = stand.take(&slow, OVER).await;
    stand.step(store.reap(&issue, MAX_ATTEMPTS, 0.0)).await;
    assert_fenced(&stand, &late, "reaped").await;
    stand.step(store.promote(&issue)).await;
    assert_fenced(&stand, &late, "promoted").await;
    let present = stand.take(&quick, LONG).await;
    assert_ne!(present.lease.token, late.lease.token);
    assert_fenced(&stand, &late, "claimed by another").await;
    let beat = store
        .beat(&slow, LONG, std::slice::from_ref(&late.lease))
        .await
        .unwrap();
    assert_eq!(
        beat,
        Beat {
            lost: vec![issue.clone()],
            ..Beat::default()
        }
    );
    let outcome = stand.step(stand.settle(&present, How::Applied)).await;
    assert_eq!(outcome, SettleOutcome::Settled(IssueState::Applied));
    assert_fenced(&stand, &late, "decided by another").await;
}

#[tokio::test]
async fn the_same_worker_under_the_same_nonce_gets_a_new_token() {
    let stand = Stand::with(&["a"]).await;
    let store = &stand.store;
    let worker = worker_id("w");
    let issue = stand.submit("a", "i").await;
    let mut tokens = BTreeSet::new();
    for _ in 0..3 {
        stand.pop(&worker).await.expect("an element");
        let claim = claimed(
            stand
                .step(store.claim(&issue, &worker, "n", LONG, None, BESIDE))
                .await,
        );
        assert!(tokens.insert(claim.lease.token.clone()), "{tokens:?}");
        stand
            .step(store.release(&claim.lease, &Release::Shutdown))
            .await;
        assert_fenced(&stand, &claim, "given back").await;
    }
}

#[tokio::test]
async fn a_token_that_was_given_up_owns_no_later_decision() {
    let stand = Stand::with(&["a"]).await;
    let store = &stand.store;
    let (slow, quick) = (worker_id("slow"), worker_id("quick"));
    for (name, gives_up) in [("released", true), ("reaped", false)] {
        let issue = stand.submit("a", name).await;
        let late = stand.take(&slow, OVER).await;
        if gives_up {
            stand
                .step(store.release(&late.lease, &Release::Shutdown))
                .await;
        } else {
            stand.step(store.reap(&issue, MAX_ATTEMPTS, 0.0)).await;
            stand.step(store.promote(&issue)).await;
        }
        // Decided without any lease, so that no new token takes the place of the old one.
        stand.pop(&quick).await.expect("an element");
        stand.set_archived("a", true).await;
        let claim = store.claim(&issue, &quick, "n", LONG, None, BESIDE);
        assert!(matches!(stand.step(claim).await, ClaimOutcome::Archived));
        assert_fenced(&stand, &late, name).await;
        stand.set_archived("a", false).await;
    }
}

// ---- reap ---------------------------------------------------------------------------------

#[tokio::test]
async fn reap_takes_only_what_ran_out() {
    let stand = Stand::with(&["a"]).await;
    let store = &stand.store;
    let worker = worker_id("w");
    let reap = |issue: &IssueRef| {
        let (store, issue) = (store.clone(), issue.clone());
        async move { store.reap(&issue, MAX_ATTEMPTS, 0.5).await }
    };
    assert_eq!(
        stand.refused(reap(&issue_ref("a", "unknown"))).await,
        ReapOutcome::Gone
    );
    let issue = stand.submit("a", "i").await;
    assert_eq!(stand.refused(reap(&issue)).await, ReapOutcome::Gone);
    let running = stand.take(&worker, LONG).await;
    assert_eq!(stand.refused(reap(&issue)).await, ReapOutcome::Alive);
    assert!(store.expired_leases(10).await.unwrap().is_empty());
    stand
        .step(store.release(&running.lease, &Release::Shutdown))
        .await;

    stand.take(&worker, OVER).await;
    let expired = store.expired_leases(10).await.unwrap();
    assert_eq!(expired, std::slice::from_ref(&issue));
    assert_eq!(stand.step(reap(&issue)).await, ReapOutcome::Delayed(500));
    assert_eq!(stand.refused(reap(&issue)).await, ReapOutcome::Gone);
    let found = stand.issue(&issue).await;
    assert_eq!(
        (found.state, found.attempt, found.revision),
        (IssueState::Pending, 1, 5)
    );
    assert_eq!(found.reason, "worker w let its lease run out");
    assert_eq!(stand.place("a").await, "delayed");
}

#[tokio::test]
async fn an_expired_lease_that_nobody_reaped_may_be_extended() {
    let stand = Stand::with(&["a"]).await;
    let store = &stand.store;
    let worker = worker_id("w");
    let issue = stand.submit("a", "i").await;
    let claimed = stand.take(&worker, OVER).await;
    let held = std::slice::from_ref(&claimed.lease);
    assert_eq!(
        stand.step(store.beat(&worker, LONG, held)).await,
        Beat::default()
    );
    let outcome = stand.refused(store.reap(&issue, MAX_ATTEMPTS, 0.0)).await;
    assert_eq!(outcome, ReapOutcome::Alive);
}

#[tokio::test]
async fn the_delay_doubles_up_to_a_minute_and_then_the_issue_is_dead() {
    let stand = Stand::with(&["a"]).await;
    let store = &stand.store;
    let issue = stand.submit("a", "poison").await;
    stand.submit("a", "next").await;
    let mut delays = Vec::new();
    let due_at = async || -> f64 {
        let element = issue.element();
        stand
            .raw(&["ZSCORE", &store.keys().delayed(), &element])
            .await
    };
    for attempt in 1..=9 {
        let worker = worker_id(&format!("w{attempt}"));
        let taken = stand.take_in(&worker, OVER, Company::Alone).await;
        assert_eq!(taken.attempt, attempt);
        match stand.step(store.reap(&issue, 9, 1.0)).await {
            ReapOutcome::Delayed(ms) => {
                let reaped_at = stand.issue(&issue).await.updated_at_ms;
                assert_eq!(due_at().await, (reaped_at + ms) as f64);
                delays.push(ms / 1000);
            }
            ReapOutcome::Dead => break,
            other => panic!("{other:?}"),
        }
        let _: i64 = stand
            .raw(&["ZADD", &store.keys().delayed(), "1", &issue.element()])
            .await;
        stand.step(store.promote(&issue)).await;
    }
    assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);

    let found = stand.issue(&issue).await;
    assert_eq!(
        (found.state, found.cause),
        (IssueState::Rejected, Some(RejectionCause::Failed))
    );
    assert_eq!(found.attempt, 9);
    let entry = stand.log_entry(&issue).await;
    assert_eq!(entry.reasons, [found.reason.as_str()]);
    assert_eq!((entry.attempt, entry.intent), (9, found.intent));
    assert!(
        found.reason.starts_with("dispatch failed after 9 attempts"),
        "{}",
        found.reason
    );
    assert!(found.reason.ends_with("last w9"), "{}", found.reason);
    let dead: Vec<String> = stand
        .raw(&["ZRANGE", &store.keys().dead(), "0", "-1"])
        .await;
    assert_eq!(dead, ["poison"]);
    assert_eq!(stand.pending().await, ["a/next"]);
}

#[tokio::test]
async fn passing_faults_send_no_issue_to_the_dead_list() {
    let stand = Stand::with(&["a"]).await;
    let store = &stand.store;
    let worker = worker_id("w");
    let issue = stand.submit("a", "i").await;
    for retries in 0..6 {
        let claimed = stand.take(&worker, LONG).await;
        assert_eq!((claimed.attempt, claimed.retries), (retries + 1, retries));
        stand.step(store.release(&claimed.lease, &fault(0))).await;
        assert_eq!(
            stand.step(store.promote(&issue)).await,
            PromoteOutcome::Promoted
        );
    }
    for _ in 1..MAX_ATTEMPTS {
        stand.crash(&worker).await;
    }
    let last = stand.take_in(&worker, OVER, Company::Alone).await;
    assert_eq!(last.attempt, 6 + MAX_ATTEMPTS);
    let outcome = stand.step(store.reap(&issue, MAX_ATTEMPTS, 0.0)).await;
    assert_eq!(outcome, ReapOutcome::Dead);
    assert_fenced(&stand, &last, "dead").await;
}

/// Runs a script of an issue with a holder that the caller has read too early, which the typed
/// functions cannot be made to do: they read just before.
async fn run_with_old_holder(stand: &Stand, name: &str, issue: &IssueRef, args: &[&str]) -> String {
    let args = [&["old"], args].concat();
    let call = outcome_for(&stand.store, name, issue, "old", &args);
    stand.refused(call).await
}

#[tokio::test]
async fn a_holder_that_changed_is_not_touched() {
    let stand = Stand::with(&["a"]).await;
    let issue = stand.submit("a", "i").await;
    stand.take(&worker_id("new"), OVER).await;
    let reap = run_with_old_holder(&stand, "reap_issue", &issue, &["5", "0.5", "{}"]).await;
    assert_eq!(reap, "moved");
    let cancel = run_with_old_holder(
        &stand,
        "cancel_issue",
        &issue,
        &["{}", "called-off", "admin"],
    )
    .await;
    assert_eq!(cancel, "moved");
}

// ---- heartbeat ----------------------------------------------------------------------------

#[tokio::test]
async fn a_heartbeat_extends_and_tells_what_was_missed() {
    let stand = Stand::with(&["kept", "lost", "off", "done", "popped"]).await;
    let store = &stand.store;
    let (worker, other) = (worker_id("w"), worker_id("other"));
    let mut leases = Vec::new();
    for name in ["kept", "lost", "off", "done"] {
        stand.submit(name, name).await;
        let lease_ms = if name == "lost" { OVER } else { 1000 };
        leases.push(stand.take(&worker, lease_ms).await);
    }
    stand
        .step(store.reap(&leases[1].lease.issue, MAX_ATTEMPTS, 0.0))
        .await;
    stand
        .step(store.cancel_issue(&leases[2].lease.issue.issue_id, Authority::Admin))
        .await;
    stand.step(stand.settle(&leases[3], How::Applied)).await;
    // A pop whose reply got lost, and what another worker has.
    let popped = stand.submit("popped", "popped").await;
    stand.pop(&worker).await.expect("an element");

    let held: Vec<Lease> = leases.iter().map(|c| c.lease.clone()).collect();
    let expires = async || {
        let score: f64 = stand
            .raw(&["ZSCORE", &store.keys().leases(), &held[0].issue.element()])
            .await;
        score as u64
    };
    let server_ms = async || -> u64 {
        let (secs, micros): (u64, u64) = stand.raw(&["TIME"]).await;
        secs * 1000 + micros / 1000
    };
    let sent = server_ms().await;
    let beat = stand.step(store.beat(&worker, LONG, &held)).await;
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
        stand
            .step(store.claim(&popped, &worker, "n", LONG, None, BESIDE))
            .await,
    );

    // A wrong token extends nothing.
    let wrong = Lease {
        token: "1-wrong".to_owned(),
        ..held[0].clone()
    };
    let before = expires().await;
    let beat = stand.step(store.beat(&worker, 2 * LONG, &[wrong])).await;
    assert_eq!(
        beat,
        Beat {
            lost: vec![held[0].issue.clone()],
            ..Beat::default()
        }
    );
    assert_eq!(expires().await, before);
    assert_eq!(
        stand.step(store.beat(&other, LONG, &[])).await,
        Beat::default()
    );
}

#[tokio::test]
async fn workers_are_known_until_they_are_forgotten() {
    let stand = Stand::with(&["a"]).await;
    let store = &stand.store;
    let names = ["dead", "left", "lives"];
    for name in names {
        store.beat(&worker_id(name), LONG, &[]).await.unwrap();
    }
    assert!(store.silent_workers(LONG).await.unwrap().is_empty());
    let two_hours_ago = async |name: &str| {
        let seen: f64 = stand.raw(&["ZSCORE", &store.keys().workers(), name]).await;
        let seen = (seen as u64 - 7_200_000).to_string();
        let _: i64 = stand
            .raw(&["ZADD", &store.keys().workers(), &seen, name])
            .await;
    };
    two_hours_ago("dead").await;
    two_hours_ago("left").await;
    stand.submit("a", "i").await;
    stand.pop(&worker_id("left")).await.expect("an element");
    let silent = store.silent_workers(LONG).await.unwrap();
    assert_eq!(silent.len(), 2, "{silent:?}");
    // One that left something is remembered until that is given back.
    store.forget_old_workers().await.unwrap();
    assert_eq!(
        store.silent_workers(LONG).await.unwrap(),
        [worker_id("left")]
    );
    for issue in store.processing("left").await.unwrap() {
        let outcome = stand.step(store.return_element(&issue, "left")).await;
        assert_eq!(outcome, ReturnOutcome::Returned);
    }
    store.forget_old_workers().await.unwrap();
    assert!(store.silent_workers(LONG).await.unwrap().is_empty());
    store.forget_worker(&worker_id("lives")).await.unwrap();
    assert!(store.queue_stats().await.unwrap().workers.is_empty());
}

// ---- races --------------------------------------------------------------------------------

#[tokio::test]
async fn racing_claims_give_one_lease() {
    let stand = Stand::with(&["a"]).await;
    let worker = worker_id("w");
    let clients = [
        stand.store.with_own_connection(Duration::MAX),
        stand.store.with_own_connection(Duration::MAX),
    ];
    for round in 0..20 {
        let issue = stand.submit("a", &format!("i{round}")).await;
        stand.pop(&worker).await.expect("an element");
        // The same call twice, or heartbeat and consumer each with a nonce of its own.
        let nonces = if round % 2 == 0 {
            ["same", "same"]
        } else {
            ["one", "two"]
        };
        let claims = clients.iter().zip(nonces);
        let claims =
            claims.map(|(store, nonce)| store.claim(&issue, &worker, nonce, LONG, None, BESIDE));
        let mut leases = Vec::new();
        let mut held = 0;
        for outcome in join_all(claims).await {
            match outcome.unwrap() {
                ClaimOutcome::Claimed(claimed) => leases.push(claimed),
                ClaimOutcome::Held => held += 1,
                other => panic!("{other:?}"),
            }
        }
        audit(&stand.store).await;
        assert!(leases.windows(2).all(|pair| pair[0].lease == pair[1].lease));
        assert_eq!(
            (leases.len(), held),
            if round % 2 == 0 { (2, 0) } else { (1, 1) }
        );
        assert_eq!(stand.issue(&issue).await.attempt, 1);
        stand.step(stand.settle(&leases[0], How::Denied)).await;
    }
}

#[tokio::test]
async fn racing_submissions_store_one_issue() {
    let stand = Stand::with(&["a"]).await;
    let clients: Vec<Shard> = (0..8)
        .map(|_| stand.store.with_own_connection(Duration::MAX))
        .collect();
    for round in 0..5 {
        let new = new_issue("a", &format!("i{round}"));
        let outcomes = join_all(clients.iter().map(|store| store.submit(&new))).await;
        audit(&stand.store).await;
        let accepted =
            |o: &Result<SubmitOutcome, StoreError>| matches!(o, Ok(SubmitOutcome::Accepted(_)));
        let existed =
            |o: &Result<SubmitOutcome, StoreError>| matches!(o, Ok(SubmitOutcome::Existed(_)));
        assert_eq!(
            outcomes.iter().filter(|o| accepted(o)).count(),
            1,
            "{outcomes:?}"
        );
        assert_eq!(
            outcomes.iter().filter(|o| existed(o)).count(),
            7,
            "{outcomes:?}"
        );
    }
}

#[tokio::test]
async fn settle_cancel_and_reap_race_for_one_decision() {
    let stand = Stand::with(&["a"]).await;
    let (settler, canceller, reaper) = (
        stand.store.with_own_connection(Duration::MAX),
        stand.store.with_own_connection(Duration::MAX),
        stand.store.with_own_connection(Duration::MAX),
    );
    for round in 0..20 {
        let issue = stand.submit("a", &format!("i{round}")).await;
        let worker = worker_id("w");
        let claimed = stand.take_in(&worker, OVER, Company::Alone).await;
        let settle = settler.release(&claimed.lease, &Release::Shutdown);
        let settled = stand.settle(&claimed, How::Denied);
        let (settled, cancelled, reaped, released) = tokio::join!(
            settled,
            canceller.cancel_issue(&issue.issue_id, Authority::Admin),
            reaper.reap(&issue, 1, 0.0),
            settle,
        );
        audit(&stand.store).await;
        let cancelled = matches!(cancelled.unwrap(), CancelOutcome::Cancelled(_));
        let settled = settled.unwrap() == SettleOutcome::Settled(IssueState::Rejected);
        let reaped = reaped.unwrap() == ReapOutcome::Dead;
        let decided = usize::from(cancelled) + usize::from(settled) + usize::from(reaped);
        assert!(decided <= 1, "{cancelled} {settled} {reaped}");
        let found = stand.issue(&issue).await;
        assert_eq!(
            decided,
            usize::from(found.state.is_terminal()),
            "{released:?}"
        );
        if decided == 0 {
            stand
                .step(stand.store.cancel_issue(&issue.issue_id, Authority::Admin))
                .await;
        }
        assert_eq!(
            stand.log_entry(&issue).await.cause,
            stand.issue(&issue).await.cause
        );
    }
}

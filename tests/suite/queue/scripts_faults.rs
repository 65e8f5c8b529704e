//! The scripts under faults: workers that die, stall and resume, lost replies, concurrent callers,
//! a Redis that loses scripts or is full.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use shared::domain::issue::{Authority, IssueState, RejectionCause};
use shared::store::{
    Beat, CancelOutcome, ClaimMode, ClaimOutcome, Claimed, IssueRef, PromoteOutcome, ReapOutcome,
    Release, ReleaseOutcome, SettleOutcome, Shard, StoreError, SubmitOutcome,
};
use tests::raw_script::outcome_for;
use tests::store_audit::audit;
use tests::store_fixture::{
    BESIDE, Fixture, How, LONG, OVER, claimed, fault, issue_ref, new_issue, worker_id,
};

const MAX_ATTEMPTS: u32 = 5;

// ---- fencing ------------------------------------------------------------------------------

/// Checks that no call of this worker for the issue changes anything.
async fn assert_fenced(fixture: &Fixture, late: &Claimed, what: &str) {
    for how in [How::Applied, How::Denied, How::Failed, How::Dead] {
        let outcome = fixture.refused(fixture.settle(late, how)).await;
        assert_eq!(outcome, SettleOutcome::Stale, "{what}");
    }
    for release in [Release::Shutdown, fault(0)] {
        let outcome = fixture
            .refused(fixture.store.release(&late.lease, &release))
            .await;
        assert_eq!(outcome, ReleaseOutcome::Stale, "{what}");
    }
}

#[tokio::test]
async fn a_worker_that_comes_back_is_fenced() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let (slow, quick) = (worker_id("slow"), worker_id("quick"));
    let issue = fixture.submit("a", "i").await;
    let late = fixture.take(&slow, OVER).await;
    fixture.step(store.reap(&issue, MAX_ATTEMPTS, 0.0)).await;
    assert_fenced(&fixture, &late, "reaped").await;
    fixture.step(store.promote(&issue)).await;
    assert_fenced(&fixture, &late, "promoted").await;
    let present = fixture.take(&quick, LONG).await;
    assert_ne!(present.lease.token, late.lease.token);
    assert_fenced(&fixture, &late, "claimed by another").await;
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
    let outcome = fixture.step(fixture.settle(&present, How::Applied)).await;
    assert_eq!(outcome, SettleOutcome::Settled(IssueState::Applied));
    assert_fenced(&fixture, &late, "decided by another").await;
}

#[tokio::test]
async fn the_same_worker_under_the_same_nonce_gets_a_new_token() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let worker = worker_id("w");
    let issue = fixture.submit("a", "i").await;
    let mut tokens = BTreeSet::new();
    for _ in 0..3 {
        fixture.pop(&worker).await.expect("an element");
        let claim = claimed(
            fixture
                .step(store.claim(&issue, &worker, "n", LONG, None, BESIDE))
                .await,
        );
        assert!(tokens.insert(claim.lease.token.clone()), "{tokens:?}");
        fixture
            .step(store.release(&claim.lease, &Release::Shutdown))
            .await;
        assert_fenced(&fixture, &claim, "given back").await;
    }
}

#[tokio::test]
async fn a_token_that_was_given_up_owns_no_later_decision() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let (slow, quick) = (worker_id("slow"), worker_id("quick"));
    for (name, gives_up) in [("released", true), ("reaped", false)] {
        let issue = fixture.submit("a", name).await;
        let late = fixture.take(&slow, OVER).await;
        if gives_up {
            fixture
                .step(store.release(&late.lease, &Release::Shutdown))
                .await;
        } else {
            fixture.step(store.reap(&issue, MAX_ATTEMPTS, 0.0)).await;
            fixture.step(store.promote(&issue)).await;
        }
        // Decided without a lease, so that no new token replaces the old one.
        fixture.pop(&quick).await.expect("an element");
        fixture.set_archived("a", true).await;
        let claim = store.claim(&issue, &quick, "n", LONG, None, BESIDE);
        assert!(matches!(fixture.step(claim).await, ClaimOutcome::Archived));
        assert_fenced(&fixture, &late, name).await;
        fixture.set_archived("a", false).await;
    }
}

// ---- reap ---------------------------------------------------------------------------------

#[tokio::test]
async fn reap_takes_only_what_ran_out() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let worker = worker_id("w");
    let reap = |issue: &IssueRef| {
        let (store, issue) = (store.clone(), issue.clone());
        async move { store.reap(&issue, MAX_ATTEMPTS, 0.5).await }
    };
    assert_eq!(
        fixture.refused(reap(&issue_ref("a", "unknown"))).await,
        ReapOutcome::Gone
    );
    let issue = fixture.submit("a", "i").await;
    assert_eq!(fixture.refused(reap(&issue)).await, ReapOutcome::Gone);
    let running = fixture.take(&worker, LONG).await;
    assert_eq!(fixture.refused(reap(&issue)).await, ReapOutcome::Alive);
    assert!(store.expired_leases(10).await.unwrap().is_empty());
    fixture
        .step(store.release(&running.lease, &Release::Shutdown))
        .await;

    fixture.take(&worker, OVER).await;
    let expired = store.expired_leases(10).await.unwrap();
    assert_eq!(expired, std::slice::from_ref(&issue));
    assert_eq!(fixture.step(reap(&issue)).await, ReapOutcome::Delayed(500));
    assert_eq!(fixture.refused(reap(&issue)).await, ReapOutcome::Gone);
    let found = fixture.issue(&issue).await;
    assert_eq!(
        (found.state, found.attempt, found.revision),
        (IssueState::Pending, 1, 5)
    );
    assert_eq!(found.reason, "worker w let its lease run out");
    assert_eq!(fixture.place("a").await, "delayed");
}

#[tokio::test]
async fn an_expired_lease_that_nobody_reaped_may_be_extended() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let worker = worker_id("w");
    let issue = fixture.submit("a", "i").await;
    let claimed = fixture.take(&worker, OVER).await;
    let held = std::slice::from_ref(&claimed.lease);
    assert_eq!(
        fixture.step(store.beat(&worker, LONG, held)).await,
        Beat::default()
    );
    let outcome = fixture.refused(store.reap(&issue, MAX_ATTEMPTS, 0.0)).await;
    assert_eq!(outcome, ReapOutcome::Alive);
}

#[tokio::test]
async fn the_delay_doubles_up_to_a_minute_and_then_the_issue_is_dead() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let issue = fixture.submit("a", "poison").await;
    fixture.submit("a", "next").await;
    let mut delays = Vec::new();
    let due_at = async || -> f64 {
        let element = issue.element();
        fixture
            .raw(&["ZSCORE", &store.keys().delayed(), &element])
            .await
    };
    for attempt in 1..=9 {
        let worker = worker_id(&format!("w{attempt}"));
        let taken = fixture.take_in(&worker, OVER, ClaimMode::Exclusive).await;
        assert_eq!(taken.attempt, attempt);
        match fixture.step(store.reap(&issue, 9, 1.0)).await {
            ReapOutcome::Delayed(ms) => {
                let reaped_at = fixture.issue(&issue).await.updated_at_ms;
                assert_eq!(due_at().await, (reaped_at + ms) as f64);
                delays.push(ms / 1000);
            }
            ReapOutcome::Dead => break,
            other => panic!("{other:?}"),
        }
        let _: i64 = fixture
            .raw(&["ZADD", &store.keys().delayed(), "1", &issue.element()])
            .await;
        fixture.step(store.promote(&issue)).await;
    }
    assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);

    let found = fixture.issue(&issue).await;
    assert_eq!(
        (found.state, found.cause),
        (IssueState::Rejected, Some(RejectionCause::Failed))
    );
    assert_eq!(found.attempt, 9);
    let entry = fixture.log_entry(&issue).await;
    assert_eq!(entry.reasons, [found.reason.as_str()]);
    assert_eq!((entry.attempt, entry.intent), (9, found.intent));
    assert!(
        found.reason.starts_with("dispatch failed after 9 attempts"),
        "{}",
        found.reason
    );
    assert!(found.reason.ends_with("last w9"), "{}", found.reason);
    let dead: Vec<String> = fixture
        .raw(&["ZRANGE", &store.keys().dead(), "0", "-1"])
        .await;
    assert_eq!(dead, ["poison"]);
    assert_eq!(fixture.pending().await, ["a/next"]);
}

#[tokio::test]
async fn passing_faults_send_no_issue_to_the_dead_list() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let worker = worker_id("w");
    let issue = fixture.submit("a", "i").await;
    for retries in 0..6 {
        let claimed = fixture.take(&worker, LONG).await;
        assert_eq!((claimed.attempt, claimed.retries), (retries + 1, retries));
        fixture.step(store.release(&claimed.lease, &fault(0))).await;
        assert_eq!(
            fixture.step(store.promote(&issue)).await,
            PromoteOutcome::Promoted
        );
    }
    for _ in 1..MAX_ATTEMPTS {
        fixture.crash(&worker).await;
    }
    let last = fixture.take_in(&worker, OVER, ClaimMode::Exclusive).await;
    assert_eq!(last.attempt, 6 + MAX_ATTEMPTS);
    let outcome = fixture.step(store.reap(&issue, MAX_ATTEMPTS, 0.0)).await;
    assert_eq!(outcome, ReapOutcome::Dead);
    assert_fenced(&fixture, &last, "dead").await;
}

/// Runs a script of an issue with an outdated holder. The typed functions cannot do this, because
/// they read the holder just before the call.
async fn run_with_old_holder(
    fixture: &Fixture,
    name: &str,
    issue: &IssueRef,
    own: serde_json::Value,
) -> String {
    let call = outcome_for(&fixture.store, name, issue, "old", own);
    fixture.refused(call).await
}

#[tokio::test]
async fn a_holder_that_changed_is_not_touched() {
    let fixture = Fixture::with(&["a"]).await;
    let issue = fixture.submit("a", "i").await;
    fixture.take(&worker_id("new"), OVER).await;
    let own = json!({"max_attempts": 5, "jitter": 0.5, "log": "{}"});
    let reap = run_with_old_holder(&fixture, "reap_issue", &issue, own).await;
    assert_eq!(reap, "moved");
    let own = json!({"log": "{}", "authority": "admin", "is_bundled": false});
    let cancel = run_with_old_holder(&fixture, "cancel_issue", &issue, own).await;
    assert_eq!(cancel, "moved");
}

// ---- races --------------------------------------------------------------------------------

#[tokio::test]
async fn racing_claims_give_one_lease() {
    let fixture = Fixture::with(&["a"]).await;
    let worker = worker_id("w");
    let clients = [
        fixture.store.with_own_connection(Duration::MAX),
        fixture.store.with_own_connection(Duration::MAX),
    ];
    for round in 0..20 {
        let issue = fixture.submit("a", &format!("i{round}")).await;
        fixture.pop(&worker).await.expect("an element");
        // The same call twice, or heartbeat and consumer with separate nonces.
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
        audit(&fixture.store).await;
        assert!(leases.windows(2).all(|pair| pair[0].lease == pair[1].lease));
        assert_eq!(
            (leases.len(), held),
            if round % 2 == 0 { (2, 0) } else { (1, 1) }
        );
        assert_eq!(fixture.issue(&issue).await.attempt, 1);
        fixture.step(fixture.settle(&leases[0], How::Denied)).await;
    }
}

#[tokio::test]
async fn racing_submissions_store_one_issue() {
    let fixture = Fixture::with(&["a"]).await;
    let clients: Vec<Shard> = (0..8)
        .map(|_| fixture.store.with_own_connection(Duration::MAX))
        .collect();
    for round in 0..5 {
        let new = new_issue("a", &format!("i{round}"));
        let outcomes = join_all(clients.iter().map(|store| store.submit(&new))).await;
        audit(&fixture.store).await;
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
    let fixture = Fixture::with(&["a"]).await;
    let (settler, canceller, reaper) = (
        fixture.store.with_own_connection(Duration::MAX),
        fixture.store.with_own_connection(Duration::MAX),
        fixture.store.with_own_connection(Duration::MAX),
    );
    for round in 0..20 {
        let issue = fixture.submit("a", &format!("i{round}")).await;
        let worker = worker_id("w");
        let claimed = fixture.take_in(&worker, OVER, ClaimMode::Exclusive).await;
        let settle = settler.release(&claimed.lease, &Release::Shutdown);
        let settled = fixture.settle(&claimed, How::Denied);
        let (settled, cancelled, reaped, released) = tokio::join!(
            settled,
            canceller.cancel_issue(&issue.issue_id, Authority::Admin),
            reaper.reap(&issue, 1, 0.0),
            settle,
        );
        audit(&fixture.store).await;
        let cancelled = matches!(cancelled.unwrap(), CancelOutcome::Cancelled(_));
        let settled = settled.unwrap() == SettleOutcome::Settled(IssueState::Rejected);
        let reaped = reaped.unwrap() == ReapOutcome::Dead;
        let decided = usize::from(cancelled) + usize::from(settled) + usize::from(reaped);
        assert!(decided <= 1, "{cancelled} {settled} {reaped}");
        let found = fixture.issue(&issue).await;
        assert_eq!(
            decided,
            usize::from(found.state.is_terminal()),
            "{released:?}"
        );
        if decided == 0 {
            fixture
                .step(
                    fixture
                        .store
                        .cancel_issue(&issue.issue_id, Authority::Admin),
                )
                .await;
        }
        assert_eq!(
            fixture.log_entry(&issue).await.cause,
            fixture.issue(&issue).await.cause
        );
    }
}

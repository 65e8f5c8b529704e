//! The script that keeps a paid step with its issue: each outcome, and that every way of deciding takes it off.

use shared::enhance_log::SpawnerUsage;
use shared::ids::IssueId;
use shared::issue::Authority;
use shared::store::redis::steps::{MAX_STEP_BYTES, MAX_STEPS};
use shared::store::{
    CancelOutcome, Claimed, CostOutcome, Lease, PaidStep, ReapOutcome, Release, RememberOutcome,
};
use tests::store_stand::{BESIDE, How, LONG, OVER, Stand, fault, with_token, worker_id};

fn paid(output: &str) -> PaidStep {
    PaidStep {
        output: output.to_owned(),
        usage: SpawnerUsage {
            agent_kind: "llm".to_owned(),
            model: "m".to_owned(),
            input_tokens: 11,
            output_tokens: 7,
            calls: 2,
            duration_ms: 5,
        },
    }
}

/// Keeps `{}` under `a` for what was claimed.
async fn remember(stand: &Stand, claimed: &Claimed) {
    let kept = stand
        .step(stand.store.remember_step(&claimed.lease, "a", &paid("{}")))
        .await;
    assert_eq!(kept, RememberOutcome::Kept);
}

async fn n_kept(stand: &Stand, issue: &IssueId) -> u64 {
    stand.raw(&["HLEN", &stand.store.keys().steps(issue)]).await
}

#[tokio::test]
async fn a_step_is_kept_as_it_was_and_only_once() {
    let stand = Stand::with(&["a"]).await;
    let issue = stand.submit("a", "i").await;
    let claimed = stand.take(&worker_id("w"), LONG).await;
    let odd = paid("{\"n\":9223372036854775807,\"e\":[],\"o\":{},\"f\":1.0,\"t\":\"ä\\\"\"}");
    let kept = stand
        .step(stand.store.remember_step(&claimed.lease, "a", &odd))
        .await;
    assert_eq!(kept, RememberOutcome::Kept);
    let read = async |asked: &str| stand.store.remembered_step(&issue, asked).await.unwrap().0;
    assert_eq!(read("a").await, Some(odd));
    assert_eq!(read("b").await, None);

    // Called again, as after a reply that got lost.
    let other = paid("1");
    let again = stand.store.remember_step(&claimed.lease, "a", &other);
    assert_eq!(stand.refused(again).await, RememberOutcome::Kept);
}

#[tokio::test]
async fn who_lost_the_issue_writes_nothing() {
    let stand = Stand::with(&["a"]).await;
    let issue = stand.submit("a", "i").await;
    let first = stand.take(&worker_id("old"), OVER).await;
    remember(&stand, &first).await;
    let stale = async |lease: Lease| {
        let step = paid("{}");
        let late = stand.store.remember_step(&lease, "late", &step);
        assert_eq!(stand.refused(late).await, RememberOutcome::Stale);
    };
    let reaped = stand.step(stand.store.reap(&issue, 5, 0.0)).await;
    assert!(matches!(reaped, ReapOutcome::Delayed(_)), "{reaped:?}");
    stale(first.lease.clone()).await;
    stale(with_token(&first.lease, "")).await;

    // The next one has what the first has paid for.
    stand.step(stand.store.promote(&issue)).await;
    let second = stand.take_in(&worker_id("new"), LONG, BESIDE).await;
    stale(first.lease.clone()).await;
    assert_eq!(n_kept(&stand, &issue.issue_id).await, 1);
    let found = stand.store.remembered_step(&issue, "a").await.unwrap();
    assert_eq!(found, (Some(paid("{}")), SpawnerUsage::default()));
    remember(&stand, &second).await;
}

#[tokio::test]
async fn the_cost_that_is_noted_only_rises() {
    let stand = Stand::with(&["a"]).await;
    let issue = stand.submit("a", "i").await;
    let first = stand.take(&worker_id("old"), OVER).await;
    let cost = |calls: u32| SpawnerUsage {
        calls,
        ..paid("").usage
    };
    let noted = async || stand.store.remembered_step(&issue, "a").await.unwrap().1;
    assert_eq!(noted().await, SpawnerUsage::default());
    let note = async |lease: &Lease, calls| {
        let cost = cost(calls);
        stand.store.note_cost(lease, &cost).await.unwrap()
    };
    assert_eq!(note(&first.lease, 0).await, CostOutcome::Noted);
    assert_eq!(noted().await, cost(0));
    assert_eq!(note(&first.lease, 3).await, CostOutcome::Noted);
    // Called again, or late.
    assert_eq!(note(&first.lease, 3).await, CostOutcome::Noted);
    assert_eq!(note(&first.lease, 2).await, CostOutcome::Noted);
    assert_eq!(noted().await, cost(3));
    // It takes no place of an output.
    for n in 0..MAX_STEPS {
        let (asked, step) = (n.to_string(), paid("{}"));
        let kept = stand.store.remember_step(&first.lease, &asked, &step);
        assert_eq!(stand.step(kept).await, RememberOutcome::Kept, "{n}");
    }

    stand.step(stand.store.reap(&issue, 5, 0.0)).await;
    assert_eq!(note(&first.lease, 9).await, CostOutcome::Stale);
    stand.step(stand.store.promote(&issue)).await;
    let second = stand.take_in(&worker_id("new"), LONG, BESIDE).await;
    assert_eq!(note(&first.lease, 9).await, CostOutcome::Stale);
    assert_eq!(noted().await, cost(3));
    assert_eq!(note(&second.lease, 10).await, CostOutcome::Noted);
    assert_eq!(noted().await, cost(10));
    stand.step(stand.settle(&second, How::Denied)).await;
    assert_eq!(note(&second.lease, 11).await, CostOutcome::Stale);
    assert_eq!(n_kept(&stand, &issue.issue_id).await, 0);
}

#[tokio::test]
async fn what_is_kept_is_bounded() {
    let stand = Stand::with(&["a"]).await;
    let issue = stand.submit("a", "i").await;
    let claimed = stand.take(&worker_id("w"), LONG).await;
    let keep = |asked: String, output: String| {
        let (store, lease) = (&stand.store, &claimed.lease);
        async move { store.remember_step(lease, &asked, &paid(&output)).await }
    };
    let long = "x".repeat(MAX_STEP_BYTES + 1);
    let outcome = stand.refused(keep("long".to_owned(), long.clone())).await;
    assert_eq!(outcome, RememberOutcome::TooLong);
    for n in 0..MAX_STEPS {
        let output = if n == 0 { &long[1..] } else { "{}" };
        let outcome = stand.step(keep(n.to_string(), output.to_owned())).await;
        assert_eq!(outcome, RememberOutcome::Kept, "{n}");
    }
    let outcome = stand
        .refused(keep("one more".to_owned(), "{}".into()))
        .await;
    assert_eq!(outcome, RememberOutcome::Full);
    // One of those that are there is no further one.
    let outcome = stand.refused(keep("0".to_owned(), "{}".into())).await;
    assert_eq!(outcome, RememberOutcome::Kept);
    assert_eq!(n_kept(&stand, &issue.issue_id).await, MAX_STEPS as u64);
}

#[tokio::test]
async fn giving_back_keeps_it() {
    let stand = Stand::with(&["a", "b"]).await;
    for (blueprint, how) in [("a", fault(LONG)), ("b", Release::Shutdown)] {
        let issue = stand.submit(blueprint, blueprint).await;
        let claimed = stand.take(&worker_id("w"), LONG).await;
        remember(&stand, &claimed).await;
        stand.step(stand.store.release(&claimed.lease, &how)).await;
        assert_eq!(n_kept(&stand, &issue.issue_id).await, 1, "{how:?}");
    }
}

#[tokio::test]
async fn every_way_of_deciding_takes_it_off() {
    let ways = [
        "applied",
        "denied",
        "failed",
        "dead",
        "archived",
        "cancelled",
        "put off",
        "reaped",
        "archived at the claim",
    ];
    for way in ways {
        let stand = Stand::with(&["a"]).await;
        let issue = stand.submit("a", "i").await;
        let lease_ms = if way == "reaped" { OVER } else { LONG };
        let claimed = if way == "reaped" {
            let company = shared::store::Company::Alone;
            stand.take_in(&worker_id("w"), lease_ms, company).await
        } else {
            stand.take(&worker_id("w"), lease_ms).await
        };
        remember(&stand, &claimed).await;
        assert_eq!(n_kept(&stand, &issue.issue_id).await, 1, "{way}");
        let settle = async |how| stand.step(stand.settle(&claimed, how)).await;
        match way {
            "applied" => drop(settle(How::Applied).await),
            "denied" => drop(settle(How::Denied).await),
            "failed" => drop(settle(How::Failed).await),
            "dead" => drop(settle(How::Dead).await),
            "archived" => {
                stand.set_archived("a", true).await;
                settle(How::Applied).await;
            }
            "cancelled" | "put off" => {
                if way == "put off" {
                    let how = fault(LONG);
                    stand.step(stand.store.release(&claimed.lease, &how)).await;
                }
                let cancelled = stand
                    .step(stand.store.cancel_issue(&issue.issue_id, Authority::Admin))
                    .await;
                assert!(matches!(cancelled, CancelOutcome::Cancelled(_)), "{way}");
            }
            "reaped" => {
                let reaped = stand.step(stand.store.reap(&issue, 1, 0.0)).await;
                assert_eq!(reaped, ReapOutcome::Dead);
            }
            _ => {
                let release = stand.store.release(&claimed.lease, &Release::Shutdown);
                stand.step(release).await;
                stand.set_archived("a", true).await;
                let popped = stand.pop(&worker_id("w")).await.expect("given back");
                let worker = worker_id("w");
                let claim = stand.store.claim(&popped, &worker, "n", LONG, None, BESIDE);
                stand.step(claim).await;
            }
        }
        let found = stand.issue(&issue).await;
        assert!(found.state.is_terminal(), "{way}: {found:?}");
        assert_eq!(n_kept(&stand, &issue.issue_id).await, 0, "{way}");
        // Who comes late leaves nothing behind.
        let step = paid("{}");
        let late = stand.store.remember_step(&claimed.lease, "late", &step);
        assert_eq!(stand.refused(late).await, RememberOutcome::Stale, "{way}");
    }
}

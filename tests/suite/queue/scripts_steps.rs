//! The script that stores a paid step with its issue: each outcome, and that every decision removes
//! it.

use shared::domain::enhance_log::SpawnerUsage;
use shared::domain::issue::Authority;
use shared::ids::IssueId;
use shared::store::queue::step_cache::{MAX_STEP_BYTES, MAX_STEPS};
use shared::store::{
    CacheOutcome, CachedStep, CancelOutcome, Claimed, CostOutcome, Lease, ReapOutcome, Release,
};
use tests::store_fixture::{BESIDE, Fixture, How, LONG, OVER, fault, with_token, worker_id};

fn paid(output: &str) -> CachedStep {
    CachedStep {
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

/// Stores `{}` under `a` for the claimed issue.
async fn remember(fixture: &Fixture, claimed: &Claimed) {
    let kept = fixture
        .step(fixture.store.cache_step(&claimed.lease, "a", &paid("{}")))
        .await;
    assert_eq!(kept, CacheOutcome::Kept);
}

async fn n_kept(fixture: &Fixture, issue: &IssueId) -> u64 {
    fixture
        .raw(&["HLEN", &fixture.store.keys().steps(issue)])
        .await
}

#[tokio::test]
async fn a_step_is_kept_as_it_was_and_only_once() {
    let fixture = Fixture::with(&["a"]).await;
    let issue = fixture.submit("a", "i").await;
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    let odd = paid("{\"n\":9223372036854775807,\"e\":[],\"o\":{},\"f\":1.0,\"t\":\"ä\\\"\"}");
    let kept = fixture
        .step(fixture.store.cache_step(&claimed.lease, "a", &odd))
        .await;
    assert_eq!(kept, CacheOutcome::Kept);
    let read = async |asked: &str| fixture.store.cached_step(&issue, asked).await.unwrap().0;
    assert_eq!(read("a").await, Some(odd));
    assert_eq!(read("b").await, None);

    // Called again, as after a lost reply.
    let other = paid("1");
    let again = fixture.store.cache_step(&claimed.lease, "a", &other);
    assert_eq!(fixture.refused(again).await, CacheOutcome::Kept);
}

#[tokio::test]
async fn who_lost_the_issue_writes_nothing() {
    let fixture = Fixture::with(&["a"]).await;
    let issue = fixture.submit("a", "i").await;
    let first = fixture.take(&worker_id("old"), OVER).await;
    remember(&fixture, &first).await;
    let stale = async |lease: Lease| {
        let step = paid("{}");
        let late = fixture.store.cache_step(&lease, "late", &step);
        assert_eq!(fixture.refused(late).await, CacheOutcome::Stale);
    };
    let reaped = fixture.step(fixture.store.reap(&issue, 5, 0.0)).await;
    assert!(matches!(reaped, ReapOutcome::Delayed(_)), "{reaped:?}");
    stale(first.lease.clone()).await;
    stale(with_token(&first.lease, "")).await;

    // The next attempt has the outputs that the first has paid for.
    fixture.step(fixture.store.promote(&issue)).await;
    let second = fixture.take_in(&worker_id("new"), LONG, BESIDE).await;
    stale(first.lease.clone()).await;
    assert_eq!(n_kept(&fixture, &issue.issue_id).await, 1);
    let found = fixture.store.cached_step(&issue, "a").await.unwrap();
    assert_eq!(found, (Some(paid("{}")), SpawnerUsage::default()));
    remember(&fixture, &second).await;
}

#[tokio::test]
async fn the_cost_that_is_noted_only_rises() {
    let fixture = Fixture::with(&["a"]).await;
    let issue = fixture.submit("a", "i").await;
    let first = fixture.take(&worker_id("old"), OVER).await;
    let cost = |calls: u32| SpawnerUsage {
        calls,
        ..paid("").usage
    };
    let noted = async || fixture.store.cached_step(&issue, "a").await.unwrap().1;
    assert_eq!(noted().await, SpawnerUsage::default());
    let note = async |lease: &Lease, calls| {
        let cost = cost(calls);
        fixture.store.note_cost(lease, &cost).await.unwrap()
    };
    assert_eq!(note(&first.lease, 0).await, CostOutcome::Noted);
    assert_eq!(noted().await, cost(0));
    assert_eq!(note(&first.lease, 3).await, CostOutcome::Noted);
    // Called again, or late.
    assert_eq!(note(&first.lease, 3).await, CostOutcome::Noted);
    assert_eq!(note(&first.lease, 2).await, CostOutcome::Noted);
    assert_eq!(noted().await, cost(3));
    // A noted cost does not count as an output.
    for n in 0..MAX_STEPS {
        let (asked, step) = (n.to_string(), paid("{}"));
        let kept = fixture.store.cache_step(&first.lease, &asked, &step);
        assert_eq!(fixture.step(kept).await, CacheOutcome::Kept, "{n}");
    }

    fixture.step(fixture.store.reap(&issue, 5, 0.0)).await;
    assert_eq!(note(&first.lease, 9).await, CostOutcome::Stale);
    fixture.step(fixture.store.promote(&issue)).await;
    let second = fixture.take_in(&worker_id("new"), LONG, BESIDE).await;
    assert_eq!(note(&first.lease, 9).await, CostOutcome::Stale);
    assert_eq!(noted().await, cost(3));
    assert_eq!(note(&second.lease, 10).await, CostOutcome::Noted);
    assert_eq!(noted().await, cost(10));
    fixture.step(fixture.settle(&second, How::Denied)).await;
    assert_eq!(note(&second.lease, 11).await, CostOutcome::Stale);
    assert_eq!(n_kept(&fixture, &issue.issue_id).await, 0);
}

#[tokio::test]
async fn what_is_kept_is_bounded() {
    let fixture = Fixture::with(&["a"]).await;
    let issue = fixture.submit("a", "i").await;
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    let keep = |asked: String, output: String| {
        let (store, lease) = (&fixture.store, &claimed.lease);
        async move { store.cache_step(lease, &asked, &paid(&output)).await }
    };
    let long = "x".repeat(MAX_STEP_BYTES + 1);
    let outcome = fixture.refused(keep("long".to_owned(), long.clone())).await;
    assert_eq!(outcome, CacheOutcome::TooLong);
    for n in 0..MAX_STEPS {
        let output = if n == 0 { &long[1..] } else { "{}" };
        let outcome = fixture.step(keep(n.to_string(), output.to_owned())).await;
        assert_eq!(outcome, CacheOutcome::Kept, "{n}");
    }
    let outcome = fixture
        .refused(keep("one more".to_owned(), "{}".into()))
        .await;
    assert_eq!(outcome, CacheOutcome::Full);
    // An existing output does not count again.
    let outcome = fixture.refused(keep("0".to_owned(), "{}".into())).await;
    assert_eq!(outcome, CacheOutcome::Kept);
    assert_eq!(n_kept(&fixture, &issue.issue_id).await, MAX_STEPS as u64);
}

#[tokio::test]
async fn giving_back_keeps_it() {
    let fixture = Fixture::with(&["a", "b"]).await;
    for (blueprint, how) in [("a", fault(LONG)), ("b", Release::Shutdown)] {
        let issue = fixture.submit(blueprint, blueprint).await;
        let claimed = fixture.take(&worker_id("w"), LONG).await;
        remember(&fixture, &claimed).await;
        fixture
            .step(fixture.store.release(&claimed.lease, &how))
            .await;
        assert_eq!(n_kept(&fixture, &issue.issue_id).await, 1, "{how:?}");
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
        let fixture = Fixture::with(&["a"]).await;
        let issue = fixture.submit("a", "i").await;
        let lease_ms = if way == "reaped" { OVER } else { LONG };
        let claimed = if way == "reaped" {
            let claim_mode = shared::store::ClaimMode::Exclusive;
            fixture.take_in(&worker_id("w"), lease_ms, claim_mode).await
        } else {
            fixture.take(&worker_id("w"), lease_ms).await
        };
        remember(&fixture, &claimed).await;
        assert_eq!(n_kept(&fixture, &issue.issue_id).await, 1, "{way}");
        let settle = async |how| fixture.step(fixture.settle(&claimed, how)).await;
        match way {
            "applied" => drop(settle(How::Applied).await),
            "denied" => drop(settle(How::Denied).await),
            "failed" => drop(settle(How::Failed).await),
            "dead" => drop(settle(How::Dead).await),
            "archived" => {
                fixture.set_archived("a", true).await;
                settle(How::Applied).await;
            }
            "cancelled" | "put off" => {
                if way == "put off" {
                    let how = fault(LONG);
                    fixture
                        .step(fixture.store.release(&claimed.lease, &how))
                        .await;
                }
                let cancelled = fixture
                    .step(
                        fixture
                            .store
                            .cancel_issue(&issue.issue_id, Authority::Admin),
                    )
                    .await;
                assert!(matches!(cancelled, CancelOutcome::Cancelled(_)), "{way}");
            }
            "reaped" => {
                let reaped = fixture.step(fixture.store.reap(&issue, 1, 0.0)).await;
                assert_eq!(reaped, ReapOutcome::Dead);
            }
            _ => {
                let release = fixture.store.release(&claimed.lease, &Release::Shutdown);
                fixture.step(release).await;
                fixture.set_archived("a", true).await;
                let popped = fixture.pop(&worker_id("w")).await.expect("given back");
                let worker = worker_id("w");
                let claim = fixture
                    .store
                    .claim(&popped, &worker, "n", LONG, None, BESIDE);
                fixture.step(claim).await;
            }
        }
        let found = fixture.issue(&issue).await;
        assert!(found.state.is_terminal(), "{way}: {found:?}");
        assert_eq!(n_kept(&fixture, &issue.issue_id).await, 0, "{way}");
        // A late call stores nothing.
        let step = paid("{}");
        let late = fixture.store.cache_step(&claimed.lease, "late", &step);
        assert_eq!(fixture.refused(late).await, CacheOutcome::Stale, "{way}");
    }
}

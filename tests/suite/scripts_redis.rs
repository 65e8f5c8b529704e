//! The scripts on a Redis that forgets them, cuts connections, or is full.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::issue::{Authority, IssueState};
use shared::store::redis::script;
use shared::store::{
    CancelOutcome, ExpectedHead, PromoteOutcome, ReapOutcome, Release, ReleaseOutcome,
    ReturnOutcome, Seed, SettleOutcome, StoreError, SubmitOutcome,
};
use tests::raw_script::outcome;
use tests::store_audit::audit;
use tests::store_stand::{
    BESIDE, How, LONG, OVER, Stand, fault, issue_ref, marked, new_issue, worker_id,
};

const MAX_ATTEMPTS: u32 = 5;

#[tokio::test]
async fn a_redis_that_forgot_the_scripts_gets_them_again() {
    let stand = Stand::with(&["a"]).await;
    let store = &stand.store;
    let worker = worker_id("w");
    let forget = async || {
        let _: String = stand.raw(&["SCRIPT", "FLUSH"]).await;
    };
    forget().await;
    stand.whole.prepare(&Seed::bundled()).await.unwrap();
    for how in [How::Applied, How::Denied] {
        let mark = format!("{how:?}");
        forget().await;
        let issue = stand.submit("a", &mark).await;
        forget().await;
        let first = stand.take(&worker, LONG).await;
        forget().await;
        stand.step(store.beat(&worker, OVER, &[first.lease])).await;
        forget().await;
        stand.step(store.reap(&issue, MAX_ATTEMPTS, 0.0)).await;
        forget().await;
        assert_eq!(
            stand.step(store.promote(&issue)).await,
            PromoteOutcome::Promoted
        );
        stand.pop(&worker).await.expect("an element");
        forget().await;
        stand.step(store.return_element(&issue, "w")).await;
        let second = stand.take(&worker, LONG).await;
        forget().await;
        stand
            .step(store.release(&second.lease, &Release::Shutdown))
            .await;
        let third = stand.take(&worker, LONG).await;
        forget().await;
        stand.step(stand.settle(&third, how)).await;
        assert!(stand.issue(&issue).await.state.is_terminal());
        forget().await;
        stand
            .step(store.cancel_issue(&issue.issue_id, Authority::Admin))
            .await;
    }
}

#[tokio::test]
async fn a_cut_connection_is_an_error_once() {
    let stand = Stand::with(&["a"]).await;
    let store = stand.store.with_own_connection(Duration::MAX);
    store.ping().await.unwrap();
    let mut kill = redis::cmd("CLIENT");
    kill.arg("KILL").arg("TYPE").arg("normal");
    let killed: i64 = stand.store.link().command("kill", &kill).await.unwrap();
    assert!(killed > 0);
    let new = new_issue("a", "i");
    let mut outcome = store.submit(&new).await;
    if let Err(error) = outcome {
        assert!(error.is_retryable(), "{error:?}");
        outcome = store.submit(&new).await;
    }
    let is_there = matches!(
        outcome,
        Ok(SubmitOutcome::Accepted(_) | SubmitOutcome::Existed(_))
    );
    assert!(is_there, "{outcome:?}");
    audit(&stand.store).await;
}

/// Fills Redis and sets its limit so that this part of it is used, in percent.
async fn fill(stand: &Stand, percent: u64) -> u64 {
    let _: i64 = stand.raw(&["SETRANGE", "filling", "60000000", "x"]).await;
    let info: String = stand.raw(&["INFO", "memory"]).await;
    let used = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    let used: u64 = used.expect("used_memory").trim().parse().expect("a number");
    let limit = used * 100 / percent;
    let _: String = stand
        .raw(&["CONFIG", "SET", "maxmemory", &limit.to_string()])
        .await;
    limit
}

#[tokio::test]
async fn from_nine_tenths_of_the_memory_on_nothing_is_taken_in() {
    let stand = Stand::with(&["a"]).await;
    stand.submit("a", "before").await;
    let limit = fill(&stand, 95).await;
    // A store looks at the memory once a second; a new one looks at once.
    let store = stand.store.with_own_connection(Duration::MAX);
    match stand
        .refused(store.submit(&new_issue("a", "too-much")))
        .await
    {
        SubmitOutcome::MemoryFull { used, max } => assert!(max == limit && used > limit / 10 * 9),
        other => panic!("{other:?}"),
    }
    // What is queued still moves.
    let claimed = stand.take(&worker_id("w"), LONG).await;
    stand.step(stand.settle(&claimed, How::Applied)).await;
    let _: i64 = stand.raw(&["DEL", "filling"]).await;
    let store = stand.store.with_own_connection(Duration::MAX);
    let outcome = stand
        .step(store.submit(&new_issue("a", "fits-again")))
        .await;
    assert!(matches!(outcome, SubmitOutcome::Accepted(_)), "{outcome:?}");
}

/// Redis looks at the flags of a script before it runs it: what takes something new in has no `allow-oom`.
#[tokio::test]
async fn a_full_redis_runs_no_script_that_takes_something_in() {
    let stand = Stand::start().await;
    fill(&stand, 110).await;
    let mut refused = Vec::new();
    for script in script::all() {
        // Without any key, so that those which run change nothing.
        match outcome(&stand.store, script.name(), &[], &[]).await {
            Err(StoreError::Redis { source, .. }) if source.code() == Some("OOM") => {
                refused.push(script.name());
            }
            _ => {}
        }
    }
    refused.sort_unstable();
    let expected = [
        "archive_blueprint",
        "claim_issue",
        "delete_setting",
        "import_blueprint",
        "mirror_orbits",
        "note_cost",
        "point_issue",
        "put_blueprint",
        "put_setting",
        "rank_labels",
        "remember_step",
        "request_preview",
        "stage_history",
        "submit_issue",
    ];
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn a_full_redis_lets_what_is_in_flight_finish() {
    let names = [
        "settled",
        "released",
        "reaped",
        "cancelled",
        "popped",
        "delayed",
    ];
    let stand = Stand::with(&names).await;
    let store = &stand.store;
    let worker = worker_id("w");
    let mut leases = BTreeMap::new();
    for name in names {
        stand.submit(name, name).await;
        if name == "popped" {
            stand.pop(&worker).await.expect("an element");
        } else {
            let lease_ms = if name == "reaped" { OVER } else { LONG };
            leases.insert(name, stand.take(&worker, lease_ms).await);
        }
    }
    stand
        .step(store.release(&leases["delayed"].lease, &fault(0)))
        .await;
    // A Redis that loses all scripts now would refuse to load one: each has run before.
    stand
        .step(store.reap(&issue_ref("settled", "settled"), 5, 0.0))
        .await;
    stand
        .step(store.promote(&issue_ref("settled", "settled")))
        .await;
    store.beat(&worker, LONG, &[]).await.unwrap();
    fill(&stand, 110).await;

    let popped = issue_ref("popped", "popped");
    let refusals = [
        store
            .claim(&popped, &worker, "n", LONG, None, BESIDE)
            .await
            .map(drop),
        store
            .put_blueprint(&marked("new", "m", ""), ExpectedHead::Any, "")
            .await
            .map(drop),
    ];
    for refusal in refusals {
        let error = refusal.expect_err("nothing new is taken in");
        assert!(
            error.certainly_not_executed() && error.is_retryable(),
            "{error:?}"
        );
    }
    let beat = stand
        .step(store.beat(&worker, LONG, &[leases["settled"].lease.clone()]))
        .await;
    assert_eq!(beat.lost, []);
    let settled = stand
        .step(stand.settle(&leases["settled"], How::Applied))
        .await;
    assert_eq!(settled, SettleOutcome::Settled(IssueState::Applied));
    let released = stand
        .step(store.release(&leases["released"].lease, &fault(0)))
        .await;
    assert_eq!(released, ReleaseOutcome::Released);
    let reaped = stand
        .step(store.reap(&issue_ref("reaped", "reaped"), 5, 0.0))
        .await;
    assert_eq!(reaped, ReapOutcome::Delayed(0));
    let cancelled = issue_ref("cancelled", "cancelled").issue_id;
    let cancelled = stand
        .step(store.cancel_issue(&cancelled, Authority::Admin))
        .await;
    assert!(matches!(cancelled, CancelOutcome::Cancelled(_)));
    let returned = stand.step(store.return_element(&popped, "w")).await;
    assert_eq!(returned, ReturnOutcome::Returned);
    let promoted = stand
        .step(store.promote(&issue_ref("delayed", "delayed")))
        .await;
    assert_eq!(promoted, PromoteOutcome::Promoted);
}

//! The scripts on a Redis that loses them, closes connections, or is full.

use std::collections::BTreeMap;
use std::time::Duration;

use shared::domain::issue::{Authority, IssueState};
use shared::store::redis::script;
use shared::store::{
    CancelOutcome, ExpectedHead, PromoteOutcome, ReapOutcome, Release, ReleaseOutcome,
    ReturnOutcome, Seed, SettleOutcome, StoreError, SubmitOutcome,
};
use tests::raw_script::outcome;
use tests::store_audit::audit;
use tests::store_fixture::{
    BESIDE, Fixture, How, LONG, OVER, fault, issue_ref, marked, new_issue, worker_id,
};

const MAX_ATTEMPTS: u32 = 5;

#[tokio::test]
async fn a_redis_that_forgot_the_scripts_gets_them_again() {
    let fixture = Fixture::with(&["a"]).await;
    let store = &fixture.store;
    let worker = worker_id("w");
    let forget = async || {
        let _: String = fixture.raw(&["SCRIPT", "FLUSH"]).await;
    };
    forget().await;
    fixture.whole.prepare(&Seed::bundled()).await.unwrap();
    for how in [How::Applied, How::Denied] {
        let mark = format!("{how:?}");
        forget().await;
        let issue = fixture.submit("a", &mark).await;
        forget().await;
        let first = fixture.take(&worker, LONG).await;
        forget().await;
        fixture
            .step(store.beat(&worker, OVER, &[first.lease]))
            .await;
        forget().await;
        fixture.step(store.reap(&issue, MAX_ATTEMPTS, 0.0)).await;
        forget().await;
        assert_eq!(
            fixture.step(store.promote(&issue)).await,
            PromoteOutcome::Promoted
        );
        fixture.pop(&worker).await.expect("an element");
        forget().await;
        fixture.step(store.return_element(&issue, "w")).await;
        let second = fixture.take(&worker, LONG).await;
        forget().await;
        fixture
            .step(store.release(&second.lease, &Release::Shutdown))
            .await;
        let third = fixture.take(&worker, LONG).await;
        forget().await;
        fixture.step(fixture.settle(&third, how)).await;
        assert!(fixture.issue(&issue).await.state.is_terminal());
        forget().await;
        fixture
            .step(store.cancel_issue(&issue.issue_id, Authority::Admin))
            .await;
    }
}

#[tokio::test]
async fn a_cut_connection_is_an_error_once() {
    let fixture = Fixture::with(&["a"]).await;
    let store = fixture.store.with_own_connection(Duration::MAX);
    store.ping().await.unwrap();
    let mut kill = redis::cmd("CLIENT");
    kill.arg("KILL").arg("TYPE").arg("normal");
    let killed: i64 = fixture.store.handle().command("kill", &kill).await.unwrap();
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
    audit(&fixture.store).await;
}

/// Fills Redis and sets its limit so that this percentage of it is used.
async fn fill(fixture: &Fixture, percent: u64) -> u64 {
    let _: i64 = fixture.raw(&["SETRANGE", "filling", "60000000", "x"]).await;
    let info: String = fixture.raw(&["INFO", "memory"]).await;
    let used = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    let used: u64 = used.expect("used_memory").trim().parse().expect("a number");
    let limit = used * 100 / percent;
    let _: String = fixture
        .raw(&["CONFIG", "SET", "maxmemory", &limit.to_string()])
        .await;
    limit
}

#[tokio::test]
async fn from_nine_tenths_of_the_memory_on_nothing_is_taken_in() {
    let fixture = Fixture::with(&["a"]).await;
    fixture.submit("a", "before").await;
    let limit = fill(&fixture, 95).await;
    // A store reads the memory once a second; a new store reads it at once.
    let store = fixture.store.with_own_connection(Duration::MAX);
    match fixture
        .refused(store.submit(&new_issue("a", "too-much")))
        .await
    {
        SubmitOutcome::MemoryFull { used, max } => assert!(max == limit && used > limit / 10 * 9),
        other => panic!("{other:?}"),
    }
    // Queued issues still progress.
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    fixture.step(fixture.settle(&claimed, How::Applied)).await;
    let _: i64 = fixture.raw(&["DEL", "filling"]).await;
    let store = fixture.store.with_own_connection(Duration::MAX);
    let outcome = fixture
        .step(store.submit(&new_issue("a", "fits-again")))
        .await;
    assert!(matches!(outcome, SubmitOutcome::Accepted(_)), "{outcome:?}");
}

/// Redis checks the flags of a script before it runs it: scripts that add data have no `allow-oom`.
#[tokio::test]
async fn a_full_redis_runs_no_script_that_takes_something_in() {
    let fixture = Fixture::start().await;
    fill(&fixture, 110).await;
    let mut refused = Vec::new();
    for script in script::all() {
        // Without keys, so that scripts which run change nothing.
        match outcome(&fixture.store, script.name(), &[], &[""; 0]).await {
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
        "delete_channel",
        "delete_setting",
        "import_blueprint",
        "mirror_orbits",
        "note_cost",
        "point_issue",
        "put_blueprint",
        "put_setting",
        "remember_step",
        "report_version",
        "request_preview",
        "see_consumers",
        "set_channel",
        "stage_channels",
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
    let fixture = Fixture::with(&names).await;
    let store = &fixture.store;
    let worker = worker_id("w");
    let mut leases = BTreeMap::new();
    for name in names {
        fixture.submit(name, name).await;
        if name == "popped" {
            fixture.pop(&worker).await.expect("an element");
        } else {
            let lease_ms = if name == "reaped" { OVER } else { LONG };
            leases.insert(name, fixture.take(&worker, lease_ms).await);
        }
    }
    fixture
        .step(store.release(&leases["delayed"].lease, &fault(0)))
        .await;
    // A full Redis that loses all scripts would reject their loading, so each has run before.
    fixture
        .step(store.reap(&issue_ref("settled", "settled"), 5, 0.0))
        .await;
    fixture
        .step(store.promote(&issue_ref("settled", "settled")))
        .await;
    store.beat(&worker, LONG, &[]).await.unwrap();
    fill(&fixture, 110).await;

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
    let beat = fixture
        .step(store.beat(&worker, LONG, &[leases["settled"].lease.clone()]))
        .await;
    assert_eq!(beat.lost, []);
    let settled = fixture
        .step(fixture.settle(&leases["settled"], How::Applied))
        .await;
    assert_eq!(settled, SettleOutcome::Settled(IssueState::Applied));
    let released = fixture
        .step(store.release(&leases["released"].lease, &fault(0)))
        .await;
    assert_eq!(released, ReleaseOutcome::Released);
    let reaped = fixture
        .step(store.reap(&issue_ref("reaped", "reaped"), 5, 0.0))
        .await;
    assert_eq!(reaped, ReapOutcome::Delayed(0));
    let cancelled = issue_ref("cancelled", "cancelled").issue_id;
    let cancelled = fixture
        .step(store.cancel_issue(&cancelled, Authority::Admin))
        .await;
    assert!(matches!(cancelled, CancelOutcome::Cancelled(_)));
    let returned = fixture.step(store.return_element(&popped, "w")).await;
    assert_eq!(returned, ReturnOutcome::Returned);
    let promoted = fixture
        .step(store.promote(&issue_ref("delayed", "delayed")))
        .await;
    assert_eq!(promoted, PromoteOutcome::Promoted);
}

//! `spec.max_concurrency`: the maximum number of concurrent runs of an agent over all workers.

use std::time::Duration;

use proto::v1::{self, IssueState};
use serde_json::json;
use shared::store::redis::keys::Keys;
use shared::store::{ReleaseOutcome, SlotOutcome, Store};
use tests::checker::Attempts;
use tests::eventually::eventually;
use tests::factory;
use tests::model_double::Act;
use tests::model_stage::{KEY, ModelStage as Stage, patch};
use tests::redis_server::{Aof, RedisServer};
use tests::store_fixture::{Fixture, LONG, busy, worker_id};

/// A stage with two workers and `n_targets` targets, whose model allows one call at a time.
async fn stage(n_targets: usize, env: &[(&str, &str)]) -> Stage {
    let acts = vec![Act::SayWhenLetGo(patch())];
    let env: Vec<_> = [&[("ANTHROPIC_API_KEY", KEY)], env].concat();
    let mut stage = Stage::with(acts, "anthropic", &env).await;
    let url = stage.double.url();
    let env = [&[("DRAFTSMAN_LLM_BASE_URL", url.as_str())], &env[..]].concat();
    stage.rig.add_worker(&env);
    stage.rig.until_registered(2).await;
    for n in 0..n_targets {
        let target = factory::small(&format!("target-{n}"));
        stage.rig.client.put(target).await;
    }
    stage
        .use_spec(json!({"provider": "anthropic", "max_concurrency": 1}))
        .await;
    stage
}

async fn submit(stage: &Stage, n: usize) -> v1::Issue {
    let target = format!("target-{n}");
    stage.rig.client.submit(&target, "one more tag").await
}

#[tokio::test]
async fn no_more_runs_than_allowed_over_all_workers() {
    let stage = stage(4, &[]).await;
    let mut issues = Vec::new();
    for n in 0..4 {
        issues.push(submit(&stage, n).await);
    }
    // Workers hold all issues, so without a limit all of them would call the model.
    stage.rig.until_in_flight(4).await;
    for n in 1..=4 {
        stage.double.until_called(n).await;
        stage.double.let_go(1);
    }
    let mut decided = Vec::new();
    for issue in &issues {
        let issue = stage.rig.client.decided(&issue.issue_id).await;
        assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
        decided.push(issue);
    }
    assert_eq!(stage.double.most_open(), 1);
    let decided: Vec<_> = decided.iter().collect();
    stage.assert_sound(&decided, Attempts::UpTo(4)).await;
}

#[tokio::test]
async fn who_finds_no_place_gives_the_issue_back_and_loses_nothing() {
    // A counted fault would exceed the limit.
    let stage = stage(2, &[("DRAFTSMAN_MAX_RETRIES", "0")]).await;
    let first = submit(&stage, 0).await;
    stage.double.until_called(1).await;
    // The run waits for half of its time.
    stage.edit(|s| s.ttl_secs = 2).await;
    let second = submit(&stage, 1).await;
    eventually("the second issue waits in the queue", async || {
        let issue = stage.rig.client.issue(&second.issue_id).await;
        let said = "agent \"patch-spawner\" is at its limit: spec.max_concurrency of 1";
        let waits = issue.state() == IssueState::Pending && issue.reason.contains(said);
        waits.then_some(()).ok_or(format!("{issue:?}"))
    })
    .await;
    assert_eq!(stage.double.calls().len(), 1);
    stage.double.let_go(2);
    let mut decided = Vec::new();
    for issue in [&first, &second] {
        let issue = stage.rig.client.decided(&issue.issue_id).await;
        assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
        decided.push(issue);
    }
    assert_eq!(stage.double.most_open(), 1);
    let decided: Vec<_> = decided.iter().collect();
    stage.assert_sound(&decided, Attempts::UpTo(20)).await;
}

#[tokio::test]
async fn who_waits_for_a_place_can_be_cancelled_and_frees_what_it_held() {
    let stage = stage(3, &[]).await;
    let running = submit(&stage, 0).await;
    stage.double.until_called(1).await;
    let waiting = submit(&stage, 1).await;
    stage.rig.until_in_flight(2).await;
    for issue in [&waiting, &running] {
        let request = v1::CancelIssueRequest {
            issue_id: issue.issue_id.clone(),
        };
        let mut intake = stage.rig.client.intake.clone();
        intake.cancel_issue(request).await.expect("CancelIssue");
    }
    // The slot is free at once, long before it expires.
    let began = std::time::Instant::now();
    let third = submit(&stage, 2).await;
    stage.double.until_called(2).await;
    assert!(began.elapsed() < Duration::from_secs(14));
    stage.double.let_go(2);
    let third = stage.rig.client.decided(&third.issue_id).await;
    assert_eq!(third.state(), IssueState::Applied, "{third:?}");
    let waiting = stage.rig.client.decided(&waiting.issue_id).await;
    let running = stage.rig.client.decided(&running.issue_id).await;
    stage
        .assert_sound(&[&waiting, &running, &third], Attempts::UpTo(2))
        .await;
}

/// The worker that holds the only slot is killed: its lease ends, and the slot is free when it
/// expires.
#[tokio::test]
async fn the_place_of_a_killed_worker_goes_to_another() {
    /// Twice the lifetime of a slot that is not renewed.
    const FREE_WITHIN: Duration = Duration::from_secs(30);
    // With one slot each, every worker has one of the issues.
    let env = [
        ("DRAFTSMAN_LEASE_SECS", "3"),
        ("DRAFTSMAN_CONCURRENCY", "1"),
    ];
    let mut stage = stage(2, &env).await;
    let held = submit(&stage, 0).await;
    stage.double.until_called(1).await;
    let waiting = submit(&stage, 1).await;
    stage.rig.until_in_flight(2).await;
    assert_eq!(stage.double.calls().len(), 1, "the second one waits");
    let holder = stage.rig.client.issue(&held.issue_id).await.worker_id;
    // Each worker logs its id when it starts.
    let mut workers = stage.rig.workers.iter();
    let holder = workers.position(|worker| worker.stderr().contains(&holder));
    let killed = std::time::Instant::now();
    stage.rig.workers[holder.expect("one of the two")].kill();
    // One permit is for the call of the killed worker, which gets no answer.
    stage.double.let_go(3);
    let waiting = stage.rig.client.decided(&waiting.issue_id).await;
    let took = killed.elapsed();
    assert!(took < FREE_WITHIN, "{took:?}");
    assert_eq!(waiting.attempt, 1, "it kept waiting: {waiting:?}");
    let held = stage.rig.client.decided(&held.issue_id).await;
    assert!(held.attempt >= 2, "it was taken over: {held:?}");
    let decided = [waiting, held];
    for issue in &decided {
        assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    }
    assert_eq!(stage.double.most_open(), 1);
    let decided: Vec<_> = decided.iter().collect();
    stage.assert_sound(&decided, Attempts::UpTo(5)).await;
}

#[tokio::test]
async fn a_place_ends_with_its_time() {
    let redis = RedisServer::start(Aof::None);
    let store = Store::open(&redis.url(), 1).expect("a URL");
    let long = Duration::from_secs(600);
    let hold =
        async |holder: &str, time| store.hold_slot("a", holder, 2, time).await.expect("Redis");
    assert_eq!(hold("one", long).await, SlotOutcome::Held);
    // The same holder has one slot, however often it asks.
    assert_eq!(hold("one", long).await, SlotOutcome::Held);
    assert_eq!(
        hold("two", Duration::from_millis(50)).await,
        SlotOutcome::Held
    );
    assert_eq!(
        store.hold_slot("b", "x", 1, long).await.expect("Redis"),
        SlotOutcome::Held
    );
    eventually("the second place is free", async || {
        match hold("three", long).await {
            SlotOutcome::Held => Ok(()),
            full => Err(format!("{full:?}")),
        }
    })
    .await;
    assert_eq!(hold("four", long).await, SlotOutcome::Full);
    assert_eq!(hold("one", long).await, SlotOutcome::Held, "it has one");
    // A holder that lost its slot is told.
    assert_eq!(hold("two", long).await, SlotOutcome::Full);
    store.free_slot("a", "one").await.expect("Redis");
    store.free_slot("a", "one").await.expect("Redis");
    assert_eq!(hold("four", long).await, SlotOutcome::Held);
    // Every key expires.
    let key = Keys::of_shard(0).agent_slots("a");
    let mut connection = redis.connection().await;
    let ttl: i64 = redis::cmd("PTTL")
        .arg(key)
        .query_async(&mut connection)
        .await
        .expect("PTTL");
    assert!((1..=600_000).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn an_issue_that_has_to_wait_has_no_retry_more() {
    let fixture = Fixture::with(&["a"]).await;
    let issue = fixture.submit("a", "i").await;
    let claimed = fixture.take(&worker_id("w"), LONG).await;
    let busy = busy(0);
    let released = fixture
        .step(fixture.store.release(&claimed.lease, &busy))
        .await;
    assert_eq!(released, ReleaseOutcome::Released);
    let waiting = fixture.issue(&issue).await;
    assert_eq!(
        (waiting.state, waiting.reason.as_str()),
        (shared::domain::issue::IssueState::Pending, "in use")
    );
    assert_eq!(fixture.store.queue_stats().await.unwrap().delayed, 1);
    // Called again, as after a lost reply.
    let again = fixture.store.release(&claimed.lease, &busy);
    assert_eq!(fixture.refused(again).await, ReleaseOutcome::Stale);
    fixture.step(fixture.store.promote(&issue)).await;
    let second = fixture.take(&worker_id("w"), LONG).await;
    assert_eq!((second.retries, second.attempt), (0, 2));
}

//! A worker that settles an issue takes over its queue's next one, also with faults of the worker
//! or of the call.

use proto::v1;
use proto::v1::{IssueState, RejectionCause};
use tests::checker::{Attempts, assert_sound};
use tests::factory;
use tests::programs::Process;
use tests::resp_proxy::{Fault, RespProxy};
use tests::rig::Rig;

const ONE_SLOT: (&str, &str) = ("DRAFTSMAN_CONCURRENCY", "1");

/// Adds a worker with one slot, with `proxy` between it and its Redis.
fn add_worker(rig: &mut Rig, proxy: &RespProxy, env: &[(&str, &str)]) {
    let env = [&[ONE_SLOT], env].concat();
    rig.workers.push(Process::worker(&proxy.url(), &env));
}

/// Submits `n` issues of one Blueprint; returns their ids.
async fn submit(rig: &Rig, blueprint: &str, n: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for k in 0..n {
        let issue = rig.client.submit(blueprint, format!("tag n{k}")).await;
        ids.push(issue.issue_id);
    }
    ids
}

#[tokio::test]
async fn a_settle_that_is_cut_or_doubled_hands_over_once() {
    for fault in [
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::Double,
        Fault::SilenceAfter,
    ] {
        println!("case: {fault:?}");
        let mut rig = Rig::without_worker().await;
        rig.client.put(factory::small("hot")).await;
        let proxy = RespProxy::start(rig.redis.port()).await;
        let mut ordered = proxy.order(fault, "settle_issue", 2);
        let ids = submit(&rig, "hot", 4).await;
        add_worker(&mut rig, &proxy, &[]);
        ordered.fired().await;
        for id in &ids {
            let issue = rig.client.decided(id).await;
            assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
        }
        assert_sound(&rig, &ids, Attempts::One).await;
        assert_eq!(rig.counted("reaped").await, 0);
        // The lost answer was repeated: not every issue was popped.
        assert!(proxy.calls("claim_issue") < ids.len() as u64, "{fault:?}");
    }
}

/// A spawner that never ends if the intent says so, and changes the description otherwise.
const SPAWNER: &str = r"
local intent = _CTX.issue.intent
if intent == 'loop' then while true do end end
local op = { op = 'replace', path = '/metadata/description', value = intent }
return { ops = host.array({ op }), bump = 'patch', rationale = 'described' }
";

#[tokio::test]
async fn an_issue_that_was_handed_over_is_called_off_and_the_queue_goes_on() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("patch_spawner.lua"), SPAWNER).expect("a script file");
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("hot")).await;
    let proxy = RespProxy::start(rig.redis.port()).await;
    let mut ids = Vec::new();
    for intent in ["one", "loop", "three"] {
        ids.push(rig.client.submit("hot", intent).await.issue_id);
    }
    let scripts = dir.path().to_str().expect("a plain path");
    add_worker(&mut rig, &proxy, &[("DRAFTSMAN_LUA_DIR", scripts)]);
    let first = rig.client.decided(&ids[0]).await;
    assert_eq!(first.state(), IssueState::Applied, "{first:?}");
    let running = rig.client.issue(&ids[1]).await;
    assert_eq!(
        (running.state(), running.attempt),
        (IssueState::InFlight, 1)
    );
    let request = v1::CancelIssueRequest {
        issue_id: ids[1].clone(),
    };
    let answer = rig.client.intake.clone().cancel_issue(request).await;
    let cancelled = answer.expect("CancelIssue").into_inner().issue;
    assert_eq!(
        cancelled.expect("an issue").cause(),
        RejectionCause::Cancelled
    );
    let third = rig.client.decided(&ids[2]).await;
    assert_eq!(third.state(), IssueState::Applied, "{third:?}");
    assert_sound(&rig, &ids, Attempts::One).await;
}

#[tokio::test]
async fn a_pause_before_the_settle_keeps_the_next_issue_waiting() {
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("hot")).await;
    let proxy = RespProxy::start(rig.redis.port()).await;
    let mut stalled = proxy.stall_before("settle_issue", 1);
    let ids = submit(&rig, "hot", 2).await;
    add_worker(&mut rig, &proxy, &[]);
    stalled.fired().await;
    let request = v1::PauseQueueRequest {
        blueprint_id: Some("hot".to_owned()),
    };
    let mut intake = rig.client.intake.clone();
    intake.pause_queue(request).await.expect("PauseQueue");
    proxy.stall(false);
    let first = rig.client.decided(&ids[0]).await;
    assert_eq!(first.state(), IssueState::Applied, "{first:?}");
    let second = rig.client.issue(&ids[1]).await;
    assert_eq!((second.state(), second.attempt), (IssueState::Pending, 0));
    let request = v1::ResumeQueueRequest {
        blueprint_id: Some("hot".to_owned()),
    };
    intake.resume_queue(request).await.expect("ResumeQueue");
    let second = rig.client.decided(&ids[1]).await;
    assert_eq!(second.state(), IssueState::Applied, "{second:?}");
    assert_sound(&rig, &ids, Attempts::One).await;
}

#[tokio::test]
async fn a_worker_that_ends_takes_nothing_over() {
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("hot")).await;
    let proxy = RespProxy::start(rig.redis.port()).await;
    let mut stalled = proxy.stall_before("claim_issue", 1);
    let ids = submit(&rig, "hot", 3).await;
    add_worker(&mut rig, &proxy, &[]);
    stalled.fired().await;
    let worker = &mut rig.workers[0];
    worker.signal(tests::programs::Signal::Terminate);
    worker.until_event("worker.draining", &[]).await;
    proxy.stall(false);
    assert_eq!(worker.wait().await.code(), Some(0));
    let first = rig.client.issue(&ids[0]).await;
    assert_eq!(first.state(), IssueState::Applied);
    let second = rig.client.issue(&ids[1]).await;
    assert_eq!((second.state(), second.attempt), (IssueState::Pending, 0));
    rig.add_worker(&[]);
    for id in &ids {
        rig.client.decided(id).await;
    }
    assert_sound(&rig, &ids, Attempts::One).await;
}

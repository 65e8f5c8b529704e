//! Redis runs and is not usable: one worker is disconnected, writes are rejected, or Redis is
//! suspended. In each case the programs recover by themselves.

use proto::v1;
use proto::v1::IssueState;
use redis::cmd;
use tests::checker::{Attempts, assert_sound};
use tests::eventually::{eventually, within_wait_limit};
use tests::factory;
use tests::programs::{Process, Signal, send_signal};
use tests::redis_server::{Aof, RedisServer};
use tests::resp_proxy::RespProxy;
use tests::rig::Rig;
use tonic::Code;
use tonic_types::StatusExt;

const SHORT: (&str, &str) = ("DRAFTSMAN_LEASE_SECS", "1");

#[tokio::test]
async fn a_worker_that_cannot_reach_redis_stops_its_work_by_itself() {
    let scripts = factory::endless_scripts();
    let endless = scripts.path().to_str().expect("a plain path");
    let mut rig = Rig::without_worker().await;
    let proxy = RespProxy::start(rig.redis.port()).await;
    let env = [
        SHORT,
        ("DRAFTSMAN_LUA_DIR", endless),
        ("DRAFTSMAN_WORKER_NAME", "cut-off"),
    ];
    rig.workers.push(Process::worker(&proxy.url(), &env));
    let mut ids = Vec::new();
    for id in ["one", "two"] {
        rig.client.put(factory::small(id)).await;
        ids.push(rig.client.submit(id, "tag x").await.issue_id);
    }
    rig.until_in_flight(2).await;
    proxy.stall(true);
    // No worker has taken the issues yet, and the worker gets no data: only its own clock stops it.
    rig.workers[0]
        .until_event("run.stopped", &[("why", "lost")])
        .await;
    rig.add_worker(&[SHORT, ("DRAFTSMAN_WORKER_NAME", "living")]);
    for id in &ids {
        let issue = rig.client.decided(id).await;
        assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
        assert!(issue.worker_id.starts_with("living-"), "{issue:?}");
        assert!(issue.attempt > 1, "{issue:?}");
    }
    let n_beats = proxy.outcomes("beat_worker").len();
    proxy.stall(false);
    eventually("it beats again", async || {
        let n = proxy.outcomes("beat_worker").len();
        (n > n_beats).then_some(()).ok_or_else(|| n.to_string())
    })
    .await;
    assert_sound(&rig, &ids, Attempts::UpTo(5)).await;
    let cut_off = &mut rig.workers[0];
    let status = cut_off.terminate().await;
    assert_eq!(status.code(), Some(0), "{}", cut_off.stderr());
}

#[tokio::test]
async fn one_heartbeat_without_an_answer_costs_no_lease() {
    let scripts = factory::endless_scripts();
    let endless = scripts.path().to_str().expect("a plain path");
    let mut rig = Rig::without_worker().await;
    let proxy = RespProxy::start(rig.redis.port()).await;
    rig.client.put(factory::small("kept")).await;
    // Of the default lease, 12 seconds are trusted; a heartbeat comes after 5 and waits 3 for its
    // answer.
    let env = [
        ("DRAFTSMAN_GRACE_SECS", "1"),
        ("DRAFTSMAN_LUA_DIR", endless),
    ];
    rig.workers.push(Process::worker(&proxy.url(), &env));
    let issue_id = rig.client.submit("kept", "tag x").await.issue_id;
    rig.until_in_flight(1).await;
    let mut silent = proxy.silence_after("beat_worker", 1);
    silent.fired().await;
    let n_beats = proxy.outcomes("beat_worker").len();
    eventually("it beats again", async || {
        let n = proxy.outcomes("beat_worker").len();
        (n > n_beats).then_some(()).ok_or_else(|| n.to_string())
    })
    .await;
    let worker = &mut rig.workers[0];
    assert_eq!(worker.terminate().await.code(), Some(0));
    let stopped = worker.events("run.stopped");
    assert!(
        !stopped.is_empty() && stopped.iter().all(|event| event["why"] == "shutdown"),
        "{stopped:?}\n{}",
        worker.stderr()
    );
    rig.add_worker(&[]);
    let issue = rig.client.decided(&issue_id).await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    assert_sound(&rig, &[issue_id], Attempts::One).await;
}

#[tokio::test]
async fn a_call_that_arrives_too_late_changes_nothing() {
    for (call, outcome) in [("claim_issue", "not_mine"), ("settle_issue", "stale")] {
        println!("case: {call}");
        let mut rig = Rig::without_worker().await;
        let proxy = RespProxy::start(rig.redis.port()).await;
        rig.client.put(factory::small("late")).await;
        let mut stalled = proxy.stall_before(call, 1);
        let env = [SHORT, ("DRAFTSMAN_WORKER_NAME", "late")];
        rig.workers.push(Process::worker(&proxy.url(), &env));
        let first = rig.client.submit("late", "tag x").await.issue_id;
        stalled.fired().await;
        rig.add_worker(&[SHORT, ("DRAFTSMAN_WORKER_NAME", "living")]);
        let decided = rig.client.decided(&first).await;
        assert_eq!(decided.state(), IssueState::Applied, "{decided:?}");
        assert!(decided.worker_id.starts_with("living-"), "{decided:?}");

        proxy.stall(false);
        let answered = eventually("the late call is answered", async || {
            let outcomes = proxy.outcomes(call);
            outcomes
                .first()
                .cloned()
                .ok_or_else(|| format!("{outcomes:?}"))
        })
        .await;
        assert_eq!(answered, outcome);
        assert_eq!(rig.client.issue(&first).await, decided);
        // The worker continues.
        rig.workers.pop();
        let second = rig.client.run("late", "tag y").await;
        assert!(second.worker_id.starts_with("late-"), "{second:?}");
        assert_sound(&rig, &[first, second.issue_id], Attempts::UpTo(5)).await;
    }
}

#[tokio::test]
async fn a_worker_that_ends_while_cut_off_hands_nothing_back_twice() {
    let scripts = factory::endless_scripts();
    let endless = scripts.path().to_str().expect("a plain path");
    let mut rig = Rig::without_worker().await;
    let proxy = RespProxy::start(rig.redis.port()).await;
    rig.client.put(factory::small("late")).await;
    // Loads the scripts as another worker would: Redis does not execute a call of an unknown
    // script.
    let mut direct = rig.redis.connection().await;
    for script in shared::store::redis::script::all() {
        let load = cmd("SCRIPT").arg("LOAD").arg(script.source()).to_owned();
        let () = load.query_async(&mut direct).await.expect("SCRIPT LOAD");
    }
    let mut stalled = proxy.stall_before("release_issue", 1);
    let env = [
        // The grace period ends while the lease is still certain.
        ("DRAFTSMAN_LEASE_SECS", "4"),
        ("DRAFTSMAN_GRACE_SECS", "1"),
        ("DRAFTSMAN_LUA_DIR", endless),
    ];
    rig.workers.push(Process::worker(&proxy.url(), &env));
    let issue_id = rig.client.submit("late", "tag x").await.issue_id;
    rig.until_in_flight(1).await;
    rig.workers[0].signal(Signal::Terminate);
    stalled.fired().await;
    let status = rig.workers[0].wait().await;
    assert_eq!(status.code(), Some(0), "{}", rig.workers[0].stderr());
    rig.add_worker(&[SHORT]);
    let decided = rig.client.decided(&issue_id).await;
    assert_eq!((decided.state(), decided.attempt), (IssueState::Applied, 2));
    proxy.stall(false);
    let answered = eventually("the late release is answered", async || {
        let outcomes = proxy.outcomes("release_issue");
        outcomes
            .first()
            .cloned()
            .ok_or_else(|| "not yet".to_owned())
    })
    .await;
    assert_eq!(answered, "stale");
    assert_eq!(rig.client.issue(&issue_id).await, decided);
    assert_sound(&rig, &[issue_id], Attempts::UpTo(2)).await;
}

#[tokio::test]
async fn connections_that_break_again_and_again_cost_no_attempt() {
    let redis = RedisServer::start(Aof::None);
    let proxy = RespProxy::start(redis.port()).await;
    let mut rig = Rig::with_redis_at(redis, &proxy.url()).await;
    let ids = submit_many(&rig).await;
    for _ in 0..2 {
        rig.workers.push(Process::worker(&proxy.url(), &[]));
    }
    // Another issue is decided each time. A watcher waits for the last issue during the whole test.
    let last = rig.client.clone();
    let last_id = ids[49].clone();
    let watching = tokio::spawn(async move { last.watch(&last_id).await });
    let mut n_settled = 0;
    while n_settled < 40 {
        n_settled = eventually("more is settled", async || {
            let n = proxy.outcomes("settle_issue").len();
            (n > n_settled + 2)
                .then_some(n)
                .ok_or_else(|| n.to_string())
        })
        .await;
        proxy.drop_all();
    }
    let seen = within_wait_limit("the watcher", watching)
        .await
        .expect("no panic");
    assert!(seen.windows(2).all(|two| two[0].revision < two[1].revision));
    eventually("intake is ready", async || {
        let mut intake = rig.client.intake.clone();
        let stats = intake.get_queue_stats(v1::GetQueueStatsRequest {}).await;
        stats.map(drop).map_err(|status| status.to_string())
    })
    .await;
    assert_sound(&rig, &ids, Attempts::One).await;
}

/// Submits fifty issues over five Blueprints.
async fn submit_many(rig: &Rig) -> Vec<String> {
    let mut ids = Vec::new();
    for n in 0..50 {
        let target = format!("bp-{}", n % 5);
        if n < 5 {
            rig.client.put(factory::small(&target)).await;
        }
        let issue = rig.client.submit(&target, format!("tag t{n}")).await;
        ids.push(issue.issue_id);
    }
    ids
}

async fn until_some_are_decided(rig: &Rig) {
    eventually("some are decided", async || {
        match rig.client.entries().await.len() {
            0..5 => Err("too few".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
}

fn request(issue_id: &str) -> v1::SubmitIssueRequest {
    v1::SubmitIssueRequest {
        blueprint_id: "bp-0".to_owned(),
        intent: "tag late".to_owned(),
        issue_id: Some(issue_id.to_owned()),
        ..Default::default()
    }
}

/// Submits until intake gives up, and returns whether the error says that nothing was stored.
async fn submit_in_vain(rig: &Rig, issue_id: &str) -> String {
    let answer = rig
        .client
        .intake
        .clone()
        .submit_issue(request(issue_id))
        .await;
    let status = answer.expect_err("Redis cannot be used");
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    let info = status.get_details_error_info().expect("an ErrorInfo");
    info.metadata["executed"].clone()
}

/// Submits under an id that got no answer before.
async fn submit_again(rig: &Rig, issue_id: &str) {
    eventually("the same id is taken", async || {
        let mut intake = rig.client.intake.clone();
        let answer = intake.submit_issue(request(issue_id)).await;
        answer.map_err(|status| status.to_string())
    })
    .await;
}

#[tokio::test]
async fn the_programs_outlive_a_redis_that_refuses_to_write() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let nobody = free
        .local_addr()
        .expect("a bound address")
        .port()
        .to_string();
    drop(free);
    for (begin, end) in [
        (
            ["REPLICAOF", "127.0.0.1", &nobody].to_vec(),
            ["REPLICAOF", "NO", "ONE"].to_vec(),
        ),
        (
            ["CONFIG", "SET", "min-replicas-to-write", "1"].to_vec(),
            ["CONFIG", "SET", "min-replicas-to-write", "0"].to_vec(),
        ),
    ] {
        println!("case: {begin:?}");
        let mut rig = Rig::without_worker().await;
        let mut ids = submit_many(&rig).await;
        // Longer than the test, so that no attempt is lost.
        rig.add_worker(&[("DRAFTSMAN_LEASE_SECS", "60")]);
        until_some_are_decided(&rig).await;
        let mut direct = rig.redis.connection().await;
        let () = cmd(begin[0])
            .arg(&begin[1..])
            .query_async(&mut direct)
            .await
            .expect("begin");
        assert_eq!(submit_in_vain(&rig, "refused").await, "no");
        let mut direct = rig.redis.connection().await;
        let () = cmd(end[0])
            .arg(&end[1..])
            .query_async(&mut direct)
            .await
            .expect("end");
        submit_again(&rig, "refused").await;
        ids.push("refused".to_owned());
        assert_sound(&rig, &ids, Attempts::One).await;
        assert_eq!(rig.workers[0].try_wait(), None, "it is the same worker");
    }
}

#[tokio::test]
async fn the_programs_outlive_a_redis_that_stands_still() {
    let mut rig = Rig::without_worker().await;
    let mut ids = submit_many(&rig).await;
    rig.add_worker(&[("DRAFTSMAN_LEASE_SECS", "60")]);
    until_some_are_decided(&rig).await;
    send_signal(rig.redis.pid(), Signal::Stop);
    // Longer than the timeout of any call of intake and of the worker.
    let executed = submit_in_vain(&rig, "unknown").await;
    assert_eq!(executed, "unknown");
    rig.workers[0].until_event("call.failed", &[]).await;
    send_signal(rig.redis.pid(), Signal::Continue);
    submit_again(&rig, "unknown").await;
    ids.push("unknown".to_owned());
    assert_sound(&rig, &ids, Attempts::One).await;
    assert_eq!(rig.workers[0].try_wait(), None, "it is the same worker");
}

#[tokio::test]
async fn the_programs_outlive_a_redis_that_takes_no_more_clients() {
    let redis = RedisServer::start(Aof::None);
    let proxy = RespProxy::start(redis.port()).await;
    let mut rig = Rig::with_redis_at(redis, &proxy.url()).await;
    let mut ids = submit_many(&rig).await;
    rig.workers.push(Process::worker(&proxy.url(), &[]));
    until_some_are_decided(&rig).await;
    // This connection stays open, to raise the limit again.
    let mut direct = rig.redis.connection().await;
    let most = |n: u32| cmd("CONFIG").arg("SET").arg("maxclients").arg(n).to_owned();
    let () = most(1).query_async(&mut direct).await.expect("CONFIG SET");
    proxy.drop_all();
    let _executed = submit_in_vain(&rig, "refused").await;
    let () = most(100)
        .query_async(&mut direct)
        .await
        .expect("CONFIG SET");
    submit_again(&rig, "refused").await;
    ids.push("refused".to_owned());
    assert_sound(&rig, &ids, Attempts::One).await;
    assert_eq!(rig.workers[0].try_wait(), None, "it is the same worker");
}

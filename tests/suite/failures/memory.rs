//! A Redis that becomes full: new data is rejected, accepted issues are completed.

use std::time::Instant;

use proto::v1;
use proto::v1::IssueState;
use shared::error::chain;
use shared::store::Store;
use tests::checker::{Attempts, assert_sound};
use tests::eventually::eventually;
use tests::factory;
use tests::programs::{Process, Program, Signal, run};
use tests::redis_server::{Aof, RedisServer};
use tests::rig::Rig;
use tonic::Code;
use tonic_types::StatusExt;

/// Sends one command with the timeout of a store, because filling Redis takes it a while.
async fn send<T: redis::FromRedisValue>(redis: &RedisServer, words: &[&str]) -> T {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(word);
    }
    let store = Store::open(&redis.url(), 1).expect("a URL");
    let answer = store.home().handle().command("test", &command).await;
    answer.unwrap_or_else(|error| panic!("{words:?}: {}", chain(&error)))
}

/// Stores a large value and sets `maxmemory` so that this percentage of it is used.
async fn fill(redis: &RedisServer, percent: u64) {
    let _: i64 = send(redis, &["SETRANGE", "filling", "30000000", "x"]).await;
    let used = info_number(redis, "memory", "used_memory:", ":").await;
    let limit = (used * 100 / percent).to_string();
    let _: String = send(redis, &["CONFIG", "SET", "maxmemory", &limit]).await;
}

/// Removes the large value.
async fn free(redis: &RedisServer) {
    let freed: i64 = send(redis, &["DEL", "filling"]).await;
    assert_eq!(freed, 1);
}

/// The number after `field` in the line of `INFO` that starts with `line`; 0 if it is missing.
async fn info_number(redis: &RedisServer, section: &str, line: &str, field: &str) -> u64 {
    let info: String = send(redis, &["INFO", section]).await;
    let line = info.lines().find(|found| found.starts_with(line));
    let after = line.and_then(|line| line.split_once(field));
    let digits = after.map_or("0", |(_, after)| after).split(',').next();
    let number = digits.unwrap_or_default().trim().parse();
    number.unwrap_or_else(|_| panic!("no number after {field} in {line:?}"))
}

/// The number of pops that Redis rejected because it is full.
async fn refused_pops(redis: &RedisServer) -> u64 {
    info_number(
        redis,
        "commandstats",
        "cmdstat_brpoplpush:",
        "rejected_calls=",
    )
    .await
}

/// Submits until the answer is the wanted one. Intake reads the memory once a second, so it may
/// accept some more issues, whose ids are added to `accepted`.
async fn submit_until(
    rig: &Rig,
    accepted: &mut Vec<String>,
    wanted: Code,
) -> Option<tonic::Status> {
    eventually("admission follows the memory", async || {
        let request = v1::SubmitIssueRequest {
            blueprint_id: "full".to_owned(),
            intent: format!("tag t{}", accepted.len()),
            issue_id: None,
            ..Default::default()
        };
        let answer = rig.client.intake.clone().submit_issue(request).await;
        let status = match answer {
            Ok(answer) => {
                let issue = answer.into_inner().issue.expect("an issue");
                accepted.push(issue.issue_id);
                None
            }
            Err(status) => Some(status),
        };
        let code = status.as_ref().map_or(Code::Ok, tonic::Status::code);
        if code == wanted {
            Ok(status)
        } else {
            Err(format!("{code:?}"))
        }
    })
    .await
}

#[tokio::test]
async fn from_nine_tenths_on_nothing_is_taken_in_and_workers_drain() {
    let mut rig = Rig::with_redis(RedisServer::start(Aof::EverySecond)).await;
    rig.client.put(factory::small("full")).await;
    let mut accepted = Vec::new();
    for n in 0..5 {
        accepted.push(
            rig.client
                .submit("full", format!("tag before-{n}"))
                .await
                .issue_id,
        );
    }
    fill(&rig.redis, 95).await;
    let status = submit_until(&rig, &mut accepted, Code::ResourceExhausted).await;
    let status = status.expect("a refusal");
    assert!(status.message().contains("raise maxmemory"), "{status}");
    assert!(
        status
            .get_details_retry_info()
            .is_some_and(|r| r.retry_delay.is_some())
    );
    let reason = status
        .get_details_error_info()
        .expect("an ErrorInfo")
        .reason;
    assert_eq!(reason, "MEMORY_FULL");

    // A worker may start now, and completes all issues.
    rig.add_worker(&[]);
    for id in &accepted {
        assert_eq!(rig.client.decided(id).await.state(), IssueState::Applied);
    }
    submit_until(&rig, &mut accepted, Code::ResourceExhausted).await;
    free(&rig.redis).await;
    submit_until(&rig, &mut accepted, Code::Ok).await;
    assert_sound(&rig, &accepted, Attempts::One).await;
}

#[tokio::test]
async fn from_seven_tenths_on_a_person_is_told() {
    let mut rig = Rig::without_worker().await;
    fill(&rig.redis, 60).await;
    assert_eq!(rig.client.stats().await.warnings, [""; 0]);
    fill(&rig.redis, 75).await;
    let warnings = rig.client.stats().await.warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("raise maxmemory"), "{warnings:?}");
    assert!(
        !rig.intake.stderr().contains("maxmemory"),
        "it did not fill up yet"
    );

    let address = format!("http://{}", rig.address);
    let env = [("DRAFTSMAN_ADDR", address.as_str())];
    let shown = run(Program::Draftsman, &["stats"], &env).await;
    assert!(shown.stdout.contains("warning: Redis uses 7"), "{shown:?}");
    // Intake checks when Redis becomes ready, and once a minute.
    rig.intake = Process::intake(&rig.redis.url(), &[]);
    rig.intake.until_logged("WARN").await;
    rig.intake.until_logged("maxmemory").await;
}

#[tokio::test]
async fn a_full_redis_has_what_is_in_flight_finished_and_all_goes_on_later() {
    let scripts = tempfile::tempdir().expect("a temporary directory");
    let axis = scripts.path().join("verifiers");
    std::fs::create_dir(&axis).expect("a directory");
    std::fs::write(axis.join("spin.lua"), "while true do end").expect("a script file");
    let lua_dir = scripts.path().to_str().expect("a plain path").to_owned();
    let mut rig = Rig::with_redis(RedisServer::start(Aof::EverySecond)).await;
    rig.client.put(factory::small("running")).await;
    rig.client.put(factory::small("full")).await;
    // Written before a worker registers the axis, so that the worker finds it with its first issue.
    rig.write_setting(|s| {
        s.verifier_axes = vec!["spin".to_owned()];
        s.ttl_secs = 2;
    })
    .await;
    // One slot, so that nothing else is popped in the meantime, and a lease longer than the
    // suspension below.
    rig.add_worker(&[
        ("DRAFTSMAN_LUA_DIR", &lua_dir),
        ("DRAFTSMAN_CONCURRENCY", "1"),
        ("DRAFTSMAN_LEASE_SECS", "600"),
    ]);
    let running = rig.client.submit("running", "tag x").await.issue_id;
    eventually("it is in flight", async || {
        let issue = rig.client.issue(&running).await;
        (issue.state() == IssueState::InFlight)
            .then_some(())
            .ok_or(format!("{issue:?}"))
    })
    .await;
    // While suspended, the worker cannot complete the issue before Redis is full.
    rig.workers[0].signal(Signal::Stop);
    let waiting = rig.client.submit("full", "tag waiting").await.issue_id;
    let edit = |s: &mut v1::EnhanceSetting| {
        s.verifier_axes = vec!["des".to_owned()];
        s.ttl_secs = 60;
    };
    rig.client.edit_setting(edit).await;
    fill(&rig.redis, 110).await;
    assert_eq!(
        rig.client.issue(&running).await.state(),
        IssueState::InFlight
    );
    let (before, since) = (rig.workers[0].stderr().lines().count(), Instant::now());
    rig.workers[0].signal(Signal::Continue);

    let issue = rig.client.decided(&running).await;
    assert!(
        issue.reason.contains("time limit"),
        "settled at its time limit: {issue:?}"
    );
    eventually(
        "the worker tried to pop again and again",
        async || match refused_pops(&rig.redis).await {
            8.. => Ok(()),
            n => Err(format!("{n} pops were refused")),
        },
    )
    .await;
    // Pauses grow to one or two seconds, and each role logs a continuing fault every five seconds.
    // That gives this many lines, and some for single events.
    let lines = rig.workers[0].stderr().lines().count() - before;
    let (pops, secs) = (refused_pops(&rig.redis).await, since.elapsed().as_secs());
    assert!(pops <= 8 + secs, "{pops} pops in {secs} s");
    assert!(lines as u64 <= 8 + secs / 2, "{lines} lines in {secs} s");
    assert_eq!(
        rig.client.issue(&waiting).await.state(),
        IssueState::Pending
    );

    free(&rig.redis).await;
    assert_eq!(
        rig.client.decided(&waiting).await.state(),
        IssueState::Applied
    );
    let mut accepted = vec![running, waiting];
    submit_until(&rig, &mut accepted, Code::Ok).await;
    assert_sound(&rig, &accepted, Attempts::One).await;
}

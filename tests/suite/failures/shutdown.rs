//! The shutdown of the programs and their exit codes; and the cases in which they refuse to start.

use proto::v1;
use proto::v1::IssueState;
use tests::checker::{Attempts, assert_sound};
use tests::eventually::{eventually, within_wait_limit};
use tests::factory;
use tests::programs::{Program, Signal, run};
use tests::rig::Rig;
use tonic::Code;

#[tokio::test]
async fn idle_programs_end_cleanly_on_either_signal() {
    let mut rig = Rig::start().await;
    rig.add_worker(&[]);
    eventually("both workers are registered", async || {
        match rig.client.stats().await.workers.len() {
            2 => Ok(()),
            n => Err(format!("{n} workers")),
        }
    })
    .await;
    for (worker, signal) in rig
        .workers
        .iter_mut()
        .zip([Signal::Terminate, Signal::Interrupt])
    {
        worker.signal(signal);
        assert_eq!(
            worker.wait().await.code(),
            Some(0),
            "{signal:?}: {}",
            worker.stderr()
        );
    }
    // The client stays connected: an idle client must not block the shutdown of the server.
    assert_eq!(
        rig.intake.terminate().await.code(),
        Some(0),
        "{}",
        rig.intake.stderr()
    );
    rig.restart_intake().await;
    rig.intake.signal(Signal::Interrupt);
    assert_eq!(
        rig.intake.wait().await.code(),
        Some(0),
        "{}",
        rig.intake.stderr()
    );
}

#[tokio::test]
async fn a_worker_that_is_told_to_end_hands_its_work_back_at_once() {
    let scripts = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(
        scripts.path().join("patch_spawner.lua"),
        "while true do end",
    )
    .expect("a script file");
    let lua_dir = scripts.path().to_str().expect("a plain path");
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("handed")).await;
    // A lease longer than the wait limit: the other worker did not wait for its expiry.
    rig.add_worker(&[
        ("DRAFTSMAN_LEASE_SECS", "3600"),
        ("DRAFTSMAN_GRACE_SECS", "1"),
        ("DRAFTSMAN_LUA_DIR", lua_dir),
    ]);
    let issue = rig.client.submit("handed", "tag x").await;
    eventually("it is in flight", async || {
        match rig.client.issue(&issue.issue_id).await {
            issue if issue.state() == IssueState::InFlight => Ok(()),
            issue => Err(format!("{issue:?}")),
        }
    })
    .await;
    assert_eq!(
        rig.workers[0].terminate().await.code(),
        Some(0),
        "{}",
        rig.workers[0].stderr()
    );
    let back = rig.client.issue(&issue.issue_id).await;
    assert_eq!(
        (back.state(), back.attempt),
        (IssueState::Pending, 0),
        "the attempt is given back too: {back:?}"
    );
    assert_eq!(rig.client.stats().await.in_flight, 0);
    rig.add_worker(&[]);
    let done = rig.client.decided(&issue.issue_id).await;
    assert_eq!(
        (done.state(), done.attempt),
        (IssueState::Applied, 1),
        "{done:?}"
    );
    assert_sound(&rig, &[issue.issue_id], Attempts::One).await;
}

#[tokio::test]
async fn a_worker_finishes_what_it_can_within_its_grace() {
    let mut rig = Rig::without_worker().await;
    let mut ids = Vec::new();
    for n in 0..10 {
        let id = format!("bp-{n}");
        rig.client.put(factory::small(&id)).await;
        for k in 0..10 {
            ids.push(rig.client.submit(&id, format!("tag n{k}")).await.issue_id);
        }
    }
    rig.add_worker(&[]);
    eventually("some are decided", async || {
        match rig.client.entries().await.len() {
            0..10 => Err("too few".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    assert_eq!(
        rig.workers[0].terminate().await.code(),
        Some(0),
        "{}",
        rig.workers[0].stderr()
    );
    let stats = rig.client.stats().await;
    assert_eq!(
        (stats.in_flight, stats.delayed),
        (0, 0),
        "nothing stays in its hands: {stats:?}"
    );
    rig.add_worker(&[]);
    assert_sound(&rig, &ids, Attempts::One).await;
}

#[tokio::test]
async fn watch_streams_end_unavailable_when_intake_ends() {
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("streams")).await;
    let issue = rig.client.submit("streams", "tag x").await;
    let request = v1::WatchIssueRequest {
        issue_id: issue.issue_id,
        ..Default::default()
    };
    let mut stream = rig
        .client
        .intake
        .clone()
        .watch_issue(request)
        .await
        .expect("WatchIssue")
        .into_inner();
    assert!(
        stream.message().await.expect("no error").is_some(),
        "the present state"
    );
    rig.intake.signal(Signal::Terminate);
    let end = within_wait_limit("the stream ends", stream.message()).await;
    assert_eq!(
        end.expect_err("an end that says to come again").code(),
        Code::Unavailable
    );
    assert_eq!(
        rig.intake.wait().await.code(),
        Some(0),
        "{}",
        rig.intake.stderr()
    );
}

#[tokio::test]
async fn every_bad_value_is_named_at_once() {
    let common = [
        ("DRAFTSMAN_REDIS_URL", "http://nowhere"),
        ("DRAFTSMAN_LOG_FORMAT", "rainbow"),
        ("DRAFTSMAN_METRICS_LISTEN", "not an address"),
        ("DRAFTSMAN_GRACE_SECS", "-1"),
    ];
    let of_intake = [("DRAFTSMAN_LISTEN", "localhost")];
    let of_worker = [
        ("DRAFTSMAN_CONCURRENCY", "0"),
        ("DRAFTSMAN_LEASE_SECS", "0"),
        ("DRAFTSMAN_MAX_ATTEMPTS", "none"),
        ("DRAFTSMAN_MAX_RETRIES", "many"),
        ("DRAFTSMAN_SETTING", "a/b"),
        ("DRAFTSMAN_LUA_DIR", "/nowhere/at/all"),
        ("DRAFTSMAN_SUBPROCESS_ALLOW", "relative/path"),
    ];
    for (program, own) in [
        (Program::Intake, &of_intake[..]),
        (Program::Worker, &of_worker[..]),
    ] {
        let bad: Vec<(&str, &str)> = common.iter().chain(own).copied().collect();
        let finished = run(program, &[], &bad).await;
        assert_eq!(finished.code, Some(64), "{program:?}: {finished:?}");
        for (name, _) in &bad {
            assert!(
                finished.stderr.contains(name),
                "{program:?}: {name} is named: {}",
                finished.stderr
            );
        }
        let good = run(program, &["--redis-url", "nonsense"], &[]).await;
        assert_eq!(
            good.code,
            Some(64),
            "{program:?}: a flag counts like its variable: {good:?}"
        );
    }
}

#[tokio::test]
async fn help_explains_and_lists_the_defaults() {
    for (program, words) in [
        (
            Program::Intake,
            &[
                "DRAFTSMAN_REDIS_URL",
                "DRAFTSMAN_LISTEN",
                "127.0.0.1:50051",
                "redis://127.0.0.1:6379",
            ][..],
        ),
        (
            Program::Worker,
            &[
                "DRAFTSMAN_REDIS_URL",
                "DRAFTSMAN_CONCURRENCY",
                "DRAFTSMAN_LEASE_SECS",
                "DRAFTSMAN_MAX_ATTEMPTS",
                "DRAFTSMAN_MAX_RETRIES",
                "DRAFTSMAN_GRACE_SECS",
                "DRAFTSMAN_LUA_DIR",
                "DRAFTSMAN_SUBPROCESS_ALLOW",
                "DRAFTSMAN_SETTING",
                "DRAFTSMAN_WORKER_NAME",
                "DRAFTSMAN_LOG",
            ][..],
        ),
        (
            Program::Draftsman,
            &[
                "DRAFTSMAN_ADDR",
                "up",
                "submit",
                "watch",
                "http://127.0.0.1:50051",
            ][..],
        ),
    ] {
        let help = run(program, &["--help"], &[]).await;
        assert_eq!(help.code, Some(0), "{program:?}: {help:?}");
        for word in words {
            assert!(
                help.stdout.contains(word),
                "{program:?} --help says {word}: {}",
                help.stdout
            );
        }
        let version = run(program, &["--version"], &[]).await;
        assert_eq!(version.code, Some(0), "{program:?}: {version:?}");
        assert!(
            version.stdout.contains(program.name()) && version.stdout.contains("0."),
            "{version:?}"
        );
    }
}

//! `draftsman submit` and `watch` never wait without the reason.

use std::time::Duration;

use proto::v1;
use serde_json::Value;
use tests::eventually::{eventually_now, wait_limit};
use tests::factory;
use tests::model_double::Act;
use tests::model_stage::{ModelStage, patch};
use tests::programs::{Finished, Process, Program, Signal, run};
use tests::redis_server::{Aof, RedisServer};
use tests::rig::Rig;

fn start(rig: &Rig, args: &[&str]) -> Process {
    let addr = format!("http://{}", rig.address);
    Process::start(Program::Draftsman, args, &[("DRAFTSMAN_ADDR", &addr)])
}

async fn draftsman(rig: &Rig, args: &[&str]) -> Finished {
    let addr = format!("http://{}", rig.address);
    let env = [("DRAFTSMAN_ADDR", addr.as_str()), ("USER", "alice")];
    run(Program::Draftsman, args, &env).await
}

/// Waits until the process has printed these words.
async fn until_said(process: &Process, words: &[&str]) {
    eventually_now(&format!("{words:?} is printed"), || {
        let said = format!("{}{}", process.stdout(), process.stderr());
        let all = words.iter().all(|word| said.contains(word));
        all.then_some(()).ok_or(said)
    })
    .await;
}

#[tokio::test]
async fn submit_says_why_it_waits_and_each_change_of_it() {
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("team")).await;
    let mut submit = start(&rig, &["submit", "team", "tag one"]);
    until_said(&submit, &["no worker is running", "`draftsman doctor`"]).await;
    let paused = draftsman(&rig, &["pause", "team"]).await;
    assert_eq!(paused.code, Some(0), "{paused:?}");
    until_said(
        &submit,
        &["team is paused by alice", "`draftsman resume team`"],
    )
    .await;
    let paused = draftsman(&rig, &["pause"]).await;
    assert_eq!(paused.code, Some(0), "{paused:?}");
    until_said(&submit, &["the whole queue is paused by alice"]).await;
    rig.add_worker(&[]);
    rig.until_registered(1).await;
    for args in [&["resume"][..], &["resume", "team"]] {
        let resumed = draftsman(&rig, args).await;
        assert_eq!(resumed.code, Some(0), "{resumed:?}");
    }
    assert_eq!(submit.wait().await.code(), Some(0), "{}", submit.stdout());
}

#[tokio::test]
async fn a_retried_model_and_an_older_issue_are_named() {
    let acts = vec![Act::Refuse(429, Some("3600")), Act::Say(patch())];
    let stage = ModelStage::start(acts).await;
    let rig = &stage.rig;
    let mut first = start(
        rig,
        &["submit", "target", "one more tag", "--issue-id", "first"],
    );
    until_said(&first, &["temporary fault", "the next attempt is in"]).await;
    let mut second = start(rig, &["submit", "target", "tag x", "--issue-id", "second"]);
    until_said(
        &second,
        &["waits for 1 older issue of target", "temporary fault"],
    )
    .await;

    let read = draftsman(rig, &["issues", "second", "--output", "json"]).await;
    let json: Value = serde_json::from_str(&read.stdout).expect("JSON");
    let waiting = &json["issue"]["waiting_for"];
    assert_eq!(waiting["reason"], "older_issues", "{json}");
    assert_eq!(waiting["issues_ahead"], 1, "{json}");
    assert!(waiting["next_attempt_at"].is_string(), "{json}");

    // Ctrl-C ends the wait, not the issue.
    first.signal(Signal::Interrupt);
    second.signal(Signal::Interrupt);
    for (process, id) in [(&mut first, "first"), (&mut second, "second")] {
        assert_eq!(process.wait().await.code(), Some(130));
        let said = process.stderr();
        let words = format!("`draftsman watch {id}`");
        assert!(said.contains("goes on") && said.contains(&words), "{said}");
        assert!(!said.contains("error"), "{said}");
    }
    for id in ["second", "first"] {
        let cancelled = draftsman(rig, &["cancel", id]).await;
        assert_eq!(cancelled.code, Some(0), "{cancelled:?}");
    }
}

#[tokio::test]
async fn a_redis_that_does_not_answer_is_named_and_its_return() {
    let mut rig = Rig::with_redis(RedisServer::start(Aof::Always)).await;
    rig.client.put(factory::small("team")).await;
    let mut submit = start(&rig, &["submit", "team", "tag one"]);
    until_said(&submit, &["no worker is running"]).await;
    rig.redis.kill();
    until_said(&submit, &["Redis does not answer intake"]).await;
    rig.redis.start_again();
    rig.add_worker(&[]);
    assert_eq!(submit.wait().await.code(), Some(0), "{}", submit.stdout());
}

#[tokio::test]
async fn a_time_limit_ends_the_wait_and_names_the_issue() {
    let rig = Rig::without_worker().await;
    rig.client.put(factory::small("team")).await;
    let args = [
        "submit",
        "team",
        "tag one",
        "--issue-id",
        "late",
        "--timeout",
        "300ms",
    ];
    let ended = draftsman(&rig, &args).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("`draftsman watch late`"), "{ended:?}");
    let issue = rig.client.issue("late").await;
    assert_eq!(issue.state(), v1::IssueState::Pending);
    let waiting = issue.waiting_for.expect("it waits");
    assert_eq!(waiting.reason(), v1::WaitingReason::NoWorker);
    assert!(!waiting.message.is_empty());
    let listed = rig.client.issues().await;
    assert!(listed.iter().all(|issue| issue.waiting_for.is_none()));
}

#[tokio::test]
async fn a_watch_without_the_option_has_states_only() {
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("team")).await;
    let issue = rig.client.submit("team", "tag one").await;
    let request = |include_waiting| v1::WatchIssueRequest {
        issue_id: issue.issue_id.clone(),
        include_waiting,
        ..Default::default()
    };
    let mut intake = rig.client.intake.clone();
    let plain = intake
        .watch_issue(request(false))
        .await
        .expect("WatchIssue");
    let asking = intake.watch_issue(request(true)).await.expect("WatchIssue");
    let (mut plain, mut asking) = (plain.into_inner(), asking.into_inner());
    let first = asking
        .message()
        .await
        .expect("a message")
        .expect("a message");
    let waiting = first
        .issue
        .expect("the state")
        .waiting_for
        .expect("it waits");
    assert_eq!(waiting.reason(), v1::WaitingReason::NoWorker);
    draftsman(&rig, &["pause"]).await;
    let second = asking
        .message()
        .await
        .expect("a message")
        .expect("a message");
    let waiting = second.waiting_for.expect("a message about waiting");
    assert_eq!(
        (waiting.reason(), second.issue, second.step),
        (v1::WaitingReason::QueuePaused, None, None)
    );
    draftsman(&rig, &["resume"]).await;
    rig.add_worker(&[]);
    while let Some(message) = plain.message().await.expect("a message") {
        let state = message.issue.expect("a state");
        assert_eq!((state.waiting_for, message.waiting_for), (None, None));
    }
}

#[tokio::test]
async fn ctrl_c_calls_a_preview_off_in_the_worker_too() {
    let stage = ModelStage::start(vec![Act::Stall]).await;
    let rig = &stage.rig;
    rig.until_registered(1).await;
    let mut preview = start(rig, &["preview", "target", "one more tag"]);
    stage.double.until_called(1).await;
    preview.signal(Signal::Interrupt);
    assert_eq!(preview.wait().await.code(), Some(130));
    assert!(
        preview.stderr().contains("called off"),
        "{}",
        preview.stderr()
    );
    // Far before the time limit of the flow, which is 300 s.
    assert!(wait_limit() < Duration::from_secs(300));
    stage.double.until_hung_up().await;
}

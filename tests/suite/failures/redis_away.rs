//! Redis is unavailable: at startup, for a moment, for a long time.

use proto::v1;
use proto::v1::IssueState;
use tests::checker::{Attempts, assert_sound};
use tests::client::Client;
use tests::eventually::eventually;
use tests::factory;
use tests::programs::Process;
use tests::redis_server::{Aof, RedisServer};
use tests::rig::Rig;
use tonic::Code;
use tonic_types::StatusExt;

fn request(issue_id: &str) -> v1::SubmitIssueRequest {
    v1::SubmitIssueRequest {
        blueprint_id: "away".to_owned(),
        intent: "tag x".to_owned(),
        issue_id: Some(issue_id.to_owned()),
        ..Default::default()
    }
}

#[tokio::test]
async fn both_programs_wait_for_redis_at_start() {
    let mut redis = RedisServer::start(Aof::Always);
    redis.stop();
    let mut intake = Process::intake(&redis.url(), &[]);
    let worker = Process::worker(&redis.url(), &[]);
    let address = intake.address().await;
    let client = Client::connect_unready(&address).await;
    let answer = client
        .intake
        .clone()
        .get_queue_stats(v1::GetQueueStatsRequest {})
        .await;
    assert_eq!(answer.expect_err("Redis is away").code(), Code::Unavailable);

    redis.start_again();
    let client = Client::connect(&address).await;
    let rig = Rig {
        client,
        workers: vec![worker],
        intake,
        redis,
        address,
    };
    rig.client.put(factory::small("away")).await;
    let issue = rig.client.run("away", "tag x").await;
    assert_eq!(issue.state(), IssueState::Applied);
}

#[tokio::test]
async fn a_short_absence_is_not_noticed_by_who_submits() {
    let mut rig = Rig::with_redis(RedisServer::start(Aof::Always)).await;
    rig.add_worker(&[]);
    rig.client.put(factory::small("away")).await;
    rig.redis.stop();
    let (mut intake, issue) = (rig.client.intake.clone(), request("patient"));
    let submitting = tokio::spawn(async move { intake.submit_issue(issue).await });
    rig.redis.start_again();
    let answer = submitting
        .await
        .expect("no panic")
        .expect("SubmitIssue")
        .into_inner();
    assert_eq!(answer.issue.expect("an issue").issue_id, "patient");
    // The worker has reconnected too.
    assert_eq!(
        rig.client.decided("patient").await.state(),
        IssueState::Applied
    );
    assert_sound(&rig, &["patient".to_owned()], Attempts::UpTo(2)).await;
}

#[tokio::test]
async fn a_long_absence_is_answered_with_what_is_safe_to_do() {
    let mut rig = Rig::with_redis(RedisServer::start(Aof::Always)).await;
    rig.add_worker(&[]);
    rig.client.put(factory::small("away")).await;
    rig.redis.stop();
    let anonymous = v1::SubmitIssueRequest {
        issue_id: None,
        ..request("")
    };
    let (mut first, mut second) = (rig.client.intake.clone(), rig.client.intake.clone());
    let (named, anonymous) = tokio::join!(
        first.submit_issue(request("mine")),
        second.submit_issue(anonymous)
    );
    for (what, answer) in [("mine", named), ("", anonymous)] {
        let status = answer.expect_err("Redis is away");
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert!(
            status
                .get_details_retry_info()
                .is_some_and(|r| r.retry_delay.is_some()),
            "{status:?}"
        );
        let metadata = status
            .get_details_error_info()
            .expect("an ErrorInfo")
            .metadata;
        let issue_id = metadata
            .get("issue_id")
            .expect("the id to submit again with");
        assert!(
            !issue_id.is_empty() && (what.is_empty() || issue_id == what),
            "{metadata:?}"
        );
        let executed = metadata.get("executed").map(String::as_str);
        assert!(matches!(executed, Some("no" | "unknown")), "{metadata:?}");
    }

    rig.redis.start_again();
    let again = eventually("the same id is taken", async || {
        rig.client
            .intake
            .clone()
            .submit_issue(request("mine"))
            .await
            .map_err(|s| s.to_string())
    })
    .await;
    assert_eq!(again.into_inner().issue.expect("an issue").issue_id, "mine");
    assert_eq!(
        rig.client.decided("mine").await.state(),
        IssueState::Applied
    );
}

#[tokio::test]
async fn a_watcher_outlives_a_restart_of_redis() {
    let mut rig = Rig::with_redis(RedisServer::start(Aof::Always)).await;
    rig.client.put(factory::small("away")).await;
    rig.client
        .intake
        .clone()
        .submit_issue(request("seen"))
        .await
        .expect("SubmitIssue");
    let watch = v1::WatchIssueRequest {
        issue_id: "seen".to_owned(),
        ..Default::default()
    };
    let mut stream = rig
        .client
        .intake
        .clone()
        .watch_issue(watch)
        .await
        .expect("WatchIssue")
        .into_inner();
    let present = stream
        .message()
        .await
        .expect("no error")
        .expect("an item")
        .issue
        .expect("an issue");
    assert_eq!(present.state(), IssueState::Pending);
    rig.redis.stop();
    rig.redis.start_again();
    rig.add_worker(&[]);
    let last = tests::eventually::within_wait_limit("the terminal state", async {
        let mut last = present;
        while let Some(item) = stream.message().await.expect("the stream outlives it") {
            last = item.issue.expect("an issue");
        }
        last
    })
    .await;
    assert_eq!(last.state(), IssueState::Applied);
}

//! The main case: an issue is submitted over gRPC, a separate worker process runs the flow, and the
//! watcher receives `applied`.

use proto::v1;
use proto::v1::{IssueState, RejectionCause};
use serde_json::Value;
use tests::checker::{Attempts, assert_sound};
use tests::events::{ALL_CHANNEL, Events, issue_channel};
use tests::factory;
use tests::rig::Rig;

#[tokio::test]
async fn an_issue_is_applied_through_two_processes() {
    let rig = Rig::start().await;
    let first = rig.client.put(factory::small("main-job")).await;
    assert_eq!(first.seq, 1);
    assert_eq!(first.version_label, "1.0.0");
    assert!(first.parents.is_empty());

    let submitted = rig
        .client
        .submit("main-job", "describe as done by a worker; tag reviewed")
        .await;
    assert_eq!(submitted.state(), IssueState::Pending);
    assert_eq!(submitted.blueprint_id, "main-job");
    assert_eq!(
        submitted.intent,
        "describe as done by a worker; tag reviewed"
    );
    assert_eq!(submitted.attempt, 0);
    assert_eq!(submitted.revision, 1);
    assert!(submitted.submitted_at.is_some() && submitted.updated_at.is_some());

    let seen = rig.client.watch(&submitted.issue_id).await;
    let applied = seen.last().expect("WatchIssue sends the present state");
    assert_eq!(applied.state(), IssueState::Applied, "{applied:?}");
    assert_eq!(applied.cause(), RejectionCause::Unspecified);
    assert_eq!(applied.reason, "");
    assert_eq!(applied.attempt, 1);
    assert!(!applied.worker_id.is_empty());
    assert_eq!(applied.submitted_at, submitted.submitted_at);

    let head = rig.client.head("main-job").await;
    let commit = head.commit.expect("GetBlueprint answers the commit");
    assert_eq!(commit.version, applied.new_version);
    assert_eq!(commit.seq, 2);
    assert_eq!(commit.parents, std::slice::from_ref(&first.version));
    assert_eq!(commit.issue_id, applied.issue_id);
    assert_eq!(commit.version_label, "1.0.1");
    assert_eq!(commit.patch_hash.len(), 64);
    let epoch = commit.epoch.expect("a commit of an issue has an epoch");
    assert_eq!(epoch.blueprint_id, "main-job");
    assert_eq!(epoch.start_version, first.version);
    assert!(epoch.started_at.is_some());

    let document: Value = serde_json::from_str(&head.document_json).expect("document_json is JSON");
    assert_eq!(document["metadata"]["description"], "done by a worker");
    assert_eq!(
        document["metadata"]["tags"],
        serde_json::json!(["sample", "reviewed"])
    );
    assert_eq!(document["metadata"]["version_label"], "1.0.1");

    let mut snapshot = assert_sound(
        &rig,
        std::slice::from_ref(&submitted.issue_id),
        Attempts::One,
    )
    .await;
    snapshot.watched.push(seen);
    assert_eq!(tests::checker::violations(&snapshot, Attempts::One), []);
}

#[tokio::test]
async fn watching_begins_with_the_present_state_and_ends_after_the_last() {
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("watched")).await;
    let issue = rig.client.submit("watched", "tag seen").await;

    let request = v1::WatchIssueRequest {
        issue_id: issue.issue_id.clone(),
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
    let present = tests::eventually::within_wait_limit("the present state", stream.message()).await;
    let present = present
        .expect("an item")
        .expect("an item")
        .issue
        .expect("an issue");
    // A watch has what the issue waits for only on request.
    let read = rig.client.issue(&issue.issue_id).await;
    let read = v1::Issue {
        waiting_for: None,
        ..read
    };
    assert_eq!(present, read);
    assert_eq!(present.state(), IssueState::Pending);

    rig.add_worker(&[]);
    let mut revisions = vec![present.revision];
    let last = loop {
        let item = tests::eventually::within_wait_limit("a later state", stream.message())
            .await
            .expect("no error");
        let issue = item
            .expect("the terminal state comes before the end")
            .issue
            .expect("an issue");
        revisions.push(issue.revision);
        if tests::client::is_terminal(&issue) {
            break issue;
        }
    };
    let end = tests::eventually::within_wait_limit("the end of the stream", stream.message()).await;
    assert!(
        matches!(end, Ok(None)),
        "the stream ends OK by itself: {end:?}"
    );
    assert!(
        revisions.windows(2).all(|pair| pair[0] < pair[1]),
        "revisions only rise: {revisions:?}"
    );
    assert_eq!(last, rig.client.issue(&issue.issue_id).await);

    // A watch of a decided issue sends its state once, and ends.
    assert_eq!(rig.client.watch(&issue.issue_id).await, [last]);
}

#[tokio::test]
async fn many_watchers_of_one_issue_all_see_its_end() {
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("popular")).await;
    let issue = rig.client.submit("popular", "tag seen").await;
    let watchers: Vec<_> = (0..50)
        .map(|_| {
            let (client, id) = (rig.client.clone(), issue.issue_id.clone());
            tokio::spawn(async move { client.watch(&id).await })
        })
        .collect();
    rig.add_worker(&[]);
    let mut snapshot = assert_sound(&rig, &[issue.issue_id], Attempts::One).await;
    for watcher in watchers {
        snapshot
            .watched
            .push(watcher.await.expect("a watcher ends"));
    }
    assert_eq!(tests::checker::violations(&snapshot, Attempts::One), []);
}

#[tokio::test]
async fn every_change_is_published_for_consumers_without_grpc() {
    let rig = Rig::start().await;
    rig.client.put(factory::small("published")).await;
    let mut all = Events::subscribe(&rig.redis, ALL_CHANNEL).await;
    let mut one = Events::subscribe(&rig.redis, &issue_channel("the-issue")).await;

    let request = v1::SubmitIssueRequest {
        blueprint_id: "published".to_owned(),
        intent: "tag told".to_owned(),
        issue_id: Some("the-issue".to_owned()),
        ..Default::default()
    };
    rig.client
        .intake
        .clone()
        .submit_issue(request)
        .await
        .expect("SubmitIssue");
    let events = all.until_decided("the-issue").await;
    assert_eq!(one.until_decided("the-issue").await, events);

    let states: Vec<&Value> = events.iter().map(|e| &e["state"]).collect();
    assert_eq!(states, ["pending", "in_flight", "applied"]);
    let revisions: Vec<u64> = events
        .iter()
        .map(|e| e["revision"].as_u64().expect("a number"))
        .collect();
    assert_eq!(revisions, [1, 2, 3]);
    let mut fields = [
        "issue_id",
        "blueprint_id",
        "state",
        "cause",
        "reason",
        "new_version",
        "attempt",
        "worker_id",
        "retry_of",
        "submitted_at_ms",
        "updated_at_ms",
        "revision",
    ];
    fields.sort_unstable();
    for event in &events {
        let mut keys: Vec<&str> = event
            .as_object()
            .expect("an object")
            .keys()
            .map(String::as_str)
            .collect();
        keys.sort_unstable();
        assert_eq!(keys, fields);
        for number in ["attempt", "submitted_at_ms", "updated_at_ms", "revision"] {
            assert!(event[number].is_u64(), "{number} is a number: {event}");
        }
        assert_eq!(event["blueprint_id"], "published");
    }

    let last = events.last().expect("there are three");
    let issue = rig.client.issue("the-issue").await;
    assert_eq!(last["new_version"], issue.new_version.as_str());
    assert_eq!(last["attempt"], 1);
    assert_eq!(last["worker_id"], issue.worker_id.as_str());
    assert_eq!(last["updated_at_ms"], millis(issue.updated_at));
    assert_eq!(last["submitted_at_ms"], millis(issue.submitted_at));
}

fn millis(time: Option<prost_types::Timestamp>) -> i64 {
    let time = time.expect("a time");
    time.seconds * 1000 + i64::from(time.nanos) / 1_000_000
}

#[tokio::test]
async fn submitting_again_under_the_same_id_changes_nothing() {
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("again")).await;
    let request = v1::SubmitIssueRequest {
        blueprint_id: "again".to_owned(),
        intent: "tag once".to_owned(),
        issue_id: Some("mine".to_owned()),
        ..Default::default()
    };
    let mut intake = rig.client.intake.clone();
    let first = intake
        .submit_issue(request.clone())
        .await
        .expect("SubmitIssue")
        .into_inner();
    assert!(!first.already_existed);
    let dump = rig.key_dump().await;
    let second = intake
        .submit_issue(request.clone())
        .await
        .expect("SubmitIssue")
        .into_inner();
    assert!(second.already_existed);
    assert_eq!(second.issue, first.issue);
    assert!(
        dump == rig.key_dump().await,
        "a repeated submission changes no key"
    );

    rig.add_worker(&[]);
    let applied = rig.client.decided("mine").await;
    let third = intake
        .submit_issue(request.clone())
        .await
        .expect("SubmitIssue")
        .into_inner();
    assert!(third.already_existed);
    assert_eq!(third.issue, Some(applied));
    assert_eq!(rig.client.history("again").await.len(), 2);

    let other = v1::SubmitIssueRequest {
        intent: "tag twice".to_owned(),
        ..request
    };
    let status = intake
        .submit_issue(other)
        .await
        .expect_err("another content under the same id");
    assert_eq!(status.code(), tonic::Code::AlreadyExists);
}

#[tokio::test]
async fn an_issue_id_of_the_servers_making_sorts_by_time() {
    let rig = Rig::without_worker().await;
    rig.client.put(factory::small("ids")).await;
    let a = rig.client.submit("ids", "tag a").await;
    let b = rig.client.submit("ids", "tag b").await;
    for issue in [&a, &b] {
        let id = uuid::Uuid::parse_str(&issue.issue_id).expect("a UUID");
        assert_eq!(id.get_version_num(), 7);
    }
    assert!(a.issue_id < b.issue_id);
}

#[tokio::test]
async fn the_bundled_orbit_and_setting_are_there_from_the_first_start() {
    let rig = Rig::without_worker().await;
    let orbit = rig.client.head_json("enhance-default").await;
    assert_eq!(orbit["id"], "enhance-default");
    let names: Vec<&Value> = orbit["agents"]
        .as_array()
        .expect("agents")
        .iter()
        .map(|a| &a["name"])
        .collect();
    for name in [
        "patch-spawner",
        "patch-applier",
        "verifier-router",
        "committer",
    ] {
        assert!(
            names.iter().any(|n| *n == name),
            "{name} is an agent of the orbit: {names:?}"
        );
    }
    let setting = rig.client.edit_setting(|_| {}).await;
    assert_eq!(setting.blueprint_id, "enhance-default");
    assert_eq!(
        setting.verifier_axes,
        ["des", "canonical", "noop", "agent-ref"]
    );
    assert_eq!(setting.ttl_secs, 300);
    assert!(setting.spawner.is_none());
}

#[tokio::test]
async fn an_issue_may_be_filed_against_the_orbit_itself() {
    let rig = Rig::start().await;
    let issue = rig.client.run("enhance-default", "tag edited").await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    // The edited orbit runs the next issue.
    rig.client.put(factory::small("after")).await;
    let next = rig.client.run("after", "tag later").await;
    assert_eq!(next.state(), IssueState::Applied, "{next:?}");
    assert_sound(&rig, &[issue.issue_id, next.issue_id], Attempts::One).await;
}

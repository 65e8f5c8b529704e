//! RetryIssue submits a rejected issue again as a new one.

use proto::v1;
use proto::v1::{IssueState, RejectionCause};
use serde_json::Value;
use tests::checker::Attempts;
use tests::factory;
use tests::programs::{Program, Signal, run, send_signal};
use tests::rig::Rig;
use tonic::{Code, Status};
use tonic_types::StatusExt;

async fn retry(rig: &Rig, issue_id: &str, new_id: Option<&str>) -> Result<v1::Issue, Status> {
    let request = v1::RetryIssueRequest {
        issue_id: issue_id.to_owned(),
        new_issue_id: new_id.map(str::to_owned),
    };
    let answer = rig.client.intake.clone().retry_issue(request).await?;
    Ok(answer
        .into_inner()
        .issue
        .expect("RetryIssue answers an issue"))
}

/// A worker that gives up every issue at its first temporary fault. The issues go onto the dead
/// list.
const GIVES_UP: [(&str, &str); 2] = [
    ("FAILPOINTS", "flow.fault=1*return(the model is away)->off"),
    ("DRAFTSMAN_MAX_RETRIES", "0"),
];

async fn dead(rig: &Rig) -> Vec<String> {
    let request = v1::ListIssuesRequest {
        dead_only: true,
        ..Default::default()
    };
    let answer = rig.client.intake.clone().list_issues(request).await;
    let issues = answer.expect("ListIssues").into_inner().issues;
    issues.into_iter().map(|issue| issue.issue_id).collect()
}

#[tokio::test]
async fn a_dead_issue_is_tried_again_and_leaves_the_dead_list() {
    let mut rig = Rig::without_worker().await;
    rig.add_worker(&GIVES_UP);
    rig.client.put(factory::small("again")).await;
    let old = rig.client.run("again", "tag x").await;
    assert_eq!(
        (old.state(), old.cause()),
        (IssueState::Rejected, RejectionCause::Failed)
    );
    assert_eq!(dead(&rig).await, std::slice::from_ref(&old.issue_id));
    assert_eq!(rig.client.stats().await.dead, 1);

    let new = retry(&rig, &old.issue_id, None).await.expect("RetryIssue");
    assert_eq!(new.retry_of, old.issue_id);
    assert_eq!(
        (&new.blueprint_id, &new.intent),
        (&old.blueprint_id, &old.intent)
    );
    assert_ne!(new.issue_id, old.issue_id);
    let applied = rig.client.decided(&new.issue_id).await;
    assert_eq!(applied.state(), IssueState::Applied, "{applied:?}");
    assert_eq!(applied.retry_of, old.issue_id);

    assert_eq!(dead(&rig).await, [] as [&str; 0]);
    assert_eq!(rig.client.stats().await.dead, 0);
    assert_eq!(
        rig.client.issue(&old.issue_id).await,
        old,
        "a terminal state never changes"
    );
    let ids = [old.issue_id, new.issue_id];
    let snapshot = tests::checker::Snapshot::take(&rig, &ids).await;
    assert_eq!(tests::checker::violations(&snapshot, Attempts::One), []);
}

#[tokio::test]
async fn denied_and_cancelled_issues_can_be_retried_any_number_of_times() {
    let rig = Rig::start().await;
    rig.client.put(factory::small("more")).await;
    let mut issue = rig.client.run("more", "nobody understands this").await;
    for _ in 0..2 {
        let new = retry(&rig, &issue.issue_id, None)
            .await
            .expect("RetryIssue");
        assert_eq!(new.retry_of, issue.issue_id);
        issue = rig.client.decided(&new.issue_id).await;
        assert_eq!(issue.cause(), RejectionCause::Denied);
    }
    let first = retry(&rig, &issue.issue_id, Some("one")).await;
    let second = retry(&rig, &issue.issue_id, Some("two")).await;
    assert_eq!(
        first.expect("RetryIssue").retry_of,
        second.expect("RetryIssue").retry_of
    );
}

#[tokio::test]
async fn the_same_new_id_gives_the_same_issue() {
    let mut rig = Rig::start().await;
    rig.client.put(factory::small("same")).await;
    let old = rig.client.run("same", "nobody understands this").await;
    let other = rig.client.run("same", "nor this").await;
    rig.workers.clear();
    let new = retry(&rig, &old.issue_id, Some("new")).await;
    let new = new.expect("RetryIssue");
    assert_eq!(new.issue_id, "new");
    let before = rig.key_dump().await;
    assert_eq!(
        retry(&rig, &old.issue_id, Some("new"))
            .await
            .expect("RetryIssue"),
        new
    );
    // Different content: another issue, or a submitted one that is not a retry.
    for (issue_id, new_id) in [(&other.issue_id, "new"), (&old.issue_id, &*other.issue_id)] {
        let refused = retry(&rig, issue_id, Some(new_id))
            .await
            .expect_err("taken");
        assert_eq!(refused.code(), Code::AlreadyExists, "{refused}");
    }
    let submitted = v1::SubmitIssueRequest {
        blueprint_id: "same".to_owned(),
        intent: old.intent.clone(),
        issue_id: Some("new".to_owned()),
        ..Default::default()
    };
    let refused = rig.client.intake.clone().submit_issue(submitted).await;
    assert_eq!(
        refused.expect_err("it is no retry").code(),
        Code::AlreadyExists
    );
    assert_eq!(rig.key_dump().await, before);
}

#[tokio::test]
async fn only_a_rejected_issue_can_be_retried() {
    let endless = factory::endless_scripts();
    let mut rig = Rig::start().await;
    rig.client.put(factory::small("only")).await;
    let applied = rig.client.run("only", "tag x").await.issue_id;
    rig.workers.clear();
    let dir = endless.path().to_str().expect("a plain path");
    rig.add_worker(&[("DRAFTSMAN_LUA_DIR", dir)]);
    let in_flight = rig.client.submit("only", "tag y").await.issue_id;
    let pending = rig.client.submit("only", "tag z").await.issue_id;
    rig.until_in_flight(1).await;
    for (issue_id, state) in [
        (&applied, "applied"),
        (&in_flight, "in_flight"),
        (&pending, "pending"),
    ] {
        let refused = retry(&rig, issue_id, None).await.expect_err(state);
        assert_eq!(refused.code(), Code::FailedPrecondition, "{refused}");
        let info = refused.get_details_error_info().expect("an ErrorInfo");
        assert_eq!(
            (info.reason.as_str(), info.metadata["state"].as_str()),
            ("ISSUE_NOT_REJECTED", state)
        );
    }
    for (issue_id, new_id, code) in [
        ("nobody", None, Code::NotFound),
        ("", None, Code::InvalidArgument),
        ("a b", Some("new"), Code::InvalidArgument),
        ("nobody", Some(""), Code::InvalidArgument),
    ] {
        let refused = retry(&rig, issue_id, new_id).await.expect_err(issue_id);
        assert_eq!(refused.code(), code, "{issue_id}: {refused}");
    }
    assert_eq!(rig.client.issues().await.len(), 3, "nothing was submitted");
}

#[tokio::test]
async fn a_retry_waits_for_redis_and_says_what_it_did_if_it_does_not_come() {
    let mut rig = Rig::start().await;
    rig.client.put(factory::small("away")).await;
    let old = rig.client.run("away", "nobody understands this").await;
    send_signal(rig.redis.pid(), Signal::Stop);
    let refused = retry(&rig, &old.issue_id, Some("new")).await;
    send_signal(rig.redis.pid(), Signal::Continue);
    let refused = refused.expect_err("Redis stands still");
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert!(refused.get_details_retry_info().is_some());
    let info = refused.get_details_error_info().expect("an ErrorInfo");
    assert_eq!(info.metadata["issue_id"], "new");
    let new = tests::eventually::eventually("it is retried", async || {
        let retried = retry(&rig, &old.issue_id, Some("new")).await;
        retried.map_err(|status| status.to_string())
    })
    .await;
    assert_eq!(new.retry_of, old.issue_id);
    rig.client.decided("new").await;
    rig.workers.clear();
}

#[tokio::test]
async fn retry_at_the_terminal_waits_and_its_exit_status_tells() {
    let mut rig = Rig::without_worker().await;
    rig.add_worker(&GIVES_UP);
    rig.client.put(factory::small("exits")).await;
    let dead = rig.client.run("exits", "tag x").await.issue_id;
    let denied = rig.client.run("exits", "nobody understands this").await;
    let addr = format!("http://{}", rig.address);
    let draftsman =
        async |args: &[&str]| run(Program::Draftsman, args, &[("DRAFTSMAN_ADDR", &addr)]).await;

    let applied = draftsman(&["retry", &dead, "--new-issue-id", "new"]).await;
    assert_eq!(applied.code, Some(0), "{applied:?}");
    for words in ["issue new", &dead, "applied"] {
        assert!(applied.stdout.contains(words), "{words}: {applied:?}");
    }
    let again = draftsman(&["retry", &denied.issue_id, "--output", "json"]).await;
    assert_eq!(again.code, Some(2), "{again:?}");
    let answer: Value = serde_json::from_str(&again.stdout).expect("JSON");
    assert_eq!(answer["issue"]["retry_of"], denied.issue_id);
    assert_eq!(answer["issue"]["cause"], "denied");
    rig.workers.clear();
    let detached = draftsman(&["retry", &denied.issue_id, "--detach"]).await;
    assert_eq!(detached.code, Some(0), "{detached:?}");
    let waits = rig.client.issue(detached.stdout.trim()).await;
    assert_eq!(waits.state(), IssueState::Pending);
    let refused = draftsman(&["retry", "new"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
}

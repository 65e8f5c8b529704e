//! Watchers that request steps receive each long step of a flow; others receive none.

use std::collections::HashMap;
use std::path::Path;

use proto::v1;
use proto::v1::{IssueState, StepStatus};
use serde_json::json;
use shared::store::redis::keys::STEPS_CHANNEL;
use tests::events::{ALL_CHANNEL, Events};
use tests::eventually::eventually;
use tests::factory;
use tests::programs::{Process, Program};
use tests::rig::Rig;
use tonic_types::StatusExt;

const ALLOW: (&str, &str) = ("DRAFTSMAN_SUBPROCESS_ALLOW", "/bin/sh");
const INTENT: &str = "a secret wish";

/// A rig whose spawner runs until the file `go` exists in `dir`, then tags the document.
async fn rig(dir: &Path) -> Rig {
    let mut rig = Rig::without_worker().await;
    rig.add_worker(&[ALLOW]);
    rig.client.put(factory::small("target")).await;
    let go = dir.join("go");
    let patch = r#"{"ops":[{"op":"add","path":"/x","value":"a secret text"}],"bump":"patch","rationale":"waited"}"#;
    let script = format!(
        "cat > /dev/null; until [ -e '{}' ]; do sleep 0.02; done; echo '{patch}'",
        go.display()
    );
    let spawner =
        json!({"kind": "subprocess", "spec": {"program": "/bin/sh", "args": ["-c", script]}});
    let spawner = factory::to_struct(&spawner);
    rig.client
        .edit_setting(|setting| setting.spawner = Some(spawner))
        .await;
    rig
}

fn go(dir: &Path) {
    std::fs::write(dir.join("go"), "").expect("a file");
}

async fn watch(
    rig: &Rig,
    issue_id: &str,
    include_steps: bool,
) -> tonic::Streaming<v1::WatchIssueResponse> {
    let request = v1::WatchIssueRequest {
        issue_id: issue_id.to_owned(),
        include_steps,
        ..Default::default()
    };
    let stream = rig.client.intake.clone().watch_issue(request).await;
    stream.expect("WatchIssue").into_inner()
}

async fn next(
    stream: &mut tonic::Streaming<v1::WatchIssueResponse>,
) -> Option<v1::WatchIssueResponse> {
    stream.message().await.expect("the stream goes on")
}

/// A step by its name, axis and status.
fn known(step: &v1::StepProgress) -> (String, String, StepStatus) {
    (step.step.clone(), step.axis.clone(), step.status())
}

#[tokio::test]
async fn a_watcher_that_asks_is_told_of_each_step_and_another_one_is_not() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let rig = rig(dir.path()).await;
    let mut heard = Events::subscribe(&rig.redis, STEPS_CHANNEL).await;
    let issue_id = rig.client.submit("target", INTENT).await.issue_id;
    let mut plain = watch(&rig, &issue_id, false).await;
    let mut told = watch(&rig, &issue_id, true).await;

    // The spawner runs until the test lets it continue, and the watcher sees it running.
    let first = loop {
        let message = next(&mut told).await.expect("a message");
        if let Some(step) = message.step {
            break step;
        }
    };
    let spawner = ("patch-spawner".to_owned(), String::new());
    assert_eq!(
        known(&first),
        (spawner.0.clone(), spawner.1.clone(), StepStatus::Started)
    );
    assert_eq!((first.duration_ms, first.attempt), (0, 1));
    go(dir.path());

    let mut ended = Vec::new();
    let mut last = None;
    while let Some(message) = next(&mut told).await {
        assert!(
            message.step.is_some() != message.issue.is_some(),
            "{message:?}"
        );
        if let Some(step) = &message.step {
            assert!(last.is_none(), "a step after the decision: {step:?}");
            if step.status() != StepStatus::Started {
                ended.push(step.clone());
            }
        }
        last = message
            .issue
            .filter(|issue| issue.state() == IssueState::Applied);
    }
    assert!(last.is_some(), "the decision comes last");
    assert!(ended[0].duration_ms >= 20, "{ended:?}");
    let mut ended: Vec<_> = ended.iter().map(known).collect();
    // The axes run concurrently.
    ended[2..6].sort_by(|a, b| a.1.cmp(&b.1));
    let finished =
        |step: &str, axis: &str| (step.to_owned(), axis.to_owned(), StepStatus::Finished);
    let router = |axis| finished("verifier-router", axis);
    let expected = [
        finished("patch-spawner", ""),
        finished("patch-applier", ""),
        router("agent-ref"),
        router("canonical"),
        router("des"),
        router("noop"),
        finished("committer", ""),
    ];
    assert_eq!(ended, expected);

    while let Some(message) = next(&mut plain).await {
        assert!(
            message.step.is_none() && message.issue.is_some(),
            "{message:?}"
        );
    }
    let said = heard.so_far(&rig.redis, STEPS_CHANNEL).await;
    let said = serde_json::Value::from(said).to_string();
    assert!(
        said.contains("patch-spawner") && said.contains(&issue_id),
        "{said}"
    );
    assert!(!said.contains("secret"), "{said}");
}

#[tokio::test]
async fn a_step_that_is_stopped_is_told_as_failed() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let rig = rig(dir.path()).await;
    let mut heard = Events::subscribe(&rig.redis, STEPS_CHANNEL).await;
    let issue_id = rig.client.submit("target", INTENT).await.issue_id;
    let mut told = watch(&rig, &issue_id, true).await;
    while next(&mut told).await.expect("a message").step.is_none() {}
    let request = v1::CancelIssueRequest {
        issue_id: issue_id.clone(),
    };
    let cancelled = rig.client.intake.clone().cancel_issue(request).await;
    cancelled.expect("CancelIssue");
    // The decision may arrive before the step that it has ended.
    while let Some(message) = next(&mut told).await {
        assert!(
            message
                .step
                .is_none_or(|step| step.status() == StepStatus::Failed),
            "nothing else ends or begins"
        );
    }
    let ended = eventually("the worker tells how the step has ended", async || {
        let event = heard.next().await;
        let steps = event["steps"].as_array().cloned().unwrap_or_default();
        let failed = steps.into_iter().find(|step| step["status"] == "failed");
        failed.ok_or_else(|| event.to_string())
    })
    .await;
    assert_eq!(ended["step"], "patch-spawner", "{ended}");
}

/// Measured by the clock of Redis, so that a suspended machine has no effect.
#[tokio::test]
async fn nothing_is_published_of_a_flow_that_is_soon_over() {
    let rig = Rig::start().await;
    rig.client.put(factory::small("quick")).await;
    let mut heard = Events::subscribe(&rig.redis, STEPS_CHANNEL).await;
    let mut events = Events::subscribe(&rig.redis, ALL_CHANNEL).await;
    let mut ran_ms = HashMap::new();
    for n in 0..30 {
        let issue = rig.client.run("quick", format!("tag t{n}")).await;
        let told = events.until_decided(&issue.issue_id).await;
        let at = |state| {
            let event = told.iter().rfind(|event| event["state"] == state);
            event.and_then(|event| event["updated_at_ms"].as_u64())
        };
        let ran = at("applied").expect("applied") - at("in_flight").expect("in flight");
        ran_ms.insert(issue.issue_id, ran);
    }
    for news in heard.so_far(&rig.redis, STEPS_CHANNEL).await {
        let issue_id = news["issue_id"].as_str().expect("an id");
        assert!(ran_ms[issue_id] > 95, "{news}: {} ms", ran_ms[issue_id]);
    }
}

#[tokio::test]
async fn a_person_sees_the_steps_of_a_flow_that_takes_its_time() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let rig = rig(dir.path()).await;
    let addr = format!("http://{}", rig.address);
    let env = [("DRAFTSMAN_ADDR", addr.as_str())];
    let args = ["submit", "target", INTENT, "--issue-id", "seen"];
    let mut submit = Process::start(Program::Draftsman, &args, &env);
    let mut told = eventually("the issue is there", async || {
        let request = v1::WatchIssueRequest {
            issue_id: "seen".to_owned(),
            include_steps: true,
            ..Default::default()
        };
        let stream = rig.client.intake.clone().watch_issue(request).await;
        stream
            .map(tonic::Response::into_inner)
            .map_err(|status| status.to_string())
    })
    .await;
    while next(&mut told).await.expect("a message").step.is_none() {}
    assert!(!submit.stdout().contains("patch-spawner"), "it still runs");
    go(dir.path());
    let status = submit.wait().await;
    let stdout = submit.stdout();
    assert_eq!(status.code(), Some(0), "{stdout}");
    let lines: Vec<&str> = stdout.lines().map(str::trim_start).collect();
    let at = |start: &str| {
        let found = lines.iter().position(|line| line.starts_with(start));
        found.unwrap_or_else(|| panic!("{start} is not in {stdout}"))
    };
    let order = [
        "in flight",
        "patch-spawner  ",
        "patch-applier  ",
        "verifier-router noop  ",
        "committer  ",
        "applied",
    ];
    let order = order.map(at);
    assert!(order.is_sorted(), "{stdout}");
    assert!(
        lines[order[1]].ends_with("ms") || lines[order[1]].ends_with('s'),
        "{stdout}"
    );

    // A program that reads JSON gets the same output as before.
    let args = ["watch", "seen", "--output", "json"];
    let watched = tests::programs::run(Program::Draftsman, &args, &env).await;
    for line in watched.stdout.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(line["issue"].is_object(), "{line}");
    }
}

#[tokio::test]
async fn a_watch_has_a_longest_life_and_a_person_does_not_notice() {
    let mut rig = Rig::without_worker().await;
    rig.restart_intake_with(&[("DRAFTSMAN_MAX_WATCH_SECS", "1")])
        .await;
    rig.client.put(factory::small("waits")).await;
    let issue_id = rig.client.submit("waits", "tag late").await.issue_id;
    let addr = format!("http://{}", rig.address);
    let mut person = Process::start(
        Program::Draftsman,
        &["watch", &issue_id],
        &[("DRAFTSMAN_ADDR", &addr)],
    );
    // Two watches, one after the other, each of which reaches its maximum duration.
    for _ in 0..2 {
        let mut stream = watch(&rig, &issue_id, false).await;
        let state = next(&mut stream).await.expect("the present state");
        assert_eq!(state.issue.expect("an issue").state(), IssueState::Pending);
        let over = stream.message().await.expect_err("the longest life");
        assert_eq!(over.code(), tonic::Code::Unavailable, "{over:?}");
        let info = over.get_details_error_info().expect("ErrorInfo");
        assert_eq!(info.reason, "WATCH_OVER");
        assert!(over.get_details_retry_info().is_some(), "{over:?}");
    }
    assert_eq!(person.try_wait(), None, "the person waits on");
    rig.add_worker(&[]);
    assert_eq!(person.wait().await.code(), Some(0), "{}", person.stdout());
    assert_eq!(
        person.stdout().matches("pending").count(),
        1,
        "{}",
        person.stdout()
    );
}

//! A machine without free threads or processes: the issue waits and does not fail.

use proto::v1::IssueState;
use serde_json::json;
use tests::checker::{Attempts, assert_sound};
use tests::eventually::eventually;
use tests::factory::{self, to_struct};
use tests::rig::Rig;

const AGAIN: &str = "11";

/// Waits until the issue is queued again after a fault with this text.
async fn until_put_off(rig: &Rig, issue_id: &str, words: &str) {
    eventually("the issue waits for another attempt", async || {
        let issue = rig.client.issue(issue_id).await;
        let is_put_off = issue.state() == IssueState::Pending && issue.reason.contains(words);
        is_put_off.then_some(()).ok_or_else(|| format!("{issue:?}"))
    })
    .await;
}

#[tokio::test]
async fn a_script_for_which_there_is_no_thread_is_run_later() {
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("target")).await;
    rig.client
        .edit_setting(|s| {
            s.verifier_axes = vec!["json-schema".to_owned()];
            s.axis_options = Some(to_struct(&json!({"json-schema": {"schema": {}}})));
        })
        .await;
    rig.add_worker(&[("FAILPOINTS", "script.thread=1*return(no thread)")]);
    let issue = rig.client.submit("target", "tag x").await.issue_id;
    let done = rig.client.decided(&issue).await;
    assert_eq!(done.state(), IssueState::Applied, "{done:?}");
    let log = rig.workers[0].stderr();
    assert!(log.contains("no thread could be started"), "{log}");
    assert_eq!(rig.counted("retries").await, 1, "it was put off once");
    assert_sound(&rig, &[issue], Attempts::UpTo(2)).await;
}

#[tokio::test]
async fn a_program_that_the_system_cannot_start_now_is_run_later() {
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("target")).await;
    let patch = r#"{"ops":[{"op":"add","path":"/x","value":1}],"bump":"patch","rationale":"r"}"#;
    let script = format!("cat >/dev/null; echo '{patch}'");
    let spawner = json!({
        "kind": "subprocess",
        "spec": {"program": "/bin/sh", "args": ["-c", script]}
    });
    let spawner = to_struct(&spawner);
    rig.client.edit_setting(|s| s.spawner = Some(spawner)).await;
    let allow = ("DRAFTSMAN_SUBPROCESS_ALLOW", "/bin/sh");
    let fault = format!("process_guard.spawn=return({AGAIN})");
    rig.add_worker(&[
        allow,
        // The process that starts the program has its own fail points.
        ("DRAFTSMAN_SUBPROCESS_ENV", "FAILPOINTS"),
        ("FAILPOINTS", &fault),
    ]);
    let issue = rig
        .client
        .submit("target", "as the program likes")
        .await
        .issue_id;
    until_put_off(&rig, &issue, "no process could be started for /bin/sh").await;
    rig.workers[0].terminate().await;
    rig.add_worker(&[allow]);
    let done = rig.client.decided(&issue).await;
    assert_eq!(done.state(), IssueState::Applied, "{done:?}");
}

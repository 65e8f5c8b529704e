//! Steps that a dead worker paid for are not paid for again.

use proto::v1;
use proto::v1::{IssueState, RejectionCause};
use serde_json::{Value, json};
use shared::ids::IssueId;
use shared::store::redis::keys::Keys;
use tests::checker::{Attempts, assert_sound};
use tests::eventually::eventually;
use tests::factory::{self, to_struct};
use tests::model_double::{Act, ModelDouble, TOKENS};
use tests::programs::Process;
use tests::rig::Rig;

const PATCH: &str = r#"{"ops":[{"op":"add","path":"/metadata/tags/-","value":"x"}],"bump":"patch","rationale":"r"}"#;
const SHORT_LEASE: (&str, &str) = ("DRAFTSMAN_LEASE_SECS", "1");

fn model(name: &str) -> Value {
    json!({
        "kind": "llm",
        "spec": {"provider": "anthropic"},
        "profile": {"model": name, "system_prompt": "Write JSON."},
    })
}

/// A rig without a worker, and the test double behind its spawner.
struct Stage {
    rig: Rig,
    double: ModelDouble,
}

impl Stage {
    async fn start(acts: Vec<Act>) -> Self {
        let double = ModelDouble::start(acts).await;
        let rig = Rig::without_worker().await;
        rig.client.put(factory::small("target")).await;
        let stage = Self { rig, double };
        stage.use_spawner(&model("model-1")).await;
        stage
    }

    async fn use_spawner(&self, spawner: &Value) {
        let spawner = to_struct(spawner);
        let edit = |s: &mut v1::EnhanceSetting| s.spawner = Some(spawner);
        self.rig.client.edit_setting(edit).await;
    }

    fn add_worker(&mut self, fail_points: &str) -> &mut Process {
        let url = self.double.url();
        self.rig.add_worker(&[
            SHORT_LEASE,
            ("DRAFTSMAN_LLM_BASE_URL", &url),
            ("ANTHROPIC_API_KEY", "k"),
            ("DRAFTSMAN_SUBPROCESS_ALLOW", "/bin/sh"),
            ("FAILPOINTS", fail_points),
        ])
    }

    /// Submits an issue to a worker that dies at this place.
    async fn dies_at(&mut self, place: &str) -> v1::Issue {
        self.dies_at_on(place, "one more tag").await
    }

    async fn dies_at_on(&mut self, place: &str, intent: &str) -> v1::Issue {
        let issue = self.rig.client.submit("target", intent).await;
        let worker = self.add_worker(&format!("{place}=return(kill)"));
        let status = worker.wait().await;
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        assert_eq!(signal, Some(9), "{place}: {}", worker.stderr());
        issue
    }

    /// The number of outputs that are stored with an issue.
    async fn n_kept(&self, issue: &v1::Issue) -> usize {
        let fields = self.fields(issue).await;
        let of_cost = |field: &&String| field.starts_with("cost");
        fields.len() - fields.iter().filter(of_cost).count()
    }

    /// All fields that are stored with an issue.
    async fn fields(&self, issue: &v1::Issue) -> Vec<String> {
        let id = IssueId::parse(&issue.issue_id).expect("an id");
        let mut connection = self.rig.redis.connection().await;
        redis::cmd("HKEYS")
            .arg(Keys::of_shard(0).steps(&id))
            .query_async(&mut connection)
            .await
            .expect("HKEYS")
    }

    async fn assert_sound(&self, issue: &v1::Issue) {
        let ids = [issue.issue_id.clone()];
        assert_sound(&self.rig, &ids, Attempts::UpTo(2)).await;
        assert_eq!(self.fields(issue).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_worker_that_died_after_the_reply_has_paid_for_the_next() {
    for place in ["remember.after", "flow.after"] {
        let mut stage = Stage::start(vec![Act::Say(PATCH.to_owned())]).await;
        let issue = stage.dies_at(place).await;
        assert_eq!(stage.n_kept(&issue).await, 1, "{place}");
        stage.add_worker("");
        let issue = stage.rig.client.decided(&issue.issue_id).await;
        assert_eq!(issue.state(), IssueState::Applied, "{place}: {issue:?}");
        assert_eq!(issue.attempt, 2, "{place}");
        assert_eq!(stage.double.calls().len(), 1, "{place}: paid for twice");
        // The issue's cost is the cost that the first worker has paid.
        let entry = stage.rig.client.entry(&issue.issue_id).await;
        let usage = entry.usage.expect("what it cost");
        assert_eq!((usage.model.as_str(), usage.calls), ("model-1", 1));
        assert_eq!((usage.input_tokens, usage.output_tokens), TOKENS);
        assert_eq!(entry.rationale, "r");
        stage.assert_sound(&issue).await;
    }
}

/// The only gap: the answer has arrived and is not stored yet.
#[tokio::test]
async fn a_worker_that_dies_before_the_reply_is_kept_lets_it_be_paid_twice() {
    let mut stage = Stage::start(vec![Act::Say(PATCH.to_owned())]).await;
    let issue = stage.dies_at("remember.before").await;
    assert_eq!(stage.n_kept(&issue).await, 0);
    stage.add_worker("");
    let issue = stage.rig.client.decided(&issue.issue_id).await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    assert_eq!(stage.double.calls().len(), 2);
    // The lost answer is part of the cost.
    let usage = stage.rig.client.entry(&issue.issue_id).await.usage;
    let usage = usage.expect("what it cost");
    assert_eq!((usage.calls, usage.input_tokens), (2, 2 * TOKENS.0));
    stage.assert_sound(&issue).await;
}

#[tokio::test]
async fn a_fault_later_in_the_flow_does_not_ask_again() {
    // Both use one address, so the double answers in order: spawner, judge (busy), judge.
    let pass = r#"{"opinion":"fine"}"#;
    let mut stage = Stage::start(vec![
        Act::Say(PATCH.to_owned()),
        Act::Refuse(503, Some("0")),
        Act::Say(pass.to_owned()),
    ])
    .await;
    let judge = model("model-2");
    let mut orbit: Value = stage.rig.client.head_json("enhance-default").await;
    let agents = orbit["agents"].as_array_mut().expect("agents");
    agents.push(judge);
    agents.last_mut().expect("it was pushed")["name"] = json!("reader");
    let steps = orbit["flow"]["children"].as_array_mut().expect("steps");
    let asks = json!({
        "kind": "step", "ref": "reader",
        "in": {"op": "path", "at": "$.issue"}, "out": {"op": "path", "at": "$.opinion"},
    });
    steps.insert(steps.len() - 1, asks);
    stage.rig.client.put(orbit.to_string()).await;
    stage
        .rig
        .client
        .edit_setting(|s| s.verifier_axes = vec!["des".to_owned()])
        .await;
    stage.add_worker("");
    let issue = stage.rig.client.run("target", "one more tag").await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    let asked: Vec<Value> = stage
        .double
        .calls()
        .iter()
        .map(|c| c.body["model"].clone())
        .collect();
    assert_eq!(asked, ["model-1", "model-2", "model-2"]);
    stage.assert_sound(&issue).await;
}

#[tokio::test]
async fn a_judge_that_has_judged_is_not_paid_again() {
    let pass = json!({"status": "pass", "reason": "It is what was asked for."});
    let mut stage = Stage::start(vec![Act::Say(pass.to_string())]).await;
    let options = json!({"llm-judge": {"model": "anthropic/judge-1"}});
    let judged_by = |options: &Value| {
        let options = to_struct(options);
        move |s: &mut v1::EnhanceSetting| {
            s.spawner = None;
            s.verifier_axes = vec!["des".to_owned(), "llm-judge".to_owned()];
            s.axis_options = Some(options);
        }
    };
    stage.rig.client.edit_setting(judged_by(&options)).await;
    for (place, intent) in [("remember.after", "tag one"), ("flow.after", "tag two")] {
        let n_before = stage.double.calls().len();
        let issue = stage.dies_at_on(place, intent).await;
        assert_eq!(stage.n_kept(&issue).await, 1, "{place}");
        stage.add_worker("");
        let issue = stage.rig.client.decided(&issue.issue_id).await;
        assert_eq!(issue.state(), IssueState::Applied, "{place}: {issue:?}");
        assert_eq!(issue.attempt, 2, "{place}");
        assert_eq!(
            stage.double.calls().len(),
            n_before + 1,
            "{place}: paid twice"
        );
        let entry = stage.rig.client.entry(&issue.issue_id).await;
        let of_judge = entry.verdicts.iter().find(|v| v.axis == "llm-judge");
        let detail = &of_judge.expect("a verdict").detail;
        assert!(detail.contains("It is what was asked for."), "{detail}");
        stage.assert_sound(&issue).await;
        stage.rig.workers.pop().expect("a worker").terminate().await;
    }
    // With another input it is another judge.
    let n_before = stage.double.calls().len();
    let issue = stage.dies_at_on("remember.after", "tag other").await;
    let options = json!({"llm-judge": {"model": "anthropic/judge-1", "prompt": "Be strict."}});
    stage.rig.client.edit_setting(judged_by(&options)).await;
    stage.add_worker("");
    let issue = stage.rig.client.decided(&issue.issue_id).await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    assert_eq!(stage.double.calls().len(), n_before + 2);
    stage.assert_sound(&issue).await;
}

#[tokio::test]
async fn another_model_is_another_question() {
    let mut stage = Stage::start(vec![Act::Say(PATCH.to_owned())]).await;
    let issue = stage.dies_at("remember.after").await;
    stage.use_spawner(&model("model-2")).await;
    stage.add_worker("");
    let issue = stage.rig.client.decided(&issue.issue_id).await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    let asked: Vec<Value> = stage
        .double
        .calls()
        .iter()
        .map(|c| c.body["model"].clone())
        .collect();
    assert_eq!(asked, ["model-1", "model-2"]);
    let usage = stage.rig.client.entry(&issue.issue_id).await.usage;
    assert_eq!(usage.expect("what it cost").model, "model-2");
    stage.assert_sound(&issue).await;
}

#[tokio::test]
async fn another_head_is_another_question() {
    let mut stage = Stage::start(vec![Act::Say(PATCH.to_owned())]).await;
    let issue = stage.dies_at("remember.after").await;
    let other = factory::small("target").replace("tags", "more: 1\n  tags");
    stage.rig.client.put(other).await;
    stage.add_worker("");
    let issue = stage.rig.client.decided(&issue.issue_id).await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    assert_eq!(stage.double.calls().len(), 2);
    stage.assert_sound(&issue).await;
}

#[tokio::test]
async fn a_program_is_not_run_again() {
    let mut stage = Stage::start(vec![Act::Stall]).await;
    let dir = tempfile::tempdir().expect("a folder");
    let runs = dir.path().join("runs");
    let script = format!(
        "cat > /dev/null; echo run >> {}; echo '{PATCH}'",
        runs.display()
    );
    let spawner =
        json!({"kind": "subprocess", "spec": {"program": "/bin/sh", "args": ["-c", script]}});
    stage.use_spawner(&spawner).await;
    let issue = stage.dies_at("remember.after").await;
    stage.add_worker("");
    let issue = stage.rig.client.decided(&issue.issue_id).await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    assert_eq!(std::fs::read_to_string(&runs).expect("it ran"), "run\n");
    let usage = stage.rig.client.entry(&issue.issue_id).await.usage;
    let usage = usage.expect("what it cost");
    assert_eq!((usage.agent_kind.as_str(), usage.calls), ("subprocess", 1));
    stage.assert_sound(&issue).await;
}

#[tokio::test]
async fn a_cancelled_issue_leaves_nothing() {
    let mut stage = Stage::start(vec![Act::Say(PATCH.to_owned())]).await;
    let issue = stage.dies_at("remember.after").await;
    assert_eq!(stage.n_kept(&issue).await, 1);
    let request = v1::CancelIssueRequest {
        issue_id: issue.issue_id.clone(),
    };
    let mut intake = stage.rig.client.intake.clone();
    intake.cancel_issue(request).await.expect("CancelIssue");
    let issue = stage.rig.client.decided(&issue.issue_id).await;
    assert_eq!(issue.cause(), RejectionCause::Cancelled, "{issue:?}");
    assert_eq!(stage.n_kept(&issue).await, 0);
    stage.add_worker("");
    stage.assert_sound(&issue).await;
}

#[tokio::test]
async fn what_is_too_long_to_keep_is_said() {
    let long = json!({
        "ops": [{"op": "add", "path": "/long", "value": "x".repeat(300 << 10)}],
        "bump": "patch", "rationale": "r",
    });
    let mut stage = Stage::start(vec![Act::Say(long.to_string())]).await;
    stage.add_worker("");
    let issue = stage.rig.client.run("target", "long").await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    eventually("the log says so", async || {
        let log = stage.rig.workers[0].stderr();
        let said = log.contains("not cached") && log.contains("TooLong");
        said.then_some(()).ok_or(log)
    })
    .await;
    stage.assert_sound(&issue).await;
}

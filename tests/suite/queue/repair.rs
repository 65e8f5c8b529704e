//! The bundled orbit `enhance-repair` and its context of earlier denials: a model gets the reason
//! of a denied patch. The tests use a real worker with a test double of the providers.

use proto::v1;
use proto::v1::IssueState;
use serde_json::{Value, json};
use shared::blueprint::Doc;
use tests::checker::{Attempts, assert_sound};
use tests::factory::{self, to_struct};
use tests::judgement::assert_denied_by;
use tests::model_double::{Act, Call, ModelDouble, TOKENS};
use tests::programs::{Program, run};
use tests::rig::Rig;

fn patch(ops: Value) -> Act {
    Act::Say(json!({"ops": ops, "bump": "patch", "rationale": "r"}).to_string())
}

/// Removes an agent that the flow needs, which `agent-ref` denies.
fn bad() -> Act {
    patch(json!([{"op": "remove", "path": "/agents/0"}]))
}

fn good() -> Act {
    patch(json!([{"op": "add", "path": "/metadata/tags/-", "value": "x"}]))
}

/// A rig whose spawner is a model and whose orbit is the repairing one; and the test double.
struct Stage {
    rig: Rig,
    double: ModelDouble,
}

impl Stage {
    async fn start(acts: Vec<Act>) -> Self {
        Self::with(acts, &[]).await
    }

    async fn with(acts: Vec<Act>, env: &[(&str, &str)]) -> Self {
        let double = ModelDouble::start(acts).await;
        let url = double.url();
        let mut rig = Rig::without_worker().await;
        let mut all = vec![
            ("DRAFTSMAN_LLM_BASE_URL", url.as_str()),
            ("ANTHROPIC_API_KEY", "k"),
        ];
        all.extend_from_slice(env);
        rig.add_worker(&all);
        rig.client.put(factory::small("target")).await;
        let stage = Self { rig, double };
        let spawner = spawner(json!({"provider": "anthropic"}));
        stage.use_spawner(&spawner, "enhance-repair").await;
        stage
    }

    async fn use_spawner(&self, spawner: &Value, orbit: &str) {
        let spawner = to_struct(spawner);
        let edit = |s: &mut v1::EnhanceSetting| {
            s.spawner = Some(spawner);
            s.blueprint_id = orbit.to_owned();
        };
        self.rig.client.edit_setting(edit).await;
    }

    async fn run(&self) -> v1::Issue {
        self.rig.client.run("target", "one more tag").await
    }

    async fn calls_of(&self, issue: &v1::Issue) -> (u32, u64) {
        let usage = self.rig.client.entry(&issue.issue_id).await.usage;
        let usage = usage.expect("what it cost");
        (usage.calls, usage.input_tokens)
    }

    async fn assert_sound(&self, issues: &[&v1::Issue]) {
        let ids: Vec<String> = issues.iter().map(|i| i.issue_id.clone()).collect();
        assert_sound(&self.rig, &ids, Attempts::One).await;
    }
}

fn spawner(spec: Value) -> Value {
    json!({
        "kind": "llm",
        "spec": spec,
        "profile": {"model": "model-1", "system_prompt": "Write JSON."},
    })
}

/// The input that a call sent to the model.
fn input(call: &Call) -> Value {
    let messages = call.messages();
    serde_json::from_str(&messages[1].1).expect("the input is JSON")
}

#[tokio::test]
async fn a_denied_patch_is_repaired_by_its_reasons() {
    let stage = Stage::start(vec![bad(), good()]).await;
    let issue = stage.run().await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    let calls = stage.double.calls();
    assert_eq!(calls.len(), 2);
    let (first, second) = (input(&calls[0]), input(&calls[1]));
    assert!(first.get("repair").is_none(), "{first}");
    let repair = &second["repair"];
    assert_eq!(repair["patch"]["ops"][0]["path"], "/agents/0");
    let reason = repair["reasons"][0].as_str().expect("a reason");
    assert!(reason.starts_with("agent-ref: "), "{reason}");
    // The model gets the same input as before, and no result of it.
    let keys = |input: &Value| -> Vec<String> {
        let members = input.as_object().expect("an object");
        members.keys().filter(|k| *k != "repair").cloned().collect()
    };
    assert_eq!(keys(&first), keys(&second));
    assert!(first.get("prev_bp_yaml").is_some() && first.get("applied").is_none());
    // The entry is that of the last try, with the cost of both.
    let entry = stage.rig.client.entry(&issue.issue_id).await;
    assert!(entry.patch_json.contains("/metadata/tags/-"), "{entry:?}");
    assert!(
        entry.verdicts.iter().all(|v| v.status == "pass"),
        "{entry:?}"
    );
    assert_eq!(stage.calls_of(&issue).await, (2, 2 * TOKENS.0));
    stage.assert_sound(&[&issue]).await;
}

#[tokio::test]
async fn after_three_tries_the_last_verdicts_decide() {
    let removes = |path: &str| patch(json!([{"op": "remove", "path": path}]));
    // Denied by `agent-ref`, by `apply` and by `des`.
    let stage = Stage::start(vec![bad(), removes("/nowhere"), removes("/agents")]).await;
    let issue = stage.run().await;
    let entry = assert_denied_by(&stage.rig, &issue, "des").await;
    assert!(entry.patch_json.contains("\"/agents\""), "{entry:?}");
    let calls = stage.double.calls();
    assert_eq!(calls.len(), 3);
    let reasons = &input(&calls[2])["repair"]["reasons"];
    assert!(
        reasons[0]
            .as_str()
            .is_some_and(|r| r.starts_with("apply: ")),
        "{reasons}"
    );
    assert_eq!(stage.calls_of(&issue).await, (3, 3 * TOKENS.0));
    stage.assert_sound(&[&issue]).await;
}

#[tokio::test]
async fn a_reply_that_is_no_patch_is_repaired_too() {
    // The model is asked three times for a patch before its reply is used as it is.
    let no_patch = Act::Say(json!({"ops": "none", "bump": "patch", "rationale": "r"}).to_string());
    let acts = vec![no_patch.clone(), no_patch.clone(), no_patch, good()];
    let stage = Stage::start(acts).await;
    let issue = stage.run().await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    let calls = stage.double.calls();
    assert_eq!(calls.len(), 4);
    let reasons = &input(&calls[3])["repair"]["reasons"];
    assert!(
        reasons[0]
            .as_str()
            .is_some_and(|r| r.starts_with("patch: ")),
        "{reasons}"
    );
    stage.assert_sound(&[&issue]).await;
}

#[tokio::test]
async fn the_same_patch_again_ends_it() {
    let stage = Stage::start(vec![bad()]).await;
    let issue = stage.run().await;
    assert_denied_by(&stage.rig, &issue, "agent-ref").await;
    assert_eq!(stage.double.calls().len(), 2);
    // The bundled script, too, is asked twice and not more often.
    stage.rig.client.edit_setting(|s| s.spawner = None).await;
    let script = stage.rig.client.run("target", "remove /agents/0").await;
    assert_denied_by(&stage.rig, &script, "agent-ref").await;
    assert_eq!(stage.calls_of(&script).await, (2, 0));
    let applied = stage.rig.client.run("target", "tag fine").await;
    assert_eq!(applied.state(), IssueState::Applied, "{applied:?}");
    assert_eq!(stage.calls_of(&applied).await, (1, 0));
    stage.assert_sound(&[&issue, &script, &applied]).await;
}

/// Each try is a separate call: calls paid before the death are not repeated, the others are.
#[tokio::test]
async fn a_worker_that_dies_between_two_tries_has_paid_for_the_first() {
    let env = [
        ("DRAFTSMAN_LEASE_SECS", "1"),
        ("FAILPOINTS", "remember.after=return(kill)"),
    ];
    let mut stage = Stage::with(vec![bad(), good()], &env).await;
    let issue = stage.rig.client.submit("target", "one more tag").await;
    stage.rig.workers[0].wait().await;
    let url = stage.double.url();
    stage
        .rig
        .add_worker(&[("DRAFTSMAN_LLM_BASE_URL", &url), ("ANTHROPIC_API_KEY", "k")]);
    let issue = stage.rig.client.decided(&issue.issue_id).await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    assert_eq!(stage.double.calls().len(), 2);
    assert_eq!(stage.calls_of(&issue).await, (2, 2 * TOKENS.0));
    assert_sound(&stage.rig, &[issue.issue_id], Attempts::UpTo(2)).await;
}

#[tokio::test]
async fn use_orbit_switches_it_on() {
    let stage = Stage::start(vec![bad(), good()]).await;
    let client = &stage.rig.client;
    client
        .edit_setting(|s| s.blueprint_id = "enhance-default".to_owned())
        .await;
    let addr = format!("http://{}", stage.rig.address);
    let env = [("DRAFTSMAN_ADDR", addr.as_str())];
    let nowhere = run(
        Program::Draftsman,
        &["setting", "use-orbit", "nowhere"],
        &env,
    )
    .await;
    assert_eq!(nowhere.code, Some(1), "{nowhere:?}");
    let done = run(
        Program::Draftsman,
        &["setting", "use-orbit", "enhance-repair"],
        &env,
    )
    .await;
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stdout.contains("enhance-repair"), "{done:?}");
    let issue = stage.run().await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    assert_eq!(stage.double.calls().len(), 2);
    stage.assert_sound(&[&issue]).await;
}

#[tokio::test]
async fn a_model_that_asks_for_them_is_told_of_past_denials() {
    let stage = Stage::start(vec![bad(), good(), bad(), bad(), good()]).await;
    let client = &stage.rig.client;
    let with = |n: u32| spawner(json!({"provider": "anthropic", "past_denials": n}));
    stage.use_spawner(&with(0), "enhance-default").await;
    let first = client.run("target", "intent 1").await;
    let applied = client.run("target", "intent 2").await;
    let second = client.run("target", "intent 3").await;
    let elsewhere = client.put(factory::small("other")).await;
    assert_eq!(elsewhere.blueprint_id, "other");
    let third = client.run("other", "intent of another").await;
    stage.use_spawner(&with(2), "enhance-default").await;
    let last = client.run("target", "intent 4").await;
    for (issue, state) in [
        (&first, IssueState::Rejected),
        (&applied, IssueState::Applied),
        (&second, IssueState::Rejected),
        (&third, IssueState::Rejected),
        (&last, IssueState::Applied),
    ] {
        assert_eq!(issue.state(), state, "{issue:?}");
    }
    let inputs: Vec<Value> = stage.double.calls().iter().map(input).collect();
    assert_eq!(inputs.len(), 5);
    for untold in &inputs[..4] {
        assert!(untold.get("past_denials").is_none(), "{untold}");
    }
    let told = inputs[4]["past_denials"].as_array().expect("denials");
    let intents: Vec<&Value> = told.iter().map(|denial| &denial["intent"]).collect();
    assert_eq!(intents, ["intent 3", "intent 1"]);
    assert_eq!(told[0]["patch"][0]["path"], "/agents/0");
    let reason = told[0]["reasons"][0].as_str().expect("a reason");
    assert!(reason.starts_with("agent-ref: "), "{reason}");

    // An invalid number is named.
    let eleven = Doc::try_from(&with(11)).expect("a document");
    stage.rig.write_setting(|s| s.spawner = Some(eleven)).await;
    let failed = client.run("target", "intent 5").await;
    assert!(failed.reason.contains("spec.past_denials"), "{failed:?}");
    stage
        .assert_sound(&[&first, &applied, &second, &third, &last, &failed])
        .await;
}

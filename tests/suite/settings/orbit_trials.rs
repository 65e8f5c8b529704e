//! An orbit that can never decide is rejected when it, or a setting that uses it, is written. The
//! validator rejects it, or a worker that tries it on a sample issue. Without a running worker the
//! write is accepted with a warning.

use proto::v1;
use proto::v1::version_selector::Selector;
use proto::v1::{IssueState, Trial};
use serde_json::{Value, json};
use tests::eventually::eventually;
use tests::factory::{self, selector, setting, to_struct};
use tests::programs::{Program, Signal, run, send_signal};
use tests::rig::Rig;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A step that runs `agent` on the whole context.
fn step(agent: &str, out: &str) -> Value {
    json!({"kind": "step", "ref": agent, "in": {"op": "path", "at": "$"}, "out": {"op": "path", "at": out}})
}

fn lua(name: &str, script: &str) -> Value {
    json!({"name": name, "kind": "lua", "spec": {"fn_id": script}})
}

fn orbit(flow: &Value, agents: &[Value]) -> Value {
    json!({"id": "own-orbit", "flow": flow, "agents": agents})
}

/// The bundled orbit under another id, after an edit.
async fn bundled(rig: &Rig, edit: impl FnOnce(&mut Value)) -> Value {
    let mut orbit = rig.client.head_json("enhance-default").await;
    orbit["id"] = json!("own-orbit");
    edit(&mut orbit);
    orbit
}

/// Orbits that can never decide, with the text of the validator's error.
fn never_valid() -> Vec<(&'static str, Value, &'static str)> {
    let decide = step("decide", "$.commit");
    let agents = [lua("decide", "committer")];
    let lit = |value: Value| json!({"op": "lit", "value": value});
    let set = |value: Value| json!({"kind": "let", "at": "$.commit", "value": value});
    vec![
        (
            "a flow that only sets a value",
            orbit(
                &json!({"kind": "let", "at": "$.x", "value": lit(json!(1))}),
                &[],
            ),
            "nothing writes $.commit",
        ),
        (
            "a function of the host",
            orbit(
                &set(json!({"op": "call_extern", "ref": "now", "args": []})),
                &[],
            ),
            "call_extern \"now\"",
        ),
        (
            "a model without a name",
            orbit(
                &decide,
                &[json!({"name": "decide", "kind": "llm", "spec": {"provider": "openai"}})],
            ),
            "profile.model is missing",
        ),
        (
            "a place that is no path",
            orbit(
                &json!({"kind": "seq", "children": [
                    {"kind": "step", "ref": "decide", "in": lit(json!(1)), "out": lit(json!(1))}, decide]}),
                &agents,
            ),
            "step \"decide\".out must be a path",
        ),
    ]
}

/// Valid orbits that reach no decision, with the text of the flow's error.
fn never_decided() -> Vec<(&'static str, Value, &'static str)> {
    let lit = |value: Value| json!({"op": "lit", "value": value});
    let set = |value: Value| json!({"kind": "let", "at": "$.commit", "value": value});
    vec![
        (
            "a patch in the place of a decision",
            orbit(&step("draft", "$.commit"), &[lua("draft", "patch_spawner")]),
            "$.commit.committed is missing",
        ),
        (
            "a committer that nothing was applied for",
            orbit(&step("decide", "$.commit"), &[lua("decide", "committer")]),
            "step \"decide\"",
        ),
        (
            "a decision that says nothing",
            orbit(&set(lit(json!({"committed": false}))), &[]),
            "$.commit.rationale is missing",
        ),
        (
            "a decision that is never reached",
            orbit(
                &json!({"kind": "branch", "cond": lit(json!(false)), "then": set(lit(json!({}))),
                    "else": {"kind": "seq", "children": []}}),
                &[],
            ),
            "$.commit is missing",
        ),
    ]
}

/// An orbit that denies every issue.
fn denies() -> Value {
    let commit = json!({"committed": false, "reasons": ["closed: for today"], "rationale": "",
        "verdicts_summary": [{"axis": "des", "status": "deny", "reason": "for today"}]});
    let flow = json!({"kind": "let", "at": "$.commit", "value": {"op": "lit", "value": commit}});
    orbit(&flow, &[])
}

fn with_orbit(document: &Value) -> v1::PutSettingRequest {
    v1::PutSettingRequest {
        orbit_document: Some(document.to_string()),
        ..setting("s", |s| s.blueprint_id = "own-orbit".to_owned())
    }
}

async fn put(rig: &Rig, document: &Value) -> Result<v1::PutBlueprintResponse, Status> {
    let request = v1::PutBlueprintRequest {
        document: document.to_string(),
        ..Default::default()
    };
    let answer = rig.client.blueprints.clone().put_blueprint(request).await;
    answer.map(tonic::Response::into_inner)
}

fn assert_not_runnable(what: &str, status: &Status, field: &str, words: &str) {
    assert_eq!(status.code(), Code::FailedPrecondition, "{what}: {status}");
    let info = status.get_details_error_info().expect("an ErrorInfo");
    assert_eq!(info.reason, "ORBIT_NOT_RUNNABLE", "{what}: {status}");
    let violations = status.get_details_bad_request().map(|b| b.field_violations);
    let fields: Vec<String> = violations.into_iter().flatten().map(|v| v.field).collect();
    assert_eq!(fields, [field], "{what}: {status}");
    assert!(
        status.message().contains(words),
        "{what}: {words}: {status}"
    );
}

/// A rig with a worker that runs previews.
async fn with_worker() -> Rig {
    let mut rig = Rig::without_worker().await;
    rig.add_worker(&[]);
    rig.until_registered(1).await;
    rig
}

#[tokio::test]
async fn what_can_never_decide_is_refused_wherever_it_would_become_an_orbit() {
    let rig = with_worker().await;
    let good = bundled(&rig, |_| {}).await;
    put(&rig, &good).await.expect("nobody uses it");
    let named = setting("s", |s| s.blueprint_id = "own-orbit".to_owned());
    let stored = rig
        .client
        .put_setting(named.clone())
        .await
        .expect("PutSetting");
    assert_eq!(stored.trial(), Trial::Passed, "{stored:?}");
    let unused = |document: &Value| {
        let mut document = document.clone();
        document["id"] = json!("unused");
        document
    };
    for (what, document, words) in never_valid().into_iter().chain(never_decided()) {
        let status = put(&rig, &document).await.expect_err(what);
        assert_not_runnable(what, &status, "document", words);
        let status = rig
            .client
            .put_setting(with_orbit(&document))
            .await
            .expect_err(what);
        assert_not_runnable(what, &status, "orbit_document", words);
        // The document is stored under an id that no setting uses; no setting accepts it
        // afterwards.
        let stored = put(&rig, &unused(&document))
            .await
            .expect("a target is a document");
        assert_eq!(stored.trial(), Trial::Unspecified, "{what}");
        let request = setting("other", |s| s.blueprint_id = "unused".to_owned());
        let status = rig.client.put_setting(request).await.expect_err(what);
        assert_not_runnable(what, &status, "setting.blueprint_id", words);
    }
    assert_eq!(rig.client.head_json("own-orbit").await, good);
    let stored = put(&rig, &denies())
        .await
        .expect("it decides: against everything");
    assert_eq!(stored.trial(), Trial::Passed, "{stored:?}");
    // An earlier version is tried like a new one.
    let good = rig.client.history("own-orbit").await[0].version.clone();
    let request = v1::RevertBlueprintRequest {
        blueprint_id: "own-orbit".to_owned(),
        version: good,
        rationale: None,
    };
    let reverted = rig
        .client
        .blueprints
        .clone()
        .revert_blueprint(request)
        .await;
    assert_eq!(
        reverted.expect("RevertBlueprint").into_inner().trial(),
        Trial::Passed
    );
}

#[tokio::test]
async fn a_spawner_without_a_model_is_no_spawner() {
    let rig = with_worker().await;
    for kind in ["llm", "agent_block"] {
        let request = setting("s", |s| {
            s.spawner = Some(to_struct(
                &json!({"kind": kind, "spec": {"provider": "openai"}}),
            ));
        });
        let status = rig.client.put_setting(request).await.expect_err("no model");
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(
            status.message().contains("profile.model is missing"),
            "{status}"
        );
    }
    // With a model the setting is tried without a call of the model: no API key is set here.
    let request = setting("s", |s| {
        let profile = json!({"model": "claude-sonnet-4-5"});
        s.spawner = Some(to_struct(
            &json!({"kind": "agent_block", "profile": profile}),
        ));
    });
    let stored = rig.client.put_setting(request).await.expect("PutSetting");
    assert_eq!(stored.trial(), Trial::Passed, "{stored:?}");
}

#[tokio::test]
async fn an_orbit_is_tried_with_each_setting_that_would_run_it() {
    let rig = with_worker().await;
    let first = bundled(&rig, |_| {}).await;
    put(&rig, &first).await.expect("PutBlueprint");
    let request = setting("by-label", |s| {
        s.blueprint_id = "own-orbit".to_owned();
        s.selector = selector(Selector::SemverReq("^1".to_owned()));
        s.spawner = Some(to_struct(
            &json!({"kind": "lua", "spec": {"fn_id": "patch-spawner"}}),
        ));
    });
    rig.client.put_setting(request).await.expect("PutSetting");
    // Without the agent that the setting replaces; its label decides whether the setting would
    // choose it.
    let without = |label: &str| {
        let text = first.to_string().replace("patch-spawner", "drafter");
        let mut document: Value = serde_json::from_str(&text).expect("JSON");
        document["metadata"]["version_label"] = json!(label);
        document
    };
    let status = put(&rig, &without("1.5.0")).await.expect_err("no spawner");
    assert_not_runnable(
        "no spawner",
        &status,
        "document",
        "with the setting by-label: no agent is named",
    );
    let stored = put(&rig, &without("2.0.0")).await.expect("not chosen");
    assert_eq!(stored.trial(), Trial::Unspecified, "{stored:?}");
}

#[tokio::test]
async fn a_document_is_judged_with_the_stored_setting_if_the_new_one_does_not_run_it() {
    let rig = with_worker().await;
    let first = bundled(&rig, |_| {}).await;
    rig.client
        .put_setting(with_orbit(&first))
        .await
        .expect("PutSetting");
    let history = rig.client.history("own-orbit").await;
    let version = history[0].version.clone();
    for (what, document, words) in never_decided() {
        let mut request = with_orbit(&document);
        let setting = request.setting.as_mut().expect("a setting");
        setting.selector = selector(Selector::Fixed(version.clone()));
        let status = rig.client.put_setting(request).await.expect_err(what);
        assert_eq!(status.code(), Code::FailedPrecondition, "{what}: {status}");
        assert!(status.message().contains(words), "{what}: {status}");
        assert_eq!(rig.client.head_json("own-orbit").await, first, "{what}");
    }
}

#[tokio::test]
async fn an_issue_cannot_break_an_orbit_for_a_setting_that_follows_it_by_label() {
    let rig = with_worker().await;
    let first = bundled(&rig, |orbit| {
        orbit["metadata"]["version_label"] = json!("1.0.0");
    })
    .await;
    put(&rig, &first).await.expect("PutBlueprint");
    let request = setting("by-label", |s| {
        s.blueprint_id = "own-orbit".to_owned();
        s.selector = selector(Selector::SemverReq("^1".to_owned()));
    });
    rig.client.put_setting(request).await.expect("PutSetting");
    // Removes the applier: valid, but the committer finds nothing applied.
    let issue = rig.client.run("own-orbit", "remove /flow/children/1").await;
    assert_eq!(issue.state(), IssueState::Rejected, "{issue:?}");
    assert!(
        issue
            .reason
            .contains("orbit: the setting by-label uses this Blueprint"),
        "{issue:?}"
    );
    assert_eq!(rig.client.head_json("own-orbit").await, first);
    let issue = rig.client.run("own-orbit", "tag still-decides").await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    // A label that the setting does not choose, so the version does not run.
    let away = json!([
        {"op": "remove", "path": "/flow/children/1"},
        {"op": "replace", "path": "/metadata/version_label", "value": "2.0.0"},
    ]);
    let issue = rig.client.run("own-orbit", away.to_string()).await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
}

/// At the claim no setting used the Blueprint, so the run did not try the new version with one.
#[tokio::test]
async fn a_setting_written_during_the_run_counts_for_the_edit_of_its_orbit() {
    let mut rig = Rig::without_worker().await;
    let stops = ("FAILPOINTS", "flow.after=1*return(stop)");
    let pid = rig.add_worker(&[stops]).pid();
    let first = bundled(&rig, |_| {}).await;
    put(&rig, &first).await.expect("PutBlueprint");
    // Removes the applier: valid, but the committer finds nothing applied.
    let submitted = rig.client.submit("own-orbit", "remove /flow/children/1");
    let issue_id = submitted.await.issue_id;
    let stat = format!("/proc/{pid}/stat");
    eventually("the worker is stopped", async || {
        let stat = std::fs::read_to_string(&stat).expect("a process");
        stat.contains(") T ").then_some(()).ok_or(stat)
    })
    .await;
    let uses = setting("uses-it", |s| s.blueprint_id = "own-orbit".to_owned());
    rig.client.put_setting(uses).await.expect("PutSetting");
    send_signal(pid, Signal::Continue);
    let issue = rig.client.decided(&issue_id).await;
    assert_eq!(issue.state(), IssueState::Rejected, "{issue:?}");
    let words = "orbit: the setting uses-it uses this Blueprint";
    assert!(issue.reason.contains(words), "{issue:?}");
    assert_eq!(rig.client.head_json("own-orbit").await, first);
}

#[tokio::test]
async fn a_flow_that_does_not_end_is_refused_with_the_time_limit() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("endless.lua"), "while true do end").expect("a script file");
    let mut rig = Rig::without_worker().await;
    rig.add_worker(&[("DRAFTSMAN_LUA_DIR", dir.path().to_str().expect("a path"))]);
    rig.until_registered(1).await;
    let document = orbit(&step("decide", "$.commit"), &[lua("decide", "endless")]);
    let status = rig
        .client
        .put_setting(with_orbit(&document))
        .await
        .expect_err("it never decides");
    let words = "it did not decide within 2 s";
    assert_not_runnable("endless", &status, "orbit_document", words);
}

#[tokio::test]
async fn what_a_model_or_program_decides_cannot_be_tried() {
    let rig = with_worker().await;
    let program = json!({"name": "decide", "kind": "subprocess", "spec": {"program": "/bin/cat"}});
    let document = orbit(&step("decide", "$.commit"), &[program]);
    let stored = rig
        .client
        .put_setting(with_orbit(&document))
        .await
        .expect("accepted");
    assert_eq!(stored.trial(), Trial::NotTried, "{stored:?}");
    assert!(
        stored
            .trial_detail
            .contains("\"decide\" is a model or a program"),
        "{stored:?}"
    );
}

#[tokio::test]
async fn an_issue_cannot_make_an_orbit_in_use_one_that_never_decides() {
    let rig = with_worker().await;
    let before = rig.client.head_json("enhance-default").await;
    // Removes the applier: valid, but the committer finds nothing applied.
    let issue = rig
        .client
        .run("enhance-default", "remove /flow/children/1")
        .await;
    assert_eq!(issue.state(), IssueState::Rejected, "{issue:?}");
    assert!(
        issue
            .reason
            .contains("orbit: the setting default uses this Blueprint"),
        "{issue:?}"
    );
    assert!(issue.reason.contains("comes to no decision"), "{issue:?}");
    assert_eq!(rig.client.head_json("enhance-default").await, before);
    let issue = rig.client.run("enhance-default", "tag still-decides").await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
}

#[tokio::test]
async fn without_a_worker_it_is_accepted_and_said() {
    let rig = Rig::without_worker().await;
    let (what, document, _) = never_decided().swap_remove(0);
    let stored = rig
        .client
        .put_setting(with_orbit(&document))
        .await
        .expect(what);
    assert_eq!(stored.trial(), Trial::NotTried, "{stored:?}");
    assert_eq!(stored.trial_detail, "no worker is running");
    let stored = put(&rig, &denies()).await.expect("an orbit in use");
    assert_eq!((stored.created, stored.trial()), (true, Trial::NotTried));
    // The validator's errors need no worker.
    for (what, document, words) in never_valid() {
        let status = put(&rig, &document).await.expect_err(what);
        assert_not_runnable(what, &status, "document", words);
    }
}

#[tokio::test]
async fn the_terminal_says_what_was_not_tried_and_refuses_what_is_no_orbit() {
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("no-orbit")).await;
    let addr = format!("http://{}", rig.address);
    let draftsman =
        async |args: &[&str]| run(Program::Draftsman, args, &[("DRAFTSMAN_ADDR", &addr)]).await;
    let refused = draftsman(&["setting", "use-orbit", "no-orbit"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("nothing writes $.commit"),
        "{refused:?}"
    );
    // The valid values for several agents are listed once.
    let model = |name: &str, provider: &str| {
        let spec = json!({"provider": provider});
        json!({"name": name, "kind": "llm", "spec": spec, "profile": {"model": "m"}})
    };
    let mut nameless = model("third", "");
    nameless["spec"] = json!({});
    let agents = [
        model("first", "opanai"),
        model("second", "antropic"),
        nameless,
    ];
    let mut document = orbit(&step("first", "$.commit"), &agents);
    document["id"] = json!("misspelt");
    put(&rig, &document).await.expect("nobody uses it");
    let refused = draftsman(&["setting", "use-orbit", "misspelt"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for words in ["\"opanai\"", "\"antropic\"", "agent \"third\""] {
        assert!(refused.stderr.contains(words), "{words}: {refused:?}");
    }
    let lists = refused.stderr.matches("openai, ollama").count();
    assert_eq!(lists, 1, "{refused:?}");
    let used = draftsman(&["setting", "use-orbit", "enhance-repair"]).await;
    assert_eq!(used.code, Some(0), "{used:?}");
    assert!(
        used.stdout.contains("was not tried: no worker is running"),
        "{used:?}"
    );
    rig.add_worker(&[]);
    rig.until_registered(1).await;
    let used = draftsman(&["setting", "use-model", "anthropic/claude-sonnet-4-5"]).await;
    assert_eq!(used.code, Some(0), "{used:?}");
    assert!(!used.stdout.contains("not tried"), "{used:?}");
    let used = draftsman(&[
        "setting",
        "use-orbit",
        "enhance-default",
        "--output",
        "json",
    ])
    .await;
    let used: Value = serde_json::from_str(&used.stdout).expect("JSON");
    assert_eq!(used["trial"], json!({"outcome": "passed"}));
}

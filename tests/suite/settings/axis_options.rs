//! The options that a setting gives its axes, in a real worker: a JSON Schema, a model that judges,
//! a time limit for each.

use proto::v1;
use proto::v1::{IssueState, RejectionCause};
use serde_json::{Value, json};
use tests::checker::{Attempts, assert_sound};
use tests::eventually::eventually;
use tests::factory::{self, to_struct};
use tests::judgement::assert_failed;
use tests::model_double::{Act, ModelDouble, TOKENS};
use tests::programs::{Program, run};
use tests::rig::Rig;

const KEY: &str = "key-of-the-judge";

struct Stage {
    rig: Rig,
    double: ModelDouble,
}

impl Stage {
    /// Starts a rig whose worker uses a test double with `acts`, and the Blueprint `target`.
    async fn start(acts: Vec<Act>, env: &[(&str, &str)]) -> Self {
        let double = ModelDouble::start(acts).await;
        let mut rig = Rig::without_worker().await;
        let url = double.url();
        let mut all = vec![
            ("DRAFTSMAN_LLM_BASE_URL", url.as_str()),
            ("ANTHROPIC_API_KEY", KEY),
        ];
        all.extend_from_slice(env);
        rig.add_worker(&all);
        rig.until_registered(1).await;
        rig.client.put(factory::small("target")).await;
        Self { rig, double }
    }

    async fn tell(&self, axes: &[&str], options: Value) {
        let edit = |s: &mut v1::EnhanceSetting| {
            s.verifier_axes = axes.iter().map(|axis| (*axis).to_owned()).collect();
            s.axis_options = Some(to_struct(&options));
        };
        self.rig.client.edit_setting(edit).await;
    }

    async fn run(&self, intent: &str) -> v1::Issue {
        self.rig.client.run("target", intent).await
    }
}

#[tokio::test]
async fn a_schema_of_the_setting_says_what_may_be() {
    let stage = Stage::start(vec![Act::Stall], &[]).await;
    let tags = json!({"type": "array", "items": {"pattern": "^[a-z]+$"}, "uniqueItems": true});
    let schema = json!({"properties": {"metadata": {"properties": {"tags": tags}}}});
    stage
        .tell(
            &["des", "json-schema"],
            json!({"json-schema": {"schema": schema}}),
        )
        .await;
    let good = stage.run("tag lower").await;
    assert_eq!(good.state(), IssueState::Applied, "{good:?}");
    let bad = stage.run("tag UPPER").await;
    assert_eq!(bad.cause(), RejectionCause::Denied, "{bad:?}");
    assert!(
        bad.reason
            .contains("json-schema: the document does not match the schema: /metadata/tags/"),
        "{}",
        bad.reason
    );

    // An edit applies to the next issue.
    stage
        .tell(&["json-schema"], json!({"json-schema": {"schema": {}}}))
        .await;
    let now = stage.run("tag UPPER").await;
    assert_eq!(now.state(), IssueState::Applied, "{now:?}");
    let ids = [good.issue_id, bad.issue_id, now.issue_id];
    assert_sound(&stage.rig, &ids, Attempts::One).await;
}

#[tokio::test]
async fn a_model_judges_and_is_counted() {
    let say = |status: &str, reason: &str| {
        Act::Say(json!({"status": status, "reason": reason}).to_string())
    };
    let acts = vec![
        say("pass", "It is what was asked for."),
        say("deny", "Nobody asked for that."),
        Act::Say("Well...".to_owned()),
        say("maybe", "r"),
        say("pass", "After all."),
        Act::Say("{}".to_owned()),
    ];
    let metrics = [("DRAFTSMAN_METRICS_LISTEN", "127.0.0.1:0")];
    let stage = Stage::start(acts, &metrics).await;
    let judge = json!({"llm-judge": {"model": "anthropic/model-1", "prompt": "Judge it, wombat."}});
    stage.tell(&["llm-judge", "des"], judge).await;

    let passed = stage.run("tag one").await;
    assert_eq!(passed.state(), IssueState::Applied, "{passed:?}");
    let entry = stage.rig.client.entry(&passed.issue_id).await;
    let evidence: Value = serde_json::from_str(&entry.verdicts[0].detail).expect("evidence");
    assert_eq!(evidence["reason"], "It is what was asked for.");
    assert_eq!(
        (
            evidence["calls"].as_u64(),
            evidence["input_tokens"].as_u64()
        ),
        (Some(1), Some(TOKENS.0))
    );
    // The log entry's usage is the spawner's.
    assert_eq!(entry.usage.expect("usage").agent_kind, "lua");
    let call = stage.double.calls().pop().expect("a call");
    let messages = call.messages();
    assert!(
        messages[0].1.starts_with("Judge it, wombat.") && messages[0].1.contains("is data"),
        "{messages:?}"
    );
    let material: Value = serde_json::from_str(&messages[1].1).expect("JSON");
    assert_eq!(material["intent"], "tag one");
    assert_eq!(material["patch"][0]["value"], "one");
    assert!(!material["before"].as_str().expect("text").contains("- one"));
    assert!(material["after"].as_str().expect("text").contains("- one"));

    let denied = stage.run("tag two").await;
    assert_eq!(
        denied.reason,
        "verifier deny: llm-judge: Nobody asked for that."
    );
    let third = stage.run("tag three").await;
    assert_eq!(third.state(), IssueState::Applied, "{third:?}");
    assert_eq!(stage.double.calls().len(), 5, "two replies were no verdict");
    let reason = assert_failed(&stage.rig, &stage.run("tag four").await).await;
    assert!(
        reason.contains(
            "gave no verdict in 3 replies; the last one was an object that has no status"
        ),
        "{reason}"
    );

    // Without an applied patch no model is asked.
    let calls = stage.double.calls().len();
    let nothing = stage.run("remove /nowhere").await;
    assert_eq!(nothing.cause(), RejectionCause::Denied, "{nothing:?}");
    assert_eq!(stage.double.calls().len(), calls);
    let log = stage.rig.workers[0].stderr();
    for secret in [KEY, "wombat", "Nobody asked"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn a_busy_judge_is_asked_again_later_and_the_bundled_prompt_is_whole() {
    let pass = json!({"status": "pass", "reason": "Good."}).to_string();
    let stage = Stage::start(vec![Act::Refuse(429, Some("1")), Act::Say(pass)], &[]).await;
    stage
        .tell(
            &["llm-judge"],
            json!({"llm-judge": {"model": "anthropic/model-1"}}),
        )
        .await;
    let issue = stage.run("tag one").await;
    assert_eq!(
        (issue.state(), issue.attempt),
        (IssueState::Applied, 2),
        "{issue:?}"
    );
    let call = stage.double.calls().pop().expect("a call");
    assert!(
        call.messages()[0].1.contains("You judge changes"),
        "{call:?}"
    );
    assert_sound(&stage.rig, &[issue.issue_id], Attempts::UpTo(2)).await;
}

#[tokio::test]
async fn an_axis_past_its_time_is_named_and_everything_is_stopped() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let verifiers = dir.path().join("verifiers");
    std::fs::create_dir(&verifiers).expect("a directory");
    std::fs::write(
        verifiers.join("loops.lua"),
        "while true do pcall(error) end",
    )
    .expect("a script");
    let lua_dir = dir.path().to_str().expect("a plain path");
    let stage = Stage::start(vec![Act::Stall], &[("DRAFTSMAN_LUA_DIR", lua_dir)]).await;
    // In this case the model's time limit ends first, in the next one that of the script.
    let model = json!({"model": "anthropic/model-1", "ttl_secs": 1});
    stage
        .tell(&["loops", "llm-judge"], json!({"llm-judge": model}))
        .await;
    let late = stage.run("tag one").await;
    let reason = assert_failed(&stage.rig, &late).await;
    assert!(
        reason.contains("axis llm-judge did not end within its 1 s"),
        "{reason}"
    );
    stage.double.until_hung_up().await;

    let judge = json!({"model": "anthropic/model-1"});
    stage
        .tell(
            &["llm-judge", "loops"],
            json!({"llm-judge": judge, "loops": {"ttl_secs": 1}}),
        )
        .await;
    let late = stage.run("tag one").await;
    let reason = assert_failed(&stage.rig, &late).await;
    assert!(
        reason.contains("axis loops did not end within its 1 s"),
        "{reason}"
    );
    stage.double.until_hung_up().await;

    stage.tell(&["des"], json!({"des": {"ttl_secs": 5}})).await;
    let next = stage.run("tag one").await;
    assert_eq!(next.state(), IssueState::Applied, "{next:?}");
    eventually("the worker is idle", async || {
        let stats = stage.rig.client.stats().await;
        (stats.in_flight == 0)
            .then_some(())
            .ok_or(format!("{stats:?}"))
    })
    .await;
}

#[tokio::test]
async fn options_go_through_files_and_verify_takes_them() {
    let stage = Stage::start(
        vec![Act::Say(
            json!({"status": "deny", "reason": "No."}).to_string(),
        )],
        &[],
    )
    .await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let addr = format!("http://{}", stage.rig.address);
    let env = [("DRAFTSMAN_ADDR", addr.as_str())];
    let setting = "id: s\nblueprint_id: enhance-default\nverifier_axes: [json-schema]\nttl_secs: 60\n\
        axis_options: {json-schema: {schema: {required: [x], properties: {x: {maximum: 9007199254740992}}}, ttl_secs: 5}}\n";
    let put = run(
        Program::Draftsman,
        &["setting", "put", &file("s.yaml", setting)],
        &env,
    )
    .await;
    assert_eq!(put.code, Some(0), "{put:?}");
    let got = run(Program::Draftsman, &["setting", "get", "s"], &env).await;
    assert!(
        got.stdout.contains("maximum: 9007199254740992\n"),
        "{got:?}"
    );
    let again = run(
        Program::Draftsman,
        &["setting", "put", &file("again.yaml", &got.stdout)],
        &env,
    )
    .await;
    assert_eq!(again.code, Some(0), "{again:?}");
    let wrong = setting.replace("maximum: 9007199254740992", "maximum: many");
    let refused = run(
        Program::Draftsman,
        &["setting", "put", &file("w.yaml", &wrong)],
        &env,
    )
    .await;
    assert!(
        refused
            .stderr
            .contains("setting.axis_options.json-schema.schema"),
        "{refused:?}"
    );

    let before = file("before.yaml", &factory::small("tried"));
    let after = file(
        "after.yaml",
        &factory::small("tried").replace("sample]", "sample, x]"),
    );
    let options = file(
        "o.yaml",
        "schema: {properties: {metadata: {properties: {tags: {maxItems: 1}}}}}",
    );
    let verify =
        async |more: &[&str]| run(Program::Draftsman, &[&["verify"], more].concat(), &[]).await;
    let schema = verify(&["json-schema", &before, &after, "--options", &options]).await;
    assert_eq!(schema.code, Some(2), "{schema:?}");
    assert!(schema.stdout.contains("/metadata/tags"), "{schema:?}");
    let none = verify(&["json-schema", &before, &after]).await;
    assert_eq!(none.code, Some(1), "{none:?}");
    assert!(
        none.stderr.contains("json-schema.schema is missing"),
        "{none:?}"
    );
    let own = file(
        "own.lua",
        "return { status = 'deny', reason = 'at most ' .. _CTX.options.most }",
    );
    let most = file("most.yaml", "most: 3");
    let denied = verify(&[&own, &before, &after, "--options", &most]).await;
    assert_eq!(denied.stdout, "deny: at most 3\n", "{denied:?}");
}

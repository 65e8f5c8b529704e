//! A setting that is not usable is rejected when it is written: the error names the field and the
//! remedy, and nothing is changed.

use futures::future::join;
use proto::v1::version_selector::Selector;
use proto::v1::{self, IssueState};
use serde_json::{Value, json};
use shared::blueprint::Blueprint;
use shared::store::redis::keys::Keys;
use shared::store::{ExpectedHead, PutOutcome, Store};
use tests::eventually::eventually;
use tests::factory::{self, selector, setting, to_struct};
use tests::redis_server::{Aof, RedisServer};
use tests::resp_proxy::RespProxy;
use tests::rig::Rig;
use tests::store_fixture::{Fixture, worker_id};
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// A valid orbit without an agent `patch-spawner`.
const NO_SPAWNER: &str = r#"
id: no-spawner
flow: {kind: step, ref: agent-0, in: {op: path, at: $}, out: {op: path, at: $.commit}}
agents:
- {name: agent-0, kind: lua, spec: {fn_id: committer}}
"#;

fn with_spawner(spawner: Value) -> v1::PutSettingRequest {
    setting("s", |s| s.spawner = Some(to_struct(&spawner)))
}

fn with_options(axes: &[&str], options: Value) -> v1::PutSettingRequest {
    setting("s", |s| {
        s.verifier_axes = axes.iter().map(|axis| (*axis).to_owned()).collect();
        s.axis_options = Some(to_struct(&options));
    })
}

fn with_orbit(orbit: impl Into<String>) -> v1::PutSettingRequest {
    let orbit: String = orbit.into();
    v1::PutSettingRequest {
        orbit_document: Some(orbit),
        ..setting("s", |s| s.blueprint_id = "own-orbit".to_owned())
    }
}

/// The bundled orbit under another name, with another label.
async fn own_orbit(rig: &Rig, label: &str) -> Value {
    let mut orbit = rig.client.head_json("enhance-default").await;
    orbit["id"] = json!("own-orbit");
    orbit["metadata"]["version_label"] = json!(label);
    orbit
}

/// Checks the code, the reason, the single field, and these words of an error.
fn assert_refusal(what: &str, status: &Status, expected: (Code, &str, &str), words: &[&str]) {
    let (code, reason, field) = expected;
    assert_eq!(status.code(), code, "{what}: {status}");
    let info = status.get_details_error_info().expect("an ErrorInfo");
    assert_eq!(info.reason, reason, "{what}: {status}");
    let violations = status.get_details_bad_request().map(|b| b.field_violations);
    let fields: Vec<String> = violations.into_iter().flatten().map(|v| v.field).collect();
    assert_eq!(fields, [field], "{what}: {status}");
    for word in words {
        assert!(status.message().contains(word), "{what}: {word}: {status}");
    }
}

#[tokio::test]
async fn what_cannot_be_worked_by_is_refused_by_field() {
    use Code::{FailedPrecondition, InvalidArgument};
    let rig = Rig::without_worker().await;
    rig.client.put(NO_SPAWNER).await;
    rig.client
        .put("id: no-flow\nflow: {kind: nonsense}\nagents: []\n")
        .await;
    let own = own_orbit(&rig, "1.0.0").await;
    let mut broken = own.clone();
    broken["agents"] = json!([]);
    let lua = |fn_id: &str| json!({"kind": "lua", "spec": {"fn_id": fn_id}});
    let cases = [
        (
            "no such orbit",
            setting("s", |s| s.blueprint_id = "nobody".to_owned()),
            (
                FailedPrecondition,
                "ORBIT_NOT_FOUND",
                "setting.blueprint_id",
            ),
            &["nobody", "orbit_document"][..],
        ),
        (
            "no such version",
            setting("s", |s| {
                s.selector = selector(Selector::Fixed("0".repeat(64)))
            }),
            (
                FailedPrecondition,
                "ORBIT_VERSION_NOT_FOUND",
                "setting.selector",
            ),
            &["enhance-default", "ListCommits"],
        ),
        (
            "no version of that label",
            setting("s", |s| {
                s.selector = selector(Selector::SemverReq(">=99".to_owned()))
            }),
            (
                FailedPrecondition,
                "ORBIT_VERSION_NOT_FOUND",
                "setting.selector",
            ),
            &[">=99", "ListCommits"],
        ),
        (
            "an orbit whose flow is none",
            setting("s", |s| s.blueprint_id = "no-flow".to_owned()),
            (
                FailedPrecondition,
                "ORBIT_NOT_RUNNABLE",
                "setting.blueprint_id",
            ),
            &["flow"],
        ),
        (
            "a spawner for an orbit without one",
            {
                let mut request = with_spawner(lua("patch_spawner"));
                request.setting.as_mut().expect("a setting").blueprint_id = "no-spawner".to_owned();
                request
            },
            (FailedPrecondition, "ORBIT_NOT_RUNNABLE", "setting.spawner"),
            &["patch-spawner", "agent-0"],
        ),
        (
            "a spawner of no known kind",
            with_spawner(json!({"kind": "alien"})),
            (InvalidArgument, "INVALID_FIELD", "setting.spawner"),
            &["alien", "lua"],
        ),
        (
            "a spawner without its script",
            with_spawner(json!({"kind": "lua", "spec": {}})),
            (InvalidArgument, "INVALID_FIELD", "setting.spawner"),
            &["fn_id"],
        ),
        (
            "a spawner whose script nobody has",
            with_spawner(lua("nowhere")),
            (FailedPrecondition, "ORBIT_NOT_RUNNABLE", "setting.spawner"),
            &["nowhere", "DRAFTSMAN_LUA_DIR"],
        ),
        (
            "an axis that is a script of a step",
            setting("s", |s| {
                s.verifier_axes = vec!["des".into(), "committer".into()]
            }),
            (FailedPrecondition, "AXIS_UNKNOWN", "setting.verifier_axes"),
            &[
                "committer",
                "agent-ref, canonical, des, flow, human-review, json-schema, llm-judge, noop",
                "DRAFTSMAN_LUA_DIR",
            ],
        ),
        (
            "options of an axis that is not there",
            with_options(&["des"], json!({"dse": {"ttl_secs": 1}})),
            (InvalidArgument, "INVALID_FIELD", "setting.axis_options.dse"),
            &["verifier_axes"],
        ),
        (
            "a schema that is none",
            with_options(
                &["json-schema"],
                json!({"json-schema": {"schema": {"type": "objekt"}}}),
            ),
            (
                InvalidArgument,
                "INVALID_FIELD",
                "setting.axis_options.json-schema.schema",
            ),
            &["/type", "objekt"],
        ),
        (
            "a schema that is somewhere else",
            with_options(
                &["json-schema"],
                json!({"json-schema": {"schema": {"$ref": "http://localhost/s"}}}),
            ),
            (
                InvalidArgument,
                "INVALID_FIELD",
                "setting.axis_options.json-schema.schema",
            ),
            &["http://localhost/s", "$defs"],
        ),
        (
            "a judge without a model",
            with_options(&["llm-judge"], json!({})),
            (
                InvalidArgument,
                "INVALID_FIELD",
                "setting.axis_options.llm-judge.model",
            ),
            &["is missing"],
        ),
        (
            "an axis without time",
            with_options(&["noop"], json!({"noop": {"ttl_secs": 0}})),
            (
                InvalidArgument,
                "INVALID_FIELD",
                "setting.axis_options.noop.ttl_secs",
            ),
            &["seconds"],
        ),
        (
            "options that are too long",
            with_options(&["own"], json!({"own": {"text": "x".repeat(128 << 10)}})),
            (InvalidArgument, "INVALID_FIELD", "setting.axis_options"),
            &["131072"],
        ),
        (
            "an axis twice",
            setting("s", |s| s.verifier_axes = vec!["des".into(), "des".into()]),
            (InvalidArgument, "INVALID_FIELD", "setting.verifier_axes"),
            &["des"],
        ),
        (
            "a pattern that is none",
            setting("s", |s| s.applies_to = vec!["team/*".into()]),
            (InvalidArgument, "INVALID_FIELD", "setting.applies_to"),
            &["team/*"],
        ),
        (
            "an orbit of another name",
            v1::PutSettingRequest {
                orbit_document: Some(factory::small("another")),
                ..setting("s", |_| {})
            },
            (InvalidArgument, "INVALID_FIELD", "orbit_document"),
            &["another", "enhance-default"],
        ),
        (
            "an orbit that is no document",
            with_orbit("- a\n- b\n"),
            (InvalidArgument, "INVALID_FIELD", "orbit_document"),
            &[],
        ),
        (
            "an orbit that cannot run",
            with_orbit(broken.to_string()),
            (FailedPrecondition, "ORBIT_NOT_RUNNABLE", "orbit_document"),
            &["patch-spawner"],
        ),
        (
            "an orbit that the selector does not choose",
            {
                let mut request = with_orbit(own.to_string());
                request.setting.as_mut().expect("a setting").selector =
                    selector(Selector::SemverReq("^2".to_owned()));
                request
            },
            (
                FailedPrecondition,
                "ORBIT_VERSION_NOT_FOUND",
                "setting.selector",
            ),
            &["own-orbit"],
        ),
        (
            "a bundled orbit that everybody uses, broken",
            {
                let mut everybodys = broken.clone();
                everybodys["id"] = json!("enhance-default");
                v1::PutSettingRequest {
                    orbit_document: Some(everybodys.to_string()),
                    ..setting("s", |s| {
                        s.selector = selector(Selector::SemverReq("*".to_owned()))
                    })
                }
            },
            (FailedPrecondition, "ORBIT_NOT_RUNNABLE", "orbit_document"),
            &["patch-spawner"],
        ),
    ];
    let before = rig.key_dump().await;
    for (what, request, expected, words) in cases {
        let status = rig.client.put_setting(request).await.expect_err(what);
        assert_refusal(what, &status, expected, words);
        assert!(before == rig.key_dump().await, "{what}: something changed");
    }

    // A changed revision is reported first, and the orbit in the request is not written.
    let mut late = with_orbit(own.to_string());
    late.expected_revision = Some(3);
    let status = rig.client.put_setting(late).await.expect_err("no revision");
    assert_eq!(status.code(), Code::Aborted, "{status}");
    assert!(before == rig.key_dump().await);
}

#[tokio::test]
async fn an_orbit_may_come_with_its_setting() {
    let rig = Rig::start().await;
    rig.client.put(factory::small("target")).await;
    let first = own_orbit(&rig, "1.4.0").await;
    let choose = |orbit: &Value, selector_given| {
        let mut request = with_orbit(orbit.to_string());
        let setting = request.setting.as_mut().expect("a setting");
        setting.selector = selector(selector_given);
        setting.applies_to = vec!["target".to_owned()];
        request
    };
    let request = choose(&first, Selector::SemverReq("^1.4".to_owned()));
    let stored = rig.client.put_setting(request).await.expect("PutSetting");
    let commit = stored.orbit_commit.expect("the orbit's commit");
    assert_eq!((commit.blueprint_id.as_str(), commit.seq), ("own-orbit", 1));
    let issue = rig.client.run("target", "tag one").await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");

    // A version that this request itself creates.
    let second = own_orbit(&rig, "2.0.0").await;
    let version = shared::blueprint::Blueprint::parse(&second.to_string())
        .expect("a Blueprint")
        .version()
        .to_string();
    let request = choose(&second, Selector::Fixed(version.clone()));
    let stored = rig.client.put_setting(request).await.expect("PutSetting");
    assert_eq!(stored.orbit_commit.expect("a commit").version, version);
    assert_eq!(stored.setting.expect("a setting").revision, 2);
    let issue = rig.client.run("target", "tag two").await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
}

#[tokio::test]
async fn an_axis_is_known_once_a_worker_has_it() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let axes = dir.path().join("verifiers");
    std::fs::create_dir(&axes).expect("a directory");
    let verdict = "return { status = 'pass', evidence = 'ours' }";
    std::fs::write(axes.join("house-rules.lua"), verdict).expect("a script file");
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("ruled")).await;
    let request = || {
        setting("s", |s| {
            s.verifier_axes = vec!["house-rules".to_owned(), "des".to_owned()];
            s.applies_to = vec!["ruled".to_owned()];
        })
    };
    let status = rig
        .client
        .put_setting(request())
        .await
        .expect_err("unknown");
    assert!(status.message().contains("DRAFTSMAN_LUA_DIR"), "{status}");
    let lua_dir = dir.path().to_str().expect("a plain path");
    rig.add_worker(&[("DRAFTSMAN_LUA_DIR", lua_dir)]);
    rig.until_registered(1).await;
    rig.client.put_setting(request()).await.expect("PutSetting");
    let issue = rig.client.run("ruled", "tag x").await;
    let entry = rig.client.entry(&issue.issue_id).await;
    let details: Vec<&str> = entry.verdicts.iter().map(|v| v.detail.as_str()).collect();
    assert_eq!((details.len(), details[0]), (2, "ours"), "{entry:?}");

    // The name belongs to an axis, and not to a script that an agent may run.
    let agent = with_spawner(json!({"kind": "lua", "spec": {"fn_id": "verifiers/house-rules"}}));
    rig.client.put_setting(agent).await.expect_err("no script");

    // When the last worker that has the axis ends, the axis is no longer registered.
    assert_eq!(rig.workers[0].terminate().await.code(), Some(0));
    let status = rig.client.put_setting(request()).await;
    assert_eq!(
        status.expect_err("unknown again").code(),
        Code::FailedPrecondition
    );
}

/// As after an hour without a heartbeat, or when Redis has lost its data.
#[tokio::test]
async fn a_worker_that_was_forgotten_makes_its_scripts_known_again() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let axes = dir.path().join("verifiers");
    std::fs::create_dir(&axes).expect("a folder");
    let verdict = "return { status = 'pass', evidence = 'ours' }";
    std::fs::write(axes.join("house-rules.lua"), verdict).expect("a script file");
    let mut rig = Rig::without_worker().await;
    let lua_dir = dir.path().to_str().expect("a plain path");
    rig.add_worker(&[("DRAFTSMAN_LUA_DIR", lua_dir)]);
    rig.until_registered(1).await;
    let keys = Keys::of_shard(0);
    let forgotten: u64 = redis::cmd("DEL")
        .arg(keys.worker_scripts())
        .arg(keys.workers())
        .query_async(&mut rig.redis.connection().await)
        .await
        .expect("DEL");
    assert_eq!(forgotten, 2);
    let request = || setting("s", |s| s.verifier_axes = vec!["house-rules".to_owned()]);
    eventually("its axis is known again", async || {
        let put = rig.client.put_setting(request()).await;
        put.map(drop).map_err(|status| status.to_string())
    })
    .await;
}

#[tokio::test]
async fn scripts_are_known_for_as_long_as_a_worker_that_has_them_is_heard_of() {
    let fixture = Fixture::start().await;
    let (store, keys) = (&fixture.store, fixture.store.keys());
    let names =
        |names: &[&str]| -> Vec<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let is_known = async || -> (bool, bool) {
        let known = store.known_scripts().await.expect("the store answers");
        (known.has_step("drafter"), known.has_axis("house-rules"))
    };
    let (steps, axes) = (names(&["drafter", "committer"]), names(&["house-rules"]));
    for worker in [worker_id("one"), worker_id("two")] {
        let registered = store.register_scripts(&worker, &steps, &axes).await;
        registered.expect("the store answers");
    }
    assert_eq!(is_known().await, (true, true));
    // One worker ends, and the other has them too.
    let forgotten = store.forget_worker(&worker_id("one")).await;
    forgotten.expect("the store answers");
    assert_eq!(is_known().await, (true, true));
    for (worker, is_registered) in [("one", false), ("two", true)] {
        let beat = store.beat(&worker_id(worker), 1, &[]).await;
        let beat = beat.expect("the store answers");
        assert_eq!(beat.is_registered, is_registered, "{worker}");
    }
    // That worker dies, and sends nothing for a minute.
    let (secs, _): (u64, u64) = fixture.raw(&["TIME"]).await;
    let silent = (secs * 1_000 - 61_000).to_string();
    let _: i64 = fixture
        .raw(&["ZADD", &keys.workers(), &silent, worker_id("two").as_str()])
        .await;
    assert_eq!(is_known().await, (false, false));
    let known = store.known_scripts().await.expect("the store answers");
    assert!(known.has_step("committer"), "a bundled one stays");
}

/// The setting is checked, then its orbit is written, then the setting is checked again and
/// written.
#[tokio::test]
async fn an_orbit_that_is_written_meanwhile_is_looked_at_again() {
    let redis = RedisServer::start(Aof::None);
    let proxy = RespProxy::start(redis.port()).await;
    let rig = Rig::with_redis_at(redis, &proxy.url()).await;
    let direct = Store::open(&rig.redis.url(), 1).expect("a valid URL");
    for (what, document, stored) in [
        (
            "broken",
            "id: own-orbit\nflow: {kind: nonsense}\nagents: []\n".to_owned(),
            false,
        ),
        ("runs", own_orbit(&rig, "2.0.0").await.to_string(), true),
    ] {
        rig.client
            .put(own_orbit(&rig, "1.0.0").await.to_string())
            .await;
        let request = setting("s", |s| s.blueprint_id = "own-orbit".to_owned());
        let mut held = proxy.stall_before("put_setting", 1);
        let overtaking = async {
            held.fired().await;
            let document = Blueprint::parse(&document).expect("a Blueprint");
            let put = direct.put_blueprint(&document, ExpectedHead::Any, "");
            assert!(matches!(put.await, Ok(PutOutcome::Created(_))), "{what}");
            proxy.stall(false);
        };
        let (answer, ()) = join(rig.client.put_setting(request), overtaking).await;
        match answer {
            Ok(_) => assert!(stored, "{what}"),
            Err(refusal) => {
                let expected = (
                    Code::FailedPrecondition,
                    "ORBIT_NOT_RUNNABLE",
                    "setting.blueprint_id",
                );
                assert_refusal(what, &refusal, expected, &["flow"]);
                assert!(!stored, "{what}");
            }
        }
    }
    assert_eq!(
        proxy.outcomes("put_setting"),
        ["stored", "orbit_moved", "orbit_moved", "stored"]
    );
}

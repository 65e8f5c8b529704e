//! Issues that cannot be decided, and mistakes of spawners and committers.

use proto::v1::{self, IssueState, RejectionCause};
use serde_json::{Value, json};
use shared::blueprint::Doc;
use shared::domain::version_selector::VersionSelector;
use tests::checker::{Attempts, assert_sound};
use tests::factory;
use tests::judgement::{assert_denied_by, assert_failed};
use tests::rig::Rig;

/// A rig whose worker has these scripts beside (or instead of) its own.
async fn rig_with_scripts(scripts: &[(&str, &str)]) -> (Rig, tempfile::TempDir) {
    let dir = script_dir(scripts);
    let mut rig = Rig::without_worker().await;
    let lua_dir = dir.path().to_str().expect("a plain path").to_owned();
    rig.add_worker(&[("DRAFTSMAN_LUA_DIR", &lua_dir)]);
    // Before that, a setting that names the scripts is rejected.
    rig.until_registered(1).await;
    rig.client.put(factory::small("failing")).await;
    (rig, dir)
}

fn script_dir(scripts: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (name, source) in scripts {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a script lies in a directory"))
            .expect("a directory");
        std::fs::write(path, source).expect("a script file");
    }
    dir
}

#[tokio::test]
async fn a_failure_says_what_to_look_at_and_the_next_issue_is_not_hurt() {
    let spin_in_pcall = "while true do pcall(function() while true do end end) end";
    let (rig, _dir) = rig_with_scripts(&[
        ("verifiers/boom.lua", "error('kaboom')"),
        ("verifiers/silent.lua", "return nil"),
        ("verifiers/spin.lua", "while true do end"),
        ("verifiers/stubborn.lua", spin_in_pcall),
        (
            "verifiers/nosy.lua",
            "return { status = 'pass', evidence = tostring(io or os or package or debug) }",
        ),
        (
            "verifiers/glutton.lua",
            "local t = {} while true do t[#t + 1] = string.rep('x', 1 << 20) end",
        ),
    ])
    .await;
    let mut ids = Vec::new();
    for (axis, ttl_secs, words) in [
        ("boom", 60, &["boom", "kaboom"][..]),
        ("silent", 60, &["silent"][..]),
        ("spin", 1, &["time limit"][..]),
        ("stubborn", 1, &["time limit"][..]),
        ("glutton", 60, &["memory"][..]),
    ] {
        rig.client
            .edit_setting(|s| {
                s.verifier_axes = vec!["des".to_owned(), axis.to_owned()];
                s.ttl_secs = ttl_secs;
            })
            .await;
        let issue = rig.client.run("failing", "tag x").await;
        let reason = assert_failed(&rig, &issue).await;
        for word in words {
            assert!(
                reason.contains(word),
                "{axis}: the reason names {word:?}: {reason}"
            );
        }
        ids.push(issue.issue_id);
    }
    assert_eq!(
        rig.client.history("failing").await.len(),
        1,
        "nothing is committed"
    );

    rig.client
        .edit_setting(|s| s.verifier_axes = vec!["nosy".to_owned()])
        .await;
    let issue = rig.client.run("failing", "tag x").await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    let entry = rig.client.entry(&issue.issue_id).await;
    assert_eq!(
        entry.verdicts[0].detail.trim_matches('"'),
        "nil",
        "the sandbox has no io, os, package, debug"
    );
    ids.push(issue.issue_id);
    assert_sound(&rig, &ids, Attempts::One).await;
}

#[tokio::test]
async fn a_spawner_reply_that_is_no_patch_is_denied_by_patch() {
    let (rig, _dir) = rig_with_scripts(&[
        ("no_ops.lua", "return { bump = 'patch', rationale = 'r' }"),
        ("ops_text.lua", "return { ops = 'x', bump = 'patch', rationale = 'r' }"),
        ("bad_bump.lua", "return { ops = host.array({}), bump = 'huge', rationale = 'r' }"),
        ("a_text.lua", "return 'hello'"),
        ("bad_op.lua", "return { ops = { { op = 'frobnicate', path = '/id' } }, bump = 'patch', rationale = 'r' }"),
    ])
    .await;
    let mut ids = Vec::new();
    for (fn_id, axes) in [
        ("no_ops", vec!["des"]),
        ("ops_text", vec!["des", "noop"]),
        ("bad_bump", vec!["des"]),
        ("a_text", vec![]),
    ] {
        use_spawner(&rig, json!({"kind": "lua", "spec": {"fn_id": fn_id}})).await;
        rig.client
            .edit_setting(|s| {
                s.no_verification = axes.is_empty();
                s.verifier_axes = axes.iter().map(ToString::to_string).collect();
            })
            .await;
        let issue = rig.client.run("failing", "tag x").await;
        let entry = assert_denied_by(&rig, &issue, "patch").await;
        assert_eq!(entry.verdicts.len(), 1, "{fn_id}: one verdict: {entry:?}");
        ids.push(issue.issue_id);
    }
    use_spawner(&rig, json!({"kind": "lua", "spec": {"fn_id": "bad_op"}})).await;
    let issue = rig.client.run("failing", "tag x").await;
    assert_eq!(
        (issue.state(), issue.cause()),
        (IssueState::Rejected, RejectionCause::Denied),
        "{issue:?}"
    );
    assert!(issue.reason.contains("frobnicate"), "{}", issue.reason);
    ids.push(issue.issue_id);
    assert_eq!(rig.client.history("failing").await.len(), 1);
    assert_sound(&rig, &ids, Attempts::One).await;
}

#[tokio::test]
async fn a_spawner_that_cannot_run_fails_and_is_named() {
    let (rig, _dir) = rig_with_scripts(&[(
        "my_spawner.lua",
        "return { ops = host.array({}), bump = 'patch', rationale = 'mine' }",
    )])
    .await;
    let mut ids = Vec::new();
    for (spawner, words) in [
        (json!({"kind": "alien", "spec": {}}), &["alien", "lua"][..]),
        (
            json!({"kind": "lua", "spec": {"fn_id": "nowhere"}}),
            &["nowhere", "my_spawner"][..],
        ),
        (json!({"kind": "lua", "spec": {}}), &["fn_id"][..]),
        (
            json!({"kind": "subprocess", "spec": {"program": "/bin/true"}}),
            &["/bin/true", "not allowed", "allows none"][..],
        ),
    ] {
        let spawner_doc = Doc::try_from(&spawner).expect("a document");
        rig.write_setting(|s| s.spawner = Some(spawner_doc)).await;
        let issue = rig.client.run("failing", "tag x").await;
        let reason = assert_failed(&rig, &issue).await;
        for word in words {
            assert!(
                reason.contains(word),
                "{spawner}: the reason names {word:?}: {reason}"
            );
        }
        ids.push(issue.issue_id);
    }
    assert_sound(&rig, &ids, Attempts::One).await;
}

#[tokio::test]
async fn the_commit_is_read_strictly() {
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("failing")).await;
    for (committer, field) in [
        (
            "return { committed = true, bump = 'patch', rationale = 'r', verdicts_summary = host.array({}) }",
            "new_version",
        ),
        ("return {}", "committed"),
        ("return { committed = 'yes' }", "committed"),
        (
            "return { committed = false, reasons = host.array({}), rationale = 'r', verdicts_summary = host.array({}) }",
            "reasons",
        ),
        (
            "return { committed = false, rationale = 'r', verdicts_summary = host.array({}) }",
            "reasons",
        ),
        (
            "return { committed = false, reasons = { 'a: b' }, verdicts_summary = host.array({}) }",
            "rationale",
        ),
        ("return 7", "commit"),
    ] {
        let dir = script_dir(&[("committer.lua", committer)]);
        rig.workers.clear();
        rig.add_worker(&[(
            "DRAFTSMAN_LUA_DIR",
            dir.path().to_str().expect("a plain path"),
        )]);
        let issue = rig.client.run("failing", "tag x").await;
        let reason = assert_failed(&rig, &issue).await;
        assert!(
            reason.contains(field),
            "{committer}: the reason names {field}: {reason}"
        );
        assert_eq!(rig.client.history("failing").await.len(), 1);
    }
}

#[tokio::test]
async fn an_orbit_version_that_does_not_exist_fails_the_issue() {
    let (rig, _dir) = rig_with_scripts(&[]).await;
    let req = ">=99".parse().expect("a requirement");
    rig.write_setting(|s| s.selector = VersionSelector::SemverReq(req))
        .await;
    let issue = rig.client.run("failing", "tag x").await;
    let reason = assert_failed(&rig, &issue).await;
    assert!(
        reason.contains("no matching version") && reason.contains(">=99"),
        "{reason}"
    );
    // An edit takes effect with the next issue.
    let latest = v1::version_selector::Selector::Latest(true);
    rig.client
        .edit_setting(|s| {
            s.selector = Some(v1::VersionSelector {
                selector: Some(latest),
            })
        })
        .await;
    let next = rig.client.run("failing", "tag x").await;
    assert_eq!(next.state(), IssueState::Applied, "{next:?}");
}

#[tokio::test]
async fn a_label_that_is_no_semver_is_never_committed() {
    let (rig, _dir) = rig_with_scripts(&[]).await;
    let issue = rig
        .client
        .run("failing", "set /metadata/version_label to banana")
        .await;
    // The author's mistake, so the issue is denied.
    tests::judgement::assert_denied_by(&rig, &issue, "des").await;
    assert!(issue.reason.contains("banana"), "{}", issue.reason);
    assert_eq!(rig.client.history("failing").await.len(), 1);
    assert_sound(&rig, &[issue.issue_id], Attempts::One).await;
}

async fn use_spawner(rig: &Rig, spawner: Value) {
    rig.client
        .edit_setting(|s| s.spawner = Some(factory::to_struct(&spawner)))
        .await;
}

#[tokio::test]
async fn a_worker_does_not_start_with_a_script_that_is_no_lua() {
    let redis = tests::redis_server::RedisServer::start(tests::redis_server::Aof::None);
    let dir = script_dir(&[("verifiers/broken.lua", "this is no Lua")]);
    let lua_dir = dir.path().to_str().expect("a plain path");
    let env = [
        ("DRAFTSMAN_REDIS_URL", redis.url()),
        ("DRAFTSMAN_LUA_DIR", lua_dir.to_owned()),
    ];
    let env: Vec<(&str, &str)> = env
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let finished = tests::programs::run(tests::programs::Program::Worker, &[], &env).await;
    assert!(matches!(finished.code, Some(1 | 64)), "{finished:?}");
    assert!(
        finished.stderr.contains("broken.lua"),
        "the file is named: {finished:?}"
    );
}

#[tokio::test]
async fn an_orbit_in_use_may_name_a_script_that_a_worker_has() {
    let (rig, _dir) = rig_with_scripts(&[(
        "annotate.lua",
        "return { ops = { { op = 'add', path = '/note', value = 'by a script of ours' } },
                  bump = 'minor', rationale = 'annotated' }",
    )])
    .await;
    // A worker decided it, so the worker and its scripts are registered.
    let issue = rig.client.run("failing", "tag first").await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");

    let mut orbit = rig.client.head_json("enhance-default").await;
    orbit["agents"][0]["spec"]["fn_id"] = json!("annotate");
    rig.client.put(orbit.to_string()).await;
    let issue = rig.client.run("failing", "whatever").await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    let target = rig.client.head_json("failing").await;
    assert_eq!(target["note"], "by a script of ours");

    orbit["agents"][0]["spec"]["fn_id"] = json!("nobody_has_this");
    rig.client.put_refused(orbit.to_string()).await;
}

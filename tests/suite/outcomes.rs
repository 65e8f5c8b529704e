//! Every row of the outcome table, seen from outside: issue, log entry, history.

use proto::v1;
use proto::v1::{IssueState, RejectionCause};
use serde_json::{Value, json};
use tests::checker::{Attempts, assert_sound};
use tests::factory;
use tests::rig::Rig;
use tonic::Code;

/// Holds that `issue` was denied with this one reason axis, as its author reads it and in the log.
async fn assert_denied_by(rig: &Rig, issue: &v1::Issue, axis: &str) -> v1::LogEntry {
    assert_eq!(issue.state(), IssueState::Rejected, "{axis}: {issue:?}");
    assert_eq!(issue.cause(), RejectionCause::Denied, "{axis}: {issue:?}");
    assert!(
        issue
            .reason
            .starts_with(&format!("verifier deny: {axis}: ")),
        "{axis}: {}",
        issue.reason
    );
    assert_eq!(issue.new_version, "");
    let entry = rig.client.entry(&issue.issue_id).await;
    assert_eq!(entry.status, "rejected");
    assert_eq!(entry.cause, "denied");
    assert_eq!(entry.new_hash, "");
    assert_eq!(entry.prev_hash.len(), 64);
    assert_eq!(
        issue.reason,
        format!("verifier deny: {}", entry.reasons.join("; "))
    );
    let denied: Vec<&v1::Verdict> = entry
        .verdicts
        .iter()
        .filter(|v| v.status == "deny")
        .collect();
    assert!(denied.iter().any(|v| v.axis == axis), "{axis}: {entry:?}");
    let reasons: Vec<String> = denied
        .iter()
        .map(|v| format!("{}: {}", v.axis, v.detail))
        .collect();
    assert_eq!(
        entry.reasons, reasons,
        "the reasons are those of the denying verdicts"
    );
    entry
}

/// Holds that `issue` failed, and returns why.
async fn assert_failed(rig: &Rig, issue: &v1::Issue) -> String {
    assert_eq!(issue.state(), IssueState::Rejected, "{issue:?}");
    assert_eq!(issue.cause(), RejectionCause::Failed, "{issue:?}");
    assert!(
        issue.reason.starts_with("dispatch failed: "),
        "{}",
        issue.reason
    );
    let entry = rig.client.entry(&issue.issue_id).await;
    assert_eq!(
        (entry.status.as_str(), entry.cause.as_str()),
        ("rejected", "failed")
    );
    assert_eq!(entry.verdicts, []);
    assert_eq!(entry.new_hash, "");
    assert_eq!(
        entry.reasons.len(),
        1,
        "a failed entry's reasons are its one reason: {entry:?}"
    );
    assert!(
        issue.reason.contains(&entry.reasons[0]) || entry.reasons[0].contains(&issue.reason),
        "{entry:?}"
    );
    issue.reason.clone()
}

#[tokio::test]
async fn denials_name_the_axis_and_say_why() {
    let rig = Rig::start().await;
    let first = rig.client.put(factory::small("denied")).await;
    let mut ids = Vec::new();
    let no_such_agent = r#"[{"op":"replace","path":"/flow/children/0/ref","value":"ghost"}]"#;
    let cases: &[(&str, &str, &str)] = &[
        ("noop", "Please make everything a little nicer.", "[]"),
        (
            "noop",
            r#"[{"op":"test","path":"/id","value":"denied"}]"#,
            r#"[{"op":"test","path":"/id","value":"denied"}]"#,
        ),
        ("agent-ref", no_such_agent, no_such_agent),
        (
            "des",
            "set /id to another",
            r#"[{"op":"replace","path":"/id","value":"another"}]"#,
        ),
        (
            "des",
            r#"[{"op":"replace","path":"/agents","value":"none"}]"#,
            r#"[{"op":"replace","path":"/agents","value":"none"}]"#,
        ),
        (
            "des",
            r#"[{"op":"replace","path":"/flow","value":[]}]"#,
            r#"[{"op":"replace","path":"/flow","value":[]}]"#,
        ),
        (
            "des",
            r#"[{"op":"replace","path":"/agents/1/name","value":"agent-0"}]"#,
            r#"[{"op":"replace","path":"/agents/1/name","value":"agent-0"}]"#,
        ),
    ];
    for (axis, intent, patch) in cases {
        let issue = rig.client.run("denied", *intent).await;
        let entry = assert_denied_by(&rig, &issue, axis).await;
        let proposed: Value = serde_json::from_str(&entry.patch_json).expect("patch_json is JSON");
        let expected: Value = serde_json::from_str(patch).expect("a literal");
        assert_eq!(
            proposed, expected,
            "{intent}: what was proposed is logged, also when denied"
        );
        let axes: Vec<&str> = entry.verdicts.iter().map(|v| v.axis.as_str()).collect();
        assert_eq!(
            axes,
            ["des", "canonical", "noop", "agent-ref"],
            "{intent}: every axis judged"
        );
        assert_eq!(entry.prev_hash, first.version);
        ids.push(issue.issue_id);
    }
    assert_eq!(
        rig.client.history("denied").await,
        [first],
        "a denial leaves no commit"
    );
    assert_sound(&rig, &ids, Attempts::One).await;
}

#[tokio::test]
async fn an_intent_that_nobody_understands_is_told_what_is_understood() {
    let rig = Rig::start().await;
    rig.client.put(factory::small("puzzled")).await;
    let issue = rig.client.run("puzzled", "Mach das bitte schöner ☃").await;
    let entry = assert_denied_by(&rig, &issue, "noop").await;
    for sentence in ["set", "add", "remove", "rename agent", "tag", "describe as"] {
        assert!(
            entry.rationale.contains(sentence),
            "the rationale names {sentence:?}: {}",
            entry.rationale
        );
    }
}

#[tokio::test]
async fn a_patch_that_does_not_apply_is_denied_by_apply_alone() {
    let rig = Rig::start().await;
    let first = rig.client.put(factory::small("unappliable")).await;
    let deep = format!("{}1{}", "[".repeat(64), "]".repeat(64));
    let cases = [
        "remove /nope".to_owned(),
        r#"[{"op":"remove","path":"/nope"}]"#.to_owned(),
        r#"[{"op":"replace","path":"/metadata/description","value":"kept?"},{"op":"test","path":"/id","value":"x"}]"#.to_owned(),
        r#"[{"op":"move","from":"/flow","path":"/flow/children/0"}]"#.to_owned(),
        r#"[{"op":"add","path":"/agents/7","value":{}}]"#.to_owned(),
        r#"[{"op":"replace","path":"/agents/-","value":{}}]"#.to_owned(),
        r#"[{"op":"replace","path":"/agents/00","value":{}}]"#.to_owned(),
        format!(r#"[{{"op":"add","path":"/deep","value":{deep}}}]"#),
    ];
    let mut ids = Vec::new();
    for intent in cases {
        let issue = rig.client.run("unappliable", intent).await;
        let entry = assert_denied_by(&rig, &issue, "apply").await;
        assert_eq!(entry.verdicts.len(), 1, "no axis ran: {entry:?}");
        assert_eq!(entry.reasons.len(), 1);
        ids.push(issue.issue_id);
    }
    assert_eq!(rig.client.history("unappliable").await, [first.clone()]);

    // Also with no axes at all.
    rig.client.edit_setting(|s| s.verifier_axes.clear()).await;
    let issue = rig.client.run("unappliable", "remove /nope").await;
    assert_denied_by(&rig, &issue, "apply").await;
    ids.push(issue.issue_id);
    assert_eq!(rig.client.history("unappliable").await, [first]);
    assert_sound(&rig, &ids, Attempts::One).await;
}

#[tokio::test]
async fn a_copy_bomb_is_denied_and_the_worker_lives() {
    let rig = Rig::start().await;
    rig.client.put(factory::two_kb("bomb")).await;
    let mut ops = vec![json!({"op":"add","path":"/x","value":{"a":"0123456789abcdef"}})];
    ops.extend((0..40).map(|n| json!({"op":"copy","from":"/x","path":format!("/x/{n}")})));
    let issue = rig.client.run("bomb", Value::from(ops).to_string()).await;
    assert_denied_by(&rig, &issue, "apply").await;
    let next = rig.client.run("bomb", "tag fine").await;
    assert_eq!(next.state(), IssueState::Applied, "{next:?}");
}

#[tokio::test]
async fn an_unknown_axis_denies_by_its_name() {
    let rig = Rig::start().await;
    rig.client.put(factory::small("axes")).await;
    rig.client
        .edit_setting(|s| s.verifier_axes = vec!["des".to_owned(), "no-such-axis".to_owned()])
        .await;
    let issue = rig.client.run("axes", "tag x").await;
    let entry = assert_denied_by(&rig, &issue, "no-such-axis").await;
    let verdicts: Vec<(&str, &str)> = entry
        .verdicts
        .iter()
        .map(|v| (v.axis.as_str(), v.status.as_str()))
        .collect();
    assert_eq!(verdicts, [("des", "pass"), ("no-such-axis", "deny")]);
}

#[tokio::test]
async fn several_denials_are_all_in_the_reason() {
    let rig = Rig::start().await;
    rig.client.put(factory::small("several")).await;
    rig.client
        .edit_setting(|s| s.verifier_axes = vec!["nobody".into(), "noop".into(), "nothing".into()])
        .await;
    let issue = rig.client.run("several", "whatever").await;
    let entry = assert_denied_by(&rig, &issue, "nobody").await;
    assert_eq!(entry.reasons.len(), 3);
    let joined = format!("verifier deny: {}", entry.reasons.join("; "));
    assert_eq!(issue.reason, joined);
}

#[tokio::test]
async fn with_no_axes_an_unchanged_document_makes_a_commit() {
    let rig = Rig::start().await;
    let first = rig.client.put(factory::small("no-axes")).await;
    rig.client.edit_setting(|s| s.verifier_axes.clear()).await;
    let issue = rig.client.run("no-axes", "nobody understands this").await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    assert_eq!(issue.new_version, first.version);
    let history = rig.client.history("no-axes").await;
    assert_eq!(history.iter().map(|c| c.seq).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(history[1].parents, std::slice::from_ref(&first.version));
    assert_eq!(history[1].version, first.version);
    assert_eq!(rig.client.entry(&issue.issue_id).await.verdicts, []);
    // Of a content that was head twice, the newest commit.
    let fixed = Some(v1::version_selector::Selector::Fixed(first.version));
    let commit = rig
        .client
        .select("no-axes", fixed)
        .await
        .expect("GetBlueprint")
        .commit
        .expect("a commit");
    assert_eq!(commit.seq, 2);
    assert_sound(&rig, &[issue.issue_id], Attempts::One).await;
}

#[tokio::test]
async fn the_log_entry_of_an_applied_issue_tells_the_whole_story() {
    let rig = Rig::start().await;
    let first = rig.client.put(factory::small("story")).await;
    let patch = json!({
        "ops": [{"op": "add", "path": "/metadata/tags/-", "value": "told"}],
        "bump": "minor",
        "rationale": "because it was asked for",
    });
    let issue = rig.client.run("story", patch.to_string()).await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    let entry = rig.client.entry(&issue.issue_id).await;
    assert_eq!(entry.issue_id, issue.issue_id);
    assert_eq!(entry.blueprint_id, "story");
    assert_eq!(entry.intent, patch.to_string());
    assert_eq!(
        (entry.status.as_str(), entry.cause.as_str()),
        ("applied", "")
    );
    assert_eq!(entry.prev_hash, first.version);
    assert_eq!(entry.new_hash, issue.new_version);
    assert_eq!(entry.rationale, "because it was asked for");
    assert_eq!(entry.reasons, [] as [&str; 0]);
    assert_eq!(entry.attempt, 1);
    let verdicts: Vec<(&str, &str)> = entry
        .verdicts
        .iter()
        .map(|v| (v.axis.as_str(), v.status.as_str()))
        .collect();
    assert_eq!(
        verdicts,
        [
            ("des", "pass"),
            ("canonical", "pass"),
            ("noop", "pass"),
            ("agent-ref", "pass")
        ]
    );
    let logged: Value = serde_json::from_str(&entry.patch_json).expect("patch_json is JSON");
    assert_eq!(logged, patch["ops"]);
    let usage = entry.usage.expect("what the spawner cost");
    assert_eq!(usage.agent_kind, "lua");
    assert_eq!(usage.calls, 1);
    let updated = issue.updated_at.expect("a time");
    assert_eq!(
        entry.ts_ms,
        updated.seconds * 1000 + i64::from(updated.nanos) / 1_000_000
    );

    let commit = rig.client.head("story").await.commit.expect("a commit");
    assert_eq!(commit.version_label, "1.1.0");
    assert_eq!(commit.rationale, "because it was asked for");
    let canonical = br#"[{"op":"add","path":"/metadata/tags/-","value":"told"}]"#;
    assert_eq!(commit.patch_hash, shared::ids::sha256_hex(canonical));
    assert_sound(&rig, &[issue.issue_id], Attempts::One).await;
}

#[tokio::test]
async fn a_waiting_issue_can_be_cancelled() {
    let mut rig = Rig::without_worker().await;
    rig.client.put(factory::small("cancel")).await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(
            rig.client
                .submit("cancel", format!("tag n{n}"))
                .await
                .issue_id,
        );
    }
    let mut intake = rig.client.intake.clone();
    // The head of the queue, and one behind it.
    for id in [&ids[0], &ids[2]] {
        let request = v1::CancelIssueRequest {
            issue_id: id.clone(),
        };
        let cancelled = intake
            .cancel_issue(request.clone())
            .await
            .expect("CancelIssue")
            .into_inner()
            .issue;
        let issue = cancelled.clone().expect("an issue");
        assert_eq!(
            (issue.state(), issue.cause()),
            (IssueState::Rejected, RejectionCause::Cancelled)
        );
        assert_eq!((issue.reason.as_str(), issue.attempt), ("cancelled", 0));
        let again = intake
            .cancel_issue(request)
            .await
            .expect("cancelling again")
            .into_inner()
            .issue;
        assert_eq!(again, cancelled, "again: the same answer");
        let entry = rig.client.entry(id).await;
        assert_eq!(
            (entry.status.as_str(), entry.cause.as_str()),
            ("rejected", "cancelled")
        );
        assert_eq!(
            (entry.reasons.as_slice(), entry.verdicts.as_slice()),
            (["cancelled".to_owned()].as_slice(), [].as_slice())
        );
        assert_eq!(rig.client.watch(id).await, [issue]);
    }
    assert_eq!(rig.client.stats().await.pending, 2);

    rig.add_worker(&[]);
    for id in [&ids[1], &ids[3]] {
        let applied = rig.client.decided(id).await;
        assert_eq!(applied.state(), IssueState::Applied, "{applied:?}");
        let refused = intake
            .cancel_issue(v1::CancelIssueRequest {
                issue_id: id.clone(),
            })
            .await;
        assert_eq!(
            refused.expect_err("decided otherwise").code(),
            Code::FailedPrecondition
        );
    }
    let tags = rig.client.head_json("cancel").await["metadata"]["tags"].clone();
    assert_eq!(tags, json!(["sample", "n1", "n3"]));
    let snapshot = tests::checker::Snapshot::take(&rig, &ids).await;
    assert_eq!(tests::checker::violations(&snapshot, Attempts::One), []);
}

mod failures {
    use super::*;

    /// A rig whose worker has these scripts beside (or instead of) its own.
    async fn rig_with_scripts(scripts: &[(&str, &str)]) -> (Rig, tempfile::TempDir) {
        let dir = script_dir(scripts);
        let mut rig = Rig::without_worker().await;
        let lua_dir = dir.path().to_str().expect("a plain path").to_owned();
        rig.add_worker(&[("DRAFTSMAN_LUA_DIR", &lua_dir)]);
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
            ("verifiers/broken.lua", "this is no Lua"),
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
            ("broken", 60, &["broken"][..]),
            ("silent", 60, &["silent"][..]),
            ("spin", 1, &["ceiling"][..]),
            ("stubborn", 1, &["ceiling"][..]),
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
                .edit_setting(|s| s.verifier_axes = axes.iter().map(ToString::to_string).collect())
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
                &["/bin/true"][..],
            ),
        ] {
            let Some(()) = try_spawner(&rig, spawner.clone(), words).await else {
                continue;
            };
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
            ("return { committed = true }", "new_version"),
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
        let selector = v1::version_selector::Selector::SemverReq(">=99".to_owned());
        rig.client
            .edit_setting(|s| {
                s.selector = Some(v1::VersionSelector {
                    selector: Some(selector),
                })
            })
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
        assert_eq!(issue.state(), IssueState::Rejected, "{issue:?}");
        assert!(issue.reason.contains("banana"), "{}", issue.reason);
        assert_eq!(rig.client.history("failing").await.len(), 1);
        assert_sound(&rig, &[issue.issue_id], Attempts::One).await;
    }

    async fn use_spawner(rig: &Rig, spawner: Value) {
        rig.client
            .edit_setting(|s| s.spawner = Some(to_struct(&spawner)))
            .await;
    }

    /// Stores the spawner; `None` if the write is refused, which must then name what is wrong.
    async fn try_spawner(rig: &Rig, spawner: Value, words: &[&str]) -> Option<()> {
        let mut settings = rig.client.settings.clone();
        let request = v1::GetSettingRequest {
            setting_id: "default".to_owned(),
        };
        let mut setting = settings
            .get_setting(request)
            .await
            .expect("GetSetting")
            .into_inner()
            .setting?;
        setting.spawner = Some(to_struct(&spawner));
        match settings
            .put_setting(v1::PutSettingRequest {
                setting: Some(setting),
                ..Default::default()
            })
            .await
        {
            Ok(_) => Some(()),
            Err(status) => {
                assert!(
                    words.iter().any(|w| status.message().contains(w)),
                    "{spawner}: {status}"
                );
                None
            }
        }
    }

    fn to_struct(value: &Value) -> prost_types::Struct {
        match to_wire(value).kind {
            Some(prost_types::value::Kind::StructValue(fields)) => fields,
            _ => panic!("an agent definition is a mapping"),
        }
    }

    fn to_wire(value: &Value) -> prost_types::Value {
        use prost_types::value::Kind;
        let kind = match value {
            Value::Null => Kind::NullValue(0),
            Value::Bool(b) => Kind::BoolValue(*b),
            Value::Number(n) => Kind::NumberValue(n.as_f64().expect("a float")),
            Value::String(s) => Kind::StringValue(s.clone()),
            Value::Array(items) => Kind::ListValue(prost_types::ListValue {
                values: items.iter().map(to_wire).collect(),
            }),
            Value::Object(map) => Kind::StructValue(prost_types::Struct {
                fields: map.iter().map(|(k, v)| (k.clone(), to_wire(v))).collect(),
            }),
        };
        prost_types::Value { kind: Some(kind) }
    }
}

//! Every row of the outcome table, as clients see it: issue, log entry, history.

use proto::v1;
use proto::v1::{IssueState, RejectionCause};
use serde_json::{Value, json};
use tests::checker::{Attempts, assert_sound};
use tests::factory;
use tests::judgement::assert_denied_by;
use tests::rig::Rig;
use tonic::Code;

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
    // Each value is shallow enough; the result of inserting one into the other is not.
    let nested = format!("{}1{}", r#"{"a":"#.repeat(40), "}".repeat(40));
    let into = format!("/deep{}", "/a".repeat(40));
    let cases = [
        "remove /nope".to_owned(),
        r#"[{"op":"remove","path":"/nope"}]"#.to_owned(),
        r#"[{"op":"replace","path":"/metadata/description","value":"kept?"},{"op":"test","path":"/id","value":"x"}]"#.to_owned(),
        r#"[{"op":"move","from":"/flow","path":"/flow/children/0"}]"#.to_owned(),
        r#"[{"op":"add","path":"/agents/7","value":{}}]"#.to_owned(),
        r#"[{"op":"replace","path":"/agents/-","value":{}}]"#.to_owned(),
        r#"[{"op":"replace","path":"/agents/00","value":{}}]"#.to_owned(),
        format!(
            r#"[{{"op":"add","path":"/deep","value":{nested}}},{{"op":"copy","from":"/deep","path":"{into}"}}]"#
        ),
    ];
    let mut ids = Vec::new();
    for intent in cases {
        let issue = rig.client.run("unappliable", intent).await;
        let entry = assert_denied_by(&rig, &issue, "apply").await;
        assert_eq!(entry.verdicts.len(), 1, "no axis ran: {entry:?}");
        assert_eq!(entry.reasons.len(), 1);
        ids.push(issue.issue_id);
    }
    assert_eq!(
        rig.client.history("unappliable").await,
        std::slice::from_ref(&first)
    );

    // Also without axes.
    rig.client.edit_setting(factory::without_verification).await;
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
    rig.write_setting(|s| s.verifier_axes = vec!["des".to_owned(), "no-such-axis".to_owned()])
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
    rig.write_setting(|s| s.verifier_axes = vec!["nobody".into(), "noop".into(), "nothing".into()])
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
    rig.client.edit_setting(factory::without_verification).await;
    let issue = rig.client.run("no-axes", "nobody understands this").await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    assert_eq!(issue.new_version, first.version);
    let history = rig.client.history("no-axes").await;
    assert_eq!(history.iter().map(|c| c.seq).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(history[1].parents, std::slice::from_ref(&first.version));
    assert_eq!(history[1].version, first.version);
    assert_eq!(rig.client.entry(&issue.issue_id).await.verdicts, []);
    // For a content that was head twice, the newest commit.
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
    // The head of the queue, and a later issue.
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

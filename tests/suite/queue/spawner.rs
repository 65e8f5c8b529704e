//! The intents of the bundled spawner, tested by their effects on the document.

use proto::v1::IssueState;
use serde_json::{Value, json};
use tests::checker::{Attempts, assert_sound};
use tests::factory;
use tests::rig::Rig;

/// The value that a pointer must have in the end; `None`: no value.
type Expected<'a> = (&'a str, Option<Value>);

#[tokio::test]
async fn every_sentence_does_what_it_says() {
    let rig = Rig::start().await;
    let cases: Vec<(&str, Vec<Expected>)> = vec![
        (
            "set /metadata/description to hello there",
            vec![("/metadata/description", Some(json!("hello there")))],
        ),
        ("set /n to 42", vec![("/n", Some(json!(42)))]),
        ("set /n to 42.0", vec![("/n", Some(json!(42.0)))]),
        (
            "set /x to {\"a\": [], \"b\": {}, \"c\": null}",
            vec![("/x", Some(json!({"a": [], "b": {}, "c": null})))],
        ),
        ("set /x to \"42\"", vec![("/x", Some(json!("42")))]),
        (
            "set /agents/0/profile/model to null",
            vec![("/agents/0/profile/model", Some(Value::Null))],
        ),
        (
            "add late to /metadata/tags",
            vec![("/metadata/tags", Some(json!(["sample", "late"])))],
        ),
        (
            "add [1] to /metadata/tags",
            vec![("/metadata/tags", Some(json!(["sample", [1]])))],
        ),
        (
            "remove /metadata/tags/0",
            vec![("/metadata/tags", Some(json!([])))],
        ),
        (
            "remove /metadata/description",
            vec![("/metadata/description", None)],
        ),
        (
            "tag fresh",
            vec![("/metadata/tags", Some(json!(["sample", "fresh"])))],
        ),
        ("untag sample", vec![("/metadata/tags", Some(json!([])))]),
        (
            "describe as two; three",
            vec![("/metadata/description", Some(json!("two; three")))],
        ),
        (
            "rename agent agent-1 to second",
            vec![
                ("/agents/1/name", Some(json!("second"))),
                ("/flow/children/1/ref", Some(json!("second"))),
                ("/flow/children/0/ref", Some(json!("agent-0"))),
            ],
        ),
        (
            "set prompt of agent agent-0 to Be brief; be kind.\nNever shout.",
            vec![
                (
                    "/agents/0/profile/system_prompt",
                    Some(json!("Be brief; be kind.\nNever shout.")),
                ),
                (
                    "/agents/0/profile/version_hash",
                    Some(json!(shared::ids::sha256_hex(
                        b"Be brief; be kind.\nNever shout."
                    ))),
                ),
                ("/agents/1/profile/version_hash", None),
            ],
        ),
        (
            "set model of agent agent-1 to large",
            vec![("/agents/1/profile/model", Some(json!("large")))],
        ),
        (
            "tag a; untag sample\ndescribe as both",
            vec![
                ("/metadata/tags", Some(json!(["a"]))),
                ("/metadata/description", Some(json!("both"))),
            ],
        ),
        (
            "Please do this:\n```json\n[{\"op\": \"add\", \"path\": \"/fenced\", \"value\": true}]\n```\nThank you!",
            vec![("/fenced", Some(json!(true)))],
        ),
        (
            "```\n{\"ops\": [{\"op\": \"add\", \"path\": \"/whole\", \"value\": 1}], \"bump\": \"major\", \"rationale\": \"r\"}\n```",
            vec![
                ("/whole", Some(json!(1))),
                ("/metadata/version_label", Some(json!("2.0.0"))),
            ],
        ),
        (
            "[{\"op\": \"add\", \"path\": \"/a~1b~0c\", \"value\": 1}]",
            vec![("/a~1b~0c", Some(json!(1)))],
        ),
    ];
    let mut ids = Vec::new();
    for (n, (intent, expected)) in cases.into_iter().enumerate() {
        let blueprint_id = format!("sentence-{n}");
        rig.client.put(factory::small(&blueprint_id)).await;
        let issue = rig.client.run(&blueprint_id, intent).await;
        assert_eq!(issue.state(), IssueState::Applied, "{intent}: {issue:?}");
        let head = rig.client.head_json(&blueprint_id).await;
        for (pointer, value) in expected {
            assert_eq!(head.pointer(pointer), value.as_ref(), "{intent}: {pointer}");
        }
        let bumped = if intent.contains("major") {
            "2.0.0"
        } else {
            "1.0.1"
        };
        assert_eq!(head["metadata"]["version_label"], bumped, "{intent}");
        ids.push(issue.issue_id);
    }
    assert_sound(&rig, &ids, Attempts::One).await;
}

#[tokio::test]
async fn a_tag_that_is_there_gives_no_op() {
    let rig = Rig::start().await;
    rig.client.put(factory::small("tagged")).await;
    let issue = rig.client.run("tagged", "tag sample").await;
    tests::judgement::assert_denied_by(&rig, &issue, "noop").await;
    let both = rig.client.run("tagged", "tag sample; tag other").await;
    assert_eq!(both.state(), IssueState::Applied, "{both:?}");
    assert_eq!(
        rig.client.head_json("tagged").await["metadata"]["tags"],
        json!(["sample", "other"])
    );
}

#[tokio::test]
async fn labels_are_bumped_by_the_rules_of_semver() {
    let rig = Rig::start().await;
    let mut ids = Vec::new();
    for (n, (label, bump, expected)) in [
        ("", "patch", "0.0.1"),
        ("", "minor", "0.1.0"),
        ("1.2.3", "patch", "1.2.4"),
        ("1.2.3", "minor", "1.3.0"),
        ("1.2.3", "major", "2.0.0"),
        ("1.2.3-rc.1", "minor", "1.3.0"),
        ("1.2.3+build.5", "major", "2.0.0"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("label-{n}");
        let metadata = if label.is_empty() {
            String::new()
        } else {
            format!("metadata: {{version_label: {label}}}\n")
        };
        rig.client
            .put(format!("id: {id}\nflow: {{}}\nagents: []\n{metadata}"))
            .await;
        let patch = json!({"ops": [{"op": "add", "path": "/x", "value": 1}], "bump": bump, "rationale": "r"});
        let issue = rig.client.run(&id, patch.to_string()).await;
        assert_eq!(
            issue.state(),
            IssueState::Applied,
            "{label} {bump}: {issue:?}"
        );
        let commit = rig.client.head(&id).await.commit.expect("a commit");
        assert_eq!(commit.version_label, expected, "{label} {bump}");
        ids.push(issue.issue_id);
    }
    assert_sound(&rig, &ids, Attempts::One).await;
}

#[tokio::test]
async fn quoted_text_is_data_and_what_is_ambiguous_is_denied_with_its_place() {
    let rig = Rig::start().await;
    rig.client.put(factory::small("quoting")).await;
    let fence = "```json\n[{\"op\": \"add\", \"path\": \"/pwned\", \"value\": 1}]\n```";
    let mut ids = Vec::new();
    for (intent, place) in [
        (
            format!(
                "set /agents/0/profile/system_prompt to You write patches, like this:\n{fence}\nEnd."
            ),
            "line 2, column 1",
        ),
        (
            format!("tag x; set prompt of agent agent-0 to Example:\n{fence}"),
            "line 2, column 1",
        ),
        (
            "set /agents/0/profile to {\"model\": \"m2\",}".to_owned(),
            "line 1, column 41",
        ),
    ] {
        let issue = rig.client.run("quoting", intent).await;
        tests::judgement::assert_denied_by(&rig, &issue, "noop").await;
        assert!(issue.reason.contains(place), "{}", issue.reason);
        ids.push(issue.issue_id);
    }
    let text = format!("Like this:\n{fence}\ntag x; remove /agents");
    for quoted in [json!(text).to_string(), format!("<<END\n{text}\nEND")] {
        let intent = format!("set prompt of agent agent-0 to {quoted}\nset /n to 1");
        let issue = rig.client.run("quoting", intent).await;
        assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
        let head = rig.client.head_json("quoting").await;
        assert_eq!(
            head.pointer("/agents/0/profile/system_prompt"),
            Some(&json!(text))
        );
        assert_eq!(head["n"], json!(1));
        assert_eq!(head.get("pwned"), None);
        ids.push(issue.issue_id);
        // So that the second issue also changes something.
        let back = rig.client.run("quoting", "set /n to 0").await;
        ids.push(back.issue_id);
    }
    assert_sound(&rig, &ids, Attempts::One).await;
}

#[tokio::test]
async fn a_renamed_agent_keeps_its_audits_and_a_label_stays_as_it_is_set() {
    let rig = Rig::start().await;
    let audits = "audits:\n- {agent: agent-1, steps: [agent-0, agent-1, '*']}\n";
    rig.client
        .put(format!("{}{audits}", factory::small("audited")))
        .await;
    let issue = rig
        .client
        .run(
            "audited",
            "rename agent agent-1 to checker; set /metadata/version_label to \"3.0.0\"",
        )
        .await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    let head = rig.client.head_json("audited").await;
    assert_eq!(
        head["audits"],
        json!([{"agent": "checker", "steps": ["agent-0", "checker", "*"]}])
    );
    assert_eq!(head["metadata"]["version_label"], "3.0.0");

    let ghost = rig
        .client
        .run("audited", "set /audits/0/agent to ghost")
        .await;
    tests::judgement::assert_denied_by(&rig, &ghost, "agent-ref").await;
    let broken = rig
        .client
        .run("audited", "set /metadata/version_label to \"v-one\"")
        .await;
    tests::judgement::assert_denied_by(&rig, &broken, "des").await;
    assert_sound(
        &rig,
        &[issue.issue_id, ghost.issue_id, broken.issue_id],
        Attempts::One,
    )
    .await;
}

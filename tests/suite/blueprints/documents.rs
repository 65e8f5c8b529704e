//! Documents are returned unchanged, or rejected when they are written.

use proto::v1;
use proto::v1::IssueState;
use serde_json::{Value, json};
use tests::checker::{Attempts, assert_sound};
use tests::factory;
use tests::rig::Rig;
use tonic::Code;
use tonic_types::StatusExt;

/// The value of [`factory::UNKNOWN_KEYS_YAML`].
fn unknown_keys() -> Value {
    json!({
        "empty_list": [],
        "empty_map": {},
        "nothing": null,
        "nothings": [null, 1, null],
        "nested": {"lists": [[], [[]], {}], "maps": {"a": {}, "b": []}},
        "big": 1_152_921_504_606_846_977_i64,
        "smallest": i64::MIN,
        "largest": i64::MAX,
        "one": 1.0,
        "tenth": 0.1,
        "text_one": "1",
        "yes_text": "yes",
        "date": "2026-01-01",
        "empty_text": "",
        "unicode": "größer ☃ 😀",
        "multi": "a\nb\n",
        "key with spaces": "kept",
    })
}

#[tokio::test]
async fn a_document_comes_back_whole_after_ten_patches() {
    let rig = Rig::start().await;
    rig.client
        .put(factory::small("whole") + factory::UNKNOWN_KEYS_YAML)
        .await;
    let before = rig.client.head_json("whole").await;
    assert_eq!(before["x_unknown"], unknown_keys());

    let hard = json!({"a": [], "b": {}, "c": null, "d": [null], "n": i64::MAX, "f": 1.0, "g": -0.5, "e": [[], {}]});
    let mut intents: Vec<String> = (0..6).map(|n| format!("tag t{n}")).collect();
    intents.push(json!([{"op": "add", "path": "/x_unknown/added", "value": hard}]).to_string());
    intents.push("set /x_unknown/zero to 1152921504606846977".to_owned());
    intents.push(r#"[{"op":"copy","from":"/x_unknown/nested","path":"/x_copy"}]"#.to_owned());
    intents.push(r#"[{"op":"test","path":"/x_unknown/big","value":1152921504606846977},{"op":"add","path":"/x_unknown/one_more","value":2.0}]"#.to_owned());
    let mut ids = Vec::new();
    for intent in &intents {
        let issue = rig.client.run("whole", intent.clone()).await;
        assert_eq!(issue.state(), IssueState::Applied, "{intent}: {issue:?}");
        ids.push(issue.issue_id);
    }

    let head = rig.client.head("whole").await;
    let after: Value = serde_json::from_str(&head.document_json).expect("document_json is JSON");
    let mut expected = before;
    expected["metadata"]["tags"] = json!(["sample", "t0", "t1", "t2", "t3", "t4", "t5"]);
    expected["metadata"]["version_label"] = "1.0.10".into();
    expected["x_unknown"]["added"] = hard;
    expected["x_unknown"]["zero"] = 1_152_921_504_606_846_977_i64.into();
    expected["x_unknown"]["one_more"] = 2.0.into();
    expected["x_copy"] = expected["x_unknown"]["nested"].clone();
    assert_eq!(after, expected);

    // Compared as text: a reader that converts every number to a float would not see these.
    let compact: String = head.document_json.split_whitespace().collect();
    for text in [
        r#""big":1152921504606846977"#,
        r#""one":1.0"#,
        r#""one_more":2.0"#,
        r#""n":9223372036854775807"#,
    ] {
        assert!(compact.contains(text), "{text} in {compact}");
    }
    for text in [
        "empty_list: []",
        "empty_map: {}",
        "nothing: null",
        "one: 1.0",
        "big: 1152921504606846977",
    ] {
        assert!(
            head.document_yaml.contains(text),
            "{text} in {}",
            head.document_yaml
        );
    }
    assert_sound(&rig, &ids, Attempts::One).await;
}

#[tokio::test]
async fn the_version_is_the_sha256_of_the_canonical_yaml() {
    let rig = Rig::without_worker().await;
    // Both values were computed with other programs (an editor and sha256sum).
    let canonical = "agents: []\nflow: {}\nid: golden\n";
    let version = "9d0976fa663f66ba09639017978045d36f6bb03d28be759442ea11c93d3cac2e";
    let commit = rig
        .client
        .put("{\"id\": \"golden\",\n \"flow\": {}, \"agents\": []}")
        .await;
    let head = rig.client.head("golden").await;
    assert_eq!(head.document_yaml, canonical);
    assert_eq!(commit.version, version);

    // The same content in another form is the same version and creates no commit.
    let request = v1::PutBlueprintRequest {
        document: "# a comment\nflow: {}\n'id': \"golden\"\nagents:\n  []\n".to_owned(),
        ..Default::default()
    };
    let again = rig
        .client
        .blueprints
        .clone()
        .put_blueprint(request)
        .await
        .expect("PutBlueprint")
        .into_inner();
    assert!(!again.created);
    assert_eq!(again.commit, Some(commit));
}

#[tokio::test]
async fn keys_are_in_byte_order_at_every_depth() {
    let rig = Rig::without_worker().await;
    rig.client
        .put("z: {b: 1, a: 2, B: 3, é: 4, '10': 5, '9': 6}\nid: order\nflow: {}\nagents: []\n")
        .await;
    let yaml = rig.client.head("order").await.document_yaml;
    let keys: Vec<&str> = yaml
        .lines()
        .filter_map(|l| l.trim().split_once(':'))
        .map(|(k, _)| k)
        .collect();
    assert_eq!(
        keys,
        [
            "agents", "flow", "id", "z", "\"10\"", "\"9\"", "B", "a", "b", "é"
        ]
    );
}

#[tokio::test]
async fn what_cannot_be_kept_whole_is_refused() {
    let rig = Rig::without_worker().await;
    let before = rig.key_dump().await;
    let base = "id: refused\nflow: {}\nagents: []\n";
    let deep = |levels: usize| format!("{base}x: {}1{}\n", "[".repeat(levels), "]".repeat(levels));
    let long = format!("{base}x: {}\n", "y".repeat(1024 * 1024));
    // 2 KB of text that expands to many gigabytes if its aliases are followed.
    let mut laughs = format!("{base}a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for n in 1..12 {
        let of = format!("*a{}", n - 1);
        laughs.push_str(&format!("a{n}: &a{n} [{}]\n", [of.as_str(); 10].join(", ")));
    }
    let cases: &[(&str, String)] = &[
        ("a duplicate key", format!("{base}id: other\n")),
        (
            "a duplicate key in depth",
            format!("{base}x: {{a: [{{b: 1, b: 2}}]}}\n"),
        ),
        (
            "a duplicate key in JSON",
            r#"{"id":"refused","flow":{},"agents":[],"x":{"a":1,"a":1}}"#.to_owned(),
        ),
        ("an overflowing float", format!("{base}x: 1e400\n")),
        (
            "an overflowing float in JSON",
            r#"{"id":"refused","flow":{},"agents":[],"x":-1e400}"#.to_owned(),
        ),
        ("not a number", format!("{base}x: .nan\n")),
        ("infinity", format!("{base}x: -.inf\n")),
        (
            "an integer above i64",
            format!("{base}x: 9223372036854775808\n"),
        ),
        (
            "an integer below i64",
            format!("{base}x: -9223372036854775809\n"),
        ),
        ("a tag", format!("{base}x: !secret value\n")),
        ("a standard tag", format!("{base}x: !!binary aGk=\n")),
        (
            "a second document",
            format!("{base}---\nid: second\nflow: {{}}\nagents: []\n"),
        ),
        ("an integer key", format!("{base}1: x\n")),
        ("a key that is null", format!("{base}x: {{null: 1}}\n")),
        ("a key that is a bool", format!("{base}x: {{true: 1}}\n")),
        ("a key that is a list", format!("{base}? [a]\n: 1\n")),
        ("above 1 MiB", long),
        ("70 levels", deep(70)),
        ("5,000 levels", deep(5_000)),
        ("an alias bomb", laughs),
        ("an unclosed quote", format!("{base}x: 'open\n")),
        ("no text", String::new()),
        ("a text", "hello".to_owned()),
        ("a list", "[]".to_owned()),
        ("a missing id", "flow: {}\nagents: []\n".to_owned()),
        ("no flow", "id: refused\nagents: []\n".to_owned()),
        ("no agents", "id: refused\nflow: {}\n".to_owned()),
        (
            "an id that is a number",
            "id: 7\nflow: {}\nagents: []\n".to_owned(),
        ),
        (
            "an id that is none",
            "id: a/b\nflow: {}\nagents: []\n".to_owned(),
        ),
        (
            "a flow that is a list",
            "id: refused\nflow: []\nagents: []\n".to_owned(),
        ),
        (
            "agents that are a mapping",
            "id: refused\nflow: {}\nagents: {}\n".to_owned(),
        ),
        (
            "an agent without a name",
            "id: refused\nflow: {}\nagents: [{kind: lua}]\n".to_owned(),
        ),
        (
            "two agents of one name",
            "id: refused\nflow: {}\nagents: [{name: a}, {name: a}]\n".to_owned(),
        ),
        (
            "a label that is no semver",
            format!("{base}metadata: {{version_label: banana}}\n"),
        ),
        (
            "a label that is a number",
            format!("{base}metadata: {{version_label: 1.0}}\n"),
        ),
    ];
    for (what, document) in cases {
        let status = rig.client.put_refused(document.clone()).await;
        assert_eq!(status.code(), Code::InvalidArgument, "{what}: {status}");
        let fields = status
            .get_details_bad_request()
            .map(|d| d.field_violations)
            .unwrap_or_default();
        assert!(
            fields.iter().any(|f| f.field.starts_with("document")),
            "{what}: {status:?}"
        );
        assert!(!status.message().is_empty(), "{what}");
    }
    assert!(before == rig.key_dump().await, "a refusal changes nothing");
    assert_eq!(
        rig.client
            .select("refused", None)
            .await
            .expect_err("never stored")
            .code(),
        Code::NotFound
    );
}

#[tokio::test]
async fn what_is_just_within_the_limits_is_kept() {
    let rig = Rig::start().await;
    let nested = format!("{}1{}", "[".repeat(62), "]".repeat(62));
    let document = format!("agents: []\nflow: {{}}\nid: edge\nx: {nested}\n");
    rig.client.put(document).await;
    let issue = rig.client.run("edge", "describe as deep but fine").await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    let x = rig.client.head_json("edge").await["x"].clone();
    assert_eq!(x, serde_json::from_str::<Value>(&nested).expect("JSON"));

    let big = format!(
        "agents: []\nflow: {{}}\nid: big\nx: {}\n",
        "y".repeat(1_000_000)
    );
    rig.client.put(big).await;
    let issue = rig.client.run("big", "tag big").await;
    assert_eq!(issue.state(), IssueState::Applied, "{}", issue.reason);
}

#[tokio::test]
async fn a_target_may_be_written_for_an_older_flow_ir() {
    let rig = Rig::start().await;
    let flow = json!({"kind": "seq", "children": [
        {"kind": "assign", "at": {"op": "path", "at": "$.x"}, "value": {"op": "lit", "value": 1}},
        {"kind": "step", "ref": "a", "in": {"op": "path", "at": "$"}, "out": {"op": "path", "at": "$.y"}},
    ]});
    let document = json!({"id": "older", "schema_version": "0.1", "flow": flow, "agents": [{"name": "a", "kind": "mock"}]});
    rig.client.put(document.to_string()).await;
    let issue = rig
        .client
        .run("older", "rename agent a to b; tag patched")
        .await;
    assert_eq!(issue.state(), IssueState::Applied, "{issue:?}");
    let head = rig.client.head_json("older").await;
    assert_eq!(head["flow"]["children"][0], flow["children"][0]);
    assert_eq!(head["flow"]["children"][1]["ref"], "b");
    assert_eq!(head["agents"][0]["name"], "b");
    assert_eq!(
        head["metadata"]["version_label"], "0.0.1",
        "a missing label counts as 0.0.0"
    );
    assert_sound(&rig, &[issue.issue_id], Attempts::One).await;
}

#[tokio::test]
async fn a_write_can_insist_on_the_head_it_saw() {
    let rig = Rig::without_worker().await;
    let mut blueprints = rig.client.blueprints.clone();
    let request = |description: &str, expected_head: Option<&str>| v1::PutBlueprintRequest {
        document: format!(
            "id: cas\nflow: {{}}\nagents: []\nmetadata: {{description: {description}}}\n"
        ),
        expected_head: expected_head.map(str::to_owned),
        rationale: Some(format!("made it {description}")),
        ..Default::default()
    };
    let first = blueprints
        .put_blueprint(request("one", Some("")))
        .await
        .expect("it must not exist yet")
        .into_inner();
    assert!(first.created);
    let first = first.commit.expect("a commit");
    assert_eq!(
        (
            first.seq,
            first.rationale.as_str(),
            first.patch_hash.as_str()
        ),
        (1, "made it one", "")
    );
    assert_eq!((first.issue_id.as_str(), first.epoch.is_none()), ("", true));

    let exists = blueprints
        .put_blueprint(request("two", Some("")))
        .await
        .expect_err("it exists");
    assert_eq!(exists.code(), Code::Aborted, "{exists}");
    let unchanged = blueprints
        .put_blueprint(request("one", Some("")))
        .await
        .expect("unchanged is looked at first");
    assert!(!unchanged.into_inner().created);

    let second = blueprints
        .put_blueprint(request("two", Some(&first.version)))
        .await
        .expect("the head as seen");
    let second = second.into_inner().commit.expect("a commit");
    assert_eq!(
        (second.seq, second.parents.as_slice()),
        (2, std::slice::from_ref(&first.version))
    );
    let stale = blueprints
        .put_blueprint(request("three", Some(&first.version)))
        .await
        .expect_err("the head moved");
    assert_eq!(stale.code(), Code::Aborted, "{stale}");
    let nonsense = blueprints
        .put_blueprint(request("three", Some("xyz")))
        .await
        .expect_err("no version");
    assert_eq!(nonsense.code(), Code::InvalidArgument, "{nonsense}");
    let absent = v1::PutBlueprintRequest {
        document: "id: absent\nflow: {}\nagents: []\n".to_owned(),
        expected_head: Some(first.version.clone()),
        ..Default::default()
    };
    assert_eq!(
        blueprints
            .put_blueprint(absent)
            .await
            .expect_err("there is no head")
            .code(),
        Code::Aborted
    );
    assert_eq!(rig.client.history("cas").await, [first, second]);
}

#[tokio::test]
async fn flow_style_is_read_if_the_format_says_yaml() {
    let rig = Rig::without_worker().await;
    let document = "{id: flow-style, flow: {}, agents: [], base: {<<: x}}";
    let status = rig.client.put_refused(document).await;
    assert_eq!(status.code(), Code::InvalidArgument);
    for words in ["invalid JSON: line 1, column 2", "given as yaml"] {
        assert!(status.message().contains(words), "{status}");
    }
    let put = async |format: i32| {
        let request = v1::PutBlueprintRequest {
            document: document.to_owned(),
            format,
            ..Default::default()
        };
        rig.client.blueprints.clone().put_blueprint(request).await
    };
    let answer = put(v1::DocumentFormat::Yaml.into())
        .await
        .expect("PutBlueprint");
    let warnings = answer.into_inner().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].starts_with("/base has the key \"<<\""),
        "{warnings:?}"
    );
    put(v1::DocumentFormat::Json.into())
        .await
        .expect_err("not JSON");
    let status = put(77).await.expect_err("no format");
    let fields = status
        .get_details_bad_request()
        .expect("BadRequest")
        .field_violations;
    assert_eq!(fields[0].field, "format");
}

#[tokio::test]
async fn what_get_prints_can_be_put_again_and_is_unchanged() {
    let rig = Rig::without_worker().await;
    let commit = rig
        .client
        .put(factory::small("again") + factory::UNKNOWN_KEYS_YAML)
        .await;
    let head = rig.client.head("again").await;
    put_again(&rig, head, &commit).await;
    // Texts and numbers that a reader, or this YAML implementation, may take for another type.
    let texts = [
        "no",
        "on",
        "12:30:45",
        "=",
        "<<",
        "2026-01-01",
        "1_000",
        "1e400",
        "a\u{85}b",
        "\u{2028}x",
        "\u{feff}",
        "\u{7f}",
        "\tx\n",
        "x\n ",
        "// x",
    ];
    let hard =
        json!({"id": "hard", "flow": {}, "agents": [], "texts": texts, "n": [1e21, 1e-7, -0.0]});
    let commit = rig.client.put(hard.to_string()).await;
    let head = rig.client.head("hard").await;
    put_again(&rig, head, &commit).await;
}

async fn put_again(rig: &Rig, head: v1::GetBlueprintResponse, commit: &v1::Commit) {
    for document in [head.document_yaml, head.document_json] {
        let request = v1::PutBlueprintRequest {
            document,
            ..Default::default()
        };
        let again = rig.client.blueprints.clone().put_blueprint(request).await;
        let again = again.expect("PutBlueprint").into_inner();
        assert!(!again.created);
        assert_eq!(again.commit.as_ref(), Some(commit));
    }
}

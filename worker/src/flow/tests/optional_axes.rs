//! Tests of the bundled axes that are off by default, and of axis options.

use shared::blueprint::yaml::{self, Format};

use super::*;

/// [`TARGET`] with `rules` as its `metadata.verifiers`.
fn ruled(rules: &str) -> String {
    let with_rules = format!("metadata: {{verifiers: {rules}, ");
    TARGET.replace("metadata: {", &with_rules)
}

async fn judged(axis: &str, target: &str, intent: &str) -> Result<(), String> {
    let mut issue = input(target, intent);
    issue.verifiers = vec![axis.to_owned()];
    match Bench::bundled().run(issue).await.decision.unwrap() {
        Decision::Commit { .. } => Ok(()),
        Decision::Deny { reasons, .. } => Err(reasons.join("; ")),
    }
}

#[tokio::test]
async fn protected_paths_stay_as_they_are() {
    let rules = "{protected-paths: [/agents/0/profile, /x~1y, /number]}";
    let target = format!("{}x/y: [1]\nnumber: 1\n", ruled(rules).trim_start());
    for (intent, denied) in [
        ("tag x", None),
        ("set /agents/1/kind to lua", None),
        (
            "set prompt of agent writer to Hm.",
            Some("/agents/0/profile"),
        ),
        ("remove /agents/0", Some("/agents/0/profile")),
        ("set /x~1y/0 to 2", Some("/x~1y")),
        ("remove /x~1y", Some("/x~1y")),
        ("set /number to 1.0", Some("/number")),
        (
            "set /metadata/verifiers/protected-paths to []",
            Some("/metadata/verifiers"),
        ),
        ("remove /metadata", Some("/metadata/verifiers")),
    ] {
        let judgement = judged("protected-paths", &target, intent).await;
        let expected = denied
            .map(|path| format!("protected-paths: {path} is protected and would change"))
            .map_or(Ok(()), Err);
        assert_eq!(judgement, expected, "{intent}");
    }
    let wrong = judged("protected-paths", &ruled("{protected-paths: /id}"), "tag x").await;
    assert!(wrong.unwrap_err().contains("must be an array of pointers"));
    assert_eq!(judged("protected-paths", TARGET, "tag x").await, Ok(()));
}

#[tokio::test]
async fn size_has_three_limits() {
    assert_eq!(judged("size", TARGET, "tag x").await, Ok(()));
    for (rules, intent, reason) in [
        ("{size: {ops: 1}}", "tag a; tag b", "2 ops, and at most 1"),
        ("{size: {bytes: 300}}", "tag a", "bytes, and at most 300"),
        (
            "{size: {levels: 5}}",
            "add [[[[[[1]]]]]] to /deep",
            "7 levels, and at most 5",
        ),
        (
            "{size: {ops: many}}",
            "tag a",
            "size.ops must be a whole number",
        ),
        ("{size: 5}", "tag a", "size must be an object"),
    ] {
        let denied = judged("size", &ruled(rules), intent).await.unwrap_err();
        assert!(denied.contains(reason), "{rules}: {denied}");
    }
}

#[tokio::test]
async fn a_flow_must_be_flow_ir() {
    assert_eq!(judged("flow", TARGET, "tag x").await, Ok(()));
    let denied = judged("flow", TARGET, "set /flow/kind to sequence").await;
    let denied = denied.unwrap_err();
    assert!(
        denied.starts_with("flow: flow is not valid flow.ir: ") && denied.contains("sequence"),
        "{denied}"
    );
}

/// Returns the outcome of `tag x` with these axes and options, and `scripts` beside the bundled
/// ones.
async fn verdicts_of(
    axes: &[&str],
    options: &str,
    scripts: &[(&str, &str)],
) -> Result<Vec<Verdict>, String> {
    let mut bench = Bench::with_scripts(scripts);
    let options = yaml::parse_as(options, Format::Yaml)
        .unwrap()
        .as_object()
        .unwrap()
        .clone();
    let orbit = Blueprint::parse(ENHANCE_DEFAULT_YAML).unwrap();
    bench.orbit = bench
        .host
        .compile(&orbit, None, &options)
        .map_err(|error| error.to_string())?;
    let mut issue = input(TARGET, "tag x");
    issue.verifiers = axes.iter().map(|axis| (*axis).to_owned()).collect();
    match bench.run(issue).await.decision {
        Ok(Decision::Commit { verdicts, .. } | Decision::Deny { verdicts, .. }) => Ok(verdicts),
        Err(error) => Err(error.to_string()),
    }
}

#[tokio::test]
async fn a_script_sees_its_own_options() {
    let script = "return { status = 'deny', reason = tostring(_CTX.options.limit) .. ' ' .. type(_CTX.options.list) }";
    let scripts = [
        ("verifiers/one.lua", script),
        ("verifiers/other.lua", script),
    ];
    let verdicts = verdicts_of(&["one", "other"], "{one: {limit: 7, list: []}}", &scripts)
        .await
        .unwrap();
    let details: Vec<&str> = verdicts.iter().map(|v| v.detail.as_str()).collect();
    assert_eq!(details, ["7 table", "nil nil"]);
}

#[tokio::test]
async fn a_schema_judges_the_new_document() {
    let options =
        "{json-schema: {schema: {properties: {metadata: {properties: {tags: {maxItems: 1}}}}}}}";
    let verdicts = verdicts_of(&["json-schema", "des"], options, &[])
        .await
        .unwrap();
    assert!(
        !verdicts[0].is_pass() && verdicts[1].is_pass(),
        "{verdicts:?}"
    );
    assert!(
        verdicts[0]
            .detail
            .contains("/metadata/tags: it has more than 1 item"),
        "{verdicts:?}"
    );
    let passed = verdicts_of(&["json-schema"], &options.replace('1', "2"), &[])
        .await
        .unwrap();
    assert!(
        passed[0].is_pass() && passed[0].detail.contains("schema_hash"),
        "{passed:?}"
    );
    let without = verdicts_of(&["json-schema"], "{}", &[]).await.unwrap_err();
    assert!(without.contains("axis_options.json-schema"), "{without}");
    let wrong = verdicts_of(&["json-schema"], "{json-schema: {schema: 5}}", &[])
        .await
        .unwrap_err();
    assert!(wrong.contains("axis_options.json-schema.schema"), "{wrong}");
    let unknown = verdicts_of(&["nope"], "{}", &[]).await.unwrap();
    assert!(
        unknown[0].detail.contains("json-schema, llm-judge"),
        "{unknown:?}"
    );
    // A custom script of that name replaces it, including its options.
    let own = (
        "verifiers/json-schema.lua",
        "return { status = 'deny', reason = _CTX.options.schema }",
    );
    let verdicts = verdicts_of(&["json-schema"], "{json-schema: {schema: mine}}", &[own])
        .await
        .unwrap();
    assert_eq!(verdicts[0].detail, "mine");
}

#[tokio::test]
async fn an_axis_past_its_time_fails_the_issue_and_stops_the_others() {
    let loops = "while true do end";
    let scripts = [
        ("verifiers/hangs.lua", loops),
        ("verifiers/other.lua", loops),
    ];
    let failed = verdicts_of(
        &["hangs", "other", "des"],
        "{hangs: {ttl_secs: 1}}",
        &scripts,
    )
    .await;
    let reason = failed.unwrap_err();
    assert!(
        reason.contains("axis hangs did not end within its 1 s"),
        "{reason}"
    );
    // A schema with exponential run time: every definition references the next one twice.
    let definitions = (0..60).map(|n| {
        let next = format!("{{$ref: '#/$defs/a{}'}}", n + 1);
        format!("a{n}: {{anyOf: [{next}, {next}]}}")
    });
    let definitions: Vec<String> = definitions
        .chain(["a60: {type: integer}".to_owned()])
        .collect();
    let options = format!(
        "{{json-schema: {{ttl_secs: 1, schema: {{$ref: '#/$defs/a0', $defs: {{{}}}}}}}}}",
        definitions.join(", ")
    );
    let reason = verdicts_of(&["json-schema"], &options, &[])
        .await
        .unwrap_err();
    assert!(
        reason.contains("axis json-schema did not end within its 1 s"),
        "{reason}"
    );
}

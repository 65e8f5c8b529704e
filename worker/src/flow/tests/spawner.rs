//! Tests of the bundled spawner's sentences, through a whole flow.

use shared::blueprint::{Doc, json};

use super::*;

/// Runs `intent` on [`TARGET`] without axes; returns the operations and the rationale.
async fn spawn(bench: &Bench, intent: &str) -> (String, String) {
    let mut issue = input(TARGET, intent);
    issue.verifiers.clear();
    let outcome = bench.run(issue).await;
    let rationale = match outcome.decision {
        Ok(Decision::Commit { rationale, .. } | Decision::Deny { rationale, .. }) => rationale,
        Err(_) => outcome.rationale,
    };
    (outcome.patch_json, rationale)
}

#[tokio::test]
async fn understands_every_sentence() {
    let bench = Bench::bundled();
    for (intent, ops) in [
        (
            "set /metadata/description to new",
            r#"[{"op":"replace","path":"/metadata/description","value":"new"}]"#,
        ),
        (
            "set /metadata/owner to new",
            r#"[{"op":"add","path":"/metadata/owner","value":"new"}]"#,
        ),
        ("SET /x TO 1.0", r#"[{"op":"add","path":"/x","value":1.0}]"#),
        (
            "set /x to null",
            r#"[{"op":"add","path":"/x","value":null}]"#,
        ),
        (
            "set /x to {\"a\": [1, \"to /y\"]}",
            r#"[{"op":"add","path":"/x","value":{"a":[1,"to /y"]}}]"#,
        ),
        (
            "set /x to \"1\"",
            r#"[{"op":"add","path":"/x","value":"1"}]"#,
        ),
        ("set /x to 1;", r#"[{"op":"add","path":"/x","value":1}]"#),
        (
            "set /x to go to /y now",
            r#"[{"op":"add","path":"/x","value":"go to /y now"}]"#,
        ),
        (
            "set /agents/0 to 5",
            r#"[{"op":"replace","path":"/agents/0","value":5}]"#,
        ),
        (
            "set /agents/9 to 5",
            r#"[{"op":"add","path":"/agents/9","value":5}]"#,
        ),
        (
            "add x to /metadata/tags",
            r#"[{"op":"add","path":"/metadata/tags/-","value":"x"}]"#,
        ),
        (
            "add {\"say\": \"a; to /b\"} to /metadata/tags",
            r#"[{"op":"add","path":"/metadata/tags/-","value":{"say":"a; to /b"}}]"#,
        ),
        (
            "add 7 to /metadata/n",
            r#"[{"op":"add","path":"/metadata/n","value":7}]"#,
        ),
        (
            "add 7 to /metadata/n;",
            r#"[{"op":"add","path":"/metadata/n","value":7}]"#,
        ),
        (
            "remove /metadata/tags/0",
            r#"[{"op":"remove","path":"/metadata/tags/0"}]"#,
        ),
        (
            "remove /metadata/a~1b ;",
            r#"[{"op":"remove","path":"/metadata/a~1b"}]"#,
        ),
        (
            "rename agent writer to author",
            r#"[{"op":"replace","path":"/agents/0/name","value":"author"},{"op":"replace","path":"/flow/children/0/ref","value":"author"}]"#,
        ),
        (
            "tag x",
            r#"[{"op":"add","path":"/metadata/tags/-","value":"x"}]"#,
        ),
        (
            "tag \"two words\"",
            r#"[{"op":"add","path":"/metadata/tags/-","value":"two words"}]"#,
        ),
        ("tag draft", "[]"),
        (
            "untag draft",
            r#"[{"op":"remove","path":"/metadata/tags/0"}]"#,
        ),
        ("untag nothing", "[]"),
        (
            "describe as 5",
            r#"[{"op":"replace","path":"/metadata/description","value":"5"}]"#,
        ),
        (
            "set prompt of agent writer to Be kind.",
            r#"[{"op":"replace","path":"/agents/0/profile/system_prompt","value":"Be kind."}]"#,
        ),
        (
            "set prompt of agent reviewer to Be kind.",
            r#"[{"op":"add","path":"/agents/1/profile","value":{"system_prompt":"Be kind."}}]"#,
        ),
        (
            "set model of agent writer to large",
            r#"[{"op":"replace","path":"/agents/0/profile/model","value":"large"}]"#,
        ),
        (
            "set model of agent writer to large\nset prompt of agent writer to One; two\nthree; tag x",
            r#"[{"op":"replace","path":"/agents/0/profile/model","value":"large"},{"op":"replace","path":"/agents/0/profile/system_prompt","value":"One; two\nthree"},{"op":"add","path":"/metadata/tags/-","value":"x"}]"#,
        ),
        (
            "tag a; tag b;;\n tag a;",
            r#"[{"op":"add","path":"/metadata/tags/-","value":"a"},{"op":"add","path":"/metadata/tags/-","value":"b"}]"#,
        ),
        (
            "set prompt of agent writer to Be brief; tag everything you see",
            r#"[{"op":"replace","path":"/agents/0/profile/system_prompt","value":"Be brief; tag everything you see"}]"#,
        ),
        (
            "rename agent writer to author; set model of agent author to large",
            r#"[{"op":"replace","path":"/agents/0/name","value":"author"},{"op":"replace","path":"/flow/children/0/ref","value":"author"},{"op":"replace","path":"/agents/0/profile/model","value":"large"}]"#,
        ),
        (
            "set /a to {}; set /a/b to 1; set /a/b to 2",
            r#"[{"op":"add","path":"/a","value":{}},{"op":"add","path":"/a/b","value":1},{"op":"replace","path":"/a/b","value":2}]"#,
        ),
    ] {
        let (found, rationale) = spawn(&bench, intent).await;
        assert_eq!(found, ops, "{intent}");
        assert!(
            rationale.starts_with(intent.trim()),
            "{intent}: {rationale}"
        );
    }
}

#[tokio::test]
async fn makes_what_is_missing_on_the_way() {
    let bench = Bench::bundled();
    for (metadata, intent, ops) in [
        (
            "",
            "tag x",
            r#"[{"op":"add","path":"/metadata","value":{"tags":["x"]}}]"#,
        ),
        (
            "metadata: null",
            "tag x",
            r#"[{"op":"add","path":"/metadata","value":{"tags":["x"]}}]"#,
        ),
        (
            "metadata: {}",
            "tag x",
            r#"[{"op":"add","path":"/metadata/tags","value":["x"]}]"#,
        ),
        (
            "metadata: {tags: null}",
            "tag x",
            r#"[{"op":"replace","path":"/metadata/tags","value":["x"]}]"#,
        ),
        (
            "metadata: {}",
            "describe as x",
            r#"[{"op":"add","path":"/metadata/description","value":"x"}]"#,
        ),
        (
            "",
            "describe as x",
            r#"[{"op":"add","path":"/metadata","value":{"description":"x"}}]"#,
        ),
    ] {
        let target = format!("id: bare\nflow: {{}}\nagents: []\n{metadata}\n");
        let outcome = bench.run(input(&target, intent)).await;
        assert_eq!(outcome.patch_json, ops, "{metadata} {intent}");
        assert!(
            matches!(outcome.decision, Ok(Decision::Commit { .. })),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn understands_json_and_fenced_json() {
    let bench = Bench::bundled();
    let ops = r#"[{"op":"add","path":"/big","value":1152921504606846977}]"#;
    for (intent, why) in [
        (ops.to_owned(), "as given in the intent"),
        (format!("  {ops}\n"), "as given in the intent"),
        (
            format!("{{\"ops\": {ops}, \"bump\": \"major\", \"rationale\": \"mine\"}}"),
            "mine",
        ),
        (format!("{{\"ops\": {ops}}}"), "as given in the intent"),
        (
            format!("Please do this:\n```json\n{ops}\n```\nThank you."),
            "Please do this:",
        ),
        (
            format!("```\n{{\"ops\": {ops}, \"rationale\": \"fenced\"}}\n```"),
            "fenced",
        ),
        (
            format!("Not ```this``` but\n```\n{ops}\n```"),
            "Not ```this``` but",
        ),
    ] {
        assert_eq!(
            spawn(&bench, &intent).await,
            (ops.to_owned(), why.to_owned()),
            "{intent}"
        );
    }
    let bump = bench
        .commit(
            TARGET,
            &format!("{{\"ops\": {ops}, \"bump\": \"major\", \"rationale\": \"\"}}"),
        )
        .await;
    assert_eq!(bump.version_label(), Some("2.0.0"));
    assert_eq!(
        json::emit(bump.doc().get("big").unwrap_or(&Doc::Null)),
        "1152921504606846977"
    );

    let reasons = bench
        .deny(TARGET, &format!("{{\"ops\": {ops}, \"bump\": \"giant\"}}"))
        .await;
    assert_eq!(
        reasons,
        ["patch: bump must be major, minor or patch; it is \"giant\""]
    );
    let reasons = bench.deny(TARGET, r#"{"ops": 5}"#).await;
    assert_eq!(
        reasons,
        ["patch: ops must be an array of RFC 6902 operations; it is a number"]
    );
}

#[tokio::test]
async fn says_what_it_did_not_understand() {
    let bench = Bench::bundled();
    for (intent, part) in [
        ("hello", "not understood: \"hello\""),
        ("   ", "not understood: \"\""),
        ("tag a and b", "not understood: \"tag a and b\""),
        ("remove everything", "not understood: \"remove everything\""),
        ("please do\ntag a", "not understood: \"please do\""),
        ("[1, 2", "read as JSON: "),
        (
            r#"{"a": 1}"#,
            "neither an array of operations nor an object with ops",
        ),
        (
            "rename agent ghost to x",
            "there is no agent \"ghost\"; there are: writer, reviewer",
        ),
        (
            "set prompt of agent ghost to x",
            "there is no agent \"ghost\"",
        ),
    ] {
        let (ops, rationale) = spawn(&bench, intent).await;
        assert_eq!(ops, "[]", "{intent}");
        assert!(rationale.contains(part), "{intent}: {rationale}");
    }
    let long = "ä".repeat(20_000);
    let (_, rationale) = spawn(&bench, &long).await;
    assert!(
        rationale.contains(&format!("\"{}...\"", "ä".repeat(120))),
        "{rationale}"
    );
}

#[tokio::test]
async fn reads_the_longest_intents_in_linear_time() {
    let bench = Bench::bundled();
    let most = 64 * 1024;
    for part in [
        ";",
        "\n",
        " ",
        "set /",
        "set / ",
        "to ",
        " to ",
        "add x to y;",
        "add x;",
        "tag x y;",
        "tag ;",
        "set /a;",
        "set prompt of agent a;",
        "rename agent a;",
        "rename agent a to b c;",
        "describe as ",
        "remove ",
        "```",
        "``` [1]",
        "\"",
        "tag \"x;",
        "[",
        "{\"a\":",
        "add to /",
        "add 1 to /x\n",
        "add [;",
        "add <<A;",
        "add \"a;",
        "add {\"a\":\"add ",
        "<<A\n",
        "`;",
        "~~~\n",
        "set \"/a",
        "set /a to\n",
        "set    ",
        "describe as \"",
        "describe as `;",
        "rename agent \"a\" to \"b",
    ] {
        let intent = part.repeat(most / part.len());
        for end in ["", " to z", " to /z", "; tag x"] {
            let mut issue = input(TARGET, &format!("{intent}{end}"));
            issue.time_limit = Duration::from_secs(20);
            if let Err(error) = bench.run(issue).await.decision {
                assert!(
                    !matches!(error, crate::flow::error::FlowError::TimeLimit { .. }),
                    "{part:?} {end:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn what_is_meant_as_data_is_never_executed() {
    let bench = Bench::bundled();
    let fence = "```json\n[{\"op\": \"add\", \"path\": \"/pwned\", \"value\": 1}]\n```";
    for (intent, part) in [
        (
            format!(
                "set /agents/0/profile/system_prompt to You write patches, like this:\n{fence}\nEnd."
            ),
            "line 2, column 1: a fenced block stands beside sentences",
        ),
        (
            format!("tag x; set prompt of agent writer to Example:\n{fence}"),
            "line 2, column 1: a fenced block stands beside sentences",
        ),
        (
            "set /agents/0/profile to {\"model\": \"m2\",}".to_owned(),
            "line 1, column 41",
        ),
        ("set /x to [None, True]".to_owned(), "line 1, column 12"),
        (
            "set /x to 99999999999999999999".to_owned(),
            "line 1, column 11",
        ),
        ("set /x to “smart”; tag x".to_owned(), "line 1, column 11"),
    ] {
        let (ops, rationale) = spawn(&bench, &intent).await;
        assert_eq!(ops, "[]", "{intent}");
        assert!(rationale.contains(part), "{intent}: {rationale}");
        // The denial contains the reason for its author.
        let reasons = bench.deny(TARGET, &intent).await;
        assert!(
            reasons.len() == 1 && reasons[0].starts_with("noop: ") && reasons[0].contains(part),
            "{intent}: {reasons:?}"
        );
    }
}

#[tokio::test]
async fn a_quoted_text_is_stored_as_it_is() {
    let bench = Bench::bundled();
    let fence = "```json\n[{\"op\": \"add\", \"path\": \"/pwned\", \"value\": 1}]\n```";
    for text in [
        "",
        " ",
        "\"",
        "x",
        "5",
        "None",
        "“x”",
        "a\nb\n",
        "\r\n\r\n",
        "tag x",
        "One.\ntag x; remove /agents\nset /id to other",
        "<<END\nremove /agents\nEND!",
        "[{\"op\": \"remove\", \"path\": \"/agents\"}]",
        fence,
        "ä\u{1F600}\u{2028}\u{7f}\u{feff}",
    ] {
        let written = json::emit(&Doc::from(text));
        for quoted in [written.clone(), format!("<<EOT\n{text}\nEOT")] {
            let intent = format!("tag before\nset prompt of agent writer to {quoted}\n; tag after");
            let written = bench.commit(TARGET, &intent).await;
            let prompt = written.doc().get("agents").and_then(Doc::as_array).unwrap()[0]
                .get("profile")
                .and_then(|profile| profile.get("system_prompt"));
            assert_eq!(prompt, Some(&Doc::from(text)), "{intent:?}");
            let tags = written.doc().get("metadata").and_then(|m| m.get("tags"));
            assert_eq!(
                tags.map(json::emit).as_deref(),
                Some(r#"["draft","before","after"]"#)
            );
            assert_eq!(
                written.doc().as_object().map(|members| members.len()),
                Some(5),
                "{intent:?}"
            );
        }
    }
}

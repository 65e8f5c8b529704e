//! Tests of commits and denials.

use shared::blueprint::{Doc, yaml};
use shared::domain::enhance_log::VerdictStatus;
use shared::store::Follower;

use super::*;

#[tokio::test]
async fn commits_a_change() {
    let bench = Bench::bundled();
    let outcome = bench.run(input(TARGET, "describe as A better team.")).await;
    let Ok(Decision::Commit {
        blueprint,
        bump,
        rationale,
        verdicts,
        patch_hash,
        review,
    }) = &outcome.decision
    else {
        panic!("{outcome:?}");
    };
    assert_eq!(blueprint.version_label(), Some("1.2.4"));
    assert_eq!(bump, "patch");
    assert!(review.is_empty());
    assert_eq!(rationale, "describe as A better team.");
    assert_eq!(
        verdicts
            .iter()
            .map(|v| (v.axis.as_str(), v.is_pass()))
            .collect::<Vec<_>>(),
        AXES.map(|a| (a, true))
    );
    assert_eq!(
        outcome.patch_json,
        r#"[{"op":"replace","path":"/metadata/description","value":"A better team."}]"#
    );
    assert_eq!(
        *patch_hash,
        shared::ids::sha256_hex(outcome.patch_json.as_bytes())
    );
    assert_eq!(
        (outcome.usage.agent_kind.as_str(), outcome.usage.calls),
        ("lua", 1)
    );
}

#[tokio::test]
async fn every_axis_denies_what_it_is_for() {
    let bench = Bench::bundled();
    for (intent, reason) in [
        ("set /id to other", "des: id must stay \"team\""),
        ("set /flow to 5", "des: flow must be an object"),
        (r#"set /agents to {"a": 1}"#, "des: agents must be an array"),
        ("set /agents to 5", "des: agents must be an array"),
        ("remove /agents", "des: agents must be an array"),
        ("remove /flow", "des: flow must be an object"),
        ("add 5 to /agents", "des: /agents/2 must be an object"),
        (
            r#"add {"name": ""} to /agents"#,
            "des: /agents/2/name must be a non-empty string",
        ),
        (
            r#"add {"name": "writer"} to /agents"#,
            "des: /agents/2/name: there is another agent \"writer\" at /agents/0",
        ),
        (
            "tag draft",
            "noop: the document would not change: tag draft (the tag \"draft\" is there already)",
        ),
        (
            "set /flow/children/0/ref to ghost",
            "agent-ref: /flow/children/0/ref names the unknown agent \"ghost\"; declared agents: writer, reviewer",
        ),
    ] {
        let reasons = bench.deny(TARGET, intent).await;
        assert!(
            reasons.contains(&reason.to_owned()),
            "{intent}: {reasons:?}"
        );
    }
}

#[tokio::test]
async fn an_intent_that_is_not_understood_says_what_is() {
    let reasons = Bench::bundled().deny(TARGET, "make it nicer, please").await;
    assert_eq!(reasons.len(), 1);
    assert!(
        reasons[0]
            .starts_with("noop: the document would not change: not understood: \"make it nicer")
    );
    assert!(
        reasons[0].contains("set <pointer> to <value>, add <value> to <pointer>"),
        "{reasons:?}"
    );
}

#[tokio::test]
async fn a_reply_that_is_no_patch_is_denied_by_the_axis_patch() {
    for (reply, reason) in [
        (
            "5",
            "the spawner's reply must be an object {ops, bump, rationale}, not a number",
        ),
        (
            "host.array()",
            "the spawner's reply must be an object {ops, bump, rationale}, not an array",
        ),
        (
            "{ bump = 'patch', rationale = '' }",
            "ops must be an array of RFC 6902 operations; it is missing",
        ),
        (
            "{ ops = {}, bump = 'patch', rationale = '' }",
            "ops must be an array of RFC 6902 operations; it is an object",
        ),
        (
            "{ ops = { 1 }, bump = 'patch', rationale = '' }",
            "ops[0] must be an object; it is a number",
        ),
        (
            "{ ops = host.array(), rationale = '' }",
            "bump must be major, minor or patch; it is missing",
        ),
        (
            "{ ops = host.array(), bump = 'huge', rationale = '' }",
            "bump must be major, minor or patch; it is \"huge\"",
        ),
        (
            "{ ops = host.array(), bump = 'patch' }",
            "rationale must be a string; it is missing",
        ),
    ] {
        let bench = Bench::with_scripts(&[("patch_spawner.lua", &format!("return {reply}"))]);
        for axes in [&AXES[..], &[]] {
            let mut issue = input(TARGET, "anything");
            issue.verifiers = axes.iter().map(|a| (*a).to_owned()).collect();
            let outcome = bench.run(issue).await;
            let Decision::Deny {
                reasons, verdicts, ..
            } = outcome.decision.unwrap()
            else {
                panic!("{reply}: committed")
            };
            assert_eq!(reasons, [format!("patch: {reason}")]);
            assert_eq!(
                verdicts,
                [Verdict {
                    axis: "patch".into(),
                    status: VerdictStatus::Deny,
                    detail: reason.into()
                }]
            );
            assert_ne!(outcome.patch_json, "");
        }
    }
}

#[tokio::test]
async fn a_patch_that_does_not_apply_is_denied_by_the_axis_apply() {
    let bench = Bench::bundled();
    for (intent, part) in [
        ("remove /nowhere", "/nowhere"),
        (r#"[{"op":"test","path":"/id","value":"no"}]"#, "test"),
        (
            r#"[{"op":"add","path":"/x","value":1},{"op":"frobnicate","path":"/x"}]"#,
            "frobnicate",
        ),
        ("set /metadata to 5", "metadata would be a number"),
    ] {
        for axes in [&AXES[..], &[]] {
            let mut issue = input(TARGET, intent);
            issue.verifiers = axes.iter().map(|a| (*a).to_owned()).collect();
            let Decision::Deny {
                reasons, verdicts, ..
            } = bench.run(issue).await.decision.unwrap()
            else {
                panic!("{intent}: committed")
            };
            assert_eq!((reasons.len(), verdicts.len()), (1, 1), "{intent}");
            assert_eq!(verdicts[0].axis, "apply");
            assert!(
                reasons[0].starts_with("apply: ") && reasons[0].contains(part),
                "{reasons:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_unknown_axis_denies_and_lists_what_there_is() {
    let mut issue = input(TARGET, "tag x");
    issue.verifiers = vec!["des".into(), "beauty".into()];
    let Decision::Deny {
        reasons, verdicts, ..
    } = Bench::bundled().run(issue).await.decision.unwrap()
    else {
        panic!("committed")
    };
    assert_eq!(
        reasons,
        [
            "beauty: unknown axis \"beauty\"; there are: agent-ref, canonical, des, flow, human-review, json-schema, llm-judge, noop, protected-paths, size"
        ]
    );
    assert_eq!(
        verdicts.iter().map(|v| v.is_pass()).collect::<Vec<_>>(),
        [true, false]
    );
}

#[tokio::test]
async fn without_axes_even_an_unchanged_document_is_committed() {
    let mut issue = input(TARGET, "tag draft");
    issue.verifiers = Vec::new();
    let prev = issue.prev.clone();
    let Decision::Commit {
        blueprint,
        verdicts,
        ..
    } = Bench::bundled().run(issue).await.decision.unwrap()
    else {
        panic!("denied")
    };
    assert_eq!(blueprint.version(), prev.version());
    assert!(verdicts.is_empty());
}

#[tokio::test]
async fn an_axis_of_ones_own_is_a_file() {
    let bench = Bench::with_scripts(&[(
        "verifiers/tagged.lua",
        "if #_CTX.applied.new_bp_json.metadata.tags > 1 then return {status = 'pass', evidence = {1, 2}} end
         return {status = 'deny', reason = 'no further tag'}",
    )]);
    assert!(bench.host.axes().contains(&"tagged".to_owned()));
    for (intent, status, detail) in [
        ("tag x", VerdictStatus::Pass, "[1,2]"),
        ("describe as x", VerdictStatus::Deny, "no further tag"),
    ] {
        let mut issue = input(TARGET, intent);
        issue.verifiers = vec!["tagged".into()];
        let (Decision::Commit { verdicts, .. } | Decision::Deny { verdicts, .. }) =
            bench.run(issue).await.decision.unwrap();
        assert_eq!(
            verdicts,
            [Verdict {
                axis: "tagged".into(),
                status,
                detail: detail.into()
            }]
        );
    }
}

#[tokio::test]
async fn an_orbit_in_use_must_stay_runnable() {
    let bench = Bench::bundled();
    for (intent, commits) in [
        ("tag x", true),
        ("set /agents/0/spec/fn_id to nowhere", false),
        ("set /flow to {}", false),
        // Valid, but without an applied document to commit.
        ("remove /flow/children/1", false),
    ] {
        let mut issue = input(ENHANCE_DEFAULT_YAML, intent);
        issue.orbit_of = vec![Follower {
            setting: crate::flow::tests::setting(),
            highest: None,
        }];
        match bench.run(issue).await.decision.unwrap() {
            Decision::Commit { .. } => assert!(commits, "{intent}"),
            Decision::Deny {
                reasons, verdicts, ..
            } => {
                assert!(!commits, "{intent}: {reasons:?}");
                assert!(reasons[0].starts_with("orbit: "), "{reasons:?}");
                assert_eq!(
                    verdicts.last().map(|v| (v.axis.as_str(), v.is_pass())),
                    Some(("orbit", false))
                );
            }
        }
    }
}

#[tokio::test]
async fn a_setting_replaces_the_spawner() {
    let bench = Bench::with_scripts(&[(
        "mine.lua",
        "return {ops = {{op = 'add', path = '/mine', value = host.null}}, bump = 'minor', rationale = 'mine'}",
    )]);
    let bundled = Blueprint::parse(ENHANCE_DEFAULT_YAML).unwrap();
    let spawner = yaml::parse("name: another name\nkind: lua\nspec: {fn_id: mine}\n").unwrap();
    let orbit = bench
        .host
        .compile(&bundled, Some(&spawner), &AxisOptions::new())
        .unwrap();
    let outcome = bench
        .host
        .run(&orbit, input(TARGET, "?"), &CancellationToken::new())
        .await;
    let Decision::Commit {
        blueprint, bump, ..
    } = outcome.decision.unwrap()
    else {
        panic!("denied")
    };
    assert_eq!(
        (blueprint.version_label(), bump.as_str()),
        (Some("1.3.0"), "minor")
    );
    assert_eq!(blueprint.doc().get("mine"), Some(&Doc::Null));

    let without = ENHANCE_DEFAULT_YAML.replace("name: patch-spawner", "name: drafter");
    let error = bench
        .host
        .compile(
            &Blueprint::parse(&without).unwrap(),
            Some(&spawner),
            &AxisOptions::new(),
        )
        .unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains(
            "no agent is named \"patch-spawner\", which the setting's spawner replaces; declared are: drafter"
        ),
        "{message}"
    );
}
